"""Write the report of runs that were killed before they could: the run after them does that.

What a dead run has left says how it went: its rows in the log, its manifest, executed notebooks with the
records of their steps, and the small hidden files of the step in which it died.
"""

import json
import sqlite3
from contextlib import suppress
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from lib.clock import FORMAT
from lib.errors import first_line
from lib.ingest.deliveries import FOUND, Delivery, read_found
from lib.report.pages import write_run_page
from lib.runner.found_files import describe_files
from lib.runner.notebooks import find_record
from lib.runner.reporting import EXPORT_LOG
from lib.runner.result import RunResult, StepResult, read_result
from lib.step import progress
from lib.steps import STEPS, Options, StepSpec
from lib.storage.files import write_whole

LEFT = (FOUND, progress.FILE, progress.RECORD, progress.GATES, ".partial-*", ".*.partial")  # hidden files
# A manifest is the last thing that a run completes.
DEAD = "select batch_id, begun from pipeline_manifest where manifest is null order by manifest_id"
ROWS = """
select process_name, status, start_time, end_time, error_message, rows_processed, rows_quarantined,
    table_digests is not null
from pipeline_execution_log
where batch_id = ?
order by execution_id"""


def report_dead_runs(log: sqlite3.Connection, options: Options, batch_id: str) -> list[str]:
    """Write what is missing of `run.json` and the pages of dead runs; `batch_id` is the run that does it.

    Returns their warnings, which nobody has been told. Call it when the steps of dead runs have been marked
    in the log, and before their manifests are completed. A report that cannot be written stops no run.
    """
    warnings: list[str] = []
    for dead, begun in log.execute(DEAD).fetchall():
        folder = options.reports / "runs" / dead
        if not (folder / "run.json").exists() or not (folder / "index.html").exists():
            with suppress(OSError):  # this run will have the same trouble with its own report, and say so
                rows = log.execute(ROWS, [dead]).fetchall()
                _report(folder, dead, json.loads(begun), rows, options, batch_id)
            with suppress(OSError, ValueError, TypeError, KeyError):  # an earlier release may have written it
                result = read_result(folder / "run.json")
                warnings += [f"run {dead}, which was killed: {line}"
                             for line in (*result.files, *result.warnings_about_rows())]
    return warnings


def _report(folder: Path, dead: str, begun: dict[str, Any], rows: list[tuple], options: Options,
            batch_id: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    notes = [f"this report was written by run {batch_id}: this run was killed or could not write it, or its "
             "notebook was run by hand. There are no data docs of it"]
    notes += [note for path in sorted(folder.glob("[!.]*.ipynb")) if (note := _export(path))]
    if not (folder / "run.json").exists():
        result = _reconstruct(folder, dead, begun, rows, options)
        result.notes += notes
        write_whole(folder / "run.json", json.dumps(asdict(result), indent=1, ensure_ascii=False))
    for pattern in LEFT:
        for path in folder.glob(pattern):
            path.unlink()
    for path in folder.glob(EXPORT_LOG):
        if not path.stat().st_size:
            path.unlink()
    write_run_page(folder)


def _export(notebook: Path) -> str:
    """Write the page of an executed notebook if there is none; return what went wrong, "" if nothing did."""
    if notebook.with_suffix(".html").exists():
        return ""
    from lib.report.notebook_pages import export_notebook  # here, not above: it is slow, and rarely needed

    try:
        export_notebook(notebook)
    except Exception as error:
        return f"the page of {notebook.name} could not be made: {type(error).__name__}: {first_line(error)}"
    return ""


def _reconstruct(folder: Path, dead: str, begun: dict[str, Any], rows: list[tuple],
                 options: Options) -> RunResult:
    """Return the result of a dead run, as far as it is known."""
    logged = {row[0]: row for row in rows}
    given = begun["parameters"]
    published = progress.take_record(folder) or {}
    steps = [_step(spec, folder, logged.get(name), published) for name, spec in STEPS.items()
             if name in given["steps"]]
    started = min([begun["started"], *(row[2] for row in rows)])
    ended = max([started, *(row[3] or row[2] for row in rows)])
    seconds = (datetime.strptime(ended, FORMAT) - datetime.strptime(started, FORMAT)).total_seconds()
    deliveries = _deliveries(folder, steps)
    result = RunResult(
        dead, begun["now"], started, str(options.source), str(options.warehouse), given["full_refresh"],
        steps, [asdict(delivery) for delivery in deliveries], ended=ended, seconds=seconds,
        files=describe_files(delivery for delivery in deliveries if delivery.status != "copy"))
    result.verdict, result.error = _judge(result)
    return result


def _step(spec: StepSpec, folder: Path, row: tuple | None, published: dict[str, Any]) -> StepResult:
    if row is None:
        return StepResult(spec.name, "SKIPPED", error="not run: the run was killed before")
    _, status, start, end, error, processed, quarantined, has_run = row
    notebook = spec.notebook if (folder / spec.notebook).exists() else None
    record = None
    if status == "SUCCESS":
        record = published if published.get("step") == spec.name else _read_record(folder, spec)
        if has_run and not record:  # what the log knows
            record = {"step": spec.name, "layer": spec.writes, "rows_processed": processed,
                      "rows_quarantined": quarantined, "watermark_before": None, "watermark_after": None,
                      "tables": {}, "gates": [], "warnings": []}
    seconds = datetime.strptime(end or start, FORMAT) - datetime.strptime(start, FORMAT)
    gates = progress.take_gates(folder) if status in ("FAILED", "DIED") else []
    return StepResult(spec.name, status, seconds.total_seconds(), notebook=notebook, gates=gates,
                      error=error if status != "SUCCESS" else None, record=record)


def _read_record(folder: Path, spec: StepSpec) -> dict[str, Any] | None:
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # it may be cut off
        cells = json.loads((folder / spec.notebook).read_text(encoding="utf-8"))["cells"]
        return find_record(cells, spec.name) or None
    return None


def _deliveries(folder: Path, steps: list[StepResult]) -> list[Delivery]:
    """Return what a run has found: while raw runs it is in a file, and then in raw's record."""
    names = [field.name for field in fields(Delivery)]
    records = [step.record for step in steps if step.record and step.name == "raw"]
    return read_found(folder) or [Delivery(**{name: delivery[name] for name in names})
                                  for record in records for delivery in record.get("deliveries", [])]


def _judge(result: RunResult) -> tuple[str, str | None]:
    """Return verdict and error of a dead run, as the log knows them."""
    for status, verdict in (("DIED", "died"), ("FAILED", "failed")):
        for step in result.steps:
            if step.status == status:
                return verdict, step.error
    for before, step in zip([None, *result.steps], result.steps, strict=False):
        if step.status == "SKIPPED":
            where = f"after step {before.name}" if before else "before its first step"
            return "died", f"run {result.batch_id} died {where} without reporting an error"
    if not_loaded := result.explain_not_loaded():
        return "incomplete", not_loaded
    return "success" if any(step.record for step in result.steps) else "nothing new", None
