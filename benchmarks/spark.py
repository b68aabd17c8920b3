"""Time the default engine, and the Spark engine on clusters of one and two workers.

    python benchmarks/spark.py [--lines 100000 1000000 10000000] [--workers 1 2] [--work DIR]

For each size, it measures a first load and a day's delivery after it: seconds, bytes shuffled, memory of the
driver. Everything runs on this machine, and a worker has one core.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests")]

from run import NEW_KEYS, NEW_ORDERS, generated, machine, ours, renamed  # noqa: E402
from spark.cluster import JAVA, started_cluster  # noqa: E402

LINES_PER_ORDER = 3
WORKER_MEMORY, EXECUTOR_MEMORY = "4g", "3g"
MARK = "PIPELINE_BENCHMARK"  # in the environment of what belongs to a run's driver


@dataclass
class Measured:
    """One run: seconds, rows read, bytes that executors shuffled, and the largest processes of the driver."""

    seconds: float
    rows: int
    shuffled: int
    python_mib: int
    java_mib: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lines", type=int, nargs="*", default=[100_000, 1_000_000, 10_000_000], metavar="N",
                        help="sizes, in order lines (default: 100000 1000000 10000000; the last takes long)")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2], metavar="N",
                        help="sizes of the cluster (default: 1 2)")
    parser.add_argument("--work", type=Path, metavar="DIR",
                        help="where to keep generated files (default: a temporary folder)")
    given = parser.parse_args()
    print(f"{machine()}\n")
    print("| lines | engine | load | seconds | rows | rows/s | shuffled, bytes/row | driver: Python, MiB "
          "| driver: Java, MiB |")
    print("|--:|---|---|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        work = given.work or Path(temporary)
        for lines in given.lines:
            source = generated(work, lines // LINES_PER_ORDER)
            measure_loads(Path(temporary) / "out", source, lines, "sqlite", [])
            for workers in given.workers:
                on_cluster(Path(temporary) / "out", source, lines, workers)


def on_cluster(out: Path, source: Path, lines: int, workers: int) -> None:
    """Print what loads take on a new cluster, which logs what its tasks did."""
    folder = out.with_name("cluster")
    for name in ("conf", "events"):
        (folder / name).mkdir(parents=True)
    (folder / "conf" / "spark-defaults.conf").write_text("\n".join([
        "spark.eventLog.enabled true", f"spark.eventLog.dir {(folder / 'events').as_uri()}",
        "spark.eventLog.rolling.enabled false", "spark.eventLog.compress false",
        f"spark.driver.extraJavaOptions {JAVA}",
        f"spark.executor.memory {EXECUTOR_MEMORY}"]), encoding="utf-8")
    with started_cluster(folder, workers, WORKER_MEMORY) as cluster:
        options = ["--engine", "spark", "--master", cluster.master, "--warehouse", (out / "tables").as_uri(),
                   "--audit", str(out / "warehouse")]
        engine = f"spark, {workers} worker{'s' * (workers > 1)}"
        measure_loads(out, source, lines, engine, options, folder)
    shutil.rmtree(folder)


def measure_loads(out: Path, source: Path, lines: int, engine: str, options: list[str],
                  cluster: Path | None = None) -> None:
    """Print what a first load takes, and a day's delivery after it."""
    shutil.copytree(source, out / "source")
    day = generated(out, NEW_ORDERS, "--seed", "99")
    for name in ("first", "day"):
        if name == "day":
            for file, keys in NEW_KEYS.items():
                renamed(day / f"{file}.csv", out / "source" / f"{file}_2030-01-01.csv", keys)
        found = measure([*ours(out / "source", out), *options], out, cluster)
        print(f"| {lines:,} | {engine} | {name} | {found.seconds:.1f} | {found.rows:,} "
              f"| {found.rows / found.seconds:,.0f} | {found.shuffled / found.rows:,.0f} "
              f"| {found.python_mib:,} | {found.java_mib:,} |", flush=True)
    shutil.rmtree(out)


def measure(command: list[str], out: Path, cluster: Path | None) -> Measured:
    """Run the pipeline and measure it; end the benchmark with its output if it fails."""
    mark, before = uuid.uuid4().hex, shuffled(cluster)
    environment = {**os.environ, MARK: mark} | ({"SPARK_CONF_DIR": str(cluster / "conf")} if cluster else {})
    peaks: dict[str, int] = {}
    with tempfile.TemporaryFile("w+") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        while process.poll() is None:
            note_peaks(mark, peaks)
            time.sleep(0.5)
        seconds = time.perf_counter() - begun
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{output.read()[-2000:]}")
    folder = max((out / "reports" / "runs").iterdir())
    steps = json.loads((folder / "run.json").read_text(encoding="utf-8"))["steps"]
    rows = next(step["record"]["rows_processed"] for step in steps if step["name"] == "raw")
    return Measured(seconds, rows, shuffled(cluster) - before, peaks.get("python", 0), peaks.get("java", 0))


def note_peaks(mark: str, peaks: dict[str, int]) -> None:
    """Note the largest memory, in MiB, of a process of a run's driver so far, by the kind of process."""
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                lines = (folder / "status").read_text().splitlines()
                status = dict(line.split(":", 1) for line in lines)
                # Not by its name, which Java's main thread changes.
                program = (folder / "cmdline").read_bytes().partition(b"\0")[0]
                kind = "java" if program.endswith(b"/java") else "python"
                peaks[kind] = max(peaks.get(kind, 0), int(status.get("VmHWM", "0 kB").split()[0]) // 1024)
        except OSError:
            continue  # it has ended


def shuffled(cluster: Path | None) -> int:
    """Return how many bytes the tasks of a cluster have shuffled so far."""
    total = 0
    for log in (cluster / "events").rglob("*") if cluster else ():
        if log.is_file():
            with log.open(encoding="utf-8") as events:
                for line in events:
                    if line.startswith('{"Event":"SparkListenerTaskEnd"'):
                        metrics = json.loads(line).get("Task Metrics") or {}
                        total += metrics.get("Shuffle Write Metrics", {}).get("Shuffle Bytes Written", 0)
    return total


if __name__ == "__main__":
    main()
