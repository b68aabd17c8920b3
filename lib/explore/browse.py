"""Databases, reports and data docs in a web browser, served by Datasette on this machine's own address."""

import secrets
import socket
import sqlite3
import sys
import threading
import webbrowser
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from lib.errors import DONE, UsageError, explain
from lib.explore.questions import questions
from lib.explore.readonly import DATABASES
from lib.steps import PROJECT
from lib.storage.sql import file_uri

HOST = "127.0.0.1"
BROWSE = PROJECT / "browse"


def serve(warehouse: Path, reports: Path, port: int) -> int:
    """Print and open the address, serve until stopped, and return the exit code.

    Raises UsageError when there is nothing to show or the port cannot be used, PipelineError when a database
    cannot be read.
    """
    databases = _databases(warehouse)
    if not reports.is_dir():
        raise UsageError(f"there is no folder {reports}. Run run_pipeline.py first, or name another with "
                         "--reports.")
    with _listening(port) as here:
        _serve(databases, reports, here)
    return DONE


def _serve(databases: list[Path], reports: Path, here: socket.socket) -> None:
    import uvicorn  # these are slow, and not needed for an error

    from lib.explore.guard import guarded
    from lib.explore.limited import Workers, limited_datasette, own_sql_waits

    port = here.getsockname()[1]
    token, ticket = secrets.token_hex(16), secrets.token_hex(16)
    workers = Workers()

    class Server(uvicorn.Server):
        def handle_exit(self, *given):
            workers.close()  # it waits for what is under way
            super().handle_exit(*given)

    datasette = limited_datasette(
        databases, workers, metadata=_describe(reports), plugins_dir=str(BROWSE / "plugins"),
        static_mounts=[("reports", str(reports.resolve())), ("shop", str(BROWSE / "static"))])
    app = guarded(own_sql_waits(datasette.app()), token, ticket, port)
    address = f"http://{HOST}:{port}/?token="
    _show(address + token, address + ticket)
    with suppress(KeyboardInterrupt):  # the server has ended, and passes it on
        Server(uvicorn.Config(app, log_level="warning", lifespan="on", ws="none")).run(sockets=[here])


def _describe(reports: Path) -> dict[str, Any]:
    """Return what Datasette shows besides the tables: the questions, and what the catalog says of tables."""
    from datasette.utils import parse_metadata

    from lib.report.catalog import read_catalog

    metadata = parse_metadata((BROWSE / "metadata.yml").read_text(encoding="utf-8"))
    for table in read_catalog(reports).get("tables", []):
        tables = metadata["databases"][table["layer"]]["tables"]
        columns = {column["name"]: column["meaning"] for column in table["columns"] if column["meaning"]}
        tables.setdefault(table["name"], {}).update(description=table["grain"], columns=columns)
    for question in questions().values():
        queries = metadata["databases"][question.database].setdefault("queries", {})
        queries[question.name] = {"title": question.title, "description": question.about, "sql": question.sql}
    return metadata


def _databases(warehouse: Path) -> list[Path]:
    """Return the databases of a warehouse, each of which can be read."""
    paths = [path for name in DATABASES if (path := warehouse / f"{name}.db").exists()]
    if not paths:
        raise UsageError(f"there is no database in {warehouse}. Run run_pipeline.py first, or name another "
                         "with --warehouse.")
    for path in paths:
        try:
            with closing(sqlite3.connect(file_uri(path, "mode=ro"), uri=True)) as connection:
                connection.execute("select count(*) from sqlite_schema")
        except sqlite3.Error as error:
            raise explain(path, str(error)) from error
    return paths


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        raise UsageError(f"port {port} cannot be used ({error}). Name another with --port.") from error


def _show(address: str, opening: str) -> None:
    """Print the address and, on a terminal, open the other one in the user's browser."""
    print(f"browse is running on {address}\nOnly this address opens it. Ctrl-C ends it.", file=sys.stderr,
          flush=True)
    if sys.stderr.isatty():
        threading.Thread(target=webbrowser.open, args=[opening], daemon=True).start()
