"""What the runner asks of the layers before a step: what was delivered, and whether there is anything new.

It asks through sqlite3, which costs no import of note, so that a run with nothing to do is over at once. The runner opens a
layer's file in no other way: a second copy of SQLite in a process would drop the first one's locks (see lib.store).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from lib.deliveries import Known
from lib.errors import explain, missing_layer
from lib.lock import BUSY_SECONDS


def known_deliveries(warehouse: Path) -> list[Known]:
    """Return the manifest, oldest first; empty when nothing was ever delivered."""
    if not (warehouse / "raw.db").exists():
        return []
    return [Known(*row) for row in _ask(
        warehouse, "raw", "deliveries", "select source_filename, content_sha256, source_name, "
        "ingestion_timestamp from deliveries order by delivery_id")]


def last_timestamp(warehouse: Path, layer: str, process_name: str) -> str:
    """Return the timestamp of what the step last committed to the layer; empty when there is nothing of it."""
    rows = _ask(warehouse, layer, "layer_commits",
                "select max(committed_timestamp) from layer_commits where process_name = ?", process_name)
    return (rows[0][0] if rows else None) or ""


def is_newer(warehouse: Path, layer: str, tables: tuple[str, ...], watermark: str) -> bool:
    """Return whether one of the tables has a commit that is newer than the watermark."""
    return bool(_ask(
        warehouse, layer, "layer_commits", f"select 1 from layer_commits where table_name in ({', '.join('?' * len(tables))}) "
        "and committed_timestamp > ? limit 1", *tables, watermark))


@contextmanager
def hold_open(warehouse: Path, layer: str) -> Iterator[None]:
    """Keep a connection to a layer's file, if it is there, so that no other one is the first to come or the last to go.

    Those take SQLite's exclusive lock for a moment, to recover the file or to tidy it, and a reader that does not wait is
    locked out.
    """
    with ExitStack() as stack:
        if (warehouse / f"{layer}.db").exists():
            with suppress(sqlite3.Error):  # who needs the file will say what is wrong with it
                stack.enter_context(closing(_connect(warehouse / f"{layer}.db"))).execute("select 1 from sqlite_schema").fetchall()
        yield


def _ask(warehouse: Path, layer: str, table: str, sql: str, *parameters: str) -> list[tuple]:
    """Return a query's rows; none when the layer has no such table yet."""
    path = warehouse / f"{layer}.db"
    if not path.exists():
        raise missing_layer(path)
    try:
        with closing(_connect(path)) as connection:
            if not connection.execute("select 1 from sqlite_schema where name = ?", [table]).fetchall():
                return []
            return connection.execute(sql, parameters).fetchall()
    except sqlite3.Error as error:
        raise explain(path, str(error)) from error


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None)
