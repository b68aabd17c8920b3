"""What every layer's file says of its own history: one row per table and commit, and the quarantine."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lib.clock import later_than
from lib.errors import UsageError
from lib.storage import digest
from lib.storage.layer import Layer
from lib.storage.sql import quote

COMMITS = pa.schema([
    ("table_name", pa.string()), ("batch_id", pa.string()), ("process_name", pa.string()),
    ("committed_timestamp", pa.string()), ("first_row_id", pa.int64()), ("added", pa.int64()), ("changed", pa.int64()),
    ("removed", pa.int64()), ("rows_after", pa.int64()), ("digest", pa.string()), ("is_rebuild", pa.int64()),
])
QUARANTINE = pa.schema([
    ("table_name", pa.string()), ("source_name", pa.string()), ("source_filename", pa.string()),
    ("source_row", pa.int64()), ("record_key", pa.string()), ("rule", pa.string()), ("reason", pa.string()),
    ("raw_text", pa.string()), ("batch_id", pa.string()), ("quarantined_timestamp", pa.string()),
    ("raw_row_id", pa.int64()), ("resolved_batch_id", pa.string()),
])


def create_system_tables(layer: Layer) -> None:
    """Create the file's `layer_commits` and, where rows can be refused, its `quarantine`."""
    layer.create_table("layer_commits", COMMITS, serial="commit_id")
    if layer.name != "gold":
        layer.create_table("quarantine", QUARANTINE, serial="quarantine_id")
        layer.index("quarantine", "record_key")
        layer.index("quarantine", "source_filename")


def check_engine(layer: Layer, engine: str) -> None:
    """Raise UsageError when the rows that a layer speaks of are not in its file but in a warehouse of Spark's, or the other way round.

    Only Spark's engine pins versions of tables.
    """
    if layer.schema("layer_commits") is None or layer.scalar("select 1 from layer_commits limit 1") is None:
        return
    made_by = "sqlite" if layer.schema("table_versions") is None else "spark"
    if made_by != engine:
        raise UsageError(f"{layer.name}.db was made with --engine {made_by}. Run with that; or name another folder with "
                       f"{'--audit, and bring the rows over with import' if engine == 'spark' else '--warehouse'}.")


def next_timestamp(layer: Layer, now: str) -> str:
    """Return the timestamp of the commit that is being made: `now`, or just after the file's last one."""
    return later_than(layer.scalar("select max(committed_timestamp) from layer_commits"), now)


@dataclass(frozen=True)
class NewRows:
    """Where a table's rows that are newer than a watermark begin, and whether the table was rebuilt since."""

    first_row_id: int
    is_rebuild: bool


def new_rows(layer: Layer, table: str, watermark: str) -> NewRows | None:
    """Return where the rows begin that were committed to `table` after `watermark`; None when there are none."""
    if layer.schema("layer_commits") is None:
        return None
    rows = layer.read("layer_commits", ["first_row_id", "is_rebuild"],
                      "where table_name = ? and committed_timestamp > ?", (table, watermark)).to_pylist()
    if not rows:
        return None
    return NewRows(min(row["first_row_id"] for row in rows), any(row["is_rebuild"] for row in rows))


def count_new_rows(layer: Layer, table: str, first_row_id: int) -> int:
    """Return how many rows the commits from `first_row_id` on added to a table of raw, where no row ever goes."""
    return layer.scalar("select sum(added) from layer_commits where table_name = ? and first_row_id >= ?", (table, first_row_id)) or 0


def last_timestamp(layer: Layer, process_name: str) -> str:
    """Return the timestamp of what the step last committed to the file; empty when there is nothing of it."""
    if layer.schema("layer_commits") is None:
        return ""
    return layer.scalar("select max(committed_timestamp) from layer_commits where process_name = ?", (process_name,)) or ""


@dataclass
class TableChange:
    """What a step has done to one table so far. Digests follow the rows, see `lib.storage.digest`."""

    table: str
    first_row_id: int
    next_row_id: int
    rows_before: int
    digest: str
    was_empty: bool
    is_rebuild: bool = False
    added: int = 0
    changed: int = 0
    removed: int = 0
    highest_key: str | None = None

    @property
    def rows_after(self) -> int:
        return self.rows_before + self.added - self.removed


def begin_change(layer: Layer, table: str, serial: str | None) -> TableChange:
    """Return a table's state before a step changes it."""
    last = layer.read("layer_commits", ["rows_after", "digest"],
                      "where table_name = ? order by commit_id desc limit 1", (table,)).to_pylist()
    rows, table_digest = (last[0]["rows_after"], last[0]["digest"]) if last else (0, digest.EMPTY)
    first = (layer.scalar(f"select max({quote(serial)}) from {quote(table)}") or 0) + 1 if serial else 0
    return TableChange(table, first, first, rows, table_digest, was_empty=not rows)


def numbered(change: TableChange, serial: str, rows: pa.Table) -> pa.Table:
    """Return the rows with their `serial` numbers, which go on behind the table's last.

    Numbers are never used again, so that all rows from `first_row_id` on, and no others, are those of the change.
    """
    numbers = pa.array(np.arange(change.next_row_id, change.next_row_id + rows.num_rows))
    change.next_row_id += rows.num_rows
    return rows.append_column(serial, numbers)


def record_change(layer: Layer, change: TableChange, batch_id: str, process_name: str, timestamp: str) -> None:
    """Append the row of `layer_commits` that makes the change visible to the steps behind."""
    layer.insert("layer_commits", pa.Table.from_pylist([dict(
        table_name=change.table, batch_id=batch_id, process_name=process_name, committed_timestamp=timestamp,
        first_row_id=change.first_row_id, added=change.added, changed=change.changed, removed=change.removed,
        rows_after=change.rows_after, digest=change.digest, is_rebuild=int(change.is_rebuild))], schema=COMMITS))


def quarantined_tables(layer: Layer) -> set[str]:
    """Return the tables of which the quarantine holds a row that is not resolved."""
    found = layer.read("quarantine", ["table_name"], "where resolved_batch_id is null group by table_name")
    return set(found["table_name"].to_pylist())


def resolve_quarantined(layer: Layer, table: str, loaded: dict[str, int], batch_id: str) -> None:
    """Mark the quarantined rows of `table` as resolved whose key was `loaded` from a later row of raw: {key: raw's row_id}."""
    waiting = layer.read("quarantine", ["quarantine_id", "record_key", "raw_row_id"],
                         "where table_name = ? and resolved_batch_id is null", (table,)).to_pylist()
    for row in waiting:
        if loaded.get(row["record_key"], 0) > row["raw_row_id"]:
            layer.execute("update quarantine set resolved_batch_id = ? where quarantine_id = ?", (batch_id, row["quarantine_id"]))
