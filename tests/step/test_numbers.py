"""How text becomes numbers, money and prices: exactly, or not at all."""

from decimal import Decimal

import duckdb
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.step.parse import read_columns

COLUMNS = {"number": "quantity", "money": "discount_amount", "price": "unit_price"}
READ = {
    "number": ["1", "-2", "+3", "2.0000", "0.125", ".5", "-.250000", "123456789012.345"],
    "money": ["10.5", "10.5000", "-2", "+3.10", "1.230000000", ".50", "-.50", ".5", "0", "1234567890123.45"],
    "price": ["0.004", "2.0000", "0.000001", "1.2345670000", ".333333", "123456789.123456",
              "2500000000.50", "123456789012.345"]}
NOT_READ = {
    "number": ["1,5", "2 pcs", "1e3", "5.", ".", "", "0.1234", "1234567890123", "2-", "--2", "1 000"],
    "money": ["1,5", "€ 3", "5.", "-.", "0.125", "10.5001", "12345678901234", "1.2.3", "１"],
    "price": ["0.1234567", "1234567890.1234", "1234567890123", "5.", "0x1", "inf", "-inf"]}


def read(type_: str, texts: list[str]) -> tuple[list, list]:
    """Return the values of texts, and those texts that were not read."""
    lines = pd.DataFrame({name: ["x"] * len(texts) for name in (
        "order_line_id", "order_id", "product_id", "quantity", "unit_price", "discount_amount")}, dtype="str")
    typed = read_columns("order_lines", lines.assign(**{COLUMNS[type_]: pd.Series(texts, dtype="str")}))
    return (typed[COLUMNS[type_]].to_list(), typed[f"{COLUMNS[type_]}_unreadable"].dropna().to_list())


@pytest.mark.parametrize("type_", READ)
def test_a_number_is_read_exactly_and_zeros_at_its_end_are_no_decimals(type_: str):
    values, unreadable = read(type_, READ[type_])
    assert unreadable == []
    assert [Decimal(repr(value)) for value in values] == [Decimal(text) for text in READ[type_]]


@pytest.mark.parametrize("type_", NOT_READ)
def test_what_does_not_fit_is_not_read(type_: str):
    values, unreadable = read(type_, NOT_READ[type_])
    assert pd.isna(values).all()
    assert unreadable == [text for text in NOT_READ[type_] if text]


@st.composite
def texts(draw: st.DrawFn, before: int, after: int) -> str:
    """A text with at most so many digits before and after the point, and any zeros behind them."""
    decimals = draw(st.text("0123456789", max_size=after))
    whole = str(draw(st.integers(0, 10**before - 1)))
    zeros = draw(st.text("0", max_size=12)) if decimals else ""
    return draw(st.sampled_from(["", "-", "+"])) + whole + (f".{decimals}{zeros}" if decimals else "")


@pytest.mark.parametrize(("type_", "before", "after"), [
    ("number", 12, 3), ("money", 13, 2), ("price", 9, 6), ("price", 12, 3)])
@given(data=st.data())
def test_the_digits_that_were_delivered_come_back_as_a_decimal(
        type_: str, before: int, after: int, data: st.DataObject):
    delivered = data.draw(st.lists(texts(before, after), min_size=1, max_size=50))
    values, unreadable = read(type_, delivered)
    assert unreadable == []
    assert [Decimal(repr(value)) for value in values] == [Decimal(text) for text in delivered]
    with duckdb.connect() as database:
        database.register("numbers", pd.DataFrame({"value": values}))
        found = database.sql(f"select cast(value as decimal(18, {after})) from numbers").fetchall()
    assert [value for (value,) in found] == [Decimal(text) for text in delivered]
