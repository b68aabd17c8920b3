"""A changed rule reaches all history, and only a rule: a step whose notebook, suite or contract changed is built anew."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import in_process
import pytest
from conftest import CUSTOMERS, LINES, PROJECT, Shop

from lib import fingerprint
from lib.contract import SOURCES
from lib.plan import describe, make_plan
from lib.steps import STEPS, Options


@pytest.fixture
def project(tmp_path: Path, monkeypatch) -> Path:
    """A copy of the notebooks and suites, which runs then use."""
    copy = tmp_path / "project"
    for name in ("notebooks", "gx"):
        shutil.copytree(PROJECT / name, copy / name)
    monkeypatch.setattr(in_process, "PROJECT", copy)
    monkeypatch.setattr("lib.fingerprint.NOTEBOOKS", copy / "notebooks")
    monkeypatch.setattr("lib.fingerprint.SUITES", copy / "gx" / "expectations")
    monkeypatch.setattr("lib.gate.PROJECT", copy)
    in_process.cells.cache_clear()
    yield copy
    in_process.cells.cache_clear()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    in_process.cells.cache_clear()


def edit_suite(project: Path, name: str, change: Callable[[dict], object]) -> None:
    path = project / "gx" / "expectations" / f"{name}.json"
    suite = json.loads(path.read_text(encoding="utf-8"))
    for expectation in suite["expectations"]:
        change(expectation)
    path.write_text(json.dumps(suite), encoding="utf-8")


def steps_run(result) -> dict[str, bool]:
    """Return the steps that ran, and whether each built its tables anew."""
    return {step.name: step.record["is_full"] for step in result.steps if step.record}


def test_a_changed_cell_builds_its_step_and_those_behind_it_anew(small: Shop, run, project: Path):
    edit(project / "notebooks" / "4_gold.ipynb", "lifetime_value >= 5000", "lifetime_value >= 12")
    result = run()
    assert steps_run(result) == {"gold": True}
    [note] = result.warnings()
    assert note.startswith("step gold: notebook 4_gold.ipynb changed since 20") and note.endswith(
        ": its tables and those behind it are built anew")
    assert small.query("gold", "select customer_id, value_tier from reporting_customer_stats order by 1") == [
        ("C1", "PLATINUM"), ("C2", "BRONZE")]
    assert steps_run(run()) == {}


def test_a_changed_suite_reaches_the_rows_that_were_loaded_before_it(small: Shop, run, project: Path):
    small.deliver("order_lines_2.csv", LINES, "L4,O2,P1,-3,2.00,")
    run()
    edit_suite(project, "fact_order_lines", lambda one: one["meta"].update(on_failure="quarantine")
               if one["kwargs"].get("column") == "order_line_id" else None)
    path = project / "gx" / "expectations" / "fact_order_lines.json"
    suite = json.loads(path.read_text(encoding="utf-8"))
    suite["expectations"].append({
        "id": "0f7b7a0e-0000-4000-8000-000000000001", "type": "expect_column_values_to_be_between",
        "meta": {"on_failure": "quarantine"}, "kwargs": {"column": "quantity", "min_value": 0},
        "notes": "No returns here.", "severity": "warning"})
    path.write_text(json.dumps(suite), encoding="utf-8")
    result = run(quarantine_limit=1.0)
    assert steps_run(result) == {"facts": True, "gold": True}
    assert "step facts: suite fact_order_lines changed since" in result.warnings()[0]
    assert small.query("curated", "select record_key from quarantine") == [("L4",)]
    assert small.query("gold", "select count(*) from reporting_sales_wide") == [(3,)]


def test_a_changed_contract_builds_the_steps_anew_that_read_the_source(small: Shop, run, project: Path, monkeypatch):
    products = SOURCES["products"]
    first, *others = products.columns
    monkeypatch.setitem(SOURCES, "products", replace(products, columns=(first, *(replace(one, optional=True) for one in others[:-1]),
                                                                        replace(others[-1], type="text"))))
    result = run()
    assert steps_run(result) == {"dimensions": True, "gold": True}
    assert "step dimensions: contract of products changed since" in result.warnings()[0]


def test_prose_formatting_and_order_change_nothing(small: Shop, run, project: Path):
    before = {name: fingerprint.take_fingerprint(step) for name, step in STEPS.items()}
    for path in (project / "notebooks").glob("*.ipynb"):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        notebook["metadata"]["edited"] = True
        for cell in notebook["cells"]:
            cell["source"] = ["# said otherwise\n\n" if cell["cell_type"] == "code" else "Said otherwise. ", *cell["source"]]
        notebook["cells"].append({"cell_type": "code", "id": "shown", "metadata": {}, "outputs": [], "execution_count": None,
                                  "source": ["step.summary()  # shown only"]})
        path.write_text(json.dumps(notebook), encoding="utf-8")
    for path in (project / "gx" / "expectations").glob("*.json"):
        suite = json.loads(path.read_text(encoding="utf-8"))
        suite["expectations"].reverse()
        path.write_text(json.dumps(suite, sort_keys=True), encoding="utf-8")
        edit_suite(project, path.stem, lambda one: one.update(notes="Said otherwise.", id="0f7b7a0e-0000-4000-8000-000000000002"))
    assert {name: fingerprint.take_fingerprint(step) for name, step in STEPS.items()} == before
    result = run()
    assert (steps_run(result), result.warnings(), result.verdict) == ({}, [], "nothing new")


def test_no_rebuild_leaves_what_is_there_and_warns_until_it_is_built_anew(small: Shop, run, project: Path):
    edit(project / "notebooks" / "4_gold.ipynb", "lifetime_value >= 5000", "lifetime_value >= 1")
    small.deliver("order_lines_2.csv", LINES, "L4,O2,P1,1,2.00,")
    for _ in range(2):
        result = run(no_rebuild=True)
        [note] = result.warnings()
        assert note.endswith("what was made before stays as it was, because of --no-rebuild")
        assert True not in steps_run(result).values()
    assert ("C1", "BRONZE") in small.query("gold", "select customer_id, value_tier from reporting_customer_stats")
    assert steps_run(run()) == {"gold": True}
    assert small.query("gold", "select distinct value_tier from reporting_customer_stats") == [("PLATINUM",)]
    assert run().warnings() == []


def test_a_rebuild_that_failed_is_tried_again(small: Shop, run, project: Path):
    edit(project / "notebooks" / "4_gold.ipynb", "lifetime_value >= 5000", "lifetime_valu >= 12")
    with pytest.raises(Exception, match="lifetime_valu"):
        run()
    edit(project / "notebooks" / "4_gold.ipynb", "lifetime_valu >= 12", "lifetime_value >= 12")
    assert steps_run(run()) == {"gold": True}


def test_rules_of_raw_hold_from_now_on(small: Shop, run, project: Path):
    edit_suite(project, "raw_customers", lambda one: one["meta"].update(on_failure="warn"))
    assert (steps_run(run()), run().warnings()) == ({}, [])
    small.deliver("customers_2.csv", CUSTOMERS, "C3,Cid,,,,,,,")
    result = run()
    assert result.warnings()[0].startswith("step raw: suite raw_customers changed since")
    assert result.warnings()[0].endswith("that holds for what is delivered from now on, as raw keeps what it has")
    small.deliver("customers_3.csv", CUSTOMERS, "C4,Dan,,,,,,,")
    assert run().warnings() == []


def test_the_plan_says_what_is_built_anew_and_why(small: Shop, project: Path):
    edit_suite(project, "fact_orders", lambda one: one["meta"].update(on_failure="warn"))
    said = "\n".join(describe(make_plan(Options(small.source, small.warehouse, small.reports))))
    assert "3/4 facts      runs: suite fact_orders changed since" in said
    assert "4/4 gold       runs: step facts: builds the tables anew that it reads" in said
    assert "2/4 dimensions nothing new" in said
