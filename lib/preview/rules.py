"""Which rules have changed since they made the tables, with their text before and after."""

import ast
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any

import yaml

from lib.step.fingerprint import SYSTEM, ZONE, changed_parts, take_fingerprint
from lib.step.suites import describe
from lib.steps import STEPS, SUITES, StepSpec
from lib.storage import audit, manifest

# Of a suite, a field or a declaration: what changes no row.
NO_RULE = ("notes", "id", "severity", "description", "title", "name")
WRAPPERS = ("kwargs", "meta")  # of an expectation: what is in them is named alone
FOLDERS = {"notebook ": "notebooks/{}", "suite ": "gx/expectations/{}.json",
           "contract of ": "data/contract/{}.yaml", SYSTEM: "data/contract/systems/{}.yaml",
           ZONE: "data/contract/shop.yaml"}
LAST_SUCCESS = """
select batch_id from pipeline_execution_log where process_name = ? and rules is not null
order by execution_id desc limit 1"""


@dataclass(frozen=True)
class RuleChange:
    """A rule that has changed since a step last used it.

    `file` is its path in the project, and `place` the cell, the expectation or the property, "" if that is
    not known. `before` and `after` are its text; None where there was none, or where no run has recorded it.
    """

    step: str
    file: str
    place: str
    before: str | None
    after: str | None

    @property
    def lines(self) -> list[str]:
        """The difference, as lines that begin with -, + or a space."""
        before, after = ((text or "").splitlines() for text in (self.before, self.after))
        return [line for line in unified_diff(before, after, lineterm="", n=1)
                if not line.startswith(("---", "+++", "@@"))]


def find_rule_changes(log: sqlite3.Connection) -> Iterator[RuleChange]:
    """Yield the rules of all steps that are not those by which their tables were made.

    Their text before comes from the manifest of the step's last run. That of a run by an earlier release is
    not on record: the file is then named without a place.
    """
    now = manifest.rule_files()
    for step in STEPS.values():
        rules, _ = audit.read_rules(log, step.name)
        parts = changed_parts(rules, take_fingerprint(step)) if rules else []
        [batch_id] = log.execute(LAST_SUCCESS, [step.name]).fetchone() or [""]
        then = manifest.read_rule_texts(log, batch_id) if parts else {}
        for file in dict.fromkeys(map(_file_of, parts)):
            places = list(_compare_files(then.get(file), now.get(file))) if then else []
            yield from (RuleChange(step.name, file, *place) for place in places or [("", None, None)])


def is_observed(step: StepSpec) -> bool:
    """Return whether a suite of a step has an expectation that is only observed."""
    suites = [part.removeprefix("suite ") for part in take_fingerprint(step) if part.startswith("suite ")]
    return any(_has_observed(SUITES / f"{suite}.json") for suite in suites)


def _has_observed(path: Path) -> bool:
    try:
        return any(one["meta"]["on_failure"] == "observe"
                   for one in json.loads(path.read_text(encoding="utf-8"))["expectations"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False  # the run says what is wrong


def _file_of(part: str) -> str:
    prefix = next(prefix for prefix in FOLDERS if part.startswith(prefix))
    return FOLDERS[prefix].format(part.removeprefix(prefix))


def _compare_files(before: str | None, after: str | None) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield each place that differs between two texts of a file, with what was and is there."""
    try:
        old, new = (_places(text) if text else {} for text in (before, after))
    except (ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError):
        yield "", before, after
        return
    for place in dict.fromkeys([*old, *new]):
        if _meaning(old.get(place)) != _meaning(new.get(place)):
            yield place, old.get(place), new.get(place)


def _places(text: str) -> dict[str, str]:
    """Return the rules of a file by their place: code by its cell, values by the names that lead to them."""
    content = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    if "cells" in content:
        return {f"cell {cell['id']}": "".join(cell["source"])
                for cell in content["cells"] if cell["cell_type"] == "code"}
    places: dict[str, str] = {}
    for place, value in _flatten(content, ()):
        places[place] = f"{places[place]}\n{value}" if place in places else value
    return places


def _flatten(value: Any, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the values of a declaration, each with its place; an expectation or a field has one place."""
    if isinstance(value, dict) and value:
        for name, one in value.items():
            if names or name not in NO_RULE:  # further down, it is the name of a column
                yield from _flatten(one, names if name in WRAPPERS else (*names, str(name)))
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        seen: Counter[str] = Counter()
        for one in value:
            name = _label(one)
            seen[name] += 1
            number = f" ({seen[name]})" if seen[name] > 1 else ""
            yield f"{name}{number}", "\n".join(f"{inner} {text}".strip() for inner, text in _flatten(one, ()))
    elif isinstance(value, list):
        for one in value:
            yield from _flatten(one, names)
    else:
        yield " ".join(names), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _label(item: Any) -> str:
    """Return what an expectation or a field is called."""
    if isinstance(item, dict) and "kwargs" in item:
        return describe(item["type"], item["kwargs"])
    return str(item.get("name", "")) if isinstance(item, dict) else str(item)


def _meaning(text: str | None) -> str | None:
    """Return what of a text can matter: of code, what is left without comments and formatting."""
    with suppress(SyntaxError, ValueError):
        return text and ast.dump(ast.parse(text))
    return text
