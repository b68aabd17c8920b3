"""What steps read and write is what their notebooks name; what cannot be known is an error with its cell."""

import json
import re
from pathlib import Path

import pytest

import lib.steps
from lib.errors import UsageError
from lib.steps import STEPS, StepSpec


@pytest.fixture
def facts(tmp_path: Path, monkeypatch):
    """Return a function that makes a step of a notebook with this code in a cell."""
    monkeypatch.setattr(lib.steps, "NOTEBOOKS", tmp_path)

    def write(*code: str) -> StepSpec:
        cells = [{"cell_type": "code", "id": f"c{number}", "source": [text]} for number, text in
                 enumerate(code)]
        (tmp_path / "mine.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
        return StepSpec("mine", "mine.ipynb", "raw", "curated", "transformation_timestamp")

    return write


def test_the_steps_of_the_sample_read_and_write_these_tables():
    """A shop may have added others behind them."""
    curated = ["dim_customers", "dim_products", "fact_orders", "fact_order_lines", "fact_payments"]
    assert list(STEPS["raw"].outputs[:5]) == ["customers", "products", "orders", "order_lines", "payments"]
    assert (STEPS["raw"].inputs, STEPS["dimensions"].inputs) == ((), ("customers", "products"))
    assert STEPS["facts"].inputs[:3] == ("orders", "order_lines", "payments")
    assert [*STEPS["dimensions"].outputs, *STEPS["facts"].outputs[:3]] == curated
    assert list(STEPS["gold"].inputs[:5]) == curated
    assert STEPS["gold"].outputs[:3] == (
        "reporting_sales_wide", "sales_summary_daily", "reporting_customer_stats")


def test_a_table_counts_once_and_not_where_code_only_talks_of_it(facts):
    spec = facts('# step.upsert("old", rows, key="k")\nstep.upsert(table="b", rows=rows, key="k")',
                 'text = \'step.upsert("no")\'\nother.upsert("neither")', "%%time\nslow()",
                 'for rows in step.changes("orders", clean):\n    step.upsert("a", rows, key="k")\n'
                 '    step.upsert("b", rows, key="k")')
    assert (spec.inputs, spec.outputs) == (("orders",), ("b", "a"))


@pytest.mark.parametrize("code, message", [
    ('for table in "ab":\n    step.upsert(table, rows)', "cell c0: step.upsert must have the name of its"),
    ('step.upsert("a", rows', "cell c0 is no Python"),
    ('step.changes("order", clean)', "reads 'order', and no such table data/contract declares (did you mean "
                                     "orders?). Correct the name")])
def test_what_cannot_be_known_is_an_error_that_names_the_cell(code: str, message: str, facts):
    spec = facts(code)
    with pytest.raises(UsageError, match=rf"notebooks/mine\.ipynb.*{re.escape(message)}"):
        assert spec.inputs + spec.outputs


def test_a_notebook_that_cannot_be_read_is_named(facts, tmp_path: Path):
    spec = facts()
    (tmp_path / "mine.ipynb").write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match=r"notebooks/mine\.ipynb is no notebook \(.*restore it from git"):
        assert spec.outputs
