"""One layer's SQLite file, read and written through ADBC as Arrow tables.

Only ADBC opens a layer's file in this process: a second copy of SQLite (`sqlite3`) would drop its locks on close.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import adbc_driver_sqlite.dbapi as adbc
import pyarrow as pa
from adbc_driver_manager import Error as AdbcError

from lib.errors import PipelineError, explain, missing_layer
from lib.lock import BUSY_SECONDS
from lib.sql import file_uri, literal, quote, quoted

READ_ROWS = 65_536
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

    @contextmanager
    def _cursor(self) -> Iterator[adbc.Cursor]:
        with _explained(self._path), self._connection.cursor() as cursor:
            yield cursor

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

        `key` is the text primary key; `serial` names an integer primary key that numbers rows in order of writing.
        """
        existing = self.schema(table)
        if existing is None:
            definitions = [f"{quote(serial)} integer primary key"] if serial else []
            definitions += [f"{quote(field.name)} {TYPE_NAMES[field.type]}"
                            + (" not null unique" if field.name == key and serial else "")
                            + (" not null primary key" if field.name == key and not serial else "")
                            for field in columns]
            self.execute(f"create table {quote(table)} ({', '.join(definitions)}) strict")
        else:
            for field in columns:
                if field.name not in existing.names:
                    self.execute(f"alter table {quote(table)} add column {quote(field.name)} {TYPE_NAMES[field.type]}")
                elif existing.field(field.name).type != field.type:
                    raise PipelineError(
                        f"{self.name}.db: column {table}.{field.name} is {TYPE_NAMES[existing.field(field.name).type]}, "
                        f"not {TYPE_NAMES[field.type]}. Give the new column another name, or move {self.name}.db aside "
                        "and run with --full-refresh.")
        self._schemas.pop(table, None)

    def index(self, table: str, column: str) -> None:
        """Create the index on a column when it is missing."""
        self.execute(f"create index if not exists {quote(f'{table}_{column}')} on {quote(table)} ({quote(column)})")

    def insert(self, table: str, rows: pa.Table) -> None:
        """Append rows, by column name."""
        if rows.num_rows:
            with self._cursor() as cursor:
                cursor.adbc_ingest(table, rows, mode="append")

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
    if not write and not path.exists():
        raise missing_layer(path)
    with _connected(path, "rwc" if write else "ro") as layer:
        if write:
            layer.execute("pragma journal_mode = wal")
            layer.execute("pragma synchronous = full")
        layer.execute("begin immediate" if write else "begin")
        try:
            yield layer
        except BaseException:
            with suppress(PipelineError):  # some errors (a full disk) have rolled back already
                layer.execute("rollback")
            raise
        layer.execute("commit")
        if write:
            with suppress(PipelineError):  # what is committed stays so, in the -wal file until a later run
                layer.execute("pragma busy_timeout = 0")
                layer.execute("pragma wal_checkpoint(truncate)")


@contextmanager
def _connected(path: Path, mode: str) -> Iterator[Layer]:
    with _explained(path):
        connection = adbc.connect(file_uri(path, f"mode={mode}"), autocommit=True)
    try:
        layer = Layer(connection, path)
        layer.execute(f"pragma busy_timeout = {BUSY_SECONDS * 1000}")
        layer.execute("pragma temp_store = memory")
        yield layer
    finally:
        connection.close()


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
