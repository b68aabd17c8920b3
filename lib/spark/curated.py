"""The steps from raw to curated on Spark: the same functions, gates and upserts, where the rows are."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as sf

from lib.contract import SOURCES
from lib.spark.base import SparkStep
from lib.spark.rows import Rows, in_chunks
from lib.spark.tables import Tables, struct_of
from lib.spark.writer import SparkWriter
from lib.step.curated import DELETED, CuratedStep
from lib.step.frames import as_text, locate, name_rows, to_arrow
from lib.step.parse import SYSTEM
from lib.step.phases import timed
from lib.step.raw_tables import SERIAL
from lib.storage import commits


class SparkCuratedStep(SparkStep, CuratedStep):
    """A step from raw to curated on Spark: all changes of a source at once, cleaned, checked and upserted."""

    def begin(self, stack: ExitStack) -> None:
        self.more_tables = [f"{table}_replaced" for table in self.spec.outputs]
        super().begin(stack)
        self.writer = SparkWriter(self, self._stamp, keeps_replaced=True)

    def _open_input(self, stack: ExitStack) -> None:
        super()._open_input(stack)
        self.raw = Tables(self.spark, self.address, self.input)

    @timed("read")
    def changes(self, source: str, clean: Callable[[pd.DataFrame], pd.DataFrame]) -> Iterator[Rows]:
        """Yield the rows of a source that are newer than the watermark, at once; executors clean them."""
        self._source, first_row_id = source, self._first_row_ids[source]
        in_raw = self._in_raw(source).names
        names = [name for name in SOURCES[source].column_names if name in in_raw]
        missing = [name for name in SOURCES[source].column_names if name not in in_raw]  # new in the contract
        rows = self._read_source(source, first_row_id)
        self._delivered = rows.where(sf.col(SERIAL) >= (first_row_id or 0))
        self._report_progress(source, 0)
        delivered = self._delivered.where("source_row is not null").select(SERIAL, *names, SYSTEM)
        cleaned = _cleaned(delivered, clean, missing)
        cleaned.persist()
        self._read_rows, marked = cleaned.agg(sf.count("*"), sf.count("missing_markers")).first()
        if marked:
            self._note_markers(cleaned)
        yield Rows(cleaned, SERIAL, (SERIAL,), self._read_rows)
        self._report_progress(source, self._read_rows)
        cleaned.unpersist()

    def _read_source(self, source: str, first_row_id: int | None) -> DataFrame:
        if self.input.schema(source) is None:
            types = ((field.name, "long" if field.type == "int64" else "string") for field in
                     self._in_raw(source))
            return self.spark.createDataFrame([], ", ".join(f"`{name}` {type_}" for name, type_ in types))
        return self.raw.read(source) if first_row_id is not None else self.raw.read(source, files=())

    def _note_markers(self, cleaned: DataFrame) -> None:
        found = cleaned.where("missing_markers is not null").groupBy("missing_markers")
        counted = found.agg(sf.count("*"), sf.min(SERIAL)).orderBy("missing_markers")
        for cells, rows, first in counted.collect():
            self._markers.note(self._source, cells, rows, first)

    def _place_of(self, source: str, row_id: int) -> tuple[str, int]:
        rows = self.raw.read(source).where(sf.col(SERIAL) == row_id)
        return tuple(rows.select("source_filename", "source_row").first())

    @timed("write")
    def upsert(self, table: str, rows: Rows, *, key: str, indexes: Sequence[str] = ()) -> None:
        count = self.count(table)
        count.read += self._read_rows
        passed = rows.frame
        last = Window.partitionBy(key).orderBy(sf.col(SERIAL).desc())
        placed = passed.withColumn("_place", sf.row_number().over(last))
        kept = placed.where("_place = 1").drop("_place").persist()
        kept_rows = kept.count()
        count.duplicates += passed.count() - kept_rows
        current = kept.drop(SERIAL).withColumn(DELETED, sf.lit(0).cast("long"))
        written = self.writer.write(table, current, key)
        count.add(written, kept_rows)
        if table in self._open_quarantines or count.quarantined:
            self._resolve(table, kept, key)
        self._mark_deleted(table, key, kept)
        kept.unpersist()
        self.index_later(table, *indexes)

    def describe_rows(self, rows: pd.DataFrame) -> list[str]:
        delivered = self._as_delivered(rows[[SERIAL]])
        return locate(delivered["source_filename"], delivered["source_row"], delivered["raw_text"])

    def name_rows(self, rows: pd.DataFrame) -> list[str]:
        key = SOURCES[self._source].key
        delivered = rows[[SERIAL]].merge(self._as_delivered(rows[[SERIAL]]), on=SERIAL)
        return name_rows(delivered["source_filename"], delivered["source_row"], rows[key])

    def refuse(self, suite: str, rows: Rows, refused: DataFrame) -> None:
        key = SOURCES[self._source].key
        about = rows.frame.select(SERIAL, sf.col(key).alias("record_key")).join(refused, SERIAL)
        for chunk in in_chunks(about):
            if len(chunk):
                delivered = self._as_delivered(chunk).rename(columns={SERIAL: "raw_row_id"})
                self.set_aside(suite, delivered.assign(source_name=self._source))

    def _as_delivered(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return some rows, which SERIAL identifies, with their file, line and text as delivered."""
        numbers = self.spark.createDataFrame([(int(number),) for number in rows[SERIAL]], f"{SERIAL} long")
        names = [name for name in SOURCES[self._source].column_names if name in self._delivered.columns]
        found = self._delivered.join(sf.broadcast(numbers), SERIAL, "left_semi").select(
            SERIAL, "source_filename", "source_row", *names).toPandas()
        delivered = found[[SERIAL, "source_filename", "source_row"]].assign(raw_text=as_text(found[names]))
        return rows.merge(delivered, on=SERIAL).sort_values(SERIAL)

    def _resolve(self, table: str, kept: DataFrame, key: str) -> None:
        waiting = self.output.read(
            "quarantine", ["record_key"],
            "where table_name = ? and resolved_batch_id is null and record_key is not null", (table,))
        keys = [(name,) for name in waiting["record_key"].unique().to_pylist()]
        quarantined = sf.broadcast(self.spark.createDataFrame(keys, "record_key string"))
        loaded = kept.join(quarantined, sf.col(key) == sf.col("record_key"), "left_semi").select(key, SERIAL)
        row_ids = dict(map(tuple, loaded.toLocalIterator()))
        commits.resolve_quarantined(self.output, table, row_ids, self.batch_id)

    def _mark_deleted(self, table: str, key: str, kept: DataFrame) -> None:
        """Mark the keys as deleted that a snapshot left out and no later row brought back."""
        delivered = self._delivered.where("source_row is null").select(SERIAL, SOURCES[self._source].key)
        deletions = _stripped(delivered).groupBy("_key").agg(sf.max(SERIAL).alias("_deleted"))
        later = kept.select(sf.col(key).alias("_kept"), sf.col(SERIAL).alias("_delivered"))
        joined = deletions.join(later, sf.col("_key") == sf.col("_kept"), "left")
        is_deleted = "_delivered is null or _delivered < _deleted"
        deleted = joined.where(is_deleted).select(sf.col("_key").alias(key))
        if deleted.isEmpty():
            return
        names = [name for name in self.output.schema(table).names if name not in (*self._stamp, SERIAL)]
        rows = self.tables.matching(table, key, deleted).where(f"{DELETED} = 0").select(*names)
        rows = rows.withColumn(DELETED, sf.lit(1).cast("long"))
        # A deletion is no row that was read, so it counts as removed only.
        self.count(table).removed += self.writer.write(table, rows, key, is_deletion=True).changed


def _cleaned(rows: DataFrame, clean: Callable[[pd.DataFrame], pd.DataFrame],
             missing: Sequence[str]) -> DataFrame:
    """Return rows as a function cleans them. It gets a batch at a time, whose index is SERIAL.

    It is called with no rows to find out which columns it returns, and of which types.
    """
    def of_batch(batch: pd.DataFrame) -> pd.DataFrame:
        frame = batch.set_index(SERIAL).assign(**dict.fromkeys(missing, pd.Series(dtype="str")))
        return clean(frame).rename_axis(SERIAL).reset_index()

    def of_batches(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        return map(of_batch, batches)

    empty = pd.DataFrame({name: pd.Series(dtype="int64" if name == SERIAL else "str")
                          for name in rows.columns})
    return rows.mapInPandas(of_batches, struct_of(to_arrow(of_batch(empty)).schema))


def _stripped(deletions: DataFrame) -> DataFrame:
    """Return the keys of deletions without surrounding spaces, as Python strips the text of all rows."""
    def strip(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            yield pd.DataFrame({SERIAL: batch.iloc[:, 0], "_key": batch.iloc[:, 1].str.strip()})

    return deletions.mapInPandas(strip, f"{SERIAL} long, _key string")
