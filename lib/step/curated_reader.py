"""Reads curated for the gold step: what matches some keys, or in a full load everything."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lib.step.curated import DELETED, RUN_COLUMNS
from lib.step.raw_tables import SERIAL
from lib.step.working_database import create_table
from lib.step.writer import REPLACED_SERIAL
from lib.storage import commits
from lib.storage.layer import Layer, open_layer
from lib.storage.spool import spooled
from lib.storage.sql import quote, quoted

READERS = 2  # connections that read at the same time: SQLite gives rows to one thread a connection
MANY_KEYS = 10_000  # that two connections look up faster than one


class CuratedReader:
    """Reads curated's rows, except deleted ones, into Arrow or into tables of a working database."""

    def __init__(self, layer: Layer, work: duckdb.DuckDBPyConnection, warehouse: Path, tables: Sequence[str],
                 stack: ExitStack):
        self._layer, self._work, self._warehouse = layer, work, warehouse
        self._tables, self._stack = tables, stack
        self._loading: dict[str, Future[int]] = {}  # by table, in a full load: how many rows it has

    def columns(self, table: str) -> list[str]:
        """Return a table's columns without those that tell which run wrote a row."""
        others = (SERIAL, DELETED, *RUN_COLUMNS)
        return [name for name in self._layer.schema(table).names if name not in others]

    def schema(self, table: str) -> pa.Schema:
        """Return these columns and their types."""
        return self._layer.columns(table, self.columns(table))

    def load_all(self, table: str) -> int:
        """Wait until a whole table is loaded; return its rows. The first call begins to load all tables."""
        if not self._loading:
            readers = self._stack.enter_context(ThreadPoolExecutor(READERS))
            for name in reversed(self._tables):  # the facts, the longest, come last and are wanted first
                self._loading[name] = readers.submit(self._load, name, self.schema(name))
        return self._loading[table].result()

    def look_up(self, table: str, column: str, keys: pa.ChunkedArray) -> pa.Table:
        """Return the rows whose `column` is among the keys; of many keys, each connection gets a share."""
        names = self.columns(table)

        def look_up(layer: Layer, part: pa.ChunkedArray) -> pa.Table:
            return layer.matching(table, names, column, part, f"where t.{DELETED} = 0")

        def look_up_apart(part: pa.ChunkedArray) -> pa.Table:
            with open_layer(self._warehouse, self._layer.name) as layer:
                return look_up(layer, part)

        if len(keys) < MANY_KEYS:
            return look_up(self._layer, keys)
        share = -(-len(keys) // READERS)
        with ThreadPoolExecutor(READERS) as readers:
            parts = [keys.slice(start, share) for start in range(0, len(keys), share)]
            return pa.concat_tables(readers.map(look_up_apart, parts))

    def removed_and_added(self, table: str, since: str) -> tuple[pa.Table, pa.Table]:
        """Return the rows that have gone since a commit, and those that have come."""
        names = self.columns(table)
        removed = added = self.schema(table).empty_table()
        new, replaced = (commits.new_rows(self._layer, name, since) for name in (table, f"{table}_replaced"))
        if new:
            where = f"where {SERIAL} >= ? and {DELETED} = 0"
            added = self._layer.read(table, names, where, (new.first_row_id,))
        if replaced:  # a row that both came and was replaced since the commit counts on neither side
            where = f"where {SERIAL} >= ? and {REPLACED_SERIAL} < ? and {DELETED} = 0"
            first_row_ids = (replaced.first_row_id, new.first_row_id)
            removed = self._layer.read(f"{table}_replaced", names, where, first_row_ids)
        return removed, added

    def _load(self, table: str, schema: pa.Schema) -> int:
        """Load a whole table by a connection of its own; the run's lock keeps all of them in one state."""
        query = f"select {quoted(schema.names)} from {quote(table)} where {DELETED} = 0"
        with open_layer(self._warehouse, self._layer.name) as layer, self._work.cursor() as cursor:
            spool = spooled(layer, table, [*schema.names, DELETED], 1)
            batches = map(_without_deleted, spool) if spool else layer.batches(query, schema)
            create_table(cursor, table, pa.RecordBatchReader.from_batches(schema, batches))
            return cursor.execute(f"select count(*) from {quote(table)}").fetchall()[0][0]


def _without_deleted(rows: pa.RecordBatch) -> pa.RecordBatch:
    return rows.filter(pc.equal(rows[DELETED], 0)).drop_columns([DELETED])
