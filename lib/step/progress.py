"""A step reports its progress through a file: it appends a line after each batch, and the runner reads them.

It is a file because the runner cannot look into a kernel. There is no connection that could break, and a step
that is killed leaves only a small hidden file in the run's folder. When the step has published, it leaves its
record in another file: the cells behind the commit may then fail, and the runner still gets the record. The
results of its gates are in a third one: a step that fails has no record.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lib.storage.files import write_whole

FILE = ".progress"
RECORD = ".published"
GATES = ".gates"
LOOKS = 0.1  # seconds between two looks at the file


class Progress:
    """The step's side. It writes nothing when no runner reads, as when a notebook is run by hand."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._at, self._batch, self._rows, self._share = "", 0, 0, 0.0
        self._begun = self._part_begun = 0.0

    def say(self, at: str, rows: int, share: float | None = None) -> None:
        """Report how many rows of a delivery, source or table are done; 0 when it begins.

        `share` is how much of the step's work is done, where that is known; if it starts at 0 again with each
        part, how much of that part.
        """
        now = time.monotonic()
        if at != self._at:
            self._at, self._batch, self._rows, self._part_begun = at, 0, 0, now
            if share is not None and share <= self._share:
                self._begun = now
        self._batch += rows > self._rows
        self._rows, self._share = rows, share or 0.0
        taken = now - self._part_begun
        line = {"at": at, "batch": self._batch, "rows": rows, "share": share,
                "rows_per_second": round(rows / taken) if rows and taken else None,
                "seconds_left": round((now - self._begun) * (1 - share) / share, 1) if share else None}
        with suppress(OSError):  # no runner reads; or the disk is full, as the step will notice
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(file, json.dumps(line).encode() + b"\n")
            finally:
                os.close(file)

    def end(self, record: dict[str, Any]) -> None:
        """Leave the record of a step that has published, unless no runner reads."""
        if self._path.exists():
            with suppress(OSError, TypeError, ValueError):  # the runner then reads it from the last cell
                write_whole(self._path.with_name(RECORD), json.dumps(record, ensure_ascii=False))


def put_gates(folder: Path, gates: list[dict[str, Any]]) -> None:
    """Leave what the gates of a step have found so far, unless no runner reads."""
    if (folder / FILE).exists():
        with suppress(OSError):  # the error of the step says more
            write_whole(folder / GATES, json.dumps(gates, ensure_ascii=False))


def take_gates(folder: Path) -> list[dict[str, Any]]:
    """Return what the gates of the last step had found when it ended, and delete its file."""
    return _take(folder / GATES) or []


def take_record(folder: Path) -> dict[str, Any] | None:
    """Return the record that a step left when it had published, and delete its file; None without one."""
    return _take(folder / RECORD)


def _take(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def follow(folder: Path, tell: Callable[..., None]) -> Iterator[None]:
    """While the context is open, call `tell` with the progress of the step whose copy goes to `folder`."""
    path, is_over = folder / FILE, threading.Event()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    except OSError:  # the notebook cannot be saved there either, and that is an error
        yield
        return
    reader = threading.Thread(target=_read, args=(path, is_over, tell), daemon=True, name="progress")
    reader.start()
    try:
        yield
    finally:
        is_over.set()
        reader.join()
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _read(path: Path, is_over: threading.Event, tell: Callable[..., None]) -> None:
    rest, is_last = b"", False
    with path.open("rb") as file:
        while not is_last:
            is_last = is_over.wait(LOOKS)
            *lines, rest = (rest + file.read()).split(b"\n")
            for line in lines:
                tell(**json.loads(line))
