"""The gates: what is in each suite, what a failing row means, and that a failed step writes nothing."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from conftest import CUSTOMERS, LINES, ORDERS, PRODUCTS, PROJECT, Shop
from warm_runs import WarmRuns

from lib.contract import SOURCES
from lib.step.suites import ON_FAILURE

SUITES = sorted((PROJECT / "gx" / "expectations").glob("*.json"))


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_expectation_says_why_it_is_there_and_what_a_failing_row_means(path: Path):
    suite = json.loads(path.read_text(encoding="utf-8"))
    assert suite["expectations"]
    for expectation in suite["expectations"]:
        assert expectation["notes"].endswith("."), expectation
        assert expectation["meta"]["on_failure"] in ON_FAILURE, expectation


def test_there_is_a_suite_per_table_and_source_and_one_that_reconciles(loaded: Shop):
    tables = {name for layer in ("curated", "gold") for (name,) in loaded.query(
        layer,
        "select name from sqlite_schema where type = 'table' and name not in ('layer_commits', 'quarantine', "
        "'balances', 'checksums')")}
    sources = {f"raw_{name}" for name in SOURCES}
    assert {path.stem for path in SUITES} == tables | sources | {"orphans", "reconciliation"}


def checkout_with(folder: Path, suite: str, column: str, on_failure: str, **limits) -> Path:
    """Return a copy of the project in which the suite's expectations on a column mean something else."""
    checkout = folder / "project"
    shutil.copytree(PROJECT, checkout,
                    ignore=shutil.ignore_patterns(".git", ".venv", "reports", "warehouse", "tests"))
    path = checkout / "gx" / "expectations" / f"{suite}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for expectation in content["expectations"]:
        if column in expectation["kwargs"].values():
            expectation["meta"]["on_failure"] = on_failure
            if "min_value" in expectation["kwargs"]:
                expectation["kwargs"].update(limits)
    path.write_text(json.dumps(content), encoding="utf-8")
    return checkout


def run_in(checkout: Path, shop: Shop) -> subprocess.CompletedProcess:
    command = shop.command()
    return subprocess.run([sys.executable, str(checkout / "run_pipeline.py"), *command[2:]],
                          capture_output=True, text=True)


BAD = [
    ("raw", "raw_customers", "customer_id", "customers_2.csv",
     [CUSTOMERS, ",Eve,,,,,,,"], "raw.customers"),
    ("dimensions", "dim_products", "unit_price_unreadable", "products_2.csv",
     [PRODUCTS, 'P9,Thing,,,,"1,5",'],
     "curated.dim_products"),
    ("facts", "fact_order_lines", "quantity_unreadable", "order_lines_2.csv",
     ["order_line_id,order_id,product_id,quantity,unit_price,discount_amount",
      "L1,0000001,SKU-0001,two,1.00,"],
     "curated.fact_order_lines"),
]


@pytest.mark.parametrize(("step", "suite", "column", "name", "lines", "table"), BAD,
                         ids=[row[0] for row in BAD])
def test_a_row_that_fails_a_fail_rule_stops_the_run_and_leaves_the_layer_untouched(
        step, suite, column, name, lines, table, used: Shop, tmp_path: Path):
    checkout = checkout_with(tmp_path, suite, column, "fail")
    used.deliver(name, *lines)
    before = used.state()
    done = run_in(checkout, used)
    after = used.state()
    assert done.returncode == 1, done.stdout
    layer = table.partition(".")[0]
    assert {key: rows for key, rows in after.items() if key.startswith(layer)} == {
        key: rows for key, rows in before.items() if key.startswith(layer)}
    assert [row for row in after["audit.pipeline_watermark"] if row[0] == step] == [
        row for row in before["audit.pipeline_watermark"] if row[0] == step]
    log = used.query(
            "audit", "select process_name, status, error_message from pipeline_execution_log where "
                     "execution_id > 4")
    order = ["raw", "dimensions", "facts", "gold"]
    assert [row[1] for row in log] == [
        "SUCCESS"] * order.index(step) + ["FAILED"] + ["SKIPPED"] * (3 - order.index(step))
    message = log[order.index(step)][2]
    # The changed rule is applied to all of history, but in raw.
    checked = {"raw": "1", "dimensions": "101", "facts": "3,065"}[step]
    assert suite in message and column in message and f"on 1 of {checked} rows" in message
    assert done.stderr.startswith("error: gate ") and "Traceback" not in done.stderr
    run = max((used.reports / "runs").iterdir())
    assert (run / "data_docs" / "index.html").exists()
    assert "gate " in next(run.glob(f"*_{step}.html")).read_text(encoding="utf-8")


def test_a_gold_rule_that_fails_leaves_gold_as_it_was(used: Shop, tmp_path: Path, warm: WarmRuns):
    checkout = checkout_with(tmp_path, "sales_summary_daily", "orders", "fail", max_value=1)
    before = {key: rows for key, rows in used.state().items() if key.startswith("gold")}
    used.deliver("orders_2.csv", ORDERS, "N1,00001,2026-01-05,,5.00,", "N2,00001,2026-01-05,,6.00,")
    assert run_in(checkout, used).returncode == 1
    assert {key: rows for key, rows in used.state().items() if key.startswith("gold")} == before
    warm.run(used)  # with the rule as it is in the project, the next run does what is left
    assert used.query(
            "gold", "select total_sales from sales_summary_daily where order_date = '2026-01-05'") == [
                          (11.0,)]


def test_gold_that_does_not_reconcile_is_not_published(used: Shop, warm: WarmRuns):
    with closing(sqlite3.connect(used.warehouse / "gold.db")) as gold, gold:
        gold.execute(
            "update sales_summary_daily set total_sales = total_sales + 0.01 where order_date = '2025-11-01'")
    used.deliver("orders_2.csv", ORDERS, "N1,00001,2025-11-01,,11.00,")
    done = warm.run(used, expect=1)
    assert re.search(r"gate reconciliation: \w+\(gold, curated\) failed on 1 of", done.stderr)
    assert used.query("gold", "select count(*) from sales_summary_daily") == [(60,)]


def test_a_row_that_is_quarantined_is_kept_with_its_text_file_line_and_reason_and_the_rest_is_loaded(
        used: Shop, warm: WarmRuns):
    used.deliver("order_lines_2.csv", LINES,
                 "L1,0000001,SKU-0001,1,2.50,", 'L2,0000001,SKU-0001,"1,5",2.50,',
                 "L3,0000001,SKU-0001,1,2.5050001,")
    done = warm.run(used, "--quarantine-limit", "1")
    rows = used.query(
            "curated", "select record_key, source_filename, source_row, rule, raw_text, resolved_batch_id "
                       "from quarantine order by record_key")
    assert [row[:4] for row in rows] == [
        ("L2", "order_lines_2.csv", 3, "expect_column_values_to_be_null(quantity_unreadable)"),
        ("L3", "order_lines_2.csv", 4, "expect_column_values_to_be_null(unit_price_unreadable)")]
    assert json.loads(rows[0][4])["quantity"] == "1,5"
    assert used.query("curated",
                      "select order_line_id from fact_order_lines where order_line_id like 'L%'") == [("L1",)]
    assert re.search(r"fact_order_lines: 1 of 3 rows, such as '1,5', which looks like a decimal comma.* "
                     r"\(order_lines_2\.csv, line \d, .*\): .*quantity_unreadable", done.stdout)
    used.deliver("order_lines_3.csv", LINES,
                 "L2,0000001,SKU-0001,1.5,2.50,")
    warm.run(used)
    assert [row[0] is not None for row in used.query(
        "curated", "select resolved_batch_id from quarantine order by record_key")] == [True, False]


def test_editing_the_suite_to_warn_loads_the_row_and_says_so(used: Shop, tmp_path: Path):
    checkout = checkout_with(tmp_path, "fact_order_lines", "product_id", "warn")
    used.deliver("order_lines_2.csv", LINES, "N1,0000001,,2,1.50,")
    done = run_in(checkout, used)
    assert done.returncode == 0, done.stderr
    assert re.search("warning: fact_order_lines: 1 of .*names no product", done.stdout)
    assert used.query("gold", "select product_id, net_amount, is_sale from reporting_sales_wide "
                              "where order_line_id = 'N1'") == [(None, 3.0, 1)]
