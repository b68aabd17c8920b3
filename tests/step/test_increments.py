"""Day 2 and every day after: what counts as new, what changes with it, and what is left for the next run."""

import gzip
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import duckdb
import in_process
import pandas as pd
import pyarrow as pa
import pytest
from conftest import CUSTOMERS, LINES, ORDERS, PAYMENTS, PRODUCTS, PROJECT, Shop
from hypothesis import given
from hypothesis import strategies as st

import lib.ingest.deliveries
from lib.clock import FORMAT, later_than
from lib.contract import SOURCES
from lib.ingest.deliveries import has_new_name
from lib.step.frames import trim
from lib.step.parse import read_columns
from lib.step.query_ranges import MOST_RANGES, MOST_SCATTERED, find_ranges
from lib.step.working_database import within_memory, working_database
from lib.storage import audit
from lib.storage.layer import open_layer
from lib.storage.lookup import KnownDelivery
from lib.storage.sql import trimmed


def days(shop: Shop) -> dict[str, float]:
    return dict(shop.query("gold", "select order_date, total_sales from sales_summary_daily"))


def customers(shop: Shop) -> dict[str, tuple]:
    return {key: rest for key,
            *rest in shop.query(
                    "gold", "select customer_id, orders, lifetime_value from reporting_customer_stats")}


def test_an_order_that_moves_corrects_the_old_day_and_customer_too(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O1,C2,2025-01-03,,14.00,placed")
    run()
    assert days(small) == {"2025-01-02": 10.0, "2025-01-03": 14.0}
    assert customers(small) == {"C2": [2, 24.0]}
    assert small.query(
            "gold", "select distinct customer_id, order_date, first_name from reporting_sales_wide "
                    "where order_id = 'O1'") == [("C2", "2025-01-03", "Bob")]


def test_a_line_that_moves_to_another_order_corrects_both_days(small: Shop, run):
    small.deliver("order_lines_2.csv", LINES, "L2,O2,P2,1,10.00,")
    run()
    assert small.query("gold", "select order_date, net_sales from sales_summary_daily order by 1") == [
        ("2025-01-01", 4.0), ("2025-01-02", 20.0)]


def test_a_payment_that_moves_to_another_order_corrects_both(small: Shop, run):
    small.deliver("payments_2.csv", PAYMENTS, "Y1,O2,2025-01-01,card,SUCCESS,14.00")
    run()
    assert small.query(
            "gold", "select order_date, payments_received from sales_summary_daily order by 1") == [
        ("2025-01-01", 0.0), ("2025-01-02", 14.0)]
    assert small.query(
            "gold", "select order_line_id, order_paid_amount from reporting_sales_wide order by 1") == [
        ("L1", 0.0), ("L2", 0.0), ("L3", 14.0)]


def test_a_changed_customer_and_product_show_in_every_row_that_names_them(small: Shop, run):
    small.deliver("customers_2.csv", CUSTOMERS, "C1,Anna,A,,,,,,")
    small.deliver("products_2.csv", PRODUCTS, "P2,Wok,Kitchen,,,12.00,")
    run()
    assert small.query(
            "gold", "select order_line_id, first_name, segment, product_name, unit_price from "
                    "reporting_sales_wide "
                    "order by 1") == [
                                   ("L1", "Anna", None, "Cup", 2.0), ("L2", "Anna", None, "Wok", 10.0),
                                                 ("L3", "Bob", None, "Wok", 10.0)]
    assert small.query(
            "gold", "select first_name, segment from reporting_customer_stats where customer_id = 'C1'") == [
        ("Anna", None)]


def test_a_value_that_goes_there_and_back_ends_as_it_was(small: Shop, run):
    for status in ("shipped", "placed", "shipped", "placed"):
        small.deliver("orders.csv", ORDERS, f"O1,C1,2025-01-01,,14.00,{status}",
                      "O2,C2,2025-01-02,,10.00,placed")
        run()
        assert small.query("curated", "select status from fact_orders where order_id = 'O1'") == [
            (status.upper(),)]


def test_an_old_value_standing_unchanged_in_a_file_does_not_undo_a_newer_one_of_another_file(small: Shop,
                                                                                             run):
    small.deliver("orders_2.csv", ORDERS, "O1,C1,2025-01-01,,20.00,placed")
    run()
    small.deliver("orders.csv", ORDERS, "O1,C1,2025-01-01,,14.00,placed", "O2,C2,2025-01-02,,11.00,placed")
    run()
    assert days(small) == {"2025-01-01": 20.0, "2025-01-02": 11.0}


def test_what_a_file_only_confirmed_is_remembered_as_its_word(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O1,C1,2025-01-01,,14.00,placed")
    run()
    small.deliver("orders_3.csv", ORDERS, "O1,C1,2025-01-01,,20.00,placed")
    run()
    small.deliver("orders_2.csv", ORDERS, "O1,C1,2025-01-01,,14.00,placed", "O3,C1,2025-01-01,,1.00,placed")
    run()
    assert days(small) == {"2025-01-01": 21.0, "2025-01-02": 10.0}


def test_the_same_bytes_under_a_new_name_or_touched_are_skipped_and_said_so(small: Shop, run):
    shutil.copy(small.source / "orders.csv", small.source / "orders_again.csv")
    os.utime(small.source / "customers.csv")
    before = small.counts("raw", "orders", "deliveries")
    result = run()
    assert "orders_again.csv: same bytes as orders.csv" in result.warnings()
    assert {delivery["name"]: delivery["status"] for delivery in result.deliveries} == {
        "customers.csv": "known", "order_lines.csv": "known", "orders.csv": "known",
        "orders_again.csv": "copy",
        "payments.csv": "known", "products.csv": "known"}
    assert small.counts("raw", "orders", "deliveries") == before
    assert result.verdict == "nothing new"


def test_one_flat_export_is_a_delivery_of_each_source_that_it_is_named_after(tmp_path: Path, monkeypatch):
    shop = Shop(tmp_path)
    header = "order_id,customer_id,order_date,channel,total_amount,status," + LINES.replace("order_id,", "")
    order_1, order_2 = "O1,C1,2025-01-01,,14.00,placed", "O2,C2,2025-01-02,,10.00,placed"
    flat = [header, f"{order_1},L1,P1,2,2.00,", f"{order_1},L2,P2,1,10.00,", f"{order_2},L3,P2,1,10.00,"]
    for name in ("orders.csv", "order_lines.csv", "orders_copy.csv"):
        shop.deliver(name, *flat)
    result = in_process.run(shop, monkeypatch)
    assert {one["name"]: (one["status"], one["same_as"]) for one in result.deliveries} == {
        "order_lines.csv": ("new", ""), "orders.csv": ("new", ""), "orders_copy.csv": ("copy", "orders.csv")}
    assert shop.counts("curated", "fact_orders", "fact_order_lines", "quarantine") == [2, 3, 0]
    assert days(shop) == {"2025-01-01": 14.0, "2025-01-02": 10.0}
    assert shop.counts("raw", "quarantine") == [0]
    assert any(re.search(r"orders\.csv: .*not in the contract: 1\. Lines 2 and 3 .*'O1'", line)
               for line in result.warnings())
    assert in_process.run(shop, monkeypatch).verdict == "nothing new"


def test_a_file_copied_in_with_an_old_time_is_not_missed(small: Shop, run):
    os.utime(small.deliver("orders_0.csv", ORDERS, "O9,C1,2024-12-31,,1.00,"), (0, 0))
    run()
    assert days(small)["2024-12-31"] == 1.0


def test_folders_and_gzip_are_deliveries_and_the_later_name_wins(small: Shop, run):
    (small.source / "orders").mkdir()
    (small.source / "orders" / "2025-01-03.csv.gz").write_bytes(
        gzip.compress(f"{ORDERS}\nO3,C1,2025-01-03,,3.00,\n".encode()))
    small.deliver("orders/2025-01-04.csv", ORDERS, "O3,C1,2025-01-04,,4.00,")
    small.deliver("orders_2025.csv", ORDERS, "O3,C1,2025-01-05,,5.00,")
    run()
    assert days(small) == {"2025-01-01": 14.0, "2025-01-02": 10.0, "2025-01-05": 5.0}


def test_numbers_in_names_count_as_numbers(small: Shop, run):
    for name, total in (("orders_10", "10.00"), ("orders_9", "9.00"), ("orders (2)", "2.00"),
                        ("Orders_2", "3.00")):
        small.deliver(f"{name}.csv", ORDERS, f"O1,C1,2025-01-01,,{total},", f"{name},C1,2025-02-01,,{total},")
    result = run()
    assert days(small)["2025-01-01"] == 10.0
    assert small.query("raw", "select total_amount from orders where order_id = 'O1' order by row_id") == [
        ("14.00",), ("2.00",), ("3.00",), ("9.00",), ("10.00",)]
    assert any("orders (2).csv: read as orders" in line for line in result.warnings())


def disagreements(lines: list[str]) -> list[tuple[str, str]]:
    """Return the later and the earlier file of each warning about names that do not tell an order."""
    found = (re.match(r"(.*) and (.*) disagree about .*", line) for line in lines)
    return [match.groups() for match in found if match]


def test_files_that_disagree_are_reported_with_the_one_that_won_where_names_tell_no_order(small: Shop, run):
    rest = [f"N{number},C1,2025-01-09,,1.00," for number in range(3)]
    small.deliver("orders_01-02-2026.csv", ORDERS, "O1,C1,2025-01-01,,15.00,",
                  "O2,C2,2025-01-02,,10.00,placed", *rest)
    small.deliver("orders_12-31-2025.csv", ORDERS, " O1,C1,2025-01-01,,16.00,", "O2,C2,2025-01-02,,11.00,",
                  *rest)
    result = run()
    assert days(small) == {"2025-01-01": 16.0, "2025-01-02": 11.0, "2025-01-09": 3.0}
    [warning] = [line for line in result.warnings() if "disagree" in line]
    assert disagreements([warning]) == [("orders_12-31-2025.csv", "orders_01-02-2026.csv")]
    assert re.search(r"about 2 orders, such as 'O1'.* orders_12-31-2025\.csv .*counts.*2026-01-31", warning)
    assert disagreements(run().warnings()) == []
    small.deliver("orders_12-31-2025.csv", ORDERS, "O1,C1,2025-01-01,,17.00,")  # the only file of its run
    assert disagreements(run().warnings()) == [] and days(small)["2025-01-01"] == 17.0


def test_what_a_snapshot_deletes_is_a_disagreement_too(small: Shop, run):
    small.deliver("orders_a.csv", ORDERS, "O1,C1,2025-01-01,,14.00,placed", "O2,C2,2025-01-02,,10.00,placed",
                  "O3,C1,2025-01-03,,3.00,")
    small.deliver("orders_b.csv", ORDERS, "O2,C2,2025-01-02,,10.00,placed", "O1,C1,2025-01-01,,14.00,placed")
    assert disagreements(run(snapshot=("orders",), snapshot_limit=0.5).warnings()) == [
        ("orders_b.csv", "orders_a.csv")]
    assert days(small) == {"2025-01-01": 14.0, "2025-01-02": 10.0}


@pytest.mark.parametrize("names", [("orders_9", "orders_10"), ("orders_2025-12-31", "orders_2026-01-02"),
                                   ("orders", "orders (1)")])
def test_names_that_tell_an_order_are_no_news(small: Shop, run, names: tuple[str, str]):
    for total, name in zip(("15.00", "16.00"), names, strict=True):
        small.deliver(f"{name}.csv", ORDERS, f"O1,C1,2025-01-01,,{total},", "O2,C2,2025-01-02,,10.00,")
    assert disagreements(run().warnings()) == []
    assert days(small)["2025-01-01"] == 16.0


def test_unfinished_hidden_and_unknown_files_are_left_and_said(small: Shop, run):
    for name in ("orders_2.csv.tmp", "orders_3.csv.part", ".orders_4.csv"):
        small.deliver(name, ORDERS, "O7,C1,2025-01-07,,1.00,")
    small.deliver("oders.csv", ORDERS, "O8,C1,2025-01-08,,1.00,")
    result = run()
    assert result.verdict == "nothing new"
    said = result.warnings()
    assert ".orders_4.csv: hidden or unfinished by its name" in said
    assert any(line.startswith("oders.csv: did you mean orders.csv?") for line in said)
    (small.source / "orders_2.csv.tmp").rename(small.source / "orders_2.csv")
    run()
    assert days(small)["2025-01-07"] == 1.0


def test_a_run_hashes_what_lies_in_the_source_folder_once(small: Shop, run, monkeypatch):
    hashed, hash_file = [], lib.ingest.deliveries.hash_file
    monkeypatch.setattr(lib.ingest.deliveries, "hash_file",
                        lambda path: hashed.append(path.name) or hash_file(path))
    small.deliver("orders_2.csv", ORDERS, "O3,C1,2025-01-03,,1.00,placed")
    run()
    assert days(small)["2025-01-03"] == 1.0
    assert sorted(hashed) == sorted(path.name for path in small.source.iterdir())
    assert not list(small.reports.rglob(".*"))


def test_a_name_that_was_never_read_tells_of_news_before_any_file_is_hashed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("lib.ingest.deliveries.hash_file", None)
    shop = Shop(tmp_path)
    known = [KnownDelivery("orders.csv", "0" * 64, "orders", "2025-01-01T00:00:00.000000Z")]
    for name in ("orders.csv", "orders_2.csv.part", ".orders_3.csv", "notes.csv"):
        shop.deliver(name, ORDERS)
    assert has_new_name(shop.source, []) and not has_new_name(shop.source, known)
    shop.deliver("orders/2.csv", ORDERS)
    assert has_new_name(shop.source, known)
    assert not has_new_name(tmp_path / "gone", [])


def test_a_young_file_is_waited_for_until_it_is_settled(tmp_path: Path, monkeypatch):
    slept: list[float] = []
    orders = Shop(tmp_path).deliver("orders.csv", ORDERS)
    monkeypatch.setattr("lib.ingest.deliveries.time",
                        SimpleNamespace(time=lambda: orders.stat().st_mtime + 0.4, sleep=slept.append))
    lib.ingest.deliveries.find_deliveries(orders.parent, [])
    lib.ingest.deliveries.find_deliveries(orders.parent, [], 0.5)
    lib.ingest.deliveries.find_deliveries(orders.parent, [], 0.3)
    assert slept == [pytest.approx(0.6, abs=1e-3), pytest.approx(0.1, abs=1e-3)]


def test_a_file_that_is_still_growing_is_left_for_the_next_run(small: Shop, run, monkeypatch):
    path = small.deliver("orders_2.csv", ORDERS, "O7,C1,2025-01-07,,1.00,")
    hash_file = lib.ingest.deliveries.hash_file

    def grow_while_hashing(file: Path) -> str:
        if file == path:
            with path.open("a") as growing:
                growing.write("O8,C1,2025-01-08,,1.00,\n")
        return hash_file(file)

    with monkeypatch.context() as growing:
        growing.setattr(lib.ingest.deliveries, "hash_file", grow_while_hashing)
        assert "orders_2.csv: is still growing" in run().warnings()
    assert "2025-01-07" not in days(small)
    run()
    assert {"2025-01-07", "2025-01-08"} < days(small).keys()


def test_rows_that_arrive_while_a_run_is_going_are_picked_up_by_the_next(small: Shop, run, monkeypatch):
    small.deliver("orders_2.csv", ORDERS, "O7,C1,2025-01-07,,1.00,")
    execute = in_process.execute

    def deliver_behind_raw(spec, *others):
        record = execute(spec, *others)
        if spec.name == "raw" and not (small.source / "orders_3.csv").exists():
            small.deliver("orders_3.csv", ORDERS, "O8,C1,2025-01-08,,1.00,")
        return record

    monkeypatch.setattr(in_process, "execute", deliver_behind_raw)
    run()
    assert "2025-01-08" not in days(small)
    run()
    assert {"2025-01-07", "2025-01-08"} < days(small).keys()


def test_a_clock_set_back_skips_nothing(small: Shop, run, monkeypatch):
    for module in ("lib.step.open", "lib.storage.audit", "lib.runner.run"):
        monkeypatch.setattr(f"{module}.utc_now", lambda: "2001-01-01 00:00:00.000000")
    for number in range(3):
        small.deliver(f"orders_{number}.csv", ORDERS, f"N{number},C1,2025-02-0{number + 1},,1.00,")
        run()
    assert {"2025-02-01", "2025-02-02", "2025-02-03"} < days(small).keys()
    for layer, table, column in (("raw", "orders", "ingestion_timestamp"),
                                 ("curated", "fact_orders", "transformation_timestamp")):
        stamps = [stamp for (stamp,) in small.query(layer, f"select {column} from {table} order by row_id")]
        assert stamps == sorted(stamps)


def test_a_step_that_failed_for_three_days_catches_up(small: Shop, run):
    for number, order_date in enumerate(("2025-01-05", "2025-01-06", "2025-01-07")):
        small.deliver(f"orders_{number}.csv", ORDERS, f"O1,C{1 + number % 2},{order_date},,14.00,placed")
        run(steps=("raw", "dimensions", "facts"))
    run()
    assert days(small) == {"2025-01-02": 10.0, "2025-01-07": 14.0}
    assert customers(small) == {"C1": [1, 14.0], "C2": [1, 10.0]}


def test_totals_count_what_came_and_went_between_two_runs_of_gold_neither_way(small: Shop, run):
    for total in ("14.01", "14.02", "14.03"):
        small.deliver("orders_2.csv", ORDERS, f"O1,C1,2025-01-01,,{total},placed",
                      f"O9,C1,2025-01-09,,{total},placed")
        run(steps=("raw", "dimensions", "facts"))
    run()
    assert small.query("gold",
                       "select gold, curated from balances where figure = 'total sales' order by 1") == [
        ("24.00", "24.00"), ("38.06", "38.06")]


def test_a_snapshot_deletes_what_is_missing_and_a_later_delivery_brings_it_back(small: Shop, run):
    small.deliver("orders_all.csv", ORDERS, "O1,C1,2025-01-01,,14.00,placed")
    run(snapshot=("orders",), snapshot_limit=0.5)
    assert days(small) == {"2025-01-01": 14.0}
    assert small.query("curated", "select order_id, is_deleted from fact_orders order by 1") == [
        ("O1", 0), ("O2", 1)]
    assert customers(small) == {"C1": [1, 14.0]}
    assert small.query("gold", "select order_line_id, order_date from reporting_sales_wide order by 1") == [
        ("L1", "2025-01-01"), ("L2", "2025-01-01"), ("L3", None)]
    run(full_refresh=True)
    assert days(small) == {"2025-01-01": 14.0}
    small.deliver("orders_3.csv", ORDERS, "O2,C2,2025-01-02,,10.00,placed")
    run()
    assert days(small) == {"2025-01-01": 14.0, "2025-01-02": 10.0}


@pytest.mark.parametrize("space", [chr(code) for code in range(0x110000)
                                   if chr(code).isspace()] + ["\u200b", "\ufeff"], ids=ascii)
def test_the_same_characters_are_spaces_everywhere(space: str, tmp_path: Path):
    text = f"{space}a{space}b{space}"
    stripped = read_columns("orders", pd.DataFrame(
        {name: [text] for name in SOURCES["orders"].column_names}, dtype="str"))["order_id"][0]
    assert stripped == text.strip() == trim(pa.chunked_array([[text]]))[0].as_py()
    assert trim(pa.chunked_array([[space]]))[0].as_py() == (space.strip() or None)
    with open_layer(tmp_path, "raw", write=True) as layer:
        assert layer.scalar(f"select {trimmed('?')}", (text,)) == stripped


SPACED = ["O1", " O1", "O1\u00a0", "\tO1 ", "\u3000O1"]


@pytest.mark.parametrize("key", SPACED)
def test_a_snapshot_with_other_spaces_around_a_key_deletes_nothing(small: Shop, run, key: str):
    small.deliver("orders.csv", ORDERS, f"{key},C1,2025-01-01,,14.50,", "O2,C2,2025-01-02,,10.00,")
    run()
    small.deliver("orders_all.csv", ORDERS, "O1 ,C1,2025-01-01,,14.50,", " O2,C2,2025-01-02,,10.00,")
    run(snapshot=("orders",))
    assert days(small) == {"2025-01-01": 14.5, "2025-01-02": 10.0}
    assert small.query("raw", "select sum(deleted) from deliveries") == [(0,)]
    small.deliver("orders_rest.csv", ORDERS, "O2 ,C2,2025-01-02,,10.00,")
    run(snapshot=("orders",), snapshot_limit=0.5)
    assert days(small) == {"2025-01-02": 10.0}


@pytest.mark.parametrize("names", [("orders_2", "orders_3", "orders_4"), ("orders", "orders", "orders")],
                         ids=["three files", "one file, delivered again"])
@pytest.mark.parametrize("keys", [("O1 ", "O1", "O1 "), (" O1", "O1", "O1\t"), ("O1", "\u2007O1", "O1")])
def test_the_latest_row_of_a_key_wins_whatever_spaces_are_around_it(small: Shop, run, names, keys):
    for name, key, total in zip(names, keys, ("15.00", "20.00", "15.00"), strict=True):
        # The name makes the bytes differ, as a copy would be skipped.
        small.deliver(f"{name}.csv", ORDERS, f"{key},C1,2025-01-01,,{total},", f"{name},C1,2025-01-09,,0.00,")
        run()
        assert days(small)["2025-01-01"] == float(total)
    run(full_refresh=True)
    assert days(small)["2025-01-01"] == 15.0
    assert small.query("raw", "select order_id from orders where order_id like '%O1%' order by row_id") == [
        ("O1",), *((key,) for key in keys)]  # as delivered


def test_a_row_that_differs_in_the_spaces_around_its_key_is_no_new_version(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O1,C1,2025-01-01,,20.00,placed")
    run()
    small.deliver("orders.csv", ORDERS, " O1 ,C1,2025-01-01,,14.00,placed", "O2,C2,2025-01-02,,10.00,placed")
    run()
    assert days(small)["2025-01-01"] == 20.0
    small.deliver("orders_3.csv", ORDERS, "O1 ,C1,2025-01-01,,20.00,placed")  # a confirmation
    small.deliver("orders_4.csv", ORDERS, "O1,C1,2025-01-01,,21.00,placed")
    run()
    small.deliver("orders_3.csv", ORDERS, "O1,C1,2025-01-01,,20.00,placed", "O3,C1,2025-01-03,,1.00,")
    run()
    assert days(small)["2025-01-01"] == 21.0


def test_keys_with_spaces_that_an_earlier_release_stored_are_found(small: Shop, run):
    with closing(sqlite3.connect(small.warehouse / "raw.db")) as raw:
        raw.execute("drop index if exists orders_order_id_trimmed")
        raw.execute("create index orders_order_id on orders (order_id)")
        raw.execute("update orders set order_id = ' O1' where order_id = 'O1'")
        raw.execute("insert into confirmations values (1, 'orders', 'orders_2.csv', ' O1', 1)")
        raw.commit()
    small.deliver("orders_3.csv", ORDERS, "O1,C1,2025-01-01,,20.00,placed")
    run()
    small.deliver("orders_2.csv", ORDERS, "O1,C1,2025-01-01,,14.00,placed")  # which it held already
    run()
    assert days(small)["2025-01-01"] == 20.0
    [indexes] = small.query("raw", "select group_concat(name) from sqlite_schema where tbl_name = 'orders' "
                                   "and type = 'index'")
    assert indexes == ("orders_order_id_trimmed",)


def test_a_snapshot_that_would_delete_too_much_is_refused(small: Shop, run):
    small.deliver("orders_all.csv", ORDERS, "O1,C1,2025-01-01,,99.00,placed")
    with pytest.raises(AssertionError,
                       match=r"orders_all.csv: as a snapshot it would delete 1 of 2 orders, more than 20%. "
                                             r"Nothing of it was written"):
        run(snapshot=("orders",))
    assert small.query("raw", "select count(*) from orders") == [(2,)]


def test_a_snapshot_with_rows_that_cannot_be_read_deletes_nothing(small: Shop, run):
    small.deliver("orders_all.csv", ORDERS, "O1,C1,2025-01-01,,14.00,placed", "O2,C2")
    result = run(snapshot=("orders",), snapshot_limit=1.0)
    assert any("nothing was deleted" in warning for warning in result.warnings())
    assert days(small) == {"2025-01-01": 14.0, "2025-01-02": 10.0}


def test_a_bad_version_never_hides_the_last_good_one_not_even_in_a_full_refresh(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O1,C1,2025-02-30,,14.00,placed")
    run()
    assert days(small) == {"2025-01-01": 14.0, "2025-01-02": 10.0}
    run(full_refresh=True)
    assert days(small) == {"2025-01-01": 14.0, "2025-01-02": 10.0}
    assert small.counts("curated", "quarantine") == [1]


@pytest.mark.whole_run
@pytest.mark.parametrize("batch_rows", [1, 3],
                         ids=["gold in as many ranges as there may be", "a batch at a time"])
def test_batches_of_any_size_give_the_same_tables(small: Shop, run, monkeypatch, batch_rows: int):
    small.deliver("orders_2.csv", ORDERS,
                  *(f"B{number % 7},C1,2025-03-0{1 + number % 5},,{number}.00," for number in range(20)))
    small.deliver("order_lines_2.csv", LINES,
                  *(f"M{number * 7 % 20},B{number % 9},P1,{number},2.00," for number in range(20)))
    run(quarantine_limit=1.0)  # a few orders are there several times
    execute = in_process.execute
    monkeypatch.setattr(in_process, "execute", lambda spec, folder, given, kernel: execute(
        spec, folder, given | {"batch_rows": batch_rows}, kernel))
    again = Shop(small.folder / "again")
    shutil.copytree(small.source, again.source)
    in_process.run(again, monkeypatch, quarantine_limit=1.0)
    assert days(again) == days(small)
    assert again.query("raw", "select order_id, total_amount from orders order by row_id") == small.query(
        "raw", "select order_id, total_amount from orders order by row_id")
    wide = "select order_line_id, order_id, quantity, customer_id from reporting_sales_wide order by 1"
    assert again.query("gold", wide) == small.query("gold", wide)
    assert again.counts("gold", "reporting_sales_wide") == [23]


def test_a_long_query_draws_no_progress_bar_over_what_the_run_prints():
    """DuckDB would, where Python has no script, as in a kernel."""
    code = """from lib.step.working_database import working_database
with working_database() as work:
    print(work.execute("select current_setting('enable_progress_bar')").fetchone())"""
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout == "(False,)\n"


@given(values=st.lists(st.none() | st.text(alphabet="'0aZé", max_size=3), max_size=60),
       batch_rows=st.integers(1, 50))
def test_each_row_is_in_one_range(values: list[str | None], batch_rows: int):
    with duckdb.connect() as work:
        work.register("arrived", pa.table({"name": pa.array(values, pa.string())}))
        work.execute("create table names as select * from arrived")
        rows, ranges = find_ranges(work, "select name from names", "name", batch_rows)
        found = [work.sql(f"select name from names where {condition}").fetchall() for condition in ranges]
    assert rows == len(values) - values.count(None) and len(ranges) <= MOST_RANGES
    assert Counter(name for some in found for name, in some) == Counter(values)


@given(numbers=st.permutations(range(40)), batch_rows=st.integers(3, 50))
def test_ranges_are_as_long_as_a_batch_at_most(numbers: list[int], batch_rows: int):
    with duckdb.connect() as work:
        work.register("arrived", pa.table({"name": [f"{number:02}" for number in numbers]}))
        work.execute("create table names as select * from arrived")
        _, ranges = find_ranges(work, "select name from names", "name", batch_rows)
        lengths = [len(work.sql(f"select name from names where {condition}").fetchall())
                   for condition in ranges]
    assert min(lengths) >= 1 and max(lengths) <= batch_rows


@pytest.mark.parametrize(("order", "ranges"), [
    ("i", 53), ("-i", 53), ("if(i % 20 = 0, 1000000 + i, i)", 53), ("hash(i)", MOST_SCATTERED)])
def test_a_long_table_gets_more_ranges_if_its_ids_lie_together(order: str, ranges: int):
    """Also if rows have been delivered again since, which then come last."""
    with duckdb.connect() as work:
        work.execute(f"create table names as select printf('%06d', i) as name "
                     f"from range(100_000) as numbers(i) order by {order}")
        assert len(find_ranges(work, "select name from names", "name", 2000)[1]) == ranges


def test_the_longest_table_with_the_column_tells_the_ranges_and_without_one_the_query_does():
    with duckdb.connect() as work:
        work.execute("create table short as select 'a' as name from range(5)")
        work.execute("create table long as select printf('%03d', i) as name from range(100) as numbers(i)")
        assert find_ranges(work, "select name from short", "name", 50)[0] == 100
        rows, ranges = find_ranges(work, "select name as other from long", "other", 50)
    assert (rows, len(ranges)) == (100, 3)


def test_what_does_not_fit_into_memory_is_computed_with_more_by_one_thread(monkeypatch):
    monkeypatch.setattr("lib.step.working_database.WORK_MEMORY", "20MB")
    with working_database() as work:
        work.execute("set threads = 2")
        compute = work.sql("select len(list(i)) from range(8_000_000) as numbers(i)").fetchall
        with pytest.raises(duckdb.OutOfMemoryException):
            compute()
        assert within_memory(work, compute) == [(8_000_000,)]
        assert work.execute("select current_setting('threads')").fetchall() == [(1,)]


def test_timestamps_only_move_forward():
    assert later_than(None, "2025-01-01 00:00:00.000000") == "2025-01-01 00:00:00.000000"
    assert later_than("2025-01-01 00:00:00.999999",
                      "2024-01-01 00:00:00.000000") == "2025-01-01 00:00:01.000000"
    assert audit.INITIAL < "2025-01-01 00:00:00.000000"
    assert FORMAT.endswith("%f")


def test_two_files_of_the_first_day_that_repeat_each_other_say_it_once(tmp_path: Path, monkeypatch):
    shop = Shop(tmp_path)
    shop.deliver("orders.csv", ORDERS, "O1,C1,2025-01-01,,14.00,placed", "O2,C2,2025-01-02,,10.00,placed")
    shop.deliver("orders_2.csv", ORDERS, "O1,C1,2025-01-01,,14.00,placed", "O2,C2,2025-01-02,,12.00,placed")
    in_process.run(shop, monkeypatch)
    assert shop.query("raw", "select order_id, total_amount from orders order by row_id") == [
        ("O1", "14.00"), ("O2", "10.00"), ("O2", "12.00")]
    assert shop.query("raw", "select rows, appended, unchanged from deliveries order by delivery_id") == [
        (2, 2, 0), (2, 1, 1)]


def test_nothing_new_is_nothing_new_also_where_a_source_was_never_delivered(tmp_path: Path, monkeypatch):
    shop = Shop(tmp_path)
    shop.deliver("customers.csv", CUSTOMERS, "C1,Ann,A,,,,,,vip")
    in_process.run(shop, monkeypatch)
    assert in_process.run(shop, monkeypatch).verdict == "nothing new"


def test_a_quarantined_version_is_resolved_by_a_later_good_one_only(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O5,C1,2025-01-05,,5.00,placed")
    small.deliver("orders_3.csv", ORDERS, "O5,C1,2025-02-30,,5.00,placed")
    run()
    assert small.query("curated", "select record_key, resolved_batch_id from quarantine") == [("O5", None)]
    assert days(small)["2025-01-05"] == 5.0
    small.deliver("orders_3.csv", ORDERS, "O5,C1,2025-02-28,,5.00,placed")
    [batch] = {run().batch_id}
    assert small.query("curated", "select record_key, resolved_batch_id from quarantine") == [("O5", batch)]


@pytest.mark.parametrize("most_bytes", [1, 200])
def test_a_batch_that_is_full_by_its_bytes_loses_no_row_and_repeats_none(small: Shop, run, monkeypatch,
                                                                         most_bytes: int):
    monkeypatch.setattr("lib.storage.layer.READ_ROWS", 1)
    monkeypatch.setattr("lib.step.curated.BATCH_BYTES", most_bytes)
    small.deliver("order_lines_2.csv", LINES, *(f"L{n},O2,P2,{n},10.00," for n in range(4, 20)))
    result = run(full_refresh=True)
    of_facts = next(step for step in result.steps if step.name == "facts")
    assert of_facts.counts()["rows_read"] == 2 + 19 + 1
    lines = small.query("curated", "select order_line_id, quantity from fact_order_lines "
                                   "where order_id = 'O2' and order_line_id <> 'L3' order by quantity")
    assert lines == [(f"L{n}", n) for n in range(4, 20)]
