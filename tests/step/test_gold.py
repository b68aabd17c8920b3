"""Every measure of gold, held against values computed from the CSV files in exact decimals, to the cent."""

import random
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import oracle
import pytest
from conftest import CUSTOMERS, LINES, ORDERS, PAYMENTS, PRODUCTS, PROJECT, Shop
from page import Page
from warm_runs import WarmRuns

from lib.runner.result import RunResult

KEYS = {"reporting_sales_wide": "order_line_id", "sales_summary_daily": "order_date",
        "reporting_customer_stats": "customer_id"}


def assert_gold_is_right(shop: Shop, files: dict[str, list[Path]]) -> None:
    [(as_of,)] = shop.query("gold", "select distinct as_of_date from reporting_customer_stats")
    expected = oracle.gold({source: oracle.latest_rows(paths, source) for source, paths in files.items()},
                           as_of)
    for table, rows in expected.items():
        columns = list(next(iter(rows.values())))
        found = {key: dict(zip(columns, values, strict=True)) for key, *values in shop.query(
            "gold", f"select {KEYS[table]}, {', '.join(columns)} from {table}")}
        assert found.keys() == rows.keys()
        for key, row in rows.items():
            # repr of a float is its shortest decimal: exact to the cent, no tolerance
            as_decimals = {name: Decimal(repr(value)) if isinstance(value, float) else value for name,
                           value in found[key].items()}
            assert as_decimals == row, f"{table} {key}"


def files_of(folder: Path) -> dict[str, list[Path]]:
    return {source: sorted(path for path in folder.glob("*.csv")
                           if path.name.startswith((f"{source}.", f"{source}_2")))
            for source in oracle.KEYS}


def test_every_measure_of_the_sample(loaded: Shop):
    assert_gold_is_right(loaded, files_of(loaded.source))


def test_every_measure_after_day_2(used: Shop, warm: WarmRuns):
    subprocess.run([sys.executable, PROJECT / "data" / "generate.py", used.source, "--day", "2"], check=True,
                   capture_output=True)
    assert len(files_of(used.source)["orders"]) == 2
    warm.run(used)
    assert_gold_is_right(used, files_of(used.source))


def test_every_measure_of_real_input(chinook: Path, tmp_path: Path, warm: WarmRuns):
    shop = Shop(tmp_path)
    warm.run(shop, "--source", str(chinook))
    assert_gold_is_right(shop, files_of(chinook))
    assert shop.counts("raw", "customers", "products", "orders", "order_lines", "payments") == [
        59, 3503, 412, 2240, 412]
    assert shop.counts("gold", "sales_summary_daily", "reporting_sales_wide", "reporting_customer_stats") == [
        354, 2240, 59]
    assert shop.query("gold", "select printf('%.2f', sum(total_sales)) from sales_summary_daily") == [
        ("2328.60",)]
    assert shop.query(
            "gold", "select first_name, city from reporting_sales_wide where customer_id = '1' limit 1") == [
        ("Luís", "São José dos Campos")]


def test_unit_prices_below_a_cent_are_exact_in_every_layer(small: Shop, run):
    small.deliver("products_2.csv", PRODUCTS, "P3,Screw,,,,0.0125,", "P4,Nail,,,,10.5000,")
    small.deliver("order_lines_2.csv", LINES, "L4,O1,P3,1000.0000,0.004,", "L5,O1,P3,-3,.333333,",
                  "L6,O2,P4,1.500,1.230000000,.50", "L7,O2,P3,2,2500000000.50,", "L8,O2,P3,1,1.2345678,")
    warning, *_ = gates_of(run(quarantine_limit=1.0))
    assert all(part in warning for part in ("fact_order_lines", "'1.2345678'", "at most six decimals"))
    delivered = "select unit_price from order_lines where order_line_id = 'L5'"
    assert small.query("raw", delivered) == [(".333333",)]
    assert small.query("curated", "select unit_price from dim_products where product_id in ('P3', 'P4')") == [
        (0.0125,), (10.5,)]
    assert small.query(
            "gold", "select order_line_id, unit_price, gross_amount, net_amount from reporting_sales_wide "
                    "where order_line_id > 'L3' order by 1") == [
        ("L4", 0.004, 4.0, 4.0), ("L5", 0.333333, -1.0, -1.0), ("L6", 1.23, 1.85, 1.35),
        ("L7", 2500000000.5, 5000000001.0, 5000000001.0)]


def test_amounts_of_all_kinds_of_prices_and_quantities_are_exact(small: Shop, run):
    chance = random.Random(7)
    prices = [f"{chance.randrange(10**chance.randrange(1, 8))}.{chance.randrange(10**6):06d}"
              for _ in range(2000)]
    quantities = [f"{chance.randrange(-9999, 9999)}.{chance.choice(['', '0', '5', '125', '333'])}0"
                  for _ in prices]
    small.deliver("order_lines_2.csv", LINES, *(
        f"N{number},O{1 + number % 3},P1,{quantity},{price},0.05"
        for number, (price, quantity) in enumerate(zip(prices, quantities, strict=True))))
    run()
    assert_gold_is_right(small, files_of(small.source))


def test_a_sale_is_a_line_of_an_order_that_was_not_cancelled(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O3,C1,2025-01-01,,30.00,Cancelled",
                  "O4,C2,2025-01-01,,7.00,returned", "O5,C2,2025-01-01,,5.00,placed")
    small.deliver("order_lines_2.csv", LINES, "L4,O3,P2,3,10.00,", "L5,O3,P1,-1,2.00,",
                  "L6,O4,P2,1,10.00,1.00", "L7,O4,P1,-1,2.00,", "L8,O9,P1,1,2.00,")
    run()
    assert_gold_is_right(small, files_of(small.source))
    assert small.query(
            "gold", "select orders, total_sales, units, gross_sales, discounts, net_sales, returned_amount, "
                    "cancelled_orders, cancelled_amount from sales_summary_daily "
                    "where order_date = '2025-01-01'") == [(4, 56.0, 3.0, 22.0, 1.0, 21.0, 2.0, 1, 28.0)]
    assert small.query("gold", "select order_line_id, is_sale from reporting_sales_wide order by 1") == [
        ("L1", 1), ("L2", 1), ("L3", 1), ("L4", 0), ("L5", 0), ("L6", 1), ("L7", 1), ("L8", 0)]
    assert small.query("gold", "select customer_id, lifetime_value from reporting_customer_stats") == [
        ("C1", 14.0), ("C2", 22.0)]


def test_sales_of_lines_are_sales_of_days_to_the_cent(loaded: Shop):
    by_line = "select printf('%.2f', sum(net_amount)) from reporting_sales_wide where is_sale = 1"
    by_day = "select printf('%.2f', sum(net_sales)) from sales_summary_daily"
    by_customer = "select printf('%.2f', sum(lifetime_value)) from reporting_customer_stats"
    assert [loaded.query("gold", query) for query in (by_line, by_day, by_customer)] == [[("393249.07",)]] * 3
    rest = "select printf('%.2f', sum(total_sales - net_sales - cancelled_amount)) from sales_summary_daily"
    assert loaded.query("gold", rest) == [("0.00",)]


def test_control_totals_of_rows_are_whole_numbers_and_those_of_money_have_cents(loaded: Shop):
    page, = (loaded.reports / "runs").glob("*/4_gold.html")
    text = Page(page).text
    assert "orders of days 1,000 1,000" in text and "orders of customers 1,000 1,000" in text
    assert "order lines 3,064 3,064" in text
    assert re.search(r"total sales [\d,]+\.\d\d [\d,]+\.\d\d orders", text)


def test_a_gold_table_that_does_not_agree_with_another_is_not_published(small: Shop, run):
    with closing(sqlite3.connect(small.warehouse / "gold.db")) as gold, gold:
        gold.execute("update sales_summary_daily set net_sales = net_sales + 0.01 "
                     "where order_date = '2025-01-01'")
    small.deliver("orders_2.csv", ORDERS, "O3,C1,2025-01-01,,30.00,")
    with pytest.raises(AssertionError, match=r"reconciliation: \w+\(gold, curated\) failed on 1 of 9 rows"):
        run()


def test_many_changed_keys_are_looked_up_in_shares(small: Shop, run, monkeypatch):
    monkeypatch.setattr("lib.step.curated_reader.MANY_KEYS", 3)
    small.deliver("orders_2.csv", ORDERS, *(f"N{n},C1,2025-01-0{n},,{n}.00,placed" for n in range(1, 8)))
    small.deliver("order_lines_2.csv", LINES, *(f"N{n},N{n},P1,1,{n}.00," for n in range(1, 8)))
    run()
    assert_gold_is_right(small, files_of(small.source))


def test_a_day_of_credit_notes_only_is_loaded_and_nothing_is_reported(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O3,C1,2025-01-03,,-20.00,returned", "O4,C3,2025-01-03,,-5.55,",
                  "O5,C3,2025-01-03,,-5.55,CANCELLED")
    small.deliver("order_lines_2.csv", LINES, "L4,O3,P2,-2,10.00,")
    small.deliver("customers_2.csv", CUSTOMERS, "C3,Cy,C,,,,,,")
    small.deliver("payments_2.csv", PAYMENTS, "Y2,O3,2025-01-03,card,SUCCESS,-20.00")
    assert gates_of(run()) == []
    assert_gold_is_right(small, files_of(small.source))
    assert small.query("gold", "select orders, total_sales, net_sales, returned_amount, payments_received "
                               "from sales_summary_daily where order_date = '2025-01-03'") == [
        (3, -31.1, -20.0, 20.0, -20.0)]
    assert small.query("gold", "select customer_id, lifetime_value, average_order_value, value_tier "
                               "from reporting_customer_stats order by 1") == [
        ("C1", -6.0, -3.0, "BRONZE"), ("C2", 10.0, 10.0, "BRONZE"), ("C3", -5.55, -5.55, "BRONZE")]


def test_a_refund_that_would_not_count_is_reported(small: Shop, run):
    small.deliver("payments_2.csv", PAYMENTS, "Y2,O1,2025-01-03,card,REFUNDED,-4.00",
                  "Y3,O2,2025-01-03,card,REFUNDED,10.00")
    [warning] = gates_of(run())
    assert re.match(r"fact_payments: 1 of 2 rows, such as -4\.0 .*Y2.*: .*REFUNDED.*SUCCESS", warning)


def test_an_order_of_a_guest_counts_for_its_day_and_for_no_customer(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O3, ,2025-01-01,,5.00,", "O4,,2025-01-05,,6.00,",
                  "O5,C1,2025-01-05,,1,")
    small.deliver("order_lines_2.csv", LINES, "L4,O4,P1,3,2.00,")
    [warning] = gates_of(run())
    assert re.match("fact_orders: 2 of 3 rows, such as .*O3.*O4.*: An order that names no customer", warning)
    assert_gold_is_right(small, files_of(small.source))
    assert small.query("gold", "select order_date, orders, total_sales, net_sales from sales_summary_daily "
                               "order by 1") == [
        ("2025-01-01", 2, 19.0, 14.0), ("2025-01-02", 1, 10.0, 10.0), ("2025-01-05", 2, 7.0, 6.0)]
    stats = "select customer_id, orders, lifetime_value from reporting_customer_stats order by 1"
    assert small.query("gold", stats) == [("C1", 2, 15.0), ("C2", 1, 10.0)]
    assert small.query("gold", "select customer_id, first_name, is_sale from reporting_sales_wide "
                               "where order_id = 'O4'") == [(None, None, 1)]
    small.deliver("orders_3.csv", ORDERS, "O4,C2,2025-01-05,,6.00,", "O2,,2025-01-02,,10.00,",
                  "O1,,2025-01-01,,14,")
    run()  # a guest turns out to be a customer, and two customers' orders are guests'
    assert small.query("gold", stats) == [("C1", 1, 1.0), ("C2", 1, 6.0)]
    before = tables(small)
    assert gates_of(run(full_refresh=True))[0].startswith("fact_orders: 4 of 8 rows")
    assert tables(small) == before


def test_a_returned_order_without_a_returned_line_is_reported_until_the_line_arrives(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O1,C1,2025-01-01,,14.00,returned",
                  "O2,C2,2025-01-02,,-10.00,returned")
    for options in ({}, {"full_refresh": True}):
        [warning] = gates_of(run(**options))
        assert re.match("orphans: .*such as 'O1': .*status RETURNED.*still counts as sold", warning)
    small.deliver("order_lines_2.csv", LINES, "L4,O1,P1,-1,2.00,")
    for options in ({}, {"full_refresh": True}):
        assert gates_of(run(**options)) == []


@pytest.mark.parametrize(("known", "misspelt"), [
    ("007", "7"), ("7", "007"), ("7", "7.0"), ("7.0", "7"), ("1001", "#1001"), ("#1001", "1001"),
    ("abc-1", "ABC-1"), ("O-7", "O-7.00")])
@pytest.mark.parametrize("is_known_before", [False, True])
def test_an_id_that_is_known_in_another_form_is_reported_with_the_known_one(
        known: str, misspelt: str, is_known_before: bool, small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, f"{known},C1,2025-01-01,,10.00,")
    if is_known_before:
        run()
    small.deliver("order_lines_2.csv", LINES, f"L4,{misspelt},P1,1,10.00,")
    [missing, reported] = gates_of(run())
    assert re.match("orphans: 1 rows?, such as 'L4': A line whose order has not arrived", missing)
    assert reported.partition(": The row with this id is there")[0] == (
        f"orphans: 1 row, such as 'L4 ({misspelt}, known as {known})'")


def test_misspelt_ids_of_rows_of_an_earlier_run_are_reported_like_in_a_full_refresh(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O8,c01,2025-03-01,,10.00,", "O9,C1.0,2025-03-01,,10.00,")
    small.deliver("order_lines_2.csv", LINES, "L8,O8,#p1,1,10.00,")
    small.deliver("payments_2.csv", PAYMENTS, "P9,o1,2025-01-01,,SUCCESS,1.00")
    warnings = gates_of(run())
    assert "such as 'L8 (#p1, known as P1)', 'O9 (C1.0, known as C1)', 'P9 (o1, known as O1)'" in warnings[-1]
    assert gates_of(run(full_refresh=True)) == warnings


def test_other_ids_are_only_missing(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "10,C7,2025-01-01,,10.00,", "100,C1,2025-01-01,,10.00,",
                  "0,,2025-01-01,,1.00,")
    small.deliver("order_lines_2.csv", LINES, "L4,1,P1,1,10.00,", "L5,000,P1,1,10.00,", "L6,10.1,P1,1,1.00,")
    orphans = [warning for warning in gates_of(run()) if warning.startswith("orphans: ")]
    assert ["misspelt" in warning for warning in orphans] == [False, False]


def test_an_average_is_rounded_half_away_from_zero_however_large_it_is(small: Shop, run):
    chance = random.Random(7)
    lines = ["A1,BIG,2025-01-01,,703216683.42,", *(f"A{n},BIG,2025-01-01,,0.00," for n in (2, 3, 4))]
    for customer in range(400):
        count = chance.choice([1, 2, 3, 4, 6, 7, 8, 11, 13])
        most = 10**chance.randrange(2, 16) // count
        lines += [f"X{customer}-{n},X{customer},2025-01-01,,{chance.randrange(-most, most) / 100:.2f},"
                  for n in range(count)]
    small.deliver("orders_2.csv", ORDERS, *lines)
    run()
    assert_gold_is_right(small, files_of(small.source))
    assert small.query("gold", "select average_order_value from reporting_customer_stats "
                               "where customer_id = 'BIG'") == [(175804170.86,)]


@pytest.mark.parametrize("orders", [600, 2500])
def test_sums_that_a_double_does_not_hold_to_the_cent_reconcile(small: Shop, run, orders: int):
    totals = [f"9{number:012d}.{number % 100:02d}" for number in range(orders)]
    small.deliver("orders_2.csv", ORDERS,
                  *(f"B{number},C1,2025-01-03,,{total}," for number, total in enumerate(totals)))
    small.deliver("order_lines_2.csv", LINES,
                  *(f"B{number},B{number},P1,1,99999999999.999,-0.01" for number in range(orders)))
    run()
    total = "select total_sales from sales_summary_daily where order_date = '2025-01-03'"
    assert small.query("gold", total) == [(float(sum(map(Decimal, totals))),)]
    small.deliver("orders_3.csv", ORDERS, "B1,C2,2025-01-03,,0.01,", "B2,C1,2025-01-04,,1234567890123.45,")
    run()
    before = tables(small)
    run(full_refresh=True)
    assert tables(small) == before
    with closing(sqlite3.connect(small.warehouse / "gold.db")) as gold, gold:
        gold.execute("update sales_summary_daily set total_sales = total_sales - 99 "
                     "where order_date = '2025-01-04'")
    small.deliver("orders_4.csv", ORDERS, "B2,C1,2025-01-04,,1234567890123.46,")
    with pytest.raises(AssertionError, match=r"gate reconciliation: .* failed on 1 of"):
        run()


def gates_of(result: RunResult) -> list[str]:
    """Return what a run reports of rows that did not meet an expectation."""
    return [warning for warning in result.warnings() if "(expect_" in warning]


def tables(shop: Shop) -> dict[str, list[tuple]]:
    """Return the content of gold's tables, but for which run wrote a row and when."""
    return {table: sorted((row[:-2] for row in shop.query("gold", f"select * from {table}")), key=repr)
            for table in KEYS}


def test_dimensions_are_clean(loaded: Shop):
    for first, last, city, email, segment in loaded.query(
            "curated", "select first_name, last_name, city, email, segment from dim_customers"):
        for name in filter(None, (first, last, city)):
            assert name == name.strip()
            assert not (len(name) > 1 and name.isupper()), name
            assert not name.islower(), name
        assert email is None or email == email.strip().lower()
        assert segment is None or segment == segment.upper()
