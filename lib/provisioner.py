"""The kernel provisioner that jupyter_client loads by name: a kernel is a fork of the warm process (see lib.kernels)."""

import multiprocessing
import os

from jupyter_client.provisioning.local_provisioner import LocalProvisioner


class ForkProvisioner(LocalProvisioner):
    """Hands out the kernel that was forked for its manager (`lib.kernels.warm_kernel`) instead of starting a program."""

    async def pre_launch(self, **kwargs) -> dict:
        self.connection_info = self.parent.get_connection_info()
        return {"cmd": []}

    async def launch_kernel(self, cmd: list[str], **kwargs) -> dict:
        self.process = _ForkedProcess(self.parent.forked)
        self.pid = self.process.pid
        return self.connection_info


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
