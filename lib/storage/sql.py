"""How names, text and files are written in SQLite's SQL and addresses."""

from collections.abc import Sequence
from pathlib import Path

# What `str.strip` removes, and with it `lib.step.parse`. A literal, as an index depends on it.
SPACES = ("\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
          "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000")


def quote(name: str) -> str:
    """Return the name of a table or column, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def quoted(names: Sequence[str], alias: str = "") -> str:
    """Return a list of column names, each quoted for SQL."""
    return ", ".join((f"{alias}." if alias else "") + quote(name) for name in names)


def literal(text: str) -> str:
    """Return text as an SQL literal, for statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def trimmed(column: str) -> str:
    """Return SQLite's expression for a column's text without surrounding spaces; an index may be on it."""
    return f"trim({column}, char({', '.join(str(ord(space)) for space in SPACES)}))"


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
