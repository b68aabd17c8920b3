"""The quarantine keeps what is set aside, a later good row resolves it, and too much stops the step."""

import json
import re

import pytest
from conftest import CUSTOMERS, LINES, ORDERS, PAYMENTS, PRODUCTS, Shop

from lib.storage.lookup import open_quarantine

GOOD = [f"G{n},C1,2025-03-01,,1.00,placed" for n in range(18)]


def refused(run, **options) -> str:
    """Return the error of a run that fails, for which the runner of the tests raises."""
    with pytest.raises(AssertionError) as error:
        run(**options)
    return str(error.value).partition("\nassert")[0]


def test_a_tenth_of_a_delivery_may_be_set_aside_and_more_of_it_stops_the_step(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, *GOOD, "B1,C1,2025-02-30,,1.00,", "B2,C1,01/02/2025,,1.00,")
    run()
    assert small.query("curated", "select count(*) from fact_orders where order_id like 'G%'") == [(18,)]
    small.deliver("orders_3.csv", ORDERS, *GOOD[:17], "B3,C1,2025-02-30,,1.00,", "B4,C1,,,1.00,",
                  "B5,C1,x,,1.00,")
    before = small.state()
    message = refused(run)
    assert re.match(r"orders_3\.csv: 3 of 20 rows cannot be loaded, more than 10%.*--quarantine-limit",
                    message)
    shown = zip(message.splitlines()[1:], ("null(order_date_unreadable)", "not_be_null(order_date)",
                                           "null(order_date_unreadable)"), strict=True)
    for line, (row, rule) in enumerate(shown, start=19):
        assert re.match(rf"  orders_3\.csv, line {line}: {{.*}}: .*order.*\(.*{re.escape(rule)}\)", row)
    assert '"order_id":"B3"' in message
    after = small.state()
    assert {name: rows for name, rows in after.items() if name.startswith("curated")} == {
        name: rows for name, rows in before.items() if name.startswith("curated")}
    run(quarantine_limit=0.15)
    assert small.query("curated", "select record_key from quarantine order by 1") == [
        ("B1",), ("B2",), ("B3",), ("B4",), ("B5",)]


def test_rows_that_share_a_key_but_differ_are_set_aside_with_the_line_that_counts(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, *GOOD, "R1,C1,2025-04-01,,1.00,", "R2,C1,2025-04-02,,2.00,",
                  " R1,C1,2025-04-01,,3.00,", "R1 ,C1,2025-04-01,,4.00,", "R2,C1, 2025-04-02 ,,2.00,")
    result = run()
    assert small.query("gold", "select order_date, total_sales from sales_summary_daily "
                               "where order_date like '2025-04%' order by 1") == [
                                   ("2025-04-01", 4.0), ("2025-04-02", 2.0)]
    assert small.query("raw", "select rows, appended, duplicates, quarantined from deliveries "
                              "where source_filename = 'orders_2.csv'") == [(23, 20, 1, 2)]
    aside = small.query("raw", "select source_row, record_key, rule, reason, raw_text from quarantine "
                               "order by 1")
    assert [row[:3] for row in aside] == [(20, "R1", "repeated_key"), (22, "R1", "repeated_key")]
    assert all("line 23" in reason for *_, reason, _ in aside)
    assert json.loads(aside[1][4])["order_id"] == " R1"
    [warning] = [line for line in result.warnings() if "order_id" in line]
    assert re.match(r"orders_2\.csv: .*differ.* 2\. Lines 20 and 23 .*'R1'.*quarantine", warning)
    [raw] = [step.record for step in result.steps if step.name == "raw"]
    [entry] = raw["quarantine"]
    assert (entry["rule"], entry["rows"], [row["source_row"] for row in entry["samples"]]) == (
        "repeated_key", 2, [20, 22])


def test_equal_rows_of_a_file_are_duplicates_and_no_news(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "R1,C1,2025-04-01,,1.00,", "R1 , C1,2025-04-01,,1.00 , ",
                  "R1,C1,2025-04-01,,1.00,")
    result = run()
    assert result.warnings() == []
    assert small.query("raw", "select rows, appended, duplicates, quarantined from deliveries "
                              "where source_filename = 'orders_2.csv'") == [(3, 1, 2, 0)]


@pytest.mark.parametrize("spaces", ["", " ", "\u00a0\t"])
def test_rows_without_a_key_are_no_repeats_of_each_other(small: Shop, run, spaces: str):
    rows = [f"{spaces},C1,2025-04-01,,{number}.00," for number in range(3)]
    small.deliver("orders_2.csv", ORDERS, *GOOD, *rows)
    run(quarantine_limit=0.2)
    assert small.query("raw", "select source_row, rule from quarantine order by 1") == [
        (line, "expect_column_values_to_not_be_null(order_id)") for line in (20, 21, 22)]
    assert small.query("curated", "select count(*) from fact_orders") == [(20,)]


def test_a_file_of_which_many_rows_share_a_key_stops_the_step_which_says_what_was_seen(small: Shop, run):
    lines = [f"{number % 8},O1,P1,{number},1.00," for number in range(5_000)]
    small.deliver("order_lines_2.csv", LINES, *lines)
    message = refused(run)
    assert re.match(r"order_lines_2\.csv: 4,992 of 5,000 rows share an order_line_id .*differ: is "
                    r"order_line_id unique in this file\? .*2 and 4994.*--quarantine-limit", message)
    assert "rounded" not in message
    result = run(quarantine_limit=1.0)
    assert small.query("curated", "select sum(quantity), count(*) from fact_order_lines "
                                  "where length(order_line_id) = 1") == [(8 * 4_992 + 28, 8)]
    [raw] = [step.record for step in result.steps if step.name == "raw"]
    [entry] = raw["quarantine"]
    assert (entry["rows"], len(entry["samples"])) == (4_992, 3)
    assert [entry[:2] + entry[3:] for entry in open_quarantine(small.warehouse, "raw")] == [
        ("order_lines", "repeated_key", 4_992)]


@pytest.mark.parametrize("key", ["6.79848E+12", "1e+15", "6,79848E+12"])
def test_ids_that_a_spreadsheet_rounded_are_named_as_such(small: Shop, run, key: str):
    small.deliver("orders_2.csv", ORDERS, *(f'"{key}",C1,2025-04-01,,{number}.00,' for number in range(20)))
    assert re.search(rf"orders_2\.csv: 19 of 20 rows .*{re.escape(repr(key))} .*spreadsheet rounded",
                     refused(run))
    small.deliver("orders_2.csv", ORDERS, f'"{key}",C1,2025-04-01,,1.00,', "1e3,C1,2025-04-01,,1.00,")
    small.deliver("payments_2.csv", PAYMENTS, f'Y8,"{key}",,card,SUCCESS,3.00', 'Y9,O1,,card,SUCCESS,3.00')
    said = [line for line in run().warnings() if "rounded" in line]
    assert [re.match(rf"(\w+\.csv): (\w+) .* 1 rows, such as {re.escape(repr(key))} "
                      r"\(line 2\)", line).groups()
            for line in said] == [("orders_2.csv", "order_id"), ("payments_2.csv", "order_id")]


def test_a_snapshot_with_repeated_keys_deletes_what_is_missing(small: Shop, run):
    small.deliver("orders_all.csv", ORDERS, "O1,C1,2025-01-01,,13.00,placed",
                  " O1,C1,2025-01-01,,14.00,placed")
    run(snapshot=("orders",), snapshot_limit=0.5)
    assert small.query("gold", "select order_date, total_sales from sales_summary_daily") == [
        ("2025-01-01", 14.0)]
    assert small.counts("raw", "quarantine") == [1]


def test_one_bad_row_never_stops_a_delivery_however_small(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "B1,C1,2025-02-30,,1.00,")
    assert run().verdict == "success"
    assert small.counts("curated", "quarantine") == [1]


def test_a_delivery_whose_lines_are_no_rows_stops_the_raw_step(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, *GOOD, "B1,C1", "B2,C1", "B3,C1")
    message = refused(run)
    assert message.startswith("orders_2.csv: 3 of 21 rows cannot be loaded, more than 10%")
    assert [f"  orders_2.csv, line {number}: B{number - 19},C1: " in message for number in (20, 21, 22)] == [
        True] * 3
    assert small.counts("raw", "orders", "quarantine") == [2, 0]


def test_a_corrected_delivery_takes_the_step_that_was_stopped_on(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "B1,C1,2025-02-30,,1.00,", "B2,C1,2025-02-30,,2.00,")
    refused(run)
    small.deliver("orders_2.csv", ORDERS, "B1,C1,2025-02-28,,1.00,", "B2,C1,2025-02-28,,2.00,")
    assert run().verdict == "success"
    assert small.query(
            "gold", "select total_sales from sales_summary_daily where order_date = '2025-02-28'") == [
                           (3.0,)]
    assert small.query("curated", "select count(*) from quarantine where resolved_batch_id is null") == [(0,)]


def test_the_record_shows_the_first_rows_of_each_rule_with_file_line_and_text(small: Shop, run):
    lines = [f"B{n},O1,P1,{n}x,1.00," for n in range(5)]
    small.deliver("order_lines_2.csv", LINES, *lines, "C1,O1,P1,1,-1.00,")
    [facts] = [step.record for step in run(quarantine_limit=1.0).steps if step.name == "facts"]
    unreadable, negative = facts["quarantine"]
    assert (unreadable["table"], unreadable["rule"], unreadable["rows"]) == (
        "fact_order_lines", "expect_column_values_to_be_null(quantity_unreadable)", 5)
    assert [(row["source_filename"], row["source_row"], json.loads(row["raw_text"])["quantity"])
            for row in unreadable["samples"]] == [("order_lines_2.csv", n + 2, f"{n}x") for n in range(3)]
    assert (negative["rows"], negative["reason"]) == (
        1, "A price is not negative; a return has a negative quantity.")
    assert facts["rows_quarantined"] == facts["tables"]["fact_order_lines"]["quarantined"] == 6


def test_orphans_are_loaded_counted_and_healed(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O8,C9,2025-01-08,,5.00,")
    small.deliver("order_lines_2.csv", LINES, "L8,O9,P1,1,2.00,", "L9,O8,P9,1,2.00,")
    small.deliver("payments_2.csv", PAYMENTS, "Y8,O9,,card,SUCCESS,3.00")
    said = [warning for warning in run().warnings() if warning.startswith("orphans")]
    assert [re.match("orphans: (1 row, such as '..'): .*whose (.*) has not arrived", line).groups()
            for line in said] == [
        ("1 row, such as 'L8'", "order"), ("1 row, such as 'L9'", "product"),
        ("1 row, such as 'O8'", "customer"), ("1 row, such as 'Y8'", "order")]
    assert small.query("gold", "select order_line_id, order_date, product_name from reporting_sales_wide "
                               "where order_line_id in ('L8', 'L9') order by 1") == [
                                   ("L8", None, "Cup"), ("L9", "2025-01-08", None)]
    small.deliver("customers_2.csv", CUSTOMERS, "C9,Zed,Z,,,,,,")
    small.deliver("products_2.csv", PRODUCTS, "P9,Pot,,,,1.00,")
    small.deliver("orders_3.csv", ORDERS, "O9,C9,2025-01-09,,2.00,")
    assert [warning for warning in run().warnings() if warning.startswith("orphans")] == []
    assert small.query(
            "gold", "select order_line_id, order_date, product_name, first_name, order_paid_amount "
                    "from reporting_sales_wide where order_line_id in ('L8', 'L9') order by 1") == [
        ("L8", "2025-01-09", "Cup", "Zed", 3.0), ("L9", "2025-01-08", "Pot", "Zed", 0.0)]


def test_a_moment_with_an_offset_is_converted_to_utc_and_said(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "Z1,C1,2025-01-08T01:30:00+02:00,,5.00,",
                  "Z2,C1,2025-01-08T01:30:00Z,,5.00,",
                  "Z3,C1,2025-01-08 01:30:00+00:00,,5.00,")
    [warning] = run().warnings()
    assert small.query(
            "curated", "select order_id, order_date, order_timestamp from fact_orders where order_id like "
                       "'Z%'") == [
        ("Z1", "2025-01-07", "2025-01-07 23:30:00"), ("Z2", "2025-01-08", "2025-01-08 01:30:00"),
        ("Z3", "2025-01-08", "2025-01-08 01:30:00")]
    assert re.match(r"fact_orders: 1 of 3 rows, such as '2025-01-08T01:30:00\+02:00'.*order_date_zoned",
                    warning)


def test_an_amount_that_gold_could_not_add_exactly_is_set_aside(small: Shop, run):
    small.deliver("order_lines_2.csv", LINES, "B1,O1,P1,999999999999,999999999999.99,",
                  "B2,O1,P1,1000000,1000000.00,")
    run()
    assert small.query("curated", "select record_key, rule from quarantine") == [
        ("B1", "expect_column_values_to_be_between(gross_amount)")]
    assert small.query("gold", "select net_amount from reporting_sales_wide where order_line_id = 'B2'") == [
        (1_000_000_000_000.0,)]


def test_a_value_of_many_characters_is_shown_by_its_beginning(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, f"O1,C1,2025-01-01,,14.00,{'x' * 100_000}",
                  f"O5,C1,{'y' * 100_000},,14.00,")
    result = run()
    assert max(map(len, result.warnings())) < 500
    assert small.query("curated", "select length(status) from fact_orders where order_id = 'O1'") == [
        (100_000,)]
    [entry] = [entry for step in result.steps if step.record for entry in step.record["quarantine"]]
    assert len(entry["samples"][0]["raw_text"]) == 300


def test_an_extra_column_may_be_called_like_a_name_used_inside(small: Shop, run):
    header = ORDERS + ",by_file,said,incoming"
    for number in (1, 2, 2):
        small.deliver(f"orders_{number}.csv", header, f"O1,C1,2025-01-01,,14.00,placed,a{number},b,c",
                      "O7,C1,2025-01-01,,1.00,placed,a,b,c")
        run()
    assert small.query(
            "raw", "select by_file, said, incoming from orders where order_id = 'O1' and by_file is not "
                   "null") == [
        ("a1", "b", "c"), ("a2", "b", "c")]
