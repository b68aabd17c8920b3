"""Whatever way the data was cut into deliveries and runs, curated and gold equal one full load of everything delivered.

Random histories (insert, change, move, deliver again, reorder, split, duplicate, delete) run through the real steps, and
after every run the tables are held against a model of a few lines: what each file said last, and gold from the oracle.
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
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lib.contract import SOURCES

HISTORIES = 12 * int(os.environ.get("SOAK", "1"))
FILES = {source: [f"{source}.csv", f"{source}_2.csv", f"{source}/a.csv", f"{source}/b.csv.gz"] for source in SOURCES}
GOLD_KEYS = {"reporting_sales_wide": "order_line_id", "sales_summary_daily": "order_date", "reporting_customer_stats": "customer_id"}

ids = {"customers": ["007", "C1", "1e3"], "products": ["P1", "NA"], "orders": ["O1", "O2", "O3", "00"],
       "order_lines": ["L1", "L2", "L3", "L4", "L5"], "payments": ["Y1", "Y2", "Y3"]}
cents = st.integers(0, 99999).map(lambda number: f"{number // 100}.{number % 100:02d}")
optional_cents = st.one_of(st.just(""), cents)
days = st.sampled_from(["2025-01-01", "2025-01-02", "2025-01-02T23:30:00-02:00", "2025-01-03 10:00:00"])
fields = {
    "customers": {"first_name": st.sampled_from(["ANNA", "bob", ""]), "last_name": st.sampled_from(["null", "Łódź"]),
                  "segment": st.sampled_from(["vip", "RETAIL", ""])},
    "products": {"product_name": st.sampled_from(["Cup, blue", 'A "B"', "x\ny"]), "unit_price": optional_cents},
    "orders": {"customer_id": st.sampled_from(ids["customers"]), "order_date": days, "total_amount": optional_cents,
               "status": st.sampled_from(["placed", "CANCELLED", "", "shipped"])},
    "order_lines": {"order_id": st.sampled_from(ids["orders"]), "product_id": st.sampled_from(ids["products"]),
                    "quantity": st.sampled_from(["1", "-2", "0", "2.5", "0.333"]), "unit_price": cents,
                    "discount_amount": optional_cents},
    "payments": {"order_id": st.sampled_from(ids["orders"]), "payment_date": st.one_of(st.just(""), days),
                 "payment_method": st.sampled_from(["card", "CASH", ""]),
                 "payment_status": st.sampled_from(["SUCCESS", "failed", ""]), "payment_amount": optional_cents},
}


@st.composite
def deliveries(draw) -> tuple[str, str, tuple]:
    """One file: its source, its name and its rows, in which a key may stand several times."""
    source = draw(st.sampled_from(list(SOURCES)))
    rows = draw(st.lists(st.fixed_dictionaries(
        {column.name: fields[source].get(column.name, st.just("")) for column in SOURCES[source].columns}
        | {SOURCES[source].key: st.sampled_from(ids[source])}), min_size=0, max_size=4))
    return source, draw(st.sampled_from(FILES[source])), rows


runs = st.fixed_dictionaries({
    "deliveries": st.lists(deliveries(), max_size=4),
    "full_refresh": st.sampled_from([False, False, False, True]),
    "steps": st.sampled_from([("raw", "dimensions", "facts", "gold")] * 4 + [("raw",), ("raw", "facts"), ("raw", "dimensions")]),
    "snapshot": st.sampled_from([()] * 4 + [("customers",), ("orders",), ("order_lines", "payments")]),
    "again": st.booleans(),
})


class Model:
    """What a source's rows are now, by the rule of the raw layer: a file that repeats itself says nothing new."""

    def __init__(self) -> None:
        self.now: dict[str, dict[str, dict | None]] = {source: {} for source in SOURCES}
        self.said: dict[str, dict[str, dict | None]] = {}
        self.bytes: dict[str, bytes] = {}
        self.ever: set[bytes] = set()

    def deliver(self, source: str, name: str, content: bytes, rows: list[dict], is_snapshot: bool) -> None:
        if self.bytes.get(name) == content or (name not in self.bytes and content in self.ever):
            return
        self.bytes[name] = content
        self.ever.add(content)
        now, said = self.now[source], self.said.setdefault(name, {})
        last = {row[SOURCES[source].key]: row for row in rows}
        for key, row in last.items():
            if row != (said[key] if key in said else now.get(key)):
                now[key] = row
            said[key] = row
        if is_snapshot:
            for key in [key for key, row in now.items() if row is not None and key not in last]:
                now[key] = said[key] = None

    def rows(self) -> dict[str, dict[str, dict]]:
        return {source: {key: {name: value.strip() or None for name, value in row.items()}
                         for key, row in rows.items() if row is not None} for source, rows in self.now.items()}


def content_of(source: str, rows: list[dict]) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, SOURCES[source].column_names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    os.utime(path, (1e9, 1e9))  # times are no identity: all files carry the same


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
        found = [key for (key,) in shop.query("curated", f"select {source.key} from {table} where is_deleted = 0")]
        assert sorted(found) == sorted(rows[source.name]), table
    [as_of] = [day for (day,) in shop.query("gold", "select distinct as_of_date from reporting_customer_stats")] or ["2025-01-01"]
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


@settings(max_examples=HISTORIES, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(history=st.lists(runs, min_size=1, max_size=5))
def test_every_history_equals_one_full_load(history: list[dict]):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("lib.step.base.Step.check", lambda step, suite, rows: rows)  # all values are good: gates have their tests
        SOAKED["histories"] += 1
        shop, model = Shop(Path(folder)), Model()
        shop.source.mkdir()
        for number, one in enumerate(history):
            for source, name, rows in one["deliveries"]:
                write(shop.source / name, content_of(source, rows))
            if not any(shop.source.rglob("*.csv*")):
                continue
            options = {name: one[name] for name in ("full_refresh", "steps", "snapshot")}
            in_process.run(shop, patch, **options, snapshot_limit=1.0)
            for path in sorted(shop.source.rglob("*.csv*"), key=lambda path: path.relative_to(shop.source).as_posix()):
                name = path.relative_to(shop.source).as_posix()
                source = next(source for source, names in FILES.items() if name in names)
                content = path.read_bytes()
                text = gzip.decompress(content) if path.suffix == ".gz" else content
                model.deliver(source, name, content, list(csv.DictReader(io.StringIO(text.decode(), newline=""))),
                              source in one["snapshot"])
            if len(one["steps"]) == 4:
                assert_equals_one_full_load(shop, model)
            if one["again"] or number == len(history) - 1:
                in_process.run(shop, patch)  # whatever an earlier run left undone
                assert_equals_one_full_load(shop, model)
        if (shop.warehouse / "gold.db").exists():
            before = digests(shop)
            in_process.run(shop, patch, full_refresh=True)
            assert_equals_one_full_load(shop, model)
            assert digests(shop) == before


def digests(shop: Shop) -> dict[str, str]:
    """Return the digest that the layers recorded last for each table of curated and gold that is not empty."""
    return {table: digest for layer in ("curated", "gold") for table, digest in shop.query(
        layer, "select table_name, digest from layer_commits where commit_id in (select max(commit_id) from layer_commits "
               "group by table_name) and table_name not like '%\\_replaced' escape '\\' and rows_after > 0")}
