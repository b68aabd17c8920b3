"""What the suites expect, in words."""

import json
import re
from pathlib import Path
from typing import Any

SAID = {
    "expect_column_values_to_be_in_set": "{column} must be one of {value_set}",
    "expect_column_values_to_match_regex": "{column} must match {regex}",
    "expect_column_pair_values_to_be_equal": "{column_A} must equal {column_B}",
    "expect_column_pair_values_a_to_be_greater_than_b": "{column_A} must be greater than {column_B}",
    "expect_table_columns_to_match_set": "there must be the columns {column_set}",
}
BETWEEN = {"expect_column_values_to_be_between": "", "expect_column_value_lengths_to_be_between": " characters long"}
COLUMNS = ("column", "column_A", "column_B")


def read_rules(suite: Path) -> list[dict[str, Any]]:
    """Return a suite's expectations: what must be, of which columns, what a failing row means, and why."""
    return [{
        "what": say(expectation["type"], expectation["kwargs"]),
        "columns": [expectation["kwargs"][name] for name in COLUMNS if name in expectation["kwargs"]]
        + expectation["kwargs"].get("column_list", []),
        "on_failure": expectation["meta"]["on_failure"], "notes": expectation["notes"],
    } for expectation in json.loads(suite.read_text(encoding="utf-8"))["expectations"]]


def say(expectation: str, about: dict[str, Any]) -> str:
    """Return an expectation as a sentence without its full stop; one without words of its own is spelled out from its name."""
    texts = {name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
             for name, value in about.items() if value is not None}
    if expectation in BETWEEN:
        limits = [f"{word} {texts[name]}" for word, name in (("at least", "min_value"), ("at most", "max_value")) if name in texts]
        return f"{texts['column']} must be {' and '.join(limits)}{BETWEEN[expectation]}"
    if about.get("or_equal"):
        return f"{texts['column_A']} must not be less than {texts['column_B']}"
    if expectation in SAID:
        return SAID[expectation].format_map(texts)
    subject = ", ".join(texts.pop(name) for name in (*COLUMNS, "column_list") if name in texts)
    what = re.sub("^expect_(column_values|column|table|compound_columns|select_column_values)_to_", "must_", expectation)
    details = "; ".join(f"{name.replace('_', ' ')}: {text}" for name, text in texts.items())
    return f"{subject} {what.removeprefix('expect_').replace('_', ' ')}{f' ({details})' if details else ''}".strip()
