"""A digest of rows: the order of columns does not count, and what is in which column does."""

import pyarrow as pa
import pytest

from lib.storage import digest

ROWS = pa.table({"city": ["Bath", "Cork"], "name": ["Ann", None], "total": [14.0, -0.5], "count": [1, None]})


def of(rows: pa.Table) -> str:
    return digest.of_rows(rows, rows.column_names)


def test_the_order_of_columns_and_of_rows_changes_no_digest():
    assert of(ROWS.select(["total", "count", "name", "city"])) == of(ROWS)
    assert of(ROWS.take([1, 0])) == of(ROWS)


@pytest.mark.parametrize("changed", [
    ROWS.rename_columns(["name", "city", "total", "count"]),  # two columns swapped
    ROWS.set_column(1, "name", pa.array([None, "Ann"])),  # two cells swapped
    ROWS.set_column(2, "total", pa.array([14.01, -0.5])),
    ROWS.set_column(2, "total", pa.array([14.0, 0.5])),
    ROWS.set_column(3, "count", pa.array([1, 0])),  # zero is not null
    ROWS.set_column(1, "name", pa.array(["Ann", ""])),  # and neither is no text
    ROWS.set_column(1, "name", pa.array(["ann", None])),
    ROWS.set_column(0, "city", pa.array(["BathAnn", "Cork"])).set_column(1, "name", pa.array(["", None])),
    ROWS.slice(0, 1), pa.concat_tables([ROWS, ROWS.slice(0, 1)]),
])
def test_any_change_of_content_changes_the_digest(changed: pa.Table):
    assert of(changed) != of(ROWS)


def test_a_digest_follows_rows_that_come_and_go_also_beyond_64_bits():
    parts = [ROWS.slice(0, 1), ROWS.slice(1, 1)]
    total = digest.EMPTY
    for part in parts * 50:
        total = digest.add(total, of(part))
    assert total == of(pa.concat_tables([ROWS] * 50))
    for part in parts * 50:
        total = digest.subtract(total, of(part))
    assert total == digest.EMPTY == of(ROWS.slice(0, 0))


def test_the_digests_that_an_earlier_release_has_recorded_still_agree():
    assert digest.EMPTY == "0" * 32
    assert of(ROWS) == "36fcb0ee25e63209755908941e8a28b2"
