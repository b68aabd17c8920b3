"""One layer's SQLite file, read and written through ADBC as Arrow tables.

Only ADBC opens a layer's file in this process: a second copy of SQLite (`sqlite3`) would drop its locks on close.
"""

import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import adbc_driver_sqlite.dbapi as adbc
import pyarrow as pa
from adbc_driver_manager import Error as AdbcError

from lib.errors import PipelineError, explain, missing_layer
from lib.storage.files import sync
from lib.storage.lock import BUSY_SECONDS
from lib.storage.sql import file_uri, literal, quote, quoted

READ_ROWS = 65_536
PENDING = 2  # pieces of work that may wait: the memory of as many batches
WRITE_CACHE_KIB = 64 << 10  # an index is kept up in it
SORT_CACHE_KIB = 2000  # an index is sorted in pieces as large: those that a processor's own cache holds take half the time
TYPE_NAMES = {pa.string(): "text", pa.int64(): "integer", pa.float64(): "real"}
TYPES = {name: type_ for type_, name in TYPE_NAMES.items()}
# One literal per type: ADBC infers a column's type from the first rows of a result, and leading nulls would mislead it.
TYPE_ROW = {pa.string(): "''", pa.int64(): "0", pa.float64(): "0.5"}


class Layer:
    """A connection to one layer's file. Get one from `open_layer`."""

    def __init__(self, connection: adbc.Connection, path: Path):
        self._connection = connection
        self._path, self.name = path, path.stem
        self._schemas: dict[str, pa.Schema] = {}
        self._indexed: set[tuple[str, str]] = set()
        self._worker = ThreadPoolExecutor(1)
        self._pending: deque[Future] = deque()
        self._failed = False
        self._thread = 0  # the worker's

    def close(self) -> None:
        """Wait for the worker, whatever becomes of its work, and close the connection."""
        self._worker.shutdown()
        self._connection.close()

    @contextmanager
    def _cursor(self) -> Iterator[adbc.Cursor]:
        if threading.get_ident() != self._thread:
            self.flush()
        with _explained(self._path), self._connection.cursor() as cursor:
            yield cursor

    def submit(self, work: Callable[[], None]) -> None:
        """Have work that writes to the layer done beside what the caller does next, in order, PENDING pieces at most.

        Whatever else asks something of the layer waits for all of it first, and raises what it raised; nothing that was put off
        is done behind a piece that failed.
        """
        def do() -> None:
            self._thread = threading.get_ident()
            if not self._failed:
                try:
                    work()
                except BaseException:
                    self._failed = True  # SQLite may have rolled back: what comes behind would be a transaction of its own
                    raise

        while len(self._pending) >= PENDING:
            self._pending.popleft().result()
        self._pending.append(self._worker.submit(do))

    def flush(self) -> None:
        """Wait until all submitted work is done; raises what it raised."""
        pending, self._pending = self._pending, deque()
        wait(pending)
        for work in pending:
            work.result()

    def execute(self, sql: str, parameters: Sequence = ()) -> None:
        """Run one statement that returns nothing."""
        with self._cursor() as cursor:
            cursor.execute(sql, parameters or None)

    def scalar(self, sql: str, parameters: Sequence = ()):
        """Return the first column of the first row, None when there is no row."""
        with self._cursor() as cursor:
            cursor.execute(sql, parameters or None)
            row = cursor.fetchone()
        return row[0] if row else None

    def schema(self, table: str) -> pa.Schema | None:
        """Return the table's columns and Arrow types, None when there is no such table."""
        if table not in self._schemas:
            with self._cursor() as cursor:
                cursor.execute(f"select name, lower(type) from pragma_table_info({literal(table)}) order by cid")
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
        """Return the Arrow types of some of a table's columns, in the order asked for."""
        schema = self.schema(table)
        return pa.schema([schema.field(name) for name in names])

    def read(self, table: str, names: Sequence[str], rest: str = "", parameters: Sequence = ()) -> pa.Table:
        """Return some columns of a table; `rest` is the SQL behind its name (where, order by, limit)."""
        return self.query(f"select {quoted(names)} from {quote(table)} {rest}", self.columns(table, names), parameters)

    def put_keys(self, keys: pa.ChunkedArray | pa.Array) -> None:
        """Fill the temporary table `wanted(key)`, which the caller joins."""
        self.execute("drop table if exists temp.wanted")
        with self._cursor() as cursor:
            cursor.adbc_ingest("wanted", pa.table({"key": keys.cast(pa.string())}), mode="create", temporary=True)

    def matching(self, table: str, names: Sequence[str], by: str, keys: pa.ChunkedArray | pa.Array,
                 where: str = "") -> pa.Table:
        """Return the rows of `table` (`t` in `where`) whose column `by` is among the distinct `keys`, through its index."""
        self.put_keys(keys)
        return self.query(f"select {quoted(names, 't')} from temp.wanted as w cross join {quote(table)} as t "
                          f"on t.{quote(by)} = w.key {where}", self.columns(table, names))

    def create_table(self, table: str, columns: pa.Schema, *, key: str | None = None, serial: str | None = None) -> None:
        """Create the table, or add the columns it lacks.

        `key` is the text key, whose unique index (`index`) comes when rows are there or looked for by it: an index that is made
        behind the rows costs half of one that is kept up with them. `serial` names an integer primary key that numbers rows in
        order of writing.
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
            self.execute(f"alter table {quote(table)} add column {quote(field.name)} {TYPE_NAMES[field.type]}")
        for field in columns:
            if field not in missing and existing.field(field.name).type != field.type:
                raise PipelineError(
                    f"{self.name}.db: column {table}.{field.name} is {TYPE_NAMES[existing.field(field.name).type]}, "
                    f"not {TYPE_NAMES[field.type]}. Give the new column another name, or move {self.name}.db aside "
                    "and run with --full-refresh.")

    def index(self, table: str, column: str, *, unique: bool = False) -> None:
        """Create the index on a column when it is missing."""
        if (table, column) in self._indexed:
            return
        name = f"{table}_{column}"
        if self.scalar("select 1 from sqlite_schema where type = 'index' and name = ?", (name,)) is None:
            self.execute(f"pragma cache_size = -{SORT_CACHE_KIB}")
            self.execute(f"create {'unique ' if unique else ''}index {quote(name)} on {quote(table)} ({quote(column)})")
            self.execute(f"pragma cache_size = -{WRITE_CACHE_KIB}")
        self._indexed.add((table, column))

    def insert(self, table: str, rows: pa.Table, constants: Mapping[str, str] = MappingProxyType({})) -> None:
        """Append rows, by column name. `constants` are further columns, that have one value in all rows.

        SQLite makes these itself, for a sixth less than it costs to hand them over row by row.
        """
        if rows.num_rows:
            columns = quoted([*rows.column_names, *constants])
            values = ", ".join([*"?" * rows.num_columns, *map(literal, constants.values())])
            with self._cursor() as cursor:
                cursor.executemany(f"insert into {quote(table)} ({columns}) values ({values})", rows)

    def delete(self, table: str, by: str, keys: pa.ChunkedArray | pa.Array) -> None:
        """Delete the rows whose column `by` is among `keys`."""
        if len(keys):
            self.put_keys(keys)
            self.execute(f"delete from {quote(table)} where {quote(by)} in (select key from temp.wanted)")


@contextmanager
def open_layer(warehouse: Path, name: str, *, write: bool = False) -> Iterator[Layer]:
    """Open a layer's file within one transaction: committed on the way out, rolled back on any error.

    A reader sees one state throughout. A writer holds SQLite's write lock from the first statement on, so that what it
    reads before it decides cannot change under it; a missing file is created. Raises PipelineError, with what to do,
    for a file that is missing (when reading), damaged, locked, full or read-only.
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
            _make_fast(layer)
        layer.execute("begin immediate" if write else "begin")
        try:
            yield layer
            layer.flush()
        except BaseException:
            with suppress(PipelineError):  # some errors (a full disk) have rolled back already
                layer.flush()
            with suppress(PipelineError):
                layer.execute("rollback")
            raise
        layer.execute("commit")
        if write:
            with suppress(PipelineError):  # what is committed stays so, in the -wal file until a later run
                layer.execute("pragma busy_timeout = 0")
                layer.execute("pragma wal_checkpoint(truncate)")


@contextmanager
def _new_file(path: Path) -> Iterator[Layer]:
    """Build a layer's first state in a file beside it, and put that in its place when it is whole and on disk.

    Nobody can read it before, so it needs no journal: every page is written once. A file that exists is never replaced.
    """
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)  # of a run that was killed
    try:
        with _connected(aside, "rwc", path) as layer:
            layer.execute("pragma journal_mode = off")
            layer.execute("pragma synchronous = off")
            _make_fast(layer)
            layer.execute("begin")
            yield layer
            layer.execute("commit")
            layer.execute("pragma journal_mode = wal")
        sync(aside)
        for leftover in ("-wal", "-shm"):  # of a file that was moved away without them: SQLite would apply them to this one
            path.with_name(path.name + leftover).unlink(missing_ok=True)
        if path.exists():
            raise PipelineError(f"{path.name} was put into {path.parent} by another program during the run. Nothing was written; "
                                "run again.")
        aside.rename(path)
        sync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def _make_fast(layer: Layer) -> None:
    layer.execute(f"pragma cache_size = -{WRITE_CACHE_KIB}")


@contextmanager
def _connected(file: Path, mode: str, path: Path) -> Iterator[Layer]:
    """Connect to a file that stands for a layer's `path`."""
    with _explained(path):
        connection = adbc.connect(file_uri(file, f"mode={mode}"), autocommit=True)
    layer = Layer(connection, path)
    try:
        layer.execute(f"pragma busy_timeout = {BUSY_SECONDS * 1000}")
        if mode == "ro":  # a writer sorts whole indexes: in files
            layer.execute("pragma temp_store = memory")
        yield layer
    finally:
        layer.close()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn the driver's errors into ours: the file, SQLite's own words without the driver's around them, what to do."""
    try:
        yield
    except (AdbcError, pa.ArrowException) as error:
        words = re.sub(r"^[A-Z_]+: (\[SQLite\] )?(Failed to [^:]+: )?", "", str(error).partition("\n")[0])
        if words.startswith("failed to open"):  # and then something about memory, whatever the reason is
            words = "unable to open database file"
        raise explain(path, words) from error
