"""However the data was cut into deliveries and runs, curated and gold equal one full load of it.

Random histories (insert, change, move, deliver again, reorder, split, duplicate, delete) run through the real
steps. After every run the tables are compared with a model of a few lines: what each file held last, and gold
from the oracle.
"""

import csv
import gzip
import io
import os
import tempfile
from decimal import Decimal
from pathlib import Path

import in_process
import oracle
import pytest
from conftest import SOAKED, Shop
from histories import BROKEN, FILES, Model, runs, write
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lib.contract import SOURCES
from lib.ingest.deliveries import list_files

LENIENT = {"quarantine_limit": 1.0, "may_lack_deliveries": True}
HISTORIES = 12 * int(os.environ.get("SOAK", "1"))
GOLD_KEYS = {"reporting_sales_wide": "order_line_id", "sales_summary_daily": "order_date",
             "reporting_customer_stats": "customer_id"}

def assert_totals_are_those_of_all_rows(shop: Shop) -> None:
    kept = shop.query("gold", "select definition, gold, curated from balances where balance_id in "
                              "(select max(balance_id) from balances group by figure)")
    assert kept
    for definition, gold, curated in kept:
        assert gold == curated, definition
        table, amount = definition.partition(" = ")[0].split(": ")
        total = sum(Decimal(repr(value)) for (value,) in shop.query("gold", f"select {amount} from {table}"))
        assert Decimal(gold) == total, definition


def assert_equals_one_full_load(shop: Shop, model: Model) -> None:
    assert_totals_are_those_of_all_rows(shop)
    rows = model.rows()
    for source in SOURCES.values():
        table = f"{'dim' if source.name in ('customers', 'products') else 'fact'}_{source.name}"
        found = [key for (key,) in shop.query("curated",
                                              f"select {source.key} from {table} where is_deleted = 0")]
        assert sorted(found) == sorted(rows[source.name]), table
    [as_of] = [day
               for (day,) in shop.query(
                       "gold", "select distinct as_of_date from reporting_customer_stats")] or [
                               "2025-01-01"]
    for table, expected in oracle.gold(rows, as_of).items():
        columns = [name for (name,) in shop.query("gold", f"select name from pragma_table_info('{table}')")]
        found = {}
        for values in shop.query("gold", f"select * from {table}"):
            row = dict(zip(columns, values, strict=True))
            found[row[GOLD_KEYS[table]]] = {name: Decimal(repr(value)) if isinstance(value, float) else value
                                            for name, value in row.items()}
        assert sorted(found) == sorted(expected), table
        for key, row in expected.items():
            assert {name: found[key][name] for name in row} == row, f"{table} {key}"


@pytest.mark.whole_run
@settings(max_examples=HISTORIES, deadline=None, suppress_health_check=list(HealthCheck),
          phases=[Phase.generate])
@given(history=st.lists(runs, min_size=1, max_size=5))
def test_every_history_equals_one_full_load(history: list[dict]):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("lib.step.base.Step.check", lambda step, suite, rows: rows)  # all values are good
        SOAKED["histories"] += 1
        shop, model = Shop(Path(folder)), Model()
        shop.source.mkdir()
        for number, one in enumerate(history):
            for _, name, content in one["deliveries"]:
                write(shop.source / name, content)
            if not any(shop.source.rglob("*.csv*")):
                continue
            options = {name: one[name] for name in ("full_refresh", "steps", "snapshot")}
            in_process.run(shop, patch, **options, **LENIENT, snapshot_limit=1.0)
            for path in list_files(shop.source):
                name = path.relative_to(shop.source).as_posix()
                source = next(source for source, names in FILES.items() if name in names)
                content = path.read_bytes()
                text = gzip.decompress(content) if path.suffix == ".gz" else content
                if not text.startswith(BROKEN):
                    model.deliver(source, name, content,
                                  list(csv.DictReader(io.StringIO(text.decode(), newline=""))),
                                  source in one["snapshot"])
            if not model.ever:  # no file could be read so far
                assert not (shop.warehouse / "gold.db").exists()
                continue
            if len(one["steps"]) == 4:
                assert_equals_one_full_load(shop, model)
            if one["again"] or number == len(history) - 1:
                in_process.run(shop, patch, **LENIENT)  # does what an earlier run left undone
                assert_equals_one_full_load(shop, model)
        if (shop.warehouse / "gold.db").exists():
            before = digests(shop)
            in_process.run(shop, patch, **LENIENT, full_refresh=True)
            assert_equals_one_full_load(shop, model)
            assert digests(shop) == before


def digests(shop: Shop) -> dict[str, str]:
    """Return the digest that was recorded last for each table of curated and gold that is not empty."""
    return {table: digest for layer in ("curated", "gold") for table, digest in shop.query(
        layer,
        "select table_name, digest from layer_commits where commit_id in (select max(commit_id) from "
        "layer_commits "
               "group by table_name) and table_name not like '%\\_replaced' escape '\\' and rows_after > 0")}
