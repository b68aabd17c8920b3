"""Whole runs without the seconds that imports take: see warm_host.py."""

import json
import os
import select
import subprocess
import sys
import time
import uuid
from pathlib import Path

HOST = Path(__file__).with_name("warm_host.py")
MARK = "PIPELINE_TEST"


class WarmRuns:
    """A process that runs are forked from, one at a time."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex
        self._host = subprocess.Popen([sys.executable, str(HOST)], text=True, stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, env={**os.environ, MARK: self.mark})

    def run(self, shop, *options: str, expect: int = 0, obey: bool = False,
            fault: tuple[str, str] | None = None) -> subprocess.CompletedProcess:
        """Run the pipeline on a shop; fail the test when its exit code is not the expected one."""
        shop.folder.mkdir(parents=True, exist_ok=True)
        arguments = shop.command(*options)[2:]
        request = {"arguments": arguments, "output": str(shop.folder), "obey": obey, "fault": fault}
        print(json.dumps(request), file=self._host.stdin, flush=True)
        assert select.select([self._host.stdout], [], [], 200)[0], "the run does not end"
        code = int(self._host.stdout.readline())
        output = ((shop.folder / name).read_text(encoding="utf-8") for name in ("stdout.txt", "stderr.txt"))
        done = subprocess.CompletedProcess(arguments, code, *output)
        assert code == expect, f"exit {code}\n{done.stdout}\n{done.stderr}"
        return done

    def left_after(self, seconds: float) -> list[str]:
        """Return what is left of the last run's processes after so many seconds; sooner if nothing is."""
        return left_after(seconds, self.mark, self._host.pid)

    def close(self) -> None:
        self._host.stdin.close()
        self._host.stdout.close()
        self._host.wait(10)


def processes(mark: str, *but: int) -> dict[int, str]:
    """Return the command lines of the living processes with a mark in their environment, by process id."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) not in but:
            try:
                if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                pass  # it has ended
    return found


def left_after(seconds: float, mark: str, *but: int) -> list[str]:
    """Return what is left of the processes with a mark after so many seconds; sooner if nothing is."""
    until = time.monotonic() + seconds
    while (left := processes(mark, *but)) and time.monotonic() < until:
        time.sleep(0.05)
    return list(left.values())
