"""The steps from raw to curated on Spark: the same cleaning functions, gates and upserts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as sf

from lib.contract import SOURCES
from lib.spark.rows import Rows, in_chunks
from lib.spark.tables import Tables, schema_of, struct_of
from lib.spark.upserts import SparkWritingStep
from lib.step.base import as_text, in_deliveries, to_arrow
from lib.step.curated import DELETED, REPLACED_SERIAL, CuratedStep
from lib.step.phases import timed
from lib.step.raw_tables import SERIAL
from lib.storage import commits


class SparkCuratedStep(SparkWritingStep, CuratedStep):
    """A step from raw to curated on Spark: all changes of a source at once, cleaned, checked and upserted by key."""

    def begin(self, stack: ExitStack) -> None:
        self.more_tables = [f"{table}_replaced" for table in self.spec.outputs]
        super().begin(stack)

    def _open_input(self, stack: ExitStack) -> None:
        super()._open_input(stack)
        self.raw = Tables(self.spark, self.address, self.input)

    @timed("read")
    def changes(self, source: str, clean: Callable[[pd.DataFrame], pd.DataFrame]) -> Iterator[Rows]:
        """Yield the rows of a source that are newer than the watermark, once, as `clean` makes them of batches on the executors."""
        self._source, new = source, self._new[source]
        in_raw = self.input.schema(source).names
        names = [name for name in SOURCES[source].column_names if name in in_raw]
        never_delivered = [name for name in SOURCES[source].column_names if name not in in_raw]  # new in the contract
        first_row_id = 1 if self.is_full else new.first_row_id if new else None
        rows = self.raw.read(source) if first_row_id is not None else self.raw.read(source, files=())
        self._delivered = rows.where(sf.col(SERIAL) >= (first_row_id or 0))
        self._say_how_far(source, 0)
        cleaned = _cleaned(self._delivered.where("source_row is not null").select(SERIAL, *names), clean, never_delivered)
        cleaned.persist()
        self._read_rows = cleaned.count()
        yield Rows(cleaned, SERIAL, (SERIAL,))
        self._say_how_far(source, self._read_rows)
        cleaned.unpersist()

    @timed("write")
    def upsert(self, table: str, rows: Rows, *, key: str, indexes: Sequence[str] = ()) -> None:
        count = self.count(table)
        count.read += self._read_rows
        passed = rows.frame
        last = Window.partitionBy(key).orderBy(sf.col(SERIAL).desc())
        kept = passed.withColumn("_place", sf.row_number().over(last)).where("_place = 1").drop("_place").persist()
        kept_rows = kept.count()
        count.duplicates += passed.count() - kept_rows
        before = count.added + count.changed
        self._write(table, kept.drop(SERIAL).withColumn(DELETED, sf.lit(0).cast("long")), key)
        count.unchanged += kept_rows - (count.added + count.changed - before)
        if table in self._quarantined or count.quarantined:
            self._resolve(table, kept, key)
        self._mark_deleted(table, key, kept)
        kept.unpersist()
        self._indexes += [(table, column, False) for column in indexes]

    def describe_rows(self, rows: pd.DataFrame) -> list[str]:
        delivered = self._as_delivered(rows[[SERIAL]])
        return in_deliveries(delivered["source_filename"], delivered["source_row"], delivered["raw_text"])

    def quarantine(self, suite: str, rows: Rows, refused: DataFrame) -> None:
        key = SOURCES[self._source].key
        about = rows.frame.select(SERIAL, sf.col(key).alias("record_key")).join(refused, SERIAL)
        for chunk in in_chunks(about):
            if len(chunk):
                self.put_into_quarantine(suite, self._as_delivered(chunk).rename(columns={SERIAL: "raw_row_id"}).assign(
                    source_name=self._source))

    def _as_delivered(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return some rows, which SERIAL tells, with their file, line and text as delivered beside what is there of them."""
        numbers = self.spark.createDataFrame([(int(number),) for number in rows[SERIAL]], f"{SERIAL} long")
        names = [name for name in SOURCES[self._source].column_names if name in self._delivered.columns]
        found = self._delivered.join(sf.broadcast(numbers), SERIAL, "left_semi").select(
            SERIAL, "source_filename", "source_row", *names).toPandas()
        delivered = found[[SERIAL, "source_filename", "source_row"]].assign(raw_text=as_text(found[names]))
        return rows.merge(delivered, on=SERIAL).sort_values(SERIAL)

    def _resolve(self, table: str, kept: DataFrame, key: str) -> None:
        waiting = self.output.read("quarantine", ["record_key"], "where table_name = ? and resolved_batch_id is null "
                                                                 "and record_key is not null", (table,))["record_key"].unique()
        keys = self.spark.createDataFrame([(name,) for name in waiting.to_pylist()], "record_key string")
        loaded = kept.join(sf.broadcast(keys), sf.col(key) == sf.col("record_key"), "left_semi").select(key, SERIAL)
        commits.resolve_quarantined(self.output, table, dict(map(tuple, loaded.toLocalIterator())), self.batch_id)

    def _mark_deleted(self, table: str, key: str, kept: DataFrame) -> None:
        """Mark the keys as deleted that a snapshot left out and no later row brought back."""
        deletions = _stripped(self._delivered.where("source_row is null").select(SERIAL, SOURCES[self._source].key)).groupBy(
            "_key").agg(sf.max(SERIAL).alias("_deleted"))
        later = kept.select(sf.col(key).alias("_kept"), sf.col(SERIAL).alias("_said"))
        gone = deletions.join(later, sf.col("_key") == sf.col("_kept"), "left").where("_said is null or _said < _deleted").select(
            sf.col("_key").alias(key))
        if gone.isEmpty():
            return
        names = [name for name in self.output.schema(table).names if name not in (*self.stamp, SERIAL)]
        rows = self.tables.matching(table, key, gone).where(f"{DELETED} = 0").select(*names).withColumn(
            DELETED, sf.lit(1).cast("long"))
        count, before = self.count(table), self.count(table).changed
        self._write(table, rows, key, is_deletion=True)
        count.removed += count.changed - before
        count.changed = before  # a deletion is no row that was read

    def _replace(self, change: commits.TableChange, replaced: DataFrame, key: str) -> None:
        super()._replace(change, replaced, key)
        history = f"{change.table}_replaced"
        rows = replaced.withColumnRenamed(SERIAL, REPLACED_SERIAL).withColumn("replaced_timestamp", sf.lit(self.timestamp))
        if history not in self._changes:
            self.output.create_table(history, schema_of(rows), serial=SERIAL)
            self._changes[history] = self._begin_change(history, SERIAL)
        kept = self._changes[history]
        kept.next_row_id = kept.first_row_id + 1
        kept.added += self.tables.append(history, rows.withColumn(SERIAL, sf.lit(kept.first_row_id).cast("long")).coalesce(1))

    def _clear(self, table: str) -> None:
        self.tables.clear(table)
        if self.output.schema(f"{table}_replaced") is not None:
            self.tables.clear(f"{table}_replaced")


def _cleaned(rows: DataFrame, clean: Callable[[pd.DataFrame], pd.DataFrame], never_delivered: Sequence[str]) -> DataFrame:
    """Return what a cleaning function makes of rows, of a batch at a time, with SERIAL, which is its frames' index.

    Which columns it returns, and of which types, is found out by running it on no rows.
    """
    def of_batch(batch: pd.DataFrame) -> pd.DataFrame:
        frame = batch.set_index(SERIAL).assign(**dict.fromkeys(never_delivered, pd.Series(dtype="str")))
        return clean(frame).rename_axis(SERIAL).reset_index()

    def of_batches(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        return map(of_batch, batches)

    none = pd.DataFrame({name: pd.Series(dtype="int64" if name == SERIAL else "str") for name in rows.columns})
    return rows.mapInPandas(of_batches, struct_of(to_arrow(of_batch(none)).schema))


def _stripped(deletions: DataFrame) -> DataFrame:
    """Return the keys of deletions without the spaces around them, as every rule of this project strips text: as Python does."""
    def strip(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            yield pd.DataFrame({SERIAL: batch.iloc[:, 0], "_key": batch.iloc[:, 1].str.strip()})

    return deletions.mapInPandas(strip, f"{SERIAL} long, _key string")
