"""Deliveries of the time before a column came into the contract can be repeated, verified and loaded anew."""

from dataclasses import replace

import pytest
from conftest import CUSTOMERS, Shop

from lib.contract import SOURCES, Column
from lib.reproduce.replay import replay
from lib.reproduce.verify import verify
from lib.steps import Options

OLD = SOURCES["customers"]
NEW_FILE = (f"{CUSTOMERS},loyalty_points", "C3,Cem,C,,,,,,vip,7")


def add(monkeypatch, *columns: Column) -> None:
    monkeypatch.setitem(SOURCES, "customers", replace(OLD, columns=(*OLD.columns, *columns)))


def points(shop: Shop) -> list[tuple]:
    return shop.query("raw", "select customer_id, loyalty_points from customers order by row_id")


def assert_past_is_readable(shop: Shop, into) -> None:
    """Assert that verify and replay read all that was delivered, and find what is there."""
    given, lines = Options(shop.source, shop.warehouse, shop.reports), []
    assert verify(given, into / "verified", lines.append), "\n".join(lines)
    batches = shop.query("audit", "select batch_id from pipeline_manifest order by manifest_id")
    for (batch_id,) in batches:
        assert replay(given, batch_id, into / batch_id, lines.append), "\n".join(lines)


ADDED = {
    "may be empty": [Column("loyalty_points", "number", optional=True)],
    "is required": [Column("loyalty_points", "number")],
    "is required since a file": [Column("loyalty_points", "number", since="customers_2.csv")],
    "are more than all others": [Column("loyalty_points", "number"), *(
        Column(f"more_{number}", "text", optional=True) for number in range(12))],
}


@pytest.mark.parametrize("added", ADDED)
def test_what_was_loaded_before_a_column_was_added_is_verified_and_replayed(
        added: str, small: Shop, run, tmp_path, monkeypatch):
    add(monkeypatch, *ADDED[added])
    run()  # curated is rebuilt, since its contract has changed
    assert_past_is_readable(small, tmp_path / "before")
    if added != "are more than all others":
        small.deliver("customers_2.csv", *NEW_FILE)
        run()
        assert points(small) == [("C1", None), ("C2", None), ("C3", "7")]
        assert_past_is_readable(small, tmp_path / "after")


def test_a_name_that_was_not_in_the_contract_is_not_mistaken_for_the_added_column_later(
        small: Shop, run, tmp_path, monkeypatch):
    small.deliver("customers_1.csv", f"{CUSTOMERS},points_loyalty", "C4,Dan,D,,,,,,vip,x")
    run()
    add(monkeypatch, *ADDED["may be empty"])
    run()
    assert_past_is_readable(small, tmp_path / "read")


@pytest.mark.parametrize("added", ["may be empty", "is required since a file"])
def test_old_and_new_files_are_loaded_into_a_new_warehouse(added: str, small: Shop, tmp_path, monkeypatch):
    import in_process

    add(monkeypatch, *ADDED[added])
    fresh = Shop(tmp_path / "fresh")
    fresh.source.parent.mkdir(parents=True)
    small.source.rename(fresh.source)
    in_process.run(fresh, monkeypatch)
    assert points(fresh) == [("C1", None), ("C2", None)]
    fresh.deliver("customers_2.csv", *NEW_FILE)
    in_process.run(fresh, monkeypatch)
    assert points(fresh) == [("C1", None), ("C2", None), ("C3", "7")]


def test_a_new_file_without_a_column_that_is_required_since_an_earlier_one_is_refused(
        small: Shop, run, monkeypatch):
    add(monkeypatch, *ADDED["is required since a file"])
    small.deliver("customers_2.csv", *NEW_FILE)
    small.deliver("customers_10.csv", CUSTOMERS, "C5,Eve,E,,,,,,vip")
    with pytest.raises(AssertionError, match=r"customers_10\.csv, line 1: the header lacks 'loyalty_points'"):
        run(all_or_nothing=True)
