"""The raw step on Spark: executors read deliveries and compare their rows with what is known."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as sf

from lib.contract import SOURCES, Source
from lib.ingest.deliveries import Delivery
from lib.spark import digests
from lib.spark.base import SparkStep
from lib.spark.reader import Delivered, read_delivery
from lib.spark.rows import Rows, in_chunks
from lib.spark.sql import column
from lib.spark.tables import broadcast_few
from lib.step import drift, raw_tables
from lib.step.frames import as_text
from lib.step.phases import timed
from lib.step.raw import RawStep
from lib.step.raw_tables import PROVENANCE, SERIAL, SOURCE_SYSTEM
from lib.storage import digest

# Names with a space, which no delivered column's name has.
KNOWN_KEY, KNOWN_ROW, BY_FILE, IS_NEW = "known key", "known row", raw_tables.BY_FILE, "is new"
LAST_ROW, TIMES = "last row", "times delivered"
RULE, REASON = "refused by", "refused because"


@dataclass(frozen=True)
class NewRows:
    """Rows that are a new version of their key, and how many of the others are unchanged.

    `seen_first` are those of the others whose key this file delivers for the first time, with the row that
    held the same.
    """

    rows: DataFrame
    unchanged: int
    seen_first: DataFrame | None = None
    seen_first_count: int = 0


class SparkRawStep(SparkStep, RawStep):
    """The raw step on Spark: the rules are those of lib.step.raw_tables."""

    more_tables = ("confirmations",)

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        with super()._savepoint(), self.tables.savepoint():
            yield

    @timed("read")
    def read(self, delivery: Delivery) -> Iterator[Rows]:
        """Yield a delivery's rows at once, each key once; then record the delivery (see RawStep.read)."""
        reading = self._begin_delivery(delivery)
        source, count = SOURCES[delivery.source], self.count(delivery.source)
        with read_delivery(self.spark, reading.path, reading.header) as found:
            self._report_progress(delivery, 0, found.row_count)
            self._delivered, self._numbers = found.rows, found.last_row + 1
            count.read += found.row_count + found.rejected_count
            for chunk in in_chunks(found.rejected.orderBy("source_row")) if found.rejected_count else ():
                self._reject(chunk)
            _describe(found, reading.profile)
            keyed = found.row_count - reading.profile.empty[source.key]
            latest, duplicates = _latest(found.rows, source, keyed)
            count.duplicates += duplicates
            yield Rows(latest, key="source_row")
            self._report_progress(delivery, found.row_count, found.row_count)
            self._archive(reading)
            self._end_delivery(reading)

    @timed("write")
    def append(self, delivery: Delivery, rows: Rows) -> None:
        """Append those of the rows that differ from what is known (see lib.step.raw_tables)."""
        count, source = self.count(delivery.source), SOURCES[delivery.source]
        names = [name for name in rows.columns if name != "source_row"]
        self.output.create_table(source.name, pa.schema([(name, pa.string()) for name in names]))
        with self._find_new_rows_of(source, delivery, rows.frame) as new:
            count.added += self._add(delivery, new.rows, names, self._numbers)
            count.unchanged += new.unchanged
            if new.seen_first_count:
                self.tables.append("confirmations", new.seen_first.select(
                    sf.lit(source.name).alias("source_name"), sf.lit(delivery.name).alias("source_filename"),
                    sf.col(KNOWN_KEY).alias("record_key"), sf.col(KNOWN_ROW).alias(SERIAL)))

    def refuse(self, suite: str, rows: Rows, refused: DataFrame) -> None:
        why = refused.select("source_row", sf.col("rule").alias(RULE), sf.col("reason").alias(REASON))
        for chunk in in_chunks(rows.frame.join(why, "source_row").orderBy("source_row")):
            text = as_text(chunk.drop(columns=["source_row", RULE, REASON]))
            self._set_aside(pd.DataFrame({
                "source_row": chunk["source_row"], "raw_text": text, "rule": chunk[RULE],
                "reason": chunk[REASON]}))

    def _add(self, delivery: Delivery, rows: DataFrame, names: list[str], numbers: int) -> int:
        """Append rows, numbered by `source_row` or by a SERIAL below `numbers`; return how many there are."""
        change = self.table_changes[delivery.source]
        number = sf.col(SERIAL if SERIAL in rows.columns else "source_row") + change.next_row_id
        stamps = {**self._stamp, "source_system": SOURCE_SYSTEM, "source_filename": delivery.name}
        columns = [*map(column, [*names, "source_row"]),
                   *(sf.lit(value).alias(name) for name, value in stamps.items())]
        added = self.tables.append(delivery.source, rows.select(*columns, number.alias(SERIAL)))
        change.added += added
        change.digest = digest.add(change.digest, digests.of_frame(rows, names)[1])
        change.next_row_id += numbers
        return added

    @contextmanager
    def _find_new_rows_of(self, source: Source, delivery: Delivery, rows: DataFrame) -> Iterator[NewRows]:
        if self.table_changes[source.name].was_empty:
            yield NewRows(rows, unchanged=0)
            return
        compared = self._compare_rows(source, delivery, rows).persist()
        try:
            is_new, by_file = sf.col(IS_NEW), sf.col(BY_FILE)
            is_first = ~is_new & ~by_file
            unchanged, seen_first = compared.agg(sf.count_if(~is_new), sf.count_if(is_first)).first()
            yield NewRows(compared.where(is_new).drop(IS_NEW, KNOWN_KEY, KNOWN_ROW, BY_FILE), unchanged,
                          compared.where(is_first), seen_first)
        finally:
            compared.unpersist()

    def _compare_rows(self, source: Source, delivery: Delivery, rows: DataFrame) -> DataFrame:
        """Return the rows with the row to compare them with, by key, and whether they are a new version."""
        known = self._last_seen(source, delivery.name, broadcast_few(rows.select(source.key)))
        others = (SERIAL, *PROVENANCE)
        content = [name for name in self.output.schema(source.name).names if name not in others]
        known = known.select(
            sf.col(source.key).alias(KNOWN_KEY), sf.col(SERIAL).alias(KNOWN_ROW), BY_FILE,
            sf.col("source_row").alias(LAST_ROW), *(column(name).alias(f"known {name}") for name in content))
        same = sf.col(KNOWN_KEY).isNotNull() & sf.col(LAST_ROW).isNotNull()  # a deletion equals no row
        for name in content:
            delivered = column(name) if name in rows.columns else sf.lit(None)
            same &= delivered.eqNullSafe(column(f"known {name}"))
        return (rows.join(known, sf.col(source.key) == sf.col(KNOWN_KEY), "left").withColumn(IS_NEW, ~same)
                .drop(LAST_ROW, *(f"known {name}" for name in content)))

    def _last_seen(self, source: Source, filename: str, keys: DataFrame) -> DataFrame:
        """Return, for each key that raw knows, the row to compare with, and whether this file held it."""
        key, row, file = sf.col(source.key), sf.col(SERIAL), sf.lit(filename)
        by_file = sf.max(sf.when(sf.col("source_filename") == file, row)).alias("appended")
        versions = (
            self.tables.read(source.name, [source.key, SERIAL, "source_filename"])
            .join(keys, source.key, "left_semi")
            .groupBy(source.key).agg(by_file, sf.max(row).alias("newest")))
        confirmed = (
            self.tables.read("confirmations", ["record_key", SERIAL, "source_name", "source_filename"])
            .where((sf.col("source_name") == source.name) & (sf.col("source_filename") == file))
            .groupBy("record_key").agg(sf.max(row).alias("confirmed")))
        chosen = broadcast_few(versions.join(confirmed, key == sf.col("record_key"), "left").select(
            key.alias(KNOWN_KEY), sf.coalesce("appended", "confirmed", "newest").alias(KNOWN_ROW),
            sf.coalesce("appended", "confirmed").isNotNull().alias(BY_FILE)))
        is_chosen = (key == sf.col(KNOWN_KEY)) & (row == sf.col(KNOWN_ROW))
        return self.tables.read(source.name).join(chosen, is_chosen).drop(KNOWN_KEY, KNOWN_ROW)

    def _delete_missing(self, delivery: Delivery) -> int:
        key = SOURCES[delivery.source].key
        newest = self.tables.read(delivery.source, [key, SERIAL, "source_row"]).groupBy(key).agg(
            sf.max_by(sf.col("source_row").isNotNull(), SERIAL).alias("is live"))
        live = newest.where("`is live`").select(key).persist()
        missing = live.join(self._delivered.select(key), key, "left_anti").persist()
        try:
            count = missing.count()
            self._check_snapshot(delivery, count, live.count())
            if count:
                number = sf.row_number().over(Window.orderBy(key)).cast("long").alias(SERIAL)
                numbered = missing.select(key, sf.lit(None).cast("long").alias("source_row"), number)
                self._add(delivery, numbered, [key], count + 1)
            return count
        finally:
            missing.unpersist()
            live.unpersist()


def _describe(found: Delivered, profile: drift.Profile) -> None:
    """Note in a profile what a delivery looks like: see `drift.Profile.add`."""
    profile.rows, profile.empty = found.row_count, {name: found.empty[name] for name in profile.empty}
    names = list(profile.values)
    if not names or not found.row_count:
        return
    place = sf.row_number().over(Window.partitionBy("name").orderBy("first"))
    values = found.rows.select("source_row", *names).unpivot("source_row", names, "name", "value")
    distinct = values.where("value is not null").groupBy("name", "value")
    first = distinct.agg(sf.min("source_row").alias("first")).withColumn("place", place)
    few = first.where(sf.col("place") <= drift.KEPT_VALUES)
    kept = sorted(few.select("first", "name", "value").collect())
    for name in names:
        profile.add_values(name, pa.array([row.value for row in kept if row.name == name], pa.string()))


def _latest(rows: DataFrame, source: Source, keyed: int) -> tuple[DataFrame, int]:
    """Return the rows without those whose key a later one repeats, and how many these are.

    `keyed` is how many rows have a key. Hashes of eight bytes tell whether any key may come twice.
    """
    key = sf.col(source.key)
    if rows.where(key.isNotNull()).select(sf.xxhash64(key)).distinct().count() == keyed:
        return rows, 0
    keys = rows.where(key.isNotNull()).groupBy(source.key)
    counted = keys.agg(sf.max("source_row").alias(LAST_ROW), sf.count("*").alias(TIMES))
    repeated = counted.where(sf.col(TIMES) > 1)
    late = repeated.agg(sf.sum(sf.col(TIMES) - 1)).first()[0] or 0
    is_last = sf.col(LAST_ROW).isNull() | (sf.col("source_row") == sf.col(LAST_ROW))
    kept = rows.join(repeated.drop(TIMES), source.key, "left").where(is_last)
    return kept.select(*map(column, rows.columns)), late
