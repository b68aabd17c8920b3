"""Warm kernels: each notebook in a fresh process of its own, forked from one that has imported what is slow to import.

`import great_expectations` takes seconds. A forkserver (multiprocessing's own) imports it once; a kernel is then a fork of
that server, started through jupyter_client's plug-in point, the kernel provisioner. Kernels speak over sockets in a private
folder: no TCP port is open.
"""

import importlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING

from lib.errors import PipelineError
from lib.steps import NOTEBOOKS, PROJECT

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager

PRELOAD = ["lib.runner.die_with_parent", "lib.runner.preload"]
PROVISIONER = "warm-fork"


def warm_up() -> None:
    """Start importing in the background what kernels need. Returns at once."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOAD)
    # CPython's forkserver looks for modules in the working directory first and not where this process finds them.
    surroundings = {"PYTHONPATH": str(PROJECT), "PYTHONSAFEPATH": "1", "GX_ANALYTICS_ENABLED": "false",
                    "PIPELINE_RUNNER": str(os.getpid())}  # see lib.runner.die_with_parent, which must not be imported here
    before = {name: os.environ.get(name) for name in surroundings}
    os.environ.update(surroundings)
    resource_tracker.ensure_running()  # or the forkserver would start it, which unblocks what is blocked here
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # inherited: Ctrl-C on the terminal is for the runner alone
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def start_fork(target: str, *arguments) -> multiprocessing.process.BaseProcess:
    """Run a function, named `module:function`, in a fork of the warm process; return the process, which dies with this one."""
    process = multiprocessing.get_context("forkserver").Process(target=_run_guarded, args=(target, *arguments), daemon=True)
    try:
        process.start()
    except EOFError as error:
        raise PipelineError("the process that kernels are forked from died (killed, or out of memory). Nothing of the step was "
                            "written; run again.") from error
    return process


@contextmanager
def warm_kernel() -> Iterator["AsyncKernelManager"]:
    """Fork a kernel and yield its manager, for nbclient; kill the kernel on the way out, whatever happened.

    The kernel gets ready by itself; a manager that is asked to start one (see lib.runner.provisioner) takes the one that is there.
    """
    from importlib.metadata import EntryPoint

    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_client.provisioning import KernelProvisionerFactory

    from lib.runner.provisioner import PromptClient

    KernelProvisionerFactory.instance().provisioners[PROVISIONER] = EntryPoint(
        PROVISIONER, "lib.runner.provisioner:ForkProvisioner", KernelProvisionerFactory.GROUP_NAME)
    sockets = tempfile.mkdtemp(prefix="kernel-")  # a short path: a socket's name has 108 bytes at most
    manager = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{sockets}/s", connection_file=f"{sockets}/c.json")
    manager._kernel_spec = KernelSpec(argv=[], display_name="Python 3", language="python", metadata={
        "kernel_provisioner": {"provisioner_name": PROVISIONER}})
    manager.client_factory = PromptClient
    try:
        manager.write_connection_file()
        manager.forked = start_fork("lib.runner.kernels:run_kernel", manager.connection_file)
        try:
            yield manager
        finally:
            manager.forked.kill()
            manager.forked.join()
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


class KernelQueue(ExitStack):
    """Kernels for one notebook after the other: each is ready before, or gets so while the notebook before it is executed."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[tuple[ExitStack, AsyncKernelManager]] = []

    def start_ahead(self, kernels: int = 1) -> None:
        """Let kernels get ready before the first notebook comes; one that died while it waited is replaced."""
        self._waiting = [(life, manager) for life, manager in self._waiting if manager.forked.is_alive()]
        while len(self._waiting) < kernels:
            self._fork()

    @contextmanager
    def take(self, is_last: bool) -> Iterator["AsyncKernelManager"]:
        """Yield the manager of a kernel, as `warm_kernel` does, while the one after it gets ready unless this is the last."""
        self.start_ahead()
        life, manager = self._waiting.pop(0)
        with life:
            if not is_last:
                self.start_ahead()
            yield manager

    def _fork(self) -> None:
        life = self.enter_context(ExitStack())
        self._waiting.append((life, life.enter_context(warm_kernel())))


def _run_guarded(target: str, *arguments) -> None:
    from lib.runner.die_with_parent import die_with_parent  # here, not above: the runner is not to

    def watch() -> None:
        multiprocessing.parent_process().join()
        os.kill(os.getpid(), signal.SIGKILL)

    os.setsid()
    die_with_parent()
    threading.Thread(target=watch, daemon=True, name="die-with-the-run").start()
    _call(target, *arguments)


def _call(target: str, *arguments) -> None:
    module, _, function = target.partition(":")
    getattr(importlib.import_module(module), function)(*arguments)


def run_logged(log: Path, target: str, *arguments) -> None:
    """Run a function, named `module:function`, with all that it says on the terminal appended to a file."""
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError:
        file = os.open(os.devnull, os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.nice(10)  # pages can wait: the step that goes on beside them is what a delivery waits for
    _call(target, *arguments)


def run_kernel(connection_file: str) -> None:
    """Be a kernel, in the folder of the notebooks, until killed.

    What it needs on disk is in the folder of its connection file, which the runner deletes; nothing of the user's own
    IPython (start-up files, history) is read or written.
    """
    from ipykernel.kernelapp import IPKernelApp

    os.chdir(NOTEBOOKS)
    tempfile.tempdir = str(Path(connection_file).parent)
    multiprocessing.set_start_method("fork", force=True)  # tqdm's locks then need no clean-up that a killed kernel cannot do
    IPKernelApp.launch_instance(argv=[
        "-f", connection_file, f"--IPKernelApp.parent_handle={os.getppid()}", f"--ipython-dir={tempfile.tempdir}",
        "--HistoryManager.enabled=False"])
