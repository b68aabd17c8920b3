"""One run: the four steps in order, each only if it has something to do, and what became of them."""

import json
import multiprocessing
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lib.clock import utc_now
from lib.errors import PipelineError, UsageError, remedy
from lib.ingest import archive
from lib.ingest.deliveries import Delivery, KnownDelivery, find_deliveries, has_new_name, keep_found, overdue
from lib.report import pages
from lib.runner import kernels, notebooks
from lib.runner.retention import prune_runs
from lib.step import progress
from lib.step.fingerprint import changed_parts, take_fingerprint
from lib.steps import STEPS, Options, StepSpec
from lib.storage import audit, lookup, manifest
from lib.storage.files import write_whole

EXPORT_LOG = "pages.log"  # in a run's folder: what the making of its pages said
Tell = Callable[..., None]  # is told of an event: its name, and by keyword what there is to say of it


@dataclass
class StepResult:
    """What became of one step of a run."""

    name: str
    status: str  # SUCCESS, FAILED or SKIPPED
    seconds: float = 0.0
    why: str | None = None  # it had something to do
    notebook: str | None = None  # the executed copy's file name
    cell: int | None = None  # the notebook's cell that failed
    error: str | None = None
    record: dict[str, Any] | None = None  # what the notebook handed back; None when it did not run


@dataclass
class RunResult:
    """What became of a run: this is `run.json`."""

    batch_id: str
    now: str  # its clock: what the times in the layers count from
    started: str
    source: str
    warehouse: str
    full_refresh: bool
    steps: list[StepResult] = field(default_factory=list)
    deliveries: list[dict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # rules that changed, deliveries that the archive forgot: what that means
    overdue: list[str] = field(default_factory=list)  # sources that have not delivered for longer than usual
    ended: str = ""
    seconds: float = 0.0
    look_seconds: float = 0.0  # to tell what is new in the source folder
    report_seconds: float = 0.0  # waiting for pages and data docs, after the last step
    verdict: str = ""  # "success", "nothing new", "failed" or "interrupted"
    error: str | None = None

    def tables(self) -> list[dict[str, Any]]:
        """Return what the run changed in each table of each layer."""
        return [{"layer": STEPS[step.name].writes, "table": table, "added": count["added"], "changed": count["changed"],
                 "removed": count["removed"], "rows_now": count["rows_after"]}
                for step in self.steps if step.record for table, count in step.record["tables"].items()]

    def warnings(self) -> list[str]:
        """Return what a person should know of a run, though it did not stop it."""
        said = [f"{delivery['name']}: {delivery['note']}" for delivery in self.deliveries if delivery["note"]]
        said += self.overdue + self.notes
        for step in self.steps:
            if step.record:
                said += step.record["warnings"]
                said += [f"{gate['suite']}: {gate['failed']:,} of {gate['checked']:,} rows"
                         f"{', such as ' + ', '.join(gate['sample']) if gate['sample'] else ''}: {gate['notes']} ({gate['rule']})"
                         for gate in step.record["gates"] if gate["failed"]]
        return said


def notebook_parameters(options: Options, result: RunResult, step: StepSpec, is_full: bool) -> dict[str, Any]:
    """Return the parameters that a step's notebook is given."""
    common = {"source": str(options.source), "warehouse": str(options.warehouse), "reports": str(options.reports),
              "batch_id": result.batch_id, "now": result.now, "full_refresh": options.full_refresh or is_full}
    if options.engine != "sqlite":
        common |= {"engine": options.engine, "master": options.master, "warehouse": options.tables, "audit": str(options.warehouse)}
    if step.name != "gold":
        common["quarantine_limit"] = options.quarantine_limit
    if step.name == "raw":
        common |= {"snapshot": ",".join(options.snapshot), "snapshot_limit": options.snapshot_limit,
                   "settled_seconds": options.settled_seconds}
    return common


def look_at_source(options: Options, known: list[KnownDelivery], now: str) -> tuple[list[Delivery], list[str]]:
    """Return what lies in the source folder, by what earlier runs have read of it, and which sources have been silent for long."""
    deliveries = find_deliveries(options.source, known, options.settled_seconds)
    arrived = {delivery.source for delivery in deliveries if delivery.is_to_read}
    return deliveries, overdue([entry for entry in known if entry.source not in arrived], now)


def find_changed_rules(log: sqlite3.Connection, step: StepSpec) -> str:
    """Return which rules of a step changed since all of its rows were made by them, "" if none."""
    rules, since = audit.read_rules(log, step.name)
    changed = changed_parts(rules, take_fingerprint(step)) if rules else []
    return f"{', '.join(changed)} changed since {since[:19]}" if changed else ""


def explain_changed_rules(step: StepSpec, changed: str, is_full: bool) -> str:
    """Return what it means that rules of a step changed."""
    return f"step {step.name}: {changed}: " + (
        "that holds for what is delivered from now on, as raw keeps what it has" if step.reads == "source" else
        "its tables and those behind it are built anew" if is_full else
        "what was made before stays as it was, because of --no-rebuild")


def why_run(options: Options, step: StepSpec, to_read: int, watermark: audit.Watermark, changed: str, read_only: bool = False) -> str:
    """Return why a step has something to do: deliveries to read, or input that is newer than its watermark; "" if it has nothing.

    A step that never succeeded has: its tables are yet to be created, even if they stay empty. So has one whose tables are
    gone (somebody has moved the file aside), and raw when a run died between committing its rows and its watermark.
    """
    if not (options.warehouse / f"{step.writes}.db").exists():
        return f"{step.writes}.db is not there yet"
    last = lookup.last_timestamp(options.warehouse, step.writes, step.name, read_only)
    if step.reads == "source":
        died = "a run died before it could set the watermark" if last > watermark.timestamp else ""
        return f"{to_read} deliveries to read" if to_read > 1 else "one delivery to read" if to_read else died
    if changed and not options.no_rebuild:
        return f"{changed}: everything is built anew"
    if options.full_refresh:
        return "everything is built anew from raw"
    if watermark == audit.Watermark() or not last:
        return f"it has never succeeded on this {step.writes}.db"
    changed = lookup.newer_tables(options.warehouse, step.reads, step.inputs, watermark.timestamp, read_only)
    return f"{', '.join(changed)}: newer in {step.reads}.db than {watermark.timestamp}" if changed else ""


def run(options: Options, log: sqlite3.Connection, tell: Tell, waiting: kernels.KernelQueue, *, full: frozenset[str] = frozenset(),
        is_replay: bool = False) -> RunResult:
    """Run the steps in order and return what became of them; the caller holds the run lock and has the audit log open.

    `full` names steps that rebuild their tables whatever is new. `is_replay` leaves out the pages for people.

    `tell` is told as it goes: run_started, died, step_started, step_progress, step_ended, report_started (see lib.runner.console).

    Every step of the run leaves a row in the log, the ones with nothing to do and the ones behind a failure included, and
    a run that executed a notebook leaves its folder in the reports, also when it failed. Raises PipelineError, before
    anything is logged, for a delivery that cannot be read, and KeyboardInterrupt when it is stopped.
    """
    with ExitStack() as held, waiting:
        for layer in {step.writes: None for step in STEPS.values()}:
            held.enter_context(lookup.hold_open(options.warehouse, layer))
        return _run(options, log, tell, waiting, full, is_replay)


def _run(options: Options, log: sqlite3.Connection, tell: Tell, waiting: kernels.KernelQueue, full: frozenset[str],
         is_replay: bool) -> RunResult:
    begun = time.perf_counter()
    batch_id, now = audit.begin_run(log, options.now)
    known = lookup.known_deliveries(options.warehouse)
    if options.full_refresh or has_new_name(options.source, known):
        kernels.warm_up()  # there will be notebooks to execute: import while the source folder is looked at
    deliveries, silent = look_at_source(options, known, now)
    looked = time.perf_counter() - begun
    tell("run_started", batch_id=batch_id, source=str(options.source), warehouse=str(options.warehouse),
         deliveries=[{"name": delivery.name, "size": delivery.size} for delivery in deliveries if delivery.is_to_read])
    for step in audit.mark_died(log, batch_id):
        tell("died", step=step)
    manifests = manifest.complete(log, options.warehouse, options.reports)  # of runs that died
    result = RunResult(batch_id, now, utc_now(), str(options.source), str(options.warehouse), options.full_refresh,
                       deliveries=[asdict(delivery) for delivery in deliveries], overdue=silent, look_seconds=looked)
    folder, begun, exporter = options.reports / "runs" / batch_id, time.perf_counter(), None
    try:
        for spec in STEPS.values():
            if spec.name in options.steps:
                step = _run_step(options, log, result, spec, folder, tell, waiting, spec.name in full)
                result.steps.append(step)
                tell("step_ended", **_in_short(step))
                if step.notebook and not is_replay:
                    exporter = exporter or Exporter(folder)
                    exporter.export(folder / step.notebook)
        result.error = next((step.error for step in result.steps if step.status == "FAILED"), None)
        result.verdict = "failed" if result.error else "success" if any(step.record for step in result.steps) else "nothing new"
        result.ended, result.seconds = utc_now(), time.perf_counter() - begun
        if options.keep_archive and not result.error:
            result.notes += archive.prune(options.warehouse, options.keep_archive, now)
        manifest.begin(log, options, batch_id, now)
        manifests |= manifest.complete(log, options.warehouse, options.reports)
        if exporter:
            tell("report_started")
        _write_report(result, options.reports, folder, manifests, exporter, options.keep_runs)
    except BaseException as error:
        is_stopped = isinstance(error, KeyboardInterrupt)
        result.verdict = "interrupted" if is_stopped else "failed"
        result.error = "stopped by Ctrl-C or a termination signal" if is_stopped else str(error)
        result.ended, result.seconds = utc_now(), time.perf_counter() - begun
        with suppress(PipelineError, sqlite3.Error):  # the next run then finds the row and marks it
            _finish_open_row(log, batch_id, result.error)
            if not isinstance(error, UsageError):
                for spec in STEPS.values():
                    if spec.name in options.steps and not _has_row(log, batch_id, spec.name):
                        _log_row(log, batch_id, spec, "SKIPPED", f"not run: {result.error}")
                manifest.begin(log, options, batch_id, now)
            manifests |= manifest.complete(log, options.warehouse, options.reports)
        _write_report(result, options.reports, folder, manifests, None)
        raise
    return result


class Exporter:
    """A process that makes the notebooks' pages while the notebooks behind them run."""

    def __init__(self, folder: Path):
        paths, self._paths = multiprocessing.Pipe(duplex=False)
        self._folder, self._forks = folder, [_start_export(folder, "lib.report.notebook_pages:export_notebooks", paths)]
        paths.close()

    def export(self, notebook: Path) -> None:
        with suppress(BrokenPipeError):  # the process is gone: its exit code tells
            self._paths.send(notebook)

    def finish(self, others: Iterable[tuple]) -> bool:
        """Wait for the pages, have others (each a function by name, and its arguments) made beside them, and return whether all
        could be written."""
        self._paths.close()
        self._forks += [_start_export(self._folder, *other) for other in others]
        for fork in self._forks:
            fork.join()
        return not any(fork.exitcode for fork in self._forks)


def _write_report(result: RunResult, reports: Path, folder: Path, manifests: dict[str, str],
                  exporter: Exporter | None, keep_runs: int = 0) -> None:
    """Leave the notebooks' pages (which `exporter` is at work on), the data docs, `run.json`, manifests and the run's pages.

    A report that cannot be written makes the run a failed one: what it did to the layers stays.
    """
    try:
        begun = time.perf_counter()
        if exporter:
            if not exporter.finish([("lib.report.data_docs:build_docs", folder), ("lib.report.trends:draw_trends", reports, folder, asdict(result)),
                                    ("lib.report.catalog:write_catalog", reports, folder, Path(result.warehouse))]):
                _fail(result, f"a page or the data docs could not be written: {folder / EXPORT_LOG} says why.")
            elif not (folder / EXPORT_LOG).stat().st_size:
                (folder / EXPORT_LOG).unlink()
        result.report_seconds = time.perf_counter() - begun
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "run.json", json.dumps(asdict(result), indent=1, ensure_ascii=False))
        manifest.put(manifests, reports)
        if keep_runs:
            prune_runs(reports, keep_runs)
        pages.write_run_page(folder)
        pages.write_index(reports)
    except OSError as error:
        _fail(result, f"the report in {error.filename or folder} cannot be written ({error.strerror}). "
                      f"{remedy(error) or 'Correct that, or name another folder with --reports.'}")


def _start_export(folder: Path, target: str, *what: Any) -> Any:
    return kernels.start_fork("lib.runner.kernels:run_logged", folder / EXPORT_LOG, target, *what)


def _fail(result: RunResult, message: str) -> None:
    """Make a run a failed one if it was not so already: its first error is the one to tell."""
    if not result.error:
        result.verdict, result.error = "failed", f"{message} What was published stays."


def _in_short(step: StepResult) -> dict[str, Any]:
    """Return what there is to tell of a step that has ended."""
    record = step.record or {"tables": {}, "rows_processed": 0, "rows_quarantined": 0, "watermark_before": None,
                             "watermark_after": None}
    changes = {name: sum(table[name] for table in record["tables"].values()) for name in ("added", "changed", "removed")}
    return {**_place(step.name), "status": step.status, "has_run": step.record is not None, "seconds": round(step.seconds, 3),
            "rows_read": record["rows_processed"], **changes, "quarantined": record["rows_quarantined"],
            "watermark_before": record["watermark_before"], "watermark_after": record["watermark_after"], "error": step.error}


def _place(step: str) -> dict[str, Any]:
    return {"step": step, "number": list(STEPS).index(step) + 1, "of": len(STEPS)}


def _run_step(options: Options, log: sqlite3.Connection, result: RunResult, spec: StepSpec, folder: Path, tell: Tell,
              waiting: kernels.KernelQueue, is_full: bool) -> StepResult:
    """Run one step, or log why it does not run."""
    failed = next((step.name for step in result.steps if step.status == "FAILED"), None)
    if failed:
        message = f"not run: step {failed} failed"
        _log_row(log, result.batch_id, spec, "SKIPPED", message)
        return StepResult(spec.name, "SKIPPED", error=message)
    begun, why = time.perf_counter(), None
    try:
        to_read = sum(Delivery(**delivery).is_to_read for delivery in result.deliveries)
        changed = find_changed_rules(log, spec)
        why = why_run(options, spec, to_read, audit.read_watermark(log, spec.name), changed) or None
        if spec.reads != "source":
            is_full |= options.full_refresh or bool(changed and not options.no_rebuild)
            result.notes += [explain_changed_rules(spec, changed, is_full)] if changed else []
        if not is_full and not why:
            _log_row(log, result.batch_id, spec, "SUCCESS", None)
            return StepResult(spec.name, "SUCCESS", time.perf_counter() - begun)
        tell("step_started", **_place(spec.name), why=why, is_full=is_full)
        if not any(step.record for step in result.steps):
            _get_ready(options, result)
            manifest.begin(log, options, result.batch_id, result.now)
        is_last = spec.name == max(options.steps, key=list(STEPS).index)
        with (progress.follow(folder, partial(tell, "step_progress", **_place(spec.name))),
              keep_found(result.deliveries, folder) if spec.reads == "source" else nullcontext()):
            record = notebooks.execute(spec, folder, notebook_parameters(options, result, spec, is_full), waiting.take(is_last))
        if changed and spec.reads == "source":
            result.notes.append(explain_changed_rules(spec, changed, is_full))
        return StepResult(spec.name, "SUCCESS", time.perf_counter() - begun, why, spec.notebook, record=record)
    except UsageError:
        raise
    except PipelineError as error:
        if not _finish_open_row(log, result.batch_id, str(error)) and not _has_row(log, result.batch_id, spec.name):
            _log_row(log, result.batch_id, spec, "FAILED", str(error))
        saved = spec.notebook if (folder / spec.notebook).exists() else None
        cell = error.cell if isinstance(error, notebooks.NotebookFailed) else None
        return StepResult(spec.name, "FAILED", time.perf_counter() - begun, why, saved, cell, str(error))


def _get_ready(options: Options, result: RunResult) -> None:
    """Check every notebook's parameters before any kernel starts, while the warm process imports."""
    kernels.warm_up()
    for spec in STEPS.values():
        notebooks.check_parameters(spec, notebook_parameters(options, result, spec, False))


def _log_row(log: sqlite3.Connection, batch_id: str, spec: StepSpec, status: str, message: str | None) -> None:
    execution = audit.start_execution(log, batch_id, spec.name, spec.writes)
    audit.finish_execution(log, execution, status, error_message=message)


def _finish_open_row(log: sqlite3.Connection, batch_id: str, message: str) -> bool:
    """Make the row of the step that was running final; return whether there was one."""
    row = log.execute("select execution_id from pipeline_execution_log where batch_id = ? and status = 'RUNNING'",
                      [batch_id]).fetchone()
    if row:
        audit.finish_execution(log, row[0], "FAILED", error_message=message)
    return row is not None


def _has_row(log: sqlite3.Connection, batch_id: str, step: str) -> bool:
    return log.execute("select 1 from pipeline_execution_log where batch_id = ? and process_name = ?",
                       [batch_id, step]).fetchone() is not None
