"""The generator: sizes, totals to the cent, the same bytes every time, and oddities as in real data."""

import csv
import os
import subprocess
import sys
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "data")]

from generate import generate  # noqa: E402

from lib.contract import SOURCES  # noqa: E402

SAMPLE = {"customers": 500, "products": 100, "orders": 1000, "order_lines": 3064, "payments": 1000}


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def read_day(folder, day=1):
    return {source: read(folder / f"{source}{'' if day == 1 else '_2025-12-31'}.csv") for source in SOURCES}


def merge(first, second):
    """Return the rows after both days, the later one of a key."""
    merged = {}
    for source in SOURCES:
        key = SOURCES[source].key
        merged[source] = list({row[key]: row for row in first[source] + second[source]}.values())
    return merged


def assert_consistent(shop):
    """Keys are unique, references exist, totals equal their lines, and nobody pays more than the total."""
    for source, rows in shop.items():
        assert len({row[SOURCES[source].key] for row in rows}) == len(rows)
    total = {row["order_id"]: Decimal(row["total_amount"]) for row in shop["orders"]}
    lines, paid = defaultdict(Decimal), defaultdict(Decimal)
    for row in shop["order_lines"]:
        gross = int(row["quantity"]) * Decimal(row["unit_price"])
        lines[row["order_id"]] += gross - Decimal(row["discount_amount"] or 0)
    for row in shop["payments"]:
        paid[row["order_id"]] += Decimal(row["payment_amount"]) if row["payment_status"] == "SUCCESS" else 0
    assert lines == total
    assert min(total.values()) >= 0
    assert {order for order in paid if paid[order] > total[order]} == set()
    for source, parents, key in (("orders", "customers", "customer_id"),
                                 ("order_lines", "products", "product_id")):
        assert {row[key] for row in shop[source]} <= {row[key] for row in shop[parents]}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    assert generate(folder) == SAMPLE
    generate(folder, day=2)
    return folder


@pytest.fixture(scope="module")
def first(sample):
    return read_day(sample)


@pytest.fixture(scope="module")
def second(sample):
    return read_day(sample, day=2)


def test_sample_has_the_promised_size(first):
    assert {source: len(rows) for source, rows in first.items()} == SAMPLE
    assert len({row["customer_id"] for row in first["orders"]}) == 432
    days = {row["order_date"][:10] for row in first["orders"]}
    assert (len(days), min(days), max(days)) == (60, "2025-11-01", "2025-12-30")


def test_files_keep_the_contract(first, second):
    for delivery in (first, second):
        for source, rows in delivery.items():
            columns = SOURCES[source].columns
            assert tuple(rows[0]) == SOURCES[source].column_names
            assert all(row[column.name] for row in rows for column in columns if not column.optional)
            money = [row[column.name] for row in rows for column in columns if column.type == "money"]
            assert all(amount == "" or Decimal(amount).as_tuple().exponent == -2 for amount in money)


def test_totals_equal_lines_to_the_cent_on_day_1(first):
    assert_consistent(first)


def test_totals_equal_lines_to_the_cent_after_both_days(first, second):
    assert_consistent(merge(first, second))


def test_same_arguments_write_the_same_bytes(sample, tmp_path):
    for day in ("1", "2"):
        subprocess.run([sys.executable, ROOT / "data" / "generate.py", tmp_path, "--day", day],
                       env={**os.environ, "PYTHONHASHSEED": day}, check=True)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_bytes() for path in sample.iterdir()}
    assert not any(b"\r" in content for content in written.values())


def test_committed_sample_is_what_the_generator_writes(sample):
    for source in SOURCES:
        name = f"{source}.csv"
        assert (ROOT / "data" / "source" / name).read_bytes() == (sample / name).read_bytes()


def test_another_seed_is_another_shop_of_the_same_size(sample, tmp_path):
    assert generate(tmp_path, seed=8) == SAMPLE
    assert (tmp_path / "orders.csv").read_bytes() != (sample / "orders.csv").read_bytes()


def test_names_and_ids_are_as_odd_as_real_ones(first):
    customers, products = first["customers"], first["products"]
    names = [(row["first_name"], row["last_name"]) for row in customers]
    assert {("  ANNA ", "McDonald"), ("bob", "O'Neil"), ("Émile", "van der Berg")} <= set(names)
    assert {("Zoë", "Null"), ("Jo", "NA")} <= set(names)
    assert {"Łódź", "北京", "São Paulo"} <= {row["city"] for row in customers}
    assert "NA" in {row["country"] for row in customers}
    assert any(row["email"] != row["email"].lower() for row in customers)
    assert customers[16]["customer_id"] == "00017"
    assert first["orders"][0]["order_id"] == "0000001"
    assert products[41]["product_id"] == "SKU-0042"
    assert {'27" Monitor', "Shelf, oak"} <= {row["product_name"] for row in products}
    assert "Hansen, Lund & Co" in {row["brand"] for row in products}


def test_optional_fields_are_empty_now_and_then(first):
    optional = {"customers": ["first_name", "email", "phone", "state", "segment"],
                "products": ["sub_category", "brand", "unit_price"], "orders": ["channel"],
                "order_lines": ["discount_amount"], "payments": ["payment_date", "payment_method"]}
    for source, columns in optional.items():
        for column in columns:
            share = sum(row[column] == "" for row in first[source]) / len(first[source])
            assert 0 < share < .5, column


def test_orders_lines_and_payments_vary(first):
    states = {row["status"] for row in first["orders"]}
    assert {"placed", "SHIPPED", "Delivered", "DELIVERED", "cancelled", "returned"} <= states
    lengths = {len(row["order_date"]) for row in first["orders"]}
    assert lengths == {len("2025-11-01"), len("2025-11-01T00:00:00")}
    assert {row["payment_status"] for row in first["payments"]} == {"SUCCESS", "FAILED", "PENDING"}
    assert any(int(row["quantity"]) < 0 for row in first["order_lines"])
    per_order = Counter(row["order_id"] for row in first["payments"])
    assert set(per_order.values()) == {1, 2} and len(per_order) < 1000
    price = {row["product_id"]: row["unit_price"] for row in first["products"]}
    assert .9 < sum(row["unit_price"] == price[row["product_id"]] for row in first["order_lines"]) / 3064 < 1


def test_second_day_changes_some_of_everything(first, second):
    changed = {}  # source -> columns in which an old row differs
    for source, rows in second.items():
        old = {row[SOURCES[source].key]: row for row in first[source]}
        new = [row for row in rows if row[SOURCES[source].key] not in old]
        assert new and 3 <= len(rows) < 100, source
        changed[source] = [{column for column in row if row[column] != old[row[SOURCES[source].key]][column]}
                           for row in rows if row not in new]
        if source == "orders":
            assert {row["order_date"][:10] for row in new} == {"2025-12-31"}
    assert changed["customers"] == [{"segment"}, {"email"}, {"last_name"}]
    assert changed["products"] == [{"unit_price", "category"}, {"status"}]
    assert changed["orders"] == [{"order_date"}, {"customer_id"}, {"status"}, {"total_amount"}]
    assert changed["order_lines"] == []
    assert changed["payments"] == [{"payment_date", "payment_status"}] * 2
    brought = {row["order_id"] for row in second["payments"]} & {row["order_id"] for row in first["orders"]}
    assert brought - {row["order_id"] for row in first["payments"]}


@pytest.mark.parametrize("orders, customers, products, lines, days",
                         [(300, 500, 100, 919, 60), (20_000, 10_000, 200, 61_280, 730)])
def test_other_sizes_scale_and_add_up(tmp_path, orders, customers, products, lines, days):
    counts = generate(tmp_path, orders=orders)
    assert list(counts.values()) == [customers, products, orders, lines, orders]
    generate(tmp_path, orders=orders, day=2)
    first, second = read_day(tmp_path), read_day(tmp_path, day=2)
    assert len({row["order_date"][:10] for row in first["orders"]}) == days
    assert_consistent(first)
    assert_consistent(merge(first, second))


def test_too_few_orders_and_unknown_days_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"orders is 99\b.* 100"):
        generate(tmp_path, orders=99)
    with pytest.raises(ValueError, match=r"day is 3\b.* 1 or 2"):
        generate(tmp_path, day=3)
    assert list(tmp_path.iterdir()) == []
