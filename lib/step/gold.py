"""The step from curated to gold: SQL over named tables, for what the changes touch."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from functools import partial
from math import ceil

import duckdb
import pandas as pd
import pyarrow as pa

from lib.step.base import to_arrow, within_memory
from lib.step.control_totals import CONTROL_TOTALS, Figure, sum_amounts, sums_of
from lib.step.curated import DELETED, REPLACED_SERIAL, RUN_COLUMNS
from lib.step.phases import timed
from lib.step.prefetch import prefetch
from lib.step.raw_tables import SERIAL
from lib.step.upserts import WritingStep
from lib.storage import commits
from lib.storage.layer import Layer, open_layer
from lib.storage.sql import literal, quote, quoted

# A long result is computed in so many slices at most: each may have to look at all that is joined, wherever that lies.
SLICES = 16
SAMPLED_ROWS = 100_000  # whose values tell where a slice ends: one of few batches is so at most a twentieth longer than meant
ROOM = 1.05
READERS = 2  # connections that read curated at the same time
MANY_KEYS = 10_000  # that two connections look up faster than one


class GoldStep(WritingStep):
    """The step from curated to gold: SQL over named tables, for what the changes touch."""

    keys_come_once = True

    def begin(self, stack: ExitStack) -> None:
        super().begin(stack)
        self.stamp = {"batch_id": self.batch_id, "aggregation_timestamp": self.timestamp}
        self._loading: dict[str, Future[int]] = {}  # by table, in a full load: how many rows it has
        self._totals: dict[Figure, dict[str, Decimal]] = {}  # by layer
        self._moved: dict[tuple[str, str], tuple[pa.Table, pa.Table]] = {}  # by curated table and commit: rows gone and come since
        self._rows_in_all = 0  # of the query whose rows are being written

    @timed("read")
    def changed(self, name: str, table: str, columns: Sequence[str]) -> None:
        """Make `name`: the columns of every row of a curated table that is new since the watermark, and of every one it replaced.

        In a full load that is every row.
        """
        if self.is_full:
            self.load(name, table)
        else:
            self._create(name, self.input.columns(table, columns))
            history = f"{table}_replaced"
            replaced = commits.new_rows(self.input, history, self.watermark.timestamp)
            for origin, new in ((table, self._new[table]), (history, replaced)):
                if new:
                    self._insert(name, self.input.read(origin, columns, f"where {SERIAL} >= ?", (new.first_row_id,)))

    @timed("read")
    def load(self, name: str, table: str, **wanted: str) -> None:
        """Make `name`: the rows of a curated table, deleted ones aside, whose `column` the query given for it returns.

        `load("orders", "fact_orders", order_id="select …", order_date="select …")` loads what matches either. In a full load
        everything is loaded, whatever is wanted.
        """
        if self.is_full:
            self._load_all(table)
            self.work.execute(f"create view {quote(name)} as select * from {quote(table)}")
        else:
            names = self._business_columns(table)
            self._create(name, self.input.columns(table, names))
            for column, query in wanted.items():
                self._load_matching(name, table, names, column, query)

    @timed("read")
    def published(self, name: str, table: str, columns: Sequence[str], where: str) -> None:
        """Make `name`: columns of the rows of a gold table, as published so far, that meet a condition; none in a full load."""
        if self.is_full or self.output.schema(table) is None:
            self.work.execute(f"create table {quote(name)} ({', '.join(f'{quote(column)} varchar' for column in columns)})")
        else:
            self._create(name, self.output.columns(table, columns))
            self._insert(name, self.output.read(table, columns, f"where {where}"))

    def define(self, name: str, sql: str) -> None:
        """Name a query, for the queries behind."""
        self.work.execute(f"create or replace view {quote(name)} as {sql}")

    @timed("compute")
    def table(self, name: str, sql: str) -> None:
        """Make a table of a query's result, for the queries behind."""
        within_memory(self.work, lambda: self.work.execute(f"create or replace table {quote(name)} as {sql}"))

    def sizes(self, *names: str) -> pd.DataFrame:
        """Return how many rows tables have that this step has made, for a notebook to show."""
        return pd.DataFrame([{"table": name, "rows": self.work.execute(f"select count(*) from {quote(name)}").fetchall()[0][0]}
                             for name in names])

    @timed("compute")
    def batches(self, sql: str, *, by: str = "") -> Iterator[pd.DataFrame]:
        """Yield a query's result in batches; at least one, empty when there are no rows.

        `by` queries one column of the result, once for every row that it will have. With it, it is known how much there is to do,
        and a long result is computed range by range of that column: in less memory, and the first rows come at once.
        """
        with self.work.cursor() as cursor:
            self._rows_in_all, slices = slices_of(cursor, by, self.batch_rows) if by else (0, ["true"])
            for rows in prefetch(self._stream(cursor, sql, slices)):
                yield rows.to_pandas()

    @timed("write")
    def upsert(self, table: str, rows: pd.DataFrame, *, key: str, indexes: Sequence[str] = ()) -> None:
        """Write rows by key; only what differs is written. `remove_missing` then takes out what is no more."""
        count = self.count(table)
        if not count.read:
            self._say_how_far(table, 0)
        count.read += len(rows)
        before = count.added + count.changed
        incoming = to_arrow(rows)
        self._write(table, incoming, key)
        count.unchanged += len(rows) - (count.added + count.changed - before)
        self._say_how_far(table, count.read)
        self.work.execute("create table if not exists produced_keys (table_name varchar, record_key varchar)")
        if not self._changes[table].was_empty:
            self._insert("produced_keys", pa.table({"table_name": pa.repeat(table, len(rows)), "record_key": incoming[key]}))
        self._indexes += [(table, column, False) for column in indexes]

    @timed("write")
    def remove_missing(self, table: str, *, key: str, affected: str) -> None:
        """Delete the rows of the affected keys that were not produced again."""
        change = self._changes[table]
        if change.was_empty:
            return
        gone = self.work.sql(
            f"select distinct affected_key from ({affected}) as affected(affected_key) where affected_key not in "
            f"(select record_key from produced_keys where table_name = {literal(table)})").to_arrow_table().column(0)
        names = [name for name in self.output.schema(table).names if name not in self.stamp]
        rows = self.output.matching(table, names, key, gone)
        self._replace(change, rows, key)
        self.samples.note_removed(table, key, rows)
        change.removed += rows.num_rows
        self.count(table).removed += rows.num_rows

    @timed("reconcile")
    def control_totals(self, figures: dict[str, tuple[str, str, str, str]]) -> None:
        """Declare, before anything is written, totals that gold and curated must agree on, for `reconcile`.

        A figure is a gold table and what one of its rows counts for, then a curated table and what one of its rows, unless
        deleted, counts for: SQL, in decimals with two places. Totals are kept from commit to commit, so that their cost follows
        the change; those of a full load, and of a figure that is new, are summed over all rows.
        """
        self.output.create_table("balances", CONTROL_TOTALS, serial="balance_id")
        kept = {row["definition"]: row for row in self.output.read(
            "balances", ["definition", "gold", "curated", "curated_timestamp"],
            "where batch_id = (select max(batch_id) from balances)").to_pylist()}  # a figure that was left out since is new
        for name, definition in figures.items():
            figure = Figure(name, *definition)
            if self.is_full:
                before = {"gold": Decimal(0), "curated": self._sum_input(figure)}
            elif known := kept.get(figure.definition):
                change = self._sum_change(figure, known["curated_timestamp"])
                before = {"gold": Decimal(known["gold"]), "curated": Decimal(known["curated"]) + change}
            else:
                before = {"gold": self._sum_output(figure), "curated": self._sum_input(figure)}
            self._totals[figure] = before

    @timed("reconcile")
    def reconcile(self) -> pd.DataFrame:
        """Return each figure's total in gold, as it will be after `publish`, and in curated, one row per figure."""
        self.output.flush()
        return pd.DataFrame([{"figure": figure.name} | {layer: float(total) for layer, total in totals.items()}
                             for figure, totals in self._totals.items()])

    def publish(self) -> dict:
        """Commit as every step does, with the totals that the next commit goes on from."""
        self.output.flush()
        rows = [{"figure": figure.name, "definition": figure.definition, "curated_timestamp": self.reached, **self.stamp}
                | {layer: f"{total:.2f}" for layer, total in totals.items()} for figure, totals in self._totals.items()]
        self.output.insert("balances", pa.Table.from_pylist(rows, schema=CONTROL_TOTALS))
        return super().publish()

    def _insert_rows(self, change: commits.TableChange, rows: pa.Table) -> None:
        super()._insert_rows(change, rows)
        self._count(change.table, rows, 1)

    def _replace(self, change: commits.TableChange, replaced: pa.Table, key: str) -> None:
        super()._replace(change, replaced, key)
        self._count(change.table, replaced, -1)

    def _count(self, table: str, rows: pa.Table, sign: int) -> None:
        """Add rows that are written to gold's totals, or take off those that are taken out."""
        figures = [figure for figure in self._totals if figure.gold_table == table]
        if figures and rows.num_rows:
            for figure, total in zip(figures, sums_of(rows, [figure.gold_amount for figure in figures]), strict=True):
                self._totals[figure]["gold"] += sign * total

    def _sum_output(self, figure: Figure) -> Decimal:
        if self.output.schema(figure.gold_table) is None:
            return Decimal(0)
        return self._sum_all(self.output, figure.gold_table, figure.gold_amount)

    def _sum_input(self, figure: Figure) -> Decimal:
        if self.is_full:
            self._load_all(figure.curated_table)
            query = sum_amounts([figure.curated_amount], quote(figure.curated_table))
            return self.work.execute(query).fetchall()[0][0]
        return self._sum_all(self.input, figure.curated_table, figure.curated_amount, f"where {DELETED} = 0")

    def _sum_all(self, layer: Layer, table: str, amount: str, where: str = "") -> Decimal:
        schema = layer.columns(table, [name for name in layer.schema(table).names if name != SERIAL])
        batches = layer.batches(f"select {quoted(schema.names)} from {quote(table)} {where}", schema)
        return sum((sums_of(pa.Table.from_batches([batch]), [amount])[0] for batch in batches), Decimal(0))

    def _sum_change(self, figure: Figure, since: str) -> Decimal:
        """Return by how much a curated total has changed since a commit of curated."""
        if (figure.curated_table, since) not in self._moved:
            self._moved[figure.curated_table, since] = self._read_moved(figure.curated_table, since)
        gone, come = self._moved[figure.curated_table, since]
        return sums_of(come, [figure.curated_amount])[0] - sums_of(gone, [figure.curated_amount])[0]

    def _read_moved(self, table: str, since: str) -> tuple[pa.Table, pa.Table]:
        """Return the rows of a curated table that were there at a commit and are no more, and those that are there since."""
        names, history = self._business_columns(table), f"{table}_replaced"
        new, replaced = (commits.new_rows(self.input, name, since) for name in (table, history))
        gone = come = self.input.columns(table, names).empty_table()
        if new:
            come = self.input.read(table, names, f"where {SERIAL} >= ? and {DELETED} = 0", (new.first_row_id,))
        if replaced:
            gone = self.input.read(history, names, f"where {SERIAL} >= ? and {REPLACED_SERIAL} < ? and {DELETED} = 0",
                                   (replaced.first_row_id, new.first_row_id))
        return gone, come

    def _stream(self, cursor: duckdb.DuckDBPyConnection, sql: str, slices: list[str]) -> Iterator[pa.Table]:
        """Yield what a query returns, slice by slice, in tables of at most `batch_rows`; an empty one when there is nothing."""
        is_empty = True
        for condition in slices:
            result = _storable(cursor.sql(f"select * from ({sql}) where {condition}"))
            reader = within_memory(self.work, partial(result.to_arrow_reader, self.batch_rows))
            for batch in reader:
                is_empty = False
                yield pa.Table.from_batches([batch])
        if is_empty:
            yield reader.schema.empty_table()

    def _say_how_far(self, table: str, rows: int) -> None:
        self.progress.say(table, rows, min(1.0, rows / self._rows_in_all) if self._rows_in_all else None)

    def _create(self, name: str, schema: pa.Schema) -> None:
        self._compare.register("shape", schema.empty_table())
        self._compare.execute(f"create table {quote(name)} as select * from shape")
        self._compare.unregister("shape")

    def _insert(self, name: str, rows: pa.Table | pa.RecordBatch) -> None:
        if rows.num_rows:
            self._compare.register("arrived", rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows]))
            self._compare.execute(f"insert into {quote(name)} select * from arrived")
            self._compare.unregister("arrived")

    def _business_columns(self, table: str) -> list[str]:
        return [name for name in self.input.schema(table).names if name not in (SERIAL, DELETED, *RUN_COLUMNS)]

    def _load_all(self, table: str) -> None:
        """Wait until a whole table of curated is there, deleted rows aside; the first time, begin to read all of them."""
        if not self._loading:
            readers = self.stack.enter_context(ThreadPoolExecutor(READERS))
            schemas = {name: self.input.columns(name, self._business_columns(name)) for name in self.spec.inputs}
            self._loading = {name: readers.submit(self._read_all, name, schema) for name, schema in reversed(schemas.items())}
        self.progress.say(f"reading {table}", self._loading[table].result())

    def _read_all(self, table: str, schema: pa.Schema) -> int:
        """Read a whole table by a connection of its own, and return how many rows it has; the run's lock keeps all in one state."""
        query = f"select {quoted(schema.names)} from {quote(table)} where {DELETED} = 0"
        with open_layer(self.warehouse, self.spec.reads) as layer, self.work.cursor() as cursor:
            cursor.register("arrived", pa.RecordBatchReader.from_batches(schema, layer.batches(query, schema)))
            cursor.execute(f"create table {quote(table)} as select * from arrived")
            return cursor.execute(f"select count(*) from {quote(table)}").fetchall()[0][0]

    def _load_matching(self, name: str, table: str, names: list[str], column: str, query: str) -> None:
        wanted = self.work.sql(f"select distinct * from ({query}) as wanted(key) where key is not null "
                               "order by key").to_arrow_table().column(0)  # in order, lookups find their pages in the cache
        if len(wanted):
            self._compare.register("arrived", self._look_up(table, names, column, wanted))
            key = quote(names[0])
            self._compare.execute(f"insert into {quote(name)} select * from arrived anti join {quote(name)} using ({key})")
            self._compare.unregister("arrived")

    def _look_up(self, table: str, names: list[str], column: str, keys: pa.ChunkedArray) -> pa.Table:
        """Return the rows of a curated table, deleted ones aside, whose `column` is among the keys; of many, each reader's share."""
        def look_up(layer: Layer, part: pa.ChunkedArray) -> pa.Table:
            return layer.matching(table, names, column, part, f"where t.{DELETED} = 0")

        def look_up_apart(part: pa.ChunkedArray) -> pa.Table:
            with open_layer(self.warehouse, self.spec.reads) as layer:
                return look_up(layer, part)

        if len(keys) < MANY_KEYS:
            return look_up(self.input, keys)
        share = -(-len(keys) // READERS)
        with ThreadPoolExecutor(READERS) as readers:
            return pa.concat_tables(readers.map(look_up_apart, [keys.slice(start, share) for start in range(0, len(keys), share)]))


def slices_of(cursor: duckdb.DuckDBPyConnection, by: str, batch_rows: int) -> tuple[int, list[str]]:
    """Return how many rows a query of one column has, and conditions on that column, of which each row meets one.

    A condition is met by no more than `batch_rows` rows where SLICES are enough, unless as many have one value. The same rows
    give the same conditions.
    """
    column = quote(cursor.sql(by).columns[0])
    rows, known, sample = cursor.execute(
        f"select count(*), count({column}), list_sort(min_by({column}, hash({column}), {SAMPLED_ROWS})) from ({by})").fetchall()[0]
    slices = min(SLICES, ceil(ROOM * known / batch_rows)) if known == rows else 1  # null is in no range
    starts = sorted({sample[len(sample) * number // slices] for number in range(1, slices)})
    least = ["true", *(f"{column} >= {literal(start)}" for start in starts)]
    most = [*(f"{column} < {literal(start)}" for start in starts), "true"]
    return rows, [f"{lower} and {upper}" for lower, upper in zip(least, most, strict=True)]


def _storable(result: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Return a query's result without the types that no layer stores: sums of integers and of decimals.

    DuckDB's cast gives the double nearest to an amount in cents; Arrow's does not (0.47 becomes 0.47000000000000003).
    """
    stored = {"decimal": "double", "hugeint": "bigint"}
    return result.project(", ".join(
        f"cast({quote(name)} as {stored[type_.id]}) as {quote(name)}" if type_.id in stored else quote(name)
        for name, type_ in zip(result.columns, result.types, strict=True)))
