"""What a run has reported survives a power failure: bytes are on the disk before they count."""

import os
from pathlib import Path

import pyarrow as pa
import pytest

from lib.ingest import archive
from lib.storage import audit
from lib.storage.files import hash_file
from lib.storage.layer import open_layer

FULL = 2  # SQLite's number for `pragma synchronous = full`
COLUMNS = pa.schema([("key", pa.string())])


@pytest.fixture
def synced(tmp_path: Path, monkeypatch) -> list[tuple[str, list[str]]]:
    """What Python forces to the disk: a name, and which visible files there were at that moment."""
    found, fsync = [], os.fsync

    def note(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(tmp_path).as_posix()
        visible = (path for path in tmp_path.rglob("*") if path.is_file() and path.name[0] != ".")
        found.append((name, sorted(path.name for path in visible)))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return found


def write(warehouse: Path, keys: list[str]) -> int:
    with open_layer(warehouse, "gold", write=True) as layer:
        layer.create_table("things", COLUMNS, key="key")
        layer.insert("things", pa.table({"key": keys}, schema=COLUMNS))
        return layer.scalar("pragma synchronous")


def test_a_new_layer_is_on_the_disk_before_it_has_its_name_and_so_is_its_name(tmp_path: Path, synced: list):
    write(tmp_path, ["a"])
    assert synced == [(".gold.db.new", []), (".", ["gold.db"])]


def test_a_commit_to_a_layer_waits_for_the_disk(tmp_path: Path):
    write(tmp_path, ["a"])
    assert write(tmp_path, ["b"]) == FULL


def test_a_row_of_the_log_waits_for_the_disk(tmp_path: Path):
    with audit.open_audit(tmp_path) as log:
        assert log.execute("pragma synchronous").fetchone() == (FULL,)
        assert log.execute("pragma journal_mode").fetchone() == ("wal",)


def test_a_delivery_is_on_the_disk_before_it_counts_as_archived(tmp_path: Path, synced: list):
    delivered = tmp_path / ".orders.csv"
    delivered.write_bytes(b"order_id\nO1\n")
    sha256 = hash_file(delivered)
    assert archive.keep(tmp_path, delivered, sha256)
    folder = f"archive/{sha256[:2]}"
    assert synced == [(f"{folder}/.{sha256}.zst.partial", []), (folder, [f"{sha256}.zst"])]


@pytest.mark.parametrize("was_archived", [False, True])
def test_a_file_that_is_not_what_was_hashed_is_not_archived(tmp_path: Path, was_archived: bool):
    delivered = tmp_path / "orders.csv"
    delivered.write_bytes(b"order_id\nO1\n")
    sha256 = hash_file(delivered)
    if was_archived:
        assert archive.keep(tmp_path, delivered, sha256)
    delivered.write_bytes(b"order_id\nO2\n")
    assert not archive.keep(tmp_path, delivered, sha256)
    assert len(list((tmp_path / "archive").rglob("*.*"))) == was_archived
