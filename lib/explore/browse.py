"""The databases, reports and data docs in a browser: `python -m lib.explore.browse` starts Datasette on this machine's own address."""

import argparse
import socket
import sys
from pathlib import Path

from lib.errors import PipelineError, UsageError
from lib.explore.readonly import DATABASES
from lib.options import Parser
from lib.steps import PROJECT

HOST = "127.0.0.1"


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the options of the command line; exits with 2 for wrong ones."""
    parser = Parser(
        prog="python -m lib.explore.browse",
        description=f"Show the databases, the reports and the data docs on http://{HOST}, to this machine only, until Ctrl-C.")
    parser.add_argument("--warehouse", type=Path, default=PROJECT / "data/warehouse", metavar="DIR",
                        help="folder of the four databases (default: data/warehouse)")
    parser.add_argument("--reports", type=Path, default=PROJECT / "reports", metavar="DIR",
                        help="folder of the pages (default: reports)")
    parser.add_argument("--port", type=int, default=8001, metavar="N", help="where to listen; 0: anywhere (default: 8001)")
    return parser.parse_args(arguments)


def command(given: argparse.Namespace) -> list[str]:
    """Return Datasette's arguments. The databases are opened read only, but not as unchanging: runs go on.

    Raises UsageError when there is nothing to show or the port is taken.
    """
    databases = [path for name in DATABASES if (path := given.warehouse / f"{name}.db").exists()]
    if not databases:
        raise UsageError(f"there is no database in {given.warehouse}. Run run_pipeline.py first, or name another with --warehouse.")
    if not given.reports.is_dir():
        raise UsageError(f"there is no folder {given.reports}. Run run_pipeline.py first, or name another with --reports.")
    try:
        with socket.create_server((HOST, given.port)):
            pass
    except (OSError, OverflowError) as error:
        raise UsageError(f"port {given.port} cannot be used ({error}). Name another with --port.") from error
    settings = {"sql_time_limit_ms": "10000", "facet_time_limit_ms": "1000", "suggest_facets": "off", "allow_csv_stream": "off"}
    return ["serve", "--host", HOST, "--port", str(given.port), "--metadata", str(PROJECT / "browse" / "metadata.yml"),
            "--plugins-dir", str(PROJECT / "browse" / "plugins"), "--static", f"reports:{given.reports.resolve()}",
            *(word for name, value in settings.items() for word in ("--setting", name, value)), *map(str, databases)]


def main(arguments: list[str]) -> int:
    """Serve until stopped and return the exit code."""
    given = parse_arguments(arguments)
    try:
        serve = command(given)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    from datasette.cli import cli

    return cli(serve, standalone_mode=False) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
