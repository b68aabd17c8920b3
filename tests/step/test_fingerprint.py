"""A changed rule reaches all history: a step whose notebook, suite or contract changed rebuilds its tables.
"""

import ast
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import in_process
import pytest
from conftest import CUSTOMERS, LINES, ORDERS, PROJECT, Shop

from lib.contract import SOURCES
from lib.runner import console
from lib.runner.plan import describe, make_plan
from lib.step import fingerprint
from lib.steps import STEPS, Options, StepSpec
from lib.storage import audit


@pytest.fixture
def project(tmp_path: Path, monkeypatch) -> Path:
    """A copy of the notebooks and suites, which runs then use."""
    copy = tmp_path / "project"
    for name in ("notebooks", "gx"):
        shutil.copytree(PROJECT / name, copy / name)
    monkeypatch.setattr(in_process, "PROJECT", copy)
    monkeypatch.setattr("lib.step.fingerprint.NOTEBOOKS", copy / "notebooks")
    monkeypatch.setattr("lib.step.fingerprint.SUITES", copy / "gx" / "expectations")
    monkeypatch.setattr("lib.step.gate.PROJECT", copy)
    in_process.cells.cache_clear()
    yield copy
    in_process.cells.cache_clear()


def fingerprints() -> dict[str, dict[str, str]]:
    return {name: fingerprint.take_fingerprint(step) for name, step in STEPS.items()}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    in_process.cells.cache_clear()


def edit_cells(project: Path, name: str, change: Callable[[list[dict]], object]) -> None:
    path = project / "notebooks" / name
    notebook = json.loads(path.read_text(encoding="utf-8"))
    change(notebook["cells"])
    path.write_text(json.dumps(notebook), encoding="utf-8")
    in_process.cells.cache_clear()


def code_cell(*lines: str) -> dict:
    return {"cell_type": "code", "id": "added", "metadata": {}, "outputs": [], "execution_count": None,
            "source": list(lines)}


def with_cell(project: Path, code: str) -> dict[str, str]:
    """Return the fingerprint of facts with one more cell."""
    edit_cells(project, "3_facts.ipynb", lambda cells: cells.insert(8, code_cell(code)))
    taken = fingerprint.take_fingerprint(STEPS["facts"])
    edit_cells(project, "3_facts.ipynb", lambda cells: cells.pop(8))
    return taken


def value_tiers(shop: Shop) -> list[tuple]:
    return shop.query(
            "gold", "select customer_id, value_tier from reporting_customer_stats order by customer_id")


def edit_suite(project: Path, name: str, change: Callable[[dict], object]) -> None:
    path = project / "gx" / "expectations" / f"{name}.json"
    suite = json.loads(path.read_text(encoding="utf-8"))
    for expectation in suite["expectations"]:
        change(expectation)
    path.write_text(json.dumps(suite), encoding="utf-8")


def steps_run(result) -> dict[str, bool]:
    """Return the steps that ran, and whether each rebuilt its tables."""
    return {step.name: step.record["is_full"] for step in result.steps if step.record}


def test_a_changed_cell_rebuilds_its_step_and_the_later_ones(small: Shop, run, project: Path):
    edit(project / "notebooks" / "4_gold.ipynb", "lifetime_value >= 5000", "lifetime_value >= 12")
    result = run()
    assert steps_run(result) == {"gold": True}
    [note] = result.warnings()
    assert note.startswith("step gold: notebook 4_gold.ipynb changed since 20")
    assert small.query("gold", "select customer_id, value_tier from reporting_customer_stats order by 1") == [
        ("C1", "PLATINUM"), ("C2", "BRONZE")]
    assert result.steps[3].why.startswith("notebook 4_gold.ipynb changed since 20")
    assert steps_run(run()) == {}


def test_a_rebuild_gives_what_a_full_load_gives(small: Shop, run, project: Path, tmp_path: Path, monkeypatch):
    small.deliver("orders_2.csv", ORDERS, "O2,C2,2025-01-03,web,12.00,placed",
                  "O3,C1,2025-01-03,,1.00,placed")
    run()
    edit(project / "notebooks" / "3_facts.ipynb",
         'channel=rows[\\"channel\\"].str.upper()', 'channel=rows[\\"channel\\"].fillna(\\"none\\")')
    result = run()
    assert steps_run(result) == {"facts": True, "gold": True}
    fresh = Shop(tmp_path / "fresh")
    shutil.copytree(small.source, fresh.source)
    loaded = in_process.run(fresh, monkeypatch)
    for rebuilt, first in zip(result.steps[2:], loaded.steps[2:], strict=True):
        assert rebuilt.record["digests"] == first.record["digests"]
    assert small.query("curated", "select channel from fact_orders order by order_id") == [
        ("none",), ("web",), ("none",)]


def test_a_changed_suite_reaches_the_rows_that_were_loaded_before_it(small: Shop, run, project: Path):
    small.deliver("order_lines_2.csv", LINES, "L4,O2,P1,-3,2.00,")
    run()
    edit_suite(project, "fact_order_lines", lambda one: one["meta"].update(on_failure="quarantine")
               if one["kwargs"].get("column") == "order_line_id" else None)
    path = project / "gx" / "expectations" / "fact_order_lines.json"
    suite = json.loads(path.read_text(encoding="utf-8"))
    suite["expectations"].append({
        "type": "expect_column_values_to_be_between",
        "meta": {"on_failure": "quarantine"}, "kwargs": {"column": "quantity", "min_value": 0},
        "notes": "No returns here."})
    path.write_text(json.dumps(suite), encoding="utf-8")
    result = run(quarantine_limit=1.0)
    assert steps_run(result) == {"facts": True, "gold": True}
    assert "step facts: suite fact_order_lines changed since" in result.warnings()[0]
    assert small.query("curated", "select record_key from quarantine") == [("L4",)]
    assert small.query("gold", "select count(*) from reporting_sales_wide") == [(3,)]


def test_a_changed_contract_rebuilds_the_steps_that_read_the_source(small: Shop, run, project: Path,
                                                                    monkeypatch):
    products = SOURCES["products"]
    first, *others, last = products.columns
    columns = (first, *(replace(column, optional=True) for column in others), replace(last, type="text"))
    monkeypatch.setitem(SOURCES, "products", replace(products, columns=columns))
    result = run()
    assert steps_run(result) == {"dimensions": True, "gold": True}
    assert "step dimensions: contract of products changed since" in result.warnings()[0]


def test_what_an_expectation_asks_for_counts(project: Path):
    before = fingerprint.take_fingerprint(STEPS["facts"])
    edit(project / "gx" / "expectations" / "fact_orders.json", '"column": "customer_id"',
         '"column": "channel"')
    assert fingerprint.changed_parts(before, fingerprint.take_fingerprint(STEPS["facts"])) == [
        "suite fact_orders"]


def test_prose_formatting_and_order_change_nothing(small: Shop, run, project: Path):
    before = fingerprints()
    for path in (project / "notebooks").glob("*.ipynb"):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        notebook["metadata"]["edited"] = True
        for cell in notebook["cells"]:
            note = "# another note\n\n" if cell["cell_type"] == "code" else "Another sentence. "
            cell["source"] = [note, *cell["source"]]
        notebook["cells"].append(code_cell("step.summary()  # shown only"))
        path.write_text(json.dumps(notebook), encoding="utf-8")
    for path in (project / "gx" / "expectations").glob("*.json"):
        suite = json.loads(path.read_text(encoding="utf-8"))
        suite["expectations"].reverse()
        path.write_text(json.dumps(suite, sort_keys=True), encoding="utf-8")
        edit_suite(project, path.stem, lambda one: one.update(
            notes="Another reason.", id="0f7b7a0e-0000-4000-8000-000000000002"))
    assert fingerprints() == before
    result = run()
    assert (steps_run(result), result.warnings(), result.verdict) == ({}, [], "nothing new")


def test_how_code_and_sql_are_laid_out_changes_nothing(project: Path):
    before = fingerprints()

    def split(cells: list[dict]) -> None:
        place = next(place for place, cell in enumerate(cells) if "ORDERS = " in "".join(cell["source"]))
        first, _, rest = "".join(cells[place]["source"]).partition("\n\n")
        cells[place:place + 1] = [code_cell(first), code_cell("# nothing but a comment"), code_cell(rest)]

    edit_cells(project, "3_facts.ipynb", split)
    edit(project / "notebooks" / "4_gold.ipynb", "    group by order_id",
         "  group   by order_id -- one row each, don't forget")
    edit(project / "notebooks" / "4_gold.ipynb", "    from order_amounts\\n",
         "        from /* all */ order_amounts\\n\\n")
    assert fingerprints() == before
    edit(project / "notebooks" / "4_gold.ipynb", "when days_since_last_order <= 30",
         "when days_since_last_order <= 3 0")
    assert fingerprint.take_fingerprint(STEPS["gold"]) != before["gold"]


def defaults_of(notebook: str) -> list[str]:
    """Return the lines of a notebook's parameters cell."""
    cells = json.loads((PROJECT / "notebooks" / notebook).read_text(encoding="utf-8"))["cells"]
    [cell] = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    return "".join(cell["source"]).splitlines()


@pytest.mark.parametrize(("step", "line"), [
    pytest.param(step, line, id=f"{step.name}: {line.partition(':')[0]}")
    for step in STEPS.values() for line in defaults_of(step.notebook)])
def test_a_default_is_a_rule_unless_it_tunes_the_machine_or_tells_where_things_are(
        step: StepSpec, line: str, project: Path):
    name, _, rest = line.partition(": ")
    declared, _, default = rest.partition("  # ")[0].partition(" = ")
    other = {"str": '"another"', "bool": "True", "int": "7", "float": "0.7"}[declared]
    before = fingerprint.take_fingerprint(step)
    edit(project / "notebooks" / step.notebook, json.dumps(f"{name}: {declared} = {default}")[1:-1],
         json.dumps(f"{name}: {declared} = {other}")[1:-1])
    is_rule = name in ("quarantine_limit", "snapshot", "snapshot_limit", "as_of")
    assert (fingerprint.take_fingerprint(step) != before) == is_rule


def test_a_parameter_that_an_analyst_adds_is_a_rule(project: Path):
    before = fingerprint.take_fingerprint(STEPS["facts"])
    edit(project / "notebooks" / "3_facts.ipynb", "batch_rows: int",
         'currency: str = \\"EUR\\"\\n",\n    "batch_rows: int')
    added = fingerprint.take_fingerprint(STEPS["facts"])
    edit(project / "notebooks" / "3_facts.ipynb", '\\"EUR\\"', '\\"USD\\"')
    assert before != added != fingerprint.take_fingerprint(STEPS["facts"])


def test_how_a_notebook_finds_and_opens_its_step_is_no_rule(project: Path):
    before = fingerprints()
    edit(project / "notebooks" / "3_facts.ipynb", "from lib.step.open import open_step",
         "from lib.step import open")
    edit(project / "notebooks" / "3_facts.ipynb", 'open_step(\\"facts\\", globals())',
         'open_step(\\"facts\\", dict(globals()))')
    assert fingerprints() == before


@pytest.mark.parametrize(("one", "other"), [
    ("x = 1", "x = '1'"), ("x = 1", "x = True"), ("x = None", "x = 'None'"), ("x = 'a  b'", "x = 'a b'"),
    ("x = \"select 'a  b'\"", "x = \"select 'a b'\""), ("x = f'select {a}, {b}'", "x = f'select {b}, {a}'"),
    ("x = 'with  a'", "x = 'with a'"), ("f(*a)", "f(**a)"), ("x = f'{a:.2f}'", "x = f'{a:.3f}'"),
    ("x = []", "x = ()")])
def test_what_code_says_is_told_apart(project: Path, one: str, other: str):
    assert with_cell(project, one) != with_cell(project, other)


@pytest.mark.parametrize(("one", "other"), [
    ("def f():\n    'Say.'\n    return 1", "def f():\n    return 1"), ("x = 1\n'a note'", "x = 1"),
    ("f(1, 2,)", "f(1,\n  2)  # both"),
    ("x = 'a'", 'x = "a"'),
    ("x = 'with a as (select 1) select 2'", "x = 'with a as ( select 1 )  select 2 -- two'")])
def test_what_says_the_same_is_the_same(project: Path, one: str, other: str):
    assert with_cell(project, one) == with_cell(project, other)


def test_another_python_changes_nothing(project: Path, monkeypatch):
    before = fingerprint.take_fingerprint(STEPS["facts"])
    monkeypatch.setattr(ast.FunctionDef, "_fields", (*ast.FunctionDef._fields, "new_in_this_version"))
    monkeypatch.setattr(ast.FunctionDef, "new_in_this_version", [], raising=False)
    assert fingerprint.take_fingerprint(STEPS["facts"]) == before


def test_what_cannot_be_read_counts_as_it_is(small: Shop, project: Path):
    edit(project / "notebooks" / "3_facts.ipynb", 'step.check(\\"fact_orders\\", rows)',
         'step.check(rows=rows, suite=\\"fact_orders\\")')
    edit_cells(project, "3_facts.ipynb", lambda cells: cells.insert(4, code_cell("%load_ext sql")))
    (project / "gx" / "expectations" / "fact_payments.json").write_text("{", encoding="utf-8")
    (project / "notebooks" / "4_gold.ipynb").write_text("{", encoding="utf-8")
    said = "\n".join(describe(make_plan(Options(small.source, small.warehouse, small.reports))))
    assert "runs: notebook 3_facts.ipynb, suite fact_payments changed since" in said
    assert "runs: notebook 4_gold.ipynb, suite orphans, suite reconciliation, suite reporting_c" in said


def test_no_rebuild_leaves_what_is_there_and_warns_until_it_is_rebuilt(small: Shop, run, project: Path):
    edit(project / "notebooks" / "4_gold.ipynb", "lifetime_value >= 5000", "lifetime_value >= 1")
    small.deliver("order_lines_2.csv", LINES, "L4,O2,P1,1,2.00,")
    for _ in range(2):
        result = run(no_rebuild=True)
        [note] = result.warnings()
        assert re.search(r"notebook 4_gold\.ipynb changed since .*--no-rebuild", note)
        assert True not in steps_run(result).values()
    assert ("C1", "BRONZE") in small.query(
            "gold", "select customer_id, value_tier from reporting_customer_stats")
    assert steps_run(run()) == {"gold": True}
    assert small.query("gold", "select distinct value_tier from reporting_customer_stats") == [("PLATINUM",)]
    assert run().warnings() == []


def test_a_rule_that_came_and_went_under_no_rebuild_leaves_nothing_behind(small: Shop, run, project: Path):
    with audit.open_audit(small.warehouse) as log:
        _, since = audit.read_rules(log, "gold")
    edit(project / "notebooks" / "4_gold.ipynb", "lifetime_value >= 5000", "lifetime_value >= 1")
    small.deliver("orders_2.csv", ORDERS, "O3,C2,2025-01-02,,10.00,placed")
    run(no_rebuild=True)
    assert value_tiers(small) == [("C1", "BRONZE"), ("C2", "PLATINUM")]
    edit(project / "notebooks" / "4_gold.ipynb", "lifetime_value >= 1 ", "lifetime_value >= 5000 ")
    result = run()
    assert result.warnings()[0].startswith(f"step gold: notebook 4_gold.ipynb changed since {since[:19]}")
    assert (steps_run(result), value_tiers(small)) == ({"gold": True}, [("C1", "BRONZE"), ("C2", "BRONZE")])
    assert steps_run(run()) == {}


def test_a_full_refresh_follows_the_changed_rules_with_no_rebuild_too(small: Shop, run, project: Path):
    edit(project / "notebooks" / "4_gold.ipynb", "lifetime_value >= 5000", "lifetime_value >= 1")
    [note] = run(no_rebuild=True, full_refresh=True).warnings()
    assert "notebook 4_gold.ipynb changed" in note and "--no-rebuild" not in note
    assert run(no_rebuild=True).warnings() == []


def test_a_changed_rule_waits_for_its_step(small: Shop, run, project: Path):
    edit_suite(project, "fact_orders", lambda one: one["meta"].update(on_failure="warn"))
    assert steps_run(run(steps=("gold",))) == {}
    assert steps_run(run(steps=("facts",))) == {"facts": True}
    assert steps_run(run()) == {"gold": True}


def test_the_run_says_why_when_the_step_begins(small: Shop, run, project: Path):
    edit_suite(project, "fact_orders", lambda one: one["meta"].update(on_failure="warn"))
    told = []
    run(tell=lambda event, **about: told.append((event, about)))
    facts, gold = (about for event, about in told if event == "step_started")
    assert facts[
        "why"].startswith("suite fact_orders changed since 20") and gold["why"].startswith("fact_orders")
    assert console.describe("step_started", facts) == [f"3/4 facts       {facts['why']}"]
    assert console.describe("step_started", gold) == []


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
    assert re.match("step raw: suite raw_customers changed since .*rows in raw stay", result.warnings()[0])
    small.deliver("customers_3.csv", CUSTOMERS, "C4,Dan,,,,,,,")
    assert run().warnings() == []


def test_the_plan_tells_what_is_rebuilt_and_why(small: Shop, project: Path):
    edit_suite(project, "fact_orders", lambda one: one["meta"].update(on_failure="warn"))
    said = "\n".join(describe(make_plan(Options(small.source, small.warehouse, small.reports))))
    assert "3/4 facts      runs: suite fact_orders changed since" in said
    assert "4/4 gold       runs: step facts rebuilds tables that it reads" in said
    assert "2/4 dimensions nothing new" in said


def test_the_plan_warns_of_what_stays_and_of_what_holds_from_now_on(small: Shop, project: Path):
    for suite in ("raw_customers", "fact_orders"):
        edit_suite(project, suite, lambda one: one["meta"].update(on_failure="warn"))
    small.deliver("customers_2.csv", CUSTOMERS, "C3,Cid,,,,,,,")
    plan = make_plan(Options(small.source, small.warehouse, small.reports, settled_seconds=0,
                             no_rebuild=True))
    raw, facts = plan.warnings
    assert "suite raw_customers changed since" in raw and "rows in raw stay" in raw
    assert re.match("step facts: suite fact_orders changed since .*--no-rebuild", facts)
    assert plan.steps[2].why == "nothing new"
