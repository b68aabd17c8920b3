"""Run commands as a user would, and check what they print when they refuse."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

# root may write anywhere; without these capabilities, permissions count for root, too
WITHOUT_ROOTS_POWERS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search",
                        "--inh-caps=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


def copy_with_environment(project: Path, folder: Path) -> None:
    """Copy the project, with an environment of its own that has the packages of this one."""
    left_out = (".git", ".venv*", "reports", "warehouse", "__pycache__", "tests")
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns(*left_out))
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)


def refused(done: subprocess.CompletedProcess, *words: str) -> str:
    """Return the error on stderr: one or two lines that contain these words in this order, without a
    traceback.

    After it, if a run had begun, come its step, its report and the command that continues; see
    test_failure.py.
    """
    lines = done.stderr.splitlines()
    error = [line for line in lines if not re.match("step: |report: |continue: ", line)]
    assert lines[:len(error)] == error and 1 <= len(error) <= 2, done.stderr
    assert error[0].startswith("error: ")
    assert "Traceback" not in done.stderr + done.stdout
    message = "\n".join(error)
    assert re.search(".*".join(map(re.escape, words)), message, re.DOTALL), done.stderr
    return message
