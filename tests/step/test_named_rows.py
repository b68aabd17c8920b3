"""What a run says about rows and files names them, and says only what is true of them."""

import re

import pytest
from conftest import CUSTOMERS, ORDERS, PAYMENTS, Shop
from test_quarantine import GOOD, refused

from lib.step.curated import CuratedStep


def said(result, about: str) -> list[str]:
    return [warning for warning in result.warnings() if re.search(about, warning)]


def test_a_warning_about_an_empty_value_names_file_line_and_key(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "H1,C1,2025-03-01,,1.00,placed", "H2,,2025-03-01,,1.00,placed",
                  "H3,,2025-03-01,,1.00,placed", *GOOD)
    [warning] = said(run(), "names no customer")
    assert warning.startswith("fact_orders: 2 of 21 rows, such as orders_2.csv, line 3, order_id 'H2', "
                              "orders_2.csv, line 4, order_id 'H3': An order that")


def test_a_warning_about_values_names_a_row_of_each(small: Shop, run):
    odd = [f"S{n},C1,2025-03-01,,1.00,{'odd' if n % 2 else 'even'}" for n in range(4)]
    small.deliver("orders_2.csv", ORDERS, *odd)
    [warning] = said(run(), "status that the reports")
    assert ("such as 'EVEN' (orders_2.csv, line 2, order_id 'S0'), 'ODD' (orders_2.csv, line 3, order_id "
            "'S1'): ") in warning


def test_a_warning_about_a_row_that_is_set_aside_names_it(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, *GOOD, ",C1,2025-03-01,,1.00,placed",
                  "B1,C1,31.12.2025,,1.00,placed")
    result = run()
    [no_key], [no_date] = said(result, "^raw_orders"), said(result, "order_date_unreadable")
    assert no_key.startswith("raw_orders: 1 of 20 rows, such as orders_2.csv, line 20: A row without")
    assert re.search("'31.12.2025', which looks like .* \\(orders_2.csv, line 21, order_id 'B1'\\): "
                     "order_date must be", no_date)
    assert "ISO" not in no_date and "2026-01-31" in no_date


def test_a_sample_names_three_rows_of_all_batches(small: Shop, run, monkeypatch):
    read = CuratedStep._read
    monkeypatch.setattr(CuratedStep, "_read", lambda step, *args: (
        rows.slice(n, 1) for rows in read(step, *args) for n in range(max(1, rows.num_rows))))
    small.deliver("customers_2.csv", CUSTOMERS, *(f"N{n},Ann,A,no mail {n},,,,," for n in range(5)))
    [warning] = said(run(), "e-mail")
    assert re.findall(r"line (\d), customer_id 'N(\d)'", warning) == [("2", "0"), ("3", "1"), ("4", "2")]


def test_a_subtotal_among_the_orders_is_no_guest_s_order_and_is_named(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, *GOOD[:2], "Subtotal,,2025-03-31,,2.00,", *GOOD[2:4],
                  "Subtotal,,2025-03-31,,2.00,", *GOOD[4:6])
    result = run()
    assert said(result, "guest") == []
    [warning] = said(result, "total_row")
    assert re.match(r"orders_2\.csv: 2 set aside by total_row, such as line 4, .*Subtotal.*a total, no row",
                    warning)
    assert small.query("gold", "select orders, total_sales from sales_summary_daily "
                               "where order_date like '2025-03%'") == [(6, 6.0)]
    assert small.query("raw", "select source_row, rule from quarantine order by 1") == [
        (4, "total_row"), (7, "total_row")]


def test_the_rest_is_offered_only_where_there_is_one(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "B1,C1", "B2,C1", ORDERS, "B3,C1", "Total,,,,3.00,")
    message = refused(run)
    assert message.startswith("orders_2.csv: 3 of 3 rows cannot be loaded") and "--quarantine" not in message
    small.deliver("orders_2.csv", ORDERS, "B1,C1", "B2,C1", ORDERS, "B3,C1,2025-01-01,,3.00,placed")
    assert "raise --quarantine-limit to load the other rows" in refused(run)


def test_of_a_file_that_raw_has_read_nobody_is_told_to_move_it(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "A1,C1,x,,1.00,", "A2,C1,x,,1.00,", "A3,C1,2025-01-01,,1.00,placed")
    message = refused(run)
    assert "orders_2.csv: 2 of 3 rows" in message and "moving it away does not help" in message
    assert "raise --quarantine-limit to load the other rows" in message
    small.deliver("orders_3.csv", ORDERS, *(f"B{n},C1,x,,1.00," for n in range(3)))
    message = refused(run, quarantine_limit=0.7)
    assert "orders_3.csv: 3 of 3 rows" in message and "load the other" not in message
    assert "raise --quarantine-limit to set them aside and go on" in message


def test_a_bad_file_may_be_moved_out_and_what_that_does_is_said(small: Shop, run):
    for name in ("customers", "orders", "payments"):
        small.deliver(f"{name}_2.csv", "a,b", "1,2")
    message = refused(run)
    assert [name in message for name in ("customers_2.csv", "orders_2.csv", "payments_2.csv")] == [True] * 3
    assert message.endswith("Nothing was written: there is no other new file. Every run tries these again "
                            "until they are corrected or moved out of the source folder.")
    small.deliver("payments_3.csv", PAYMENTS, "Y2,O2,2025-01-02,card,SUCCESS,10.00")
    message = refused(run, all_or_nothing=True)
    assert "because of --all-or-nothing. To let the other files through, move these" in message
    assert re.match("3 of 4 deliveries could not be loaded.* move them out of the source", refused(run))


def test_a_new_value_of_a_category_is_named_with_its_line(small: Shop, run):
    small.deliver("customers_2.csv", CUSTOMERS, "C3,Ann,A,,,,,,VIP", "C4,Ann,A,,,,,,gold",
                  "C5,Ann,A,,,,,,GOLD ")
    assert said(run(), "never seen") == [
        "customers_2.csv: segment has values never seen before: 'GOLD' (line 3)"]


def test_a_column_that_is_not_in_the_contract_is_quoted_as_delivered(small: Shop, run):
    small.deliver("customers_2.csv", f"{CUSTOMERS},Gift Card", "C3,Ann,A,,,,,,vip,x")
    assert said(run(), "contract") == [
        "customers_2.csv: column Gift Card is new, and not in the contract; kept in raw only, as gift_card"]


@pytest.mark.parametrize("text", ["20260101", "2026-01-01 09:15:00+00", "2026-01-01T09:15:00,123Z"])
def test_a_date_that_is_read_is_not_reported(small: Shop, run, text: str):
    small.deliver("orders_2.csv", ORDERS, f'D1,C1,"{text}",,1.00,placed')
    assert run().warnings() == []
