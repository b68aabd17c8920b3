"""A few of the rows that a step added, changed and removed: they show why a figure has changed."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

FEW = 5  # rows per table and kind
CLIPPED = 80  # characters of a value


class Samples:
    """The first few rows of each kind and table that a step has written. `tables` is ready for JSON."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, list[dict[str, Any]]]] = {}

    def note_written(self, table: str, key: str, rows: pa.Table, replaced: pa.Table) -> None:
        """Note rows that were written, and those of the same keys that they replaced.

        Changed rows are kept as `{"key", "columns": {name: [before, after]}}` with the columns that differ,
        added rows as `{"key", "row"}`.
        """
        kinds = self._kinds(table)
        missing = FEW - len(kinds["changed"])
        if missing > 0 and replaced.num_rows:
            before = {row[key]: row for row in replaced.slice(0, missing).to_pylist()}
            after = rows.filter(pc.is_in(rows[key], value_set=pa.array(list(before), pa.string())))
            kinds["changed"] += [{"key": _clip(row[key]), "columns": _differences(before[row[key]], row)}
                                 for row in after.to_pylist()]
        missing = FEW - len(kinds["added"])
        if missing > 0 and rows.num_rows > replaced.num_rows:
            if replaced.num_rows:
                rows = rows.filter(pc.invert(pc.is_in(rows[key], value_set=replaced[key].combine_chunks())))
            kinds["added"] += _as_rows(rows.slice(0, missing), key)

    def note_removed(self, table: str, key: str, rows: pa.Table) -> None:
        """Note rows that were taken out, as `{"key", "row"}`."""
        kept = self._kinds(table)["removed"]
        kept += _as_rows(rows.slice(0, FEW - len(kept)), key)

    def _kinds(self, table: str) -> dict[str, list[dict[str, Any]]]:
        return self.tables.setdefault(table, {"added": [], "changed": [], "removed": []})


def _differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: [_clip(before.get(name)), _clip(value)] for name, value in after.items()
            if value != before.get(name)}


def _as_rows(rows: pa.Table, key: str) -> list[dict[str, Any]]:
    clipped = [{name: _clip(value) for name, value in row.items()} for row in rows.to_pylist()]
    return [{"key": row.pop(key), "row": row} for row in clipped]


def _clip(value: Any) -> Any:
    return value if not isinstance(value, str) or len(value) <= CLIPPED else value[:CLIPPED - 1] + "…"
