"""Call the operator's command when a run has failed (`--on-failure`)."""

import json
import sys
from typing import Any

from lib.runner.bounded import run_bounded

SECONDS = 30  # that a hook may take, since the next run waits for it


def call_hook(command: str, summary: dict[str, Any]) -> str:
    """Run a shell command with a summary as JSON on its standard input; return what went wrong with it, "" if
    nothing did. Its output goes to stderr.
    """
    code, _ = run_bounded(command, json.dumps(summary, ensure_ascii=False), SECONDS, shell=True,
                          stdout=sys.stderr.fileno())
    if code is None:
        return f"the --on-failure command took longer than {SECONDS} s and was stopped: {command}"
    if code:
        return f"the --on-failure command ended with exit code {code}: {command}"
    return ""
