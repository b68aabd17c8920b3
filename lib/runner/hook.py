"""Call the operator's command when a run has failed (`--on-failure`)."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

SECONDS = 30  # that a hook may take, since the next run waits for it


def call_hook(command: str, summary: dict[str, Any]) -> str:
    """Run a shell command with a summary as JSON on its standard input; return what went wrong with it, "" if
    nothing did.

    Its output goes to stderr. It is killed together with the processes that it started, at the latest after
    SECONDS or when the run is interrupted.
    """
    process = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, stdout=sys.stderr.fileno(),
                               start_new_session=True)  # a group of its own, to kill its children with it
    try:
        process.communicate(json.dumps(summary, ensure_ascii=False).encode(), timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"the --on-failure command took longer than {SECONDS} s and was stopped: {command}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode:
        return f"the --on-failure command ended with exit code {process.returncode}: {command}"
    return ""
