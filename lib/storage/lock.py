"""The run lock: one run at a time for a warehouse. The kernel drops it when its holder dies, however it dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lib.errors import PipelineError

BUSY_SECONDS = 5  # how long a step waits for a write lock that another program has on a database


class LockTaken(PipelineError):
    """Another run holds the lock."""

    exit_code = 3


@contextmanager
def run_lock(warehouse: Path) -> Iterator[None]:
    """Hold the lock of a warehouse, whose folder is made when missing.

    Raises LockTaken at once, naming the process, when another run has it.
    """
    path = warehouse / ".lock"
    try:
        warehouse.mkdir(parents=True, exist_ok=True)
        file = path.open("ab+", buffering=0)
    except OSError as error:
        raise PipelineError(f"warehouse {warehouse} cannot be written ({error.strerror}). Make it writable, or name "
                            "another with --warehouse.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise LockTaken(f"another run (process {file.read().decode().strip() or 'unknown'}) is working on {warehouse}. "
                            "Wait until it has ended, or stop it.") from error
        with suppress(OSError):  # a full disk need not stop a run that may write nothing; the lock holds without the number
            file.truncate(0)
            file.write(str(os.getpid()).encode())
        try:
            yield
        finally:
            with suppress(OSError):
                file.truncate(0)


def lock_holder(warehouse: Path) -> int | None:
    """Return the number of the process whose run works on a warehouse, None when there is none.

    It looks at the number in the file and leaves the lock alone: a run that begins at this moment would find it taken.
    """
    try:
        process = int((warehouse / ".lock").read_text())
        os.kill(process, 0)
    except PermissionError:  # it is somebody else's
        return process
    except (OSError, ValueError):
        return None
    return process
