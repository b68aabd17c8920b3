"""The archive forgets a delivery only when no run has read it for long enough."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lib.ingest import archive
from lib.storage.files import hash_file

COLUMNS = "content_sha256 text, ingestion_timestamp text, batch_id text"


def deliver(warehouse: Path, *readings: tuple[str, str, str]) -> None:
    """Put contents into the archive, with when which run read them."""
    with closing(sqlite3.connect(warehouse / "raw.db")) as raw, raw:
        raw.execute(f"create table deliveries ({COLUMNS})")
        raw.executemany("insert into deliveries values (?, ?, ?)", readings)
    for name, *_ in readings:
        path = archive.archived_path(warehouse, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def kept(warehouse: Path) -> list[str]:
    return sorted(path.stem for path in (warehouse / "archive").rglob("*.zst"))


@pytest.mark.parametrize(("last_read", "is_kept"), [
    ("2025-03-01 12:00:00.000001", True), ("2025-03-01 12:00:00.000000", True),
    ("2025-03-01 11:59:59.999999", False)])
def test_a_delivery_stays_for_so_many_days_after_it_was_last_read(tmp_path: Path, last_read, is_kept: bool):
    deliver(tmp_path, ("aa1", last_read, "run1"))
    notes = archive.prune(tmp_path, 30, "2025-03-31 12:00:00.000000")
    assert (kept(tmp_path), len(notes)) == ((["aa1"], 0) if is_kept else ([], 1))


def test_the_latest_reading_counts_not_the_oldest(tmp_path: Path):
    deliver(tmp_path, ("aa1", "2025-01-01 00:00:00.000000", "run1"),
            ("aa1", "2025-03-30 00:00:00.000000", "run9"), ("bb1", "2025-01-02 00:00:00.000000", "run2"),
            ("bb1", "2025-01-03 00:00:00.000000", "run3"), ("cc1", "2025-01-04 00:00:00.000000", "run4"))
    [note] = archive.prune(tmp_path, 30, "2025-03-31 00:00:00.000000")
    assert kept(tmp_path) == ["aa1"]
    assert all(part in note for part in ("2 deliveries", "2025-03-01", "runs from run2 on"))
    assert archive.prune(tmp_path, 30, "2025-03-31 00:00:00.000000") == []


def test_what_is_taken_out_is_what_was_put_in(tmp_path: Path):
    content = bytes(range(256)) * 20_000  # several blocks
    (tmp_path / "orders.csv").write_bytes(content)
    sha256 = hash_file(tmp_path / "orders.csv")
    archive.keep(tmp_path, tmp_path / "orders.csv", sha256)
    archive.take_out(tmp_path, sha256, tmp_path / "again" / "orders.csv")
    assert (tmp_path / "again" / "orders.csv").read_bytes() == content
