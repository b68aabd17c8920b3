"""What the README promises of every run, each in one test that says so in its name."""

import json
import re

import pytest
from conftest import CUSTOMERS, LINES, ORDERS, Shop

from lib.errors import PipelineError
from lib.step.base import Step
from lib.step.writer import Writer
from lib.steps import STEPS


def test_raw_keeps_every_row_as_it_was_delivered(small: Shop, run):
    line = ' O1 ,"C1",2025-01-01T01:00+02:00, Web ,€ 14,pLaced,"a, b"'
    small.deliver("orders_2.csv", f"{ORDERS},Note", line)
    small.deliver("orders_3.csv", ORDERS, "O1,C1,2025-01-01,,15.00,")
    run(quarantine_limit=1.0)
    columns = "order_id, customer_id, order_date, channel, total_amount, status, note"
    assert small.query("raw", f"select {columns}, source_filename, source_row from orders "
                              "where order_id like '%O1%' order by row_id") == [
        ("O1", "C1", "2025-01-01", None, "14.00", "placed", None, "orders.csv", 2),
        (" O1 ", "C1", "2025-01-01T01:00+02:00", " Web ", "€ 14", "pLaced", "a, b", "orders_2.csv", 2),
        ("O1", "C1", "2025-01-01", None, "15.00", None, None, "orders_3.csv", 2)]


def test_curated_has_one_clean_row_per_key_the_latest(small: Shop, run):
    small.deliver("customers_2.csv", CUSTOMERS, " C1 ,ANN,O'HARA, Ann@EXAMPLE.com,,BATH,,uk,vip")
    small.deliver("customers_3.csv", CUSTOMERS, "C1,ANNA,O'HARA, Ann@EXAMPLE.com,,BATH,,uk,vip")
    run()
    assert small.query("curated", "select customer_id, first_name, last_name, email, city, country, segment "
                                  "from dim_customers where customer_id like '%C1%'") == [
        ("C1", "Anna", "O'Hara", "ann@example.com", "Bath", "UK", "VIP")]


def test_great_expectations_checks_the_rows_before_every_write(small: Shop, run, monkeypatch):
    checked, written = {}, {}
    check, write = Step.check, Writer.write

    def note_check(step, suite, rows):
        passed = check(step, suite, rows)
        checked[suite] = checked.get(suite, 0) + len(passed)
        return passed

    def note_write(writer, table, rows, key, **how):
        written[table] = written.get(table, 0) + rows.num_rows
        assert written[table] <= checked.get(table, 0), table
        return write(writer, table, rows, key, **how)

    monkeypatch.setattr(Step, "check", note_check)
    monkeypatch.setattr(Writer, "write", note_write)
    small.deliver("customers_2.csv", CUSTOMERS, "C1,Anna,A,,,,,,vip")
    small.deliver("order_lines_2.csv", LINES, "L1,O1,P1,2,3.00,", "L9,O1,P1,x,3.00,")
    run(full_refresh=True, quarantine_limit=1.0)
    curated_and_gold = {table for name, step in STEPS.items() if name != "raw" for table in step.outputs}
    assert written.keys() == curated_and_gold
    assert checked.keys() >= {"raw_customers", "raw_order_lines", "reconciliation", *curated_and_gold}


def test_a_bad_row_is_set_aside_with_its_file_line_and_reason(small: Shop, run):
    small.deliver("order_lines_2.csv", LINES, "L8,O1,P1,1,3.00,", "L9,O1,P1,x,3.00,", "no row")
    run(quarantine_limit=1.0)
    aside = "select source_filename, source_row, record_key, reason from quarantine"
    [(*place, reason)] = small.query("curated", aside)
    assert place == ["order_lines_2.csv", 3, "L9"] and reason.startswith("quantity must be a number")
    [(*place, reason)] = small.query("raw", aside)
    assert place == ["order_lines_2.csv", 4, None] and reason


def test_a_run_reads_only_what_is_new(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O3,C1,2025-01-03,,1.00,placed")
    processed = {step.name: step.record["rows_processed"] for step in run().steps if step.record}
    assert processed["raw"] == processed["facts"] == 1
    assert "dimensions" not in processed
    read = dict(small.query("gold", "select order_date, batch_id from sales_summary_daily"))
    assert read["2025-01-03"] != read["2025-01-01"] == read["2025-01-02"]


def test_run_again_and_every_step_has_nothing_new(small: Shop, run):
    before = small.state()
    result = run()
    assert result.verdict == "nothing new"
    after = small.state()
    assert {name: rows for name, rows in after.items() if not name.startswith("audit.")} == {
        name: rows for name, rows in before.items() if not name.startswith("audit.")}
    assert after["audit.pipeline_watermark"] == before["audit.pipeline_watermark"]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_publishes_all_of_its_work_or_nothing(small: Shop, run, step: str, monkeypatch):
    small.deliver("customers_2.csv", CUSTOMERS, "C1,Anna,A,,,,,,vip")
    small.deliver("orders_2.csv", ORDERS, "O3,C1,2025-01-03,,1.00,placed")
    run(steps=tuple(STEPS)[:tuple(STEPS).index(step)])
    before, flush = small.state(), Step.publish

    def fail(one):
        if one.spec.name == step:
            one.output.flush()  # everything is written and nothing is committed
            raise PipelineError("the disk is full")
        return flush(one)

    monkeypatch.setattr(Step, "publish", fail)
    with pytest.raises(AssertionError, match="the disk is full"):
        run()
    layer = STEPS[step].writes
    after = small.state()
    assert {name: rows for name, rows in after.items() if name.startswith(f"{layer}.")} == {
        name: rows for name, rows in before.items() if name.startswith(f"{layer}.")}
    assert not [mark for mark in after["audit.pipeline_watermark"]
                if mark[0] == step and mark not in before["audit.pipeline_watermark"]]
    monkeypatch.setattr(Step, "publish", flush)
    run()
    assert small.query("gold", "select customer_id, first_name, orders from reporting_customer_stats "
                               "order by 1") == [("C1", "Anna", 2), ("C2", "Bob", 1)]


def test_a_header_that_lacks_a_column_stops_the_run_and_names_file_line_and_closest_column(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS.replace("order_date", "order_dat"), "O3,C1,2025-01-03,,1.00,placed")
    before = small.state()
    with pytest.raises(AssertionError) as refused:
        run()
    assert re.match(r".*orders_2\.csv, line 1: .*'order_date' \(nearest: 'order_dat'\)", str(refused.value))
    assert small.state()["raw.orders"] == before["raw.orders"]


def test_columns_may_come_in_any_order_and_be_more_or_missing_where_they_may_be_empty(small: Shop, run):
    small.deliver("orders_2.csv", "note,status,order_date,order_id,total_amount,customer_id",
                  "a,placed,2025-01-03,O3,1.00,C1")
    run()
    assert small.query("curated", "select order_id, customer_id, order_date, channel, total_amount, status "
                                  "from fact_orders where order_id = 'O3'") == [
        ("O3", "C1", "2025-01-03", None, 1.0, "PLACED")]


@pytest.mark.parametrize(("date", "total"), [("03.01.2025", "1.50"), ("2025-01-03", "1,50"),
                                             ("2025-01-03", "1.50 €"), ("01/03/2025", "1.50")])
def test_the_pipeline_does_not_translate_other_formats(small: Shop, run, date: str, total: str):
    small.deliver("orders_2.csv", ORDERS, f'O3,C1,{date},,"{total}",placed')
    run()
    assert small.query("curated", "select count(*) from fact_orders where order_id = 'O3'") == [(0,)]
    [(text,)] = small.query("curated", "select raw_text from quarantine")
    assert json.loads(text)["order_date"] == date and json.loads(text)["total_amount"] == total
