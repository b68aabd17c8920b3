"""Where the time of a run went, as lines for a terminal."""

from typing import Any

from lib.step.phases import PHASES

MEANING = {"open": "open layers", "read": "read input", "clean": "clean", "gates": "gates", "compute": "compute", "write": "write",
           "reconcile": "reconcile", "publish": "publish", "rest": "kernel"}


def timings_table(run: dict[str, Any]) -> str:
    """Return the seconds of each phase of each step that ran, what its process took at its peak, and what the report took.

    `run` is what `run.json` holds. Writing goes on beside the other phases: "write" and "publish" are what was waited for.
    """
    steps = [step for step in run["steps"] if step["record"]]
    spent = {step["name"]: step["record"]["seconds"] for step in steps}
    for step in steps:
        spent[step["name"]] = spent[step["name"]] | {"rest": step["seconds"] - sum(spent[step["name"]].values())}
    lines = [_line("seconds", [step["name"] for step in steps])]
    lines += [_line(MEANING[phase], [f"{spent[step['name']][phase]:.2f}" for step in steps]) for phase in (*PHASES, "rest")]
    lines.append(_line("step", [f"{step['seconds']:.2f}" for step in steps]))
    lines.append(_line("peak MiB", [f"{step['record']['peak_mib']:,}" for step in steps]))
    return "\n".join([*lines, f"look for news {run['look_seconds']:.2f} s; report {run['report_seconds']:.2f} s"])


def _line(title: str, cells: list[str]) -> str:
    return f"{title:<14}" + "".join(f"{cell:>12}" for cell in cells)
