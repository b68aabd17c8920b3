"""Writes rows by key on Spark: only files with a replaced row are written again."""

from functools import reduce
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf

from lib.spark import digests
from lib.spark.tables import FILE, ROWS_PER_FILE, broadcast_few, schema_of
from lib.step.counts import Written
from lib.step.raw_tables import SERIAL
from lib.step.samples import FEW
from lib.step.writer import REPLACED_SERIAL, Writer
from lib.storage import commits, digest

if TYPE_CHECKING:
    from lib.spark.base import SparkStep

BEFORE = "_before"  # the row that another one replaces


class SparkWriter(Writer):
    """Writes rows by key to the tables of a step on Spark. `follow` is called with frames."""

    _step: "SparkStep"

    def write(self, table: str, rows: DataFrame, key: str, *, is_deletion: bool = False) -> Written:
        """Write the rows that are new or differ from the row of their key, which they replace."""
        change = self._change(table, schema_of(rows), key)
        differing = self._differing(change, rows, key)
        per_file = dict(differing.groupBy(f"{BEFORE}.{FILE}").count().collect())
        added = per_file.pop(None, 0)  # the rows that replace none
        changed = sum(per_file.values())
        replaced = differing.where(f"{BEFORE} is not null").select(f"{BEFORE}.*").drop(FILE)
        new_rows = differing.drop(BEFORE)
        if added or changed:
            self._note(table, key, replaced, differing, is_deletion)
            self._account(change, new_rows, 1)
            self._rewrite(change, list(per_file), key, new_rows, added + changed, new_rows)
        if changed:
            self._take_out(change, replaced, key)
        change.changed += changed
        change.added += added
        differing.unpersist()
        return Written(added, changed)

    def remove(self, table: str, keys: DataFrame, key: str) -> int:
        """Take out the rows of some keys; return how many there were."""
        change = self._step.table_changes[table]
        rows = self._step.tables.matching(table, key, keys).persist()
        per_file = dict(rows.groupBy(FILE).count().collect())
        if per_file:
            removed = rows.drop(FILE, *self._stamp)
            self.samples.note_removed(table, key, removed.orderBy(key).limit(FEW).toArrow())
            self._rewrite(change, list(per_file), key, removed.limit(0), 0, removed)
            self._take_out(change, removed, key)
        change.removed += sum(per_file.values())
        rows.unpersist()
        return sum(per_file.values())

    def _differing(self, change: commits.TableChange, rows: DataFrame, key: str) -> DataFrame:
        """Return the rows that are new or differ, with the current row of their key, or null, in BEFORE.

        The result is looked at several times, so it is kept, as the given rows are already.
        """
        names = self._names(change.table)
        current = self._step.tables.matching(change.table, key, rows).select(*names, FILE)
        if not self._step.tables.files(change.table):  # to join with nothing would move all rows
            return rows.withColumn(BEFORE, sf.lit(None).cast(current.schema))
        before = current.select(sf.col(key).alias("_key"), sf.struct("*").alias(BEFORE))
        same = reduce(Column.__and__, [
            (sf.col(name) if name in rows.columns else sf.lit(None)).eqNullSafe(sf.col(f"{BEFORE}.`{name}`"))
            for name in names if name != SERIAL])
        joined = rows.join(before, sf.col(key) == sf.col("_key"), "left")
        return joined.where(sf.col("_key").isNull() | ~same).drop("_key").persist()

    def _rewrite(self, change: commits.TableChange, files: list[str], key: str, rows: DataFrame, count: int,
                 removed: DataFrame) -> None:
        """Stage `count` rows in place of files, whose other rows, except those removed, are written again."""
        tables = self._step.tables
        stamped = rows.withColumns({name: sf.lit(value) for name, value in self._stamp.items()})
        if self._keeps_replaced:
            # All rows of a commit have one number: that is enough to tell that they are new.
            stamped = stamped.withColumn(SERIAL, sf.lit(change.first_row_id).cast("long"))
            change.next_row_id = change.first_row_id + 1
        if files:
            keys = broadcast_few(removed.select(key))
            stay = tables.read(change.table, files=files).join(keys, key, "left_anti")
            stamped = stay.unionByName(stamped, allowMissingColumns=True)
        old_rows = sum(file.rows for file in tables.files(change.table) if file.path in files)
        parts = 1 + (count + old_rows) // ROWS_PER_FILE
        ordered = stamped.repartition(1) if parts == 1 else stamped.repartitionByRange(parts, key)
        tables.replace(change.table, files, ordered.sortWithinPartitions(key))

    def _note(self, table: str, key: str, replaced: DataFrame, differing: DataFrame,
              is_deletion: bool) -> None:
        before = replaced.drop(SERIAL).orderBy(key).limit(FEW).toArrow()
        if is_deletion:
            self.samples.note_removed(table, key, before)
        else:
            after = differing.where(f"{BEFORE} is not null").drop(BEFORE).orderBy(key).limit(FEW).toArrow()
            added = differing.where(f"{BEFORE} is null").drop(BEFORE).orderBy(key).limit(FEW).toArrow()
            self.samples.note_written(table, key, pa.concat_tables([after, added]), before)

    def _account(self, change: commits.TableChange, rows: DataFrame, sign: int) -> None:
        """Bring a table's digest and totals up to date by rows that are written (1) or taken out (-1)."""
        _, part = digests.of_frame(rows, [name for name in rows.columns if name != SERIAL])
        change.digest = digest.add(change.digest, part) if sign > 0 else digest.subtract(change.digest, part)
        self._follow(change.table, rows, sign)

    def _take_out(self, change: commits.TableChange, rows: DataFrame, key: str) -> None:
        self._account(change, rows, -1)
        if self._keeps_replaced:
            self._keep_replaced(change.table, rows)

    def _keep_replaced(self, table: str, rows: DataFrame) -> None:
        history = f"{table}_replaced"
        rows = rows.withColumnRenamed(SERIAL, REPLACED_SERIAL)
        rows = rows.withColumn("replaced_timestamp", sf.lit(self._step.timestamp))
        if history not in self._step.table_changes:
            self._layer.create_table(history, schema_of(rows), serial=SERIAL)
            self._step.begin_change(history, SERIAL)
        change = self._step.table_changes[history]
        change.next_row_id = change.first_row_id + 1
        numbered = rows.withColumn(SERIAL, sf.lit(change.first_row_id).cast("long"))
        change.added += self._step.tables.append(history, numbered.coalesce(1))

    def _clear(self, table: str) -> None:
        self._step.tables.clear(table)
