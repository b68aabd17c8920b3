"""The expectations of the suites as sentences."""

import json
import re
from pathlib import Path
from typing import Any

SENTENCES = {
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


def read_expectations(suite: Path) -> list[dict[str, Any]]:
    """Return a suite's expectations: sentence, columns, what a failing row causes, and why it matters."""
    return [{
        "what": as_sentence(expectation["type"], expectation["kwargs"]),
        "columns": [expectation["kwargs"][name] for name in COLUMNS if name in expectation["kwargs"]]
        + expectation["kwargs"].get("column_list", []),
        "on_failure": expectation["meta"]["on_failure"], "notes": _as_text(expectation["notes"]),
    } for expectation in json.loads(suite.read_text(encoding="utf-8"))["expectations"]]


def _as_text(notes: str | list[str]) -> str:
    return notes if isinstance(notes, str) else " ".join(notes)


def as_sentence(expectation: str, parameters: dict[str, Any]) -> str:
    """Return an expectation as a sentence without a full stop; an unknown type is spelled out."""
    texts = {name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
             for name, value in parameters.items() if value is not None}
    if expectation in BETWEEN:
        limits = " and ".join(f"{words} {texts[name]}" for name, words in LIMITS.items() if name in texts)
        return f"{texts['column']} must be {limits}{BETWEEN[expectation]}"
    if parameters.get("or_equal"):
        return f"{texts['column_A']} must not be less than {texts['column_B']}"
    if expectation in SENTENCES:
        return SENTENCES[expectation].format_map(texts)
    return _spell_out(expectation, texts)


def _spell_out(expectation: str, texts: dict[str, str]) -> str:
    subject = ", ".join(texts.pop(name) for name in (*COLUMNS, "column_list") if name in texts)
    verb = re.sub(PREFIX, "must_", expectation).removeprefix("expect_").replace("_", " ")
    details = "; ".join(f"{name.replace('_', ' ')}: {text}" for name, text in texts.items())
    return f"{subject} {verb}{f' ({details})' if details else ''}".strip()
