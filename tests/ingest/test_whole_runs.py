"""What is no row of a file, or in an encoding that is declared, in whole runs."""

from dataclasses import replace

import pytest
from conftest import CUSTOMERS, ORDERS, Shop

from lib.contract import SOURCES


def test_a_file_in_a_declared_encoding_is_loaded_and_nothing_is_reported(small: Shop, run, monkeypatch):
    path = small.deliver("customers_2.csv", CUSTOMERS)
    path.write_bytes("\n".join([CUSTOMERS, "C3,Иван,Петров,,,Москва,,,", ""]).encode("cp1251"))
    with pytest.raises(AssertionError, match=r"customers_2\.csv.*not UTF-8.*cp1251: 'Иван'"):
        run()
    assert small.counts("raw", "customers", "deliveries") == [2, 5]
    monkeypatch.setitem(SOURCES, "customers", replace(SOURCES["customers"], encoding="cp1251"))
    assert run().warnings() == []
    loaded = small.query("curated", "select first_name, last_name, city from dim_customers "
                                    "where customer_id = 'C3'")
    assert loaded == [("Иван", "Петров", "Москва")]


def test_lines_that_are_no_rows_hide_no_key_of_a_snapshot(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O1,C1,2025-01-01,,14.00,placed", ORDERS, "Total,,,,14.00,")
    run(snapshot=("orders",), snapshot_limit=1.0)
    assert small.query("raw", "select source_row, rule from quarantine order by source_row") == [
        (3, "repeated_header"), (4, "total_row")]
    assert small.query("curated", "select order_id, is_deleted from fact_orders order by 1") == [
        ("O1", 0), ("O2", 1)]
    assert small.query("gold", "select order_date, total_sales from sales_summary_daily") == [
        ("2025-01-01", 14.0)]


def test_lines_that_are_no_rows_do_not_make_an_export_look_broken(small: Shop, run):
    lines = [line for n in range(3) for line in (ORDERS, f"N{n},C1,2025-03-01,,1.00,placed")]
    small.deliver("orders_2.csv", *lines, "Total,,,,3.00,")
    assert run().verdict == "success"
    assert small.query("gold", "select total_sales from sales_summary_daily "
                               "where order_date = '2025-03-01'") == [(3.0,)]
    assert small.query("raw", "select rule, count(*) from quarantine group by 1 order by 1") == [
        ("repeated_header", 2), ("total_row", 1)]


def test_an_absent_column_is_empty_and_reported_once(small: Shop, run):
    small.deliver("customers_2.csv", CUSTOMERS.removesuffix(",segment"), "C1,Ann,A,,,,,", "C3,Cy,C,,,,,")
    warnings = [line for line in run().warnings() if "segment" in line]
    assert warnings == ["customers_2.csv: the file has no column segment: empty in all of its rows"]
    assert small.query("curated", "select customer_id, segment from dim_customers order by 1") == [
        ("C1", None), ("C2", None), ("C3", None)]
