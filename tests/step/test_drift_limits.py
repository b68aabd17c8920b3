"""What is unusual about a delivery, just beyond the limit and not on it; in a layer, without a run."""

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from lib.contract import SOURCES
from lib.step import drift
from lib.storage.layer import Layer, open_layer

COLUMNS = SOURCES["payments"].column_names


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[Layer]:
    with open_layer(tmp_path, "raw", write=True) as layer:
        drift.create_tables(layer)
        yield layer


def deliver(raw: Layer, rows: int, empty: int = 0, name: str = "payments_1.csv",
            **columns: list[str]) -> list[str]:
    """Deliver some payments, of which the first so many have no method, and return what is unusual."""
    given = {"payment_id": [f"Y{row}" for row in range(rows)],
             "payment_method": [None] * empty + ["card"] * (rows - empty), **columns}
    cells = {column: pa.array(given.get(column, ["x"] * rows), pa.string()) for column in COLUMNS}
    profile = drift.Profile(SOURCES["payments"])
    profile.add(pa.table(cells | {"source_row": range(2, rows + 2)}))
    return drift.compare(raw, name, profile, "run1")


# The median of the past is 10. Its median deviation is 1, so 3.5 / 0.6745 = 5.189 is the limit.
@pytest.mark.parametrize(("value", "least", "is_unusual"), [
    (15.18, 5, False), (15.19, 5, True), (4.82, 5, False), (4.81, 5, True),
    (16, 6, False), (16.01, 6, True), (4, 6, False), (3.99, 6, True)])
def test_a_number_is_unusual_beyond_3_5_scaled_deviations_and_beyond_the_least(value, least, is_unusual):
    assert drift._is_unusual(value, [8, 9, 10, 11, 12], least) == is_unusual


@pytest.mark.parametrize(("past", "rows", "is_told"), [
    (2, 40, False), (3, 15, False), (3, 16, True), (3, 5, False), (3, 4, True), (3, 0, True)])
def test_half_more_or_fewer_rows_than_three_alike_are_usual(raw: Layer, past, rows, is_told: bool):
    for _ in range(past):
        assert deliver(raw, 10) == []
    assert deliver(raw, rows) == [
        f"payments_1.csv: {rows} rows; the last 3 of its kind had 10 to 10"] * is_told


@pytest.mark.parametrize(("past", "empty", "is_told"), [(3, 4, False), (3, 5, True), (2, 20, False)])
def test_ten_percentage_points_more_empty_cells_are_usual(raw: Layer, past, empty: int, is_told: bool):
    for _ in range(past):
        assert deliver(raw, 20, empty=2) == []
    assert deliver(raw, 20, empty=empty) == [
        "payments_1.csv: payment_method is empty in 25% of the rows; in the last 3 of its kind in 10% to "
        "10%"] * is_told


@pytest.mark.parametrize(("since", "is_told"), [(19, False), (20, True)])
def test_a_delivery_is_compared_with_the_last_twenty_of_its_kind(raw: Layer, since: int, is_told: bool):
    deliver(raw, 100)
    for day in range(since):  # 8 or 12 rows: the deviation is 2, and 10 the median
        deliver(raw, 8 + 4 * (day % 2), name=f"payments_{day}.csv")
    [told] = deliver(raw, 40)
    assert re.search(r"the last 20 of its kind had 8 to (\d+)", told)[1] == ("12" if is_told else "100")
    assert deliver(raw, 40, name="payments_all.csv") == []


def test_deliveries_without_rows_show_nothing(raw: Layer):
    for rows in (10, 0, 10, 0):
        deliver(raw, rows)
    assert deliver(raw, 99) == []  # only two had rows


def test_new_values_are_named_up_to_three_and_by_forty_characters(raw: Layer):
    assert deliver(raw, 1) == []  # the first ones are no news
    [told] = deliver(raw, 3, payment_method=["b" * 40, "C" * 41, "d"])
    assert told.endswith(f": {'B' * 40!r} (line 2), {'C' * 40!r} (line 3), 'D' (line 4)")
    [told] = deliver(raw, 4, payment_method=["e", "f", " g  h ", "i"])
    assert told.endswith(": 'E' (line 2), 'F' (line 3), 'G H' (line 4) and 1 more")
    assert deliver(raw, 4, payment_method=["E", "f", "G H", " "]) == []


def test_values_of_one_column_are_not_known_in_another_or_of_another_source(raw: Layer):
    deliver(raw, 1)
    [told] = deliver(raw, 1, payment_method=["X"])  # which is a status
    assert told == "payments_1.csv: payment_method has values never seen before: 'X' (line 2)"


@pytest.mark.parametrize(("values", "kept"), [(999, 1002), (1000, 1000)])
def test_a_column_with_a_thousand_values_is_no_category(raw: Layer, values: int, kept: int):
    profile = drift.Profile(SOURCES["payments"])
    for batch in ([f"m{number}" for number in range(values)], ["x", "y", "z"]):
        profile.add_values("payment_method", pa.chunked_array([batch]), pa.chunked_array([range(len(batch))]))
    assert len(profile.values["payment_method"]) == kept


def test_ids_that_a_spreadsheet_rounded_are_counted_with_the_first(raw: Layer):
    ids = ["7", "+1", "6.79848E+12", "1e+15", "1e+16"]
    [told] = deliver(raw, 5, payment_id=ids)
    assert re.match(r"payments_1\.csv: payment_id .* in 3 rows, such as '6\.79848E\+12'", told)
    assert deliver(raw, 2, payment_id=["7", "+1"]) == []
