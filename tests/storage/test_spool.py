"""The spool: the next step reads what a step has written from it, if it is what the layer has."""

import errno
from pathlib import Path

import pyarrow as pa
import pytest

from lib.errors import PipelineError
from lib.storage import spool
from lib.storage.layer import Layer, open_layer
from lib.storage.temporary import SPOOL

COLUMNS = pa.schema([("key", pa.string()), ("amount", pa.float64()), ("file", pa.string())])
ROWS = pa.table({"key": ["a", "b", "c"], "amount": [1.5, None, -0.0]})
WRITTEN = [(1, "a", 1.5, "f.csv"), (2, "b", None, "f.csv"), (3, "c", 0.0, "f.csv")]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv(SPOOL, str(tmp_path / "spool"))
    monkeypatch.setattr(spool, "LEAST_ROWS", 1)
    return tmp_path / "spool"


def write(warehouse: Path, *, then=lambda layer: None) -> None:
    with open_layer(warehouse, "raw", write=True) as layer:
        layer.create_table("things", COLUMNS, serial="row_id")
        layer.insert("things", ROWS, {"file": "f.csv"})
        then(layer)


def read(warehouse: Path, first: int = 1) -> list[tuple] | None:
    """Return what the spool has of the table from a row on, in the layer's order of columns."""
    with open_layer(warehouse, "raw") as layer:
        batches = spool.spooled(layer, "things", ["row_id", "key", "amount", "file"], first)
        return None if batches is None else [tuple(row.values()) for batch in batches
                                             for row in batch.to_pylist()]


def test_the_next_step_gets_the_rows_as_the_layer_has_them(tmp_path: Path):
    write(tmp_path)
    assert read(tmp_path) == WRITTEN
    assert read(tmp_path, first=3) == WRITTEN[2:]


def test_an_increment_gets_the_new_rows_and_a_full_load_reads_the_layer(tmp_path: Path):
    write(tmp_path)
    write(tmp_path)
    assert [row[0] for row in read(tmp_path, first=4)] == [4, 5, 6]
    assert read(tmp_path, first=1) is None  # the file has only what the second transaction wrote


@pytest.mark.parametrize("change", [
    lambda layer: layer.delete("things", "where key = 'b'"),
    lambda layer: layer.update("things", "file", "g.csv", "where key = 'b'"),
    lambda layer: layer.insert("things", ROWS.select(["key"])),
], ids=["deleted", "changed", "other columns"])
def test_a_table_whose_rows_are_not_just_appended_is_read_from_the_layer(tmp_path: Path, change):
    write(tmp_path, then=change)
    assert read(tmp_path) is None


def test_a_table_that_is_cleared_begins_again(tmp_path: Path):
    def rebuild(layer: Layer) -> None:
        layer.clear("things")
        layer.insert("things", ROWS.slice(2), {"file": "g.csv"})
    write(tmp_path, then=rebuild)
    assert read(tmp_path) == [(1, "c", 0.0, "g.csv")]


def test_what_a_delivery_wrote_before_it_failed_is_not_handed_on(tmp_path: Path):
    def fail(layer: Layer) -> None:
        with pytest.raises(PipelineError, match="broken"), layer.savepoint():
            layer.insert("things", ROWS, {"file": "broken.csv"})
            raise PipelineError("broken")
    write(tmp_path, then=fail)
    assert read(tmp_path) is None


def test_a_layer_that_has_changed_since_is_read_itself(tmp_path: Path, monkeypatch):
    write(tmp_path)
    monkeypatch.delenv(SPOOL)  # such as by a notebook that is run by hand
    with open_layer(tmp_path, "raw", write=True) as layer:
        layer.insert("things", ROWS, {"file": "h.csv"})
    monkeypatch.setenv(SPOOL, str(tmp_path / "spool"))
    assert read(tmp_path) is None


def test_a_transaction_that_fails_hands_on_nothing(tmp_path: Path, folder: Path):
    with pytest.raises(RuntimeError, match="no"):
        write(tmp_path, then=lambda layer: (_ for _ in ()).throw(RuntimeError("no")))
    assert not list(folder.glob("*.json"))


def test_without_space_for_the_spool_the_layer_is_written_and_read(tmp_path: Path, monkeypatch):
    def full(*_, **__) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(pa.ipc, "new_stream", full)
    write(tmp_path)
    assert read(tmp_path) is None
    with open_layer(tmp_path, "raw") as layer:
        assert layer.scalar("select count(*) from things") == 3


def test_a_disk_that_is_full_at_the_end_leaves_no_half_description(tmp_path: Path, monkeypatch):
    def write_half(path: Path, text: str, **_) -> None:
        path.write_bytes(text[:9].encode())
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(Path, "write_text", write_half)
    write(tmp_path)
    assert read(tmp_path) is None


def test_only_a_run_has_a_spool(tmp_path: Path, folder: Path, monkeypatch):
    monkeypatch.delenv(SPOOL)
    write(tmp_path)
    assert not folder.exists()
    assert read(tmp_path) is None
