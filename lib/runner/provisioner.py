"""What jupyter_client needs to take a fork of the warm process as a kernel; see lib.runner.kernels."""

import multiprocessing
import os
import time
from contextlib import suppress
from queue import Empty

from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner


class ForkSpecs(KernelSpecManager):
    """Finds a kernel by the name of its provisioner, whether or not any kernel is installed for the user."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(argv=[], display_name="Python 3", language="python",
                          metadata={"kernel_provisioner": {"provisioner_name": kernel_name}})


class ForkProvisioner(LocalProvisioner):
    """Hands out the kernel that `warm_kernel` has forked for the manager, instead of starting a program."""

    async def pre_launch(self, **kwargs) -> dict:
        # The kernel has its connection file already: the inherited method would write another.
        self.connection_info = self.parent.get_connection_info()
        return {"cmd": []}

    async def launch_kernel(self, cmd: list[str], **kwargs) -> dict:
        self.process = _ForkedProcess(self.parent.forked)
        self.pid = self.process.pid
        return self.connection_info


class PromptClient(AsyncKernelClient):
    """A client that is ready as soon as the kernel has answered on both channels.

    The inherited method then waits for another 0.2 seconds, in each step, until messages that belong to no
    cell have stopped; nbclient ignores these anyway.
    """

    async def wait_for_ready(self, timeout: float = 60) -> None:
        """Return when the kernel can execute; raise RuntimeError when it died or does not answer."""
        until = time.monotonic() + timeout
        while time.monotonic() < until and await self.is_alive():
            self.kernel_info()
            with suppress(Empty):
                reply = await self.get_shell_msg(timeout=1)
                if reply["msg_type"] == "kernel_info_reply":
                    # A message proves that this channel works too: no output of the first cell is lost.
                    await self.get_iopub_msg(timeout=0.2)
                    return
        raise RuntimeError("the kernel died or does not answer")


class _ForkedProcess:
    """A process of multiprocessing with the methods of subprocess.Popen that LocalProvisioner calls."""

    stdout = stderr = stdin = None

    def __init__(self, process: multiprocessing.process.BaseProcess):
        self._process, self.pid = process, process.pid
        self.kill, self.terminate = process.kill, process.terminate

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, signum)
