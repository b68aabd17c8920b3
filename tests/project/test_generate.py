"""The generator: sizes, totals to the cent, the same bytes every time, oddities as in real data, a story."""

import csv
import os
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
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


def day_of(order):
    return date.fromisoformat(order["order_date"][:10])


def lines_with_days(shop):
    """Return the lines of a shop, each with its order's day and its product's category in lower case."""
    days = {order["order_id"]: day_of(order) for order in shop["orders"]}
    category = {row["product_id"]: row["category"].lower() for row in shop["products"]}
    return [row | {"day": days[row["order_id"]], "category": category[row["product_id"]]}
            for row in shop["order_lines"]]


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


# The story

LAST = date(2025, 12, 30)
CAMPAIGN = [date(2025, 11, 28) + timedelta(days) for days in range(4)]


def orders_a_day(shop, first, last):
    days = [day for day in map(day_of, shop["orders"]) if first <= day <= last]
    return len(days) / ((last - first).days + 1)


def days_of_customer(shop, customer):
    return sorted(day_of(order) for order in shop["orders"] if order["customer_id"] == customer)


def test_orders_rise_in_advent_and_are_few_on_the_holidays_and_many_at_weekends(first):
    november = orders_a_day(first, date(2025, 11, 1), date(2025, 11, 27))
    advent = orders_a_day(first, date(2025, 12, 8), date(2025, 12, 18))
    holidays = orders_a_day(first, date(2025, 12, 24), date(2025, 12, 26))
    assert advent > 1.25 * november and holidays < .6 * november
    per_day = Counter(map(day_of, first["orders"]))
    weekend = [per_day[day] for day in per_day if day.weekday() >= 5 and day not in CAMPAIGN]
    week = [per_day[day] for day in per_day if day.weekday() < 5 and day not in CAMPAIGN]
    assert sum(weekend) / len(weekend) > 1.3 * sum(week) / len(week)


@pytest.mark.parametrize("days", [7, 28])
def test_the_last_weeks_sell_more_than_those_before(days, first):
    def sales(last):
        kept = [order for order in first["orders"] if order["status"].lower() != "cancelled"]
        return sum(Decimal(order["total_amount"]) for order in kept
                   if last - timedelta(days) < day_of(order) <= last)

    assert sales(LAST) > Decimal("1.05") * sales(LAST - timedelta(days))


def test_black_friday_brings_orders_and_discounts_on_electronics(first):
    def share(lines):
        return sum(bool(Decimal(row["discount_amount"] or 0)) for row in lines) / len(lines)

    lines = lines_with_days(first)
    electronics = [row for row in lines if row["category"] == "electronics"]
    assert share([row for row in electronics if row["day"] in CAMPAIGN]) > .7
    assert share([row for row in electronics if row["day"] not in CAMPAIGN]) < .3
    others = [row for row in lines if row["category"] != "electronics"]
    assert share([row for row in others if row["day"] in CAMPAIGN]) < .3
    november = orders_a_day(first, date(2025, 11, 1), date(2025, 11, 27))
    assert orders_a_day(first, CAMPAIGN[0], CAMPAIGN[-1]) > 1.75 * november


def test_a_customer_who_was_among_the_best_has_stopped_buying(first):
    spent = Counter()
    for order in first["orders"]:
        spent[order["customer_id"]] += Decimal(order["total_amount"])
    assert "00002" in dict(spent.most_common(5))
    days = days_of_customer(first, "00002")
    assert len(days) >= 8 and date(2025, 11, 24) < days[-1] < date(2025, 12, 1)
    assert max(later - earlier for earlier, later in pairwise(days)) <= timedelta(7)


def test_a_customer_who_was_silent_for_weeks_is_back(first):
    days = days_of_customer(first, "00003")
    assert days[0] < date(2025, 11, 9) and days[-1] > LAST - timedelta(7)
    assert [day for day in days if date(2025, 11, 9) <= day < date(2025, 12, 24)] == []


def test_one_desk_takes_the_place_of_another(first):
    change, units = date(2025, 12, 3), Counter()
    for row in lines_with_days(first):
        if change - timedelta(28) <= row["day"]:
            units[row["product_id"], row["day"] >= change] += int(row["quantity"])
    before, after = (Counter({product: sold for (product, late), sold in units.items() if late == then})
                     for then in (False, True))
    assert "SKU-0005" in dict(before.most_common(5)) and "SKU-0020" in dict(after.most_common(5))
    assert after["SKU-0005"] < .15 * before["SKU-0005"] and before["SKU-0020"] < .15 * after["SKU-0020"]


def test_a_larger_shop_has_the_same_seasons_each_year_and_grows(tmp_path):
    generate(tmp_path, orders=20_000)
    months = Counter(row["order_date"][:7] for row in read(tmp_path / "orders.csv"))
    for month in range(1, 13):
        assert 1.05 < months[f"2025-{month:02}"] / months[f"2024-{month:02}"] < 1.5, month
    for year in (2024, 2025):
        assert months[f"{year}-12"] > 1.4 * months[f"{year}-07"], year
