"""Exports of shop systems come to the figures of their shop, and a declared form of files changes nothing."""

import os
import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random

import in_process
import pytest
from conftest import PROJECT, Shop
from dialects import in_default_form, in_dialect, random_dialect, tables_of
from exports import (
    CANCELLED,
    EXPORTS,
    NO_MONEY,
    PAID,
    Figures,
    Order,
    figures_of,
    random_orders,
    stripe,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lib.contract
import lib.systems

SHOPS = 4 * int(os.environ.get("SOAK", "1"))
DECLARED_IN_TESTS = PROJECT / "tests" / "systems"


@pytest.fixture
def contract(monkeypatch, tmp_path: Path) -> Path:
    """A folder of systems that is the pipeline's own for one test: the presets, and the one of the tests."""
    folder = tmp_path / "systems"
    shutil.copytree(PROJECT / "data" / "contract" / "systems", folder)
    for path in DECLARED_IN_TESTS.glob("*.yaml"):
        shutil.copy(path, folder)
    monkeypatch.setattr(lib.systems, "SYSTEMS", folder)
    lib.systems.systems.cache_clear()
    yield folder
    lib.systems.systems.cache_clear()


@pytest.fixture(autouse=True)
def timezone_of_shop():
    """Let a test set the shop's time zone, and put it back."""
    before = lib.contract.SHOP.timezone
    yield set_timezone
    set_timezone(before)


def set_timezone(name: str) -> None:
    object.__setattr__(lib.contract.SHOP, "timezone", name)


def deliver(shop: Shop, files: dict[str, bytes]) -> None:
    shop.source.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (shop.source / name).write_bytes(content)


def figures_in(shop: Shop) -> Figures:
    """Return the figures that the warehouse has."""
    def money(layer: str, sql: str) -> Decimal:
        return sum((Decimal(repr(amount)) for (amount,) in shop.query(layer, sql)), Decimal("0.00"))

    orders, lines, customers, products = shop.counts(
        "curated", "fact_orders where is_deleted = 0", "fact_order_lines where is_deleted = 0",
        "dim_customers where is_deleted = 0", "dim_products where is_deleted = 0")
    [(guests,)] = shop.query("curated", "select count(*) from fact_orders where customer_id is null")
    days = {day: Decimal(repr(amount)).quantize(Decimal("0.01")) for day, amount in shop.query(
        "gold", "select order_date, total_sales from sales_summary_daily")}
    [(units,)] = shop.query("gold", "select sum(quantity) from reporting_sales_wide")
    return Figures(orders, lines, units, money("gold", "select total_sales from sales_summary_daily"),
                   money("gold", "select net_amount from reporting_sales_wide"), customers, guests, products,
                   money("gold", "select payments_received from sales_summary_daily"), days)


def assert_has(shop: Shop, expected: Figures, *, has_payments: bool = True) -> None:
    found = figures_in(shop)
    for name, value in vars(expected).items():
        if name != "received" or has_payments:
            assert getattr(found, name) == value, name
    assert shop.query("raw", "select * from quarantine") == []


@pytest.mark.parametrize("system", EXPORTS)
def test_an_export_comes_to_the_figures_of_its_shop(system: str, contract, tmp_path, monkeypatch):
    export, shop = EXPORTS[system], Shop(tmp_path)
    orders = random_orders(Random(1))
    set_timezone(str(orders[0].moment.tzinfo))
    told = export.told(orders)
    deliver(shop, export.write(told))
    in_process.run(shop, monkeypatch)
    assert_has(shop, figures_of(told), has_payments=export.has_payments)
    assert {name for (name,) in shop.query("raw", "select distinct source_system from orders")} == {system}


@pytest.mark.parametrize(("system", "order_of_halves"), [
    (system, [(1, 2), (2, 1)][number % 2]) for number, system in enumerate([*EXPORTS, "shopify"])])
def test_two_halves_in_either_order_come_to_the_same(system: str, order_of_halves: tuple[int, int], contract,
                                                     tmp_path, monkeypatch):
    export, shop = EXPORTS[system], Shop(tmp_path)
    orders = random_orders(Random(3), 16)
    set_timezone(str(orders[0].moment.tzinfo))
    told = export.told(orders)
    halves: dict[int, list[Order]] = {1: told[:9], 2: told[9:]}
    for part in order_of_halves:
        deliver(shop, export.write(halves[part], part))
        in_process.run(shop, monkeypatch)
    assert_has(shop, figures_of(told), has_payments=export.has_payments)


@pytest.mark.parametrize("system", ["shopify", "woocommerce_wide"])
def test_an_export_that_overlaps_an_earlier_one_adds_only_what_is_new(
        system: str, contract, tmp_path, monkeypatch):
    export, shop = EXPORTS[system], Shop(tmp_path)
    told = export.told(random_orders(Random(3), 16, "UTC"))
    for part, orders in enumerate((told[:9], told[4:]), start=1):
        deliver(shop, export.write(orders, part))
        in_process.run(shop, monkeypatch)
    assert_has(shop, figures_of(told))
    assert shop.counts("raw", "order_lines", "orders") == [figures_of(told).order_lines, len(told)]


def test_payments_of_stripe_count_for_the_orders_of_another_system(contract, tmp_path, monkeypatch):
    shop, orders = Shop(tmp_path), random_orders(Random(4))
    set_timezone(str(orders[0].moment.tzinfo))
    told = EXPORTS["etsy"].told(orders)
    deliver(shop, EXPORTS["etsy"].write(told) | stripe(told))
    in_process.run(shop, monkeypatch)
    assert_has(shop, figures_of(told))


def test_an_order_that_a_later_export_tells_otherwise_ends_with_the_later_lines(
        contract, tmp_path, monkeypatch):
    export, shop = EXPORTS["shopify"], Shop(tmp_path)
    orders = export.told(random_orders(Random(5), 6))
    set_timezone(str(orders[0].moment.tzinfo))
    deliver(shop, export.write(orders, 1))
    in_process.run(shop, monkeypatch)
    many, few = (replace(order, refunded=NO_MONEY) for order in (orders[2], orders[4]))
    changed = [replace(many, lines=few.lines), replace(few, lines=many.lines)]
    deliver(shop, export.write(changed, 2))
    in_process.run(shop, monkeypatch)
    now = [*orders[:2], changed[0], orders[3], changed[1], orders[5]]
    assert_has(shop, figures_of(now))


@pytest.mark.parametrize("system", ["shopify", "woocommerce"])
def test_what_was_paid_for_an_order_that_is_cancelled_later_is_not_received_any_more(
        system: str, contract, tmp_path, monkeypatch):
    export, shop = EXPORTS[system], Shop(tmp_path)
    orders = [replace(order, status=PAID, refunded=NO_MONEY) for order in random_orders(Random(5), 3, "UTC")]
    now = [orders[0], replace(orders[1], status=CANCELLED), orders[2]]
    for part, told in enumerate((orders, now), start=1):
        deliver(shop, export.write(told, part))
        in_process.run(shop, monkeypatch)
    assert_has(shop, figures_of(now))


TABLES = {"curated": ("dim_customers", "dim_products", "fact_orders", "fact_order_lines", "fact_payments"),
          "gold": ("reporting_sales_wide", "sales_summary_daily", "reporting_customer_stats")}


def content_of(shop: Shop) -> dict[str, list[tuple]]:
    """Return curated and gold without what a run or a file adds to its rows."""
    bookkeeping = ("row_id", "batch_id", "process_name", "transformation_timestamp", "source_system",
                   "source_filename", "source_row", "ingestion_timestamp", "record_hash", "raw_row_id")
    found = {}
    for layer, tables in TABLES.items():
        for table in tables:
            columns = [name for (name,) in shop.query(layer, f"select name from pragma_table_info('{table}')")
                       if name not in bookkeeping]
            found[table] = sorted(shop.query(layer, f"select {', '.join(columns)} from {table}"), key=repr)
    return found


@settings(max_examples=SHOPS, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2 ** 32))
def test_a_declared_form_of_files_gives_what_the_default_form_gives(
        seed: int, contract, tmp_path_factory, monkeypatch):
    random = Random(seed)
    orders = random_orders(random, random.randint(1, 8), has_second_hours=False)
    set_timezone(str(orders[0].moment.tzinfo))
    tables, dialect = tables_of(orders), random_dialect(random, str(orders[0].moment.tzinfo))
    files, declaration = in_dialect(random, dialect, tables)
    (contract / "mine.yaml").write_text(declaration, encoding="utf-8")
    lib.systems.systems.cache_clear()
    plain, declared = Shop(tmp_path_factory.mktemp("plain")), Shop(tmp_path_factory.mktemp("declared"))
    for shop, delivered in ((plain, in_default_form(tables)), (declared, files)):
        deliver(shop, delivered)
        in_process.run(shop, monkeypatch, now="2026-12-01 00:00:00.000000")
    assert content_of(declared) == content_of(plain), declaration
