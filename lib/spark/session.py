"""A Spark session for one step: it opens on a cluster, sends the executors what they need, and stops."""

import os
import socket
import sys
import threading
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from pyspark import SparkConf, SparkFiles
from pyspark.sql import SparkSession

from lib.errors import PipelineError, first_line
from lib.spark.jvm import connect
from lib.steps import PROJECT

CONNECT_SECONDS = 5  # to reach a master
TASK_SECONDS = 120  # until a worker has taken the first task
INITIAL_PARTS = "spark.sql.adaptive.coalescePartitions.initialPartitionNum"  # of a shuffle
PARTS = 32  # at least so many, however few cores there are
ARROW_ROWS = 50_000  # how many rows an executor's Python handles at once
# Results depend on these, so the cluster's configuration cannot change them.
NEEDED = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.caseSensitive": "true",
    "spark.sql.decimalOperations.allowPrecisionLoss": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": str(ARROW_ROWS),
    "spark.ui.showConsoleProgress": "false",  # it would draw into the step's own output
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.files.ignoreCorruptFiles": "false",
}
# The cluster's configuration may change these.
USUAL = {
    "spark.ui.enabled": "false", "spark.log.level": "ERROR", "spark.sql.maxPlanStringLength": "100000",
    # So that what is kept of few rows is in few parts: each takes a task in all that is done with it.
    "spark.sql.optimizer.canChangeCachedPlanOutputPartitioning": "true",
}


@contextmanager
def open_session(master: str, name: str, log: Path | None = None) -> Iterator[SparkSession]:
    """Open a session on a cluster whose executors can import `lib`, and stop it at the end.

    The cluster's own configuration (spark-defaults.conf) applies, except for what results depend on. Java's
    messages go to the file `log`. Raises PipelineError when the master cannot be reached, or when no worker
    takes a task in time.
    """
    _check_reachable(master)
    # The warning is about Spark's pandas API, which nothing here uses.
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    if active := SparkSession.getActiveSession():  # an earlier step in this process has left it
        active.stop()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    try:
        # Before the configuration is made, as only the JVM reads the cluster's: without it, a SparkConf is
        # empty, and what is set as missing would override the cluster's.
        connect(log)
        conf = SparkConf().setMaster(master).setAppName(name).setAll(list(NEEDED.items()))
        for key, value in USUAL.items():
            conf.setIfMissing(key, value)
        spark = SparkSession.builder.config(conf=conf).getOrCreate()
    except Exception as error:  # errors of Java and of the gateway to it have no class of their own
        hint = f"; {log} has Java's messages" if log else ""
        raise PipelineError(f"no Spark session on {master}: {first_line(error)} Check --master, the cluster "
                            f"and that Java 17 is installed{hint}.") from error
    try:
        for folder, pattern in (("lib", "**/*.py"), ("data", "contract/**/*.yaml")):
            # Unpacked, in a folder that is on Python's path, because the code reads the contract beside it.
            archive = _pack(scratch() / f"{folder}.zip", PROJECT / folder, pattern)
            spark.sparkContext.addArchive(f"{archive}#{folder}")
        _await_worker(spark, master)
        if not conf.contains("spark.sql.shuffle.partitions"):
            cores = spark.sparkContext.defaultParallelism
            spark.conf.set("spark.sql.shuffle.partitions", max(2, 2 * cores))
            # Where Spark adapts a plan to the data, which is nearly everywhere, it starts with more parts and
            # merges small ones: a large table in few parts does not fit into an executor.
            if not conf.contains(INITIAL_PARTS):
                spark.conf.set(INITIAL_PARTS, max(PARTS, 4 * cores))
        yield spark
    finally:
        if SparkSession.getActiveSession() is spark:
            spark.stop()


def scratch() -> Path:
    """Return a folder of the session on the driver. Spark deletes it when the session or its JVM ends."""
    folder = Path(SparkFiles.getRootDirectory()) / "scratch"
    folder.mkdir(exist_ok=True)
    return folder


def _check_reachable(master: str) -> None:
    """Raise PipelineError unless one of the masters of a standalone cluster accepts connections.

    Spark itself would report it after a minute, in ten lines of Java.
    """
    if not master.startswith("spark://"):
        return
    for host in master.removeprefix("spark://").split(","):
        address = urlsplit(f"//{host}")
        try:
            socket.create_connection((address.hostname, address.port or 7077), CONNECT_SECONDS).close()
            return
        except OSError as error:
            problem = error
    raise PipelineError(f"the Spark master {master} cannot be reached ({problem}). "
                        "Start the cluster, or correct --master.")


def _await_worker(spark: SparkSession, master: str) -> None:
    """Raise PipelineError unless a worker takes a first task in time; Spark itself would wait for ever."""
    is_late = threading.Event()

    def give_up() -> None:
        is_late.set()
        spark.sparkContext.cancelAllJobs()

    timer = threading.Timer(TASK_SECONDS, give_up)
    timer.daemon = True
    timer.start()
    try:
        spark.sparkContext.parallelize([0], 1).count()
    except Exception as error:
        if not is_late.is_set():
            raise
        raise PipelineError(
            f"no worker of {master} took a task within {TASK_SECONDS} seconds. Start workers, or free some "
            "of their cores and memory, and run again.") from error
    finally:
        timer.cancel()


def _pack(path: Path, folder: Path, pattern: str) -> Path:
    """Write files of a folder as a zip file; return its path."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.glob(pattern)):
            archive.write(file, file.relative_to(folder))
    return path
