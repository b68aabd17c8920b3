"""What messages name about input that cannot be used and rules that cannot be followed."""

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

from lib.contract import Column, Source
from lib.errors import PipelineError, UsageError, first_line
from lib.ingest import header, reader
from lib.ingest.deliveries import check_source, find_deliveries, list_files
from lib.step.base import Count
from lib.step.gate import Gate
from lib.storage.layer import open_layer


def names(*words: str) -> str:
    """Return an expression for a message that names these words in this order, the first at its beginning."""
    return "(?s)^" + ".*".join(map(re.escape, words))


def refused(shop: Shop, monkeypatch, *words: str, **options) -> None:
    with pytest.raises(AssertionError, match=names(*words)):
        in_process.run(shop, monkeypatch, **options)


def test_of_an_error_its_first_line_or_its_kind_when_it_says_nothing():
    assert first_line(OSError("cannot be reached\n  at a line of Java")) == "cannot be reached"
    assert first_line(TimeoutError()) == "TimeoutError"


def test_a_source_folder_that_is_not_there(tmp_path: Path):
    with pytest.raises(UsageError, match=names("there is no source folder", f"{tmp_path}/in", "--source")):
        list_files(tmp_path / "in")


def test_a_source_folder_without_a_delivery(tmp_path: Path):
    with pytest.raises(UsageError,
                       match=names("source folder", str(tmp_path), "customers.csv", "products.csv",
                                               "orders.csv", "order_lines.csv", "payments.csv", "--source")):
        check_source(tmp_path)


def test_a_link_that_leads_nowhere(tmp_path: Path):
    (tmp_path / "orders.csv").symlink_to(tmp_path / "gone.csv")
    [found] = find_deliveries(tmp_path, [])
    assert (found.is_to_read, found.note) == (True, "cannot be read (No such file or directory)")


def test_a_pipe_is_no_delivery(tmp_path: Path):
    (tmp_path / "orders").mkdir()
    os.mkfifo(tmp_path / "orders" / "1.csv")
    assert list_files(tmp_path) == []


def test_a_line_without_an_end(tmp_path: Path):
    path = tmp_path / "orders.csv"
    path.write_bytes(b"order_id\n1\n" + b"x" * 3_000_000)
    found = header.read_header(path, Source("orders", (Column("order_id", "text"),)))
    with pytest.raises(PipelineError, match=names(str(path), "line 3", "128 kB", "CSV")):
        list(reader.read_batches(path, found, block_bytes=1_000_000))


def test_a_file_that_is_no_longer_what_it_was(tmp_path: Path):
    path = tmp_path / "orders.csv"
    path.write_bytes("order_id\né\n".encode())
    found = header.read_header(path, Source("orders", (Column("order_id", "text"),)))
    path.write_bytes("order_id\né\n".encode("cp1252"))
    with pytest.raises(PipelineError, match=names(str(path), "changed while it was read", "again")):
        list(reader.read_batches(path, found))


def test_a_delivery_that_grows_while_it_is_read(tmp_path: Path, monkeypatch):
    shop = Shop(tmp_path)
    path = shop.deliver("orders.csv", ORDERS, "O1,C1,2025-01-01,,1.00,")

    def read_and_append(*arguments: object, **more: object) -> header.Header:
        found = header.read_header(*arguments, **more)
        path.write_bytes(path.read_bytes() + b"O2,C1,2025-01-01,,1.00,\n")
        return found

    monkeypatch.setattr("lib.ingest.declared.read_header", read_and_append)
    refused(shop, monkeypatch, "orders.csv", "changed while it was read", "run again")


def test_an_extra_column_with_a_name_of_the_raw_layer(tmp_path: Path, monkeypatch):
    shop = Shop(tmp_path)
    shop.deliver("orders.csv", f"{ORDERS},Row ID,batch_id", "O1,C1,2025-01-01,,1.00,,1,2")
    refused(shop, monkeypatch, "orders.csv", "batch_id, row_id", "raw layer", "Rename")


def test_a_snapshot_that_would_delete_too_much(small: Shop, monkeypatch):
    small.deliver("orders_2.csv", ORDERS, "O1,C1,2025-01-01,,14.00,placed")
    refused(small, monkeypatch, "orders_2.csv", "1 of 2 orders", "20%", "--snapshot-limit",
            snapshot=("orders",))


def test_rows_that_do_not_add_up():
    with pytest.raises(PipelineError,
                       match=names("orders", "3 rows", "added=1", "quarantined=1", "report it")):
        Count(read=3, added=1, quarantined=1).verify("orders")


def test_a_layer_that_is_gone(tmp_path: Path):
    message = names("raw.db", str(tmp_path), "--full-refresh")
    with pytest.raises(PipelineError, match=message), open_layer(tmp_path, "raw"):
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


def check_a_customer(folder: Path) -> None:
    customer = pd.DataFrame({"customer_id": ["C1"], "email": ["a@b.c"]})
    Gate(folder / "run", "b").check("dim_customers", customer, lambda rows: [])


def test_rows_that_stop_a_step(small: Shop, monkeypatch, edit):
    edit("fact_order_lines", "unit_price", "fail")
    small.deliver("order_lines_2.csv", LINES, "L8,O1,P1,1,-2.00,", "L9,O1,P1,1,,")
    refused(small, monkeypatch,
            "gate fact_order_lines", "not_be_null(unit_price)", "1 of 2 rows", "price has no value",
            "order_lines_2.csv, line 3", '"order_line_id":"L9"', '"unit_price":null',
            "gate fact_order_lines", "be_between(unit_price)", "1 of 2 rows", "-2.0", "price is not negative",
            "order_lines_2.csv, line 2", '"order_line_id":"L8"', '"unit_price":"-2.00"')


def test_a_value_that_cannot_be_read_is_not_reported_as_missing_too(small: Shop, monkeypatch, edit):
    edit("fact_orders", "order_date", "warn")
    small.deliver("orders_2.csv", ORDERS, "O3,C1,31.12.2025,,11.00,placed")
    warnings = [line for line in in_process.run(small, monkeypatch).warnings() if "order_date" in line]
    assert [re.search(r"null\((\w+)\)", line)[1] for line in warnings] == ["order_date_unreadable"]


def test_a_gate_of_gold_that_asks_for_a_quarantine(small: Shop, monkeypatch, edit):
    edit("sales_summary_daily", "orders", "quarantine", max_value=1)
    small.deliver("orders_2.csv", ORDERS, "O3,C1,2025-01-03,,11.00,", "O4,C1,2025-01-03,,11.00,")
    refused(small, monkeypatch, "gate sales_summary_daily", "be_between(orders)", "quarantine",
            "on_failure", "fail", "warn", "gx/expectations/sales_summary_daily.json")


def test_an_expectation_that_means_nothing(tmp_path: Path, edit):
    edit("dim_customers", "email", "ignore")
    with pytest.raises(PipelineError, match=names(
            "gx/expectations/dim_customers.json", "match_regex(email)", "'ignore'",
            "fail, quarantine, warn")):
        check_a_customer(tmp_path)


def test_an_expectation_that_cannot_be_evaluated(tmp_path: Path, edit):
    edit("dim_customers", "email", column="e-mail")
    with pytest.raises(PipelineError, match=names(
            "gate dim_customers", "match_regex(e-mail)", 'column "e-mail"',
            "gx/expectations/dim_customers.json")):
        check_a_customer(tmp_path)
