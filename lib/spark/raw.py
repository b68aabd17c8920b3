"""The raw step on Spark: executors read deliveries and compare their rows with what is known."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as sf

from lib.contract import SOURCES, Source
from lib.errors import PipelineError
from lib.ingest.deliveries import Delivery
from lib.spark import digests
from lib.spark.base import SparkStep
from lib.spark.reader import Delivered, collect_delivery, read_delivery
from lib.spark.repeated_keys import DIFFERS, LAST_ROW, find_repeats, summarize
from lib.spark.rows import Rows, in_chunks
from lib.spark.sql import column, trim
from lib.spark.tables import broadcast_few
from lib.step import drift, raw_tables, repeated_keys
from lib.step.frames import as_text
from lib.step.phases import timed
from lib.step.raw import ORDER, FindHeld, RawStep, Reading
from lib.step.raw_tables import PROVENANCE, SERIAL, TRIMMED
from lib.storage import digest
from lib.systems import system_named

# Names with a space, which no delivered column's name has.
KNOWN_KEY, KNOWN_ROW, BY_FILE, IS_NEW = "known key", "known row", raw_tables.BY_FILE, "is new"
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

    def begin(self, stack: ExitStack) -> None:
        super().begin(stack)
        self._confirmed_before = {file.path for file in self.tables.files("confirmations")}

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        with super()._savepoint(), self.tables.savepoint():
            yield

    @timed("read")
    def read(self, delivery: Delivery) -> Iterator[Rows]:
        """Yield a delivery's rows at once, each key once; then record the delivery (see RawStep.read)."""
        reading = self._begin_delivery(delivery)
        source, count = SOURCES[delivery.source], self.count(delivery.source)
        with self._read_delivery(reading) as found:
            self._report_progress(delivery, 0, found.row_count)
            self._delivered, self._numbers = found.rows, found.last_row + 1
            count.read += found.row_count + found.rejected_count
            for chunk in in_chunks(found.rejected.orderBy("source_row")) if found.rejected_count else ():
                self._reject(chunk)
            _describe(found, reading.profile)
            latest = self._take_out_repeats_of(found, source)
            has_key = trim(source.key).isNotNull()
            latest = latest.withColumn(source.key, sf.when(has_key, sf.col(source.key)))
            yield Rows(latest, key="source_row")
            self._report_progress(delivery, found.row_count, found.row_count)
            self._archive(reading)
            self._end_delivery(reading)

    def _read_delivery(self, reading: Reading) -> AbstractContextManager[Delivered]:
        """Read a delivery: executors read a file of CSV in the contract's form, the driver any other."""
        delivery = reading.delivery
        if self._opened(delivery).is_plain:
            return read_delivery(self.spark, reading.path, reading.header)
        block = system_named(delivery.system).sources.get(delivery.source)
        if block and block.is_numbered:  # several rows then have one line, by which Spark tells rows apart
            raise PipelineError(f"{delivery.name}: numbered columns become rows, which is not done on Spark. "
                                "Load it with --engine sqlite and import the warehouse, or deliver a row for "
                                "each item.")
        return collect_delivery(self.spark, self._batches(delivery), reading.header)

    def _take_out_repeats_of(self, found: Delivered, source: Source) -> DataFrame:
        """Return a file's rows without those whose key a later row repeats: duplicates, or set aside."""
        repeats = find_repeats(found.rows, source)
        if repeats is None:
            return found.rows
        repeats = repeats.persist()
        rows, summary = summarize(repeats)
        self._check_repeats(summary, found.row_count)
        self.count(source.name).duplicates += rows - summary.differing
        differing = repeats.where(sf.col(DIFFERS)).orderBy("source_row")
        for chunk in in_chunks(differing) if summary.differing else ():
            about = chunk.rename(columns={TRIMMED: "record_key", LAST_ROW: "kept_row"})
            about = about.set_index("source_row")
            delivered = [name for name in found.rows.columns if name != "source_row"]
            self._set_aside(repeated_keys.as_quarantined(chunk, about, as_text(chunk[delivered]), source.key))
        return found.rows.join(repeats.select("source_row"), "source_row", "left_anti").select(
            *map(column, found.rows.columns))

    @timed("write")
    def append(self, delivery: Delivery, rows: Rows) -> None:
        """Append those of the rows that differ from what is known (see lib.step.raw_tables)."""
        count, source = self.count(delivery.source), SOURCES[delivery.source]
        names = [name for name in rows.columns if name != "source_row"]
        self.output.create_table(source.name, pa.schema([(name, pa.string()) for name in names]))
        with self._find_new_rows_of(source, delivery, rows.frame) as new:
            self._note_disagreements(delivery, new.rows)
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
        stamps = {**self._stamp, "source_system": delivery.system, "source_filename": delivery.name}
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
        keys = broadcast_few(rows.select(trim(source.key).alias(TRIMMED)))
        known = self._last_seen(source, delivery.name, keys)
        others = (SERIAL, source.key, *PROVENANCE)
        content = [name for name in self.output.schema(source.name).names if name not in others]
        known = known.select(
            KNOWN_KEY, sf.col(SERIAL).alias(KNOWN_ROW), BY_FILE,
            sf.col("source_row").alias(LAST_ROW), *(column(name).alias(f"known {name}") for name in content))
        same = sf.col(KNOWN_KEY).isNotNull() & sf.col(LAST_ROW).isNotNull()  # a deletion equals no row
        for name in content:
            delivered = column(name) if name in rows.columns else sf.lit(None)
            same &= delivered.eqNullSafe(column(f"known {name}"))
        return (rows.join(known, trim(source.key) == sf.col(KNOWN_KEY), "left").withColumn(IS_NEW, ~same)
                .drop(LAST_ROW, *(f"known {name}" for name in content)))

    def _last_seen(self, source: Source, filename: str, keys: DataFrame) -> DataFrame:
        """Return, for each trimmed key that raw knows, the row to compare with, the key as KNOWN_KEY, and
        whether this file held it."""
        row, file = sf.col(SERIAL), sf.lit(filename)
        by_file = sf.max(sf.when(sf.col("source_filename") == file, row)).alias("appended")
        versions = (
            self.tables.read(source.name, [source.key, SERIAL, "source_filename"])
            .withColumn(TRIMMED, trim(source.key)).join(keys, TRIMMED, "left_semi")
            .groupBy(TRIMMED).agg(by_file, sf.max(row).alias("newest")))
        confirmed = (
            self.tables.read("confirmations", ["record_key", SERIAL, "source_name", "source_filename"])
            .where((sf.col("source_name") == source.name) & (sf.col("source_filename") == file))
            .groupBy(trim("record_key").alias(KNOWN_KEY)).agg(sf.max(row).alias("confirmed")))
        is_same_key = sf.col(TRIMMED) == sf.col(KNOWN_KEY)
        chosen = broadcast_few(versions.join(confirmed, is_same_key, "left").select(
            sf.col(TRIMMED).alias(KNOWN_KEY), sf.coalesce("appended", "confirmed", "newest").alias(KNOWN_ROW),
            sf.coalesce("appended", "confirmed").isNotNull().alias(BY_FILE)))
        return self.tables.read(source.name).join(chosen, row == sf.col(KNOWN_ROW)).drop(KNOWN_ROW)

    def _find_disagreements(self, delivery: Delivery, rows: DataFrame) -> list[dict]:
        source, first_row_id = SOURCES[delivery.source], self.table_changes[delivery.source].first_row_id
        key, has_key = trim(source.key).alias(TRIMMED), trim(source.key).isNotNull()
        keys = broadcast_few(rows.where(has_key).select(key))
        appended = self.tables.read(source.name, [source.key, SERIAL, "source_filename"])
        appended = appended.where(sf.col(SERIAL) >= first_row_id).groupBy(key).agg(
            sf.max_by("source_filename", SERIAL).alias("appended by"))
        files = [file.path for file in self.tables.files("confirmations")
                 if file.path not in self._confirmed_before]
        names = ["record_key", "source_name", "source_filename"]
        confirmed = self.tables.read("confirmations", names, files=files)
        confirmed = confirmed.where(sf.col("source_name") == source.name).groupBy(
            trim("record_key").alias(TRIMMED)).agg(sf.max("source_filename").alias("confirmed by"))
        file = sf.coalesce("appended by", "confirmed by").alias("file")
        earlier = keys.join(appended, TRIMMED, "left").join(confirmed, TRIMMED, "left").select(TRIMMED, file)
        found = earlier.where(sf.col("file").isin(self._in_doubt)).groupBy("file").agg(
            sf.count("*").alias("keys"), sf.min(TRIMMED).alias("key"))
        return [row.asDict() for row in found.collect()]

    def _delete_missing(self, delivery: Delivery) -> int:
        key = SOURCES[delivery.source].key
        versions = self.tables.read(delivery.source, [key, SERIAL, "source_row"])
        newest = versions.where(trim(key).isNotNull()).groupBy(trim(key).alias(TRIMMED)).agg(
            sf.max_by(sf.col("source_row").isNotNull(), SERIAL).alias("is live"),
            sf.max_by(key, SERIAL).alias(key))
        live = newest.where("`is live`").select(TRIMMED, key).persist()
        delivered = self._delivered.select(trim(key).alias(TRIMMED))
        missing = live.join(delivered, TRIMMED, "left_anti").select(key).persist()
        try:
            self._check_snapshot(delivery, missing.count(), live.count())
            return self._append_deletions(delivery, missing)
        finally:
            missing.unpersist()
            live.unpersist()

    def _complete_orders(self, delivery: Delivery, find_held: FindHeld | None) -> int:
        source = SOURCES[delivery.source]
        if find_held is None or ORDER not in source.column_names[1:]:
            return 0
        key, (_, orders) = source.key, find_held()
        held = self.spark.createDataFrame(pa.table({ORDER: orders.cast(pa.string())}))
        versions = self.tables.read(delivery.source, [key, ORDER, SERIAL, "source_row", "source_system"])
        newest = versions.where(trim(key).isNotNull()).groupBy(trim(key).alias(TRIMMED)).agg(
            sf.max_by(sf.col("source_row").isNotNull(), SERIAL).alias("is live"),
            *(sf.max_by(name, SERIAL).alias(name) for name in (key, ORDER, "source_system")))
        live = newest.where(sf.col("is live") & (sf.col("source_system") == delivery.system))
        held = held.select(trim(ORDER).alias(ORDER))
        here = live.withColumn(ORDER, trim(ORDER)).join(held, ORDER, "left_semi")
        delivered = self._delivered.select(trim(key).alias(TRIMMED))
        return self._append_deletions(delivery, here.join(delivered, TRIMMED, "left_anti").select(key))

    def _append_deletions(self, delivery: Delivery, missing: DataFrame) -> int:
        """Append a deletion for each of the keys; return how many there are."""
        [key], count = missing.columns, missing.count()
        if count:
            self._note_disagreements(delivery, missing)
            number = sf.row_number().over(Window.orderBy(key)).cast("long").alias(SERIAL)
            numbered = missing.select(key, sf.lit(None).cast("long").alias("source_row"), number)
            self._add(delivery, numbered, [key], count + 1)
        return count


def _describe(found: Delivered, profile: drift.Profile) -> None:
    """Note in a profile what a delivery looks like: see `drift.Profile.add`."""
    profile.rows, profile.empty = found.row_count, {name: found.empty[name] for name in profile.empty}
    _describe_rounded(found, profile)
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
        of_name = [row for row in kept if row.name == name]
        profile.add_values(name, pa.array([row.value for row in of_name], pa.string()),
                           pa.array([row.first for row in of_name], pa.int64()))


def _describe_rounded(found: Delivered, profile: drift.Profile) -> None:
    ids = sorted(drift.IDS & profile.empty.keys())
    is_rounded = [column(name).rlike(f"^{drift.ROUNDED}$") for name in ids]
    counts = found.rows.agg(*map(sf.count_if, is_rounded)).first()
    for name, rounded, count in zip(ids, is_rounded, counts, strict=True):
        if count:
            first = found.rows.where(rounded).orderBy("source_row").select(column(name), "source_row").first()
            profile.rounded[name] = (count, *first)
