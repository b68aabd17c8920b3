"""Show the events of a run: live on a terminal, as dated lines elsewhere, or as one JSON object per event.

A console is called with the name of an event and, by keyword, its details:

- run_started: batch_id, source, warehouse, deliveries (to read: name, size)
- warning: message (what a person should know before the run writes anything)
- died: step (in which an earlier run died)
- step_started: step, number, of, why (the reason for which it runs), is_full (whether it rebuilds all of its
  tables)
- step_progress: step, number, of, at (the current delivery, source or table), batch, rows, rows_per_second,
  share (of the work that is done), seconds_left; None where it is not known
- step_ended: step, number, of, status, has_run, seconds, rows_read, added, changed, removed, quarantined,
  watermark_before, watermark_after, error
- report_started: verdict, seconds (of all steps; only the report is still to be made)
- run_ended: verdict, exit_code, seconds, report, tables (layer, table, added, changed, removed, rows_now),
  warnings, observed (what does not meet an expectation that is only tried), timings (as text), error
- run_refused: exit_code, error (the reason for which the run could not begin)
- run_stopped: exit_code
- waiting: source (the folder that is watched)
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from lib.clock import utc_now
from lib.errors import printable

SECONDS_BETWEEN_LINES = 10  # about one step, so that a log file stays short enough to read


class Console:
    """Shows nothing. The others extend it. On its way out, a console clears a live display."""

    def __enter__(self) -> "Console":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, event: str, **about: Any) -> None:
        pass


class Quiet(Console):
    """Only warnings, on stderr, for `--quiet`: where nothing is printed, there was nothing to report."""

    def __init__(self) -> None:
        self._shown: set[str] = set()  # a warning before the run is among those at its end, too

    def __call__(self, event: str, **about: Any) -> None:
        if event == "run_started":
            self._shown.clear()
        lines = [f"warning: {warning}" for warning in about.get("warnings", [])]
        if event in ("warning", "died"):
            lines = describe(event, about)
        for line in lines:
            if line not in self._shown:
                print(line, file=sys.stderr, flush=True)
        self._shown.update(lines)


class Json(Console):
    """One JSON object per event and line, with its time, for other programs."""

    def __call__(self, event: str, **about: Any) -> None:
        put(json.dumps({"time": _now(), "event": event, **about}, ensure_ascii=False))


class Lines(Console):
    """Lines with their time, for a log file or a journal."""

    _last_line = 0.0

    def __call__(self, event: str, **about: Any) -> None:
        if event == "step_progress":
            if not about["rows"] or time.monotonic() - self._last_line < SECONDS_BETWEEN_LINES:
                return
            lines = [f"{_number(about)} {_progress(about)}"]
        else:
            lines = describe(event, about)
        if event.startswith("step_"):
            self._last_line = time.monotonic()
        for line in filter(None, lines):
            put(f"{_now()} {line}")


class Terminal(Console):
    """The same lines without their time and, below them, a live display of the step that is running."""

    _live: Any = None

    def __exit__(self, *_: object) -> None:
        self._end()

    def __call__(self, event: str, **about: Any) -> None:
        if event == "step_progress" and self._live:
            total = None if about["share"] is None else 1.0  # without a total the bar only pulses
            self._live.update(self._live.task_ids[0], progress=_progress(about),
                              completed=about["share"] or 0.0, total=total, refresh=True)
        elif event == "step_started":
            self._end()
            for line in describe(event, about):
                put(line)
            self._begin(_number(about))
        elif event == "report_started":
            self._begin(*_report_started(about))
        else:
            self._end()
            for line in describe(event, about):
                put(line)

    def _begin(self, doing: str) -> None:
        from rich.console import Console  # here, not above: a run with nothing to do should not wait for it
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._end()
        self._live = Progress(
            SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(20),
            TimeElapsedColumn(), TextColumn("{task.fields[progress]}", markup=False),
            console=Console(file=sys.stdout, highlight=False), transient=True, refresh_per_second=5,
            redirect_stdout=False, redirect_stderr=False)
        self._live.add_task(doing, total=None, progress="")
        self._live.start()

    def _end(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None


def open_console(log_format: str, quiet: bool) -> Console:
    """Return the console that fits the options and where the output goes."""
    if quiet:
        return Quiet()
    if log_format == "json":
        return Json()
    return Terminal() if sys.stdout.isatty() and os.environ.get("TERM") not in (None, "dumb") else Lines()


def put(line: str) -> None:
    """Print a line. The run goes on when the reader of its output has ended, as in `| head`."""
    try:
        print(printable(line), flush=True)
    except BrokenPipeError:  # or every later line, and Python's flush at the end, would raise it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def describe(event: str, about: dict[str, Any]) -> list[str]:
    """Return an event as lines for a person; no lines for one that only the live display shows."""
    return DESCRIBE[event](about) if event in DESCRIBE else []


def _warning(about: dict[str, Any]) -> list[str]:
    return [f"warning: {about['message']}"]


def _died(about: dict[str, Any]) -> list[str]:
    return [f"warning: an earlier run died in step {about['step']}: this run does its work"]


def _step_started(about: dict[str, Any]) -> list[str]:
    return [f"{_number(about)} {about['why']}"] if about["is_full"] and about["why"] else []


def _step_ended(about: dict[str, Any]) -> list[str]:
    if not about["has_run"]:
        status = "nothing new" if about["status"] == "SUCCESS" else about["status"].lower()
        return [f"{_number(about)} {status}"]
    return [f"{_number(about)} {about['rows_read']:>9,} rows read  {about['added']:>9,} added  "
            f"{about['changed']:,} changed  {about['removed']:,} removed  "
            f"{about['quarantined']:,} quarantined  {about['seconds']:5.1f} s  done"]


def _report_started(about: dict[str, Any]) -> list[str]:
    return [f"{about['verdict']} in {about['seconds']:.1f} s; writing the report"]


def _run_ended(about: dict[str, Any]) -> list[str]:
    lines = [""]
    if about["tables"]:
        lines.append(f"{'layer':<9}{'table':<26}{'added':>11}{'changed':>11}{'removed':>11}{'rows now':>12}")
        lines += [f"{table['layer']:<9}{table['table']:<26}{table['added']:>11,}{table['changed']:>11,}"
                  f"{table['removed']:>11,}{table['rows_now']:>12,}" for table in about["tables"]]
    else:
        lines.append("no table changed")
    lines += [f"warning: {warning}" for warning in about["warnings"]]
    lines += [f"observed: {line}" for line in about["observed"]]
    if about["timings"]:
        lines += ["", *about["timings"].splitlines(), ""]
    missing = f": {about['error'].partition('. ')[0]}" if about["verdict"] == "incomplete" else ""
    return [*lines, f"{about['verdict']}{missing} in {about['seconds']:.1f} s; report: {about['report']}"]


def _waiting(about: dict[str, Any]) -> list[str]:
    return [f"waiting for deliveries in {about['source']}; press Ctrl-C to stop"]


DESCRIBE: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "warning": _warning, "died": _died, "step_started": _step_started, "step_ended": _step_ended,
    "report_started": _report_started, "run_ended": _run_ended, "waiting": _waiting}


def _number(about: dict[str, Any]) -> str:
    return f"{about['number']}/{about['of']} {about['step']:<11}"


def _progress(about: dict[str, Any]) -> str:
    parts = [about["at"]]
    if about["rows"]:
        parts = [f"{about['at']}, batch {about['batch']}: {about['rows']:,} rows"]
    if about["rows_per_second"]:
        parts.append(f"{about['rows_per_second']:,} rows/s")
    if about["seconds_left"]:
        parts.append(f"{about['seconds_left']:.0f} s left")
    return ", ".join(parts)


def _now() -> str:
    return utc_now()[:19].replace(" ", "T") + "Z"
