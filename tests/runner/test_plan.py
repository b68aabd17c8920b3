"""Plan and status: what they show, and that they change nothing in any case."""

import gzip
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from conftest import ORDERS, PAYMENTS, PROJECT, Shop, new_shop
from warm_runs import WarmRuns

from lib.clock import FORMAT, utc_now
from lib.runner import status
from lib.runner.plan import make_plan
from lib.steps import STEPS, Options
from lib.storage.lock import run_lock


def options(shop: Shop, **more) -> Options:
    return Options(shop.source, shop.warehouse, shop.reports, **more)


def everything(folder: Path) -> dict[str, tuple]:
    """Return content and time of change of every file under a folder, and the names of its folders."""
    return {str(path.relative_to(folder)):
            (path.read_bytes(), path.stat().st_mtime_ns) if path.is_file() else ()
            for path in sorted(folder.rglob("*"))}


@pytest.fixture
def untouched():
    """Return a function that returns a check that nothing under a shop's folder has changed since."""
    def of(shop: Shop):
        before = everything(shop.folder)

        def check() -> None:
            assert everything(shop.folder) == before
        return check
    return of


def planned(shop: Shop, **more) -> dict[str, tuple]:
    plan = make_plan(options(shop, **more))
    return {step.spec.name: (step.runs, step.why, step.tables) for step in plan.steps}


# plan

def test_before_the_first_run_the_plan_names_every_delivery_with_its_size_and_every_step_with_its_tables(
        tmp_path: Path, untouched):
    shop = new_shop(tmp_path)
    (shop.source / "orders_2.csv.part").write_text(ORDERS)
    (shop.source / "order.csv").write_text(ORDERS)
    (shop.source / "customers_copy.csv").write_bytes((shop.source / "customers.csv").read_bytes())
    check = untouched(shop)
    lines = shop.run("plan").stdout.splitlines()
    check()
    size = sum(path.stat().st_size for path in (PROJECT / "data" / "source").iterdir())
    assert lines[0] == f"deliveries to read: 5 of 8 files in {shop.source}, {size:,} bytes"
    for name in ("customers", "orders", "payments"):
        size = (shop.source / f"{name}.csv").stat().st_size
        assert re.search(rf"  new      {name}\.csv +{size:,} bytes", "\n".join(lines))
    for pattern in (r"1 cop.*\n +customers_copy\.csv: .*customers\.csv",
                    r"1 .*\n +order\.csv: .*orders\.csv\?",
                    r"1 .*\n +orders_2\.csv\.part: .*unfinished"):
        assert re.search(f"  skipped  {pattern}", "\n".join(lines)), pattern
    assert [line.split()[:4] for line in lines if "/4 " in line] == [
        ["1/4", "raw", "runs:", "raw.db"], ["2/4", "dimensions", "runs:", "curated.db"],
        ["3/4", "facts", "runs:", "curated.db"], ["4/4", "gold", "runs:", "gold.db"]]
    assert [line.split("writes ")[1] for line in lines if "writes" in line] == [
        f"{spec.writes}.db: {', '.join(spec.outputs)}" for spec in STEPS.values()]
    assert lines[-1] == "nothing was executed or written"


def test_the_tables_of_the_plan_are_those_that_a_step_writes(loaded: Shop):
    for name, spec in STEPS.items():
        written = {table for (table,) in loaded.query(
            spec.writes, "select table_name from layer_commits where process_name = ?", name)}
        has_rows = {table for table in spec.outputs if loaded.counts(spec.writes, table) != [0]}
        assert written == has_rows and len(has_rows) >= 2


def test_a_plan_follows_a_delivery_through_the_steps(used: Shop, untouched):
    assert planned(used) == dict.fromkeys(STEPS, ("no", "nothing new", ()))
    used.deliver("payments_2.csv", PAYMENTS, "Y1,0000001,,,,1.00")
    used.deliver("payments.csv", PAYMENTS, "Y2,0000001,,,,1.00")
    check = untouched(used)
    shown = subprocess.run(used.command("plan"), capture_output=True, text=True, check=True).stdout
    check()
    assert "  changed  payments.csv " in shown and "  new      payments_2.csv " in shown
    assert planned(used) == {
        "raw": ("yes", "2 deliveries to read", ("payments",)),
        "dimensions": ("no", "nothing new", ()),
        "facts": ("if", "payments.csv or payments_2.csv brings new rows", STEPS["facts"].outputs),
        "gold": ("if", "step facts brings new rows", STEPS["gold"].outputs)}
    assert planned(used, steps=("raw", "gold"))["gold"] == ("no", "nothing new", ())
    runs, why, tables = planned(used, full_refresh=True)["dimensions"]
    assert (runs, tables) == ("yes", STEPS["dimensions"].outputs) and "rebuilt" in why


def test_a_run_does_what_the_plan_shows(used: Shop, warm: WarmRuns):
    used.deliver("payments_2.csv", PAYMENTS, "Y1,0000001,,,,1.00")
    warm.run(used, "--steps", "raw")
    behind = planned(used)
    assert behind["facts"][1].startswith("payments: ")
    assert [behind[step][0] for step in STEPS] == ["no", "no", "yes", "if"]
    shown = warm.run(used).stdout
    assert [bool(re.search(rf"{step} +nothing new", shown)) for step in STEPS] == [True, True, False, False]


# By name: a file that cannot be loaded, and what the plan says of it.
BAD = {
    "a_header": (f"{ORDERS.replace('order_id', 'OrderID')}\n", "line 1: .* lacks 'order_id' .*'OrderID'"),
    "b_nothing": ("", "is empty"),
    "c_a_zip": ("PK\x03\x04", "ZIP archive"),
    "d_a_page": ("<!doctype html>", "web page"),
    "e_an_encoding": (f"{ORDERS}\n1,2,3,4,5,Łódź\n", "damaged or mixed"),
    "f_names_of_raw": (f"{ORDERS},batch_id\n", "batch_id"),
    "g_ragged": (f"{ORDERS}\n1,2\n1,2\n1,2,3,4,5,6\n", "line 2: 2 fields, expected 6. 2 of its 3 rows"),
    "h_two_tables": (f"{ORDERS}\n1,2,3,4,5,6\nstatus,{ORDERS}\n", "line 3: another header"),
}


def test_a_plan_says_which_files_could_not_be_loaded_and_why(used: Shop, untouched):
    for name, (content, _) in BAD.items():
        path = used.deliver(f"orders_{name}.csv")
        path.write_bytes(content.encode() + b"\xff" * (name == "e_an_encoding"))
        os.utime(path, (1e9, 1e9))
    long = [f"{number},C1,2026-01-01,,1.00," for number in range(100_000)]
    used.deliver("orders_long.csv", ORDERS, *long)
    used.deliver("orders_long_bad.csv", ORDERS, *[f"{row},x" for row in long])
    check = untouched(used)
    shown = used.run("plan", expect=1).stdout
    check()
    lines = shown.splitlines()
    for name, (_, words) in BAD.items():
        [place] = [place for place, line in enumerate(lines) if f" orders_{name}.csv " in line]
        assert re.search(f"cannot be loaded: .*orders_{name}.csv.*{words}", lines[place + 1]), name
    assert re.search(r"orders_long_bad\.csv, line 2: 7 fields, .* of its first ", shown)
    assert shown.count("cannot be loaded: ") == len(BAD) + 1
    assert planned(used)["facts"][1] == "orders_long.csv brings new rows"
    assert planned(used, all_or_nothing=True)["facts"] == ("no", "nothing new", ())


def test_a_plan_reads_the_first_block_in_any_encoding(tmp_path: Path):
    text = "\n".join([ORDERS, *(f"{number},Ünal Łódź 😀 ऊ,2026-01-01,,1.00," for number in range(60_000))])
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        path = tmp_path / "source" / f"orders_{encoding}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode(encoding))
        os.utime(path, (1e9, 1e9))
    (tmp_path / "source" / "orders_packed.csv.gz").write_bytes(gzip.compress(text.encode()))
    plan = make_plan(options(Shop(tmp_path), settled_seconds=0))
    assert (len(plan.deliveries), plan.refused) == (7, {})


def test_a_plan_without_a_source_is_refused_as_the_run_would_be(tmp_path: Path):
    done = Shop(tmp_path).run("plan", expect=2)
    assert done.stderr.startswith("error: there is no source folder")
    assert list(tmp_path.iterdir()) == []


# status

def test_status_without_a_warehouse_suggests_the_first_run_and_creates_nothing(tmp_path: Path):
    shop = Shop(tmp_path)
    done = shop.run("status", expect=1)
    assert "last runs: none" in done.stdout
    assert re.search(f"next: .*first run: {sys.executable} ", done.stdout)
    assert list(tmp_path.iterdir()) == []


def test_status_shows_runs_watermarks_and_sources_and_that_there_is_nothing_to_do(used: Shop, untouched):
    check = untouched(used)
    done = used.run("status", expect=4)  # the sample has orders of which something is missing
    found = json.loads(used.run("status", "--json", expect=4).stdout)
    check()
    [warning] = found["warnings"]
    assert re.match(r"run \S+: orphans: 5 rows, such as .*RETURNED", warning)
    assert found["is_well"] is True and found["next_actions"] == [] and found["running"] is None
    [run] = found["runs"]
    assert (run["verdict"], run["delivered"], run["quarantined"], run["error"]) == ("success", 5664, 0, None)
    assert run["report"] == str(used.reports / "runs" / run["batch_id"] / "index.html")
    marks = dict(used.query("audit", "select process_name, last_processed_timestamp from pipeline_watermark"))
    assert {mark["step"]: mark["timestamp"] for mark in found["watermarks"]} == marks
    assert {source["source"]: source["last_delivery"] for source in found["sources"]} == {
        name: f"{name}.csv" for name in ("customers", "products", "orders", "order_lines", "payments")}
    customers = found["sources"][0]
    age = datetime.strptime(found["checked"], FORMAT) - datetime.strptime(customers["last_timestamp"], FORMAT)
    assert customers["age_seconds"] == round(age.total_seconds())
    assert found["quarantine"] == []
    lines = done.stdout.splitlines()
    assert lines[-1] == "next: nothing to do"
    for line in ("last runs", "watermarks", "sources", "quarantine: none"):
        assert line in lines
    assert f"  raw        {marks['raw']}  up to date" in lines


def test_status_after_a_failure_names_the_step_the_error_and_the_command_that_continues(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, *(f"N{n},C1,2025-02-30,,1.00," for n in range(3)),
                  "N9,C1,2025-02-03,,1.00,")
    with pytest.raises(AssertionError):
        run()
    found = status.read_status(options(small), utc_now())
    [action] = found["next_actions"]
    assert action.startswith("step facts: orders_2.csv: 3 of 4 rows ")
    assert action.endswith(f" {sys.executable} {PROJECT / 'run_pipeline.py'} --source {small.source} "
                           f"--warehouse {small.warehouse} --reports {small.reports}")
    assert found["runs"][0]["verdict"] == "failed" and not found["is_well"]
    assert found["watermarks"][2]["behind"].startswith("orders: ")
    shown = "\n".join(status.describe(found))
    assert "  orders_2.csv" not in shown.partition("next:")[2]  # rows are for the report
    small.deliver("orders_2.csv", ORDERS, *(f"N{n},C1,2025-02-03,,1.00," for n in range(3)),
                  "N9,C1,2025-02-30,,1.00,")
    run()
    found = status.read_status(options(small), utc_now())
    assert found["is_well"] and found["runs"][1]["verdict"] == "failed"
    assert [(entry["table"], entry["rows"]) for entry in found["quarantine"]] == [("fact_orders", 1)]
    [warning] = found["warnings"]
    assert re.match("1 row is in quarantine", warning)


def test_status_tells_a_run_in_progress_from_one_that_died(small: Shop):
    with closing(sqlite3.connect(small.warehouse / "audit.db", isolation_level=None)) as log:
        log.execute("insert into pipeline_execution_log (batch_id, process_name, layer, status, start_time) "
                    "values ('29990101T000000.000000', 'gold', 'gold', 'RUNNING', "
                    "'2999-01-01 00:00:00.000000')")
    with run_lock(small.warehouse):
        found = status.read_status(options(small), utc_now())
        assert (found["running"], found["runs"][0]["verdict"], found["next_actions"]) == (
            os.getpid(), "running", [])
    found = status.read_status(options(small), utc_now())
    assert (found["running"], found["runs"][0]["verdict"]) == (None, "died")
    assert re.match(f"step gold died.* {sys.executable} ", found["next_actions"][0])


def test_status_names_a_source_that_is_overdue_and_a_step_that_is_behind(small: Shop, run):
    for number in range(4):
        small.deliver(f"orders_{number}.csv", ORDERS, f"N{number},C1,2025-01-03,,1.00,")
        run(steps=("raw",))
    found = status.read_status(options(small), "2999-01-01 00:00:00.000000")
    assert found["warnings"][0].startswith("orders: nothing new for ")
    assert re.search(rf"facts \(orders: .* raw\.db .*\).* {sys.executable} ", found["next_actions"][0])


def test_a_damaged_database_is_something_to_do_and_hides_only_what_is_in_it(small: Shop):
    for path in small.warehouse.glob("curated.db*"):
        path.unlink()
    (small.warehouse / "curated.db").write_bytes(b"no database " * 1000)
    found = status.read_status(options(small), utc_now())
    assert any(action.startswith("curated.db: ") for action in found["next_actions"])
    assert found["runs"] and found["sources"] and not found["is_well"]


def test_neither_changes_a_byte_of_what_a_killed_run_left(small: Shop, untouched):
    """It left a -wal file with commits in it, and these are read."""
    subprocess.run([sys.executable, "-c", (
        "import os, sqlite3, sys\n"
        "raw = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "raw.execute('pragma journal_mode = wal')\n"
        "raw.execute(\"delete from deliveries where source_filename = 'orders.csv'\")\n"
        "os.kill(os.getpid(), 9)"), small.warehouse / "raw.db"])
    assert (small.warehouse / "raw.db-wal").stat().st_size
    check = untouched(small)
    deliveries = make_plan(options(small)).deliveries
    assert [delivery.name for delivery in deliveries if delivery.is_to_read] == ["orders.csv"]
    assert status.read_status(options(small), utc_now())["sources"][2]["deliveries"] == 0
    check()


def test_both_answer_during_a_run(small: Shop):
    with closing(sqlite3.connect(small.warehouse / "raw.db", isolation_level=None)) as other:
        before = len(make_plan(options(small)).deliveries)
        for number in range(3):  # commits that the main file does not have
            other.execute("begin immediate")
            other.execute("update deliveries set notes = ?", [str(number)])
            other.execute("commit")
            assert len(make_plan(options(small)).deliveries) == before
            assert status.read_status(options(small), utc_now())["sources"][0]["deliveries"] == 1


def test_status_finds_a_delivery_that_waits_in_the_source_folder(small: Shop, untouched):
    small.deliver("orders_2.csv", ORDERS, "N1,C1,2025-01-03,,1.00,")
    small.deliver("payments.csv", PAYMENTS, "Y1,O1,2025-01-01,card,SUCCESS,15.00")  # as large as before
    check = untouched(small)
    found = status.read_status(options(small), utc_now())
    check()
    assert found["watermarks"][0]["behind"] == "2 deliveries to read"
    [action] = found["next_actions"]
    assert action.startswith("steps with something to do: raw (2 deliveries to read). Run: ")


def test_status_hashes_only_what_is_new_since_the_last_run(small: Shop, run, monkeypatch):
    run()
    hashed: list[str] = []
    monkeypatch.setattr("lib.ingest.deliveries.hash_file", lambda path: hashed.append(path.name) or "0" * 64)
    assert status.read_status(options(small), utc_now())["watermarks"][0]["behind"] == ""
    assert hashed == []
    small.deliver("orders_2.csv", ORDERS, "N1,C1,2025-01-03,,1.00,")
    small.deliver("orders.csv", ORDERS, "O1,C1,2025-01-01,,14.00,placed", "O2,C2,2025-01-02,,10.00,placed")
    status.read_status(options(small), utc_now())
    assert sorted(hashed) == ["orders.csv", "orders_2.csv"]


def test_status_lists_files_that_no_run_reads_and_exits_with_4(small: Shop):
    small.deliver("order.csv", ORDERS, "N1,C1,2025-01-03,,1.00,")
    small.deliver("january/orders_2.csv", ORDERS, "N1,C1,2025-01-03,,1.00,")
    small.deliver("orders_3.csv.part", ORDERS)
    shutil.copy(small.source / "orders.csv", small.source / "orders_copy.csv")  # nothing of it is missing
    done = small.run("status", expect=4)
    assert [line for line in done.stdout.splitlines() if line.startswith("warning: ")] == [
        "warning: order.csv: did you mean orders.csv? To read it as it is: python run_pipeline.py adopt "
        f"{small.source}",
        "warning: january/: holds january/orders_2.csv, but only folders named after a source are read: move "
        "its files up",
        "warning: orders_3.csv.part: hidden or unfinished by its name"]
    assert done.stdout.endswith("next: nothing to do\n")
    for name in ("order.csv", "january/orders_2.csv", "orders_3.csv.part"):
        (small.source / name).unlink()
    assert small.run("status").stdout.endswith("next: nothing to do\n")


def test_a_folder_of_deliveries_that_were_read_and_moved_away_is_not_reported(small: Shop):
    (small.source / "done").mkdir()
    (small.source / "orders.csv").rename(small.source / "done" / "orders.csv")
    assert status.read_status(options(small), utc_now())["warnings"] == []


def test_status_shows_what_the_last_run_said_about_its_rows_until_a_run_has_something_to_do(
        used: Shop, warm: WarmRuns):
    used.deliver("orders_2.csv", ORDERS, "N1,00001,2026-01-05,web,1.00,LOST")
    warm.run(used)
    warm.run(used)  # has nothing to do
    warnings = status.read_status(options(used), utc_now())["warnings"]
    assert any(re.match("run .*: orders_2.csv: status has values never seen before: 'LOST'", line)
               for line in warnings)
    used.deliver("orders_3.csv", ORDERS, "N1,00001,2026-01-05,web,1.00,placed")
    warm.run(used)
    assert status.read_status(options(used), utc_now())["warnings"] == []


def test_status_says_what_stopped_a_run_when_all_of_its_steps_were_done(small: Shop, run):
    batch_id = run(full_refresh=True).batch_id
    folder = small.reports / "runs" / batch_id
    for verdict, error in (("interrupted", "stopped by Ctrl-C"), ("failed", "the report cannot be written")):
        (folder / "run.json").write_text(json.dumps({"verdict": verdict, "seconds": 1.0, "error": error}))
        found = status.read_status(options(small), utc_now())
        assert (found["runs"][0]["verdict"], found["runs"][0]["error"]) == (verdict, error)
        [action] = found["next_actions"]
        assert action.startswith(f"run {batch_id}: {error}. Then run: {sys.executable} ")
        assert "None" not in "\n".join(status.describe(found))
