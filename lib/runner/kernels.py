"""Start warm kernels: fresh processes for notebooks, forked from one that has done the slow imports.

`import great_expectations` takes seconds. The warm process is a forkserver of Python's multiprocessing: it
imports once, and each kernel is a fork of it. jupyter_client gets the fork through its plug-in point, the
kernel provisioner. Runner and kernel talk over sockets in a private folder, so no TCP port is open.
"""

import importlib
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING

from lib.errors import PipelineError
from lib.steps import NOTEBOOKS, PROJECT
from lib.storage.temporary import JVM, SPOOL, use_temporary_folder

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager

PRELOAD = ["lib.runner.die_with_parent", "lib.runner.preload"]
PROVISIONER = "warm-fork"
FILES = 1024  # open at once, where the system allows so many; a quarter is enough


def warm_up() -> None:
    """Start the warm process, which imports what kernels need, and return at once.

    Raises PipelineError when the system does not allow what it needs.
    """
    _allow_files()
    temporary = use_temporary_folder()
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOAD)
    # The forkserver does not inherit sys.path: it would look for modules in the working directory first, and
    # not in the project. PIPELINE_RUNNER is for lib.runner.die_with_parent, which this process must not
    # import (it would act here).
    environment = {"PYTHONPATH": str(PROJECT), "PYTHONSAFEPATH": "1", "GX_ANALYTICS_ENABLED": "false",
                   "PIPELINE_RUNNER": str(os.getpid()), "TMPDIR": str(temporary), SPOOL: str(_spool()),
                   JVM: str(_jvm())}
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    # Ctrl-C on a terminal reaches every process of the group, but only the runner should act on it: the
    # forkserver and its forks inherit the blocked signal. Starting the resource tracker unblocks SIGINT, so
    # it is started before.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        with _without_stderr():
            forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def clear_spool() -> None:
    """Delete what the steps of a run have left for each other."""
    shutil.rmtree(_spool(), ignore_errors=True)


def _spool() -> Path:
    return use_temporary_folder() / "spool"


@contextmanager
def running_jvm(log: Path) -> Iterator[None]:
    """Start the JVM of all steps on Spark, whose messages go to a file; end it. See lib.spark.jvm.

    Its process is no fork: it starts while the warm process is still busy with its imports.
    """
    _jvm().write_bytes(b"")
    process = multiprocessing.get_context("spawn").Process(
        target=_run_guarded, args=("lib.spark.jvm:serve", _jvm(), log), daemon=True)
    with _without_stderr():
        process.start()
    try:
        yield
    finally:
        process.terminate()
        # Java is of its group. While it starts, it would not notice that the process has ended, and stay.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.join()


def _jvm() -> Path:
    return use_temporary_folder() / "jvm.json"


def _allow_files() -> None:
    """Let this process and its forks open as many files as they may need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if allowed < FILES // 4:
        raise PipelineError(f"a run may open only {allowed} files at once, and needs {FILES // 4}. Raise the "
                            f"limit, as with `ulimit -n {FILES}`, and run again.")
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Start processes here that print nothing, as when they run out of memory: the run reports that."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def start_fork(target: str, *arguments) -> multiprocessing.process.BaseProcess:
    """Run a function in a fork of the warm process, which dies with this process, and return the fork.

    The function is named as `module:function`, so that only the fork imports the module.
    """
    process = multiprocessing.get_context("forkserver").Process(
        target=_run_guarded, args=(target, *arguments), daemon=True)
    try:
        with _without_stderr():  # this starts the warm process again if it has died
            process.start()
    except (EOFError, ConnectionError) as error:
        raise PipelineError("the process from which kernels are forked died (killed, or out of memory). "
                            "The step wrote nothing; run again.") from error
    return process


@contextmanager
def warm_kernel() -> Iterator["AsyncKernelManager"]:
    """Fork a kernel and yield its manager, for nbclient; kill the kernel on the way out, even after an error.

    The kernel gets ready by itself. When nbclient asks the manager to start a kernel, it takes this one (see
    lib.runner.provisioner).
    """
    from importlib.metadata import EntryPoint

    from jupyter_client.manager import AsyncKernelManager
    from jupyter_client.provisioning import KernelProvisionerFactory

    from lib.runner.provisioner import ForkSpecs, PromptClient

    # Provisioners are found as entry points of installed packages. The project is not installed, so it adds
    # its own.
    KernelProvisionerFactory.instance().provisioners[PROVISIONER] = EntryPoint(
        PROVISIONER, "lib.runner.provisioner:ForkProvisioner", KernelProvisionerFactory.GROUP_NAME)
    sockets = tempfile.mkdtemp(prefix="kernel-")  # a short path: the name of a socket has at most 108 bytes
    manager = AsyncKernelManager(kernel_name=PROVISIONER, kernel_spec_manager=ForkSpecs(), transport="ipc",
                                 ip=f"{sockets}/s", connection_file=f"{sockets}/c.json")
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
    """Kernels for one notebook after the other. The next one gets ready while a notebook is executed."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[tuple[ExitStack, AsyncKernelManager]] = []

    def start_ahead(self, kernels: int = 1) -> None:
        """Let so many kernels get ready before they are needed; one that died while it waited is replaced."""
        self._waiting = [(life, manager) for life, manager in self._waiting if manager.forked.is_alive()]
        while len(self._waiting) < kernels:
            self._fork()

    @contextmanager
    def take(self, is_last: bool) -> Iterator["AsyncKernelManager"]:
        """Yield the manager of a kernel, while the next kernel gets ready unless this is the last."""
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
    """Run a function in a fork that ends when the runner ends, however that happens."""
    from lib.runner.die_with_parent import die_with_parent  # here, not above: its import acts on the process

    def watch() -> None:
        multiprocessing.parent_process().join()  # this is the runner, not the forkserver
        os.kill(os.getpid(), signal.SIGKILL)

    os.setsid()  # out of the terminal's process group: what a user sends to it is for the runner alone
    die_with_parent()  # for the operating system, the parent is the forkserver
    threading.Thread(target=watch, daemon=True, name="die-with-the-run").start()
    _call(target, *arguments)


def _call(target: str, *arguments) -> None:
    module, _, function = target.partition(":")
    getattr(importlib.import_module(module), function)(*arguments)


def run_logged(log: Path, target: str, *arguments) -> None:
    """Run a function, named `module:function`, with its output appended to a file."""
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError:
        file = os.open(os.devnull, os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.nice(10)  # the steps that run at the same time matter more than pages
    _call(target, *arguments)


def run_kernel(connection_file: str) -> None:
    """Be a kernel, in the folder of the notebooks, until killed.

    Its files are in the folder of its connection file, which the runner deletes. It neither reads nor writes
    what belongs to the user's own IPython (start-up files, history).
    """
    from ipykernel.kernelapp import IPKernelApp

    os.chdir(NOTEBOOKS)
    tempfile.tempdir = str(Path(connection_file).parent)
    # tqdm creates a lock of multiprocessing. With the method "fork" the lock needs no clean-up by the
    # resource tracker, which would complain about a kernel that was killed.
    multiprocessing.set_start_method("fork", force=True)
    IPKernelApp.launch_instance(argv=[
        "-f", connection_file, f"--IPKernelApp.parent_handle={os.getppid()}",
        f"--ipython-dir={tempfile.tempdir}", "--HistoryManager.enabled=False"])
