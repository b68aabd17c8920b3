"""Execute a run: the steps in order, each only if it has something to do, then the report."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lib.clock import utc_now
from lib.errors import DeliveryError, PipelineError, UsageError
from lib.ingest import archive
from lib.ingest.deliveries import Delivery, has_new_name, keep_found
from lib.runner import kernels, notebooks
from lib.runner.business_report import has_changed_gold, is_outdated, make_report
from lib.runner.dead_runs import report_dead_runs
from lib.runner.decide import (
    check_clock,
    describe_new,
    explain_changed_rules,
    find_changed_rules,
    is_rebuild,
    last_look,
    look_at_source,
    why_run,
)
from lib.runner.found_files import list_few
from lib.runner.reporting import Exporter, put_manifests, write_report
from lib.runner.result import RunResult, StepResult
from lib.step import progress
from lib.step.suites import check_suites
from lib.steps import LAYERS, NOTEBOOKS, STEPS, Options, StepSpec
from lib.storage import audit, lookup, manifest
from lib.storage.temporary import clear_temporary_folders

Notify = Callable[..., None]  # takes an event's name and, by keyword, its details; see lib.runner.console


def run(options: Options, log: sqlite3.Connection, notify: Notify, queue: kernels.KernelQueue, *,
        full: frozenset[str] = frozenset(), is_replay: bool = False, batch_id: str = "") -> RunResult:
    """Run the steps in order and return the result; the caller holds the run lock and has the audit log open.

    `full` names steps that rebuild their tables even if nothing is new. `is_replay` leaves out the pages for
    people; the run that is repeated names its `batch_id`. `notify` gets run_started, warning, died,
    step_started, step_progress, step_ended and report_started.

    Every step leaves a row in the log, also one with nothing to do and one that is skipped after a failure. A
    run that executed a notebook leaves its folder in the reports, even if it failed. Raises PipelineError for
    a delivery that cannot be read, before anything is logged, and KeyboardInterrupt when it is stopped.
    """
    clear_temporary_folders()
    with ExitStack() as held, queue:
        for layer in LAYERS:
            held.enter_context(lookup.hold_open(options.warehouse, layer))
        result = _begin(options, log, notify, is_replay, batch_id)
        if not is_replay:
            result.notes += report_dead_runs(log, options, result.batch_id)
        of_dead_runs = manifest.read_unwritten(log, options.reports)
        of_dead_runs |= manifest.complete(log, options.warehouse, options.reports)
        with suppress(OSError):  # the end of the run tries again; but this run may be killed before it
            manifest.put(of_dead_runs, options.reports)
        going = _Run(options, log, notify, queue, full, is_replay, result, of_dead_runs)
        try:
            going.execute_steps()
            going.report()
        except BaseException as error:
            going.stop(error)
            raise
        return result


def notebook_parameters(options: Options, result: RunResult, step: StepSpec, is_full: bool) -> dict[str, Any]:
    """Return the parameters that a step's notebook is given."""
    common = {"source": str(options.source), "warehouse": str(options.warehouse),
              "reports": str(options.reports), "batch_id": result.batch_id, "now": result.now,
              "full_refresh": options.full_refresh or is_full}
    if options.engine != "sqlite":
        common |= {"engine": options.engine, "master": options.master, "warehouse": options.tables,
                   "audit": str(options.warehouse)}
    if step.name == "gold":
        common["as_of"] = options.as_of
    else:
        common["quarantine_limit"] = options.quarantine_limit
    if step.name == "raw":
        common |= {"snapshot": ",".join(options.snapshot), "snapshot_limit": options.snapshot_limit,
                   "settled_seconds": options.settled_seconds, "all_or_nothing": options.all_or_nothing}
    return common


def _begin(options: Options, log: sqlite3.Connection, notify: Notify, is_replay: bool,
           batch_id: str) -> RunResult:
    """Begin a run: look at clock and source folder, and mark the steps in which earlier runs died."""
    begun = time.perf_counter()
    new_id, now = audit.begin_run(log, options.now)
    batch_id = batch_id or new_id
    strange = "" if is_replay else check_clock(options, log, now)
    known = lookup.known_deliveries(options.warehouse)
    if options.full_refresh or has_new_name(options.source, known):
        kernels.warm_up()  # notebooks will be executed: import what they need while the deliveries are hashed
    deliveries, silent = look_at_source(options, known, now)
    look_seconds = time.perf_counter() - begun
    notify("run_started", batch_id=batch_id, source=str(options.source), warehouse=str(options.warehouse),
           deliveries=[{"name": delivery.name, "size": delivery.size} for delivery in deliveries
                       if delivery.is_to_read])
    if strange:
        notify("warning", message=strange)
    for step in audit.mark_died(log, batch_id):
        notify("died", step=step)
    listed, not_listed = list_few(deliveries)
    return RunResult(batch_id, now, utc_now(), str(options.source), str(options.warehouse),
                     options.full_refresh, deliveries=[asdict(delivery) for delivery in listed],
                     not_listed=not_listed, files=describe_new(options, deliveries, last_look(log)),
                     notes=[strange] if strange else [], overdue=silent, look_seconds=look_seconds)


@dataclass
class _Run:
    """A run from its first step to its report."""

    options: Options
    log: sqlite3.Connection
    notify: Notify
    queue: kernels.KernelQueue
    full: frozenset[str]
    is_replay: bool
    result: RunResult
    manifests: dict[str, str]  # completed, and still to be written into the folders of their runs
    has_manifest: bool = False
    exporter: Exporter | None = None  # from the first executed notebook on
    begun: float = field(default_factory=time.perf_counter)

    @property
    def folder(self) -> Path:
        return self.options.reports / "runs" / self.result.batch_id

    def execute_steps(self) -> None:
        for spec in self._specs():
            step = self._run_step(spec)
            self.result.steps.append(step)
            self.notify("step_ended", **_number(spec), status=step.status, has_run=step.record is not None,
                        seconds=round(step.seconds, 3), **step.counts(), error=step.error)
            if step.notebook and not self.is_replay:
                self.exporter = self.exporter or Exporter(self.folder)
                self.exporter.export(self.folder / step.notebook)

    def report(self) -> None:
        has_run = any(step.record for step in self.result.steps)
        if has_run:
            kernels.clear_spool()
        error = next((step.error for step in self.result.steps if step.status == "FAILED"), None)
        not_loaded = self.result.explain_not_loaded()
        verdict = "success" if has_run else "nothing new"
        self._end("failed" if error else "incomplete" if not_loaded else verdict,
                  "\n".join(filter(None, [error, not_loaded])) or None)
        if self.options.keep_archive and not error:
            self.result.notes += archive.prune(self.options.warehouse, self.options.keep_archive,
                                               self.result.now)
        has_report = not self.is_replay and (has_changed_gold(self.options, self.result)
                                             or (not error and is_outdated(self.options)))
        if has_report and not self.exporter:  # an earlier run was stopped, or the report's rules have changed
            with suppress(OSError):  # which `write_report` reports
                self.folder.mkdir(parents=True, exist_ok=True)
            kernels.warm_up()
            self.exporter = Exporter(self.folder)
        if self.exporter:
            self.notify("report_started", verdict=self.result.verdict, seconds=self.result.seconds)
        write_report(self.result, self.options.reports, self.exporter, self.options.keep_runs,
                     self._make_business_report if has_report else None)
        self._complete_manifests()

    def _make_business_report(self, exporter: Exporter) -> list[str]:
        return make_report(self.options, self.result, exporter, self.queue.take(is_last=True))

    def stop(self, error: BaseException) -> None:
        """Leave the log, the manifest and the report of a run that does not reach its end."""
        if isinstance(error, KeyboardInterrupt):
            self._end("interrupted", f"stopped by Ctrl-C or a termination signal, {self._where()}")
            if self.exporter:
                self.exporter.finish_notebooks()
        else:
            self._end("failed", str(error))
        # If audit.db cannot be written, the next run marks this one as died.
        with suppress(PipelineError, sqlite3.Error):
            self._finish_open_row(self.result.error)
            if not isinstance(error, UsageError):
                for spec in self._specs():
                    if not self._has_row(spec):
                        self._log_row(spec, "SKIPPED", f"not run: {self.result.error}")
        write_report(self.result, self.options.reports)
        with suppress(PipelineError, sqlite3.Error):
            self._complete_manifests()

    def _where(self) -> str:
        """Return where the run is when it is stopped."""
        left = self._specs()[len(self.result.steps):]
        return f"in step {left[0].name}" if left else "while it wrote its report: all steps are done"

    def _run_step(self, spec: StepSpec) -> StepResult:
        """Run one step, or log why it does not run."""
        failed = [step for step in self.result.steps if step.status == "FAILED"]
        if failed and not (all(step.is_passable for step in failed) and self._is_behind(spec)):
            message = f"not run: step {failed[0].name} failed"
            self._log_row(spec, "SKIPPED", message)
            return StepResult(spec.name, "SKIPPED", error=message)
        step, begun = StepResult(spec.name, "SUCCESS"), time.perf_counter()
        try:
            self._run_if_due(spec, step)
        except UsageError:
            raise
        except PipelineError as error:
            self._fail(spec, step, error)
        gates = progress.take_gates(self.folder)
        step.gates = gates if step.status == "FAILED" else []
        step.seconds = time.perf_counter() - begun
        return step

    def _run_if_due(self, spec: StepSpec, step: StepResult) -> None:
        """Run a step if it has something to do, and note what its changed rules mean."""
        changed = find_changed_rules(self.log, spec)
        step.why = self._why_run(spec, changed)
        is_full = spec.name in self.full or is_rebuild(self.options, spec, changed)
        note = [explain_changed_rules(spec, changed, is_full)] if changed else []
        if spec.reads != "source":
            self.result.notes += note
        if not is_full and not step.why:
            self._log_row(spec, "SUCCESS", None)
            return
        self.notify("step_started", **_number(spec), why=step.why, is_full=is_full)
        step.record = self._execute(spec, is_full)
        step.notebook = self._saved_copy(spec)
        if spec.reads == "source":  # a changed rule of raw matters only if raw has read something
            self.result.notes += note

    def _is_behind(self, spec: StepSpec) -> bool:
        """Return whether a step has something to do although raw could load none of the new deliveries."""
        changed = find_changed_rules(self.log, spec)
        return (self.options.warehouse / "raw.db").exists() and bool(
            is_rebuild(self.options, spec, changed) or self._why_run(spec, changed))

    def _why_run(self, spec: StepSpec, changed: str) -> str | None:
        to_read = sum(Delivery(**delivery).is_to_read for delivery in self.result.deliveries)
        watermark = audit.read_watermark(self.log, spec.name)
        return why_run(self.options, spec, to_read, watermark, changed) or None

    def _execute(self, spec: StepSpec, is_full: bool) -> dict[str, Any]:
        """Execute a step's notebook and return the record that it returns."""
        if not any(step.record for step in self.result.steps):
            _get_ready(self.options, self.result, self.queue, self.folder)
            self._begin_manifest()
        # After gold, one more kernel makes the business report.
        makes_report = spec.name == "gold" and self.options.engine == "sqlite" and not self.is_replay
        is_last = spec.name == max(self.options.steps, key=list(STEPS).index) and not makes_report
        parameters = notebook_parameters(self.options, self.result, spec, is_full)
        with (progress.follow(self.folder, partial(self.notify, "step_progress", **_number(spec))),
              keep_found(self.result.deliveries, self.folder) if spec.reads == "source" else nullcontext()):
            return notebooks.execute(spec, self.folder, parameters, self.queue.take(is_last))

    def _fail(self, spec: StepSpec, step: StepResult, error: PipelineError) -> None:
        step.status, step.error = "FAILED", str(error)
        step.is_passable = isinstance(error, DeliveryError)
        step.notebook = self._saved_copy(spec)
        step.cell = error.cell if isinstance(error, notebooks.NotebookFailed) else None
        if not self._finish_open_row(step.error) and not self._has_row(spec):
            self._log_row(spec, "FAILED", step.error)

    def _saved_copy(self, spec: StepSpec) -> str | None:
        return spec.notebook if (self.folder / spec.notebook).exists() else None

    def _specs(self) -> list[StepSpec]:
        return [spec for spec in STEPS.values() if spec.name in self.options.steps]

    def _end(self, verdict: str, error: str | None) -> None:
        self.result.verdict, self.result.error = verdict, error
        self.result.ended, self.result.seconds = utc_now(), time.perf_counter() - self.begun

    def _begin_manifest(self) -> None:
        """Begin the run's manifest before its first row in the log: no row may be without a manifest."""
        if not self.has_manifest:
            manifest.begin(self.log, self.options, self.result.batch_id, self.result.now)
            self.has_manifest = True

    def _complete_manifests(self) -> None:
        """Complete the manifest, the last thing that a run writes: it covers the report, too."""
        self.manifests |= manifest.complete(self.log, self.options.warehouse, self.options.reports)
        put_manifests(self.result, self.options.reports, self.manifests)

    def _log_row(self, spec: StepSpec, status: str, message: str | None) -> None:
        self._begin_manifest()
        execution = audit.start_execution(self.log, self.result.batch_id, spec.name, spec.writes)
        audit.finish_execution(self.log, execution, status, error_message=message)

    def _finish_open_row(self, message: str) -> bool:
        """Mark the step that was running as failed; return whether there was one."""
        row = self.log.execute("select execution_id from pipeline_execution_log "
                               "where batch_id = ? and status = 'RUNNING'", [self.result.batch_id]).fetchone()
        if row:
            audit.finish_execution(self.log, row[0], "FAILED", error_message=message)
        return row is not None

    def _has_row(self, spec: StepSpec) -> bool:
        row = self.log.execute("select 1 from pipeline_execution_log where batch_id = ? and process_name = ?",
                               [self.result.batch_id, spec.name]).fetchone()
        return row is not None


def _get_ready(options: Options, result: RunResult, queue: kernels.KernelQueue, folder: Path) -> None:
    """Check the suites and every notebook's parameters before any kernel starts, while the warm process
    imports. On Spark, start Java, which ends with the queue."""
    kernels.warm_up()
    check_suites(options.warehouse)
    for spec in STEPS.values():
        notebooks.check_parameters(NOTEBOOKS / spec.notebook,
                                   notebook_parameters(options, result, spec, False))
    if options.engine == "spark":
        queue.enter_context(kernels.running_jvm(folder / "spark.log"))


def _number(spec: StepSpec) -> dict[str, Any]:
    return {"step": spec.name, "number": list(STEPS).index(spec.name) + 1, "of": len(STEPS)}
