"""What the runner needs to know from the layers before a step: what was delivered, and whether there is
anything new.

These queries use sqlite3, which is quick to import, so that a run with nothing to do ends at once. The runner
must not open a layer in any other way: a second copy of SQLite in one process would drop the locks of the
first (see lib.storage.layer). A query that is `read_only` changes no byte of the warehouse.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lib.contract import SOURCES
from lib.errors import explain, missing_layer
from lib.storage.lock import BUSY_SECONDS
from lib.storage.sql import file_uri, quote, read_only_uri
from lib.systems import DEFAULT

DELIVERED = ("source_filename", "content_sha256", "source_name", "ingestion_timestamp", "size_bytes",
             "source_system", "reading", "table_name")
ISO_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"

# The rule of rows that differ from the last row of their key in a file. Each names that row's line in its
# reason, so a summary shows the reason of one of them.
REPEATED_KEY = "repeated_key"


@dataclass(frozen=True)
class KnownDelivery:
    """A delivery that an earlier run has read."""

    name: str
    sha256: str
    source: str
    timestamp: str
    size: int = -1  # in bytes; -1 where it was not asked for
    system: str = DEFAULT
    reading: str = ""  # the hash of the declaration by which it was read (see lib.systems.System)
    table: str = ""  # in the file, where it has several


def known_deliveries(warehouse: Path, read_only: bool = False) -> list[KnownDelivery]:
    """Return the deliveries that earlier runs have read, oldest first."""
    if not (warehouse / "raw.db").exists():
        return []
    names = [name if has_column(warehouse, "raw", "deliveries", name, read_only) else "null"
             for name in DELIVERED]  # an earlier release lacks some
    sql = f"select {', '.join(names)} from deliveries order by delivery_id"
    rows = query(warehouse, "raw", "deliveries", sql, read_only=read_only)
    return [as_known(row) for row in rows]


def has_column(warehouse: Path, layer: str, table: str, column: str, read_only: bool = False) -> bool:
    """Return whether a table exists and has a column."""
    sql = "select 1 from pragma_table_info(?) where name = ?"
    return bool(query(warehouse, layer, table, sql, table, column, read_only=read_only))


def as_known(row: Sequence) -> KnownDelivery:
    """Return a row of the columns DELIVERED; what an earlier release has read is of the default system."""
    *others, system, reading, table = row
    return KnownDelivery(*others, system or DEFAULT, reading or "", table or "")


def last_timestamp(warehouse: Path, layer: str, process_name: str, read_only: bool = False) -> str:
    """Return the timestamp of the step's last commit to the layer; empty when it never committed."""
    rows = query(warehouse, layer, "layer_commits",
                 "select max(committed_timestamp) from layer_commits where process_name = ?", process_name,
                 read_only=read_only)
    return (rows[0][0] if rows else None) or ""


def newest_day(warehouse: Path, until: str, read_only: bool = False) -> str:
    """Return the newest day that was delivered in a date and is not later than `until`; "" without one.

    This reads all dates in raw.
    """
    days = [""]
    for source in SOURCES.values() if (warehouse / "raw.db").exists() else ():
        for column in (column.name for column in source.columns if column.type == "date"):
            day = f"substr({quote(column)}, 1, 10)"
            sql = f"select max({day}) from {quote(source.name)} where {day} <= ? and {day} glob ?"
            days += [row[0] or "" for row in query(warehouse, "raw", source.name, sql, until[:10], ISO_DAY,
                                                   read_only=read_only)]
    return max(days)


def newer_tables(warehouse: Path, layer: str, tables: tuple[str, ...], watermark: str,
                 read_only: bool = False) -> list[str]:
    """Return those of the tables that have a commit later than the watermark."""
    rows = query(warehouse, layer, "layer_commits",
                 "select distinct table_name from layer_commits where committed_timestamp > ?", watermark,
                 read_only=read_only)
    return [table for table in tables if (table,) in rows]


def open_quarantine(warehouse: Path, layer: str) -> list[tuple[str, str, str, int]]:
    """Return table, rule, reason and number of the rows in a layer's quarantine that are not resolved."""
    return query(warehouse, layer, "quarantine",
                 "select table_name, rule, min(reason), count(*) from quarantine "
                 "where resolved_batch_id is null "
                 "group by table_name, rule, case when rule <> ? then reason end "
                 "order by 4 desc, table_name, rule", REPEATED_KEY, read_only=True)


@contextmanager
def hold_open(warehouse: Path, layer: str) -> Iterator[None]:
    """Keep a connection to a layer's file open, if the file exists.

    The first connection to a file (to recover it) and the last (to clean up) take SQLite's exclusive lock for
    a moment, which fails a reader that does not wait. While this connection is open, no other one is the
    first or the last.
    """
    path = warehouse / f"{layer}.db"
    with ExitStack() as stack:
        if path.exists():
            with suppress(sqlite3.Error):  # the step that needs the file will report what is wrong with it
                connection = stack.enter_context(closing(_connect(path, False)))
                connection.execute("select 1 from sqlite_schema").fetchall()
        yield


def query(warehouse: Path, layer: str, table: str, sql: str, *parameters: str,
          read_only: bool = False) -> list[tuple]:
    """Return the rows of a query on one table; no rows when the layer does not have the table yet.

    Raises PipelineError when the layer's file is missing or cannot be read.
    """
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
