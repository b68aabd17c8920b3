"""Upserts by key that write only what differs: what the curated and gold steps share."""

from contextlib import ExitStack
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from lib.step.base import Step
from lib.step.samples import Samples
from lib.storage import commits, digest
from lib.storage.sql import quote


class WritingStep(Step):
    """What curated and gold share: upserts by key that write only what differs."""

    stamp: dict[str, str]  # the run columns, which no comparison looks at
    serial: str | None = None  # the column that numbers a table's rows in order of writing
    keys_come_once = False  # what is written to a table in a step has each key once: an empty one need not be asked

    def begin(self, stack: ExitStack) -> None:
        super().begin(stack)
        self.samples = Samples()

    def record(self) -> dict:
        return super().record() | {"samples": self.samples.tables}

    def _write(self, table: str, rows: pa.Table, key: str, *, is_deletion: bool = False) -> None:
        change = self._change(table, rows.schema, key)
        count = self.count(table)
        current = self._current(change, rows, key)
        if current is not None and current.num_rows:
            rows, replaced = self._differing(rows, current, key)
            self._replace(change, replaced, key)
        else:
            replaced = rows.slice(0, 0)
        if is_deletion:
            self.samples.note_removed(table, key, replaced.drop_columns(self.serial))
        else:
            self.samples.note_written(table, key, rows, replaced)
        count.changed += replaced.num_rows
        count.added += rows.num_rows - replaced.num_rows
        change.changed += replaced.num_rows
        change.added += rows.num_rows - replaced.num_rows
        if rows.num_rows:
            self.output.submit(partial(self._insert_rows, change, rows))

    def _insert_rows(self, change: commits.TableChange, rows: pa.Table) -> None:
        digested = digest.worker().submit(digest.of_rows, rows, rows.column_names)
        if self.serial:
            rows = commits.numbered(change, self.serial, rows)
        self.output.insert(change.table, rows, self.stamp)
        change.digest = digest.add(change.digest, digested.result())

    def _change(self, table: str, schema: pa.Schema, key: str) -> commits.TableChange:
        if table not in self._changes:
            stamps = [pa.field(name, pa.string()) for name in self.stamp]
            self.output.create_table(table, pa.schema([*schema, *stamps]), key=key, serial=self.serial)
            change = self._begin_change(table, self.serial)
            if self.is_full:
                self._clear(table)
                change = commits.TableChange(table, 1, 1, 0, digest.EMPTY, was_empty=True, is_rebuild=True)
            self._changes[table] = change
            self._put_off_indexes()
            self._indexes.append((table, key, True))
        return self._changes[table]

    def _clear(self, table: str) -> None:
        self.output.execute(f"delete from {quote(table)}")

    def _current(self, change: commits.TableChange, rows: pa.Table, key: str) -> pa.Table | None:
        """Return the table's rows with the same keys; None, without looking, where there can be none."""
        if not rows.num_rows or (change.was_empty and self.keys_come_once):
            return None
        least, most = pc.min_max(rows[key]).as_py().values()
        unseen = change.was_empty and (change.highest_key is None or least > change.highest_key)
        change.highest_key = max(most, change.highest_key or most)
        if unseen:
            return None
        names = [name for name in self.output.schema(change.table).names if name not in self.stamp]
        self.output.index(change.table, key, unique=True)
        return self.output.matching(change.table, names, key, rows[key])

    def _differing(self, rows: pa.Table, current: pa.Table, key: str) -> tuple[pa.Table, pa.Table]:
        """Return the rows that are new or differ from the current ones, and the current ones that they replace."""
        same = " and ".join(
            f"{f'i.{quote(name)}' if name in rows.column_names else 'null'} is not distinct from c.{quote(name)}"
            for name in current.column_names if name != self.serial)
        self._compare.register("incoming", rows)
        self._compare.register("current_rows", current)
        try:
            news = self._compare.sql(
                f"select i.* from incoming as i left join current_rows as c on i.{quote(key)} = c.{quote(key)} "
                f"where c.{quote(key)} is null or not ({same}) order by i.{quote(key)}").to_arrow_table()
            replaced = self._compare.sql(
                f"select c.* from incoming as i join current_rows as c on i.{quote(key)} = c.{quote(key)} "
                f"where not ({same}) order by c.{quote(key)}").to_arrow_table()
        finally:
            self._compare.unregister("incoming")
            self._compare.unregister("current_rows")
        return news.cast(rows.schema), replaced.cast(current.schema)

    def _replace(self, change: commits.TableChange, replaced: pa.Table, key: str) -> None:
        """Take rows out of a table that others are about to stand in for."""
        if replaced.num_rows:
            names = [name for name in replaced.column_names if name != self.serial]
            change.digest = digest.subtract(change.digest, digest.of_rows(replaced, names))
            self.output.delete(change.table, key, replaced[key])
