"""How names, text and files are written in SQLite's SQL and addresses."""

from collections.abc import Sequence
from pathlib import Path


def quote(name: str) -> str:
    """Return the name of a table or column, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def quoted(names: Sequence[str], alias: str = "") -> str:
    """Return a list of column names, each quoted for SQL."""
    return ", ".join((f"{alias}." if alias else "") + quote(name) for name in names)


def literal(text: str) -> str:
    """Return text as an SQL literal, for statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def file_uri(path: Path, how: str) -> str:
    """Return the address by which SQLite opens a file; `how` is the part after the question mark."""
    escaped = str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{escaped}?{how}"


def read_only_uri(path: Path) -> str:
    """Return the address by which SQLite reads a file without creating or changing its -wal and -shm files.

    When there is no -shm file, no program has the database open, so it can be read as an immutable file. The
    one exception is a -wal file with content and no -shm file (the two were copied): then SQLite has to
    create one.
    """
    wal, shm = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    if shm.exists():
        return file_uri(path, "mode=ro&readonly_shm=1")
    return file_uri(path, "mode=ro" if wal.exists() and wal.stat().st_size else "immutable=1")
