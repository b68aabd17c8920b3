"""A warehouse that an earlier release made is verified, replayed and continued by the code as it is now."""

import hashlib
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import in_process
import pytest
from conftest import PROJECT, Shop
from warehouses.make import DELIVERIES, LAYERS, RUNS, deliver
from warm_runs import WarmRuns

from lib.ingest import archive
from lib.reproduce.replay import replay
from lib.reproduce.verify import verify
from lib.steps import STEPS, Options

WAREHOUSES = PROJECT / "tests" / "warehouses"
VERSIONS = sorted(path.parent.name for path in WAREHOUSES.glob("*/raw.sql"))
LATER = "2026-01-04 18:00:00"  # on the day of the last run, since gold counts the days since each order


@pytest.fixture(params=VERSIONS)
def older(request, tmp_path: Path) -> Shop:
    """A shop as a release left it: its databases, its archive and its source folder."""
    shop = Shop(tmp_path / "older")
    shop.warehouse.mkdir(parents=True)
    for layer in LAYERS:
        dump = (WAREHOUSES / request.param / f"{layer}.sql").read_text(encoding="utf-8")
        with closing(sqlite3.connect(shop.warehouse / f"{layer}.db")) as connection:
            connection.executescript(dump)
    for delivered, *_ in RUNS.values():
        if delivered:
            for path in (DELIVERIES / delivered).iterdir():
                archive.keep(shop.warehouse, path, hashlib.sha256(path.read_bytes()).hexdigest())
            deliver(delivered, shop.source)
    return shop


def counts(shop: Shop) -> dict[str, int]:
    """Return how many rows each table of raw, curated and gold has."""
    return {table: shop.counts(step.writes, table)[0] for step in STEPS.values() for table in step.outputs}


def assert_verified(shop: Shop, into: Path) -> None:
    lines: list[str] = []
    assert verify(Options(shop.source, shop.warehouse, shop.reports), into, lines.append), "\n".join(lines)


def test_a_replay_of_its_last_run_names_the_rules_that_have_changed_since(older: Shop, tmp_path: Path,
                                                                         monkeypatch):
    in_process.keep_in_process(monkeypatch)
    [(last,)] = older.query("audit", "select max(batch_id) from pipeline_manifest")
    lines: list[str] = []
    options = Options(older.source, older.warehouse, older.reports)
    assert not replay(options, last, tmp_path / "again", lines.append)
    assert re.search(r"changed since: .*2_dimensions\.ipynb", "\n".join(lines))


def test_a_run_goes_on_and_says_why_it_rebuilds_the_tables(older: Shop, tmp_path: Path, warm: WarmRuns):
    before, raw = counts(older), older.query("raw", "select * from customers order by row_id")
    output = warm.run(older, "--now", LATER).stdout
    assert re.search(r"\.ipynb changed", output)
    assert counts(older) == before and len(before) == 13
    assert older.query("raw", "select * from customers order by row_id") == raw
    electronics = "select distinct category from dim_products where lower(category) = 'electronics'"
    assert older.query("curated", electronics) == [("Electronics",)]  # which were electronics, too
    assert "no table changed" in warm.run(older, "--now", f"{LATER}.000001").stdout
    assert_verified(older, tmp_path / "verified")
