"""Show how long each part of a run took (`--timings`), as lines for a terminal."""

from typing import Any

from lib.step.phases import PHASES

MEANING = {"open": "open layers", "read": "read input", "clean": "clean", "gates": "gates",
           "compute": "compute", "write": "write", "reconcile": "reconcile", "publish": "publish",
           "rest": "kernel"}


def timings_table(run: dict[str, Any]) -> str:
    """Return the seconds of each phase of each step that ran, its peak memory, and the seconds of the report.

    `run` is the content of `run.json`. Rows are written in the background during the other phases: "write"
    and "publish" count only the time in which the step had to wait for that.
    """
    steps = [step for step in run["steps"] if step["record"]]
    spent = {step["name"]: step["record"]["seconds"] for step in steps}
    for step in steps:
        phases = spent[step["name"]]
        spent[step["name"]] = phases | {"rest": step["seconds"] - sum(phases.values())}
    lines = [_line("seconds", [step["name"] for step in steps])]
    for phase in (*PHASES, "rest"):
        lines.append(_line(MEANING[phase], [f"{spent[step['name']][phase]:.2f}" for step in steps]))
    lines.append(_line("step", [f"{step['seconds']:.2f}" for step in steps]))
    lines.append(_line("peak MiB", [f"{step['record']['peak_mib']:,}" for step in steps]))
    lines.append(f"look for deliveries {run['look_seconds']:.2f} s; report {run['report_seconds']:.2f} s")
    return "\n".join(lines)


def _line(title: str, cells: list[str]) -> str:
    return f"{title:<14}" + "".join(f"{cell:>12}" for cell in cells)
