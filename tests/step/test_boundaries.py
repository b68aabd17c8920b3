"""What lies on a limit, just below and just above it: tiers, churn, shares of a delivery, silence."""

from datetime import datetime, timedelta

import pytest
from conftest import CUSTOMERS, LINES, ORDERS, PAYMENTS, Shop

from lib.clock import FORMAT
from lib.ingest.deliveries import overdue
from lib.step.quarantine import is_too_much
from lib.storage.lookup import KnownDelivery

TIERS = {"499.99": "BRONZE", "500.00": "SILVER", "500.01": "SILVER", "1999.99": "SILVER", "2000.00": "GOLD",
         "2000.01": "GOLD", "4999.99": "GOLD", "5000.00": "PLATINUM", "5000.01": "PLATINUM"}
CHURN = {0: "LOW", 29: "LOW", 30: "LOW", 31: "MEDIUM", 89: "MEDIUM", 90: "MEDIUM", 91: "HIGH"}
NOON = datetime(2025, 6, 1, 12)


def test_a_customers_tier_changes_at_its_limit_and_not_a_cent_before(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, *(
        f"T{total},T{total},2025-01-01,,{total},placed" for total in TIERS))
    run()
    assert dict(small.query("gold", "select printf('%.2f', lifetime_value), value_tier "
                                    "from reporting_customer_stats where customer_id like 'T%'")) == TIERS


def test_a_customers_churn_risk_changes_the_day_after_its_limit(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, *(
        f"D{days},D{days},{(NOON - timedelta(days=days)).date()},,1.00,placed" for days in CHURN))
    run(now=NOON.strftime(FORMAT))
    assert dict(small.query("gold", "select days_since_last_order, churn_risk from reporting_customer_stats "
                                    "where customer_id like 'D%'")) == CHURN


def test_every_customer_counts_days_to_the_day_of_the_last_run(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O3,C3,2025-01-03,,1.00,placed")
    run(now="2025-02-01 00:00:00.000000")
    stats = "select customer_id, days_since_last_order, churn_risk, as_of_date from reporting_customer_stats"
    assert small.query("gold", f"{stats} order by 1") == [
        ("C1", 31, "MEDIUM", "2025-02-01"), ("C2", 30, "LOW", "2025-02-01"), ("C3", 29, "LOW", "2025-02-01")]
    small.deliver("orders_3.csv", ORDERS, "O4,C3,2025-01-04,,1.00,placed")
    run(now="2025-02-02 00:00:00.000000")
    assert small.query("gold", f"{stats} order by 1") == [
        ("C1", 32, "MEDIUM", "2025-02-02"), ("C2", 31, "MEDIUM", "2025-02-02"),
        ("C3", 29, "LOW", "2025-02-02")]


@pytest.mark.parametrize("status", ["cancelled", "CANCELED"])
def test_a_cancelled_order_counts_in_no_sale_and_no_lifetime_value(small: Shop, run, status: str):
    small.deliver("orders_2.csv", ORDERS, f"O1,C1,2025-01-01,,14.00,{status}")
    run()
    assert small.query("gold", "select orders, cancelled_orders, lifetime_value, average_order_value "
                               "from reporting_customer_stats where customer_id = 'C1'") == [
        (1, 1, 0.0, None)]
    assert small.query("gold", "select orders, cancelled_orders, total_sales, net_sales, cancelled_amount "
                               "from sales_summary_daily where order_date = '2025-01-01'") == [
        (1, 1, 14.0, 0.0, 14.0)]


def test_a_cancelled_order_owes_nothing_and_others_owe_what_was_not_received(small: Shop, run):
    owed = "select open_amount from sales_summary_daily order by order_date"
    assert small.query("gold", owed) == [(0.0,), (10.0,)]  # O1 is paid, O2 is not
    small.deliver("orders_2.csv", ORDERS, "O1,C1,2025-01-01,,15.00,placed",
                  "O2,C2,2025-01-02,,10.00,cancelled")
    small.deliver("payments_2.csv", PAYMENTS, "Y2,O2,2025-01-02,card,SUCCESS,4.00")
    run()
    assert small.query("gold", owed) == [(1.0,), (0.0,)]


@pytest.mark.parametrize(("status", "received"), [
    ("success", 19.0), ("PENDING", 14.0), ("FAILED", 14.0), ("REFUNDED", 14.0), ("", 14.0)])
def test_only_payments_that_succeeded_count_as_received(small: Shop, run, status: str, received: float):
    small.deliver("payments_2.csv", PAYMENTS, f"Y2,O1,2025-01-01,a card,{status},5.00")
    run()
    assert small.query("gold", "select payments_received from sales_summary_daily order by order_date") == [
        (received,), (0.0,)]
    [paid] = small.query("gold", "select distinct order_payments, order_paid_amount, payment_method "
                                 "from reporting_sales_wide where order_id = 'O1'")
    assert paid == (2, received, "A CARD" if status == "success" else "CARD")


def test_the_prices_at_which_fewer_decimals_fit_are_exact(small: Shop, run):
    prices = ["999999999.999999", "1000000000.000", "1000000000.001", "999999999999.999"]
    small.deliver("order_lines_2.csv", LINES, *(
        f"N{number},O1,P1,1,{price}," for number, price in enumerate(prices)))
    run()
    assert small.query("gold", "select gross_amount from reporting_sales_wide where order_line_id like 'N%' "
                               "order by order_line_id") == [
        (1e9,), (1e9,), (1e9,), (1e12,)]


@pytest.mark.parametrize(("rows", "aside", "is_beyond"), [
    (1, 1, False), (2, 1, False), (2, 2, True), (19, 2, True), (20, 2, False), (100, 10, False),
    (100, 11, True)])
def test_a_tenth_and_one_row_may_be_set_aside(rows: int, aside: int, is_beyond: bool):
    assert is_too_much(aside, rows, 0.1) == is_beyond


def test_a_snapshot_may_delete_a_fifth_and_not_one_more(small: Shop, run):
    customers = [f"N{number},,,,,,,," for number in range(8)]
    small.deliver("customers_2.csv", CUSTOMERS, *customers)
    run()
    small.deliver("customers_3.csv", CUSTOMERS, *customers[::-1])  # C1 and C2, 2 of 10, are not in it
    run(snapshot=("customers",))
    deleted = "select customer_id from dim_customers where is_deleted = 1 order by 1"
    assert small.query("curated", deleted) == [("C1",), ("C2",)]
    small.deliver("customers_4.csv", CUSTOMERS, *customers[2:])  # 2 of 8
    with pytest.raises(AssertionError, match="would delete 2 of 8 customers, more than 20%"):
        run(snapshot=("customers",))
    assert small.query("curated", deleted) == [("C1",), ("C2",)]


def known(*hours: float) -> list[KnownDelivery]:
    return [KnownDelivery("", "", "orders", (NOON + timedelta(hours=hour)).strftime(FORMAT))
            for hour in hours]


@pytest.mark.parametrize(("delivered", "silent", "is_overdue"), [
    ((0, 3, 4, 5), timedelta(hours=6), False),  # twice the longest wait, to the microsecond
    ((0, 3, 4, 5), timedelta(hours=6, microseconds=1), True),
    ((0, 3, 5), timedelta(hours=60), False),  # two waits show nothing
    ((0, 0.1, 0.2, 0.3), timedelta(hours=1), False),
    ((0, 0.1, 0.2, 0.3), timedelta(hours=1, microseconds=1), True),
    ((0, 50, *range(51, 72)), timedelta(hours=3), True),  # the wait of 50 hours is not among the last 20
    ((0, 50, *range(51, 70)), timedelta(hours=3), False),
])
def test_a_source_is_overdue_after_twice_its_longest_recent_wait(delivered, silent, is_overdue: bool):
    now = (NOON + timedelta(hours=delivered[-1]) + silent).strftime(FORMAT)
    assert bool(overdue(known(*delivered), now)) == is_overdue
