"""The four databases, opened so that nothing a user types can change them.

Each of three locks would be enough: the file is opened with `mode=ro`, the connection is `query_only`, and an
authorizer permits only reading. This module uses `sqlite3`, so its process must not open a layer with
`lib.storage.layer`.
"""

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib.errors import PipelineError, UsageError, closest, remedy
from lib.steps import STEPS
from lib.storage.lock import BUSY_SECONDS
from lib.storage.sql import file_uri, quote, quoted

DATABASES = ("raw", "curated", "gold", "audit")
OUTPUTS = {table for step in STEPS.values() for table in step.outputs}
BOOKKEEPING = {"balances", "categories", "checksums", "confirmations", "layer_commits", "pipeline_manifest",
               "profiles", "table_versions"}
READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
ABOUT_THE_FILE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL,
                  sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY}
FETCHED = 1000  # rows taken from SQLite at once
STEPS_BETWEEN_LOOKS = 100_000  # of SQLite's machine, between two looks for Ctrl-C: ten a second or more
COLUMNS = """
    select list.name, info.name, lower(info.type), info.pk
    from sqlite_schema as list, pragma_table_info(list.name) as info
    where list.type in ('table', 'view') and list.name not like 'sqlite~_%' escape '~'
    order by list.name, info.cid"""
UNIQUE_COLUMNS = """
    select list.name, indexes.name, info.name
    from sqlite_schema as list, pragma_index_list(list.name) as indexes,
        pragma_index_info(indexes.name) as info
    where list.type = 'table' and indexes."unique"
    order by 1, 2, info.seqno"""


@dataclass(frozen=True)
class Selection:
    """Rows to show or to write: a SELECT, the values of its named parameters, and a title.

    `types` are the declared types of its columns, where they are known.
    """

    title: str
    sql: str
    types: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """One table: its columns with their declared types, and its key.

    The key is the primary key or, without one, the columns of a unique index.
    """

    name: str
    columns: dict[str, str]
    key: tuple[str, ...]

    @property
    def rows(self) -> Selection:
        """All of its rows, in order of the key."""
        order = f" order by {quoted(self.key)}" if self.key else ""
        return Selection(self.name, f"select * from {quote(self.name)}{order}", self.columns)


@dataclass(frozen=True)
class Database:
    """An open database, in one state throughout. Get one from `open_database`."""

    path: Path
    tables: dict[str, Table]
    connection: sqlite3.Connection


@dataclass(frozen=True)
class Rows:
    """What a SELECT returns: names of columns, no two alike, and rows, which are read as they are taken."""

    columns: list[str]
    rows: Iterator[tuple]


@contextmanager
def open_database(warehouse: Path, name: str) -> Iterator[Database]:
    """Open a database of a warehouse for reading, also during a run; all that is read is of one moment.

    Raises UsageError when no database has that name, PipelineError when the file is damaged or may not be
    read.
    """
    path = warehouse / f"{name}.db"
    if name not in DATABASES:
        hint = closest(name, DATABASES)
        raise UsageError(f"there is no database {name!r}{hint}; there are {', '.join(DATABASES)}")
    if not path.exists():
        raise UsageError(f"{path.name} is missing in {warehouse}. Run run_pipeline.py first, or name another "
                         "folder with --warehouse.")
    with _explained(path), closing(_connect(path)) as connection:
        connection.execute("pragma query_only = 1")
        connection.execute("pragma temp_store = memory")
        connection.execute("select * from json_each('[]'), json_tree('[]')")  # the authorizer would forbid it
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        connection.execute("begin")
        tables = _tables(connection)
        connection.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_OK if action in READING else sqlite3.SQLITE_DENY)
        # SQLite sees no signals. Python does while this is called, and KeyboardInterrupt stops the SELECT.
        connection.set_progress_handler(lambda: 0, STEPS_BETWEEN_LOOKS)
        yield Database(path, tables, connection)


def is_technical(table: str) -> bool:
    """Return whether a table is the pipeline's own bookkeeping, which nobody reads for its content."""
    return table not in OUTPUTS and (table in BOOKKEEPING or table.endswith("_replaced"))


def find_table(database: Database, name: str) -> Table:
    """Return a table of the database. Raises UsageError, with the closest name, when there is none."""
    if name not in database.tables:
        raise UsageError(_no_such_table(database.path, list(database.tables), name))
    return database.tables[name]


def count_rows(database: Database, table: Table) -> int:
    """Return how many rows a table has."""
    with _explained(database.path):
        return database.connection.execute(f"select count(*) from {quote(table.name)}").fetchone()[0]


def select(database: Database, sql: str, parameters: Mapping[str, Any] | None = None) -> Rows:
    """Run one SELECT, with values for its named parameters, and return its rows.

    Raises UsageError, in one or two lines, for anything else and for a SELECT with a mistake, with the
    closest name for a table or column that does not exist; PipelineError for a damaged file;
    KeyboardInterrupt when Ctrl-C stopped it.
    """
    with _explained(database.path, database, sql):
        cursor = database.connection.execute(sql, parameters or {})
    if cursor.description is None:
        example = f"select * from {next(iter(database.tables), 'sqlite_schema')} limit 10"
        raise UsageError(f"this is not a SELECT. Write one, such as: {example}")
    names: list[str] = []
    for name, *_ in cursor.description:  # a second `id` becomes `id_2`
        numbered = (f"{name}_{number}" for number in range(2, len(names) + 3))
        names.append(next(free for free in (name, *numbered) if free not in names))
    return Rows(names, _fetched(database, cursor, sql))


def _fetched(database: Database, cursor: sqlite3.Cursor, sql: str) -> Iterator[tuple]:
    while True:
        with _explained(database.path, database, sql):
            rows = cursor.fetchmany(FETCHED)
        if not rows:
            return
        yield from rows


def _connect(path: Path) -> sqlite3.Connection:
    """Open a file for reading.

    In a folder that may not be written SQLite cannot create the -shm file that its users share. Without a
    -wal file nobody is writing, and the database can be read as the file that it is.
    """
    is_at_rest = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    return sqlite3.connect(file_uri(path, "immutable=1" if is_at_rest else "mode=ro"), uri=True,
                           timeout=BUSY_SECONDS, isolation_level=None)


def _tables(connection: sqlite3.Connection) -> dict[str, Table]:
    columns: dict[str, dict[str, str]] = {}
    primary: dict[str, dict[int, str]] = {}
    for table, name, type_, place in connection.execute(COLUMNS):
        columns.setdefault(table, {})[name] = type_
        if place:
            primary.setdefault(table, {})[place] = name
    unique: dict[str, dict[str, list[str]]] = {}
    for table, index, name in connection.execute(UNIQUE_COLUMNS):
        unique.setdefault(table, {}).setdefault(index, []).append(name)
    tables = {}
    for table, types in columns.items():
        key = [name for _, name in sorted(primary.get(table, {}).items())]
        tables[table] = Table(table, types, tuple(key or next(iter(unique.get(table, {}).values()), [])))
    return tables


@contextmanager
def _explained(path: Path, database: Database | None = None, sql: str = "") -> Iterator[None]:
    """Turn SQLite's errors into ours: about the file, or about what was typed."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise UsageError(f"the SELECT is not text ({error.reason}): write it in UTF-8") from error
    except (sqlite3.Error, sqlite3.Warning) as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xff  # without details
        if code == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from error
        if code in ABOUT_THE_FILE or database is None:
            advice = remedy(error) or "Look at the file, and run again."
            raise PipelineError(f"{path.name}: {error} ({path}). {advice}") from error
        raise UsageError(_explain(database, str(error), sql)) from error


def _explain(database: Database, words: str, sql: str) -> str:
    """Return what is wrong with a SELECT, given SQLite's words."""
    name = words.rpartition(": ")[2]
    if words.startswith("no such table: "):
        return _no_such_table(database.path, list(database.tables), name.rpartition(".")[2])
    if words.startswith("no such column: "):
        tables = database.tables.values()
        named = [table for table in tables if re.search(rf"(?i)\b{re.escape(table.name)}\b", sql)]
        columns = {column for table in named or tables for column in table.columns}
        hint = closest(name.rpartition(".")[2].lower(), columns)
        return f"{database.path.name}: there is no column {name}{hint}"
    if "not authorized" in words or "prohibited" in words:
        return f"{database.path.name} is opened for reading: only a SELECT is answered ({words})"
    return f"{database.path.name}: {words.rstrip('.')}. Correct the SELECT."


def _no_such_table(path: Path, tables: list[str], name: str) -> str:
    others = [other for other in DATABASES if other != path.stem]
    elsewhere = next((other for other in others if _has(path.with_name(f"{other}.db"), name)), None)
    hint = f" (it is in {elsewhere}.db)" if elsewhere else closest(name.lower(), tables)
    return f"{path.name} has no table {name!r}{hint}; it has {', '.join(tables) or 'none yet'}"


def _has(path: Path, table: str) -> bool:
    try:
        with closing(_connect(path)) as connection:
            return bool(connection.execute("select 1 from sqlite_schema where name = ?", [table]).fetchall())
    except sqlite3.Error:  # it is only a hint
        return False
