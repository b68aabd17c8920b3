"""Numbers are read as their system declares them, exactly, and what does not fit is not read."""

from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.ingest.formats import plain_numbers
from lib.systems import System

GERMAN = System("german", {}, decimal=",", grouping=".", signs=("€", "EUR"))
AMERICAN = System("american", {}, grouping=",", signs=("$",))


def read(text: str, system: System) -> str | None:
    [plain] = plain_numbers(pd.Series([text], dtype="str"), system)
    return None if pd.isna(plain) else plain


@pytest.mark.parametrize(("text", "plain"), {
    "12,50": "12.50", "1.234,50 €": "1234.50", "-1.234,50\u00a0€": "-1234.50", "€ 5": "5", "€-5": "-5",
    "-€ 5,5": "-5.5", "1.500": "1500", "1.234.567,8 EUR": "1234567.8"}.items())
def test_a_number_of_a_declared_dialect_becomes_plain(text: str, plain: str):
    assert read(text, GERMAN) == plain


@pytest.mark.parametrize("text", [
    "1.5", "12.50", "0.500", "1.23.456", "1.2345", "5-", "(5)", "€5€", "$5", "5 €,", "1,5,0", "", "€", "-"])
def test_what_is_not_declared_is_no_number(text: str):
    assert read(text, GERMAN) is None


@pytest.mark.parametrize(("text", "value"), {
    "$37.50 / 3.0": "12.5", "12.00 + 3.00": "15", "20.00 + -5.00": "15", "--$0.64": "0.64",
    "-$6.40 / -1.0": "6.4", "1,000.00 - -3": "1003", "10 / 3": "3.333333", "-1 / 2000000": "-0.000001",
    "0.1 + 0.2": "0.3", "-$1 / 3 + 2": "1.666667"}.items())
def test_what_a_template_makes_is_computed_exactly(text: str, value: str):
    assert Decimal(read(text, AMERICAN)) == Decimal(value)


@pytest.mark.parametrize("text", ["3 / 0", "1 + x", "1 + ", "8 / 4 / 2", "--"])
def test_what_cannot_be_computed_is_no_number(text: str):
    assert read(text, AMERICAN) is None


@given(st.decimals(-10**9, 10**9, places=2), st.sampled_from([(",", "."), (",", " "), (".", ","), (".", "'"),
                                                              (",", ""), (".", "")]),
       st.sampled_from(["", "€", "kr.", "USD", "C$"]), st.booleans(), st.sampled_from(["", " ", "\u00a0"]))
def test_a_number_that_is_written_in_a_dialect_is_read_back(number, marks, sign, is_behind, blank):
    decimal, grouping = marks
    written = f"{number:,.2f}".translate({ord(","): grouping, ord("."): decimal})
    if sign:
        written = written + blank + sign if is_behind else sign + blank + written
    system = System("any", {}, decimal=decimal, grouping=grouping, signs=(sign,) if sign else ())
    assert Decimal(read(written, system)) == number
