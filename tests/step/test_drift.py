"""Drift: what is unusual about a delivery is told, and what is usual is not."""

from datetime import datetime, timedelta

import pytest
from conftest import CUSTOMERS, ORDERS, Shop
from hypothesis import given
from hypothesis import strategies as st

from lib.clock import FORMAT
from lib.ingest.deliveries import overdue
from lib.step import drift
from lib.storage.lookup import KnownDelivery


def orders(day: int, rows: int, channel: str = "web") -> list[str]:
    return [ORDERS, *(f"D{day}-{row},C1,2025-02-{day:02},{channel if row % 2 else 'shop'},1.00,placed"
                      for row in range(rows))]


@pytest.fixture
def four_days(small: Shop, run) -> Shop:
    """The small shop after four days that brought ten orders or so each."""
    for day, rows in enumerate([10, 9, 11, 10], start=1):
        small.deliver(f"orders_2025-02-{day:02}.csv", *orders(day, rows))
    run()
    return small


def test_a_delivery_like_the_ones_before_it_draws_no_warning(four_days: Shop, run):
    four_days.deliver("orders_2025-02-05.csv", *orders(5, 12))
    assert run().warnings() == []


def test_a_delivery_of_another_size_than_the_last_of_its_kind_is_told(four_days: Shop, run):
    four_days.deliver("orders_2025-02-05.csv", *orders(5, 3))
    four_days.deliver("orders_2025-02-06.csv", *orders(6, 40))
    assert run().warnings() == [
        "orders_2025-02-05.csv: 3 rows; the last 4 of its kind had 9 to 11",
        "orders_2025-02-06.csv: 40 rows; the last 5 of its kind had 3 to 11"]


def test_a_delivery_of_another_kind_is_not_measured_by_the_days(four_days: Shop, run):
    four_days.deliver("orders_all.csv", *orders(5, 300))
    assert run().warnings() == []


def test_a_column_that_is_empty_more_often_than_it_was_is_told(four_days: Shop, run):
    four_days.deliver("orders_2025-02-05.csv", *orders(5, 10, channel=""))
    assert run().warnings() == [
        "orders_2025-02-05.csv: channel is empty in 50% of the rows; in the last 4 of its kind in 0% to 0%"]


def test_a_value_that_a_category_never_had_is_told_once(four_days: Shop, run):
    four_days.deliver("orders_2025-02-05.csv", *orders(5, 10, channel=" Kiosk "))
    assert run().warnings() == [
        "orders_2025-02-05.csv: channel has values never seen before: 'KIOSK' (line 3)"]
    four_days.deliver("orders_2025-02-06.csv", *orders(6, 10, channel="kiosk"))
    assert run().warnings() == []


def test_another_spelling_of_a_value_is_no_new_value(four_days: Shop, run):
    four_days.deliver("orders_2025-02-05.csv", *orders(5, 10, channel="Call center"))
    run()
    four_days.deliver("orders_2025-02-06.csv", *orders(6, 10, channel=" CALL \u00a0 CENTER"))
    assert run().warnings() == []


def test_many_new_values_are_counted(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, *(f"N{n},C1,2025-02-01,,1.00,placed{n}" for n in range(5)))
    [warning] = [warning for warning in run().warnings() if "status has values" in warning]
    assert warning.endswith("'PLACED0' (line 2), 'PLACED1' (line 3), 'PLACED2' (line 4) and 2 more")


def test_a_column_that_is_new_is_told_and_later_only_mentioned(small: Shop, run):
    small.deliver("customers_2.csv", CUSTOMERS + ",loyalty", "C3,Cy,C,,,,,,vip,gold")
    assert run().warnings() == [
        "customers_2.csv: column loyalty is new, and not in the contract; kept in raw only"]
    small.deliver("customers_3.csv", CUSTOMERS + ",loyalty", "C4,Di,D,,,,,,vip,gold")
    assert run().warnings() == ["customers_3.csv: column loyalty is not in the contract; kept in raw only"]
    assert small.query("raw", "select customer_id, loyalty from customers where loyalty is not null") == [
        ("C3", "gold"), ("C4", "gold")]


def at(*hours: float) -> list[KnownDelivery]:
    return [KnownDelivery("", "", "orders", (datetime(2025, 1, 6) + timedelta(hours=hour)).strftime(FORMAT))
            for hour in hours]


def test_a_source_that_is_silent_for_longer_than_its_longest_gaps_is_told():
    working_days = at(0, 24, 48, 72, 96, 168)  # Monday to Friday, and Monday
    assert overdue(working_days, at(168 + 144)[0].timestamp) == []
    assert overdue(working_days, at(168 + 150)[0].timestamp) == [
        "orders: nothing new for 6 days; the longest wait before was 3 days"]


def test_a_source_without_a_rhythm_yet_is_not_overdue():
    assert overdue(at(0, 24, 48), at(4800)[0].timestamp) == []
    assert overdue(at(0, 0.1, 0.2, 0.3), at(1.2)[0].timestamp) == []  # somebody is trying things out


def test_a_silent_source_is_told_in_a_run_that_has_nothing_to_do(four_days: Shop, run):
    for day in (5, 6, 7):
        four_days.deliver(f"orders_2025-02-{day:02}.csv", *orders(day, 10))
        run()
    result = run(now="2999-01-01 00:00:00.000000")
    assert result.verdict == "nothing new"
    assert [warning.partition(":")[0] for warning in result.overdue] == ["orders"]


@given(st.lists(st.integers(1, 1000), min_size=3, max_size=20))
def test_what_lies_among_the_last_ones_halves_is_never_unusual(past: list[int]):
    middle = sorted(past)[len(past) // 2]
    assert not drift._is_unusual(middle, past, 0)
    assert drift._is_unusual(100_000_000, past, middle / 2)
