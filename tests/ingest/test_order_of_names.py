"""The order in which deliveries are applied: by their names, as far as names tell an order."""

import pytest

from lib.ingest.names import is_order_clear, natural_order

IN_ORDER = [
    "orders.csv", "orders (1).csv", "orders (2).csv", "orders (10).csv", "orders-3.csv", "orders/9.csv",
    "orders/10.csv.gz", "orders/2026-01-02.csv", "orders_2.csv", "Orders_3.CSV", "orders_10.csv",
    "orders_2025-12-31.csv", "orders_2026-01-02.csv", "orders_20260103.csv", "orders_a.csv",
]


def test_numbers_count_as_numbers_and_endings_do_not_count():
    assert sorted(set(IN_ORDER), key=natural_order) == IN_ORDER


@pytest.mark.parametrize(("first", "second"), [
    ("orders_2.csv", "orders_10.csv"), ("orders_9.csv", "orders_100000000.csv"),
    ("orders.csv", "orders (1).csv"),
    ("orders_2025-12-31.csv", "orders_2026-01-02.csv"), ("orders_20251231.csv", "orders_20260102.csv"),
    ("orders_2026-01-01T23-00.csv", "orders_2026-01-02T08-15.csv"),
    ("orders_2025-Q4.csv", "orders_2026-Q1.csv"),
    ("orders_20251231_235900.csv", "orders_20260101_000100.csv"), ("orders_2025_9.csv", "orders_2026_1.csv"),
    ("orders/2025-01-31.csv.gz", "orders/2025-02-01.csv"),
    ("orders_2025-12-31_2.csv", "orders_2026-01-01_1.csv"),
])
def test_a_counter_and_a_date_that_begins_with_the_year_tell_an_order(first: str, second: str):
    assert is_order_clear(first, second) and is_order_clear(second, first)


@pytest.mark.parametrize(("first", "second"), [
    ("orders_12-31-2025.csv", "orders_01-02-2026.csv"), ("orders_31.12.2025.csv", "orders_01.02.2026.csv"),
    ("orders_12312025.csv", "orders_01022026.csv"), ("orders_311225.csv", "orders_020126.csv"),
    ("orders_2026-31-01.csv", "orders_2026-01-02.csv"),
    ("orders_3_2025-12-31.csv", "orders_4_2025-12-30.csv"),
    ("orders_new.csv", "orders_old.csv"), ("orders.csv", "orders_2.csv"), ("orders.csv", "orders.csv.gz"),
    ("orders_2.csv", "orders_20260101.csv"), ("orders_2025.csv", "orders/2025-01-04.csv"),
])
def test_other_names_leave_a_doubt(first: str, second: str):
    assert not is_order_clear(first, second) and not is_order_clear(second, first)
