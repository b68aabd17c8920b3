"""Files: written whole or not at all, forced to the disk, and hashed."""

import hashlib
import os
from pathlib import Path


def sync(path: Path) -> None:
    """Force a file's bytes, or a folder's entries (a new file, a rename), to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hash_file(path: Path) -> str:
    """Return the sha256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, text: str, errors: str = "strict") -> None:
    """Write a file under a temporary name and rename it: a reader sees the old file or the new one."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8", errors=errors)
    partial.replace(path)
