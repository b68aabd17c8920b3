"""The step from curated to gold on Spark: the notebook's SQL, transpiled, over named frames."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from decimal import Decimal
from functools import reduce

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as sf
from pyspark.sql import types as st

from lib.spark.base import SparkStep
from lib.spark.rows import Rows
from lib.spark.sql import in_spark
from lib.spark.tables import Tables, broadcast_few
from lib.spark.writer import SparkWriter
from lib.step.control_totals import ControlTotals, Figure, sum_amounts
from lib.step.curated import DELETED
from lib.step.gold import GoldStep
from lib.step.phases import timed
from lib.step.raw_tables import SERIAL
from lib.step.writer import REPLACED_SERIAL
from lib.storage import commits
from lib.storage.sql import quoted


class SparkGoldStep(SparkStep, GoldStep):
    """The step from curated to gold on Spark."""

    def begin(self, stack: ExitStack) -> None:
        super().begin(stack)
        self._totals = SparkControlTotals(self)
        self.writer = SparkWriter(self, self._stamp, follow=self._totals.follow)
        self._produced: dict[str, DataFrame] = {}

    def _open_input(self, stack: ExitStack) -> None:
        super()._open_input(stack)
        self.curated = Tables(self.spark, self.address, self.input)

    @timed("read")
    def changed(self, name: str, table: str, columns: Sequence[str]) -> None:
        if self.is_full:
            return self.load(name, table)
        history = f"{table}_replaced"
        new = {table: self.new[table],
               history: commits.new_rows(self.input, history, self.watermark.timestamp)}
        parts = [self.curated.read(origin, [SERIAL, *columns]).where(sf.col(SERIAL) >= rows.first_row_id)
                 for origin, rows in new.items() if rows]
        changed = reduce(DataFrame.unionAll, parts) if parts else self.curated.read(table, columns, files=())
        self._name(name, changed.select(*columns))

    @timed("read")
    def load(self, name: str, table: str, **wanted: str) -> None:
        names = self._reader.columns(table)
        live = self.curated.read(table).where(f"{DELETED} = 0").select(*names)
        if self.is_full:
            live.createOrReplaceTempView(name)
            return
        parts = []
        for column, query in wanted.items():
            keys = self.sql(query)
            keys = broadcast_few(keys.select(sf.col(keys.columns[0]).alias("_wanted")).distinct())
            parts.append(live.join(keys, sf.col(column) == sf.col("_wanted"), "left_semi"))
        self._name(name, reduce(DataFrame.unionAll, parts).dropDuplicates([names[0]]))

    @timed("read")
    def published(self, name: str, table: str, columns: Sequence[str], where: str) -> None:
        if self.is_full or self.output.schema(table) is None:
            schema = ", ".join(f"{column} string" for column in columns)
            self._name(name, self.spark.createDataFrame([], schema))
        else:
            self.tables.read(table).createOrReplaceTempView("published")
            query = f"select {quoted(columns)} from published where {where}"
            self._name(name, self.spark.sql(in_spark(query, "sqlite")))

    def define(self, name: str, sql: str) -> None:
        self.sql(sql).createOrReplaceTempView(name)

    @timed("compute")
    def table(self, name: str, sql: str) -> None:
        self._name(name, self.sql(sql))

    def sizes(self, *names: str) -> pd.DataFrame:
        return pd.DataFrame([{"table": name, "rows": self.spark.table(name).count()} for name in names])

    @timed("compute")
    def batches(self, sql: str, *, by: str = "") -> Iterator[Rows]:
        """Yield a query's result at once: on Spark it may be as long as it is."""
        rows = Rows(_storable(self.sql(sql)).persist())
        rows.count()  # so that the rows are computed here, and not in the gate
        yield rows

    @timed("write")
    def upsert(self, table: str, rows: Rows, *, key: str, indexes: Sequence[str] = ()) -> None:
        count, frame = self.count(table), rows.frame
        count.read += rows.count()
        written = self.writer.write(table, frame, key)
        count.add(written, rows.count())
        self.progress.say(table, count.read)
        self._produced[table] = frame.select(key)
        self.index_later(table, *indexes)

    @timed("write")
    def remove_missing(self, table: str, *, key: str, affected: str) -> None:
        if not self.table_changes[table].was_empty:
            wanted = self.sql(affected)
            keys = wanted.select(sf.col(wanted.columns[0]).alias(key)).distinct()
            missing = keys.join(self._produced[table], key, "left_anti")
            self.count(table).removed += self.writer.remove(table, missing, key)

    def _name(self, name: str, frame: DataFrame) -> None:
        """Keep a frame under a name for later queries, which are planned over its rows, not over its plan.

        Spark writes out the plans of all kept frames below a query. A frame that many others are made of is
        then written many times, until memory runs out. If an executor dies, its rows are computed again.
        """
        frame.persist()
        # There is no public way: a local checkpoint loses the rows of an executor that dies, one in files
        # needs a folder that all workers reach, and createDataFrame(frame.rdd) takes every row through
        # Python.
        kept = frame.select("*")._jdf
        rows, schema = kept.queryExecution().toRdd(), kept.schema()
        planned = self.spark._jsparkSession.internalCreateDataFrame(rows, schema, False)
        DataFrame(planned, self.spark).createOrReplaceTempView(name)

    def sql(self, sql: str) -> DataFrame:
        return self.spark.sql(in_spark(sql))


class SparkControlTotals(ControlTotals):
    """The figures of a step on Spark, summed where the rows are."""

    def __init__(self, step: SparkGoldStep):
        super().__init__(step.output, step.input, None, None)
        self._step = step

    def _sums(self, rows: DataFrame, amounts: Sequence[str]) -> list[Decimal]:
        rows.createOrReplaceTempView("counted")
        return list(self._step.sql(sum_amounts(amounts, "counted")).first())

    def _sum_gold(self, table: str, amount: str) -> Decimal:
        if self._gold.schema(table) is None:
            return Decimal(0)
        return self._sums(self._step.tables.read(table), [amount])[0]

    def _sum_curated(self, figure: Figure) -> Decimal:
        live = self._step.curated.read(figure.curated_table).where(f"{DELETED} = 0")
        return self._sums(live, [figure.curated_amount])[0]

    _sum_loaded = _sum_curated

    def _sum_change(self, figure: Figure, since: str) -> Decimal:
        table, history = figure.curated_table, f"{figure.curated_table}_replaced"
        new, replaced = (commits.new_rows(self._curated, name, since) for name in (table, history))
        total = Decimal(0)
        if new:
            added = self._step.curated.read(table).where(
                (sf.col(SERIAL) >= new.first_row_id) & (sf.col(DELETED) == 0))
            total += self._sums(added, [figure.curated_amount])[0]
        if replaced:
            removed = self._step.curated.read(history).where(
                (sf.col(SERIAL) >= replaced.first_row_id) & (sf.col(REPLACED_SERIAL) < new.first_row_id)
                & (sf.col(DELETED) == 0))
            total -= self._sums(removed, [figure.curated_amount])[0]
        return total


def _storable(result: DataFrame) -> DataFrame:
    """Return a query's result in the three types that a layer stores: text, integers and reals."""
    return result.select([_stored(column) for column in result.schema])


def _stored(column: st.StructField) -> sf.Column:
    if isinstance(column.dataType, st.DecimalType | st.FloatType):
        return sf.col(column.name).cast("double")  # the nearest one
    if isinstance(column.dataType, st.IntegralType | st.BooleanType):
        return sf.col(column.name).cast("long")
    if isinstance(column.dataType, st.NullType):
        return sf.col(column.name).cast("string")
    return sf.col(column.name)
