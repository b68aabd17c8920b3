"""The command that an operator wants to be called when a run fails."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

SECONDS = 30  # a hook may take; the next run waits for it


def call_hook(command: str, summary: dict[str, Any]) -> str:
    """Run a shell command with a summary as JSON on its standard input; return what went wrong with it, "" if nothing did.

    What it prints goes to stderr. It is killed, with what it started, when it takes longer than SECONDS or this is interrupted.
    """
    process = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, stdout=sys.stderr.fileno(), start_new_session=True)
    try:
        process.communicate(json.dumps(summary, ensure_ascii=False).encode(), timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"the --on-failure command took longer than {SECONDS} s and was stopped: {command}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return f"the --on-failure command ended with exit code {process.returncode}: {command}" if process.returncode else ""
