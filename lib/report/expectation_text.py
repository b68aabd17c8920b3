"""The expectations of the suites as sentences, and the names of rules in words."""

import json
import re
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from lib.step.suites import describe
from lib.steps import SUITES

RULE = re.compile(r"(?:gate (?P<suite>\w+): )?(?P<rule>expect_\w+\([^()]*\))")  # in a message, or alone
# The rules of the quarantine that are no expectations.
OTHER_RULES = {"repeated_key": "one key on several rows that differ", "repeated_header": "the header again",
               "total_row": "a row of totals", "nul_byte": "a NUL byte", "quote": "a misplaced quote",
               "field_count": "too few or too many fields"}
SENTENCES = {
    "expect_column_values_to_not_be_null": "{column} must not be empty",
    "expect_column_values_to_be_in_set": "{column} must be one of {value_set}",
    "expect_column_values_to_match_regex": "{column} must match {regex}",
    "expect_column_pair_values_to_be_equal": "{column_A} must equal {column_B}",
    "expect_column_pair_values_a_to_be_greater_than_b": "{column_A} must be greater than {column_B}",
    "expect_table_columns_to_match_set": "there must be the columns {column_set}",
}
BETWEEN = {"expect_column_values_to_be_between": "",
           "expect_column_value_lengths_to_be_between": " characters long"}
LIMITS = {"min_value": "at least", "max_value": "at most"}
PREFIX = "^expect_(column_values|column|table|compound_columns|select_column_values)_to_"
COLUMNS = ("column", "column_A", "column_B")
# What a column is about that must be empty, by the form of its name.
EMPTY = {r"(.+)_unreadable": r"\1 must be readable",
         r"(.+)_zoned": r"\1 must have no offset from UTC",
         r"returned_without_(.+)": r"every returned order must have its \1",
         r"(.+)_without_(.+)": r"every \1 must have its \2",
         r"(.+)": r"\1 must be empty"}


def read_expectations(suite: Path) -> list[dict[str, Any]]:
    """Return a suite's expectations: sentence, technical name, columns, what a failing row causes, and why it
    matters."""
    return [{
        "what": as_sentence(expectation["type"], expectation["kwargs"]),
        "rule": describe(expectation["type"], expectation["kwargs"]),
        "columns": [expectation["kwargs"][name] for name in COLUMNS if name in expectation["kwargs"]]
        + expectation["kwargs"].get("column_list", []),
        "on_failure": expectation["meta"]["on_failure"], "notes": _as_text(expectation["notes"]),
    } for expectation in json.loads(suite.read_text(encoding="utf-8"))["expectations"]]


def _as_text(notes: str | list[str]) -> str:
    return notes if isinstance(notes, str) else " ".join(notes)


def as_sentence(expectation: str, parameters: dict[str, Any]) -> str:
    """Return an expectation as a sentence without a full stop; an unknown type is spelled out."""
    texts = {name: _value(value) for name, value in parameters.items() if value is not None}
    if expectation == "expect_column_values_to_be_null":
        form = next(form for form in EMPTY if re.fullmatch(form, texts["column"]))
        return re.sub(form, EMPTY[form], texts["column"])
    if expectation in BETWEEN:
        limits = " and ".join(f"{words} {texts[name]}" for name, words in LIMITS.items() if name in texts)
        return f"{texts['column']} must be {limits}{BETWEEN[expectation]}"
    if parameters.get("or_equal"):
        return f"{texts['column_A']} must not be less than {texts['column_B']}"
    if expectation in SENTENCES:
        return SENTENCES[expectation].format_map(texts)
    return _spell_out(expectation, texts)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,.0f}" if isinstance(value, float) and value.is_integer() else str(value)


def _spell_out(expectation: str, texts: dict[str, str]) -> str:
    subject = ", ".join(texts.pop(name) for name in (*COLUMNS, "column_list") if name in texts)
    verb = re.sub(PREFIX, "must_", expectation).removeprefix("expect_").replace("_", " ")
    details = "; ".join(f"{name.replace('_', ' ')}: {text}" for name, text in texts.items())
    return f"{subject} {verb}{f' ({details})' if details else ''}".strip()


def find_words(rule: str, suite: str = "") -> str:
    """Return an expectation in words, by its technical name; "" if the suites have none of it, or several.

    `suite` may also be the table of raw that the suite is about.
    """
    state = tuple((path, path.stat().st_mtime_ns) for path in sorted(SUITES.glob("*.json")))
    words = _read_words(state).get(rule, {})
    found = {words[name] for name in (suite, f"raw_{suite}") if name in words} or set(words.values())
    return found.pop() if len(found) == 1 else ""


@lru_cache(maxsize=1)
def _read_words(suites: tuple[tuple[Path, int], ...]) -> dict[str, dict[str, str]]:
    """Return the sentences of the suites by rule and suite. The times of the files say when to read anew."""
    words: dict[str, dict[str, str]] = {}
    for path, _ in suites:
        with suppress(OSError, ValueError, LookupError, TypeError):  # a suite that is broken stops its run
            for expectation in read_expectations(path):
                words.setdefault(expectation["rule"], {})[path.stem] = expectation["what"]
    return words
