"""Whatever stops a run, at any moment: what was published stays whole, the next run does the rest, and nobody is disturbed."""

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from commands import refused
from conftest import LAYERS, PROJECT, SOAKED, Shop, new_shop
from warm_runs import MARK, WarmRuns, left_after, processes

KILLS = 2 * int(os.environ.get("SOAK", "1"))  # at moments of a run's length, beside those at the places in FAULTS
TABLES = {
    "raw": ("raw", ["customers", "products", "orders", "order_lines", "payments", "deliveries"]),
    "dimensions": ("curated", ["dim_customers", "dim_products"]),
    "facts": ("curated", ["fact_orders", "fact_order_lines", "fact_payments"]),
    "gold": ("gold", ["sales_summary_daily", "reporting_sales_wide", "reporting_customer_stats"]),
}
OF_THE_RUN = ("batch_id", "process_name", "row_id", "delivery_id", "ingestion_timestamp", "transformation_timestamp",
              "aggregation_timestamp")
OF_THE_DAY = ("as_of_date", "days_since_last_order", "churn_risk")  # a test may run past midnight


class Delivered(NamedTuple):
    """A shop with something new to load, what its tables hold before, and what they hold when it is loaded."""

    shop: Shop
    before: dict
    after: dict


def content(shop: Shop) -> dict[str, dict[str, list[tuple]]]:
    """Return the rows of each step's tables, without what tells runs and days apart."""
    return {step: {table: rows_of(shop, layer, table) for table in tables} for step, (layer, tables) in TABLES.items()}


def rows_of(shop: Shop, layer: str, table: str) -> list[tuple]:
    if not (shop.warehouse / f"{layer}.db").exists():
        return []
    columns = [name for (name,) in shop.query(layer, f"select name from pragma_table_info('{table}')")
               if name not in OF_THE_RUN + OF_THE_DAY]
    return sorted(shop.query(layer, f"select {', '.join(columns)} from {table}"), key=repr) if columns else []


@pytest.fixture(scope="session")
def day_2(tmp_path_factory) -> Path:
    """A folder with the deliveries of day 2."""
    folder = tmp_path_factory.mktemp("day 2")
    subprocess.run([sys.executable, PROJECT / "data" / "generate.py", folder, "--day", "2"], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def loaded_at_once(day_2: Path, tmp_path_factory, warm: WarmRuns) -> Shop:
    """The sample and day 2 after one full load of both."""
    shop = new_shop(tmp_path_factory.mktemp("at once"))
    shutil.copytree(day_2, shop.source, dirs_exist_ok=True)
    warm.run(shop)
    return shop


@pytest.fixture(params=["first load", "day 2"])
def delivered(request, tmp_path: Path, loaded: Shop, loaded_at_once: Shop, day_2: Path) -> Delivered:
    if request.param == "first load":
        shop = new_shop(tmp_path / "shop")
        return Delivered(shop, content(shop), content(loaded))
    return deliver_day_2(tmp_path, loaded, loaded_at_once, day_2)


@pytest.fixture
def second_day(tmp_path: Path, loaded: Shop, loaded_at_once: Shop, day_2: Path) -> Delivered:
    return deliver_day_2(tmp_path, loaded, loaded_at_once, day_2)


def deliver_day_2(folder: Path, loaded: Shop, loaded_at_once: Shop, day_2: Path) -> Delivered:
    shutil.copytree(loaded.folder, folder / "shop")
    shop = Shop(folder / "shop")
    shutil.copytree(day_2, shop.source, dirs_exist_ok=True)
    return Delivered(shop, content(shop), content(loaded_at_once))


def assert_whole(delivered: Delivered) -> None:
    """Every file opens and is sound, and every step's tables show the previous state or the new one."""
    for layer in LAYERS:
        if (delivered.shop.warehouse / f"{layer}.db").exists():
            assert delivered.shop.query(layer, "pragma integrity_check") == [("ok",)]
    for step, tables in content(delivered.shop).items():
        assert tables in (delivered.before[step], delivered.after[step]), f"{step} is half written"


def log_rows(shop: Shop, status: str) -> list[tuple]:
    """Return execution_id, process_name and batch_id of the log's rows with a status; none where there is no log yet."""
    try:
        return shop.query("audit", "select execution_id, process_name, batch_id from pipeline_execution_log where status = ?", status)
    except sqlite3.OperationalError:
        return []


def assert_finished(delivered: Delivered, run: Callable[[], subprocess.CompletedProcess]) -> None:
    """The next run does what is left: the tables equal one undisturbed load, and the run after that finds nothing to do."""
    shop = delivered.shop
    open_rows = log_rows(shop, "RUNNING")
    done = run()
    assert content(shop) == delivered.after
    died = log_rows(shop, "DIED")
    assert died == open_rows
    for _, step, batch_id in died:
        assert f"an earlier run died in step {step}" in done.stdout
        assert shop.query("audit", "select 1 from pipeline_execution_log where error_message like ? and status = 'DIED'",
                          f"run {batch_id} ended without a word in step {step}; found by run %")
    assert shop.query("audit", "select process_name from pipeline_watermark order by 1") == [
        ("dimensions",), ("facts",), ("gold",), ("raw",)]
    assert run().stdout.count("nothing new") == 5
    assert content(shop) == delivered.after


PLACES = [(place, step) for step in TABLES for place in ("all written, not committed", "watermark being committed")] + [
    ("data docs being built", ""), ("report being written", "")]


@pytest.mark.parametrize("place", PLACES, ids=": ".join)
def test_a_run_that_is_killed_leaves_every_layer_whole_and_the_next_run_does_the_rest(
        place: tuple[str, str], delivered: Delivered, warm: WarmRuns):
    SOAKED["kills"] += 1
    warm.run(delivered.shop, expect=-signal.SIGKILL, fault=place)
    assert warm.left_after(2) == []
    assert_whole(delivered)
    assert_finished(delivered, lambda: warm.run(delivered.shop))


@pytest.mark.parametrize("step", TABLES)
def test_a_step_that_dies_between_its_data_and_its_watermark_does_the_batch_again_and_doubles_nothing(
        step: str, second_day: Delivered, warm: WarmRuns):
    shop = second_day.shop
    SOAKED["kills"] += 1
    warm.run(shop, expect=-signal.SIGKILL, fault=("data committed, watermark not", step))
    assert warm.left_after(2) == []
    assert content(shop)[step] == second_day.after[step] != second_day.before[step]
    watermark = shop.query("audit", "select last_processed_timestamp from pipeline_watermark where process_name = ?", step)
    assert_finished(second_day, lambda: warm.run(shop))
    assert shop.query("audit", "select last_processed_timestamp from pipeline_watermark where process_name = ?", step) > watermark
    again = shop.query("audit", "select rows_processed from pipeline_execution_log where process_name = ? and status = 'SUCCESS' "
                                "order by execution_id desc limit 1 offset 1", step)[0][0]
    assert again > 0 or step == "raw"  # the manifest was committed with the rows: raw need not read the file again


class Command:
    """The command in processes of its own, as a terminal starts it: a process group, and a mark to find them all by."""

    def __init__(self, shop: Shop, *options: str, **how) -> None:
        self.mark = uuid.uuid4().hex
        self.shop = shop
        self.process = subprocess.Popen(shop.command(*options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        start_new_session=True, env={**os.environ, MARK: self.mark}, **how)

    def wait_for(self, what: Callable[[], object]) -> None:
        until = time.monotonic() + 60
        while not what():
            assert self.process.poll() is None and time.monotonic() < until, "the run did not come so far"
            time.sleep(0.02)

    def is_in(self, step: str) -> bool:
        return any(row[1] == step for row in log_rows(self.shop, "RUNNING"))

    def ended(self) -> subprocess.CompletedProcess:
        out, err = self.process.communicate(timeout=60)
        return subprocess.CompletedProcess(self.process.args, self.process.returncode, out, err)


@pytest.fixture(scope="session")
def seconds_of_a_run(tmp_path_factory) -> float:
    shop = new_shop(tmp_path_factory.mktemp("timed"))
    begun = time.monotonic()
    shop.run()
    return time.monotonic() - begun


@pytest.mark.parametrize("number", range(KILLS))
def test_a_run_that_is_killed_at_any_moment_leaves_nothing_half_done(
        number: int, delivered: Delivered, seconds_of_a_run: float, warm: WarmRuns):
    command = Command(delivered.shop)
    time.sleep(seconds_of_a_run * (number + 0.5) / KILLS)
    SOAKED["kills"] += 1
    command.process.kill()
    command.ended()
    assert left_after(2, command.mark) == []
    assert_whole(delivered)
    assert_finished(delivered, lambda: warm.run(delivered.shop))


def is_warming_up(command: Command) -> bool:
    return any("forkserver" in line for line in processes(command.mark).values())


def is_building_docs(command: Command) -> bool:
    return any(command.shop.reports.glob("runs/*/data_docs"))


PHASES = {
    "imports": lambda command: (command.shop.warehouse / ".lock").exists(),
    "warm-up": is_warming_up,
    "raw": lambda command: command.is_in("raw"),
    "facts": lambda command: command.is_in("facts"),
    "gold": lambda command: command.is_in("gold"),
    "data docs": is_building_docs,
}


@pytest.mark.parametrize(("phase", "signum"), [*((phase, signal.SIGINT) for phase in PHASES), ("warm-up", signal.SIGTERM),
                                               ("facts", signal.SIGTERM)])
def test_a_run_that_is_stopped_ends_within_two_seconds_and_leaves_no_process(
        phase: str, signum: signal.Signals, tmp_path: Path, loaded: Shop, warm: WarmRuns):
    delivered = Delivered(new_shop(tmp_path / "shop"), content(Shop(tmp_path)), content(loaded))
    shop, command = delivered.shop, Command(delivered.shop)
    command.wait_for(lambda: PHASES[phase](command))
    begun = time.monotonic()
    if signum == signal.SIGINT:
        os.killpg(command.process.pid, signum)  # as a terminal does
    else:
        command.process.send_signal(signum)
    done = command.ended()
    assert time.monotonic() - begun < 2
    assert done.returncode == 130
    assert done.stderr.startswith("stopped: ") and "run again" in done.stderr
    assert processes(command.mark) == {}
    assert_whole(delivered)
    if phase in TABLES:
        assert shop.query("audit", "select process_name, error_message from pipeline_execution_log where status = 'FAILED'") == [
            (phase, "stopped by Ctrl-C or a termination signal")]
        assert [name for (name,) in shop.query("audit", "select process_name from pipeline_execution_log order by execution_id")
                ] == list(TABLES)  # one row per step of every run
    if phase in TABLES or phase == "data docs":
        assert '"verdict": "interrupted"' in next(shop.reports.glob("runs/*/run.json")).read_text()
    assert_finished(delivered, lambda: warm.run(shop))


def test_a_warm_process_whose_runner_died_while_it_started_ends_at_once():
    code = "import lib.runner.die_with_parent; print('alive')"
    for runner, said in ((os.getpid(), "alive\n"), (1, "")):
        done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env={**os.environ, "PIPELINE_RUNNER": str(runner)},
                              capture_output=True, text=True)
        assert (done.stdout, done.stderr) == (said, "")


READER = """
import json, sqlite3, sys, time
from contextlib import closing
from pathlib import Path

warehouse, stop, queries = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
seen, errors, reads = {layer: [] for layer in queries}, [], 0
while not stop.exists():
    for layer, figures in queries.items():
        try:
            file = f"file:{warehouse}/{layer}.db?mode=ro"
            with closing(sqlite3.connect(file, uri=True, timeout=5 if layer == "audit" else 0, isolation_level=None)) as db:
                db.execute("begin")
                state = [db.execute(sql).fetchall() for sql in figures]
                time.sleep(0.005)
                later = [db.execute(sql).fetchall() for sql in figures]
                db.execute("commit")
        except sqlite3.Error as error:
            errors.append(f"{layer}: {error}")
            continue
        reads += 1
        if later != state:
            errors.append(f"{layer}: {state}, then {later}")
        if state not in seen[layer]:
            seen[layer].append(state)
print(json.dumps([seen, errors, reads]))
"""
FIGURES = {
    "raw": [f"select count(*), max(ingestion_timestamp) from {table}" for table in TABLES["raw"][1]],
    "curated": [f"select count(*), max(transformation_timestamp), sum(is_deleted) from {table}"
                for step in ("dimensions", "facts") for table in TABLES[step][1]],
    "gold": ["select count(*), sum(net_amount) from reporting_sales_wide",
             "select count(*), sum(total_sales), sum(orders) from sales_summary_daily",
             "select count(*), sum(lifetime_value) from reporting_customer_stats"],
    "audit": ["select * from pipeline_watermark order by 1",
              "select process_name, batch_id from pipeline_execution_log where status = 'SUCCESS' order by execution_id"],
}


def figures(shop: Shop) -> dict[str, list]:
    return {layer: [[list(row) for row in shop.query(layer, sql)] for sql in queries] for layer, queries in FIGURES.items()}


def test_readers_see_the_old_state_or_the_new_one_and_are_never_locked_out(second_day: Delivered):
    """Readers that wait for nothing, not even a moment, and one that takes its time.

    They read only and while the run goes: without any run, connections that open or close lock each other out for a moment.
    """
    shop, stop = second_day.shop, second_day.shop.folder / "stop"
    before = figures(shop)
    with closing(sqlite3.connect(shop.warehouse / "gold.db", isolation_level=None)) as slow:
        slow.execute("begin")
        assert [[list(row) for row in slow.execute(sql)] for sql in FIGURES["gold"]] == before["gold"]
        run = Command(shop)
        run.wait_for(lambda: run.is_in("raw"))
        readers = [subprocess.Popen([sys.executable, "-c", READER, shop.warehouse, stop, json.dumps(FIGURES)],
                                    stdout=subprocess.PIPE, text=True) for _ in range(2)]
        while " 4/4 gold" not in run.process.stdout.readline():
            assert run.process.poll() is None
        time.sleep(0.3)  # while the data docs are built
        stop.touch()
        reports = [json.loads(reader.communicate()[0]) for reader in readers]
        assert [[list(row) for row in slow.execute(sql)] for sql in FIGURES["gold"]] == before["gold"]
    assert run.ended().returncode == 0
    after = figures(shop)
    for seen, errors, reads in reports:
        assert errors == []
        assert reads > 50
        assert seen["raw"] == [before["raw"], after["raw"]]
        assert seen["gold"] == [before["gold"], after["gold"]]
        dimensions = [*after["curated"][:2], *before["curated"][2:]]
        assert [state for state in seen["curated"] if state != dimensions] == [before["curated"], after["curated"]]
        for marks, successes in seen["audit"]:  # a watermark moves together with its log row
            assert all([step, batch_id] in successes for step, _, batch_id in marks)
    assert content(shop) == second_day.after


def test_a_second_run_is_refused_at_once_and_changes_nothing(second_day: Delivered, warm: WarmRuns):
    shop = second_day.shop
    first = Command(shop)
    first.wait_for(lambda: first.is_in("raw"))
    runs = sorted((shop.reports / "runs").iterdir())
    begun = time.monotonic()
    refused(shop.run(expect=3), f"another run (process {first.process.pid})", str(shop.warehouse), "Wait")
    assert time.monotonic() - begun < 1
    assert sorted((shop.reports / "runs").iterdir()) == runs
    assert first.ended().returncode == 0
    assert content(shop) == second_day.after
    assert shop.query("audit", "select count(*) from pipeline_execution_log") == [(8,)]


def mounted(folder: Path, size: str, *options: str) -> bool:
    return subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "tmpfs", folder],
                          stderr=subprocess.DEVNULL).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 8 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mounted(folder, "8m"):
        pytest.skip("only root outside a container may mount; see the test of files that may not grow")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk: Path, left: int) -> Path:
    """Leave so many bytes of a disk free; return the file that takes the rest."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        file.write(bytes(shutil.disk_usage(disk).free - left))
    return filler


@pytest.mark.parametrize("left", [0, 300_000])
def test_a_full_disk_is_named_and_leaves_the_previous_state(left: int, delivered: Delivered, small_disk: Path, warm: WarmRuns):
    shop = delivered.shop
    shop.warehouse.mkdir(exist_ok=True)
    shop.warehouse.rename(shop.folder / "moved")
    shutil.copytree(shop.folder / "moved", small_disk / "warehouse")
    shop.warehouse.symlink_to(small_disk / "warehouse")
    filler = fill(small_disk, left)
    message = refused(warm.run(shop, expect=1), ".db: ", str(small_disk), "space")
    assert "database or disk is full" in message or "disk I/O error" in message  # when SQLite cannot make its -shm file larger
    filler.unlink()  # or SQLite could not even read: it needs room for a -shm file
    assert_whole(delivered)
    assert_finished(delivered, lambda: warm.run(shop))


def test_a_file_that_may_not_grow_is_named_and_leaves_the_previous_state(tmp_path: Path, loaded: Shop, warm: WarmRuns):
    shop, limit = new_shop(tmp_path / "shop"), (600_000, resource.RLIM_INFINITY)
    delivered = Delivered(shop, content(shop), content(loaded))
    done = shop.run(expect=1, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    refused(done, "raw.db: disk I/O error (", "has space")
    assert_whole(delivered)
    assert_finished(delivered, lambda: warm.run(shop))


@pytest.mark.parametrize("left", [0, 100_000])
def test_reports_on_a_full_disk_are_named_and_the_next_run_does_the_rest(
        left: int, second_day: Delivered, small_disk: Path, warm: WarmRuns):
    shop = second_day.shop
    shutil.rmtree(shop.reports)
    shop.reports.symlink_to(small_disk)
    filler = fill(small_disk, left)
    refused(warm.run(shop, expect=1), str(small_disk))
    assert_whole(second_day)
    filler.unlink()
    assert_finished(second_day, lambda: warm.run(shop))
