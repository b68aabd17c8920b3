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
from lib.report.run_records import FIGURES
from lib.runner.addresses import Addresses, Message
from lib.runner.failure import command, last_lines
from lib.runner.result import RunResult
from lib.steps import Options
from lib.storage.files import write_whole

TOLD = "alerts.json"  # beside audit.db
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
    after = _learn(told, result, error, day)
    news = _describe_news(told, after, options, result, error)
    figures = _describe_figures(told, options, result, day) if alerts.has_digest else None
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
    """Return what people have been told: the last `failure` (its first line, and the day), the `warnings` (by
    where they come from), and the day of the last `digest`."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {"failure": told["failure"], "warnings": told["warnings"], "digest": told["digest"]}
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or it is damaged: all is new
        return {"failure": None, "warnings": {}, "digest": ""}


def _learn(told: dict[str, Any], result: RunResult | None, error: str, day: str) -> dict[str, Any]:
    """Return what people know once they have been told about this run, too.

    A warning that the run no longer gives is forgotten, and is new when it comes again. A step that has not
    run gives none, and what it said before is kept.
    """
    error = (result.error or "") if result else error
    failure = {"error": _lasting(error.partition("\n")[0]), "day": day} if error else None
    found = {group: list(texts) for group, texts in _warnings(result).items()} if result else {}
    return told | {"failure": failure, "warnings": told["warnings"] | found}


def _warnings(result: RunResult) -> dict[str, dict[str, str]]:
    """Return the warnings of a run by where they come from: what stays the same in the next run's, and the
    text. Of an overdue source that is its name: each run counts other days.
    """
    def by_text(texts: list[str]) -> dict[str, str]:
        return {_lasting(text): text for text in texts}

    return {"overdue": {text.partition(":")[0]: text for text in result.overdue},
            "files": by_text(result.files), "notes": by_text(result.notes),
            **{step.name: by_text(step.warnings()) for step in result.steps if step.record}}


def _lasting(text: str) -> str:
    """Return a text without the ids of runs, which are in the paths of their pages."""
    return re.sub(r"\d{8}T\d{6}\.\d{6}", "…", text)


def _describe_news(told: dict[str, Any], after: dict[str, Any], options: Options, result: RunResult | None,
                   error: str) -> Message | None:
    """Return one message about all that people do not know yet; None if they know it."""
    parts: list[Message] = []
    if after["failure"] and after["failure"] != told["failure"]:
        parts.append(_describe_failure(options, result, error))
    elif told["failure"] and not after["failure"]:
        parts.append(_message("Shop pipeline works again", [
            "The last run ended well.",
            f"The failure before it: {_first_sentence(told['failure']['error'])}."], "success"))
    new = [text for group, texts in (_warnings(result) if result else {}).items()
           for lasting, text in texts.items() if lasting not in told["warnings"].get(group, [])]
    if new:
        parts.append(_describe_warnings(new))
    if not parts:
        return None
    where = [f"warehouse: {options.warehouse}"]
    if result:
        page = options.reports / "runs" / result.batch_id / "index.html"
        where.insert(0, f"report: {page if page.exists() else options.reports / 'index.html'}")
    body = "\n\n".join([*(part.body for part in parts), "\n".join(where)])
    return Message(parts[0].title, body, parts[0].kind)


def _describe_failure(options: Options, result: RunResult | None, error: str) -> Message:
    """Return a message about a failure. Rows of a delivery stay out of it: they may be about persons, and
    others carry the message.
    """
    first = (result.error if result else error).partition("\n")[0]
    left_out = [text.partition("\n")[0] for text in result.not_loaded()] if result else []
    lines = [first, *(f"- {text}" for text in left_out if text != first)]
    if result:
        lines += [line for line in last_lines(result, options) if line.startswith("step: ")]
    lines.append(f"continue: {command(options)}")
    what = "is incomplete" if result and result.verdict == "incomplete" else "failed"
    reason = _first_sentence(first.replace(f"{options.source}/", ""))
    return _message(f"Shop pipeline {what}: {reason}", lines, "failure")


def _describe_warnings(new: list[str]) -> Message:
    title = new[0] if len(new) == 1 else f"{len(new)} new warnings"
    more = [f"and {len(new) - SHOWN} more: see the report"] if len(new) > SHOWN else []
    return _message(f"Shop pipeline: {title}", [
        "New warnings, which stopped nothing:", *(f"- {text}" for text in new[:SHOWN]), *more,
        "The verb `status` shows which warnings are still open, and what to do."], "warning")


def _describe_figures(told: dict[str, Any], options: Options, result: RunResult | None,
                      day: str) -> Message | None:
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
               for figure in (*report["figures"], *report["of_the_day"])]
    page = (options.reports / FIGURES).with_suffix(".html")
    return _message(report["title"], [*figures, "", f"report: {page}"], "info")


def _first_sentence(text: str) -> str:
    return re.split(r"[.;] ", text)[0].removesuffix(".")


def _message(title: str, lines: list[str], kind: str) -> Message:
    cut = [line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} …" for line in lines]
    title = shorten(title, LONGEST_TITLE, placeholder=" …")
    return Message(printable(title), printable("\n".join(cut)), kind)
