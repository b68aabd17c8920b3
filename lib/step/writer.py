"""Writes rows by key, and only those that differ: what the curated and gold steps write with."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from lib.step.counts import Written
from lib.step.samples import Samples
from lib.step.written_keys import WrittenKeys
from lib.steps import SERIAL
from lib.storage import commits, digest
from lib.storage.sql import quote

if TYPE_CHECKING:
    from lib.step.base import Step

REPLACED_SERIAL = "replaced_row_id"  # of a row that was replaced: the number that it had


class Writer:
    """Writes rows by key to the layer of a step.

    `stamp` are the columns that tell which run wrote a row; no comparison looks at them. With
    `keeps_replaced`, rows get a SERIAL, and those that are replaced are kept in `<table>_replaced`: the next
    layer needs to know what they counted for. With `keys_come_once`, no key is written twice in a step, so an
    empty table is not searched. `follow` is called with the rows that are written (1) or taken out (-1).
    """

    def __init__(self, step: "Step", stamp: dict[str, str], *, keeps_replaced: bool = False,
                 keys_come_once: bool = False,
                 follow: Callable[[str, pa.Table, int], None] = lambda *_: None):
        self._step, self._layer = step, step.output
        self._stamp, self._follow = stamp, follow
        self._keeps_replaced, self._keys_come_once = keeps_replaced, keys_come_once
        self._written: dict[str, WrittenKeys] = {}  # by table
        self.samples = Samples()

    def write(self, table: str, rows: pa.Table, key: str, *, is_deletion: bool = False) -> Written:
        """Write the rows of a batch that are new or differ from the row of their key, which they replace."""
        change = self._change(table, rows.schema, key)
        current = self._current(change, rows, key)
        replaced = rows.slice(0, 0)
        if current is not None and current.num_rows:
            rows, replaced = self._differing(rows, current, key)
            self._take_out(change, replaced, key)
        if is_deletion:
            self.samples.note_removed(table, key, self._content(replaced))
        else:
            self.samples.note_written(table, key, rows, replaced)
        written = Written(rows.num_rows - replaced.num_rows, replaced.num_rows)
        change.added += written.added
        change.changed += written.changed
        if rows.num_rows:
            self._layer.submit(partial(self._insert, change, rows))
        return written

    def remove(self, table: str, keys: pa.ChunkedArray, key: str) -> int:
        """Take out the rows of some keys; return how many there were."""
        change = self._step.table_changes[table]
        rows = self._layer.matching(table, self._names(table), key, keys)
        self._take_out(change, rows, key)
        self.samples.note_removed(table, key, rows)
        change.removed += rows.num_rows
        return rows.num_rows

    def _insert(self, change: commits.TableChange, rows: pa.Table) -> None:
        change.digest = digest.add(change.digest, self._layer.insert(change.table, rows, self._stamp))
        self._follow(change.table, rows, 1)

    def _take_out(self, change: commits.TableChange, rows: pa.Table, key: str) -> None:
        if rows.num_rows:
            deleted = self._layer.delete_keys(change.table, key, rows[key])
            change.digest = digest.subtract(change.digest, deleted)
            self._follow(change.table, self._content(rows), -1)
            if self._keeps_replaced:
                self._keep_replaced(change.table, rows)

    def _keep_replaced(self, table: str, rows: pa.Table) -> None:
        history, when = f"{table}_replaced", {"replaced_timestamp": self._step.timestamp}
        rows = rows.rename_columns({SERIAL: REPLACED_SERIAL})
        if history not in self._step.table_changes:
            self._layer.create_table(history, rows.schema.append(pa.field(*when, pa.string())), serial=SERIAL)
            self._step.begin_change(history, SERIAL)
        change = self._step.table_changes[history]
        change.added += rows.num_rows
        self._layer.insert(history, rows, when)

    def _change(self, table: str, schema: pa.Schema, key: str) -> commits.TableChange:
        """Return the state of a table, which is created, and in a rebuild emptied, before the first write."""
        if table not in self._step.table_changes:
            serial = SERIAL if self._keeps_replaced else None
            stamps = [pa.field(name, pa.string()) for name in self._stamp]
            self._layer.create_table(table, pa.schema([*schema, *stamps]), key=key, serial=serial)
            self._step.begin_change(table, serial)
            if self._step.is_full:
                for name in (table, f"{table}_replaced"):
                    if self._layer.schema(name) is not None:
                        self._clear(name)
                self._step.table_changes[table] = commits.TableChange(
                    table, 1, 1, 0, digest.EMPTY, was_empty=True, is_rebuild=True)
            self._step.begin_indexes(table, key)
        return self._step.table_changes[table]

    def _clear(self, table: str) -> None:
        self._layer.clear(table)

    def _current(self, change: commits.TableChange, rows: pa.Table, key: str) -> pa.Table | None:
        """Return the table's rows with the same keys; None, without a search, where there can be none."""
        if not rows.num_rows or (change.was_empty and not self._may_repeat(change.table, rows[key])):
            return None
        self._layer.index(change.table, key, unique=True)
        return self._layer.matching(change.table, self._names(change.table), key, rows[key])

    def _may_repeat(self, table: str, keys: pa.ChunkedArray) -> bool:
        """Return whether this step may have written one of the keys to a table that was empty before."""
        if self._keys_come_once:
            return False
        if table not in self._written:
            self._written[table] = WrittenKeys(self._step.comparing, table)
        return self._written[table].add(keys)

    def _differing(self, rows: pa.Table, current: pa.Table, key: str) -> tuple[pa.Table, pa.Table]:
        """Return the rows that are new or differ, and the current rows that they replace."""
        names = [name for name in current.column_names if name != SERIAL]
        incoming = [f"i.{quote(name)}" if name in rows.column_names else "null" for name in names]
        same = " and ".join(f"{new} is not distinct from c.{quote(name)}"
                            for new, name in zip(incoming, names, strict=True))
        on = f"i.{quote(key)} = c.{quote(key)}"
        work = self._step.comparing
        work.register("incoming", rows)
        work.register("current_rows", current)
        try:
            written = work.sql(
                f"select i.* from incoming as i left join current_rows as c on {on} "
                f"where c.{quote(key)} is null or not ({same}) order by i.{quote(key)}").to_arrow_table()
            replaced = work.sql(f"select c.* from incoming as i join current_rows as c on {on} "
                                f"where not ({same}) order by c.{quote(key)}").to_arrow_table()
        finally:
            work.unregister("incoming")
            work.unregister("current_rows")
        return written.cast(rows.schema), replaced.cast(current.schema)

    def _names(self, table: str) -> list[str]:
        """Return the columns of a table that comparisons look at, and SERIAL where there is one."""
        return [name for name in self._layer.schema(table).names if name not in self._stamp]

    def _content(self, rows: pa.Table) -> pa.Table:
        return rows.drop_columns([SERIAL]) if SERIAL in rows.column_names else rows
