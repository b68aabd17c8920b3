"""What all steps share: opening layers, the gate, counts that add up, and publishing all of it or nothing."""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from sqlite3 import Connection

import pandas as pd

from lib.clock import day_in
from lib.contract import SHOP
from lib.errors import PipelineError
from lib.step.counts import Count
from lib.step.fingerprint import mix, take_fingerprint
from lib.step.frames import as_text
from lib.step.gate import Gate, NameRows
from lib.step.parameters import Parameters
from lib.step.phases import Phases, timed
from lib.step.progress import Progress
from lib.step.quarantine import Quarantine
from lib.step.working_database import working_database
from lib.steps import StepSpec
from lib.storage import audit, commits
from lib.storage.layer import Layer, open_layer


class Abandoned(Exception):
    """Unwinds a step that is not to be published."""


class Step:
    """What all steps share. Everything written becomes visible with `publish`: all of it, or nothing."""

    engine = "sqlite"
    name_rows: NameRows | None = None  # returns where rows are, in a step whose rows come from files

    def __init__(self, spec: StepSpec, parameters: Parameters, log: Connection):
        self.spec, self.parameters = spec, parameters
        self.source, self.reports = Path(parameters.source).resolve(), Path(parameters.reports).resolve()
        self.warehouse = parameters.folder
        self.batch_id = parameters.batch_id
        # Of the run, in the shop, by the run's own clock; times in the layers only move forward.
        self.day = day_in(SHOP.timezone, parameters.now)
        self.is_full = parameters.full_refresh and spec.name != "raw"  # which the others are rebuilt from
        self.run_folder = self.reports / "runs" / self.batch_id
        self.counts: dict[str, Count] = {}
        self.warnings: list[str] = []
        self.not_loaded: dict[tuple[str, str], str] = {}  # by delivery: the error for which it was left out
        self.table_changes: dict[str, commits.TableChange] = {}
        self.stack = ExitStack()
        self.phases = Phases()
        self.progress = Progress(self.run_folder)
        self._log = log
        self._gate: Gate | None = None
        self._indexes: list[tuple[str, str, bool]] = []  # table, column, whether each value is there once

    @timed("open")
    def begin(self, stack: ExitStack) -> None:
        """Append the RUNNING row, read the watermark, open the layers and the working database."""
        self._execution = audit.start_execution(self._log, self.batch_id, self.spec.name, self.spec.writes)
        self.watermark = audit.read_watermark(self._log, self.spec.name)
        self._rules = take_fingerprint(self.spec)
        self.work = stack.enter_context(working_database())
        self.comparing = stack.enter_context(self.work.cursor())  # while results of `work` are being read
        self._commit = stack.enter_context(ExitStack())
        self._open_output()
        self.timestamp = commits.next_timestamp(self.output, self.parameters.now)
        self.quarantine = Quarantine(
            self.output, self.batch_id, self.timestamp, self.parameters.quarantine_limit)
        self.reached, last = self.watermark.timestamp, commits.last_timestamp(self.output, self.spec.name)
        if self.spec.reads == "source":
            self.reached = max(self.reached, last)  # a run may have died before its watermark
        else:
            self._open_input(stack)
            self._find_new_rows(is_lost=self.watermark != audit.Watermark() and not last)

    def _open_output(self) -> None:
        """Open the layer that the step writes, which is committed as soon as `_commit` is closed."""
        layer = open_layer(self.warehouse, self.spec.writes, write=True)
        self.output: Layer = self._commit.enter_context(layer)
        commits.check_engine(self.output, self.engine)
        commits.create_system_tables(self.output)

    def _open_input(self, stack: ExitStack) -> None:
        self.input = stack.enter_context(open_layer(self.warehouse, self.spec.reads))

    def _find_new_rows(self, is_lost: bool) -> None:
        """Find where the new rows of each input begin, or that all rows are to be read again.

        `is_lost` is whether the step has written before and its tables are not there: its file was moved
        away.
        """
        is_first = self.watermark == audit.Watermark()
        since = audit.INITIAL if self.is_full or is_lost else self.watermark.timestamp
        self.new = {table: commits.new_rows(self.input, table, since) for table in self.spec.inputs}
        is_rebuilt = any(new.is_rebuild for new in self.new.values() if new)
        self.is_full = self.is_full or is_lost or is_first or is_rebuilt
        # All commits of the input so far count as seen, also those to tables that this step does not read.
        self.reached = self.input.scalar("select max(committed_timestamp) from layer_commits") or self.reached

    def begin_change(self, table: str, serial: str | None) -> commits.TableChange:
        """Return a table's state before the step changes it; `serial` is the column that numbers rows."""
        change = self.table_changes[table] = commits.begin_change(self.output, table, serial)
        return change

    @timed("gates")
    def check(self, suite: str, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows that pass the suite; the others are quarantined, or the step fails.

        An empty batch passes.
        """
        if rows.empty:
            return rows
        if self._gate is None:
            self._gate = Gate(self.run_folder, self.batch_id)
        refused = self._gate.check(suite, rows, self.describe_rows, self.name_rows)
        if refused.empty:
            return rows
        self.refuse(suite, rows.loc[refused.index], refused)
        return rows.drop(index=refused.index)

    def describe_rows(self, rows: pd.DataFrame) -> list[str]:
        """Return rows as one line each, for a person who has to find them."""
        return as_text(rows)

    def refuse(self, suite: str, rows: pd.DataFrame, refused: pd.DataFrame) -> None:
        """Quarantine rows that a gate refused; a step whose layer has no quarantine fails."""
        raise PipelineError(
            f"gate {suite}: {refused.rule.iloc[0]} asks for a quarantine, which {self.spec.writes} does not "
            f'have. Set its meta.on_failure to "fail" or "warn" in gx/expectations/{suite}.json.')

    def set_aside(self, table: str, rows: pd.DataFrame) -> None:
        """Count rows as quarantined and write them to the quarantine (see Quarantine.add)."""
        if not rows.empty:
            self.count(table).quarantined += len(rows)
            self.quarantine.add(table, rows)

    @timed("publish")
    def publish(self) -> dict:
        """Commit what the step has written, then its log row and watermark; return the step's record.

        Raises PipelineError, and commits nothing, when the rows do not add up.
        """
        for table, count in self.counts.items():
            count.verify(table)
        self._submit_indexes()
        self.output.flush()
        for change in self.table_changes.values():
            if change.added or change.changed or change.removed or change.is_rebuild:
                commits.record_change(self.output, change, self.batch_id, self.spec.name, self.timestamp)
        self._commit.close()
        record = self.record()
        moved = (self.spec.name, audit.Watermark(self.reached, self.batch_id))
        audit.finish_execution(
            self._log, self._execution, "SUCCESS", error_message="\n".join(self.not_loaded.values()) or None,
            rows_processed=record["rows_processed"],
            rows_quarantined=record["rows_quarantined"], table_digests=record["digests"],
            rules=self._made_by(), watermark=moved if self.reached != self.watermark.timestamp else None)
        self.stack.close()
        self.progress.end(record)
        return record

    def index_later(self, table: str, *columns: str, unique: bool = False) -> None:
        """Ask for indexes of a table that is being written. They are made when the table is finished."""
        self._indexes += [(table, column, unique) for column in columns]

    def begin_indexes(self, table: str, key: str) -> None:
        """Have the indexes of finished tables made, and ask for that of the next table's key."""
        self._submit_indexes()
        self.index_later(table, key, unique=True)

    def _submit_indexes(self) -> None:
        """Have the indexes that were asked for made while the step goes on, as their tables are finished."""
        if indexes := list(dict.fromkeys(self._indexes)):
            self.output.submit(partial(self._make_indexes, indexes))
        self._indexes.clear()

    def _make_indexes(self, indexes: list[tuple[str, str, bool]]) -> None:
        for table, column, is_unique in indexes:
            self.output.index(table, column, unique=is_unique)

    def _made_by(self) -> dict[str, str] | None:
        """Return the rules by which the step's rows were made, None when the log has them already.

        An increment that follows other rules than the rows before it leaves a mixture, which only a rebuild
        ends.
        """
        if self.is_full or self.spec.reads == "source":
            return self._rules
        before, _ = audit.read_rules(self._log, self.spec.name)
        mixed = mix(before, self._rules)
        return mixed if mixed != before else None

    def abandon(self, message: str) -> None:
        """Roll back what the step wrote, let go of every file and lock, and log the message as its error."""
        with suppress(Abandoned), self.stack:
            with suppress(PipelineError):  # the row is final if the step failed after it had committed
                audit.finish_execution(self._log, self._execution, "FAILED", error_message=message)
            raise Abandoned

    def record(self) -> dict:
        """Return what the step did, ready for JSON."""
        return {
            "step": self.spec.name, "batch_id": self.batch_id, "layer": self.spec.writes,
            "is_full": self.is_full,
            "rows_processed": sum(count.read for count in self.counts.values()),
            "rows_quarantined": sum(count.quarantined for count in self.counts.values()),
            "watermark_before": self.watermark.timestamp, "watermark_after": self.reached,
            "tables": {table: asdict(count) | {"rows_after": self._rows_after(table)}
                       for table, count in self.counts.items()},
            "digests": {table: change.digest for table, change in self.table_changes.items()
                        if table in self.counts},
            "gates": self._gate.results() if self._gate else [],
            "quarantine": self.quarantine.entries,
            "warnings": self.warnings, "not_loaded": list(self.not_loaded.values()),
            "seconds": self.phases.so_far(),
            "peak_mib": getrusage(RUSAGE_SELF).ru_maxrss // 1024,
        }

    def summary(self) -> pd.DataFrame:
        """Return the step's counts, one row per table, for a notebook to show."""
        counts = {name: asdict(count) for name, count in self.counts.items()}
        table = pd.DataFrame.from_dict(counts, orient="index")
        return table.assign(rows_after=[self._rows_after(name) for name in self.counts])

    def gates(self) -> pd.DataFrame:
        """Return the results of the gates, one row per expectation, for a notebook to show."""
        tallies = self._gate.tallies.values() if self._gate else []
        return pd.DataFrame([
            {"suite": t.suite, "expectation": t.rule, "rows": t.checked or "", "failing": t.failed,
             "verdict": t.verdict, "sample": ", ".join(t.sample)} for t in tallies])

    def quarantined(self) -> pd.DataFrame:
        """Return what was set aside in this run, the first rows of each rule, for a notebook to show."""
        return self.quarantine.shown()

    def show(self, table: str, columns: Sequence[str], rest: str = "") -> pd.DataFrame:
        """Return columns of a table as published; `rest` is SQL after its name (where, order by, limit)."""
        with open_layer(self.warehouse, self.spec.writes) as layer:
            return layer.read(table, columns, rest).to_pandas()

    def count(self, table: str) -> Count:
        """Return the table's count, a new one when there is none."""
        return self.counts.setdefault(table, Count())

    def _rows_after(self, table: str) -> int:
        return self.table_changes[table].rows_after if table in self.table_changes else 0
