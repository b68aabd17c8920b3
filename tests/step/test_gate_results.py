"""What a gate tells of the rows that it refuses: which, why, and the first values."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import PROJECT

from lib.errors import PipelineError, StepError
from lib.report.data_docs import build_docs
from lib.step.gate import Gate

EMAIL, KEY = "expect_column_values_to_match_regex(email)", "expect_column_values_to_not_be_null(customer_id)"


@pytest.fixture
def gate(tmp_path) -> Gate:
    return Gate(tmp_path, "run1")


def customers(*emails: str, keys: list[str | None] | None = None) -> pd.DataFrame:
    ids = keys or [f"C{number}" for number in range(len(emails))]
    index = range(10, 10 + len(emails))
    return pd.DataFrame({"customer_id": ids, "email": emails}, index=index, dtype="str")


def check(gate: Gate, suite: str, rows: pd.DataFrame) -> pd.DataFrame:
    return gate.check(suite, rows, lambda bad: [f"row {number}" for number in bad.index])


def tally_of(gate: Gate, rule: str):
    [tally] = [tally for tally in gate.tallies.values() if tally.rule == rule]
    return tally


def test_a_warning_counts_over_all_batches_and_shows_three_different_values(gate: Gate):
    for emails in (["a", "a@b.c", "a"], ["b", "c", "d"]):
        assert check(gate, "dim_customers", customers(*emails)).empty
    tally = tally_of(gate, EMAIL)
    assert (tally.checked, tally.failed, tally.verdict) == (6, 5, "warn")
    assert tally.sample == ["'a'", "'b'", "'c'"]
    sound = tally_of(gate, KEY)
    assert (sound.checked, sound.failed, sound.verdict, sound.sample) == (6, 0, "pass", [])


def test_a_long_value_is_shown_by_its_beginning(gate: Gate):
    check(gate, "dim_customers", customers("x" * 98, "y" * 99))
    assert tally_of(gate, EMAIL).sample == [f"'{'x' * 98}'", f"'{'y' * 99}…"]


def test_a_refused_row_has_its_index_and_the_first_rule_that_it_failed(gate: Gate):
    rows = pd.DataFrame({
        "product_id": ["P1", None, "P3"], "product_name": ["a", "b", "c"], "unit_price": [1.0, -1.0, -2.0],
        "unit_price_unreadable": pd.Series([None] * 3, dtype="str")}, index=[7, 8, 9])
    refused = check(gate, "dim_products", rows)
    assert refused.index.tolist() == [8, 9]
    assert refused["rule"].tolist() == ["expect_column_values_to_not_be_null(product_id)",
                                        "expect_column_values_to_be_between(unit_price)"]
    assert refused["reason"].tolist()[1] == "A list price is not negative."


def test_a_value_that_cannot_be_read_is_refused_for_that_and_not_as_missing(gate: Gate):
    rows = pd.DataFrame({
        "order_id": ["O1", "O2", "O3"], "customer_id": "C1", "order_date": ["2025-01-01", None, None],
        "order_date_unreadable": [None, "soon", None], "order_date_zoned": None, "status": None,
        "total_amount": "1", "total_amount_unreadable": None}, index=[1, 2, 3]).astype("str")
    refused = check(gate, "fact_orders", rows.where(rows.notna() & (rows != "None")))
    assert refused["rule"].to_dict() == {2: "expect_column_values_to_be_null(order_date_unreadable)",
                                         3: "expect_column_values_to_not_be_null(order_date)"}
    assert tally_of(gate, "expect_column_values_to_not_be_null(order_date)").failed == 1


def test_a_step_that_is_stopped_says_how_many_rows_and_shows_the_first_three(gate: Gate):
    rows = pd.DataFrame({"customer_id": list("abcd"), "orders": 0, "first_order_date": "2025-01-01",
                         "last_order_date": "2025-01-01", "churn_risk": "LOW", "value_tier": "GOLD"})
    with pytest.raises(PipelineError) as stopped:
        check(gate, "reporting_customer_stats", rows)
    first, *shown = str(stopped.value).splitlines()
    assert first.startswith("gate reporting_customer_stats: expect_column_values_to_be_between(orders) "
                            "failed on 4 of 4 rows, such as 0. ")
    assert [line.strip() for line in shown] == ["row 0", "row 1", "row 2"]


def test_every_reason_to_stop_is_named(gate: Gate):
    rows = pd.DataFrame({"order_date": ["x", "x"], "orders": [1, 1], "cancelled_orders": [0, 2]})
    with pytest.raises(PipelineError) as stopped:
        check(gate, "sales_summary_daily", rows)
    reasons = [line for line in str(stopped.value).splitlines() if line[0] != " "]
    assert [line.split("(")[0].split(": ")[1] for line in reasons] == [
        "expect_column_values_to_be_unique", "expect_column_values_to_match_regex",
        "expect_column_pair_values_a_to_be_greater_than_b"]


def test_a_suite_that_is_not_there_is_named_with_the_closest(gate: Gate):
    with pytest.raises(StepError, match=r"gx/expectations/dim_customer\.json \(did you mean dim_customers"):
        check(gate, "dim_customer", customers("a@b.c"))


def test_checks_and_data_docs_write_nothing_beside_the_suites(tmp_path: Path, monkeypatch):
    shutil.copytree(PROJECT / "gx", tmp_path / "gx")
    monkeypatch.setattr("lib.step.gate.PROJECT", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    check(Gate(tmp_path / "run", "run1"), "dim_customers", customers("a@b.c"))
    build_docs(tmp_path / "run")
    assert {path: path.read_bytes() for path in (tmp_path / "gx").rglob("*") if path.is_file()} == before


def test_an_expectation_that_cannot_be_evaluated_stops_the_step_and_names_the_suite(gate: Gate):
    with pytest.raises(StepError, match=r"dim_customers: .*\(email\) could not be evaluated: .*\.json"):
        check(gate, "dim_customers", customers("a@b.c").drop(columns="email"))


def test_the_results_of_three_batches_that_passed_and_three_that_failed_are_kept(gate: Gate, tmp_path):
    for emails in ["a@b.c"] * 5 + ["bad"] * 5:
        check(gate, "dim_customers", customers(emails))
    kept = [path.read_text() for path in tmp_path.rglob("*.json") if "dim_customers" in path.as_posix()]
    passed = ['"unexpected_count": 0' in text and '"success": false' not in text for text in kept]
    assert sorted(passed) == [False] * 3 + [True] * 3


@pytest.mark.parametrize("on_failure", ["warn", "quarantine"])
def test_an_expectation_about_the_whole_table_stops_the_step_unless_it_only_warns(
        on_failure: str, tmp_path: Path, monkeypatch):
    shutil.copytree(PROJECT / "gx", tmp_path / "gx")
    path = tmp_path / "gx" / "expectations" / "dim_customers.json"
    suite = json.loads(path.read_text(encoding="utf-8"))
    suite["expectations"].append({
        "type": "expect_table_row_count_to_be_between", "kwargs": {"max_value": 1},
        "meta": {"on_failure": on_failure}, "notes": "More is too much."})
    path.write_text(json.dumps(suite), encoding="utf-8")
    monkeypatch.setattr("lib.step.gate.PROJECT", tmp_path)
    gate, two = Gate(tmp_path / "run", "run1"), customers("a@b.c", "d@e.f")
    if on_failure == "quarantine":  # there are no rows that could be set aside
        with pytest.raises(PipelineError, match=r"row_count_to_be_between\(\) failed on 2 of 2 rows"):
            check(gate, "dim_customers", two)
    else:
        assert check(gate, "dim_customers", two).empty
        assert tally_of(gate, "expect_table_row_count_to_be_between()").verdict == "warn"
