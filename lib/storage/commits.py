"""A layer's own history: `layer_commits`, with one row per table and commit, and the layer's quarantine."""

from dataclasses import dataclass

import pyarrow as pa

from lib.clock import later_than
from lib.errors import UsageError
from lib.storage import digest
from lib.storage.layer import Layer

COMMITS = pa.schema([
    ("table_name", pa.string()), ("batch_id", pa.string()), ("process_name", pa.string()),
    ("committed_timestamp", pa.string()), ("first_row_id", pa.int64()), ("added", pa.int64()),
    ("changed", pa.int64()), ("removed", pa.int64()), ("rows_after", pa.int64()), ("digest", pa.string()),
    ("is_rebuild", pa.int64()),
])
QUARANTINE = pa.schema([
    ("table_name", pa.string()), ("source_name", pa.string()), ("source_filename", pa.string()),
    ("source_row", pa.int64()), ("record_key", pa.string()), ("rule", pa.string()), ("reason", pa.string()),
    ("raw_text", pa.string()), ("batch_id", pa.string()), ("quarantined_timestamp", pa.string()),
    ("raw_row_id", pa.int64()), ("resolved_batch_id", pa.string()),
])


def create_system_tables(layer: Layer) -> None:
    """Create the layer's `layer_commits` and, where rows can be refused, its `quarantine`."""
    layer.create_table("layer_commits", COMMITS, serial="commit_id")
    if layer.name != "gold":
        layer.create_table("quarantine", QUARANTINE, serial="quarantine_id")
        layer.index("quarantine", "record_key")
        layer.index("quarantine", "source_filename")


def check_engine(layer: Layer, engine: str) -> None:
    """Raise UsageError when another engine made the layer: its rows are then in another place."""
    if layer.schema("layer_commits") is None or layer.scalar("select 1 from layer_commits limit 1") is None:
        return
    made_by = "sqlite" if layer.schema("table_versions") is None else "spark"  # only Spark has versions
    if made_by != engine:
        elsewhere = "--audit, and import the rows" if engine == "spark" else "--warehouse"
        raise UsageError(f"{layer.name}.db was made with --engine {made_by}. "
                         f"Use that engine, or name another folder with {elsewhere}.")


def next_timestamp(layer: Layer, now: str) -> str:
    """Return the timestamp of the commit that is being made: `now`, or just after the layer's last commit."""
    return later_than(layer.scalar("select max(committed_timestamp) from layer_commits"), now)


@dataclass(frozen=True)
class NewRows:
    """Where a table's new rows begin, and whether the table was rebuilt since the watermark."""

    first_row_id: int
    is_rebuild: bool


def new_rows(layer: Layer, table: str, watermark: str) -> NewRows | None:
    """Return where the rows that were committed to `table` after `watermark` begin; None without any."""
    if layer.schema("layer_commits") is None:
        return None
    rows = layer.read("layer_commits", ["first_row_id", "is_rebuild"],
                      "where table_name = ? and committed_timestamp > ?", (table, watermark)).to_pylist()
    if not rows:
        return None
    return NewRows(min(row["first_row_id"] for row in rows), any(row["is_rebuild"] for row in rows))


def count_new_rows(layer: Layer, table: str, first_row_id: int) -> int:
    """Return how many rows a table of raw has from `first_row_id` on; no row of raw is ever deleted."""
    return layer.scalar("select sum(added) from layer_commits where table_name = ? and first_row_id >= ?",
                        (table, first_row_id)) or 0


def last_timestamp(layer: Layer, process_name: str) -> str:
    """Return the timestamp of the step's last commit to the layer; empty when it never committed."""
    if layer.schema("layer_commits") is None:
        return ""
    return layer.scalar("select max(committed_timestamp) from layer_commits where process_name = ?",
                        (process_name,)) or ""


@dataclass
class TableChange:
    """What a step has done to one table so far. The digest follows the rows, see `lib.storage.digest`."""

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

    @property
    def rows_after(self) -> int:
        return self.rows_before + self.added - self.removed


def begin_change(layer: Layer, table: str, serial: str | None) -> TableChange:
    """Return a table's state before a step changes it; `serial` is the column that numbers its rows.

    The layer uses no number twice, so the rows of a change are exactly those from its `first_row_id` on.
    """
    last = layer.read("layer_commits", ["rows_after", "digest"],
                      "where table_name = ? order by commit_id desc limit 1", (table,)).to_pylist()
    rows, table_digest = (last[0]["rows_after"], last[0]["digest"]) if last else (0, digest.EMPTY)
    first = layer.next_number(table) if serial else 0
    return TableChange(table, first, first, rows, table_digest, was_empty=not rows)


def record_change(layer: Layer, change: TableChange, batch_id: str, process_name: str,
                  timestamp: str) -> None:
    """Append the row of `layer_commits` that makes the change visible to the steps that read the layer."""
    commit = dict(
        table_name=change.table, batch_id=batch_id, process_name=process_name, committed_timestamp=timestamp,
        first_row_id=change.first_row_id, added=change.added, changed=change.changed, removed=change.removed,
        rows_after=change.rows_after, digest=change.digest, is_rebuild=int(change.is_rebuild))
    layer.insert("layer_commits", pa.Table.from_pylist([commit], schema=COMMITS))


def quarantined_tables(layer: Layer) -> set[str]:
    """Return the tables that have unresolved rows in the quarantine."""
    found = layer.read("quarantine", ["table_name"], "where resolved_batch_id is null group by table_name")
    return set(found["table_name"].to_pylist())


def resolve_quarantined(layer: Layer, table: str, loaded: dict[str, int], batch_id: str) -> None:
    """Resolve quarantined rows of `table` whose key was loaded from a later row of raw.

    `loaded` has the raw row_id by key.
    """
    waiting = layer.read("quarantine", ["quarantine_id", "record_key", "raw_row_id"],
                         "where table_name = ? and resolved_batch_id is null", (table,)).to_pylist()
    resolved = [row["quarantine_id"] for row in waiting
                if loaded.get(row["record_key"], 0) > row["raw_row_id"]]
    if resolved:
        layer.put_keys(pa.array(resolved))
        layer.update("quarantine", "resolved_batch_id", batch_id,
                     "where quarantine_id in (select cast(key as integer) from temp.wanted)")
