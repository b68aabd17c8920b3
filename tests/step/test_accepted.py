"""A delivery that a person has seen and accepted stays accepted: one bad day stops no later rebuild."""

from pathlib import Path

import pandas as pd
import pytest
from conftest import ORDERS, Shop
from test_quarantine import refused

from lib.reproduce.replay import replay
from lib.reproduce.verify import verify
from lib.steps import Options

BAD = [ORDERS, *(f"B{n},C1,2025-02-30,,1.00,placed" for n in range(5)), "G1,C1,2025-02-01,,7.00,placed"]
BROKEN = [ORDERS, *(f"B{n},C1" for n in range(5)), "G1,C1,2025-02-01,,7.00,placed"]  # these are no rows
REPEATED = [ORDERS, *(f"G1,C1,2025-02-01,,{n}.00,placed" for n in range(8))]
ORDERED = "select count(*), sum(total_amount) from fact_orders"


@pytest.fixture
def accepted(small: Shop, run) -> Shop:
    """The small shop after a delivery of which five of six rows cannot be loaded, which was accepted."""
    small.deliver("orders_2.csv", *BAD)
    assert "5 of 6 rows cannot be loaded" in refused(run)
    assert run(quarantine_limit=0.9).verdict == "success"
    return small


def notes(result) -> list[str]:
    return [warning for warning in result.warnings() if "accepted" in warning]


def test_a_rebuild_accepts_it_again_and_says_so(accepted: Shop, run):
    [note] = notes(run(full_refresh=True))
    assert note.startswith("orders_2.csv: 5 of 6 rows") and "--quarantine-limit 0.9" in note
    assert accepted.query("curated", ORDERED) == [(3, 31.0)]
    assert len(notes(run(full_refresh=True, quarantine_limit=0.2))) == 1
    assert notes(run(full_refresh=True, quarantine_limit=0.9)) == []


def test_only_that_delivery_is_accepted(accepted: Shop, run):
    accepted.deliver("orders_3.csv", *(line.replace("B", "D") for line in BAD))
    assert "orders_3.csv: 5 of 6 rows" in refused(run)
    assert "orders_3.csv: 5 of 6 rows" in refused(run, full_refresh=True)


def test_a_new_file_of_the_same_name_is_not_accepted_with_it(accepted: Shop, run):
    accepted.deliver("orders_2.csv", *(line.replace("B", "D") for line in BAD))
    assert "orders_2.csv: 5 of 6 rows" in refused(run)
    assert "orders_2.csv: 5 of 6 rows" in refused(run, full_refresh=True)


def test_rules_that_refuse_more_of_it_are_told(accepted: Shop, run, monkeypatch):
    monkeypatch.setattr("lib.step.base.Step.check", refuse_all_of_it)
    assert "orders_2.csv: 6 of 6 rows cannot be loaded" in refused(run, full_refresh=True)


def refuse_all_of_it(step, suite: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Stand in for a suite of orders that accepts only the first two."""
    bad = rows[~rows["order_id"].isin(["O1", "O2"])] if suite == "fact_orders" else rows.iloc[:0]
    if len(bad):
        step.refuse(suite, bad, pd.DataFrame({"rule": "none", "reason": "none"}, index=bad.index))
    return rows.drop(index=bad.index)


@pytest.mark.parametrize("lines", [BAD, BROKEN, REPEATED])
def test_it_stays_accepted_when_raw_is_read_again_from_the_source_folder(small: Shop, run, lines: list[str]):
    small.deliver("orders_2.csv", *lines)
    refused(run)
    run(quarantine_limit=0.9)
    for layer in ("raw", "curated", "gold"):
        for suffix in ("", "-wal", "-shm"):
            (small.warehouse / f"{layer}.db{suffix}").unlink(missing_ok=True)
    assert len(notes(run())) == 1
    assert small.query("curated", ORDERED) == [(3, 31.0)]


def test_a_history_with_an_accepted_delivery_is_replayed_and_equals_one_full_load(
        accepted: Shop, run, tmp_path: Path):
    run(full_refresh=True)
    options, shown = Options(accepted.source, accepted.warehouse, accepted.reports), []
    [(batch_id,)] = accepted.query("audit", "select max(batch_id) from pipeline_execution_log")
    assert replay(options, batch_id, tmp_path / "again", shown.append), shown
    assert verify(options, tmp_path / "verified", shown.append), shown
