"""Days are counted in the shop's time zone; another zone, or another way to read text, rebuilds what it made.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import in_process
import pytest
from conftest import ORDERS, PROJECT, Shop

import lib.step.fingerprint
import lib.systems
from lib.clock import day_in
from lib.contract import SHOP
from lib.reproduce.replay import replay
from lib.reproduce.verify import verify
from lib.runner.plan import describe, make_plan
from lib.step.fingerprint import SYSTEM, ZONE
from lib.steps import Options
from lib.storage import audit

DAYS = "select order_date, orders from sales_summary_daily order by 1"
TILL = """
files: [till*.csv]
decimal: ","
dates: ["%d/%m/%Y %H:%M"]
sources:
  orders:
    columns: {order_id: No, customer_id: Who, order_date: When, total_amount: Sum}
"""
TILL_ROWS = ["No;Who;When;Sum", 'T1;C1;03/02/2025 20:30;7,50']


@pytest.fixture
def set_zone(monkeypatch) -> Callable[[str], None]:
    """Set the time zone of the shop, for one test."""
    return lambda zone: monkeypatch.setitem(vars(SHOP), "timezone", zone)


@pytest.fixture
def declare(monkeypatch, tmp_path: Path) -> Callable[[str, str], None]:
    """Declare a system, for one test, beside the pipeline's own."""
    folder = tmp_path / "systems"
    shutil.copytree(PROJECT / "data" / "contract" / "systems", folder)
    monkeypatch.setattr(lib.systems, "SYSTEMS", folder)

    def declare(name: str, text: str) -> None:
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        lib.systems.systems.cache_clear()

    yield declare
    lib.systems.systems.cache_clear()


def fresh(shop: Shop, folder: Path) -> Shop:
    """Return a shop with the same deliveries, before its first run."""
    shutil.copytree(shop.source, folder / "source")
    return Shop(folder)


def rebuilt(result) -> dict[str, bool]:
    """Return the steps that ran, and whether each rebuilt its tables."""
    return {step.name: step.record["is_full"] for step in result.steps if step.record}


def test_an_order_counts_for_its_day_in_the_shop_and_another_zone_rebuilds_all_days(
        small: Shop, run, set_zone, tmp_path: Path, monkeypatch):
    small.deliver("orders_2.csv", ORDERS, "N1,C1,2025-01-31T23:30:00-05:00,,5.00,placed")
    run()
    assert small.query("gold", DAYS) == [("2025-01-01", 1), ("2025-01-02", 1), ("2025-02-01", 1)]
    set_zone("America/New_York")
    said = "\n".join(describe(make_plan(Options(small.source, small.warehouse, small.reports))))
    assert f"3/4 facts      runs: {ZONE} changed since" in said and "2/4 dimensions nothing new" in said
    result = run()
    assert rebuilt(result) == {"facts": True, "gold": True}
    assert result.warnings()[0].startswith(f"step facts: {ZONE} changed since 20")
    assert small.query("gold", DAYS) == [("2025-01-01", 1), ("2025-01-02", 1), ("2025-01-31", 1)]
    assert small.query("curated", "select order_id, order_timestamp from fact_orders order by 1") == [
        ("N1", "2025-02-01 04:30:00"), ("O1", "2025-01-01 05:00:00"), ("O2", "2025-01-02 05:00:00")]
    assert rebuilt(run()) == {}
    loaded = in_process.run(fresh(small, tmp_path / "fresh"), monkeypatch)
    for again, first in zip(result.steps[2:], loaded.steps[2:], strict=True):
        assert again.record["digests"] == first.record["digests"]


def test_a_system_that_is_added_rebuilds_nothing_and_one_that_is_changed_what_it_typed(
        small: Shop, run, declare):
    declare("till", TILL)
    assert rebuilt(run()) == {}
    small.deliver("till_1.csv", *TILL_ROWS)
    assert not any(rebuilt(run()).values())
    orders = "select order_timestamp, total_amount from fact_orders where order_id = 'T1'"
    assert small.query("curated", orders) == [("2025-02-03 20:30:00", 7.5)]
    in_raw = small.query("raw", "select * from orders")
    declare("till", TILL.replace("%d/%m", "%m/%d") + "timezone: Asia/Kolkata\n")
    result = run()
    assert rebuilt(result) == {"facts": True, "gold": True}
    assert result.warnings()[0].startswith(f"step facts: {SYSTEM}till changed since 20")
    assert small.query("curated", orders) == [("2025-03-02 15:00:00", 7.5)]
    assert small.query("raw", "select * from orders") == in_raw
    assert rebuilt(run()) == {}


def test_rows_that_were_made_before_there_were_systems_and_zones_are_not_made_again(
        small_loaded: Shop, tmp_path: Path, monkeypatch):
    shop = fresh(small_loaded, tmp_path / "shop")
    with monkeypatch.context() as before:
        before.setattr(lib.step.fingerprint, "_typing", lambda sources: {})
        in_process.run(shop, before)
    with audit.open_audit(shop.warehouse) as log:
        parts, _ = audit.read_rules(log, "facts")
    assert not [part for part in parts if part.startswith((SYSTEM, ZONE))]
    assert rebuilt(in_process.run(shop, monkeypatch)) == {}


@pytest.mark.parametrize(("zone", "moment", "day"), [
    ("UTC", "2026-01-31 23:30:00.000000", "2026-01-31"),
    ("Pacific/Auckland", "2026-01-31 23:30:00.000000", "2026-02-01"),
    ("America/New_York", "2026-02-01 04:59:59.999999", "2026-01-31"),
    ("America/New_York", "2026-02-01 05:00:00.000000", "2026-02-01"),
    ("Pacific/Apia", "2011-12-30 10:00:00.000000", "2011-12-31"),
    ("Pacific/Kiritimati", "9998-12-31 23:00:00.000000", "9999-01-01"),
    ("Pacific/Pago_Pago", "1900-01-02 00:00:00.000000", "1900-01-01")])
def test_the_day_at_a_moment_is_that_of_the_zone(zone: str, moment: str, day: str):
    assert day_in(zone, moment) == day


def test_gold_counts_to_the_day_that_it_is_in_the_shop_and_so_do_replay_and_verify(
        small_loaded: Shop, set_zone, tmp_path: Path, monkeypatch):
    set_zone("Pacific/Auckland")
    shop = fresh(small_loaded, tmp_path / "shop")
    result = in_process.run(shop, monkeypatch, now="2026-01-31 23:30:00.000000")
    counted = "select customer_id, as_of_date, days_since_last_order from reporting_customer_stats order by 1"
    assert shop.query("gold", counted) == [("C1", "2026-02-01", 396), ("C2", "2026-02-01", 395)]
    options, shown = Options(shop.source, shop.warehouse, shop.reports), []
    assert replay(options, result.batch_id, tmp_path / "again", shown.append), shown
    assert verify(options, tmp_path / "verified", shown.append), shown
