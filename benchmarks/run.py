#!/usr/bin/env python3
"""Time the pipeline and its alternatives, in turn, on the same files.

The ratios within one run count; seconds depend on the machine and its day. The alternatives (`peers/`) are
the same tables as a dbt project on DuckDB, as one on SQLite, whose files are like ours, and as a plain pandas
script. They need the shell of SQLite, and an environment of their own, which $PEERS or --peers names:

    python -m venv .peers && .peers/bin/pip install 'dbt-core<1.11' dbt-duckdb dbt-sqlite==1.10.0 pandas

The floor is our own rows and indexes, written again by a bare script (`floor.py`).
"""

import argparse
import csv
import ctypes
import json
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
DUCKDB, SQLITE, PANDAS = "dbt on DuckDB", "dbt on SQLite", "plain pandas"
PROJECT = HERE.parent
sys.path.insert(0, str(PROJECT))

from lib.clock import FORMAT  # noqa: E402
from lib.runner.timings import timings_table  # noqa: E402

SMALL_HISTORY = 33_300  # orders: 100 k lines
NEW_ORDERS = 3000  # of a day's delivery
READY_SECONDS = 8  # after which a waiting watch has all its kernels ready, also on a busy machine
NEW_KEYS = {"orders": ["order_id"], "order_lines": ["order_line_id", "order_id"],
            "payments": ["payment_id", "order_id"]}
QUERIES = {
    "a year of sales_summary_daily":
        "select * from sales_summary_daily where order_date between '2024-06-01' and '2025-05-31'",
    "one customer's stats":
        "select * from reporting_customer_stats where customer_id = (select customer_id from some)",
    "one order's wide rows":
        "select * from reporting_sales_wide where order_id = (select order_id from some)",
}


@dataclass
class Taken:
    """The seconds and core-seconds of each round of a command and all that it starts; its largest process."""

    seconds: list[float] = field(default_factory=list)
    core_seconds: list[float] = field(default_factory=list)
    peak_mib: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def core_median(self) -> float:
        return statistics.median(self.core_seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--orders", type=int, nargs="*", default=[333_000], metavar="N",
                        help="sizes to measure after the sample, in orders of three lines (default: 333000; "
                             "3330000 takes a while)")
    parser.add_argument("--rounds", type=int, default=3,
                        help="rounds that count, after one that does not (default: 3)")
    parser.add_argument("--peers", type=Path, default=os.environ.get("PEERS"), metavar="DIR",
                        help="the peers' environment (default: $PEERS)")
    parser.add_argument("--work", type=Path, metavar="DIR",
                        help="where to keep generated files (default: a temporary folder)")
    given = parser.parse_args()
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)  # what a command leaves behind becomes a child of this one
    print(f"{machine()}; medians of {given.rounds}\n")
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        work = given.work or Path(temporary)
        sample(Path(temporary), given)
        watch(Path(temporary), given.rounds)
        shops = [first_load(work, Path(temporary), orders, given) for orders in given.orders]
        if shops:
            small = first_run(generated(work, SMALL_HISTORY), Path(temporary) / "small")
            histories = [(SMALL_HISTORY, small), *zip(given.orders, shops, strict=True)]
            delta(histories, Path(temporary), given.rounds)
            queries(shops[-1])


def sample(temporary: Path, given: argparse.Namespace) -> None:
    """Print what a first run of the sample and a run with nothing new take, compared with the peers."""
    peers = [DUCKDB, f"{DUCKDB} + docs", PANDAS]
    took = in_turn(PROJECT / "data" / "source", temporary, given, peers)
    out = temporary / "ours"
    again = Taken()
    for _ in range(given.rounds):
        run(ours(PROJECT / "data" / "source", out), again)
    show("sample, first run", took)
    builds = {name: taken for name, taken in took.items() if name == DUCKDB}
    show("sample, nothing new", {"ours": again} | builds)
    print(f"\n{timings_table(record(out))}\n")


def watch(temporary: Path, rounds: int) -> None:
    """Print how long a watch takes from the copy of the sample's last file to the rows in gold."""
    taken = Taken()
    for number in range(rounds):
        out = temporary / f"watched-{number}"
        source = out / "source"
        source.mkdir(parents=True)
        with subprocess.Popen(ours(source, out, "watch", "--log-format", "json"), stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True) as process:
            read_until(process, "waiting")
            time.sleep(READY_SECONDS)
            for path in (PROJECT / "data" / "source").iterdir():
                shutil.copyfile(path, source / path.name)
            delivered = datetime.now(UTC).replace(tzinfo=None)
            read_until(process, "waiting")
            process.terminate()
        with closing(sqlite3.connect(out / "warehouse" / "audit.db")) as audit:
            published = audit.execute("select end_time from pipeline_execution_log "
                                      "where process_name = 'gold' and status = 'SUCCESS'").fetchone()[0]
        taken.seconds.append((datetime.strptime(published, FORMAT) - delivered).total_seconds())
    print(f"sample, from delivery to gold in a watch: {taken.median:.2f} s, "
          f"at least {min(taken.seconds):.2f} s")


def read_until(process: subprocess.Popen, event: str) -> None:
    """Read a run's events up to this one; end the benchmark if the run ends before."""
    if not any(json.loads(line)["event"] == event for line in process.stdout):
        sys.exit(f"{' '.join(process.args)} failed")


def first_load(work: Path, temporary: Path, orders: int, given: argparse.Namespace) -> Path:
    """Print what the first run of a shop of this size takes, compared with the peers; return its folder."""
    source = generated(work, orders)
    took = in_turn(source, temporary, given, [DUCKDB, SQLITE, PANDAS])
    loaded = record(temporary / "ours")
    rows = sum(step["record"]["rows_processed"] for step in loaded["steps"] if step["name"] == "raw")
    show(f"{orders:,} orders, first run", took)
    print(f"{rows:,} rows delivered: {rows / took['ours'].median:,.0f} rows/s, largest process "
          f"{max(step['record']['peak_mib'] for step in loaded['steps']):,} MiB\n\n{timings_table(loaded)}\n")
    floor = [sys.executable, HERE / "floor.py", temporary / "ours" / "warehouse", temporary / "floor"]
    seconds, core_seconds = subprocess.run(floor, check=True, capture_output=True, text=True).stdout.split()
    print(f"floor: {seconds} s, {core_seconds} core-seconds\n")
    kept = temporary / f"loaded-{orders}"
    shutil.copytree(source, kept / "source")
    (temporary / "ours").rename(kept / "out")
    return kept


def first_run(source: Path, kept: Path) -> Path:
    shutil.copytree(source, kept / "source")
    run(ours(kept / "source", kept / "out"), Taken())
    return kept


def delta(shops: list[tuple[int, Path]], temporary: Path, rounds: int) -> None:
    """Print what a day's delivery takes on histories of several sizes. Each round delivers another day."""
    day = generated(temporary, NEW_ORDERS, "--seed", "99")
    took = {}
    for orders, shop in shops:
        taken = took[f"on {orders:,}"] = Taken()
        for number in range(1, rounds + 1):
            for name, keys in NEW_KEYS.items():
                file = shop / "source" / f"{name}_2030-01-{number:02}.csv"
                renamed(day / f"{name}.csv", file, keys, f"N{number}-")
            run(ours(shop / "source", shop / "out"), taken)
    least = next(iter(took.values())).median
    for name, taken in took.items():
        print(f"a delivery of {NEW_ORDERS:,} orders {name}: {taken.median:.2f} s, "
              f"{taken.median / least:.2f} x the first")


def queries(shop: Path) -> None:
    """Print what the queries that people ask of gold take."""
    print()
    with closing(sqlite3.connect(f"file:{shop}/out/warehouse/gold.db?mode=ro", uri=True)) as gold:
        gold.execute("create temp table some as select customer_id, order_id "
                     "from reporting_sales_wide where customer_id is not null limit 1")
        for name, sql in QUERIES.items():
            begun = time.perf_counter()
            rows = gold.execute(sql).fetchall()
            print(f"{name}: {len(rows)} rows in {1000 * (time.perf_counter() - begun):.1f} ms")


def in_turn(source: Path, temporary: Path, given: argparse.Namespace, peers: list[str]) -> dict[str, Taken]:
    """Run ours and the peers in turn, one round to warm the caches and then those that count."""
    environment = dict(os.environ, SRC=str(source), DBT_SEND_ANONYMOUS_USAGE_STATS="0", DO_NOT_TRACK="1")
    took = {name: Taken() for name in ["ours", *(peers if given.peers else [])]}
    for number in range(given.rounds + 1):
        for name, taken in took.items():
            out = temporary / name.replace(" ", "_")
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            is_ours = name == "ours"
            for command in [ours(source, out)] if is_ours else peer(name, given.peers.resolve(), source, out):
                run(command, taken, environment | {"OUT": str(out)})
            for figures in (taken.seconds, taken.core_seconds):
                parts = len(figures) - max(number - 1, 0)
                figures[-parts:] = [sum(figures[-parts:])] if number else []
    return took


def peer(name: str, environment: Path, source: Path, out: Path) -> Iterator[list[str]]:
    """Yield the commands of a peer."""
    if name == PANDAS:
        script = HERE / "peers" / "plain_pandas.py"
        yield [str(environment / "bin" / "python"), str(script), str(source), str(out)]
        return
    if name == SQLITE:
        yield from imports(source, out / "src.db")
    project = HERE / "peers" / ("dbt_sqlite" if name == SQLITE else "dbt_duckdb")
    for verb in ["build", "docs generate"] if name.endswith("docs") else ["build"]:
        yield [str(environment / "bin" / "dbt"), *verb.split(), "-q",
               "--project-dir", str(project), "--profiles-dir", str(project),
               "--target-path", str(out / "target"), "--log-path", str(out / "logs")]


def imports(source: Path, database: Path) -> Iterator[list[str]]:
    """Yield the commands that import the files into a SQLite database, from which dbt then reads."""
    for path in sorted(source.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            columns = ", ".join(f"{name} text" for name in next(csv.reader(file)))
        yield ["sqlite3", str(database), "pragma journal_mode = off", "pragma synchronous = off",
               f"create table {path.stem} ({columns})", ".mode csv", f".import --skip 1 {path} {path.stem}"]


def ours(source: Path, out: Path, *words: str) -> list[str]:
    return [sys.executable, str(PROJECT / "run_pipeline.py"), *words, "--source", str(source),
            "--warehouse", str(out / "warehouse"), "--reports", str(out / "reports")]


def run(command: list[str], taken: Taken, environment: dict[str, str] | None = None) -> None:
    """Run a command and add what it took; end the benchmark with its output if it fails."""
    with tempfile.TemporaryFile("w+") as output:
        begun, core_begun = time.perf_counter(), core_seconds()
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        taken.seconds.append(time.perf_counter() - begun)
        with suppress(ChildProcessError):
            while True:
                os.wait()  # for what it has left behind
        taken.core_seconds.append(core_seconds() - core_begun)
        taken.peak_mib = max(taken.peak_mib, usage.ru_maxrss // 1024)
        if status:
            output.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{output.read()[-2000:]}")


def core_seconds() -> float:
    """Return what all processes took that have ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def record(out: Path) -> dict:
    """Return the record of the first run."""
    folder = min((out / "reports" / "runs").iterdir())
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def show(case: str, took: dict[str, Taken]) -> None:
    """Print a table of what ours and each peer took, and of the ratios to ours."""
    mine = took["ours"]
    print(f"{case:30}{'seconds':>10}{'core-s':>10}{'ours is':>10}")
    for name, taken in took.items():
        print(f"  {name:28}{taken.median:10.2f}{taken.core_median:10.2f}{mine.median / taken.median:8.2f} x")


def generated(work: Path, orders: int, *options: str) -> Path:
    """Return a folder with the files of a shop of that many orders; create it if it is missing."""
    folder = work / f"shop-{orders}"
    if not folder.exists():
        generate = [sys.executable, PROJECT / "data" / "generate.py", folder, "--orders", str(orders)]
        subprocess.run([*generate, *options], check=True, stdout=subprocess.DEVNULL)
        settled = time.time() - 60
        for path in folder.iterdir():
            os.utime(path, (settled, settled))  # a run would wait for a file that was just written
    return folder


def renamed(source: Path, target: Path, keys: Iterable[str], prefix: str) -> None:
    """Copy a delivery under ids that begin with a prefix."""
    with (source.open(newline="", encoding="utf-8") as old,
          target.open("w", newline="", encoding="utf-8") as new):
        rows = csv.DictReader(old)
        writer = csv.DictWriter(new, rows.fieldnames)
        writer.writeheader()
        for row in rows:
            writer.writerow(row | {key: f"{prefix}{row[key]}" for key in keys})
    settled = time.time() - 60
    os.utime(target, (settled, settled))


def machine() -> str:
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "unknown processor")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, Python {sys.version.split()[0]}"


if __name__ == "__main__":
    main()
