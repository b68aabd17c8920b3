"""The result of a run and of its steps, as `run.json` keeps it."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib.step.suites import count_rows
from lib.steps import STEPS

NO_ROWS = {"rows_processed": 0, "tables": {}, "rows_quarantined": 0,
           "watermark_before": None, "watermark_after": None}


@dataclass
class StepResult:
    """The result of one step of a run."""

    name: str
    status: str  # SUCCESS, FAILED or SKIPPED; DIED in the report of a run that was killed
    seconds: float = 0.0
    why: str | None = None  # the reason for which it had something to do
    notebook: str | None = None  # the executed copy's file name
    cell: int | None = None  # the notebook's cell that failed
    gates: list[dict[str, Any]] = field(default_factory=list)  # of a step that failed: what they found
    is_passable: bool = False  # it failed on deliveries only: later steps do what earlier runs have left
    error: str | None = None
    record: dict[str, Any] | None = None  # what the notebook returned; None when it did not run

    def counts(self) -> dict[str, Any]:
        """Return the step's rows over all of its tables, and its watermark before and after."""
        record = self.record or NO_ROWS
        return {"rows_read": record["rows_processed"],
                **{count: sum(table[count] for table in record["tables"].values())
                   for count in ("added", "changed", "removed")},
                "quarantined": record["rows_quarantined"],
                "watermark_before": record["watermark_before"], "watermark_after": record["watermark_after"]}

    def warnings(self) -> list[str]:
        """Return what the step has found in the rows that it read."""
        if not self.record:
            return []
        return [*self.record["warnings"], *self._describe_gates("quarantine", "warn")]

    def observed(self) -> list[str]:
        """Return which rows do not meet expectations that are only tried."""
        return self._describe_gates("observe") if self.record else []

    def _describe_gates(self, *on_failure: str) -> list[str]:
        return [_describe_gate(gate) for gate in self.record["gates"]
                if gate["failed"] and gate["on_failure"] in on_failure]


@dataclass
class RunResult:
    """The result of a run."""

    batch_id: str
    now: str  # the run's clock: the times in the layers begin there, or where those of earlier runs end
    started: str
    source: str
    warehouse: str
    full_refresh: bool
    steps: list[StepResult] = field(default_factory=list)
    deliveries: list[dict] = field(default_factory=list)
    not_listed: int = 0  # of the files that are not to be read: how many `deliveries` lacks
    files: list[str] = field(default_factory=list)  # what a person should know about files
    notes: list[str] = field(default_factory=list)  # on the clock, changed rules, the archive, the pages
    overdue: list[str] = field(default_factory=list)  # sources without a delivery for longer than usual
    ended: str = ""
    seconds: float = 0.0
    look_seconds: float = 0.0  # for looking at the source folder
    report_seconds: float = 0.0  # of waiting for pages and data docs after the last step
    verdict: str = ""  # "success", "incomplete", "nothing new", "failed", "interrupted" or "died"
    error: str | None = None

    def not_loaded(self) -> list[str]:
        """Return the errors of the deliveries that were left out while others were loaded."""
        return [error for step in self.steps if step.record
                for error in step.record.get("not_loaded", [])]

    def explain_not_loaded(self) -> str:
        """Return which deliveries were left out and why, while others were loaded; "" if none was."""
        errors = self.not_loaded()
        if not errors:
            return ""
        to_read = sum(delivery["status"] in ("new", "changed") for delivery in self.deliveries)
        return "\n  ".join([
            f"{len(errors)} of {to_read} deliveries could not be loaded; the other {to_read - len(errors)} "
            "are loaded. Correct these, or move them out of the source folder, and run again:",
            *(error.replace("\n", "\n  ") for error in errors)])

    def tables(self) -> list[dict[str, Any]]:
        """Return what the run changed in each table of each layer."""
        return [{"layer": STEPS[step.name].writes, "table": table, "added": count["added"],
                 "changed": count["changed"], "removed": count["removed"], "rows_now": count["rows_after"]}
                for step in self.steps if step.record for table, count in step.record["tables"].items()]

    def warnings(self) -> list[str]:
        """Return what a person should know about the run although it did not stop it."""
        return [*self.files, *self.overdue, *self.notes, *self.warnings_about_rows()]

    def warnings_about_rows(self) -> list[str]:
        """Return what the steps have found in the rows that they read."""
        return [warning for step in self.steps for warning in step.warnings()]

    def observed(self) -> list[str]:
        """Return which rows do not meet expectations that are only tried: these are no warnings."""
        return [line for step in self.steps for line in step.observed()]


def read_result(path: Path) -> RunResult:
    """Return a run as its run.json has it. Raises OSError, ValueError, TypeError or KeyError."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    return RunResult(**kept | {"steps": [StepResult(**step) for step in kept["steps"]]})


def _describe_gate(gate: dict[str, Any]) -> str:
    sample = f", such as {', '.join(gate['sample'])}" if gate["sample"] else ""
    rows = count_rows(gate["failed"], gate["checked"])
    return f"{gate['suite']}: {rows}{sample}: {gate['notes']} ({gate['rule']})"
