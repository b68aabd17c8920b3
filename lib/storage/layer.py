"""One layer's SQLite file, read and written through ADBC as Arrow tables.

Only ADBC opens a layer's file in this process. `sqlite3` is a second copy of SQLite, and would drop the locks
of the first one when it closes the file.
"""

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType

import adbc_driver_sqlite.dbapi as adbc
import numpy as np
import pyarrow as pa
from adbc_driver_manager import Error as AdbcError

from lib.errors import PipelineError, StepError, explain, missing_layer
from lib.storage import digest
from lib.storage.checksums import NO_ROWS, TABLE, Checksums, begin
from lib.storage.files import sync
from lib.storage.lock import BUSY_SECONDS
from lib.storage.spool import Spool
from lib.storage.sql import file_uri, literal, quote, quoted, trimmed

READ_ROWS = 1024  # at once, so that the longest rows (lib.ingest.records) fit into memory
DIGEST_BYTES = 8 << 20  # how much is digested at once
PENDING = 2  # how much submitted work may wait; each holds a batch in memory
PAGE_BYTES = 16 << 10  # of a new file: our rows are long, so a full load takes 7 % less than with 4 KiB
WRITE_CACHE_KIB = 64 << 10  # large enough for the pages of the indexes that inserts update
SORT_CACHE_KIB = 2000  # an index is sorted in pieces: those that fit the CPU's cache take half the time
TYPE_NAMES = {pa.string(): "text", pa.int64(): "integer", pa.float64(): "real"}
TYPES = {name: type_ for type_, name in TYPE_NAMES.items()}
# One literal per type, for a first row that is then skipped: ADBC infers the types of a result from its first
# rows, and nulls there would mislead it.
TYPE_ROW = {pa.string(): "''", pa.int64(): "0", pa.float64(): "0.5"}


class Layer:
    """A connection to one layer's file. Get one from `open_layer`."""

    def __init__(self, connection: adbc.Connection, path: Path):
        self._connection = connection
        self._path, self.name = path, path.stem
        self._schemas: dict[str, pa.Schema] = {}
        self._indexed: set[str] = set()
        self._serials: dict[str, str | None] = {}  # by table: the column that numbers its rows
        self._numbers: dict[str, int] = {}  # by table: the number of its next row
        self.checksums = Checksums({})  # of a layer that is read they stay empty
        self.spool = Spool(self.name)
        self._worker = ThreadPoolExecutor(1)
        self._pending: deque[Future] = deque()  # work that holds rows
        self._pending_small: list[Future] = []
        self._failed = False
        self._thread = 0  # the worker's: work that it does must not wait for itself

    def close(self) -> None:
        """Wait for the worker, whether its work succeeds or not, and close the connection."""
        self._worker.shutdown()
        self._connection.close()

    @contextmanager
    def _cursor(self) -> Iterator[adbc.Cursor]:
        if threading.get_ident() != self._thread:
            self.flush()
        with _explained(self._path), self._connection.cursor() as cursor:
            yield cursor

    def submit(self, work: Callable[[], None]) -> None:
        """Let the worker do work that writes to the layer, while the caller goes on.

        Work is done in the order in which it was submitted; this waits while PENDING are pending. Every other
        use of the layer first waits for all pending work, and raises what it raised. Once some work has
        failed, the work after it is not done.
        """
        while len(self._pending) >= PENDING:
            self._pending.popleft().result()
        self._pending.append(self._worker.submit(self._guarded(work)))

    def submit_small(self, work: Callable[[], None]) -> None:
        """Let the worker do work that holds no rows, in its turn; this never waits."""
        self._pending_small.append(self._worker.submit(self._guarded(work)))

    def _guarded(self, work: Callable[[], None]) -> Callable[[], None]:
        def do() -> None:
            self._thread = threading.get_ident()
            if not self._failed:
                try:
                    work()
                except BaseException:
                    # SQLite may have rolled back: what comes next would be in a transaction of its own.
                    self._failed = True
                    raise
        return do

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what is written in this context if it ends with a PipelineError, and only that.

        After a StepError, which may have rolled back everything, and after any other error there is nothing
        to go on with: the whole transaction is rolled back as always.
        """
        before: dict[str, tuple[int, str]] = {}
        self.submit_small(lambda: before.update(self.checksums.now))
        self.submit_small(partial(self.execute, "savepoint part"))
        try:
            yield
        except StepError:
            raise
        except PipelineError as error:
            if self._failed:  # nothing is written any more
                raise StepError(str(error)) from error
            self.execute("rollback to part")
            self.execute("release part")
            self.checksums.now = before
            self.spool.leave_out()
            for known in (self._schemas, self._indexed, self._serials, self._numbers):
                known.clear()
            raise
        self.submit_small(partial(self.execute, "release part"))

    def flush(self) -> None:
        """Wait until all pending work is done; raise what it raised."""
        pending, self._pending = [*self._pending, *self._pending_small], deque()
        self._pending_small = []
        wait(pending)
        for work in pending:
            work.result()

    def execute(self, sql: str, parameters: Sequence = ()) -> None:
        """Run one SQL statement that returns nothing."""
        with self._cursor() as cursor:
            cursor.execute(sql, parameters or None)

    def scalar(self, sql: str, parameters: Sequence = ()):
        """Return the first column of a query's first row; None when there is no row."""
        with self._cursor() as cursor:
            cursor.execute(sql, parameters or None)
            row = cursor.fetchone()
        return row[0] if row else None

    def schema(self, table: str) -> pa.Schema | None:
        """Return the table's columns and Arrow types; None when there is no such table."""
        if table not in self._schemas:
            with self._cursor() as cursor:
                cursor.execute("select name, lower(type) from pragma_table_info(?) order by cid", [table])
                columns = cursor.fetchall()
            if not columns:
                return None
            self._schemas[table] = pa.schema([(name, TYPES[type_]) for name, type_ in columns])
        return self._schemas[table]

    def batches(self, sql: str, schema: pa.Schema, parameters: Sequence = ()) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a query as Arrow batches of `schema`, at most READ_ROWS rows each."""
        types = ", ".join(TYPE_ROW[field.type] for field in schema)
        with self._cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(READ_ROWS)})
            cursor.execute(f"select {types} union all select * from ({sql})", tuple(parameters) or None)
            skip = 1
            for batch in cursor.fetch_record_batch():
                columns = [array.cast(field.type) for array, field in zip(batch.columns, schema, strict=True)]
                yield pa.RecordBatch.from_arrays(columns, schema=schema).slice(skip)
                skip = 0

    def query(self, sql: str, schema: pa.Schema, parameters: Sequence = ()) -> pa.Table:
        """Return the rows of a query as one Arrow table of `schema`."""
        return pa.Table.from_batches(self.batches(sql, schema, parameters), schema=schema)

    def columns(self, table: str, names: Sequence[str]) -> pa.Schema:
        """Return some of a table's columns with their Arrow types, in the order of `names`."""
        schema = self.schema(table)
        return pa.schema([schema.field(name) for name in names])

    def read(self, table: str, names: Sequence[str], rest: str = "", parameters: Sequence = ()) -> pa.Table:
        """Return some columns of a table; `rest` is the SQL after its name (where, order by, limit)."""
        sql = f"select {quoted(names)} from {quote(table)} {rest}"
        return self.query(sql, self.columns(table, names), parameters)

    def put_keys(self, keys: pa.ChunkedArray | pa.Array) -> None:
        """Put keys into the temporary table `wanted(key)`, for the caller to join."""
        self.execute("drop table if exists temp.wanted")
        with self._cursor() as cursor:
            wanted = pa.table({"key": keys.cast(pa.string())})
            cursor.adbc_ingest("wanted", wanted, mode="create", temporary=True)

    def matching(self, table: str, names: Sequence[str], by: str, keys: pa.ChunkedArray | pa.Array,
                 where: str = "") -> pa.Table:
        """Return the rows of `table` (`t` in `where`) whose column `by` is among the distinct `keys`."""
        self.put_keys(keys)
        # `cross join` fixes the order: SQLite finds the rows of each key by the index on `by`.
        return self.query(f"select {quoted(names, 't')} from temp.wanted as w cross join {quote(table)} as t "
                          f"on t.{quote(by)} = w.key {where}", self.columns(table, names))

    def create_table(self, table: str, columns: pa.Schema, *, key: str | None = None,
                     serial: str | None = None) -> None:
        """Create the table, or add the columns that it lacks.

        `key` names the text key. Its unique index is left to `index`, to be called once rows are written or
        looked up by it: an index that is created after the rows costs half of one that is updated with each
        row. `serial` names an integer primary key that numbers the rows in the order in which they are
        written.
        """
        existing = self.schema(table)
        if existing is None:
            definitions = [f"{quote(serial)} integer primary key"] if serial else []
            definitions += [f"{quote(field.name)} {TYPE_NAMES[field.type]}"
                            + (" not null" if field.name == key else "") for field in columns]
            self.execute(f"create table {quote(table)} ({', '.join(definitions)}) strict")
            return
        missing = [field for field in columns if field.name not in existing.names]
        if missing:
            self._schemas.pop(table)
        for field in missing:
            type_name = TYPE_NAMES[field.type]
            self.execute(f"alter table {quote(table)} add column {quote(field.name)} {type_name}")
        for field in columns:
            if field not in missing and existing.field(field.name).type != field.type:
                old, new = TYPE_NAMES[existing.field(field.name).type], TYPE_NAMES[field.type]
                raise PipelineError(
                    f"{self.name}.db: column {table}.{field.name} is {old}, not {new}. Give the new column "
                    f"another name, or move {self.name}.db aside and run with --full-refresh.")

    def index(self, table: str, column: str, *, unique: bool = False, is_trimmed: bool = False) -> None:
        """Create the index on a column, or on its text without surrounding spaces, unless it exists."""
        name = f"{table}_{column}{'_trimmed' if is_trimmed else ''}"
        if name in self._indexed:
            return
        if self.scalar("select 1 from sqlite_schema where type = 'index' and name = ?", (name,)) is None:
            self.execute(f"pragma cache_size = -{SORT_CACHE_KIB}")
            kind = "unique index" if unique else "index"
            what = trimmed(quote(column)) if is_trimmed else quote(column)
            self.execute(f"create {kind} {quote(name)} on {quote(table)} ({what})")
            self.execute(f"pragma cache_size = -{WRITE_CACHE_KIB}")
        self._indexed.add(name)

    def next_number(self, table: str) -> int:
        """Return the number of the next row of a table whose rows are numbered; no number is used twice."""
        if table not in self._numbers:
            highest = self.scalar(f"select max({quote(self._serial(table))}) from {quote(table)}")
            self._numbers[table] = (highest or 0) + 1
        return self._numbers[table]

    def _serial(self, table: str) -> str | None:
        if table not in self._serials:
            sql = "select name from pragma_table_info(?) where pk = 1"
            self._serials[table] = self.scalar(sql, (table,))
        return self._serials[table]

    def _numbered(self, table: str, rows: pa.Table) -> pa.Table:
        serial = self._serial(table)
        if not serial:
            return rows
        first = self.next_number(table)
        self._numbers[table] = first + rows.num_rows
        return rows.append_column(serial, pa.array(np.arange(first, first + rows.num_rows)))

    def insert(self, table: str, rows: pa.Table,
               constants: Mapping[str, str] = MappingProxyType({})) -> str:
        """Append rows, by column name, and number them; return the digest of their content.

        `constants` are further columns with the same value in every row. They are literals of the SQL, which
        takes a sixth less time than columns that are passed row by row.
        """
        if not rows.num_rows:
            return digest.EMPTY
        rows = self._numbered(table, rows.cast(self.columns(table, rows.column_names)))
        digested = digest.worker().submit(digest.with_checksum, self.name, rows, constants)
        columns = quoted([*rows.column_names, *constants])
        values = ", ".join([*"?" * rows.num_columns, *map(literal, constants.values())])
        with self._cursor() as cursor:
            cursor.executemany(f"insert into {quote(table)} ({columns}) values ({values})", rows)
        self.spool.add(table, rows, constants)
        content, checksum = digested.result()
        self.checksums.add(table, rows.num_rows, checksum)
        return content

    def update(self, table: str, column: str, value: str, where: str, parameters: Sequence = ()) -> None:
        """Set a column of the rows that meet a condition, which are few."""
        rows = self.read(table, self.schema(table).names, where, parameters)
        if not rows.num_rows:
            return
        self.spool.leave_out(table)
        self.execute(f"update {quote(table)} set {quote(column)} = ? {where}", (value, *parameters))
        place = rows.column_names.index(column)
        changed = rows.set_column(place, rows.field(place), pa.repeat(value, rows.num_rows))
        self.checksums.subtract(table, rows.num_rows, digest.with_checksum(self.name, rows)[1])
        self.checksums.add(table, rows.num_rows, digest.with_checksum(self.name, changed)[1])

    def delete(self, table: str, where: str, parameters: Sequence = ()) -> str:
        """Delete the rows that meet a condition; return the digest of their content."""
        rows, content, checksum = self.sums(table, where, parameters)
        if rows:
            self.spool.leave_out(table)
            self.execute(f"delete from {quote(table)} {where}", parameters)
            self.checksums.subtract(table, rows, checksum)
        return content

    def delete_keys(self, table: str, by: str, keys: pa.ChunkedArray | pa.Array) -> str:
        """Delete the rows whose column `by` is among `keys`; return the digest of their content."""
        self.put_keys(keys)
        return self.delete(table, f"where {quote(by)} in (select key from temp.wanted)")

    def clear(self, table: str) -> None:
        """Delete all rows of a table; its next row has the number 1."""
        self.execute(f"delete from {quote(table)}")
        self._numbers.pop(table, None)
        self.spool.begin_again(table)
        self.checksums.now[table] = NO_ROWS

    def sums(self, table: str, where: str = "", parameters: Sequence = ()) -> tuple[int, str, str]:
        """Return how many rows meet a condition, the digest of their content, and their checksum."""
        rows, content, checksum = 0, digest.EMPTY, digest.EMPTY
        schema = self.schema(table)
        sql = f"select {quoted(schema.names)} from {quote(table)} {where}"
        for part in _together(self.batches(sql, schema, parameters)):
            some = digest.with_checksum(self.name, part)
            rows, content = rows + part.num_rows, digest.add(content, some[0])
            checksum = digest.add(checksum, some[1])
        return rows, content, checksum

    def tables(self) -> list[str]:
        """Return the names of the file's tables, except that of the checksums."""
        with self._cursor() as cursor:
            cursor.execute("select name from sqlite_schema where type = 'table' and name <> ? order by name",
                           [TABLE])
            return [name for (name,) in cursor.fetchall()]


def _together(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield batches together, as a digest of few rows takes as long as one of many."""
    kept: list[pa.RecordBatch] = []
    for batch in batches:
        kept.append(batch)
        if sum(one.nbytes for one in kept) >= DIGEST_BYTES:
            yield pa.Table.from_batches(kept)
            kept = []
    if kept:
        yield pa.Table.from_batches(kept)


@contextmanager
def open_layer(warehouse: Path, name: str, *, write: bool = False) -> Iterator[Layer]:
    """Open a layer's file in one transaction, which is committed at the end or rolled back on any error.

    A reader sees one state throughout. A writer holds SQLite's write lock from the start, so that what it has
    read cannot change before it writes; a missing file is created. Raises PipelineError, which says what to
    do, for a file that is missing (when reading), damaged, locked or read-only, and for a full disk.
    """
    path = warehouse / f"{name}.db"
    if not path.exists():
        if not write:
            raise missing_layer(path)
        with _new_file(path) as layer:
            yield layer
        return
    with _connected(path, "rw" if write else "ro", path) as layer:
        if write:
            layer.execute("pragma journal_mode = wal")
            layer.execute("pragma synchronous = full")
            layer.execute(f"pragma cache_size = -{WRITE_CACHE_KIB}")
        layer.execute("begin immediate" if write else "begin")
        try:
            if write:
                layer.checksums = begin(layer)
            yield layer
            layer.flush()
            layer.checksums.put(layer)
        except BaseException:
            with suppress(PipelineError):
                layer.flush()
            with suppress(PipelineError):  # some errors, such as a full disk, have already rolled back
                layer.execute("rollback")
            raise
        layer.execute("commit")
        if write:
            layer.spool.publish(layer.checksums.now)
            with suppress(PipelineError):  # while there are readers, the commit stays in the -wal file
                layer.execute("pragma busy_timeout = 0")
                layer.execute("pragma wal_checkpoint(truncate)")


@contextmanager
def _new_file(path: Path) -> Iterator[Layer]:
    """Build a new layer under a temporary name, and rename the file when it is whole and on the disk.

    Nobody reads it before that, so each page is written once: its journal holds only what a savepoint needs.
    An existing file is never replaced.
    """
    aside = path.with_name(f".{path.name}.new")
    _remove_new_file(aside)  # a killed run may have left it
    try:
        with _connected(aside, "rwc", path) as layer:
            layer.execute(f"pragma page_size = {PAGE_BYTES}")
            layer.execute("pragma synchronous = off")
            layer.execute(f"pragma cache_size = -{WRITE_CACHE_KIB}")
            layer.execute("begin")
            layer.checksums = begin(layer)
            yield layer
            layer.flush()
            layer.checksums.put(layer)
            layer.execute("commit")
            layer.execute("pragma journal_mode = wal")
        sync(aside)
        # When a file was moved away without its -wal and -shm, SQLite would apply them to the new one.
        for leftover in ("-wal", "-shm"):
            path.with_name(path.name + leftover).unlink(missing_ok=True)
        if path.exists():
            raise PipelineError(f"{path.name} was put into {path.parent} by another program during the run. "
                                "Nothing was written; run again.")
        aside.rename(path)
        sync(path.parent)
        layer.spool.publish(layer.checksums.now)
    finally:
        _remove_new_file(aside)


def _remove_new_file(path: Path) -> None:
    for suffix in ("-journal", ""):  # first the journal, which SQLite would apply to the file
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextmanager
def _connected(file: Path, mode: str, path: Path) -> Iterator[Layer]:
    """Connect to a file that is, or will become, the layer at `path`."""
    with _explained(path):
        connection = adbc.connect(file_uri(file, f"mode={mode}"), autocommit=True)
    layer = Layer(connection, path)
    try:
        layer.execute(f"pragma busy_timeout = {BUSY_SECONDS * 1000}")
        if mode == "ro":  # not for a writer, which sorts whole indexes: those would not fit into memory
            layer.execute("pragma temp_store = memory")
        yield layer
    finally:
        layer.close()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn an error of the driver into ours: the file, SQLite's own message, and what to do."""
    try:
        yield
    except (AdbcError, pa.ArrowException) as error:
        first, *_ = str(error).splitlines()
        message = re.sub(r"^[A-Z_]+: (\[SQLite\] )?([Ff]ailed to (?!open)[^:]+: )?", "", first)
        if message.startswith("failed to open"):  # the driver goes on about memory, whatever the reason is
            message = "unable to open database file"
        raise explain(path, message) from error
