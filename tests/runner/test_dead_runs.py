"""A run that was killed leaves no report: the next run writes it."""

import json
import re
import shutil
from pathlib import Path

from conftest import ORDERS, Shop
from page import Page
from warm_runs import WarmRuns

from lib.clock import utc_now
from lib.runner.status import read_status
from lib.steps import Options

KILLED = -9


def latest(shop: Shop) -> Path:
    return max((shop.reports / "runs").iterdir())


def kill(shop: Shop, warm: WarmRuns, place: str, step: str) -> Path:
    """Kill a run that has an order to load, and return its folder."""
    shop.deliver("orders_2.csv", ORDERS, "N1,00001,2026-01-05,web,1.00,LOST")
    warm.run(shop, fault=(place, step), expect=KILLED)
    return latest(shop)


def test_a_run_that_was_killed_in_a_step_gets_its_pages_from_the_next_run(used: Shop, warm: WarmRuns):
    folder = kill(used, warm, "all written, not committed", "gold")
    assert not (folder / "run.json").exists()
    warm.run(used)
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    steps = {step["name"]: step for step in run["steps"]}
    assert [(name, step["status"]) for name, step in steps.items()] == [
        ("raw", "SUCCESS"), ("dimensions", "SUCCESS"), ("facts", "SUCCESS"), ("gold", "DIED")]
    assert steps["raw"]["record"]["tables"]["orders"]["added"] == 1
    assert steps["facts"]["record"]["tables"]["fact_orders"]["added"] == 1
    assert [d["name"] for d in run["deliveries"] if d["status"] == "new"] == ["orders_2.csv"]
    assert run["verdict"] == "died" and re.search(f"{folder.name} died in step gold", run["error"])
    assert f"written by run {latest(used).name}" in run["notes"][0]
    page = Page(folder / "index.html")
    assert "1 row delivered" in page.text
    assert "orders_2.csv: status has values never seen before: 'LOST'" in page.text
    links = {link["href"] for link in page.all("a")}
    assert {"1_raw.html", "3_facts.html"} <= links
    assert all((folder / name).exists() for name in ("1_raw.html", "3_facts.html", "manifest.json"))
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    assert "died" in Page(used.reports / "index.html").text


def test_a_run_that_was_killed_in_its_report_is_a_success_whose_report_is_late(used: Shop, warm: WarmRuns):
    folder = kill(used, warm, "data docs being built", "")
    said = [warm.run(used, "--quiet").stderr for _ in range(2)]  # they have nothing to do
    assert f"warning: run {folder.name}, which was killed: orders_2.csv: status has values never" in said[0]
    assert said[1] == ""
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert (run["verdict"], run["error"]) == ("success", None)
    assert run["steps"][3]["record"]["tables"]["sales_summary_daily"]["added"] == 1
    assert (folder / "4_gold.html").exists()
    assert "success" in Page(folder / "index.html").text
    status = read_status(Options(used.source, used.warehouse, used.reports), utc_now())
    verdicts = [run["verdict"] for run in status["runs"]]
    assert verdicts == ["nothing new", "nothing new", "success", "success"]


def test_a_report_that_is_whole_or_was_deleted_is_left_alone(used: Shop, warm: WarmRuns):
    before = {path: path.stat().st_mtime_ns for path in latest(used).rglob("*")}
    warm.run(used)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    deleted = min((used.reports / "runs").iterdir())
    shutil.rmtree(deleted)
    warm.run(used)
    assert not deleted.exists()


def test_a_notebook_that_cannot_be_read_stops_no_run(used: Shop, warm: WarmRuns):
    folder = kill(used, warm, "all written, not committed", "gold")
    (folder / "3_facts.html").unlink(missing_ok=True)
    (folder / "3_facts.ipynb").write_text('{"cells": [', encoding="utf-8")
    warm.run(used)
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert re.match("the page of 3_facts.ipynb could not be made", run["notes"][1])
    assert run["steps"][0]["record"]["tables"]
    assert (run["steps"][2]["record"]["rows_processed"], run["steps"][2]["record"]["tables"]) == (1, {})
