"""Tell people what a run means for them, at the addresses of `--notify`: that it failed, that it works again,
which warnings are new, which sources are silent, and the day's figures (`--digest`).

Many runs repeat a warning, and people should read it once. So a small file beside audit.db holds what they
have been told; what could not be sent is not in it, and the next run tries again.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

from lib.clock import day_in, days_before, utc_now
from lib.contract import SHOP
from lib.errors import printable
from lib.runner.addresses import Addresses, Message
from lib.runner.failure import command, last_lines
from lib.runner.result import RunResult
from lib.steps import Options
from lib.storage.files import write_whole

TOLD = "alerts.json"  # beside audit.db
FIGURES = "report.json"  # in the reports: what the business report shows on its top
SHOWN = 10  # new warnings of a message; the report has all of them
LONGEST_TITLE = 100  # characters
LONGEST_LINE = 600


@dataclass(frozen=True)
class Alerts:
    """To whom a run sends what."""

    addresses: Addresses
    has_digest: bool


def send_alerts(alerts: Alerts, options: Options, result: RunResult | None, error: str = "") -> list[str]:
    """Send what is new since the last run, and remember it; return what went wrong, a line each.

    `result` is None, and `error` says why, for a run that could not begin.
    """
    told = _read_told(options.warehouse / TOLD)
    day = day_in(SHOP.timezone, result.now if result else options.now or utc_now())
    after, news = _news(told, options, result, error, day)
    figures = _figures(told, options, result, day) if alerts.has_digest else None
    messages = [message for message in (news, figures) if message]
    reached, problems = alerts.addresses.send(messages) if messages else (set(), [])
    if news and 0 not in reached:
        after = told
    if figures and len(messages) - 1 in reached:
        after = after | {"digest": day}
    try:
        if after != told and options.warehouse.is_dir():
            write_whole(options.warehouse / TOLD, json.dumps(after, indent=1))
    except OSError as problem:
        problems.append(f"{options.warehouse / TOLD} cannot be written ({problem.strerror}): the next run "
                        "sends its alerts again")
    return problems


def _read_told(path: Path) -> dict[str, Any]:
    """Return what people have been told: `failure` (its first line, and on which day), `warnings` (what they
    are about, by where they come from), and the day of the last `digest`."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {"failure": told["failure"], "warnings": told["warnings"], "digest": told["digest"]}
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or it is damaged: all is new
        return {"failure": None, "warnings": {}, "digest": ""}


def _news(told: dict[str, Any], options: Options, result: RunResult | None, error: str,
          day: str) -> tuple[dict[str, Any], Message | None]:
    """Return what people know after this run, and the message about what is new; None if nothing is."""
    parts: list[tuple[str, list[str], str]] = []  # the title of a message, its lines, its kind
    error = (result.error or "") if result else error
    failure = {"error": _lasting(error.partition("\n")[0]), "day": day} if error else None
    found = _warnings(result) if result else {}
    new = [text for group, texts in found.items() for about, text in texts.items()
           if about not in told["warnings"].get(group, [])]
    if error and failure != told["failure"]:
        parts.append(_describe_failure(options, result, error))
    elif told["failure"] and not error:
        parts.append(("Shop pipeline works again", [
            "The last run has ended well.", f"The failure before it: {told['failure']['error']}"], "success"))
    if new:
        title = new[0] if len(new) == 1 else f"{len(new)} new warnings"
        more = [f"and {len(new) - SHOWN} more: see the report"] if len(new) > SHOWN else []
        parts.append((f"Shop pipeline: {title}", [
            "New warnings, which have stopped nothing:", *(f"- {text}" for text in new[:SHOWN]), *more,
            "The verb `status` shows which warnings are still open, and what to do."], "warning"))
    after = told | {"failure": failure, "warnings": told["warnings"] | {
        group: list(texts) for group, texts in found.items()}}
    if not parts:
        return after, None
    title, _, kind = parts[0]
    lines = [line for _, lines, _ in parts for line in [*lines, ""]]
    if result and not any(line.startswith("report: ") for line in lines):
        page = options.reports / "runs" / result.batch_id / "index.html"
        lines.append(f"report: {page if page.exists() else options.reports / 'index.html'}")
    return after, _message(title, [*lines, f"warehouse: {options.warehouse}"], kind)


def _warnings(result: RunResult) -> dict[str, dict[str, str]]:
    """Return the warnings of a run by where they come from: what each is about, and its text.

    What a run does not look at is not among them: a step that has not run says nothing, and what it said
    before still holds.
    """
    def by_text(texts: list[str]) -> dict[str, str]:
        return {_lasting(text): text for text in texts}

    return {"overdue": {text.partition(":")[0]: text for text in result.overdue},
            "files": by_text(result.files), "notes": by_text(result.notes),
            **{step.name: {_lasting(about): text for about, text in step.warnings()}
               for step in result.steps if step.record}}


def _lasting(text: str) -> str:
    """Return a text as the next run would say it: without the ids of runs, which are in paths of pages."""
    return re.sub(r"\d{8}T\d{6}\.\d{6}", "…", text)


def _describe_failure(options: Options, result: RunResult | None,
                      error: str) -> tuple[str, list[str], str]:
    """Return the title, the lines and the kind of the message about a failure.

    Rows of a delivery stay out of it: they may be about persons, and others carry the message.
    """
    is_incomplete = result is not None and result.verdict == "incomplete"
    first, *others = error.splitlines()
    files = [line for line in others if re.match(r"  \S", line)] if is_incomplete else []
    after = last_lines(result, options)[1:] if result else [f"continue: {command(options)}"]
    what = "is incomplete" if is_incomplete else "failed"
    title = f"Shop pipeline {what}: {re.split(r'[.;] ', first)[0]}"
    return title, [first, *files, "", *after], "failure"


def _figures(told: dict[str, Any], options: Options, result: RunResult | None, day: str) -> Message | None:
    """Return the figures of the business report; None if there are none, or if they are not due.

    They are due once a day: in the first run that has changed gold or, after a day without one, in any run.
    """
    if not result or result.verdict == "failed" or told["digest"] == day:
        return None
    has_changed = any(step.name == "gold" and step.record for step in result.steps)
    yesterday = days_before(f"{day} 00:00:00.000000", 1)[:10]
    if told["digest"] == yesterday and not has_changed:
        return None
    try:
        report = json.loads((options.reports / FIGURES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    figures = [f"{figure['name']}: {figure['shown']}" + (f" ({figure['note']})" if figure["note"] else "")
               for figure in report["figures"]]
    page = (options.reports / FIGURES).with_suffix(".html")
    return _message(f"{report['title']}, {report['day']}", [*figures, "", f"report: {page}"], "info")


def _message(title: str, lines: list[str], kind: str) -> Message:
    cut = [line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} …" for line in lines]
    title = shorten(title, LONGEST_TITLE, placeholder=" …")
    return Message(printable(title), printable("\n".join(cut)), kind)
