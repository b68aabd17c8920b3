"""The kernel provisioner that jupyter_client loads by name: a kernel is a fork of the warm process (see lib.runner.kernels)."""

import multiprocessing
import os
import time
from contextlib import suppress
from queue import Empty

from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.provisioning.local_provisioner import LocalProvisioner


class ForkProvisioner(LocalProvisioner):
    """Hands out the kernel that was forked for its manager (`lib.runner.kernels.warm_kernel`) instead of starting a program."""

    async def pre_launch(self, **kwargs) -> dict:
        self.connection_info = self.parent.get_connection_info()
        return {"cmd": []}

    async def launch_kernel(self, cmd: list[str], **kwargs) -> dict:
        self.process = _ForkedProcess(self.parent.forked)
        self.pid = self.process.pid
        return self.connection_info


class PromptClient(AsyncKernelClient):
    """Is ready as soon as the kernel has answered on both channels.

    The client that it extends then waits two tenths of a second for messages that answer no cell, which nbclient skips anyway.
    """

    async def wait_for_ready(self, timeout: float = 60) -> None:
        """Return when the kernel can execute; raises RuntimeError when it died or does not answer."""
        until = time.monotonic() + timeout
        while time.monotonic() < until and await self.is_alive():
            self.kernel_info()
            with suppress(Empty):
                reply = await self.get_shell_msg(timeout=1)
                if reply["msg_type"] == "kernel_info_reply":
                    await self.get_iopub_msg(timeout=0.2)  # connected: nothing that the first cell says will be missed
                    return
        raise RuntimeError("the kernel died or does not answer")


class _ForkedProcess:
    """What LocalProvisioner expects of subprocess.Popen, for a process of multiprocessing."""

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
