"""The archive forgets a delivery only when no run has read it for long enough."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lib.errors import PipelineError, StepError
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
    assert all(part in note for part in ("2 deliveries", "before 2025-03-01 were", "runs from run2 on"))
    assert archive.prune(tmp_path, 30, "2025-03-31 00:00:00.000000") == []


def test_what_is_taken_out_is_what_was_put_in(tmp_path: Path):
    content = bytes(range(256)) * 20_000  # several blocks
    (tmp_path / "orders.csv").write_bytes(content)
    sha256 = hash_file(tmp_path / "orders.csv")
    archive.keep(tmp_path, tmp_path / "orders.csv", sha256)
    archive.take_out(tmp_path, sha256, tmp_path / "again" / "orders.csv")
    assert (tmp_path / "again" / "orders.csv").read_bytes() == content


def put(warehouse: Path, content: bytes) -> str:
    (warehouse / "orders.csv").write_bytes(content)
    sha256 = hash_file(warehouse / "orders.csv")
    assert archive.keep(warehouse, warehouse / "orders.csv", sha256)
    return sha256


def test_a_content_is_archived_once_under_its_hash(tmp_path: Path):
    sha256 = put(tmp_path, b"order_id")
    path = tmp_path / "archive" / sha256[:2] / f"{sha256}.zst"
    before = path.stat().st_mtime_ns
    assert put(tmp_path, b"order_id") == sha256
    assert [path.stat().st_mtime_ns] == [before] and kept(tmp_path) == [sha256]


def test_contents_whose_hashes_begin_alike_are_in_one_folder(tmp_path: Path):
    (tmp_path / "orders.csv").write_bytes(b"order_id")
    sha256 = hash_file(tmp_path / "orders.csv")
    (tmp_path / "archive" / sha256[:2]).mkdir(parents=True)
    assert put(tmp_path, b"order_id") == sha256 and kept(tmp_path) == [sha256]


def test_an_archive_that_cannot_be_written_stops_the_step_and_leaves_nothing(tmp_path: Path):
    (tmp_path / "archive").write_text("in its place")
    with pytest.raises(StepError, match=r"orders\.csv cannot be archived in .*archive.*\(.+\)\. .+"):
        put(tmp_path, b"order_id")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "orders.csv"]


@pytest.mark.parametrize(("spoil", "words"), [
    (lambda path: path.unlink(), "is not in the archive.*Restore it from a backup"),
    (lambda path: path.write_bytes(path.read_bytes()[:-3]), "orders\\.csv.*archive.*Restore it"),
    (lambda path: path.write_bytes(b"no archive"), "cannot be read from the archive.*Restore it"),
    (lambda path: path.write_bytes(archive.archived_path(path.parents[2], put(path.parents[2], b"other"))
                                   .read_bytes()), "was changed in the archive.*Restore it"),
], ids=["gone", "cut off", "no archive", "another"])
def test_a_delivery_that_the_archive_does_not_have_as_it_was_is_named(tmp_path: Path, spoil, words: str):
    sha256 = put(tmp_path, b"order_id\nO1\n")
    spoil(archive.archived_path(tmp_path, sha256))
    with pytest.raises(PipelineError, match=words):
        archive.take_out(tmp_path, sha256, tmp_path / "again" / "orders.csv")
