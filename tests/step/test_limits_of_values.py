"""How large and how exact a value may be: the last one that is read, and the first one that is not."""

import pandas as pd
import pytest

from lib.contract import SOURCES
from lib.step.parse import read_columns


def read(source: str, column: str, *texts: str | None, **more: list[str]) -> pd.DataFrame:
    cells = {name: [None] * len(texts) for name in SOURCES[source].column_names}
    return read_columns(source, pd.DataFrame(cells | {column: list(texts)} | more, dtype="str"))


@pytest.mark.parametrize(("source", "column", "text", "value"), [
    ("orders", "total_amount", "9999999999999.99", 9999999999999.99),
    ("orders", "total_amount", "-9999999999999.99", -9999999999999.99),
    ("orders", "total_amount", "10000000000000", None),
    ("orders", "total_amount", "0.01", 0.01), ("orders", "total_amount", "0.010", 0.01),
    ("orders", "total_amount", ".01", 0.01), ("orders", "total_amount", "+1", 1.0),
    ("orders", "total_amount", "0.001", None), ("orders", "total_amount", "1.", None),
    ("orders", "total_amount", ".001", None),
    ("order_lines", "quantity", "999999999999.999", 999999999999.999),
    ("order_lines", "quantity", "1000000000000", None),
    ("order_lines", "quantity", "0.001", 0.001), ("order_lines", "quantity", "0.0001", None),
    ("order_lines", "quantity", "1.0000", 1.0),
    ("order_lines", "unit_price", "999999999.999999", 999999999.999999),
    ("order_lines", "unit_price", "1000000000.999", 1000000000.999),
    ("order_lines", "unit_price", "1000000000.9999", None),
    ("order_lines", "unit_price", "999999999999.999", 999999999999.999),
    ("order_lines", "unit_price", "1000000000000", None),
    ("order_lines", "unit_price", "0.000001", 0.000001),
    ("order_lines", "unit_price", ".000001", 0.000001),
    ("order_lines", "unit_price", "0.0000001", None),
])
def test_a_number_is_read_exactly_up_to_its_last_digit_or_not_at_all(source, column, text, value):
    rows = read(source, column, text)
    found, unreadable = rows[column][0], rows[f"{column}_unreadable"][0]
    assert (found, pd.isna(unreadable)) == (value, True) if value is not None else unreadable == text
    assert pd.isna(found) == (value is None)


def test_a_zero_has_no_sign():
    assert [str(value) for value in read("orders", "total_amount", "-0", "-0.00", "0")["total_amount"]] == [
        "0.0"] * 3


@pytest.mark.parametrize(("text", "value"), [
    ("0001-01-01", "0001-01-01 00:00:00"), ("9999-12-31", "9999-12-31 00:00:00"),
    ("0001-01-01T00:30:00+01:00", None), ("0000-12-31", None), ("10000-01-01", None),
    ("9999-12-31T23:30:00-05:00", None), ("9999-12-31T23:30:00-00:15", "9999-12-31 23:45:00"),
    ("2025-02-29", None), ("2024-02-29", "2024-02-29 00:00:00"),
    ("2025-01-01T00:00:00.999999999Z", "2025-01-01 00:00:00"), ("2025-01-01T24:00:01Z", None),
    ("20250102", "2025-01-02 00:00:00"), ("2025-01-02T03:04:05,6", "2025-01-02 03:04:05"),
])
def test_a_date_is_read_from_the_first_day_of_year_1_to_the_last_of_9999(text: str, value: str | None):
    rows = read("orders", "order_date", text, "2025-01-01")
    assert rows["order_date"][1] == "2025-01-01 00:00:00"
    assert (rows["order_date"][0] if value else None) == value
    assert pd.isna(rows["order_date_unreadable"][0]) == (value is not None)


def test_only_what_is_not_utc_is_zoned():
    texts = ["2025-01-01T00:00Z", "2025-01-01T00:00+00:00", "2025-01-01T00:00-00", "2025-01-01T01:00+01:00"]
    zoned = read("orders", "order_date", *texts, None, "2025-01-01T01:00+99:00")["order_date_zoned"]
    assert zoned.dropna().to_dict() == {3: texts[3]}


def test_markers_are_named_by_column_in_the_order_of_columns():
    found = read("orders", "channel", "NULL", "web", status=["#N/A", "#N/A"], total_amount=["1", "nan"])
    assert found["missing_markers"].tolist() == ["channel NULL, status #N/A", "total_amount nan, status #N/A"]
    assert found["channel"].isna().tolist() == [True, False] and found["status"].isna().all()
    assert read("orders", "channel", "web", " ")["missing_markers"].isna().all()
