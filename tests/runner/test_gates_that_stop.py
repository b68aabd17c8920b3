"""What stopped a step, or kept a delivery out, is in the record of the run, which its page shows."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import ORDERS, PAYMENTS, PROJECT, Shop

import lib.runner.run
from lib.runner.result import RunResult


@pytest.fixture
def stopping(tmp_path: Path, monkeypatch):
    """Return a function that lets an expectation on a column of a suite stop its step, runs the pipeline on a
    shop, and returns the result, also of a run that failed."""
    import in_process

    gx, results, run = tmp_path / "project" / "gx", [], lib.runner.run.run
    shutil.copytree(PROJECT / "gx", gx)
    monkeypatch.setattr("lib.step.gate.PROJECT", gx.parent)

    def run_and_keep(*given, **more) -> RunResult:
        results.append(run(*given, **more))
        return results[-1]

    monkeypatch.setattr("lib.runner.run.run", run_and_keep)

    def stop(shop: Shop, suite: str, kind: str, column: str) -> RunResult:
        path = gx / "expectations" / f"{suite}.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        [expectation] = [one for one in content["expectations"]
                         if one["type"] == kind and one["kwargs"].get("column") == column]
        expectation["meta"]["on_failure"] = "fail"
        path.write_text(json.dumps(content), encoding="utf-8")
        with suppress(AssertionError):
            in_process.run(shop, monkeypatch)
        return results[-1]

    return stop


def failing(gates: list[dict]) -> list[tuple]:
    return [(gate["suite"], gate["rule"], gate["failed"], gate["checked"], gate["sample"])
            for gate in gates if gate["failed"]]


def test_the_gate_that_stopped_a_step_is_in_the_record_of_the_run(small: Shop, stopping):
    small.deliver("orders_2.csv", ORDERS, "N1,C1,2025-01-03,,1.00,LOST", "N2,C1,2025-01-03,,1.00,placed")
    result = stopping(small, "fact_orders", "expect_column_values_to_be_in_set", "status")
    facts = result.steps[2]
    assert (result.verdict, facts.status, facts.record) == ("failed", "FAILED", None)
    rule = "expect_column_values_to_be_in_set(status)"
    assert failing(facts.gates) == [("fact_orders", rule, 1, 2, ["'LOST'"])]
    assert len(facts.gates) == 8  # those that passed are there, too
    assert [step.gates for step in result.steps if step is not facts] == [[], [], []]
    assert not list(small.reports.rglob(".gates"))


def test_the_gate_that_kept_a_delivery_out_is_in_the_record_of_the_run(small: Shop, stopping):
    small.deliver("orders_2.csv", ORDERS, f"{'N' * 201},C1,2025-01-03,,1.00,placed")
    small.deliver("payments_2.csv", PAYMENTS, "Y2,O1,2025-01-01,card,SUCCESS,1.00")
    result = stopping(small, "raw_orders", "expect_column_value_lengths_to_be_between", "order_id")
    assert result.verdict == "incomplete"
    [(suite, rule, rows, of, _)] = failing(result.steps[0].record["gates"])
    assert (suite, rule, rows, of) == (
        "raw_orders", "expect_column_value_lengths_to_be_between(order_id)", 1, 1)
    assert not any("raw_orders" in warning for warning in result.warnings())  # it is an error
