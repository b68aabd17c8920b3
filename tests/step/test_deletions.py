"""A key that a snapshot left out is deleted, stays deleted, and returns when it is delivered again."""

import in_process
import pytest
from conftest import CUSTOMERS, ORDERS, Shop

FIRST, SECOND = "O1,C1,2025-01-01,,14.00,placed", "O2,C2,2025-01-02,,10.00,placed"
BOTH_DAYS = {"2025-01-01": 14.0, "2025-01-02": 10.0}


def days(shop: Shop) -> dict[str, float]:
    return dict(shop.query("gold", "select order_date, total_sales from sales_summary_daily"))


def leave_out(shop: Shop, run, name: str = "orders_all.csv", **options) -> None:
    """Deliver a snapshot without the second order."""
    shop.deliver(name, ORDERS, FIRST)
    run(snapshot=("orders",), snapshot_limit=0.5, **options)


@pytest.mark.parametrize("name", ["orders_3.csv", "orders_all.csv"], ids=["another file", "the same file"])
def test_a_deleted_key_returns_with_the_values_it_had(small: Shop, run, name: str):
    leave_out(small, run)
    assert days(small) == {"2025-01-01": 14.0}
    small.deliver(name, ORDERS, SECOND, FIRST)  # in another order: a copy would be skipped
    run()
    assert days(small) == BOTH_DAYS
    assert small.query("curated", "select is_deleted from fact_orders where order_id = 'O2'") == [(0,)]
    run(full_refresh=True)
    assert days(small) == BOTH_DAYS


def test_a_deleted_key_does_not_return_by_a_rebuild_or_another_snapshot(small: Shop, run):
    leave_out(small, run)
    run(full_refresh=True)
    assert days(small) == {"2025-01-01": 14.0}
    small.deliver("orders_5.csv", ORDERS, "O1,C1,2025-01-01,,15.00,placed")
    run(snapshot=("orders",), snapshot_limit=0.5)
    assert days(small) == {"2025-01-01": 15.0}
    assert small.query("raw", "select sum(deleted) from deliveries") == [(1,)]  # once


@pytest.mark.parametrize("batch_rows", [1, 1000])
def test_a_key_that_was_deleted_and_returned_before_the_facts_were_read_is_there(
        small: Shop, run, monkeypatch, batch_rows: int):
    execute = in_process.execute
    monkeypatch.setattr(in_process, "execute", lambda spec, folder, given, kernel: execute(
        spec, folder, given | {"batch_rows": batch_rows}, kernel))
    leave_out(small, run, steps=("raw",))
    small.deliver("orders_3.csv", ORDERS, SECOND)
    run()
    assert days(small) == BOTH_DAYS


@pytest.mark.parametrize("value", ["10.00", "11.00"])
def test_a_key_that_came_and_was_deleted_before_the_facts_were_read_is_gone(small: Shop, run, value: str):
    small.deliver("orders_2.csv", ORDERS, f"O2,C2,2025-01-02,,{value},returned")
    run(steps=("raw",))
    leave_out(small, run)
    assert days(small) == {"2025-01-01": 14.0}
    assert small.query("curated", "select total_amount, status, is_deleted from fact_orders "
                                  "where order_id = 'O2'") == [(float(value), "RETURNED", 1)]


def test_a_deleted_key_that_never_had_a_value_returns_too(small: Shop, run):
    current = "select customer_id from dim_customers where is_deleted = 0 order by 1"
    small.deliver("customers_2.csv", CUSTOMERS, "C3,,,,,,,,")
    run()
    small.deliver("customers_3.csv", CUSTOMERS, "C1,Ann,A,,,,,,vip", "C2,Bob,B,,,,,,new")
    run(snapshot=("customers",), snapshot_limit=0.5)
    assert small.query("curated", current) == [("C1",), ("C2",)]
    small.deliver("customers_4.csv", CUSTOMERS, "C3,,,,,,,,", "C2,Bob,B,,,,,,old")
    run()
    assert small.query("curated", current) == [("C1",), ("C2",), ("C3",)]
