"""Whoever imports this dies with its parent (on Linux): the warm process does so first, before what takes seconds.

An exception to the rule that nothing happens on import: the forkserver runs no code of ours but its imports, and while it
imports it does not notice that its runner is gone.
"""

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies; elsewhere than on Linux nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


die_with_parent()
