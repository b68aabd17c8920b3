"""Whoever imports this dies with its parent (on Linux): the warm process does so first, before what takes seconds.

An exception to the rule that nothing happens on import: the forkserver runs no code of ours but its imports, and while it
imports it does not notice that its runner is gone.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
RUNNER = "PIPELINE_RUNNER"  # in the environment: the process id of the warm process's parent


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies; elsewhere than on Linux nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


die_with_parent()
if os.environ.get(RUNNER, str(os.getppid())) != str(os.getppid()):
    os._exit(1)  # the runner died before the kernel was asked
