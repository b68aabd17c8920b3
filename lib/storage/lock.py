"""The run lock: one run at a time per warehouse. The operating system releases it when its process ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lib.errors import PipelineError

BUSY_SECONDS = 5  # how long a connection waits while another program holds a lock on a database


class LockTaken(PipelineError):
    """Another run holds the lock."""

    exit_code = 3


@contextmanager
def run_lock(warehouse: Path) -> Iterator[None]:
    """Hold the lock of a warehouse, whose folder is created when it is missing.

    Raises LockTaken at once, naming the process, when another run holds the lock.
    """
    path = warehouse / ".lock"
    try:
        warehouse.mkdir(parents=True, exist_ok=True)
        file = path.open("ab+", buffering=0)
    except OSError as error:
        raise PipelineError(f"warehouse {warehouse} cannot be written ({error.strerror}). "
                            "Make it writable, or name another with --warehouse.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            process = file.read().decode().strip() or "unknown"
            raise LockTaken(f"another run (process {process}) is working on {warehouse}. "
                            "Wait until it has ended, or stop it.") from error
        with suppress(OSError):  # the lock holds without the number, so a full disk need not stop the run
            file.truncate(0)
            file.write(str(os.getpid()).encode())
        try:
            yield
        finally:
            with suppress(OSError):
                file.truncate(0)


def lock_holder(warehouse: Path) -> int | None:
    """Return the number of the process whose run is working on a warehouse; None when there is none.

    This reads the number in the file and does not try the lock: a run that starts at that moment would find
    it taken.
    """
    try:
        process = int((warehouse / ".lock").read_text())
        os.kill(process, 0)
    except PermissionError:  # the process exists and belongs to another user
        return process
    except (OSError, ValueError):
        return None
    return process
