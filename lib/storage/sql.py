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


def read_only_uri(path: Path) -> str:
    """Return the address under which SQLite reads a file and neither makes nor changes its -wal and -shm files.

    Without a -shm file nobody has the database open, and it is read as the file that it is; with a -wal file and no -shm file
    (somebody copied these two) SQLite must make one.
    """
    wal, shm = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    if shm.exists():
        return file_uri(path, "mode=ro&readonly_shm=1")
    return file_uri(path, "mode=ro" if wal.exists() and wal.stat().st_size else "immutable=1")
