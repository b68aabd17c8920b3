"""Describe a failed run in a few lines: where it stopped, its report, and the command that continues."""

import shlex
import sys
from dataclasses import asdict, fields
from typing import Any

from lib.runner.result import RunResult
from lib.steps import PROJECT, STEPS, Options


def last_lines(result: RunResult, options: Options) -> list[str]:
    """Return the last lines of a failed run's output."""
    lines = [f"error: {result.error}"]
    failed = next((step for step in result.steps if step.status == "FAILED"), None)
    if failed:
        cell = f", cell {failed.cell}" if failed.cell else ""
        number = list(STEPS).index(failed.name) + 1
        lines.append(f"step: {number}/{len(STEPS)} {failed.name} ({STEPS[failed.name].notebook}{cell})")
    page = options.reports / "runs" / result.batch_id / "index.html"
    if page.exists():
        lines.append(f"report: {page}")
    return [*lines, f"continue: {command(options)}"]


def summary(result: RunResult, options: Options, exit_code: int) -> dict[str, Any]:
    """Return a run for other programs, ready for JSON: `run.json`, its page, the command that continues."""
    return {**asdict(result), "warnings": result.warnings(), "exit_code": exit_code,
            "report": str(options.reports / "runs" / result.batch_id / "index.html"),
            "command": command(options)}


def command(options: Options) -> str:
    """Return the command line of a run with these options; it works from every folder."""
    words, defaults = [sys.executable, str(PROJECT / "run_pipeline.py")], Options()
    names = {"warehouse": "audit", "tables": "warehouse"} if options.engine == "spark" else {}
    for field in fields(options):
        value, name = getattr(options, field.name), names.get(field.name, field.name)
        if field.name in ("now", "settled_seconds") or value == getattr(defaults, field.name):
            continue  # the first two are of one run only
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(",".join(value) if isinstance(value, tuple) else str(value))
    return shlex.join(words)
