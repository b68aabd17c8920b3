"""A standalone cluster on this machine: one master and workers of one core each, on loopback."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyspark

SPARK_HOME = Path(pyspark.__file__).parent
STARTED = r"Starting Spark master at (spark://\S+)"
REGISTERED = "Successfully registered with master"
SECONDS = 60  # that a daemon may take to start or to stop
# The sessions of the tests are too short for Java's better compiler to pay off.
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# The content of a spark-defaults.conf.
DEFAULTS = f"spark.driver.extraJavaOptions {JAVA}\nspark.executor.extraJavaOptions {JAVA}\n"


class Cluster:
    """A master and its workers. `master` is the address for --master; logs and work files are in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._daemons: dict[str, subprocess.Popen] = {}
        self._start("master", "org.apache.spark.deploy.master.Master", "--port", "0", "--webui-port", "0")
        self.master = self._wait_for("master", STARTED)[1]

    def add_worker(self, memory: str = "1g") -> str:
        """Start a worker and return its name."""
        name = f"worker-{len(self._daemons)}"
        self._start(name, "org.apache.spark.deploy.worker.Worker", "--cores", "1", "--memory", memory,
                    "--port", "0", "--webui-port", "0", "--work-dir", str(self.folder / name), self.master)
        self._wait_for(name, REGISTERED)
        return name

    def kill(self, name: str) -> None:
        """Kill a worker, with its executors, as a power failure would."""
        os.killpg(self._daemons[name].pid, signal.SIGKILL)
        self._daemons.pop(name).wait()

    def stop(self) -> None:
        for daemon in reversed(self._daemons.values()):
            os.killpg(daemon.pid, signal.SIGTERM)
            daemon.wait(SECONDS)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def _start(self, name: str, kind: str, *arguments: str) -> None:
        environment = {**os.environ, "SPARK_HOME": str(SPARK_HOME), "SPARK_LOCAL_IP": "127.0.0.1",
                       "SPARK_DAEMON_MEMORY": "512m", "SPARK_DAEMON_JAVA_OPTS": JAVA,
                       "SPARK_LOCAL_DIRS": str(self.folder / "local")}
        with (self.folder / f"{name}.log").open("wb") as log:
            self._daemons[name] = subprocess.Popen(
                [SPARK_HOME / "bin" / "spark-class", kind, "--host", "127.0.0.1", *arguments],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, start_new_session=True)

    def _wait_for(self, name: str, message: str) -> re.Match:
        for _ in range(SECONDS * 10):
            if found := re.search(message, self.log(name)):
                return found
            if self._daemons[name].poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"{name} did not start:\n{self.log(name)}")


@contextmanager
def started_cluster(folder: Path, workers: int, memory: str = "1g") -> Iterator[Cluster]:
    cluster = Cluster(folder)
    try:
        for _ in range(workers):
            cluster.add_worker(memory)
        yield cluster
    finally:
        cluster.stop()
