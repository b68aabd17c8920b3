"""The examples of rules as the catalog shows them: at each column, what was delivered and what it became."""

from collections.abc import Iterator
from typing import Any

from lib.report.examples import Example, Row
from lib.report.lineage import Column
from lib.steps import STEPS

EMPTY, SET_ASIDE = "empty", "set aside"


def explain_columns(examples: tuple[Example, ...]) -> dict[Column, list[dict[str, Any]]]:
    """Return the examples of each column: what they are about, and pairs of what is delivered and becomes."""
    found: dict[Column, dict[str, list[list[str]]]] = {}
    for example in examples:
        for column, becomes in _outcomes(example):
            pairs = found.setdefault(column, {}).setdefault(example.about, [])
            pairs.append([_delivered(example, column[2]), becomes])
    return {column: [{"about": about, "cases": pairs} for about, pairs in by_about.items()]
            for column, by_about in found.items()}


def _outcomes(example: Example) -> Iterator[tuple[Column, str]]:
    """Yield each column that an example explains, and what it becomes."""
    layer_of = {table: step.writes for step in STEPS.values() for table in step.outputs}
    if example.set_aside and not example.later:
        suite = example.set_aside[0]
        layer = layer_of.get(suite, "raw")
        for rows in example.delivered.values():
            for column in rows[0]:
                yield (layer, suite.removeprefix("raw_"), column), SET_ASIDE
    for table, rows in example.becomes.items():
        for row in rows:
            for column, text in row.items():
                yield (layer_of[table], table, column), text or EMPTY


def _delivered(example: Example, column: str) -> str:
    """Return what an example delivers, in short: only the text if it is of the column and no other."""
    of_source = example.delivered
    names = [name for rows in of_source.values() for row in rows for name in row]
    if names == [column] and len(of_source) == 1 and not (example.later or example.left_out):
        return next(iter(of_source.values()))[0][column] or EMPTY
    texts = []
    for prefix, by_source in (("", of_source), ("later ", example.later)):
        for source, rows in by_source.items():
            in_words = " and ".join(_as_text(row) for row in rows)
            texts.append(f"{prefix}{in_words}" if len(of_source) == len(rows) == 1 else
                         f"{prefix}{source}: {in_words}")
    return "; ".join([*texts, *(f"later {source}: left out" for source in example.left_out)])


def _as_text(row: Row) -> str:
    return ", ".join(f"{name} {text or EMPTY}" for name, text in row.items()) or "any"
