"""Text is read as what it certainly is; a marker such as NULL is no value, and is reported."""

import re

import pandas as pd
import pytest
from conftest import CUSTOMERS, LINES, ORDERS, PRODUCTS, Shop

import lib.contract
from lib.contract import Source
from lib.step import parse
from lib.systems import SHOP_CSV


def order(**cells: str) -> dict[str, object]:
    """Return an order's columns as they are read; null is None."""
    row = dict.fromkeys(ORDERS.split(","), "x") | {"order_date": "2026-01-01", "total_amount": "1.00"} | cells
    read = parse.read_columns("orders", pd.DataFrame([row], dtype="str")).iloc[0]
    return {name: None if pd.isna(value) else value for name, value in read.items()}


@pytest.mark.parametrize(("text", "moment"), {
    "2026-01-01": "00:00:00", "20260101": "00:00:00", "2026-01-01T09:30": "09:30:00",
    "2026-01-01 09:15:00.123+00": "09:15:00", "2026-01-01 09:15:00+00:00": "09:15:00",
    "2026-01-01 09:15:00 +0000": "09:15:00", "2026-01-01T09:15:00 Z": "09:15:00",
    "2026-01-01t09:15:00z": "09:15:00", "2026-01-01T11:15:00+02": "09:15:00",
    "2026-01-01T14:45:00+0530": "09:15:00", "2026-01-01T14:45:00 +05:30": "09:15:00",
    "2026-01-01T04:15:00−05:00": "09:15:00", "20260101T093000Z": "09:30:00", "20260101 0930": "09:30:00",
    "20260101T09:30:00": "09:30:00", "2026-01-01T09:15:00,5": "09:15:00",
    "2026-01-01T09:15:00.123456789Z": "09:15:00", "2026-01-01T09": "09:00:00",
    "2026-01-01 09:15:00 UTC": "09:15:00", "2026-01-01T09:15:00.1234567": "09:15:00",
    "2026-01-01T09:15:00.1234567 +00:00": "09:15:00", "2026-W01-4": "00:00:00", "2026W014T0930": "09:30:00",
    "2026-001": "00:00:00", "2026-001T11:15:00+02:00": "09:15:00"}.items())
def test_a_moment_of_iso_8601_is_read_in_every_form(text: str, moment: str):
    read = order(order_date=text)
    assert (read["order_date"], read["order_date_unreadable"]) == (f"2026-01-01 {moment}", None)
    assert (read["order_date_zoned"] is None) == (not re.search(r"[+−]0[25]", text))


@pytest.mark.parametrize("text", [
    "2026-02-30", "20260230", "20261301", "2026-0101", "202601", "31122025", "2026-01-01T24:00",
    "2026-01-01+00", "2026-01-01  09:15", "2026-W05", "2026-W54-1", "2026-W01-8", "2026-366", "2026035"])
def test_what_is_no_moment_is_unreadable(text: str):
    read = order(order_date=text)
    assert (read["order_date"], read["order_date_unreadable"]) == (None, text)


def test_how_a_moment_is_read_does_not_depend_on_the_others():
    texts = ["0001-01-01", "9999-12-31T23:59:59Z", "2026-01-01T09:15:00.123456789Z", "20260101T093000,5",
             "x"]
    together = parse.read_moments(pd.Series(texts, dtype="str"), SHOP_CSV, "UTC")[0]
    alone = [parse.read_moments(pd.Series([text], dtype="str"), SHOP_CSV, "UTC")[0] for text in texts]
    pd.testing.assert_series_equal(together, pd.concat(alone, ignore_index=True))
    assert together.notna().tolist() == [True] * 4 + [False]


@pytest.mark.parametrize("marker", parse.MARKERS)
def test_a_marker_is_no_value_in_a_column_of_any_type(marker: str):
    cells = dict.fromkeys(("customer_id", "order_date", "channel", "total_amount"), f" {marker} ")
    read = order(**cells)
    assert {name: read[name] for name in cells} == dict.fromkeys(cells)
    assert (read["order_date_unreadable"], read["total_amount_unreadable"]) == (None, None)
    assert read["missing_markers"] == ", ".join(f"{name} {marker}" for name in cells)


@pytest.mark.parametrize("text", ["Null", "NA", "Nan", "NAN", "none", "NONE", "-", "NULL Ltd", "0"])
def test_a_word_that_people_use_is_a_value(text: str):
    read = order(customer_id=text)
    assert (read["customer_id"], read["missing_markers"]) == (text, None)


def test_spaces_in_a_code_are_one_space():
    assert order(channel=" call \u00a0 center ")["channel"] == "call center"


MARKED = ["C3,NULL,Null,,,,,NA,", r"C4,\N,NULL,,,,,\N,vip", "NULL,Di,D,,,,,,vip"]


def test_a_marker_becomes_no_person_and_the_run_says_where_it_was(small: Shop, run):
    small.deliver("customers_2.csv", CUSTOMERS, *MARKED)
    warnings = [warning for warning in run().warnings() if "missingValues" in warning]
    assert [re.match(r"customers: (\S+) was read as .*: (.*) \(first: (.*?)\)", line).groups()
            for line in warnings] == [
        ("NULL", "customer_id in 1 row, first_name in 1 row, last_name in 1 row", "customers_2.csv, line 2"),
        (r"\N", "first_name in 1 row, country in 1 row", "customers_2.csv, line 3")]
    assert r'add "\\N" to missingValues in data/contract/customers.yaml' in warnings[1]
    assert small.query("curated", "select customer_id, first_name, last_name, country from dim_customers "
                                  "where customer_id not in ('C1', 'C2')") == [
        ("C3", None, "Null", "NA"), ("C4", None, None, None)]
    assert small.query("curated", "select source_row, rule from quarantine") == [
        (4, "expect_column_values_to_not_be_null(customer_id)")]


def test_a_declared_marker_is_read_without_a_word_and_a_declaration_rebuilds(small: Shop, run, monkeypatch):
    small.deliver("products_2.csv", PRODUCTS, "P3,Jug,-,,N/A,-,", "P4,-,Kitchen,,,1.00,")
    assert any(warning.startswith("products: N/A ") for warning in run().warnings())
    assert small.query("curated", "select record_key from quarantine") == [("P3",)]  # "-" is no price
    columns = lib.contract.SOURCES["products"].columns
    monkeypatch.setitem(lib.contract.SOURCES, "products", Source("products", columns, missing=("-", "N/A")))
    result = run()
    assert not [warning for warning in result.warnings() if warning.startswith("products:")]
    assert small.query("curated", "select product_id, product_name, category, brand, unit_price "
                                  "from dim_products where product_id in ('P3', 'P4')") == [
        ("P3", "Jug", None, None, None), ("P4", None, "Kitchen", None, 1.0)]


def test_an_order_of_nobody_belongs_to_no_customer_called_null(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O3,NULL,2025-01-03,web,5.00,placed")
    assert any(warning.startswith("orders: NULL ") for warning in run().warnings())
    assert "NULL" not in dict(small.query("gold", "select customer_id, orders from reporting_customer_stats"))
    assert small.query("raw", "select customer_id from orders where order_id = 'O3'") == [("NULL",)]


def test_a_value_that_cannot_be_read_is_not_missing_as_well(small: Shop, run):
    small.deliver("order_lines_2.csv", LINES, "L4,O1,P1,2-,2.00,", "L5,O1,P1,,2.00,", "L6,O1,P1,3-,x,")
    rule = re.compile(r"fact_order_lines: (\d) of 3 rows.*_be_(\w+\(\w+\))\)$")
    assert [rule.match(warning).groups() for warning in run(quarantine_limit=1.0).warnings()] == [
        ("2", "null(quantity_unreadable)"), ("1", "null(unit_price_unreadable)"), ("1", "null(quantity)")]
    assert small.query("curated", "select record_key, rule from quarantine order by 1") == [
        ("L4", "expect_column_values_to_be_null(quantity_unreadable)"),
        ("L5", "expect_column_values_to_not_be_null(quantity)"),
        ("L6", "expect_column_values_to_be_null(quantity_unreadable)")]
