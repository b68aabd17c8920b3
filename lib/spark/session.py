"""A Spark session for one step: opened on the cluster that `--master` names, with what the executors need, and stopped."""

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

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from lib.errors import PipelineError, first_line
from lib.steps import PROJECT

STDERR = 2
CONNECT_SECONDS = 5  # to reach a master
TASK_SECONDS = 120  # until a worker has taken the first task
INITIAL_PARTS = "spark.sql.adaptive.coalescePartitions.initialPartitionNum"  # of a shuffle
PARTS = 32  # of them at least, however few cores there are
ARROW_ROWS = 50_000  # of a batch that an executor's Python handles at once
# What no cluster's configuration may change, as results depend on it.
NEEDED = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.caseSensitive": "true",
    "spark.sql.decimalOperations.allowPrecisionLoss": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": str(ARROW_ROWS),
    "spark.ui.showConsoleProgress": "false",  # for it draws into what the step says
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.files.ignoreCorruptFiles": "false",
}
USUAL = {"spark.ui.enabled": "false", "spark.log.level": "ERROR", "spark.sql.maxPlanStringLength": "100000"}


@contextmanager
def open_session(master: str, name: str, log: Path | None = None) -> Iterator[SparkSession]:
    """Open a session on a cluster whose executors can import `lib`; stop it on the way out.

    Whatever the cluster's own configuration says (spark-defaults.conf) holds, but for what results depend on. What Java says
    goes to the file `log`. Raises PipelineError when the master cannot be reached, or no worker takes a task in time.
    """
    _check_reachable(master)
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)  # its pandas API, not used here
    if active := SparkSession.getActiveSession():  # of a step before, in this process, that is over
        active.stop()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    try:
        with _errors_to(log):
            SparkContext._ensure_initialized()  # starts the JVM, which reads the cluster's own configuration
        conf = SparkConf().setMaster(master).setAppName(name).setAll(list(NEEDED.items()))
        for key, value in USUAL.items():
            conf.setIfMissing(key, value)
        spark = SparkSession.builder.config(conf=conf).getOrCreate()
    except Exception as error:  # of Java, of the gateway to it: there is no telling them apart
        raise PipelineError(f"no Spark session on {master}: {first_line(error)} Check --master, the cluster and "
                            f"that Java 17 is installed{f'; {log} has what Java said' if log else ''}.") from error
    try:
        spark.sparkContext.addPyFile(str(_pack(scratch(spark) / "lib.zip")))
        _await_worker(spark, master)
        if not conf.contains("spark.sql.shuffle.partitions"):
            cores = spark.sparkContext.defaultParallelism
            spark.conf.set("spark.sql.shuffle.partitions", max(2, 2 * cores))
            # Where Spark adapts a plan to what is there, which is nearly everywhere, it begins with more and joins small ones:
            # a few parts of a large table do not fit into an executor.
            if not conf.contains(INITIAL_PARTS):
                spark.conf.set(INITIAL_PARTS, max(PARTS, 4 * cores))
        yield spark
    finally:
        if SparkSession.getActiveSession() is spark:
            spark.stop()


@contextmanager
def _errors_to(log: Path | None) -> Iterator[None]:
    """Have the processes that are started meanwhile write their standard error to the end of a file."""
    if log is None:
        yield
        return
    kept = os.dup(STDERR)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        os.dup2(file.fileno(), STDERR)
    try:
        yield
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)


def scratch(spark: SparkSession) -> Path:
    """Return the session's own folder on the driver. It goes when Java ends, however that comes about."""
    return Path(spark.sparkContext._temp_dir)


def _check_reachable(master: str) -> None:
    """Raise PipelineError unless one of the masters of a standalone cluster accepts connections.

    Spark itself says so after a minute, in ten lines of Java.
    """
    if not master.startswith("spark://"):
        return
    for place in master.removeprefix("spark://").split(","):
        address = urlsplit(f"//{place}")
        try:
            socket.create_connection((address.hostname, address.port or 7077), CONNECT_SECONDS).close()
            return
        except OSError as error:
            problem = error
    raise PipelineError(f"the Spark master {master} cannot be reached ({problem}). Start the cluster, or correct --master.")


def _await_worker(spark: SparkSession, master: str) -> None:
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
        raise PipelineError(f"no worker of {master} took a task within {TASK_SECONDS} seconds. Start workers, or free some of their "
                            "cores and memory, and run again.") from error
    finally:
        timer.cancel()


def _pack(path: Path) -> Path:
    """Write `lib` as a zip file that Python can import from, and return its path."""
    with zipfile.ZipFile(path, "w") as archive:
        for module in sorted((PROJECT / "lib").rglob("*.py")):
            archive.write(module, module.relative_to(PROJECT))
    return path
