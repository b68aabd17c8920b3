"""The whole path: the command, what it leaves, and what it prints."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from commands import WITHOUT_ROOTS_POWERS
from conftest import LOGS, PROJECT, Shop, new_shop
from terminal import seen
from warm_runs import WarmRuns

RAW = ("customers", "products", "orders", "order_lines", "payments")
CURATED = ("dim_customers", "dim_products", "fact_orders", "fact_order_lines", "fact_payments")
GOLD = ("sales_summary_daily", "reporting_sales_wide", "reporting_customer_stats")
STEPS = ["raw", "dimensions", "facts", "gold"]


def without_the_run(state: dict) -> dict:
    """Return the state of a warehouse without its log, to which every run adds."""
    return {table: rows for table, rows in state.items() if table not in LOGS}


def content(shop: Shop, table: str) -> list[tuple]:
    """Return the rows of a curated table without the columns that each run sets."""
    names = [name for (name,) in shop.query("curated", f"select name from pragma_table_info('{table}')")
             if name not in ("row_id", "batch_id", "process_name", "transformation_timestamp")]
    return sorted(shop.query("curated", f"select {', '.join(names)} from {table}"), key=repr)


def test_first_run_fills_every_layer(loaded: Shop):
    assert loaded.counts("raw", *RAW) == [500, 100, 1000, 3064, 1000]
    assert loaded.counts("curated", *CURATED) == [500, 100, 1000, 3064, 1000]
    assert loaded.counts("gold", *GOLD) == [60, 3064, 432]


def test_first_run_logs_four_steps_and_sets_four_watermarks(loaded: Shop):
    log = loaded.query("audit", "select process_name, status, rows_processed, rows_quarantined, "
                                "error_message from pipeline_execution_log order by execution_id")
    assert log == [("raw", "SUCCESS", 5664, 0, None), ("dimensions", "SUCCESS", 600, 0, None),
                   ("facts", "SUCCESS", 5064, 0, None), ("gold", "SUCCESS", 3556, 0, None)]
    marks = dict(loaded.query(
        "audit", "select process_name, last_processed_timestamp from pipeline_watermark"))
    assert sorted(marks) == sorted(STEPS)
    ingested = loaded.query("raw", "select max(ingestion_timestamp) from orders")[0][0]
    assert marks["raw"] == marks["dimensions"] == marks["facts"] == ingested
    assert [(marks["gold"],)] == loaded.query(
        "curated", "select max(transformation_timestamp) from fact_orders")


def test_raw_keeps_the_text_as_delivered(loaded: Shop):
    lines = (loaded.source / "orders.csv").read_text(encoding="utf-8").splitlines()
    rows = loaded.query("raw", "select order_id, customer_id, order_date, channel, total_amount, status, "
                               "source_filename, source_row from orders order by row_id")
    assert [",".join(value or "" for value in row[:6]) for row in rows] == lines[1:]
    assert [row[6:] for row in rows] == [("orders.csv", number) for number in range(2, len(lines) + 1)]


def test_a_second_run_with_nothing_new_logs_four_rows_and_changes_nothing(used: Shop, warm: WarmRuns):
    before = used.state()
    done = warm.run(used)
    after = used.state()
    assert without_the_run(after) == without_the_run(before)
    assert len(after["audit.pipeline_execution_log"]) == 8
    assert done.stdout.count("nothing new") == 5
    runs = sorted((used.reports / "runs").iterdir())
    assert not list(runs[-1].glob("*.ipynb"))


def test_a_run_after_day_2_processes_only_day_2(used: Shop, warm: WarmRuns):
    old_rows = used.query("curated", "select row_id from fact_orders order by row_id")
    subprocess.run([sys.executable, PROJECT / "data" / "generate.py", used.source, "--day", "2"], check=True,
                   capture_output=True)
    delivered = sum(len(path.read_text(encoding="utf-8").splitlines()) - 1
                    for path in used.source.glob("*_2025-12-31.csv"))
    warm.run(used)
    log = dict(used.query("audit", "select process_name, rows_processed from pipeline_execution_log "
                                   "where execution_id > 4"))
    assert log["raw"] == delivered
    assert log["dimensions"] + log["facts"] == delivered
    assert used.query("curated", "select count(*) from fact_orders where row_id <= ?", old_rows[-1][0]) == [
        (996,)]  # of 1000 orders, day 2 changed 4
    assert used.query("gold", "select max(order_date), count(*) from sales_summary_daily") == [
        ("2025-12-31", 61)]


def test_full_refresh_rebuilds_the_same_tables_and_keeps_raw_and_the_log(used: Shop, warm: WarmRuns):
    before, raw = {table: content(used, table) for table in CURATED}, used.state()["raw.orders"]
    warm.run(used, "--full-refresh")
    assert {table: content(used, table) for table in CURATED} == before
    assert used.state()["raw.orders"] == raw
    assert used.counts("gold", *GOLD) == [60, 3064, 432]
    assert len(used.query("audit", "select 1 from pipeline_execution_log")) == 8
    assert used.query("curated", "select count(distinct batch_id) from fact_orders") == [(1,)]


def test_one_progress_line_per_step_a_table_of_changes_and_the_reports_path(loaded: Shop):
    lines = seen((loaded.folder / "terminal.txt").read_bytes().decode()).strip().splitlines()
    assert [re.match(r"(\d/4 \w+) .* done$", line)[1] for line in lines[:4]] == [
        "1/4 raw", "2/4 dimensions", "3/4 facts", "4/4 gold"]
    assert [line.split()[:3] for line in lines if line.startswith("gold")] == [
        ["gold", "reporting_sales_wide", "3,064"], ["gold", "sales_summary_daily", "60"],
        ["gold", "reporting_customer_stats", "432"]]
    assert lines[-1].endswith(f"report: {loaded.reports / 'index.html'}")


def test_the_run_leaves_executed_notebooks_their_pages_and_data_docs(loaded: Shop):
    [run] = (loaded.reports / "runs").iterdir()
    for notebook in ("1_raw", "2_dimensions", "3_facts", "4_gold"):
        cells = nbformat.read(run / f"{notebook}.ipynb", 4).cells
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        assert any("image/svg+xml" in output.get("data", {}) for output in outputs), notebook
        assert (run / f"{notebook}.html").exists()
    assert (run / "data_docs" / "index.html").exists()
    assert json.loads((run / "run.json").read_text())["verdict"] == "success"
    assert (loaded.reports / "index.html").exists()


def test_a_delivery_without_some_sources_runs_and_later_ones_complete_it(shop: Shop, warm: WarmRuns):
    aside = shop.folder / "aside"
    aside.mkdir()
    for name in ("customers.csv", "products.csv", "orders.csv"):
        (shop.source / name).rename(aside / name)
    warm.run(shop)
    assert shop.counts("gold", *GOLD) == [0, 3064, 0]
    for path in aside.iterdir():
        path.rename(shop.source / path.name)
    warm.run(shop)
    assert shop.counts("gold", *GOLD) == [60, 3064, 432]
    assert shop.query("gold", "select count(*) from reporting_sales_wide where order_date is null "
                              "or first_name is null and last_name is null or product_name is null") == [(0,)]


def test_steps_can_be_chosen(shop: Shop, warm: WarmRuns):
    warm.run(shop, "--steps", "raw")
    assert not (shop.warehouse / "gold.db").exists()
    warm.run(shop, "--steps", "facts,dimensions")
    warm.run(shop, "--steps", "gold")
    assert shop.counts("gold", *GOLD) == [60, 3064, 432]
    log = shop.query("audit", "select process_name from pipeline_execution_log order by execution_id")
    assert [step for (step,) in log] == STEPS


def test_two_warehouses_run_side_by_side_at_any_path_and_from_another_working_directory(tmp_path: Path):
    shops = [new_shop(tmp_path / name) for name in ("größe ✓ 100% #1? 'q'", "two")]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    runs = [subprocess.Popen(shop.command("--quiet"), stderr=subprocess.PIPE, text=True, cwd=elsewhere)
            for shop in shops]
    for run in runs:  # the sample has orders of which something is missing
        assert re.fullmatch("warning: orphans: 5 rows, .*RETURNED.*\n", run.communicate(timeout=300)[1])
    assert [run.returncode for run in runs] == [0, 0]
    assert shops[0].counts("gold", *GOLD) == shops[1].counts("gold", *GOLD) == [60, 3064, 432]
    assert list(elsewhere.iterdir()) == []


@pytest.mark.whole_run
def test_a_read_only_checkout_runs_and_stays_as_it_is(tmp_path: Path):
    checkout, work = tmp_path / "project", tmp_path / "work"
    shutil.copytree(PROJECT, checkout, ignore=shutil.ignore_patterns(
        ".git", ".venv*", "reports", "warehouse", "__pycache__"))
    work.mkdir()
    subprocess.run(["chmod", "-R", "a-w", checkout], check=True)
    try:
        before = {path: path.stat().st_mtime_ns for path in checkout.rglob("*")}
        done = subprocess.run(
            [*WITHOUT_ROOTS_POWERS, sys.executable, checkout / "run_pipeline.py", "--warehouse", work / "wh",
             "--reports", work / "reports"], capture_output=True, text=True, cwd=work)
        assert done.returncode == 0, done.stderr
        assert {path: path.stat().st_mtime_ns for path in checkout.rglob("*")} == before
        assert (work / "reports" / "index.html").exists()
    finally:
        subprocess.run(["chmod", "-R", "u+w", checkout], check=True)


@pytest.mark.parametrize("notebook", ["1_raw", "2_dimensions", "3_facts", "4_gold"])
def test_each_notebook_runs_by_hand_from_its_own_folder(notebook: str, used: Shop):
    copy = nbformat.read(PROJECT / "notebooks" / f"{notebook}.ipynb", 4)
    parameters = next(cell for cell in copy.cells if "parameters" in cell.metadata.get("tags", []))
    folders = tuple(str(folder) for folder in (used.source, used.warehouse, used.reports))
    parameters.source += f"\nsource, warehouse, reports = {folders!r}"
    from nbclient import NotebookClient
    NotebookClient(copy, resources={"metadata": {"path": str(PROJECT / "notebooks")}}).execute()
    assert used.query("audit", "select status, rows_processed from pipeline_execution_log "
                               "where execution_id = 5") == [("SUCCESS", 0)]
