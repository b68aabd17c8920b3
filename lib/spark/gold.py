"""The step from curated to gold on Spark: the notebook's SQL, transpiled, on the rows that changes touch."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from decimal import Decimal
from functools import reduce

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as sf
from pyspark.sql import types as st

from lib.spark.rows import Rows
from lib.spark.sql import in_spark
from lib.spark.tables import Tables, broadcast_few
from lib.spark.upserts import SparkWritingStep
from lib.step.control_totals import Figure, sum_amounts
from lib.step.curated import DELETED, REPLACED_SERIAL
from lib.step.gold import GoldStep
from lib.step.phases import timed
from lib.step.raw_tables import SERIAL
from lib.storage import commits
from lib.storage.sql import quoted


class SparkGoldStep(SparkWritingStep, GoldStep):
    """The step from curated to gold on Spark."""

    def begin(self, stack: ExitStack) -> None:
        super().begin(stack)
        self._produced: dict[str, DataFrame] = {}

    def _open_input(self, stack: ExitStack) -> None:
        super()._open_input(stack)
        self.curated = Tables(self.spark, self.address, self.input)

    @timed("read")
    def changed(self, name: str, table: str, columns: Sequence[str]) -> None:
        if self.is_full:
            return self.load(name, table)
        history = f"{table}_replaced"
        new = {table: self._new[table], history: commits.new_rows(self.input, history, self.watermark.timestamp)}
        parts = [self.curated.read(origin, [SERIAL, *columns]).where(sf.col(SERIAL) >= rows.first_row_id).select(*columns)
                 for origin, rows in new.items() if rows]
        self._name(name, reduce(DataFrame.unionAll, parts) if parts else self.curated.read(table, columns, files=()))

    @timed("read")
    def load(self, name: str, table: str, **wanted: str) -> None:
        names = self._business_columns(table)
        live = self.curated.read(table).where(f"{DELETED} = 0").select(*names)
        if self.is_full:
            live.createOrReplaceTempView(name)
            return
        parts = []
        for column, query in wanted.items():
            keys = self._sql(query)
            keys = broadcast_few(keys.select(sf.col(keys.columns[0]).alias("_wanted")).distinct())
            parts.append(live.join(keys, sf.col(column) == sf.col("_wanted"), "left_semi"))
        self._name(name, reduce(DataFrame.unionAll, parts).dropDuplicates([names[0]]))

    @timed("read")
    def published(self, name: str, table: str, columns: Sequence[str], where: str) -> None:
        if self.is_full or self.output.schema(table) is None:
            self._name(name, self.spark.createDataFrame([], ", ".join(f"{column} string" for column in columns)))
        else:
            self.tables.read(table).createOrReplaceTempView("published")
            self._name(name, self.spark.sql(in_spark(f"select {quoted(columns)} from published where {where}", "sqlite")))

    def define(self, name: str, sql: str) -> None:
        self._sql(sql).createOrReplaceTempView(name)

    @timed("compute")
    def table(self, name: str, sql: str) -> None:
        self._name(name, self._sql(sql))

    def sizes(self, *names: str) -> pd.DataFrame:
        return pd.DataFrame([{"table": name, "rows": self.spark.table(name).count()} for name in names])

    @timed("compute")
    def batches(self, sql: str, *, by: str = "") -> Iterator[Rows]:
        """Yield a query's result, once: how long it is does not matter here."""
        frame = _storable(self._sql(sql)).persist()
        frame.count()
        yield Rows(frame)

    @timed("write")
    def upsert(self, table: str, rows: Rows, *, key: str, indexes: Sequence[str] = ()) -> None:
        count, frame = self.count(table), rows.frame
        read = frame.count()
        count.read += read
        before = count.added + count.changed
        self._write(table, frame, key)
        count.unchanged += read - (count.added + count.changed - before)
        self.progress.say(table, count.read)
        self._produced[table] = frame.select(key)
        self._indexes += [(table, column, False) for column in indexes]

    @timed("write")
    def remove_missing(self, table: str, *, key: str, affected: str) -> None:
        if not self._changes[table].was_empty:
            wanted = self._sql(affected)
            gone = wanted.select(sf.col(wanted.columns[0]).alias(key)).distinct().join(self._produced[table], key, "left_anti")
            self._remove(table, gone, key)

    def _name(self, name: str, frame: DataFrame) -> None:
        """Keep a frame under a name, for the queries behind.

        They are planned over its rows, not over how these came about: Spark writes out the plans of all kept frames below a query,
        of one that many are made of many times, until memory runs out. Rows of an executor that dies are computed again.
        """
        frame.persist()
        kept = frame.select("*")._jdf
        rows = self.spark._jsparkSession.internalCreateDataFrame(kept.queryExecution().toRdd(), kept.schema(), False)
        DataFrame(rows, self.spark).createOrReplaceTempView(name)

    def _sql(self, sql: str) -> DataFrame:
        return self.spark.sql(in_spark(sql))

    def _account(self, change: commits.TableChange, rows: DataFrame, sign: int) -> None:
        super()._account(change, rows, sign)
        figures = [figure for figure in self._totals if figure.gold_table == change.table]
        if figures:
            for figure, total in zip(figures, self._sums(rows, [figure.gold_amount for figure in figures]), strict=True):
                self._totals[figure]["gold"] += sign * total

    def _sums(self, rows: DataFrame, amounts: Sequence[str]) -> list[Decimal]:
        rows.createOrReplaceTempView("counted")
        return list(self._sql(sum_amounts(amounts, "counted")).first())

    def _sum_output(self, figure: Figure) -> Decimal:
        if self.output.schema(figure.gold_table) is None:
            return Decimal(0)
        return self._sums(self.tables.read(figure.gold_table), [figure.gold_amount])[0]

    def _sum_input(self, figure: Figure) -> Decimal:
        return self._sums(self.curated.read(figure.curated_table).where(f"{DELETED} = 0"), [figure.curated_amount])[0]

    def _sum_change(self, figure: Figure, since: str) -> Decimal:
        table = figure.curated_table
        new, replaced = (commits.new_rows(self.input, name, since) for name in (table, f"{table}_replaced"))
        total = Decimal(0)
        if new:
            come = self.curated.read(table).where((sf.col(SERIAL) >= new.first_row_id) & (sf.col(DELETED) == 0))
            total += self._sums(come, [figure.curated_amount])[0]
        if replaced:
            gone = self.curated.read(f"{table}_replaced").where(
                (sf.col(SERIAL) >= replaced.first_row_id) & (sf.col(REPLACED_SERIAL) < new.first_row_id) & (sf.col(DELETED) == 0))
            total -= self._sums(gone, [figure.curated_amount])[0]
        return total


def _storable(result: DataFrame) -> DataFrame:
    """Return a query's result in the three types that a layer stores: text, integers and reals."""
    return result.select([_stored(column) for column in result.schema])


def _stored(column: st.StructField) -> sf.Column:
    if isinstance(column.dataType, st.DecimalType | st.FloatType):
        return sf.col(column.name).cast("double")  # the nearest one
    if isinstance(column.dataType, st.IntegralType | st.BooleanType):
        return sf.col(column.name).cast("long")
    return sf.col(column.name).cast("string") if isinstance(column.dataType, st.NullType) else sf.col(column.name)
