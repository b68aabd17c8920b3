"""Run a program that may take only so long, and that leaves nothing behind."""

import os
import signal
import subprocess
from contextlib import suppress
from typing import Any


def run_bounded(command: str | list[str], given: str, seconds: float, **how: Any) -> tuple[int | None, bytes]:
    """Run a command with a text on its standard input; return its exit code, or None if it took longer than
    so many seconds, and what it has written into its standard output if `how` says that this is a pipe.

    `how` is for subprocess.Popen. The command is killed together with the processes that it started, at the
    latest after that time or when the run is interrupted.
    """
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, **how)
    is_late, written = False, None
    try:
        written, _ = process.communicate(given.encode(), timeout=seconds)
    except subprocess.TimeoutExpired:
        is_late = True
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own group: its children, too
        process.wait()
    if is_late:
        written, _ = process.communicate()
    return None if is_late else process.returncode, written or b""
