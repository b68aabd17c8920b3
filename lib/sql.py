"""Names, text and files as SQLite wants them written."""

from collections.abc import Sequence
from pathlib import Path


def quote(name: str) -> str:
    """Return a table's or column's name quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def quoted(names: Sequence[str], alias: str = "") -> str:
    """Return a list of column names for SQL."""
    return ", ".join((f"{alias}." if alias else "") + quote(name) for name in names)


def literal(text: str) -> str:
    """Return text as an SQL literal, for the few places that take no parameter."""
    return "'" + text.replace("'", "''") + "'"


def file_uri(path: Path, how: str) -> str:
    """Return the address under which SQLite opens a file; `how` is what stands behind the question mark."""
    return f"file:{str(path.absolute()).replace('%', '%25').replace('?', '%3f').replace('#', '%23')}?{how}"
