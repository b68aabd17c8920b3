"""A failed run in a few lines: where it stopped, what to look at, and the command that goes on from there."""

import shlex
import sys
from dataclasses import asdict, fields
from typing import Any

from lib.runner.run import RunResult
from lib.steps import PROJECT, STEPS, Options


def last_lines(result: RunResult, options: Options) -> list[str]:
    """Return what a person should read last of a failed run."""
    lines = [f"error: {result.error}"]
    failed = next((step for step in result.steps if step.status == "FAILED"), None)
    if failed:
        cell = f", cell {failed.cell}" if failed.cell else ""
        lines.append(f"step: {list(STEPS).index(failed.name) + 1}/{len(STEPS)} {failed.name} ({STEPS[failed.name].notebook}{cell})")
    page = options.reports / "runs" / result.batch_id / "index.html"
    if page.exists():
        lines.append(f"report: {page}")
    return [*lines, f"continue: {command(options)}"]


def summary(result: RunResult, options: Options, exit_code: int) -> dict[str, Any]:
    """Return a run as JSON for other programs: all of run.json, the page to look at and the command to go on with."""
    return {**asdict(result), "warnings": result.warnings(), "exit_code": exit_code,
            "report": str(options.reports / "runs" / result.batch_id / "index.html"), "command": command(options)}


def command(options: Options) -> str:
    """Return the command line of a run with these options, which works in every folder."""
    words, defaults = [sys.executable, str(PROJECT / "run_pipeline.py")], Options()
    names = {"warehouse": "audit", "tables": "warehouse"} if options.engine == "spark" else {}
    for field in fields(options):
        value, option = getattr(options, field.name), f"--{names.get(field.name, field.name).replace('_', '-')}"
        if field.name not in ("now", "settled_seconds") and value != getattr(defaults, field.name):  # not of another run
            words += [option] if value is True else [option, ",".join(value) if isinstance(value, tuple) else str(value)]
    return shlex.join(words)
