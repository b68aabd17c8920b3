"""Databases, reports and data docs in a web browser, served by Datasette on this machine's own address."""

import socket
from pathlib import Path

from lib.errors import UsageError
from lib.explore.readonly import DATABASES
from lib.steps import PROJECT

HOST = "127.0.0.1"
SETTINGS = {"sql_time_limit_ms": "10000", "facet_time_limit_ms": "1000", "suggest_facets": "off",
            "allow_csv_stream": "off"}


def serve(warehouse: Path, reports: Path, port: int) -> int:
    """Serve until stopped, and return the exit code.

    Raises UsageError when there is nothing to show or the port cannot be used.
    """
    arguments = datasette_arguments(warehouse, reports, port)
    from datasette.cli import cli  # slow, and not needed for an error

    return cli(arguments, standalone_mode=False) or 0


def datasette_arguments(warehouse: Path, reports: Path, port: int) -> list[str]:
    """Return Datasette's arguments. The databases are opened read-only, but not as immutable: runs go on."""
    databases = [path for name in DATABASES if (path := warehouse / f"{name}.db").exists()]
    if not databases:
        raise UsageError(f"there is no database in {warehouse}. Run run_pipeline.py first, or name another "
                         "with --warehouse.")
    if not reports.is_dir():
        raise UsageError(f"there is no folder {reports}. Run run_pipeline.py first, or name another with "
                         "--reports.")
    try:
        with socket.create_server((HOST, port)):
            pass
    except (OSError, OverflowError) as error:
        raise UsageError(f"port {port} cannot be used ({error}). Name another with --port.") from error
    browse = PROJECT / "browse"
    return ["serve", "--host", HOST, "--port", str(port), "--metadata", str(browse / "metadata.yml"),
            "--plugins-dir", str(browse / "plugins"), "--static", f"reports:{reports.resolve()}",
            *(word for name, value in SETTINGS.items() for word in ("--setting", name, value)),
            *map(str, databases)]
