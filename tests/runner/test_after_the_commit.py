"""Nothing behind the commit of a step fails a run, `verify` or `replay`: the data is published by then."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from conftest import CUSTOMERS, LINES, ORDERS, PAYMENTS, PRODUCTS, PROJECT, Shop
from warm_runs import WarmRuns

from lib.report import charts
from lib.runner.result import RunResult

NEVER = ("0001-01-01", "9990-01-01", "9999-12-31")
TOTALS = "select sum(orders), sum(total_sales) from sales_summary_daily"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop with an order on an ordinary day and three on days that many systems use as "never"."""
    shop = Shop(tmp_path / "shop")
    shop.deliver("customers.csv", CUSTOMERS, "C1,Ann,A,,,,,,vip")
    shop.deliver("products.csv", PRODUCTS, "P1,Cup,Kitchen,,,2.00,")
    shop.deliver("orders.csv", ORDERS, "O0,C1,2025-01-01,,1.00,placed",
                 *(f"O{number},C1,{day},,{number}.00,placed" for number, day in enumerate(NEVER, start=1)))
    shop.deliver("order_lines.csv", LINES, *(f"L{n},O{n},P1,1,{n or 1}.00," for n in range(4)))
    shop.deliver("payments.csv", PAYMENTS, "Y1,O0,2025-01-01,card,SUCCESS,1.00")
    return shop


def page_of_last_run(shop: Shop, name: str) -> str:
    return (max((shop.reports / "runs").iterdir()) / name).read_text(encoding="utf-8")


def test_days_that_no_chart_can_show_fail_neither_this_run_nor_the_next_nor_verify_nor_replay(
        shop: Shop, warm: WarmRuns):
    warm.run(shop)
    assert shop.query("gold", TOTALS) == [(4, 7.0)]
    assert "This chart cannot be drawn" in page_of_last_run(shop, "4_gold.ipynb")
    shop.deliver("orders_2.csv", ORDERS, "O9,C1,2025-01-02,,10.00,placed")
    warm.run(shop)
    assert shop.query("gold", TOTALS) == [(5, 17.0)]
    [(batch_id,)] = shop.query("audit", "select max(batch_id) from pipeline_execution_log")
    assert "tables against one full load: ok" in warm.run(shop, "verify").stdout
    assert f"as run {batch_id} left them" in warm.run(shop, "replay", batch_id).stdout


@pytest.mark.parametrize("days", [[day] for day in NEVER] + [["2025-01-01", *NEVER], ["no day"], []])
def test_a_chart_of_any_days_is_a_picture_or_a_note_with_its_title(days: list[str]):
    chart = charts.line(pd.DataFrame({"net sales": [1.0] * len(days)}, index=days), "Sales & <b>")
    assert "<title>Sales &amp; &lt;b&gt;</title>" in chart.data or "Sales &amp; &lt;b&gt;" in chart.data


def test_charts_of_values_that_cannot_be_drawn_are_notes():
    wrong = pd.DataFrame({"rows": ["many"]}, index=["orders"])
    assert "cannot be drawn (ValueError" in charts.bars(wrong, "Rows").data
    endless = pd.Series([float("nan")])
    assert "cannot be drawn" in charts.columns(endless, "Rows", hollow=[False]).data


@pytest.mark.whole_run
def test_a_cell_behind_the_commit_that_fails_is_a_warning_and_the_run_goes_on(shop: Shop, tmp_path: Path):
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns(
        ".git", ".venv*", "reports", "warehouse", "__pycache__", "tests"))
    add_cell(project, "1_raw", "raise ValueError('boom')")
    add_cell(project, "2_dimensions", "import os; os._exit(1)")
    add_cell(project, "3_facts", "raise SystemExit(0)")
    add_cell(project, "4_gold", "record = None")
    add_cell(project, "report", "raise ValueError('no report')", behind="report.title()")
    folders = [f"--{name}={shop.folder / name}" for name in ("source", "warehouse", "reports")]

    def run(*words: str) -> str:
        done = subprocess.run([sys.executable, project / "run_pipeline.py", *words], capture_output=True,
                              text=True, timeout=300)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return done.stdout

    output = run(*folders)
    assert re.search(r"1_raw\.ipynb: cell \d+ failed \(ValueError: boom\)", output)
    assert "2_dimensions.ipynb: its process died" in output
    assert "3_facts.ipynb: the last cell returns no record" in output
    assert "4_gold.ipynb: cell" in output
    assert re.search(r"the business report could not be made: report\.ipynb, cell \d+: ValueError: no report",
                     output)
    assert shop.query("gold", TOTALS) == [(4, 7.0)]
    assert shop.query("audit", "select status, error_message from pipeline_execution_log") == [
        ("SUCCESS", None)] * 4
    result = json.loads(page_of_last_run(shop, "run.json"))
    assert (result["verdict"], result["error"]) == ("success", None)
    assert [step["record"]["rows_processed"] for step in result["steps"]] == [11, 2, 9, 9]
    assert "boom" in page_of_last_run(shop, "1_raw.html")
    assert "boom" in page_of_last_run(shop, "index.html")
    assert not list(shop.reports.rglob(".published"))
    assert "nothing new" in run(*folders)
    [(batch_id,)] = shop.query("audit", "select min(batch_id) from pipeline_execution_log")
    assert "tables against one full load: ok" in run("verify", *folders[1:])
    assert f"as run {batch_id} left them" in run("replay", batch_id, folders[1])


def add_cell(project: Path, name: str, code: str, behind: str = "step.publish()") -> None:
    """Add a cell behind another one: by default, the one that publishes."""
    path = project / "notebooks" / f"{name}.ipynb"
    book = nbformat.read(path, 4)
    at = next(n for n, cell in enumerate(book.cells) if behind in cell.source)
    book.cells.insert(at + 1, nbformat.v4.new_code_cell(code))
    nbformat.write(book, path)


def test_a_page_that_cannot_be_made_is_a_warning(tmp_path: Path, monkeypatch):
    from lib.runner.reporting import write_report

    def fail(_: Path) -> None:
        raise TypeError("no such column")

    monkeypatch.setattr("lib.report.pages.write_run_page", fail)
    result = RunResult("20260101T000000.000000", "", "", "", "", False, verdict="success")
    write_report(result, tmp_path, {})
    assert (result.verdict, result.error) == ("success", None)
    [note] = result.notes
    assert "index.html could not be written: TypeError: no such column" in note
    assert (tmp_path / "index.html").exists()
