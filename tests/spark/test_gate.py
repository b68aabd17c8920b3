"""The gate on Spark returns the rows that fail, with the first rule that each of them failed."""

import json
from pathlib import Path

import pytest

from lib.errors import PipelineError
from lib.spark.gate import SparkGate
from lib.spark.rows import Rows

from .local_spark import local  # noqa: F401

COLUMNS = "product_id string, product_name string, unit_price double, unit_price_unreadable string"


@pytest.fixture
def gate(local, tmp_path: Path) -> SparkGate:  # noqa: F811
    return SparkGate(tmp_path, "b")


def test_a_failing_row_is_returned_once_with_the_first_rule_that_it_failed(gate: SparkGate, local):  # noqa: F811
    rows = local.createDataFrame([
        ("P1", "Cup", 1.0, None), ("P2", "Pot", -1.0, None), ("P3", "Pan", -1.0, "-1.0 EUR"),
        ("P4", None, 1.0, None)], COLUMNS)
    refused = gate.check("dim_products", Rows(rows, "product_id"), lambda failing: [])
    assert sorted((row.product_id, row.rule) for row in refused.collect()) == [
        ("P2", "expect_column_values_to_be_between(unit_price)"),
        ("P3", "expect_column_values_to_be_null(unit_price_unreadable)")]


def test_what_is_only_observed_is_counted_and_passes(gate: SparkGate, local):  # noqa: F811
    class Observing(SparkGate):
        def _count(self, *about):
            tally = super()._count(*about)
            tally.on_failure = "observe"
            return tally

    gate.__class__ = Observing
    rows = local.createDataFrame([("P1", "Cup", 1.0, None), ("P2", "Pot", -1.0, None)], COLUMNS)
    assert gate.check("dim_products", Rows(rows, "product_id"), lambda failing: []) is None
    observed = [tally for tally in gate.tallies.values() if tally.verdict == "observe"]
    assert [(tally.rule, tally.failed, tally.sample) for tally in observed] == [
        ("expect_column_values_to_be_between(unit_price)", 1, ["-1.0"])]


def test_the_data_docs_have_one_result_with_the_values_that_failed(gate: SparkGate, local, tmp_path: Path):  # noqa: F811
    rows = local.createDataFrame([("P1", "Cup", 1.0, None), ("P2", "Pot", -1.0, None)], COLUMNS)
    gate.check("dim_products", Rows(rows, "product_id"), lambda failing: [])
    [result] = tmp_path.rglob("*dim_products*.json")
    expectations = json.loads(result.read_text())["results"]
    failed = [one["result"] for one in expectations if not one["success"]]
    assert [one["partial_unexpected_list"] for one in failed] == [[-1.0]]


def test_good_rows_pass(gate: SparkGate, local):  # noqa: F811
    rows = local.createDataFrame([("P1", "Cup", 1.0, None)], COLUMNS)
    assert gate.check("dim_products", Rows(rows, "product_id"), lambda failing: []) is None


def test_failing_rows_without_a_key_stop_the_step_and_are_described(gate: SparkGate, local):  # noqa: F811
    rows = local.createDataFrame([("P2", "Pot", -1.0, None)], COLUMNS)
    with pytest.raises(PipelineError, match=r"between\(unit_price\) failed on 1 of 1 rows.*\n +P2"):
        gate.check("dim_products", Rows(rows), lambda failing: list(failing["product_id"]))
