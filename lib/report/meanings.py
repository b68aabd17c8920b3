"""What tables and columns mean, each written once: in the contract, or in `notebooks/meanings.toml`."""

import tomllib
from typing import Any

from lib.contract import SOURCES
from lib.steps import NOTEBOOKS

Meanings = dict[str, dict[str, dict[str, str]]]  # layer, table, column (or "grain", the row): text


def read_meanings() -> Meanings:
    """Return what tables ("grain") and columns mean, by layer and table."""
    meanings = _read("means")
    for source in SOURCES.values():
        of_columns = {column.name: column.meaning for column in source.columns}
        meanings["raw"][source.name] = {"grain": source.meaning, **of_columns}
    return meanings


def read_synonyms() -> Meanings:
    """Return the other words that people use for columns, by layer and table, for those that have some."""
    return _read("also")


def _read(part: str) -> Meanings:
    written = tomllib.loads((NOTEBOOKS / "meanings.toml").read_text(encoding="utf-8"))
    return {layer: {table: {name: text for name, entry in columns.items() if (text := _part(entry, part))}
                    for table, columns in tables.items()} for layer, tables in written.items()}


def _part(entry: Any, part: str) -> str | None:
    return entry.get(part) if isinstance(entry, dict) else entry if part == "means" else None
