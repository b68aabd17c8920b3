"""What is said of input that cannot be used and of rules that cannot be followed, word for word, where no other test has it."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import in_process
import pandas as pd
import pytest
from conftest import LINES, ORDERS, PROJECT, Shop

from lib.errors import PipelineError, UsageError, first_line
from lib.ingest import reader
from lib.ingest.deliveries import check_source, find_deliveries, list_files
from lib.step.counts import Count
from lib.step.gate import Gate
from lib.storage.layer import open_layer


def exactly(*lines: str) -> str:
    return "^" + re.escape("\n".join(lines)) + "$"


def refused(shop: Shop, monkeypatch, message: str, **options) -> None:
    with pytest.raises(AssertionError, match=exactly(message)):
        in_process.run(shop, monkeypatch, **options)


def test_of_an_error_its_first_line_or_its_kind_when_it_says_nothing():
    assert first_line(OSError("cannot be reached\n  at a line of Java")) == "cannot be reached"
    assert first_line(TimeoutError()) == "TimeoutError"


def test_a_source_folder_that_is_not_there(tmp_path: Path):
    with pytest.raises(UsageError, match=rf"no source folder {re.escape(str(tmp_path))}/in\. .*--source"):
        list_files(tmp_path / "in")


def test_a_source_folder_without_a_delivery(tmp_path: Path):
    with pytest.raises(UsageError, match=(
            rf"{re.escape(str(tmp_path))} holds no delivery.* customers\.csv, .* and payments\.csv .*--source")):
        check_source(tmp_path)


def test_a_link_that_leads_nowhere(tmp_path: Path):
    (tmp_path / "orders.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(PipelineError, match=r"orders\.csv: .*No such file .*permissions and run again"):
        find_deliveries(tmp_path, [])


def test_a_pipe_is_no_delivery(tmp_path: Path):
    (tmp_path / "orders").mkdir()
    os.mkfifo(tmp_path / "orders" / "1.csv")
    assert list_files(tmp_path) == []


def test_a_line_without_an_end(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(reader, "MAX_LINE_BYTES", 1 << 20)
    path = tmp_path / "orders.csv"
    path.write_bytes(b"order_id\n1\n" + b"x" * 3_000_000)
    header = reader.read_header(path, ["order_id"], ["order_id"])
    with pytest.raises(PipelineError, match=r"orders\.csv: .*line 2 .*1 MB.* CSV.* deliver it again"):
        list(reader.read_batches(path, header, block_bytes=1_000_000))


def test_a_file_that_is_no_longer_what_it_was(tmp_path: Path):
    path = tmp_path / "orders.csv"
    path.write_bytes("order_id\né\n".encode())
    header = reader.read_header(path, ["order_id"], ["order_id"])
    path.write_bytes("order_id\né\n".encode("cp1252"))
    with pytest.raises(PipelineError, match=r"orders\.csv changed while it was read\. Run again"):
        list(reader.read_batches(path, header))


def test_a_delivery_that_grows_while_it_is_read(tmp_path: Path, monkeypatch):
    shop = Shop(tmp_path)
    path = shop.deliver("orders.csv", ORDERS, "O1,C1,2025-01-01,,1.00,")

    def read_and_append(*arguments: object) -> reader.Header:
        header = reader.read_header(*arguments)
        path.write_bytes(path.read_bytes() + b"O2,C1,2025-01-01,,1.00,\n")
        return header

    monkeypatch.setattr("lib.step.raw.read_header", read_and_append)
    refused(shop, monkeypatch, "orders.csv changed while it was read. Nothing was written; run again.")


def test_an_extra_column_with_a_name_of_the_raw_layer(tmp_path: Path, monkeypatch):
    shop = Shop(tmp_path)
    shop.deliver("orders.csv", f"{ORDERS},Row ID,batch_id", "O1,C1,2025-01-01,,1.00,,1,2")
    refused(shop, monkeypatch, "orders.csv: column batch_id, row_id is called like one of the raw layer's own. Rename it in the file.")


def test_a_snapshot_that_would_delete_too_much(small: Shop, monkeypatch):
    small.deliver("orders_2.csv", ORDERS, "O1,C1,2025-01-01,,14.00,placed")
    refused(small, monkeypatch, "orders_2.csv: as a snapshot it would delete 1 of 2 orders, more than 20%. Nothing was written. "
                                "If the file is complete, raise --snapshot-limit.", snapshot=("orders",))


def test_rows_that_do_not_add_up():
    with pytest.raises(PipelineError, match=exactly(
            "orders: 3 rows were read but Count(read=3, added=1, changed=0, unchanged=0, quarantined=1, duplicates=0, removed=0) does "
            "not add up. Nothing was written; this is a defect of the pipeline: report it with the run's folder.")):
        Count(read=3, added=1, quarantined=1).verify("orders")


def test_a_layer_that_is_gone(tmp_path: Path):
    with (pytest.raises(PipelineError, match=rf"raw\.db is missing in {re.escape(str(tmp_path))}.*--full-refresh"),
          open_layer(tmp_path, "raw")):
        pass


@pytest.fixture
def edit(tmp_path: Path, monkeypatch) -> Callable[..., None]:
    """Change the expectations on a column of a suite, in a copy of the suites that the gates then read."""
    shutil.copytree(PROJECT / "gx", tmp_path / "project" / "gx")
    monkeypatch.setattr("lib.step.gate.PROJECT", tmp_path / "project")

    def edit(suite: str, about: str, on_failure: str | None = None, **values: object) -> None:
        path = tmp_path / "project" / "gx" / "expectations" / f"{suite}.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        for expectation in content["expectations"]:
            if expectation["kwargs"].get("column") == about:
                expectation["kwargs"] |= values
                expectation["meta"]["on_failure"] = on_failure or expectation["meta"]["on_failure"]
        path.write_text(json.dumps(content), encoding="utf-8")

    return edit


def test_rows_that_stop_a_step(small: Shop, monkeypatch, edit):
    edit("fact_order_lines", "unit_price", "fail")
    small.deliver("order_lines_2.csv", LINES, "L8,O1,P1,1,-2.00,", "L9,O1,P1,1,,")
    refused(small, monkeypatch,
            "gate fact_order_lines: expect_column_values_to_not_be_null(unit_price) failed on 1 of 2 rows. "
            "A line without a price has no value.\n"
            '  order_lines_2.csv, line 3: {"order_line_id":"L9","order_id":"O1","product_id":"P1","quantity":"1","unit_price":null,'
            '"discount_amount":null}\n'
            "gate fact_order_lines: expect_column_values_to_be_between(unit_price) failed on 1 of 2 rows, such as -2.0. "
            "A price is not negative; a return has a negative quantity.\n"
            '  order_lines_2.csv, line 2: {"order_line_id":"L8","order_id":"O1","product_id":"P1","quantity":"1","unit_price":"-2.00",'
            '"discount_amount":null}')


def test_a_gate_of_gold_that_asks_for_a_quarantine(small: Shop, monkeypatch, edit):
    edit("sales_summary_daily", "total_sales", "quarantine", max_value=10)
    small.deliver("orders_2.csv", ORDERS, "O3,C1,2025-01-03,,11.00,")
    refused(small, monkeypatch,
            "gate sales_summary_daily: expect_column_values_to_be_between(total_sales) asks for a quarantine, which gold has not. "
            'Set its meta.on_failure to "fail" or "warn" in gx/expectations/sales_summary_daily.json.')


def test_an_expectation_that_means_nothing(tmp_path: Path, edit):
    edit("dim_customers", "email", "ignore")
    with pytest.raises(PipelineError, match=exactly(
            "gx/expectations/dim_customers.json: meta.on_failure of expect_column_values_to_match_regex(email) is 'ignore'. "
            "Set it to one of fail, quarantine, warn.")):
        Gate(tmp_path / "run", "b").check("dim_customers", pd.DataFrame({"customer_id": ["C1"], "email": ["a@b.c"]}), lambda rows: [])


def test_an_expectation_that_cannot_be_evaluated(tmp_path: Path, edit):
    edit("dim_customers", "email", column="e-mail")
    with pytest.raises(PipelineError, match=(
            r'^gate dim_customers: expect_column_values_to_match_regex\(e-mail\) could not be evaluated: '
            r'Error: The column "e-mail" in BatchData does not exist\..* '
            r"Correct gx/expectations/dim_customers\.json or the notebook's columns\.$")):
        Gate(tmp_path / "run", "b").check("dim_customers", pd.DataFrame({"customer_id": ["C1"], "email": ["a@b.c"]}), lambda rows: [])
