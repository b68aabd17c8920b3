"""The four databases for people who ask: opened so that whatever is typed changes nothing.

Three locks, each of which would do: the file is opened with `mode=ro`, the connection is `query_only`, and an authorizer
lets nothing pass but reading. This is `sqlite3`: a process that uses it must not open a layer with `lib.storage.layer`.
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lib.errors import PipelineError, UsageError, closest, remedy
from lib.storage.lock import BUSY_SECONDS
from lib.storage.sql import file_uri, quote, quoted

DATABASES = ("raw", "curated", "gold", "audit")
READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
ABOUT_THE_FILE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL,
                  sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY}
FETCHED = 1000  # rows taken from SQLite at once
STEPS_BETWEEN_LOOKS = 100_000  # how often a long SELECT asks whether Ctrl-C was pressed; some ten times a second or more


@dataclass(frozen=True)
class Table:
    """One table: its columns with their declared types, and the columns of its primary key or, without one, of a unique index."""

    name: str
    columns: dict[str, str]
    key: tuple[str, ...]

    @property
    def sql(self) -> str:
        """The SELECT of all its rows, in order of the key."""
        return f"select * from {quote(self.name)}" + (f" order by {quoted(self.key)}" if self.key else "")


@dataclass(frozen=True)
class Database:
    """An open database, in one state throughout. Get one from `open_database`."""

    path: Path
    tables: dict[str, Table]
    connection: sqlite3.Connection


@dataclass(frozen=True)
class Rows:
    """What a SELECT returns: the names of its columns, no two alike, and its rows, which are read as they are taken."""

    columns: list[str]
    rows: Iterator[tuple]


@contextmanager
def open_database(warehouse: Path, name: str) -> Iterator[Database]:
    """Open a database of a warehouse for reading, also during a run; everything read from it is of one moment.

    Raises UsageError when there is none of that name, PipelineError when the file is damaged or may not be read.
    """
    path = warehouse / f"{name}.db"
    if name not in DATABASES:
        raise UsageError(f"there is no database {name!r}{closest(name, DATABASES)}; there are {', '.join(DATABASES)}")
    if not path.exists():
        raise UsageError(f"{path.name} is missing in {warehouse}. Run run_pipeline.py first, or name the warehouse with --warehouse.")
    with _explained(path), closing(_connect(path)) as connection:
        connection.execute("pragma query_only = 1")
        connection.execute("pragma temp_store = memory")
        connection.execute("select * from json_each('[]'), json_tree('[]')")  # the authorizer would not let them be set up
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        connection.execute("begin")
        tables = _tables(connection)
        connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in READING else sqlite3.SQLITE_DENY)
        # SQLite sees no signals; while this is called, Python does, and its KeyboardInterrupt stops the SELECT.
        connection.set_progress_handler(lambda: 0, STEPS_BETWEEN_LOOKS)
        yield Database(path, tables, connection)


def find_table(database: Database, name: str) -> Table:
    """Return a table of the database; raises UsageError, with the closest name, when there is none."""
    if name not in database.tables:
        raise UsageError(_no_such_table(database.path, list(database.tables), name))
    return database.tables[name]


def count_rows(database: Database, table: Table) -> int:
    """Return how many rows a table has."""
    with _explained(database.path):
        return database.connection.execute(f"select count(*) from {quote(table.name)}").fetchone()[0]


def select(database: Database, sql: str) -> Rows:
    """Run one SELECT and return its rows.

    Raises UsageError, in one or two lines, for what is no SELECT or cannot be understood, with the closest name for a table
    or column that is not there; PipelineError for a damaged file; KeyboardInterrupt when it was stopped by Ctrl-C.
    """
    with _explained(database.path, database, sql):
        cursor = database.connection.execute(sql)
    if cursor.description is None:
        raise UsageError("this is no SELECT. Write one, such as: select * from "
                       + (next(iter(database.tables), "sqlite_schema")) + " limit 10")
    return Rows(_without_twins([column[0] for column in cursor.description]), _fetched(database, cursor, sql))


def _fetched(database: Database, cursor: sqlite3.Cursor, sql: str) -> Iterator[tuple]:
    while True:
        with _explained(database.path, database, sql):
            rows = cursor.fetchmany(FETCHED)
        if not rows:
            return
        yield from rows


def _connect(path: Path) -> sqlite3.Connection:
    """Open a file for reading. In a folder that may not be written SQLite cannot make the -shm file that its users share.

    Without a -wal file nobody is writing, and the database can be read as the file that it is.
    """
    at_rest = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    return sqlite3.connect(file_uri(path, "immutable=1" if at_rest else "mode=ro"), uri=True, timeout=BUSY_SECONDS,
                           isolation_level=None)


def _tables(connection: sqlite3.Connection) -> dict[str, Table]:
    columns: dict[str, list[tuple]] = {}
    for table, *column in connection.execute(
            "select list.name, info.name, lower(info.type), info.pk from sqlite_schema as list, pragma_table_info(list.name) as info "
            "where list.type in ('table', 'view') and list.name not like 'sqlite~_%' escape '~' order by list.name, info.cid"):
        columns.setdefault(table, []).append(tuple(column))
    unique: dict[str, dict[str, list[str]]] = {}
    for table, index, name in connection.execute(
            "select list.name, indexes.name, info.name from sqlite_schema as list, pragma_index_list(list.name) as indexes, "
            'pragma_index_info(indexes.name) as info where list.type = \'table\' and indexes."unique" order by 1, 2, info.seqno'):
        unique.setdefault(table, {}).setdefault(index, []).append(name)
    tables = {}
    for table, found in columns.items():
        primary = [name for name, _, place in sorted(found, key=lambda column: column[2]) if place]
        key = primary or next(iter(unique.get(table, {}).values()), [])
        tables[table] = Table(table, {name: type_ for name, type_, _ in found}, tuple(key))
    return tables


def _without_twins(names: list[str]) -> list[str]:
    """Return the names with a number behind those that were there before: `id`, `id_2`."""
    kept: list[str] = []
    for name in names:
        number, free = 1, name
        while free in kept:
            number += 1
            free = f"{name}_{number}"
        kept.append(free)
    return kept


@contextmanager
def _explained(path: Path, database: Database | None = None, sql: str = "") -> Iterator[None]:
    """Turn SQLite's errors into ours: about the file, or about what was typed."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise UsageError(f"the SELECT is no text ({error.reason}): write it in UTF-8") from error
    except (sqlite3.Error, sqlite3.Warning) as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xff  # the rest of it says more than is needed
        if code == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from error
        if code in ABOUT_THE_FILE or database is None:
            advice = remedy(error) or "Look at the file, and run again."
            raise PipelineError(f"{path.name}: {error} ({path}). {advice}") from error
        raise UsageError(_misunderstood(database, str(error), sql)) from error


def _misunderstood(database: Database, words: str, sql: str) -> str:
    """Return what is wrong with a SELECT, given SQLite's words."""
    name = words.rpartition(": ")[2]
    if words.startswith("no such table: "):
        return _no_such_table(database.path, list(database.tables), name.rpartition(".")[2])
    if words.startswith("no such column: "):
        named = [table for table in database.tables.values() if re.search(rf"(?i)\b{re.escape(table.name)}\b", sql)]
        columns = {column for table in named or database.tables.values() for column in table.columns}
        return f"{database.path.name}: there is no column {name}{closest(name.rpartition('.')[2].lower(), columns)}"
    if "not authorized" in words or "prohibited" in words:
        return f"{database.path.name} is opened for reading: only a SELECT is answered ({words})"
    return f"{database.path.name}: {words.rstrip('.')}. Correct the SELECT."


def _no_such_table(path: Path, tables: list[str], name: str) -> str:
    elsewhere = [other for other in DATABASES if path.with_name(f"{other}.db") != path and _has(path.with_name(f"{other}.db"), name)]
    hint = f" (it is in {elsewhere[0]}.db)" if elsewhere else closest(name.lower(), tables)
    return f"{path.name} has no table {name!r}{hint}; it has {', '.join(tables) or 'none yet'}"


def _has(path: Path, table: str) -> bool:
    try:
        with closing(_connect(path)) as connection:
            return bool(connection.execute("select 1 from sqlite_schema where name = ?", [table]).fetchall())
    except sqlite3.Error:  # it is only a hint
        return False
