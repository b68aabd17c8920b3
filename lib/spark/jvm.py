"""One JVM for all steps of a run. Each step has a process and a session of its own, but to start Java, and to
have it compile Spark's code once more, takes longer than the work of a small step.

The runner starts the JVM. The steps find it by a file, which the environment variable JVM names: it is empty
until the JVM can be reached, and missing where there is none, as when a notebook is run by hand.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from pyspark import SparkContext
from pyspark.java_gateway import launch_gateway

from lib.storage.files import write_whole
from lib.storage.temporary import JVM

START_SECONDS = 60
LOOK_SECONDS = 0.05


def serve(address: Path, log: Path) -> None:
    """Start a JVM, write down how it can be reached, and keep it until it ends or this process is killed.

    Its messages go to the file `log`. It ends with this process, which holds its standard input.
    """
    try:
        gateway = _launch(log)
        reached = gateway.java_parameters
        write_whole(address, json.dumps({"port": reached.port, "secret": reached.auth_token}))
        gateway.proc.wait()
    finally:
        address.unlink(missing_ok=True)


def connect(log: Path | None) -> None:
    """Connect pyspark to the JVM of the run, or start one, whose messages go to the file `log`.

    A session that the step before has left in the JVM is stopped.
    """
    if SparkContext._gateway is None:
        if reached := _reach():
            os.environ |= {"PYSPARK_GATEWAY_PORT": str(reached["port"]),
                           "PYSPARK_GATEWAY_SECRET": reached["secret"]}
        # Private, as there is no public way to reach the JVM before there is a session.
        SparkContext._ensure_initialized(gateway=launch_gateway() if reached else _launch(log))
    session = SparkContext._jvm.SparkSession.getDefaultSession()
    if session.isDefined():
        session.get().stop()


def _reach() -> dict[str, Any] | None:
    """Return how the JVM of the run can be reached, as soon as it can be; None where there is none."""
    address, until = Path(os.environ.get(JVM, "")), time.monotonic() + START_SECONDS
    while address.is_file() and time.monotonic() < until:
        if text := address.read_text(encoding="utf-8"):
            return json.loads(text)
        time.sleep(LOOK_SECONDS)
    return None


def _launch(log: Path | None) -> Any:
    if log is None:
        return launch_gateway()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return launch_gateway(popen_kwargs={"stderr": file})
