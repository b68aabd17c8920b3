"""Commands run as a user would, and what they say when they refuse."""

import os
import re
import subprocess

WITHOUT_ROOTS_POWERS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"
                        ] if os.geteuid() == 0 else []


def refused(done: subprocess.CompletedProcess, *words: str) -> str:
    """Return the error on stderr, which is one or two lines with these words, in this order, and no traceback.

    Behind it, where a run had begun, stand its step, its report and the command to go on with; see test_failure.py.
    """
    lines = done.stderr.splitlines()
    error = [line for line in lines if not re.match("step: |report: |continue: ", line)]
    assert lines[:len(error)] == error and 1 <= len(error) <= 2, done.stderr
    assert error[0].startswith("error: ")
    assert "Traceback" not in done.stderr + done.stdout
    message = "\n".join(error)
    assert re.search(".*".join(map(re.escape, words)), message, re.DOTALL), done.stderr
    return message
