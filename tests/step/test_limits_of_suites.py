"""Each suite refuses what it says and nothing else: values on both sides of every limit, through the gate."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import PROJECT

from lib.contract import SOURCES
from lib.errors import PipelineError
from lib.step.gate import Gate

SUITES = PROJECT / "gx" / "expectations"
LIMITED = ("min_value", "max_value", "value_set", "regex", "or_equal")  # these make a limit
TRILLION = 1_000_000_000_000.0
GIVEN, ABSENT = ["x"], [None]
EMAILS = (["a@b.c", "a.b@c.d.e", "ä@b.c"],
          ["@b.c", "a@.c ", "a@b", "a@b.", "a b@c.d", "a@b@c.d", "ab.c", "a@b.c d"])
STATUSES = ["PLACED", "PAID", "PROCESSING", "SHIPPED", "DELIVERED", "COMPLETED", "RETURNED", "CANCELLED",
            "CANCELED"]
# Suite, column: values that pass, values that do not. A pair is of two columns.
CHECKED: dict[tuple[str, ...], tuple[list, list]] = {
    ("dim_customers", "customer_id"): (GIVEN, ABSENT),
    ("dim_customers", "email"): EMAILS,
    ("dim_products", "product_id"): (GIVEN, ABSENT),
    ("dim_products", "product_name"): (GIVEN, ABSENT),
    ("dim_products", "unit_price_unreadable"): (ABSENT, GIVEN),
    ("dim_products", "unit_price"): ([0.0, 0.000001, None], [-0.000001]),
    ("fact_order_lines", "order_line_id"): (GIVEN, ABSENT),
    ("fact_order_lines", "order_id"): (GIVEN, ABSENT),
    ("fact_order_lines", "product_id"): (GIVEN, ABSENT),
    ("fact_order_lines", "quantity"): ([1.0, 0.0, -1.0], ABSENT),
    ("fact_order_lines", "quantity_unreadable"): (ABSENT, GIVEN),
    ("fact_order_lines", "unit_price_unreadable"): (ABSENT, GIVEN),
    ("fact_order_lines", "discount_amount_unreadable"): (ABSENT, GIVEN),
    ("fact_order_lines", "unit_price"): ([0.0, 0.000001], [None, -0.000001]),
    ("fact_order_lines", "gross_amount"): ([TRILLION, TRILLION - 0.01, -TRILLION, 0.01 - TRILLION],
                                           [TRILLION + 0.01, -TRILLION - 0.01]),
    ("fact_order_lines", "surcharge"): (ABSENT, [-0.01, 0.01]),
    ("fact_orders", "order_id"): (GIVEN, ABSENT),
    ("fact_orders", "customer_id"): (GIVEN, ABSENT),
    ("fact_orders", "order_date"): (GIVEN, ABSENT),
    ("fact_orders", "order_date_unreadable"): (ABSENT, GIVEN),
    ("fact_orders", "order_date_zoned"): (ABSENT, GIVEN),
    ("fact_orders", "total_amount_unreadable"): (ABSENT, GIVEN),
    ("fact_orders", "total_amount"): ([0.0, 1.0, -1.0], ABSENT),
    ("fact_orders", "status"): ([*STATUSES, None], ["placed", "OPEN"]),
    ("fact_payments", "payment_id"): (GIVEN, ABSENT),
    ("fact_payments", "order_id"): (GIVEN, ABSENT),
    ("fact_payments", "payment_date_unreadable"): (ABSENT, GIVEN),
    ("fact_payments", "payment_date_zoned"): (ABSENT, GIVEN),
    ("fact_payments", "payment_amount_unreadable"): (ABSENT, GIVEN),
    ("fact_payments", "payment_status"): (["SUCCESS", "FAILED", "PENDING", "REFUNDED", None],
                                          ["success", "OK"]),
    ("fact_payments", "refunded_amount"): ([0.0, 0.01, None], [-0.01]),
    **{("orphans", column): (ABSENT, GIVEN) for column in (
        "line_without_order", "line_without_product", "order_without_customer", "payment_without_order",
        "returned_without_line", "misspelt_id")},
    **{(f"raw_{source.name}", source.key): (["x", "x" * 200], [None, "", "x" * 201])
       for source in SOURCES.values()},
    ("reconciliation", "gold", "curated"): (
        [("1.00", "1.00")], [("1.00", "1.01"), (None, "1.00"), ("1.00", None)]),
    ("reconciliation", "gold"): (["1.00"], ABSENT),
    ("reconciliation", "curated"): (["1.00"], ABSENT),
    ("reporting_customer_stats", "customer_id"): (GIVEN, ABSENT),
    ("reporting_customer_stats", "orders"): ([1, 2], [0]),
    ("reporting_customer_stats", "last_order_date", "first_order_date"): (
        [("2025-01-02", "2025-01-01"), ("2025-01-01", "2025-01-01")], [("2025-01-01", "2025-01-02")]),
    ("reporting_customer_stats", "churn_risk"): (["LOW", "MEDIUM", "HIGH"], ["NONE"]),
    ("reporting_customer_stats", "value_tier"): (["BRONZE", "SILVER", "GOLD", "PLATINUM"], ["TIN"]),
    ("reporting_sales_wide", "order_line_id"): (GIVEN, ABSENT),
    ("reporting_sales_wide", "net_amount"): ([0.0, -1.0], ABSENT),
    ("sales_summary_daily", "order_date"): (["2025-01-01"], [None, "2025-1-1", "x2025-01-01", "2025-01-01 "]),
    ("sales_summary_daily", "orders"): ([1, 2], [0]),
    ("sales_summary_daily", "orders", "cancelled_orders"): ([(2, 1), (2, 2)], [(2, 3)]),
}
UNIQUE = {"reporting_customer_stats": "customer_id", "reporting_sales_wide": "order_line_id",
          "sales_summary_daily": "order_date",
          **{f"raw_{source.name}": source.key for source in SOURCES.values()}}


@pytest.fixture(scope="module")
def gate(tmp_path_factory) -> Gate:
    return Gate(tmp_path_factory.mktemp("run"), "run1")


def expectations(suite: str) -> list[dict[str, Any]]:
    return json.loads((SUITES / f"{suite}.json").read_text(encoding="utf-8"))["expectations"]


def columns_of(expectation: dict[str, Any]) -> tuple[str, ...]:
    kwargs = expectation["kwargs"]
    return tuple(kwargs[name] for name in ("column", "column_A", "column_B") if name in kwargs)


def sound_rows(suite: str, count: int) -> pd.DataFrame:
    """Return rows that meet every expectation of a suite."""
    named = {name: good for (name_of_suite, *names), (good, _) in CHECKED.items() if name_of_suite == suite
             for name, good in zip(names, zip(*good, strict=True) if len(names) > 1 else [good], strict=True)}
    rows = pd.DataFrame({name: [good[0]] * count for name, good in named.items()})
    for source in SOURCES.values():
        if suite == f"raw_{source.name}":
            rows = rows.reindex(columns=source.column_names)
    if key := UNIQUE.get(suite):
        rows[key] = [f"2025-01-{number + 1:02}" for number in range(count)]
    return rows


def is_met(gate: Gate, suite: str, rows: pd.DataFrame) -> bool:
    """Return whether no row of a frame is refused, stopped or warned of."""
    gate.tallies.clear()
    try:
        gate.check(suite, rows, lambda bad: [""] * len(bad))
    except PipelineError:
        return False
    return not any(tally.failed for tally in gate.tallies.values())


@pytest.mark.parametrize("checked", CHECKED, ids=".".join)
def test_what_is_on_the_right_side_of_a_limit_passes_and_what_is_beyond_does_not(gate: Gate, checked: tuple):
    suite, *names = checked
    for values, passes in zip(CHECKED[checked], (True, False), strict=True):
        for value in values:
            rows = sound_rows(suite, 1)
            rows[names] = [value if len(names) > 1 else [value]]
            assert is_met(gate, suite, rows) == passes, value
            failed = [tally.rule for tally in gate.tallies.values() if tally.failed]
            assert passes or any(rule.endswith(f"({', '.join(names)})") for rule in failed), value


@pytest.mark.parametrize("suite", UNIQUE)
def test_a_key_that_comes_twice_stops_the_step(gate: Gate, suite: str):
    rows = sound_rows(suite, 3)
    assert is_met(gate, suite, rows)
    with pytest.raises(PipelineError, match=rf"{suite}.*unique\({UNIQUE[suite]}\)"):
        gate.check(suite, pd.concat([rows, rows[:1]], ignore_index=True), lambda bad: [""] * len(bad))


@pytest.mark.parametrize("source", SOURCES.values(), ids=lambda source: source.name)
def test_a_column_that_is_missing_stops_the_step_and_one_more_does_not(gate: Gate, source):
    suite = f"raw_{source.name}"
    assert is_met(gate, suite, sound_rows(suite, 2).assign(more="x"))
    for name in source.column_names[1:]:
        with pytest.raises(PipelineError, match="columns_to_match_set"):
            gate.check(suite, sound_rows(suite, 2).drop(columns=name), lambda bad: [""] * len(bad))


@pytest.mark.parametrize("path", sorted(SUITES.glob("*.json")), ids=lambda path: path.stem)
def test_every_limit_of_a_suite_has_values_on_both_sides(path: Path):
    limited = {(path.stem, *columns_of(expectation)) for expectation in expectations(path.stem)
               if set(LIMITED) & expectation["kwargs"].keys()}
    assert limited <= CHECKED.keys()
