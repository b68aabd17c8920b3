"""One bad file keeps no good one out: these are loaded, the run says what is missing, and it exits with 1."""

import gzip
import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import in_process
import pytest
from conftest import CUSTOMERS, LINES, ORDERS, PAYMENTS, PRODUCTS, Shop
from warm_runs import WarmRuns

from lib.errors import StepError
from lib.reproduce.replay import replay
from lib.reproduce.verify import verify
from lib.runner.plan import make_plan
from lib.runner.status import read_status
from lib.steps import Options

RAW = ("customers", "products", "orders", "order_lines", "payments")
CURATED = ("dim_customers", "dim_products", "fact_orders", "fact_order_lines", "fact_payments")
SALES = ("select sum(orders), sum(total_sales), sum(net_sales), sum(payments_received) "
         "from sales_summary_daily")
GOOD_PAYMENTS = [PAYMENTS, "Y1,O1,2025-01-01,card,SUCCESS,14.00"]


def deliver(shop: Shop, payments: list[str] | bytes) -> None:
    """Deliver four good files, and one of payments."""
    shop.deliver("customers.csv", CUSTOMERS, "C1,Ann,A,,,,,,vip", "C2,Bob,B,,,,,,")
    shop.deliver("products.csv", PRODUCTS, "P1,Cup,Kitchen,,,2.00,", "P2,Pan,Kitchen,,,10.00,")
    shop.deliver("orders.csv", ORDERS, "O1,C1,2025-01-01,,14.00,placed", "O2,C2,2025-01-02,,10.00,placed")
    shop.deliver("order_lines.csv", LINES, "L1,O1,P1,2,2.00,", "L2,O1,P2,1,10.00,", "L3,O2,P2,1,10.00,")
    path = shop.deliver("payments.csv", *(payments if isinstance(payments, list) else []))
    if isinstance(payments, bytes):
        path.write_bytes(payments)
        os.utime(path, (1e9, 1e9))


def cut(content: bytes) -> bytes:
    return content[:len(content) // 2]


BAD: dict[str, list[str] | bytes] = {
    "no such column": ["PaymentID,order_id", "Y1,O1"],
    "a web page": ["<!doctype html>", "<p>Please log in</p>"],
    "empty": b"",
    "a damaged gzip file": cut(gzip.compress("\n".join(GOOD_PAYMENTS * 200).encode(), mtime=0)),
    "too many bad rows": [*GOOD_PAYMENTS, "Y2,O1", "Y3,O1", "Y4,O1"],
    "no encoding": PAYMENTS.encode() + b"\nY1,O1,2025-01-01,card\x81\xff\xfe,SUCCESS,14.00\n" * 3,
    "names of raw's own": [f"{PAYMENTS},batch_id", f"{GOOD_PAYMENTS[1]},1"],
}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def run(shop: Shop, monkeypatch) -> Callable:
    return lambda **options: in_process.run(shop, monkeypatch, **options)


@pytest.fixture
def lacking(run) -> Callable:
    """Run where deliveries could not be loaded; `run` itself raises then."""
    return lambda **options: run(may_lack_deliveries=True, **options)


def refused(run: Callable) -> str:
    """Return the error of a run that fails, for which the runner of the tests raises."""
    with pytest.raises(AssertionError) as error:
        run()
    return str(error.value).partition("\nassert")[0]


def state_of_raw(shop: Shop) -> dict:
    return {table: rows for table, rows in shop.state().items() if table.startswith("raw.")}


@pytest.mark.parametrize("kind", BAD)
def test_the_good_files_are_loaded_and_the_next_run_loads_the_mended_one(
        kind: str, shop: Shop, run, lacking):
    deliver(shop, BAD[kind])
    result = lacking()
    assert result.verdict == "incomplete"
    assert re.match(r"1 of 5 deliveries could not be loaded; the other 4 are loaded", result.error)
    assert "payments.csv" in result.error.splitlines()[1]
    assert shop.counts("raw", *RAW) == [2, 2, 2, 3, 0]
    assert shop.counts("curated", *CURATED) == [2, 2, 2, 3, 0]
    assert shop.query("gold", SALES) == [(2, 24.0, 24.0, 0.0)]
    assert shop.counts("raw", "quarantine", "deliveries") == [0, 4]
    before = state_of_raw(shop)
    assert "payments.csv" in refused(run)  # it is tried again, and spoils nothing
    assert state_of_raw(shop) == before
    shop.deliver("payments.csv", *GOOD_PAYMENTS)
    assert run().verdict == "success"
    assert shop.query("gold", SALES) == [(2, 24.0, 24.0, 14.0)]


def test_what_was_written_of_a_bad_file_is_undone_to_the_last_row(small: Shop, run, monkeypatch):
    """The bad file has a new column, resolves what its predecessor left, and fails at its very end."""
    small.deliver("orders_2.csv", ORDERS, "O3,C1,2025-01-03,,5.00,placed", "O4,C1")
    in_process.run(small, monkeypatch)
    small.deliver("orders_2.csv", f"{ORDERS},coupon", *["O6,C1"] * 4,
                  *(f"O{n},C1,2025-01-03,,{n}.00,placed,X" for n in "159"))
    aside = small.folder / "aside"
    shutil.copytree(small.warehouse, aside / "warehouse")
    small.deliver("payments_2.csv", PAYMENTS, "Y2,O2,2025-01-02,card,SUCCESS,10.00")
    result = in_process.run(small, monkeypatch, may_lack_deliveries=True)
    assert result.verdict == "incomplete" and "orders_2.csv: 4 of 7 rows" in result.error
    raw = result.steps[0].record
    assert raw["tables"]["orders"]["read"] == 0 and raw["quarantine"] == [] and raw["rows_processed"] == 1
    assert [gate for gate in raw["gates"] if gate["suite"] == "raw_orders"] == []
    alone = Shop(aside)  # the same without the bad file
    alone.source.mkdir()
    shutil.copy2(small.source / "payments_2.csv", alone.source)
    in_process.run(alone, monkeypatch)
    tables = [table for (table,) in small.query("raw", "select name from sqlite_schema where type = 'table'")]
    for table in tables:
        columns = f"select name from pragma_table_info('{table}')"
        names = [name for (name,) in small.query("raw", columns)]
        assert names == [name for (name,) in alone.query("raw", columns)]
        about_the_run = ("batch_id", "checksum")
        kept = [name for name in names if name not in about_the_run and not name.endswith("timestamp")]
        rows = f"select {', '.join(kept)} from {table} order by 1"
        assert small.query("raw", rows) == alone.query("raw", rows), table
    assert small.query("raw", "select resolved_batch_id from quarantine") == [(None,)]
    assert small.query("raw", "select digest from layer_commits order by commit_id") == alone.query(
        "raw", "select digest from layer_commits order by commit_id")


def test_a_snapshot_over_its_limit_is_left_out_alone(small: Shop, monkeypatch):
    small.deliver("orders_2.csv", ORDERS, "O1,C1,2025-01-01,,99.00,placed")
    small.deliver("products_2.csv", PRODUCTS, "P3,Jug,Kitchen,,,3.00,")
    result = in_process.run(small, monkeypatch, snapshot=("orders",), may_lack_deliveries=True)
    assert result.verdict == "incomplete" and "orders_2.csv: as a snapshot" in result.error
    assert small.counts("curated", *CURATED) == [2, 3, 2, 3, 1]
    assert small.query("gold", SALES) == [(2, 24.0, 24.0, 14.0)]


def test_all_or_nothing_names_every_bad_file_and_writes_nothing(shop: Shop, run, lacking):
    deliver(shop, BAD["empty"])
    shop.deliver("orders_2.csv", "a,b", "1,2")
    error = refused(lambda: run(all_or_nothing=True))
    assert "payments.csv" in error and "orders_2.csv" in error and "--all-or-nothing" in error
    assert not (shop.warehouse / "raw.db").exists()
    assert lacking().verdict == "incomplete"
    before = state_of_raw(shop)
    shop.deliver("products_2.csv", PRODUCTS, "P3,Jug,Kitchen,,,3.00,")
    refused(lambda: run(all_or_nothing=True))
    assert state_of_raw(shop) == before


def test_if_every_file_is_bad_the_step_fails_and_nothing_is_written(shop: Shop, run):
    shop.deliver("orders.csv", "a,b", "1,2")
    shop.deliver("payments.csv", *BAD["a web page"])
    error = refused(run)
    assert "orders.csv" in error and "payments.csv" in error
    assert not (shop.warehouse / "raw.db").exists()
    assert shop.query("audit", "select process_name, status from pipeline_execution_log") == [
        ("raw", "FAILED"), ("dimensions", "SKIPPED"), ("facts", "SKIPPED"), ("gold", "SKIPPED")]


def test_a_file_that_stays_bad_does_not_keep_out_what_earlier_runs_have_left_to_do(
        shop: Shop, run, lacking):
    deliver(shop, BAD["empty"])
    assert lacking(steps=("raw",)).verdict == "incomplete"
    assert "payments.csv" in refused(run)
    assert shop.query("gold", SALES) == [(2, 24.0, 24.0, 0.0)]
    assert "payments.csv" in refused(lambda: run(full_refresh=True))
    assert shop.query("gold", "select max(commit_id) from layer_commits where is_rebuild = 1") != [(None,)]


@pytest.mark.parametrize("error", [StepError("the disk is full"), TypeError("a mistake in the notebook")])
def test_an_error_that_no_delivery_causes_fails_the_whole_step(
        error: Exception, shop: Shop, run, monkeypatch):
    def fail(*_: object) -> None:
        raise error

    deliver(shop, GOOD_PAYMENTS)
    monkeypatch.setattr("lib.step.drift.compare", fail)
    with pytest.raises((AssertionError, TypeError), match=str(error)):
        run()
    assert not (shop.warehouse / "raw.db").exists()


def test_a_history_with_a_bad_file_is_replayed_to_the_byte_and_equals_one_full_load(
        shop: Shop, lacking, tmp_path: Path):
    deliver(shop, BAD["too many bad rows"])
    lacking()
    shop.deliver("orders_2.csv", f"{ORDERS},coupon", "O1,C1,2025-01-01,,15.00,placed,X", "O3,C1", "O4,C1")
    shop.deliver("orders_3.csv", ORDERS, "O2,C2,2025-01-02,,11.00,placed")
    shop.deliver("payments.csv", *GOOD_PAYMENTS)
    assert lacking().verdict == "incomplete"
    options, shown = Options(shop.source, shop.warehouse, shop.reports), []
    [(batch_id,)] = shop.query("audit", "select max(batch_id) from pipeline_execution_log")
    assert replay(options, batch_id, tmp_path / "again", shown.append), shown
    assert verify(options, tmp_path / "verified", shown.append), shown
    again = Shop(tmp_path / "again")
    for layer in ("raw", "curated", "gold"):
        dumps = []
        for one in (shop, again):
            path = one.folder / f"{layer}.dump"
            one.query(layer, f"vacuum into '{path}'")
            dumps.append(path.read_bytes())
        assert dumps[0] == dumps[1], layer
    manifest = json.loads(shop.query("audit", "select manifest from pipeline_manifest order by 1 desc")[0][0])
    assert [delivery["name"] for delivery in manifest["deliveries"]] == ["orders_3.csv", "payments.csv"]


def test_status_says_what_to_mend_and_plan_tries_it_again(shop: Shop, lacking):
    deliver(shop, BAD["empty"])
    lacking()
    options = Options(shop.source, shop.warehouse, shop.reports)
    status = read_status(options, "2026-01-01 00:00:00.000000")
    assert status["runs"][0]["verdict"] == "incomplete" and not status["is_well"]
    assert re.match(r"step raw: .*payments\.csv is empty.*Then run: ", status["next_actions"][0])
    plan = make_plan(options)
    assert [delivery.name for delivery in plan.deliveries if delivery.is_to_read] == ["payments.csv"]


def test_files_and_folders_without_permission_are_left_out_and_named(tmp_path: Path, warm: WarmRuns):
    shop = Shop(tmp_path / "shop")
    deliver(shop, GOOD_PAYMENTS)
    for name in ("orders_2.csv", "orders_3.csv"):
        shop.deliver(name, ORDERS, "O3,C1,2025-01-03,,5.00,placed").chmod(0)
    shop.deliver("customers/2.csv", CUSTOMERS, "C3,Cid,C,,,,,,vip").parent.chmod(0)
    done = warm.run(shop, expect=1, obey=True)
    shop.source.joinpath("customers").chmod(0o755)
    assert "3 of 8 deliveries could not be loaded; the other 5 are loaded" in done.stderr
    for name in ("customers/", "orders_2.csv", "orders_3.csv"):
        assert re.search(rf"{name}.*ermission", done.stderr)
    assert shop.query("gold", SALES) == [(2, 24.0, 24.0, 14.0)]
    for name in ("orders_2.csv", "orders_3.csv"):
        shop.source.joinpath(name).chmod(0o644)
    warm.run(shop)
    assert shop.query("gold", SALES) == [(3, 29.0, 24.0, 14.0)]


def test_the_run_says_what_is_missing_everywhere_and_exits_with_1(tmp_path: Path, warm: WarmRuns):
    shop = Shop(tmp_path / "shop")
    deliver(shop, BAD["no such column"])
    received = tmp_path / "received.json"
    done = warm.run(shop, "--on-failure", f"cat > {received}", expect=1)
    assert re.search(r"incomplete: 1 of 5 deliveries .* other 4 are loaded", done.stdout)
    assert re.search(r"error: 1 of 5 deliveries.*\n  .*payments\.csv, line 1: .*'payment_id'", done.stderr)
    assert json.loads(received.read_text())["verdict"] == "incomplete"
    [folder] = (shop.reports / "runs").iterdir()
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "incomplete" in page and re.search("not loaded: .*payments.csv, line 1", page)
    assert shop.query("audit", "select process_name, status, error_message is null "
                               "from pipeline_execution_log") == [
        ("raw", "SUCCESS", 0), ("dimensions", "SUCCESS", 1), ("facts", "SUCCESS", 1), ("gold", "SUCCESS", 1)]


@pytest.mark.parametrize("place", ["all written, not committed", "data committed, watermark not"])
def test_a_run_with_a_bad_file_that_is_killed_goes_on_as_any_other(
        place: str, tmp_path: Path, warm: WarmRuns):
    shop = Shop(tmp_path / "shop")
    deliver(shop, BAD["too many bad rows"])
    for step in ("raw", "facts", "gold"):
        warm.run(shop, expect=-signal.SIGKILL, fault=(place, step))
        assert warm.left_after(30) == []
    warm.run(shop, expect=1)
    assert shop.counts("raw", *RAW) == [2, 2, 2, 3, 0]
    assert shop.query("gold", SALES) == [(2, 24.0, 24.0, 0.0)]
    shop.deliver("payments.csv", *GOOD_PAYMENTS)
    warm.run(shop)
    assert shop.query("gold", SALES) == [(2, 24.0, 24.0, 14.0)]
    assert "tables against one full load: ok" in warm.run(shop, "verify").stdout
