"""Show the state of a warehouse: last runs, watermarks, age of each source, quarantine, warnings, what to do.

It reads the source folder, audit.db, the deliveries and quarantine of raw.db, the quarantine of curated.db
and the reports, and changes no byte. A warning is open as long as what it says is true: rows are in
quarantine, no run can read a file, a source is overdue, a run has left no report. What a run has said about
its rows is open until the next run that has something to do.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from lib.clock import FORMAT, duration
from lib.contract import SOURCES
from lib.errors import PipelineError
from lib.ingest.deliveries import find_deliveries, overdue
from lib.runner.decide import find_changed_rules, last_look, why_run
from lib.runner.failure import command
from lib.runner.found_files import describe_files
from lib.runner.result import read_result
from lib.steps import STEPS, Options, StepSpec
from lib.storage import audit, lookup
from lib.storage.lock import lock_holder
from lib.storage.lookup import KnownDelivery

RUNS = 5  # that are shown
# One row per run, the newest first.
LAST_RUNS = """
    select batch_id, min(start_time) as started, max(end_time) as ended,
        sum(case when process_name = 'raw' then rows_processed end) as delivered,
        sum(rows_quarantined) as quarantined,
        json_group_array(status) as statuses,
        max(case when status in ('RUNNING', 'DIED', 'FAILED') then process_name end) as stopped_in,
        max(case when status in ('DIED', 'FAILED') then error_message end) as error,
        max(case when status = 'SUCCESS' then error_message end) as not_loaded
    from pipeline_execution_log
    group by batch_id
    order by max(execution_id) desc
    limit ?"""
# The last run that had something to do: a step that had none has left no digests.
LAST_WORK = """
    select batch_id from pipeline_execution_log
    where table_digests is not null or status not in ('SUCCESS', 'SKIPPED')
    order by execution_id desc
    limit 1"""
LEFT_OPEN = "select batch_id from pipeline_manifest where manifest is null order by manifest_id"


def read_status(options: Options, now: str) -> dict[str, Any]:
    """Return the state of a warehouse at a moment, ready for JSON.

    `next_actions` lists what a person has to do; `is_well` is true when that is nothing. A database that
    cannot be read is one of these actions and hides only what is in it.
    """
    warehouse, holder = options.warehouse, lock_holder(options.warehouse)
    runs, watermarks, sources, quarantine, warnings, actions = [], [], [], [], [], []
    said_last, looked, found = [], 0.0, []
    with _noted(actions):
        if (warehouse / "audit.db").exists():
            with audit.open_audit_to_read(warehouse) as log:
                runs += [_run(row, options, holder) for row in _rows(log, LAST_RUNS, RUNS)]
                said_last += [] if holder else _said_last(log, options)
                looked = last_look(log)
    with _noted(actions):
        known = lookup.known_deliveries(warehouse, read_only=True)
        if (warehouse / "raw.db").exists():
            sources += [_freshness(name, known, now) for name in SOURCES]
        found += find_deliveries(options.source, known, 0.0, looked)
        arrived = {delivery.source for delivery in found if delivery.is_to_read}
        warnings += overdue([entry for entry in known if entry.source not in arrived], now)
    warnings += describe_files(delivery for delivery in found if delivery.status != "copy")
    if runs:
        with _noted(actions), audit.open_audit_to_read(warehouse) as log:
            to_read = sum(delivery.is_to_read for delivery in found)
            watermarks += [_watermark(log, options, step, to_read) for step in STEPS.values()]
    for layer in ("raw", "curated"):
        if (warehouse / f"{layer}.db").exists():
            with _noted(actions):
                quarantine += [dict(zip(("table", "rule", "reason", "rows"), row, strict=True))
                               for row in lookup.open_quarantine(warehouse, layer)]
    if quarantine:
        rows = sum(entry["rows"] for entry in quarantine)
        are = "rows are" if rows > 1 else "row is"
        warnings.append(f"{rows:,} {are} in quarantine until a corrected delivery replaces what is wrong")
    warnings += said_last
    if not holder:
        actions += _repeat(runs, watermarks, options)
    return {"warehouse": str(warehouse), "checked": now, "is_well": not actions, "running": holder,
            "runs": runs, "watermarks": watermarks, "sources": sources, "quarantine": quarantine,
            "warnings": warnings, "next_actions": list(dict.fromkeys(actions))}


def describe(status: dict[str, Any]) -> list[str]:
    """Return a status as lines for a terminal."""
    marks = [f"{mark['step']:<11}{mark['timestamp']:<28}{mark['behind'] or 'up to date'}"
             for mark in status["watermarks"]]
    quarantine = [f"{entry['table']:<17}{entry['rows']:>7,} rows: {entry['reason']} ({entry['rule']})"
                  for entry in status["quarantine"]]
    running = [f"a run is in progress: process {status['running']}"] if status["running"] else []
    return [f"{status['warehouse']}, {status['checked'][:19]} UTC", *running,
            *_section("last runs", [line for run in status["runs"] for line in _describe_run(run)]),
            *_section("watermarks", marks),
            *_section("sources", [_describe_source(source) for source in status["sources"]]),
            *_section("quarantine", quarantine), "",
            *(f"warning: {warning}" for warning in status["warnings"]),
            *(f"next: {action}" for action in status["next_actions"] or ["nothing to do"])]


def _describe_run(run: dict[str, Any]) -> list[str]:
    lines = [f"{run['batch_id']:<23} {run['verdict']:<12}{run['delivered'] or 0:>10,} rows delivered "
             f"{run['quarantined']:>7,} quarantined{run['seconds']:>9,.1f} s"]
    if run["error"]:
        where = f"{run['stopped_in']}: " if run["stopped_in"] else ""
        lines.append(f"{'':<23} {where}{_first_line(run['error'])}")
    return lines


def _describe_source(source: dict[str, Any]) -> str:
    word = "delivery" if source["deliveries"] == 1 else "deliveries"
    last = f", the last one {source['age']} ago: {source['last_delivery']}" if source["deliveries"] else ""
    if (source["age_seconds"] or 0) < 0:
        last = f", the last one by a clock that was ahead: {source['last_delivery']}"
    return f"{source['source']:<12}{source['deliveries']:>6,} {word}{last}"


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)] if lines else ["", f"{title}: none"]


@contextmanager
def _noted(actions: list[str]) -> Iterator[None]:
    """Add the error of a database that cannot be read to the actions, and go on."""
    try:
        yield
    except PipelineError as error:
        actions.append(str(error))


def _rows(log: sqlite3.Connection, sql: str, *parameters: Any) -> list[dict[str, Any]]:
    cursor = log.execute(sql, parameters)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _run(row: dict[str, Any], options: Options, holder: int | None) -> dict[str, Any]:
    """Return a run of the log with its verdict, and with its page if there is one."""
    statuses, not_loaded = json.loads(row.pop("statuses")), row.pop("not_loaded")
    if not_loaded and not row["error"]:
        row |= {"stopped_in": "raw", "error": not_loaded}
    if "RUNNING" in statuses:
        verdict = "running" if holder else "died"
    else:
        ends = {"DIED": "died", "FAILED": "failed"}
        verdict = next((ends[status] for status in ends if status in statuses),
                       "incomplete" if not_loaded else "success")
    page = options.reports / "runs" / row["batch_id"] / "index.html"
    seconds = (_moment(row["ended"]) - _moment(row["started"])).total_seconds() if row["ended"] else 0.0
    # Only run.json knows whether a person stopped the run and whether its report failed.
    with suppress(OSError, ValueError, KeyError):
        kept = json.loads(page.with_name("run.json").read_text(encoding="utf-8"))
        verdict, seconds = kept["verdict"], kept["seconds"]
        row["error"] = row["error"] or kept["error"]
    return row | {"verdict": verdict, "seconds": round(seconds, 3),
                  "report": str(page) if page.exists() else None}


def _said_last(log: sqlite3.Connection, options: Options) -> list[str]:
    """Return which runs have left no report, and what the last one with something to do said of its rows."""
    warnings = [f"run {batch_id} has not finished its report: the next run does"
                for (batch_id,) in log.execute(LEFT_OPEN)]
    for (batch_id,) in log.execute(LAST_WORK):
        with suppress(OSError, ValueError, TypeError, KeyError):  # the folder was deleted, or is not whole
            result = read_result(options.reports / "runs" / batch_id / "run.json")
            warnings += [f"run {batch_id}: {line}" for line in result.warnings_about_rows()]
    return warnings


def _watermark(log: sqlite3.Connection, options: Options, step: StepSpec, to_read: int) -> dict[str, Any]:
    mark = audit.read_watermark(log, step.name)
    behind = why_run(options, step, to_read, mark, find_changed_rules(log, step), read_only=True)
    return {"step": step.name, "timestamp": mark.timestamp, "batch_id": mark.batch_id, "behind": behind}


def _freshness(source: str, known: Iterable[KnownDelivery], now: str) -> dict[str, Any]:
    deliveries = [entry for entry in known if entry.source == source]
    if not deliveries:
        return {"source": source, "deliveries": 0, "last_delivery": None, "last_timestamp": None, "age": None,
                "age_seconds": None}
    last = deliveries[-1]
    age = _moment(now) - _moment(last.timestamp)
    return {"source": source, "deliveries": len(deliveries), "last_delivery": last.name,
            "last_timestamp": last.timestamp, "age": duration(age), "age_seconds": round(age.total_seconds())}


def _repeat(runs: list[dict[str, Any]], watermarks: list[dict[str, Any]], options: Options) -> list[str]:
    """Return why and how to run again: the last run did not end well, or a step is behind its input."""
    if not runs:
        return [f"make the first run: {command(options)}"]
    last = runs[0]
    if last["verdict"] in ("failed", "incomplete", "died", "interrupted"):
        where = f"step {last['stopped_in']}" if last["stopped_in"] else f"run {last['batch_id']}"
        reason = _first_line(last["error"] or "").rstrip(".")
        end = f": {reason}." if reason else " died and left no message."
        page = f" See {last['report']}." if last["report"] else ""
        return [f"{where}{end}{page} Then run: {command(options)}"]
    behind = [f"{mark['step']} ({mark['behind']})" for mark in watermarks if mark["behind"]]
    return [f"steps with something to do: {', '.join(behind)}. Run: {command(options)}"] if behind else []


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _moment(timestamp: str) -> datetime:
    return datetime.strptime(timestamp, FORMAT)
