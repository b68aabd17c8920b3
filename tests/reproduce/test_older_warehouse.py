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


def raw_rows(shop: Shop) -> dict[str, list[tuple]]:
    """Return every row of raw's tables of the sources of that release."""
    return {table: shop.query("raw", f"select * from {table}") for table in STEPS["raw"].outputs[:5]}


def check(shop: Shop, into: Path) -> tuple[bool, list[str]]:
    """Return whether verify finds all well, and its lines."""
    lines: list[str] = []
    return verify(Options(shop.source, shop.warehouse, shop.reports), into, lines.append), lines


def test_its_records_are_well_and_what_differs_is_due_to_rules_that_changed(
        older: Shop, tmp_path: Path, monkeypatch):
    in_process.keep_in_process(monkeypatch)
    _, lines = check(older, tmp_path / "verified")
    assert lines[:6] == [f"{check}: ok" for check in (
        "log and manifests", "folders of the runs", "watermarks and checksums",
        "tables against their checksums", "counts of deliveries", "tables against their commits")]
    [(last,)] = older.query("audit", "select max(batch_id) from pipeline_manifest")
    lines = []
    is_same = replay(Options(older.source, older.warehouse, older.reports), last, tmp_path / "again",
                     lines.append)
    named = [line for line in lines if re.search(r"changed since: .*(notebook \d_\w+\.ipynb|contract)", line)]
    assert is_same or named, "\n".join(lines)


def test_a_run_goes_on_says_why_it_rebuilds_and_ends_as_one_full_load_by_the_rules_of_now(
        older: Shop, tmp_path: Path, warm: WarmRuns):
    before = raw_rows(older)
    assert all(before.values())
    output = warm.run(older, "--now", LATER).stdout
    assert re.search(r"\.ipynb changed|no table changed", output)  # the second, just after a release
    assert raw_rows(older) == before
    is_well, lines = check(older, tmp_path / "verified")
    assert is_well and lines[-1] == "tables against one full load: ok", "\n".join(lines)
    assert "no table changed" in warm.run(older, "--now", f"{LATER}.000001").stdout
