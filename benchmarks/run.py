#!/usr/bin/env python3
"""Time the pipeline and, where their environment is named, what one would use instead, in turn, on the same files.

Ratios of one run count; seconds are those of the machine and its day. The peers (the same tables as a dbt project on DuckDB, and
as a plain pandas script: `peers/`) need an environment of their own:

    python -m venv .peers && .peers/bin/pip install 'dbt-core<1.11' dbt-duckdb pandas
"""

import argparse
import csv
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
sys.path.insert(0, str(PROJECT))

from lib.clock import FORMAT  # noqa: E402
from lib.runner.timings import timings_table  # noqa: E402

SMALL_HISTORY = 33_300  # orders: 100 k lines
NEW_ORDERS = 3000  # of a day's delivery
READY_SECONDS = 8  # until a watch that says it waits has all its kernels ready, also on a busy machine
NEW_KEYS = {"orders": ["order_id"], "order_lines": ["order_line_id", "order_id"], "payments": ["payment_id", "order_id"]}
QUERIES = {
    "a year of sales_summary_daily": "select * from sales_summary_daily where order_date between '2024-06-01' and '2025-05-31'",
    "one customer's stats": "select * from reporting_customer_stats where customer_id = (select customer_id from some)",
    "one order's wide rows": "select * from reporting_sales_wide where order_id = (select order_id from some)",
}


@dataclass
class Taken:
    """What the rounds of one command took."""

    seconds: list[float] = field(default_factory=list)
    peak_mib: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--orders", type=int, nargs="*", default=[333_000], metavar="N",
                        help="sizes beside the sample, in orders of three lines (default: 333000; 3330000 takes a while)")
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds, after one that is not (default: 3)")
    parser.add_argument("--peers", type=Path, default=os.environ.get("PEERS"), metavar="DIR",
                        help="the peers' environment (default: $PEERS)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where to keep generated files (default: a temporary folder)")
    given = parser.parse_args()
    print(f"{machine()}; medians of {given.rounds}\n")
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        work = given.work or Path(temporary)
        sample(Path(temporary), given)
        watch(Path(temporary), given.rounds)
        shops = [first_load(work, Path(temporary), orders, given) for orders in given.orders]
        if shops:
            delta([(SMALL_HISTORY, first_run(generated(work, SMALL_HISTORY), Path(temporary) / "small")),
                   *zip(given.orders, shops, strict=True)], Path(temporary), given.rounds)
            queries(shops[-1])


def sample(temporary: Path, given: argparse.Namespace) -> None:
    """Print what the first run of the sample takes beside the peers, and one that finds nothing new."""
    took = in_turn(PROJECT / "data" / "source", temporary, given, ["dbt build", "dbt build + docs", "plain pandas"])
    out = temporary / "ours"
    again = Taken()
    for _ in range(given.rounds):
        run(ours(PROJECT / "data" / "source", out), again)
    show("sample, first run", took)
    show("sample, nothing new", {"ours": again} | {name: taken for name, taken in took.items() if name == "dbt build"})
    print(f"\n{timings_table(record(out))}\n")


def watch(temporary: Path, rounds: int) -> None:
    """Print what a watch takes from the copy of the sample's last file to the rows in gold."""
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
            published = audit.execute("select end_time from pipeline_execution_log where process_name = 'gold' "
                                      "and status = 'SUCCESS'").fetchone()[0]
        taken.seconds.append((datetime.strptime(published, FORMAT) - delivered).total_seconds())
    print(f"sample, from delivery to gold in a watch: {taken.median:.2f} s, at least {min(taken.seconds):.2f} s")


def read_until(process: subprocess.Popen, event: str) -> None:
    """Read what a run says up to an event; end the benchmark when it ends before."""
    if not any(json.loads(line)["event"] == event for line in process.stdout):
        sys.exit(f"{' '.join(process.args)} failed")


def first_load(work: Path, temporary: Path, orders: int, given: argparse.Namespace) -> Path:
    """Print what the first run of a shop of some size takes beside the peers; return the run's folder."""
    source = generated(work, orders)
    took = in_turn(source, temporary, given, ["dbt build", "plain pandas"])
    loaded = record(temporary / "ours")
    rows = sum(step["record"]["rows_processed"] for step in loaded["steps"] if step["name"] == "raw")
    show(f"{orders:,} orders, first run", took)
    print(f"{rows:,} rows delivered: {rows / took['ours'].median:,.0f} rows/s, largest process "
          f"{max(step['record']['peak_mib'] for step in loaded['steps']):,} MiB\n\n{timings_table(loaded)}\n")
    kept = temporary / f"loaded-{orders}"
    shutil.copytree(source, kept / "source")
    (temporary / "ours").rename(kept / "out")
    return kept


def first_run(source: Path, kept: Path) -> Path:
    shutil.copytree(source, kept / "source")
    run(ours(kept / "source", kept / "out"), Taken())
    return kept


def delta(shops: list[tuple[int, Path]], temporary: Path, rounds: int) -> None:
    """Print what a day's delivery takes on histories of several sizes, each day one of its own."""
    day = generated(temporary, NEW_ORDERS, "--seed", "99")
    took = {}
    for orders, shop in shops:
        taken = took[f"on {orders:,}"] = Taken()
        for number in range(1, rounds + 1):
            for name, keys in NEW_KEYS.items():
                renamed(day / f"{name}.csv", shop / "source" / f"{name}_2030-01-{number:02}.csv", keys, f"N{number}-")
            run(ours(shop / "source", shop / "out"), taken)
    least = next(iter(took.values())).median
    for name, taken in took.items():
        print(f"a delivery of {NEW_ORDERS:,} orders {name}: {taken.median:.2f} s, {taken.median / least:.2f} x the first")


def queries(shop: Path) -> None:
    """Print what the queries that people ask of gold take."""
    print()
    with closing(sqlite3.connect(f"file:{shop}/out/warehouse/gold.db?mode=ro", uri=True)) as gold:
        gold.execute("create temp table some as select customer_id, order_id from reporting_sales_wide "
                     "where customer_id is not null limit 1")
        for name, sql in QUERIES.items():
            begun = time.perf_counter()
            rows = gold.execute(sql).fetchall()
            print(f"{name}: {len(rows)} rows in {1000 * (time.perf_counter() - begun):.1f} ms")


def in_turn(source: Path, temporary: Path, given: argparse.Namespace, peers: list[str]) -> dict[str, Taken]:
    """Run ours and the peers one after the other, some rounds after one to warm the caches; return what each took."""
    took = {name: Taken() for name in ["ours", *(peers if given.peers else [])]}
    for number in range(given.rounds + 1):
        for name, taken in took.items():
            out = temporary / name.replace(" ", "_")
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            for command in [ours(source, out)] if name == "ours" else peer(name, given.peers.resolve(), source, out):
                run(command, taken, dict(os.environ, SRC=str(source), OUT=str(out), DBT_PROFILES_DIR=str(HERE / "peers" / "dbt"),
                                         DBT_SEND_ANONYMOUS_USAGE_STATS="0", DO_NOT_TRACK="1"))
            parts = len(taken.seconds) - max(number - 1, 0)
            taken.seconds[-parts:] = [sum(taken.seconds[-parts:])] if number else []
    return took


def peer(name: str, environment: Path, source: Path, out: Path) -> Iterator[list[str]]:
    """Yield the commands of a peer."""
    if name == "plain pandas":
        yield [str(environment / "bin" / "python"), str(HERE / "peers" / "plain_pandas.py"), str(source), str(out)]
        return
    for verb in ["build"] if name == "dbt build" else ["build", "docs generate"]:
        yield [str(environment / "bin" / "dbt"), *verb.split(), "-q", "--project-dir", str(HERE / "peers" / "dbt"),
               "--target-path", str(out / "target"), "--log-path", str(out / "logs")]


def ours(source: Path, out: Path, *words: str) -> list[str]:
    return [sys.executable, str(PROJECT / "run_pipeline.py"), *words, "--source", str(source), "--warehouse", str(out / "warehouse"),
            "--reports", str(out / "reports")]


def run(command: list[str], taken: Taken, environment: dict[str, str] | None = None) -> None:
    """Run a command, add what it took; end the benchmark with what it said when it fails."""
    with tempfile.TemporaryFile("w+") as said:
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        taken.seconds.append(time.perf_counter() - begun)
        taken.peak_mib = max(taken.peak_mib, usage.ru_maxrss // 1024)
        if status:
            said.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{said.read()[-2000:]}")


def record(out: Path) -> dict:
    """Return what the first run left in its report."""
    return json.loads((min((out / "reports" / "runs").iterdir()) / "run.json").read_text(encoding="utf-8"))


def show(case: str, took: dict[str, Taken]) -> None:
    mine = took["ours"].median
    print(f"{case}: {mine:.2f} s" + "".join(
        f"; {name} {taken.median:.2f} s: {mine / taken.median:.2f} x" for name, taken in took.items() if name != "ours"))


def generated(work: Path, orders: int, *options: str) -> Path:
    """Return a folder with the files of a shop of that many orders, made when missing."""
    folder = work / f"shop-{orders}"
    if not folder.exists():
        subprocess.run([sys.executable, PROJECT / "data" / "generate.py", folder, "--orders", str(orders), *options],
                       check=True, stdout=subprocess.DEVNULL)
        settled = time.time() - 60
        for path in folder.iterdir():
            os.utime(path, (settled, settled))  # a file that was just written is waited for
    return folder


def renamed(source: Path, target: Path, keys: Iterable[str], prefix: str) -> None:
    """Copy a delivery under ids that begin with a prefix."""
    with source.open(newline="", encoding="utf-8") as old, target.open("w", newline="", encoding="utf-8") as new:
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
