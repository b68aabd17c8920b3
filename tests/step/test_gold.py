"""Every measure of gold, held against values computed from the CSV files in exact decimals, to the cent."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import oracle
from conftest import PROJECT, Shop
from warm_runs import WarmRuns

KEYS = {"reporting_sales_wide": "order_line_id", "sales_summary_daily": "order_date",
        "reporting_customer_stats": "customer_id"}


def assert_gold_is_right(shop: Shop, files: dict[str, list[Path]]) -> None:
    [(as_of,)] = shop.query("gold", "select distinct as_of_date from reporting_customer_stats")
    expected = oracle.gold({source: oracle.latest_rows(paths, source) for source, paths in files.items()},
                           as_of)
    for table, rows in expected.items():
        columns = list(next(iter(rows.values())))
        found = {key: dict(zip(columns, values, strict=True)) for key, *values in shop.query(
            "gold", f"select {KEYS[table]}, {', '.join(columns)} from {table}")}
        assert found.keys() == rows.keys()
        for key, row in rows.items():
            # repr of a float is its shortest decimal: exact to the cent, no tolerance
            as_decimals = {name: Decimal(repr(value)) if isinstance(value, float) else value for name,
                           value in found[key].items()}
            assert as_decimals == row, f"{table} {key}"


def files_of(folder: Path) -> dict[str, list[Path]]:
    return {source: sorted(path for path in folder.glob("*.csv")
                           if path.name.startswith((f"{source}.", f"{source}_2")))
            for source in oracle.KEYS}


def test_every_measure_of_the_sample(loaded: Shop):
    assert_gold_is_right(loaded, files_of(loaded.source))


def test_every_measure_after_day_2(used: Shop, warm: WarmRuns):
    subprocess.run([sys.executable, PROJECT / "data" / "generate.py", used.source, "--day", "2"], check=True,
                   capture_output=True)
    assert len(files_of(used.source)["orders"]) == 2
    warm.run(used)
    assert_gold_is_right(used, files_of(used.source))


def test_every_measure_of_real_input(chinook: Path, tmp_path: Path, warm: WarmRuns):
    shop = Shop(tmp_path)
    warm.run(shop, "--source", str(chinook))
    assert_gold_is_right(shop, files_of(chinook))
    assert shop.counts("raw", "customers", "products", "orders", "order_lines", "payments") == [
        59, 3503, 412, 2240, 412]
    assert shop.counts("gold", "sales_summary_daily", "reporting_sales_wide", "reporting_customer_stats") == [
        354, 2240, 59]
    assert shop.query("gold", "select printf('%.2f', sum(total_sales)) from sales_summary_daily") == [
        ("2328.60",)]
    assert shop.query(
            "gold", "select first_name, city from reporting_sales_wide where customer_id = '1' limit 1") == [
        ("Luís", "São José dos Campos")]


def test_dimensions_are_clean(loaded: Shop):
    for first, last, city, email, segment in loaded.query(
            "curated", "select first_name, last_name, city, email, segment from dim_customers"):
        for name in filter(None, (first, last, city)):
            assert name == name.strip()
            assert not (len(name) > 1 and name.isupper()), name
            assert not name.islower(), name
        assert email is None or email == email.strip().lower()
        assert segment is None or segment == segment.upper()
