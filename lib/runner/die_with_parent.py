"""Make a process end when its parent ends (on Linux). The warm process imports this first, and so do the
processes that answer a SELECT of `browse` or send alerts.

It acts on import, against the project's rule, because the forkserver runs no code of ours except what it
imports. Its imports take seconds, and during these it does not notice that the runner has died. Without this
module, it would never end.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # of prctl(2), which Python's library does not offer
RUNNER = "PIPELINE_RUNNER"  # in the environment: the process id of the parent


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies; on other systems do nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


die_with_parent()
# The runner may have died before the line above: then this process has another parent already, and nothing
# would kill it.
if os.environ.get(RUNNER, str(os.getppid())) != str(os.getppid()):
    os._exit(1)
