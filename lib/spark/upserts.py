"""Upserts by key on Spark: only the files that hold a replaced row are rewritten."""

from functools import reduce

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf

from lib.spark import digests
from lib.spark.base import SparkStep
from lib.spark.tables import FILE, ROWS_PER_FILE, broadcast_few, schema_of
from lib.step.samples import FEW
from lib.step.upserts import WritingStep
from lib.storage import commits, digest

BEFORE = "_before"  # the row that another one replaces


class SparkWritingStep(SparkStep, WritingStep):
    """What curated and gold share on Spark: upserts by key that write only what differs."""

    def _write(self, table: str, rows: DataFrame, key: str, *, is_deletion: bool = False) -> None:
        change, count = self._change(table, schema_of(rows), key), self.count(table)
        news = self._differing(change, rows, key)
        per_file = dict(news.groupBy(f"{BEFORE}.{FILE}").count().collect())  # None: of rows that replace none
        added = per_file.pop(None, 0)
        changed = sum(per_file.values())
        replaced = news.where(f"{BEFORE} is not null").select(f"{BEFORE}.*").drop(FILE)
        new_rows = news.drop(BEFORE)
        if added or changed:
            self._note(table, key, new_rows, replaced, news, is_deletion)
            self._account(change, new_rows, 1)
            self._rewrite(change, list(per_file), key, new_rows, added + changed, new_rows)
        if changed:
            self._replace(change, replaced, key)
        count.changed += changed
        count.added += added
        change.changed += changed
        change.added += added
        news.unpersist()

    def _remove(self, table: str, gone: DataFrame, key: str) -> None:
        """Delete the rows whose key is among those of `gone`."""
        change = self._changes[table]
        rows = self.tables.matching(table, key, gone).persist()
        per_file = dict(rows.groupBy(FILE).count().collect())
        if per_file:
            removed = rows.drop(FILE, *self.stamp)
            self.samples.note_removed(table, key, removed.orderBy(key).limit(FEW).toArrow())
            self._rewrite(change, list(per_file), key, removed.limit(0), 0, removed)
            self._replace(change, removed, key)
        change.removed += sum(per_file.values())
        self.count(table).removed += sum(per_file.values())
        rows.unpersist()

    def _differing(self, change: commits.TableChange, rows: DataFrame, key: str) -> DataFrame:
        """Return the rows that are new or differ from the current ones of their keys, which stand in BEFORE (null for none).

        Rows are looked at several times: these are kept, as those that were given are already.
        """
        names = [name for name in self.output.schema(change.table).names if name not in self.stamp]
        current = self.tables.matching(change.table, key, rows).select(*names, FILE)
        if not self.tables.files(change.table):  # to join with nothing would move all rows
            return rows.withColumn(BEFORE, sf.lit(None).cast(current.schema))
        before = current.select(sf.col(key).alias("_key"), sf.struct("*").alias(BEFORE))
        same = reduce(Column.__and__, [
            (sf.col(name) if name in rows.columns else sf.lit(None)).eqNullSafe(sf.col(f"{BEFORE}.`{name}`"))
            for name in names if name != self.serial])
        return rows.join(before, sf.col(key) == sf.col("_key"), "left").where(sf.col("_key").isNull() | ~same).drop(
            "_key").persist()

    def _rewrite(self, change: commits.TableChange, files: list[str], key: str, rows: DataFrame, count: int, gone: DataFrame) -> None:
        """Stage so many rows; they stand in for files, whose rows but for those with the keys of `gone` are written again."""
        stamped = rows.withColumns({name: sf.lit(value) for name, value in self.stamp.items()})
        if self.serial:
            stamped = stamped.withColumn(self.serial, sf.lit(change.first_row_id).cast("long"))
            change.next_row_id = change.first_row_id + 1  # a commit's rows have one number: it tells that they are of the commit
        if files:
            stay = self.tables.read(change.table, files=files).join(broadcast_few(gone.select(key)), key, "left_anti")
            stamped = stay.unionByName(stamped, allowMissingColumns=True)
        parts = 1 + (count + sum(file.rows for file in self.tables.files(change.table) if file.path in files)) // ROWS_PER_FILE
        ordered = stamped.repartition(1) if parts == 1 else stamped.repartitionByRange(parts, key)
        self.tables.replace(change.table, files, ordered.sortWithinPartitions(key))

    def _note(self, table: str, key: str, rows: DataFrame, replaced: DataFrame, news: DataFrame, is_deletion: bool) -> None:
        """Keep the first few rows of each kind for whoever wants to know what happened."""
        before = replaced.drop(*filter(None, [self.serial])).orderBy(key).limit(FEW).toArrow()
        if is_deletion:
            self.samples.note_removed(table, key, before)
        else:
            after = news.where(f"{BEFORE} is not null").drop(BEFORE).orderBy(key).limit(FEW).toArrow()
            added = news.where(f"{BEFORE} is null").drop(BEFORE).orderBy(key).limit(FEW).toArrow()
            self.samples.note_written(table, key, pa.concat_tables([after, added]), before)

    def _account(self, change: commits.TableChange, rows: DataFrame, sign: int) -> None:
        """Follow rows that are written, or with -1 taken out, in what is kept of a table's content."""
        _, part = digests.of_frame(rows, [name for name in rows.columns if name != self.serial])
        change.digest = digest.add(change.digest, part) if sign > 0 else digest.subtract(change.digest, part)

    def _replace(self, change: commits.TableChange, replaced: DataFrame, key: str) -> None:
        self._account(change, replaced, -1)

    def _clear(self, table: str) -> None:
        self.tables.clear(table)
