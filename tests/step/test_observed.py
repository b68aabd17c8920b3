"""An expectation that is only observed: it is counted and shown, and nothing follows from it."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import ORDERS, PROJECT, Shop

from lib.report.data_docs import TRIED, build_docs
from lib.runner import console
from lib.step.gate import Gate

IN_SET = "expect_column_values_to_be_in_set"
OF_SHOP = {"type": IN_SET, "kwargs": {"column": "channel", "value_set": ["WEB"]},
           "notes": "Only the web shop sells."}


@pytest.fixture
def suites(tmp_path: Path, monkeypatch) -> Path:
    """A copy of the suites, which runs then use."""
    shutil.copytree(PROJECT / "gx", tmp_path / "project" / "gx")
    monkeypatch.setattr("lib.step.gate.PROJECT", tmp_path / "project")
    monkeypatch.setattr("lib.step.fingerprint.SUITES", tmp_path / "project" / "gx" / "expectations")
    return tmp_path / "project" / "gx" / "expectations"


def observe(suites: Path, suite: str, *expectations: dict) -> None:
    """Let a suite observe these expectations, and no others."""
    path = suites / f"{suite}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["expectations"] = [one for one in content["expectations"]
                               if one["meta"]["on_failure"] != "observe"]
    content["expectations"] += [
        one | {"meta": {"on_failure": "observe"}}
        for one in expectations]
    path.write_text(json.dumps(content), encoding="utf-8")


def deliver(shop: Shop) -> None:
    shop.deliver("orders_2.csv", ORDERS, "O3,C1,2025-01-03,shop,5.00,placed",
                 "O4,C1,2025-01-03,web,5.00,placed", "O5,C1,2025-01-03,phone,5.00,placed")


def test_its_rows_are_loaded_and_shown_with_their_place_and_are_no_warning(
        small: Shop, run, suites: Path, capsys):
    observe(suites, "fact_orders", OF_SHOP)
    deliver(small)
    result = run()
    assert small.query("curated", "select count(*) from fact_orders where order_id >= 'O3'") == [(3,)]
    assert small.query("curated", "select count(*) from quarantine") == [(0,)]
    assert (result.verdict, result.warnings()) == ("success", [])
    [observed] = result.observed()
    assert observed.startswith("fact_orders: 2 of 3 rows, such as 'SHOP' (orders_2.csv, line 2")
    assert "(orders_2.csv, line 4" in observed and f"Only the web shop sells. ({IN_SET}(channel))" in observed
    ended = {"tables": [], "warnings": [], "observed": [observed], "timings": None, "verdict": "success",
             "seconds": 1.0, "report": "index.html"}
    assert f"observed: {observed}" in console.describe("run_ended", ended)
    console.Quiet()("run_ended", **ended)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("before, after", [
    ([], [OF_SHOP]), ([OF_SHOP], []), ([OF_SHOP], [OF_SHOP | {"kwargs": {"column": "status"}}])],
    ids=["added", "removed", "changed"])
def test_a_step_is_not_rebuilt_for_one_that_is(before: list, after: list, small: Shop, run, suites: Path):
    observe(suites, "fact_orders", *before)
    run(full_refresh=True)
    observe(suites, "fact_orders", *after)
    result = run()
    assert (result.verdict, [step.name for step in result.steps if step.record]) == ("nothing new", [])


def test_one_that_cannot_be_evaluated_stops_nothing_and_says_so(tmp_path: Path, suites: Path):
    observe(suites, "dim_products", OF_SHOP)
    gate = Gate(tmp_path / "run", "b")
    product = pd.DataFrame({"product_id": ["P1"], "unit_price": 1.0, "unit_price_unreadable": None})
    assert gate.check("dim_products", product.astype({"unit_price_unreadable": "str"}).assign(
        unit_price_unreadable=pd.Series([None], dtype="str"), product_name="Cup"), lambda rows: []).empty
    [tally] = [tally for tally in gate.tallies.values() if tally.on_failure == "observe"]
    assert tally.verdict == "observe"
    assert 'could not be evaluated: Error: The column "channel"' in tally.sample[0]


def describe_docs(folder: Path) -> str:
    build_docs(folder)
    [page] = (folder / "data_docs" / "validations" / "dim_customers").rglob("*.html")
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("on_failure, begins", [("observe", TRIED), ("warn", "")])
def test_the_data_docs_say_of_a_result_that_it_is_only_observed(
        on_failure: str, begins: str, suites: Path, tmp_path: Path):
    path = suites / "dim_customers.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    [of_email] = [one for one in content["expectations"] if one["kwargs"]["column"] == "email"]
    of_email["meta"]["on_failure"] = on_failure
    path.write_text(json.dumps(content), encoding="utf-8")
    rows = pd.DataFrame({"customer_id": ["C1", "C2"], "email": ["a@b.c", "bad"]})
    Gate(tmp_path / "run", "b").check("dim_customers", rows, lambda rows: [])
    assert f">{begins}{of_email['notes']}" in describe_docs(tmp_path / "run")
