"""The quarantine of a step: rows that may not be loaded, with rule and reason; and how many may be."""

from collections.abc import Callable

import pandas as pd

from lib.errors import PipelineError
from lib.ingest import repeated_header, total_row
from lib.step.frames import ROW_TEXT, locate, to_arrow
from lib.storage.layer import Layer
from lib.storage.lookup import REPEATED_KEY

SAMPLE = 3  # rows shown of each rule
NO_ROWS = (repeated_header.RULE, total_row.RULE)  # lines that are right where they are, and no rows
KEYS_ARE_KNOWN = (REPEATED_KEY, *NO_ROWS)  # rules whose rows hide no key of the file


def is_too_much(quarantined: int, rows: int, limit: float) -> bool:
    """Return whether so many of a delivery's rows cannot be loaded that the export looks broken.

    One bad row never stops a delivery, however small the file is.
    """
    return quarantined > max(1, limit * rows)


class Quarantine:
    """What a step sets aside; `entries`, per table and rule, have the reason, a count and first rows."""

    def __init__(self, layer: Layer, batch_id: str, timestamp: str, limit: float):
        self._layer, self._batch_id, self._timestamp, self._limit = layer, batch_id, timestamp, limit
        self.entries: list[dict] = []

    def add(self, table: str, rows: pd.DataFrame) -> None:
        """Write rows: source_name, source_filename, source_row, rule, reason, raw_text and more."""
        self._layer.insert("quarantine", to_arrow(rows.assign(
            table_name=table, batch_id=self._batch_id, quarantined_timestamp=self._timestamp)))
        one_reason = rows["reason"].where(rows["rule"] != REPEATED_KEY, "")
        for (rule, _), group in rows.groupby([rows["rule"], one_reason], sort=False):
            entry = self._entry(table, rule, group["reason"].iloc[0])
            entry["rows"] += len(group)
            first = group.head(SAMPLE - len(entry["samples"]))[["source_filename", "source_row", "raw_text"]]
            text = first["raw_text"].str.slice(0, ROW_TEXT)
            entry["samples"] += first.assign(raw_text=text).to_dict("records")

    def find_limit(self, quarantined: int, rows: int, accepted: Callable[[], float]) -> float | None:
        """Return the limit within which so many of a delivery's rows may be set aside; None if they are too
        many, so that the export looks broken.

        It is this run's limit, or else what `accepted` returns: the highest one with which an earlier run has
        read this delivery. What was accepted once stays accepted, or one bad day would stop every rebuild.
        """
        if not is_too_much(quarantined, rows, self._limit):
            return self._limit
        limit = accepted()
        return limit if quarantined <= limit * rows else None

    def check_share(self, filename: str, quarantined: int, rows: int, accepted: Callable[[], float],
                    advice: str) -> list[str]:
        """Raise PipelineError when too many of a delivery's rows were set aside, with the first of them and
        with what to do. Returns what to report. `accepted` is as in `find_limit`."""
        limit = self.find_limit(quarantined, rows, accepted)
        if limit == self._limit:
            return []
        if limit is not None:
            return [f"{filename}: {quarantined:,} of {rows:,} rows cannot be loaded, more than "
                    f"{self._limit:.0%}. An earlier run accepted that with --quarantine-limit {limit:g}, so "
                    "the other rows are loaded"]
        first = self._layer.read(
            "quarantine", ["source_row", "rule", "reason", "raw_text"],
            f"where batch_id = ? and source_filename = ? order by source_row limit {SAMPLE}",
            (self._batch_id, filename)).to_pylist()
        numbers, texts = [row["source_row"] for row in first], [row["raw_text"] for row in first]
        lines = locate([filename] * len(first), numbers, texts)
        raise PipelineError("\n  ".join([
            f"{filename}: {quarantined:,} of {rows:,} rows cannot be loaded, more than {self._limit:.0%}: "
            f"the export itself looks broken. {advice}",
            *(f"{line}: {row['reason']} ({row['rule']})" for line, row in zip(lines, first, strict=True))]))

    def shown(self) -> pd.DataFrame:
        """Return the first rows of each rule, for a notebook to show."""
        return pd.DataFrame([
            {"table": entry["table"], "rule": entry["rule"], "rows": entry["rows"], "reason": entry["reason"],
             "delivery": row["source_filename"], "line": row["source_row"], "delivered": row["raw_text"]}
            for entry in self.entries for row in entry["samples"]])

    def _entry(self, table: str, rule: str, reason: str) -> dict:
        for entry in self.entries:
            has_reason = rule == REPEATED_KEY or entry["reason"] == reason
            if has_reason and (entry["table"], entry["rule"]) == (table, rule):
                return entry
        self.entries.append({"table": table, "rule": rule, "reason": reason, "rows": 0, "samples": []})
        return self.entries[-1]
