"""Fork whole runs from one process that has imported everything: the same runner, warm process and kernels as
those of a command, without the seconds of its imports. For tests that need many runs.

It reads one request per line from standard input, as JSON: `arguments` of the command, `output` (a folder for
stdout.txt and stderr.txt), `obey` (whether file permissions hold for the run even if it is root's) and
`fault` (a place in the run, named in FAULTS, at which the runner is killed, and the step; or null). It
answers each request with one line, the runner's exit code.
"""

import ctypes
import fcntl
import json
import multiprocessing.forkserver
import multiprocessing.util
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import great_expectations  # noqa: F401
import ipykernel.kernelapp  # noqa: F401
import jupyter_client.manager  # noqa: F401
import nbconvert  # noqa: F401
import papermill  # noqa: F401

import lib.report.catalog
import lib.report.charts
import lib.report.data_docs
import lib.report.notebook_pages
import lib.report.pages
import lib.report.trends
import lib.runner.kernels
import lib.runner.run
import lib.storage.manifest
from lib.cli.main import main
from lib.step.base import Step

spawn = multiprocessing.util.spawnv_passfds


class StandIn:
    """The warm process of one run, forked before the run opens anything: SQLite does not survive a fork."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._pid = os.fork()
        if not self._pid:
            try:
                self._socket.close()
                self._wait(theirs)
            finally:
                os._exit(0)

    def spawn(self, path: str, arguments: list[str], fds: Sequence[int]) -> int:
        """Stand in for multiprocessing.util.spawnv_passfds: the waiting fork becomes the forkserver."""
        if "forkserver" not in arguments[-1]:
            return spawn(path, arguments, fds)
        order = json.dumps([arguments[-1], list(fds), dict(os.environ)])
        socket.send_fds(self._socket, [order.encode()], list(fds))
        return self._pid

    def _wait(self, theirs: socket.socket) -> None:
        from lib.runner.die_with_parent import die_with_parent

        die_with_parent()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        order, received, *_ = socket.recv_fds(theirs, 1_000_000, 2)
        if order:
            code, fds, environment = json.loads(order)
            os.environ.update(environment)
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 500) for fd in received]
            os.closerange(3, 500)
            for fd, number in zip(high, fds, strict=True):
                os.dup2(fd, number)
            os.closerange(500, 1000)
            exec(code, {})


def obey_permissions() -> None:
    """Give up root's power to ignore the permissions of files (see capabilities(7))."""
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None)
    libc.capget(header, sets)
    for number in (0, 1):  # effective and permitted
        sets[number] &= ~(1 << 1 | 1 << 2)  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    libc.capset(header, sets)


def install(fault: str, step: str) -> None:
    """Kill this process when the run comes to a place in a step, or in its report."""
    runner = os.getpid()

    def kill_the_run(*_: object) -> None:
        os.kill(runner, signal.SIGKILL)
        time.sleep(60)  # its kernels have to end by themselves

    FAULTS[fault](kill_the_run, step)


def in_publish(arm: Callable[[Step, Callable], object]) -> Callable:
    """Return an installer of a fault that `arm` sets on the step of that name when it begins to publish."""
    def install(kill: Callable, name: str) -> None:
        publish = Step.publish

        def patched(step: Step, *arguments: object) -> object:
            if step.spec.name == name:
                arm(step, kill)
            return publish(step, *arguments)

        Step.publish = patched
    return install


def before(module: object, function: str) -> Callable:
    return lambda kill, _: setattr(module, function, kill)


def dies(module: object, function: str) -> Callable:
    """Return an installer of a fault that kills only the process that calls a function."""
    return lambda *_: setattr(module, function, lambda *_: os.kill(os.getpid(), signal.SIGKILL))


def when_renamed(name: str) -> Callable:
    """Return an installer of a fault when a file of this name is about to get its final one."""
    def install(kill: Callable, _: str) -> None:
        rename = Path.rename
        Path.rename = lambda path, target: kill() if path.name == name else rename(path, target)
    return install


FAULTS: dict[str, Callable] = {
    "all written, not committed": in_publish(lambda step, kill: step._commit.callback(kill)),
    "data committed, watermark not": in_publish(lambda step, kill: setattr(step, "record", kill)),
    "watermark being committed": in_publish(lambda step, kill: step._log.set_trace_callback(
        lambda sql: kill() if sql.lower().startswith("commit") else None)),
    "data docs being built": before(lib.report.data_docs, "build_docs"),
    "report being written": before(lib.report.pages, "write_run_page"),
    "manifest being completed": before(lib.storage.manifest, "complete"),
    "audit.db being made": when_renamed(".audit.db.new"),
    "the process that exports notebooks": dies(lib.report.notebook_pages, "export_notebooks"),
    "the process that builds data docs": dies(lib.report.data_docs, "build_docs"),
    "the process that draws trends": dies(lib.report.trends, "draw_trends"),
    "the process that writes the catalog": dies(lib.report.catalog, "write_catalog"),
}


def serve() -> int:
    """Answer requests until the input ends; returns in every fork too, with its exit code."""
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if not pid:
            return run(request)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    return 0


def run(request: dict) -> int:
    os.setsid()
    for fd, name in ((1, "stdout.txt"), (2, "stderr.txt")):
        os.dup2(os.open(Path(request["output"]) / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), fd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if request["obey"]:
        obey_permissions()
    if request["fault"]:
        install(*request["fault"])
    multiprocessing.util.spawnv_passfds = StandIn().spawn
    return main(request["arguments"])


if __name__ == "__main__":
    sys.exit(serve())
