"""What the runner asks of the layers before a step: what was delivered, and whether there is anything new.

It asks through sqlite3, which costs no import of note, so that a run with nothing to do is over at once. The runner opens a
layer's file in no other way: a second copy of SQLite in a process would drop the first one's locks (see lib.storage.layer). A `read_only`
question changes no byte of the warehouse.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lib.errors import explain, missing_layer
from lib.storage.lock import BUSY_SECONDS
from lib.storage.sql import file_uri, read_only_uri


@dataclass(frozen=True)
class Known:
    """A delivery that an earlier run recorded in the manifest."""

    name: str
    sha256: str
    source: str
    timestamp: str


def known_deliveries(warehouse: Path, read_only: bool = False) -> list[Known]:
    """Return the manifest, oldest first; empty when nothing was ever delivered."""
    if not (warehouse / "raw.db").exists():
        return []
    return [Known(*row) for row in ask(
        warehouse, "raw", "deliveries", "select source_filename, content_sha256, source_name, "
        "ingestion_timestamp from deliveries order by delivery_id", read_only=read_only)]


def last_timestamp(warehouse: Path, layer: str, process_name: str, read_only: bool = False) -> str:
    """Return the timestamp of what the step last committed to the layer; empty when there is nothing of it."""
    rows = ask(warehouse, layer, "layer_commits",
               "select max(committed_timestamp) from layer_commits where process_name = ?", process_name, read_only=read_only)
    return (rows[0][0] if rows else None) or ""


def newer_tables(warehouse: Path, layer: str, tables: tuple[str, ...], watermark: str, read_only: bool = False) -> list[str]:
    """Return those of the tables that have a commit newer than the watermark."""
    rows = ask(warehouse, layer, "layer_commits", "select distinct table_name from layer_commits where committed_timestamp > ?",
                watermark, read_only=read_only)
    return [table for table in tables if (table,) in rows]


def open_quarantine(warehouse: Path, layer: str) -> list[tuple[str, str, str, int]]:
    """Return table, rule, reason and number of the rows that are set aside in a layer; reads without a trace."""
    return ask(warehouse, layer, "quarantine",
               "select table_name, rule, reason, count(*) from quarantine where resolved_batch_id is null "
               "group by table_name, rule, reason order by 4 desc, table_name, rule", read_only=True)


@contextmanager
def hold_open(warehouse: Path, layer: str) -> Iterator[None]:
    """Keep a connection to a layer's file, if it is there, so that no other one is the first to come or the last to go.

    Those take SQLite's exclusive lock for a moment, to recover the file or to tidy it, and a reader that does not wait is
    locked out.
    """
    path = warehouse / f"{layer}.db"
    with ExitStack() as stack:
        if path.exists():
            with suppress(sqlite3.Error):  # who needs the file will say what is wrong with it
                stack.enter_context(closing(_connect(path, False))).execute("select 1 from sqlite_schema").fetchall()
        yield


def ask(warehouse: Path, layer: str, table: str, sql: str, *parameters: str, read_only: bool = False) -> list[tuple]:
    """Return a query's rows; none when the layer has no such table yet."""
    path = warehouse / f"{layer}.db"
    if not path.exists():
        raise missing_layer(path)
    try:
        with closing(_connect(path, read_only)) as connection:
            if not connection.execute("select 1 from sqlite_schema where name = ?", [table]).fetchall():
                return []
            return connection.execute(sql, parameters).fetchall()
    except sqlite3.Error as error:
        raise explain(path, str(error)) from error


def _connect(path: Path, read_only: bool) -> sqlite3.Connection:
    uri = read_only_uri(path) if read_only else file_uri(path, "mode=ro")
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
