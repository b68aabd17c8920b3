"""Whatever stops a run: published tables stay whole, the next run does the rest, readers notice nothing.

Kills and stops come in chains: each run goes on where the one before was stopped, and is stopped later."""

import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from commands import refused
from conftest import LAYERS, PROJECT, SOAKED, Shop, new_shop
from warm_runs import MARK, WarmRuns, left_after, processes

from lib.runner.business_report import is_outdated
from lib.steps import Options

KILLS = 2 * int(os.environ.get("SOAK", "1"))  # at moments of a run, in addition to those at PLACES
TABLES = {
    "raw": ("raw", ["customers", "products", "orders", "order_lines", "payments", "deliveries"]),
    "dimensions": ("curated", ["dim_customers", "dim_products"]),
    "facts": ("curated", ["fact_orders", "fact_order_lines", "fact_payments"]),
    "gold": ("gold", ["sales_summary_daily", "reporting_sales_wide", "reporting_customer_stats"]),
}
OF_THE_RUN = ("batch_id", "process_name", "row_id", "delivery_id", "ingestion_timestamp",
              "transformation_timestamp", "aggregation_timestamp")
OF_THE_DAY = ("as_of_date", "days_since_last_order", "churn_risk")  # a test may run past midnight
WRITTEN = "all written, not committed"
IN_STEPS = (WRITTEN, "data committed, watermark not", "watermark being committed")
# Where a chain of runs is killed, and how many steps have published by then.
PLACES = [(place, step, number + (place != WRITTEN))
          for number, step in enumerate(TABLES) for place in IN_STEPS]
PLACES += [("manifest being completed", "", 4), ("data docs being built", "", 4),
           ("report being written", "", 4)]
HELPERS = [f"the process that {does}" for does in (
    "exports notebooks", "builds data docs", "draws trends", "writes the catalog")]
STOPPED = "stopped by Ctrl-C or a termination signal"


class Delivered(NamedTuple):
    """A shop with something new to load, and the content of its tables before and after that."""

    shop: Shop
    before: dict
    after: dict


def content(shop: Shop) -> dict[str, dict[str, list[tuple]]]:
    """Return the rows of each step's tables, without the columns that differ between runs or days."""
    return {step: tables_of(shop, step) for step in TABLES}


def tables_of(shop: Shop, step: str) -> dict[str, list[tuple]]:
    layer, tables = TABLES[step]
    return {table: rows_of(shop, layer, table) for table in tables}


def rows_of(shop: Shop, layer: str, table: str) -> list[tuple]:
    if not (shop.warehouse / f"{layer}.db").exists():
        return []
    columns = [name for (name,) in shop.query(layer, f"select name from pragma_table_info('{table}')")
               if name not in OF_THE_RUN + OF_THE_DAY]
    if not columns:
        return []
    return sorted(shop.query(layer, f"select {', '.join(columns)} from {table}"), key=repr)


@pytest.fixture(scope="session")
def day_2(tmp_path_factory) -> Path:
    """A folder with the deliveries of day 2."""
    folder = tmp_path_factory.mktemp("day 2")
    subprocess.run([sys.executable, PROJECT / "data" / "generate.py", folder, "--day", "2"], check=True,
                   capture_output=True)
    return folder


@pytest.fixture(scope="session")
def loaded_at_once(day_2: Path, tmp_path_factory, warm: WarmRuns) -> Shop:
    """The sample and day 2 after one full load of both."""
    shop = new_shop(tmp_path_factory.mktemp("at once"))
    shutil.copytree(day_2, shop.source, dirs_exist_ok=True)
    warm.run(shop)
    return shop


@pytest.fixture
def first_load(tmp_path: Path, loaded: Shop) -> Delivered:
    shop = new_shop(tmp_path / "first")
    return Delivered(shop, content(shop), content(loaded))


@pytest.fixture
def second_day(tmp_path: Path, loaded: Shop, loaded_at_once: Shop, day_2: Path) -> Delivered:
    shop = Shop(tmp_path / "second")
    shutil.copytree(loaded.folder, shop.folder)
    shutil.copytree(day_2, shop.source, dirs_exist_ok=True)
    return Delivered(shop, content(shop), content(loaded_at_once))


@pytest.fixture(params=["first_load", "second_day"])
def delivered(request) -> Delivered:
    return request.getfixturevalue(request.param)


def assert_sound(shop: Shop) -> None:
    for layer in LAYERS:
        if (shop.warehouse / f"{layer}.db").exists():
            assert shop.query(layer, "pragma integrity_check") == [("ok",)]


def assert_whole(delivered: Delivered) -> None:
    """Every file is sound, and every step's tables show the previous state or the new one."""
    assert_sound(delivered.shop)
    for step, tables in content(delivered.shop).items():
        assert tables in (delivered.before[step], delivered.after[step]), f"{step} is half written"


def log_rows(shop: Shop, status: str) -> list[tuple]:
    """Return the execution_id, process_name and batch_id of the log's rows with a status."""
    try:
        return shop.query("audit", "select execution_id, process_name, batch_id from pipeline_execution_log "
                                   "where status = ?", status)
    except sqlite3.OperationalError:
        return []


def assert_died(shop: Shop, dead: list[tuple], output: str) -> None:
    """A run has found the rows that a dead run left open, has closed them, and reports it."""
    for row in dead:
        execution_id, step, batch_id = row
        assert row in log_rows(shop, "DIED")
        assert re.search(f"died in step {step}", output)
        [(message,)] = shop.query("audit", "select error_message from pipeline_execution_log "
                                           "where execution_id = ?", execution_id)
        assert re.search(rf"{batch_id}.*{step}", message)


def assert_finished(delivered: Delivered, warm: WarmRuns) -> None:
    """The next run does the rest: tables are as after one undisturbed load, and the report is that of gold.
    Then there is nothing to do, and verify finds nothing."""
    shop, dead = delivered.shop, log_rows(delivered.shop, "RUNNING")
    done = warm.run(shop)
    assert content(shop) == delivered.after
    assert_died(shop, dead, done.stdout)
    assert not is_outdated(Options(shop.source, shop.warehouse, shop.reports))
    assert log_rows(shop, "RUNNING") == []
    assert shop.query("audit", "select process_name from pipeline_watermark order by 1") == [
        ("dimensions",), ("facts",), ("gold",), ("raw",)]
    assert warm.run(shop).stdout.count("nothing new") == 5
    assert content(shop) == delivered.after
    warm.run(shop, "verify")


def test_a_run_that_is_killed_leaves_every_layer_whole_and_the_next_run_goes_on(
        delivered: Delivered, warm: WarmRuns):
    shop, dead = delivered.shop, []
    first = max((execution_id for execution_id, *_ in log_rows(shop, "SUCCESS")), default=0)
    for place, step, published in PLACES:
        SOAKED["kills"] += 1
        killed = warm.run(shop, expect=-signal.SIGKILL, fault=(place, step))
        assert warm.left_after(30) == [], place
        assert_died(shop, dead, killed.stdout)
        dead = log_rows(shop, "RUNNING")
        assert [name for _, name, _ in dead] == [step] * bool(step), place
        assert_sound(shop)
        for number, (name, tables) in enumerate(content(shop).items(), 1):
            state = delivered.after if number <= published else delivered.before
            assert tables == state[name], f"{name} after a kill at: {place} {step}"
    assert_finished(delivered, warm)
    # A step that died after its data were committed reads them again. The manifest of deliveries is committed
    # with the rows of raw, which therefore need not read a file again.
    again = dict(shop.query("audit", "select process_name, sum(rows_processed) from pipeline_execution_log "
                                     "where status = 'SUCCESS' and execution_id > ? group by process_name",
                            first))
    assert [step for step, rows in again.items() if rows] == ["dimensions", "facts", "gold"]


def test_a_run_that_is_killed_while_it_makes_audit_db_leaves_none(first_load: Delivered, warm: WarmRuns):
    warm.run(first_load.shop, expect=-signal.SIGKILL, fault=("audit.db being made", ""))
    assert not (first_load.shop.warehouse / "audit.db").exists()
    warm.run(first_load.shop)
    assert not list(first_load.shop.warehouse.glob(".audit.db*"))
    assert_finished(first_load, warm)


def test_a_killed_helper_of_the_report_is_reported_and_the_next_run_ends_well(
        second_day: Delivered, warm: WarmRuns):
    shop = second_day.shop
    for helper in HELPERS:
        done = warm.run(shop, "--full-refresh", fault=(helper, ""))
        [warning] = [line for line in done.stdout.splitlines() if "could not be made" in line]
        assert str(max((shop.reports / "runs").iterdir()) / "pages.log") in warning, helper
        assert warm.left_after(30) == [], helper
        assert content(shop) == second_day.after
    assert_finished(second_day, warm)
    assert "could not be made" not in warm.run(shop, "--full-refresh").stdout


class Command:
    """The command in a process group of its own, as from a terminal; a mark identifies its processes."""

    def __init__(self, shop: Shop, *options: str, **how) -> None:
        self.mark = uuid.uuid4().hex
        self.shop = shop
        self.process = subprocess.Popen(
            shop.command(*options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True, env={**os.environ, MARK: self.mark}, **how)

    def wait_for(self, what: Callable[[], object]) -> None:
        until = time.monotonic() + 60
        while not what():
            assert self.process.poll() is None and time.monotonic() < until, "the run did not get so far"
            time.sleep(0.02)

    def is_in(self, step: str) -> bool:
        return any(row[1] == step for row in log_rows(self.shop, "RUNNING"))

    def ended(self) -> subprocess.CompletedProcess:
        out, err = self.process.communicate(timeout=60)
        return subprocess.CompletedProcess(self.process.args, self.process.returncode, out, err)


@pytest.mark.parametrize("number", range(KILLS))
def test_a_run_that_is_killed_at_any_moment_leaves_nothing_half_done(
        number: int, request, loaded: Shop, warm: WarmRuns):
    delivered = request.getfixturevalue(("first_load", "second_day")[number % 2])
    [before] = (json.loads(path.read_text()) for path in loaded.reports.glob("runs/*/run.json"))
    command = Command(delivered.shop)
    time.sleep((before["seconds"] + before["report_seconds"]) * (number + 0.5) / KILLS)
    SOAKED["kills"] += 1
    command.process.kill()
    command.ended()
    assert left_after(30, command.mark) == []
    assert_whole(delivered)
    assert_finished(delivered, warm)


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
STOPS = [("imports", signal.SIGINT), ("warm-up", signal.SIGINT), ("warm-up", signal.SIGTERM),
         ("raw", signal.SIGINT), ("facts", signal.SIGTERM), ("gold", signal.SIGINT),
         ("data docs", signal.SIGINT)]


def test_a_run_that_is_stopped_leaves_no_process_and_the_next_run_goes_on(
        first_load: Delivered, warm: WarmRuns):
    shop = first_load.shop
    for phase, signum in STOPS:
        command = Command(shop)
        command.wait_for(lambda command=command, phase=phase: PHASES[phase](command))
        if signum == signal.SIGINT:
            os.killpg(command.process.pid, signum)  # as a terminal does
        else:
            command.process.send_signal(signum)
        done = command.ended()
        assert (done.returncode, done.stderr.count("\n")) == (130, 1), f"{phase}: {done.stderr}"
        assert re.match("stopped: .*run again", done.stderr)
        assert processes(command.mark) == {}, phase
        assert_whole(first_load)
        if phase in TABLES:
            number = list(TABLES).index(phase)
            rows = shop.query("audit", "select process_name, status, error_message "
                                       "from pipeline_execution_log order by execution_id desc limit 4")[::-1]
            assert [step for step, *_ in rows] == list(TABLES)  # one row per step of every run
            assert rows[number] == (phase, "FAILED", f"{STOPPED}, in step {phase}")
            assert [status for _, status, _ in rows] == [  # no step began after the signal
                *["SUCCESS"] * number, "FAILED", *["SKIPPED"] * (3 - number)]
        if phase in TABLES or phase == "data docs":
            assert '"verdict": "interrupted"' in max(shop.reports.glob("runs/*/run.json")).read_text()
    assert_finished(first_load, warm)


def test_a_warm_process_whose_runner_died_while_it_started_ends_at_once():
    code = "import lib.runner.die_with_parent; print('alive')"
    for runner, output in ((os.getpid(), "alive\n"), (1, "")):
        done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True,
                              env={**os.environ, "PIPELINE_RUNNER": str(runner)})
        assert (done.stdout, done.stderr) == (output, "")


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
            with closing(sqlite3.connect(file, uri=True, timeout=0, isolation_level=None)) as db:
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
              "select process_name, batch_id from pipeline_execution_log where status = 'SUCCESS' "
              "order by execution_id"],
}


LOOKER = """
import sqlite3, sys
from contextlib import closing
from pathlib import Path

warehouse, stop, looks, refused = Path(sys.argv[1]), Path(sys.argv[2]), 0, 0
while not stop.exists():
    for path in warehouse.glob("[!.]*.db"):
        with closing(sqlite3.connect(path, timeout=0)) as db:
            try:
                db.execute("select count(*) from sqlite_schema").fetchall()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
                refused += 1
        looks += 1
print(looks, refused)
"""


# Nothing prevents that the reader and a run are the first to open a file at one moment (docs/design.md).
def test_a_reader_that_does_not_wait_is_hardly_ever_refused_while_runs_begin_end_and_die(
        first_load: Delivered, warm: WarmRuns):
    shop, stop = first_load.shop, first_load.shop.folder / "stop"
    shop.warehouse.mkdir()
    with subprocess.Popen([sys.executable, "-c", LOOKER, shop.warehouse, stop], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
        for fault in (None, None, ("watermark being committed", "facts"), None, None, None):
            options = ["--full-refresh"] if fault else []
            warm.run(shop, *options, expect=-signal.SIGKILL if fault else 0, fault=fault)
        for _ in range(10):
            shop.run()  # with its end, too: a warm run's process leaves its files open
        stop.touch()
        looks, errors = reader.communicate()
    assert errors == ""
    count, refused = map(int, looks.split())
    assert count > 1000
    assert refused <= 5  # of 64 openings and ends; some 40 without `hold_open`
    assert content(shop) == first_load.after


def as_lists(rows: Iterable[tuple]) -> list[list]:
    return [list(row) for row in rows]  # as JSON has them


def figures(shop: Shop) -> dict[str, list]:
    return {layer: [as_lists(shop.query(layer, sql)) for sql in FIGURES[layer]] for layer in FIGURES}


def test_readers_see_the_old_state_or_the_new_one_and_are_never_locked_out(second_day: Delivered):
    """Two readers never wait for a lock, and a third holds its transaction open during the whole run.

    They read only while the run goes on: without a run, connections that open or close lock each other out
    for a moment.
    """
    shop, stop = second_day.shop, second_day.shop.folder / "stop"
    before = figures(shop)
    with closing(sqlite3.connect(shop.warehouse / "gold.db", isolation_level=None)) as slow:
        slow.execute("begin")
        assert [as_lists(slow.execute(sql)) for sql in FIGURES["gold"]] == before["gold"]
        run = Command(shop)
        run.wait_for(lambda: run.is_in("raw"))
        readers = [subprocess.Popen([sys.executable, "-c", READER, shop.warehouse, stop, json.dumps(FIGURES)],
                                    stdout=subprocess.PIPE, text=True) for _ in range(2)]
        while " 4/4 gold" not in run.process.stdout.readline():
            assert run.process.poll() is None
        time.sleep(0.3)  # while the data docs are built
        stop.touch()
        reports = [json.loads(reader.communicate()[0]) for reader in readers]
        assert [as_lists(slow.execute(sql)) for sql in FIGURES["gold"]] == before["gold"]
    assert run.ended().returncode == 0
    after = figures(shop)
    for seen, errors, reads in reports:
        assert errors == []
        assert reads > 50
        assert seen["raw"] == [before["raw"], after["raw"]]
        assert seen["gold"] == [before["gold"], after["gold"]]
        dimensions = [*after["curated"][:2], *before["curated"][2:]]
        assert [state for state in seen["curated"] if state != dimensions] == [
            before["curated"], after["curated"]]
        for marks, successes in seen["audit"]:  # a watermark moves together with its log row
            assert all([step, batch_id] in successes for step, _, batch_id in marks)
    assert content(shop) == second_day.after


def test_a_second_run_is_refused_while_the_first_goes_on_and_changes_nothing(second_day: Delivered):
    shop = second_day.shop
    first = Command(shop)
    first.wait_for(lambda: first.is_in("raw"))
    runs = sorted((shop.reports / "runs").iterdir())
    refused(shop.run(expect=3), f"another run (process {first.process.pid})", str(shop.warehouse), "Wait")
    assert first.process.poll() is None  # the second one has not waited for it
    assert sorted((shop.reports / "runs").iterdir()) == runs
    assert first.ended().returncode == 0
    assert content(shop) == second_day.after
    assert shop.query("audit", "select count(*) from pipeline_execution_log") == [(8,)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 8 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder]
    if subprocess.run(mount, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("only root outside a container may mount; see the test of files that may not grow")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk: Path, left: int) -> Path:
    """Leave so many bytes of a disk free; return the file that takes the rest."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        file.write(bytes(shutil.disk_usage(disk).free - left))
    return filler


def test_a_full_disk_is_named_and_leaves_the_previous_state(
        delivered: Delivered, small_disk: Path, warm: WarmRuns):
    shop = delivered.shop
    shop.warehouse.mkdir(exist_ok=True)
    shop.warehouse.rename(shop.folder / "moved")
    shutil.copytree(shop.folder / "moved", small_disk / "warehouse")
    shop.warehouse.symlink_to(small_disk / "warehouse")
    for left in (0, 300_000):
        filler = fill(small_disk, left)
        message = refused(warm.run(shop, expect=1), ".db: ", str(small_disk), "space")
        # The second is what SQLite reports when it cannot extend its -shm file.
        assert re.search("disk is full|disk I/O error", message)
        filler.unlink()  # or SQLite could not even read: it needs room for a -shm file
        assert_whole(delivered)
    assert_finished(delivered, warm)


def test_a_file_that_may_not_grow_is_named_and_leaves_the_previous_state(
        first_load: Delivered, warm: WarmRuns):
    limit = (600_000, resource.RLIM_INFINITY)
    done = first_load.shop.run(expect=1, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    refused(done, "raw.db: disk I/O error (", "has space")
    assert_whole(first_load)
    assert_finished(first_load, warm)


def test_reports_on_a_full_disk_are_named_and_the_next_run_does_the_rest(
        second_day: Delivered, small_disk: Path, warm: WarmRuns):
    shop = second_day.shop
    shutil.rmtree(shop.reports)
    shop.reports.symlink_to(small_disk)
    for left in (0, 100_000):
        filler = fill(small_disk, left)
        refused(warm.run(shop, expect=1), str(small_disk))
        assert_whole(second_day)
        filler.unlink()
    assert_finished(second_day, warm)
