"""A layer's checksums follow every change of its rows, and change with every column of every row."""

from pathlib import Path

import pyarrow as pa
import pytest

from lib.errors import PipelineError
from lib.storage.checksums import read_stored
from lib.storage.layer import Layer, open_layer

COLUMNS = pa.schema([("order_id", pa.string()), ("total", pa.float64()), ("source_row", pa.int64()),
                     ("source_filename", pa.string()), ("batch_id", pa.string())])
ROWS = pa.Table.from_pylist([
    {"order_id": "O1", "total": 1.5, "source_row": 2, "source_filename": "a.csv"},
    {"order_id": "O2", "total": None, "source_row": 3, "source_filename": "a.csv"},
    {"order_id": "O3", "total": 1.5, "source_row": None, "source_filename": "b.csv"},
], schema=COLUMNS.remove(4))


def write(folder: Path, rows: pa.Table = ROWS, **constants: str) -> str:
    """Write rows into a new layer and return the checksum that its file has of them."""
    folder.mkdir(exist_ok=True)
    with open_layer(folder, "raw", write=True) as layer:
        layer.create_table("orders", COLUMNS, serial="row_id")
        layer.insert("orders", rows, {"batch_id": "run1"} | constants)
    with open_layer(folder, "raw") as layer:
        [checksum] = [checksum for _, checksum in read_stored(layer).values()]
        return checksum


def is_true(folder: Path) -> bool:
    """Return whether the checksums of a layer's file are those of its rows."""
    with open_layer(folder, "raw") as layer:
        sums = {table: layer.sums(table) for table in layer.tables()}
        stored = {table: known for table, known in read_stored(layer).items() if known[0]}
        return stored == {table: (rows, checksum) for table, (rows, _, checksum) in sums.items() if rows}


def test_the_same_rows_have_the_same_checksum(tmp_path: Path):
    assert write(tmp_path / "a") == write(tmp_path / "b")
    assert is_true(tmp_path / "a")


@pytest.mark.parametrize("rows", [
    ROWS.set_column(0, "order_id", pa.array(["O1", "O2", "O4"])),
    ROWS.set_column(1, "total", pa.array([1.5, 0.0, 1.5])),
    ROWS.set_column(2, "source_row", pa.array([2, 3, 4])),
    ROWS.set_column(2, "source_row", pa.array([3, 2, None])),
    ROWS.set_column(2, "source_row", pa.array([2, None, 3])),
    ROWS.set_column(3, "source_filename", pa.array(["a.csv", "b.csv", "a.csv"])),
    ROWS.set_column(3, "source_filename", pa.array(["a.csv", "a.csv", None])),
    ROWS.take([1, 0, 2]),  # which swaps the numbers of two rows
    ROWS.slice(0, 2), pa.concat_tables([ROWS, ROWS.slice(2, 1)])])
def test_every_change_of_a_row_and_of_its_number_changes_the_checksum(tmp_path: Path, rows: pa.Table):
    assert write(tmp_path / "a") != write(tmp_path / "b", rows)


def test_the_run_that_wrote_the_rows_counts_too(tmp_path: Path):
    assert write(tmp_path / "a") != write(tmp_path / "b", batch_id="run2")


def fail(layer: Layer) -> None:
    with pytest.raises(PipelineError, match="no"), layer.savepoint():
        layer.insert("orders", ROWS, {"batch_id": "run3"})
        raise PipelineError("no")


@pytest.mark.parametrize("change", [
    lambda layer: layer.insert("orders", ROWS, {"batch_id": "run2"}),
    lambda layer: layer.update("orders", "batch_id", "run2", "where order_id <> ?", ("O1",)),
    lambda layer: layer.update("orders", "batch_id", "run2", "where order_id = 'O9'"),
    lambda layer: layer.delete("orders", "where total = ?", (1.5,)),
    lambda layer: layer.delete_keys("orders", "order_id", pa.array(["O1", "O9"])),
    lambda layer: layer.clear("orders"),
    lambda layer: (layer.clear("orders"), layer.insert("orders", ROWS.slice(1, 1), {"batch_id": "run2"})),
    fail, lambda layer: (fail(layer), layer.insert("orders", ROWS, {"batch_id": "run4"})),
], ids=["insert", "update", "update of nothing", "delete", "delete keys", "clear", "rebuild", "savepoint",
        "after a savepoint"])
def test_the_checksums_follow_every_change(tmp_path: Path, change):
    write(tmp_path)
    with open_layer(tmp_path, "raw", write=True) as layer:
        change(layer)
    assert is_true(tmp_path)


def test_a_file_of_an_earlier_release_gets_its_checksums(tmp_path: Path):
    before = write(tmp_path)
    with open_layer(tmp_path, "raw", write=True) as layer:
        layer.execute("drop table checksums")
        layer.checksums.now.clear()
    with open_layer(tmp_path, "raw", write=True):
        pass
    with open_layer(tmp_path, "raw") as layer:
        assert read_stored(layer) == {"orders": (3, before)}


def test_the_number_of_a_row_is_used_once(tmp_path: Path):
    write(tmp_path)
    with open_layer(tmp_path, "raw", write=True) as layer:
        layer.delete("orders", "where row_id = 2")
        layer.insert("orders", ROWS.slice(0, 1), {"batch_id": "run2"})
        assert layer.next_number("orders") == 5
        assert layer.read("orders", ["row_id"])["row_id"].to_pylist() == [1, 3, 4]
        layer.clear("orders")
        assert layer.next_number("orders") == 1


def test_the_checksums_that_an_earlier_release_has_written_still_agree(tmp_path: Path):
    assert write(tmp_path) == "0cdc98bc4e54d406d4622442683f27aa"
