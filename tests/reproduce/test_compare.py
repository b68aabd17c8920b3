"""A row that differs is named by its key, with what differs, also where a value is empty."""

from pathlib import Path

import pyarrow as pa
import pytest

from lib.reproduce.compare import find_differences
from lib.storage.layer import open_layer

COLUMNS = pa.schema([("day", pa.string()), ("note", pa.string()), ("orders", pa.int64())])
Row = tuple[str, str | None, int | None]


@pytest.mark.parametrize(("original", "rebuilt", "says"), [
    ([("d1", "a", 1)], [("d1", "a", 1)], []),
    ([("d1", None, 1)], [("d1", None, 1)], []),
    ([("d1", "a", 1), ("d2", "b", 2)], [("d1", "a", 1)], ["totals, day d2: only in the warehouse"]),
    ([("d1", "a", 1), ("d2", None, 2)], [("d1", "a", 1)], ["totals, day d2: only in the warehouse"]),
    ([("d1", "a", 1)], [("d1", "a", 1), ("d2", "b", 2)], ["totals, day d2: only in the rebuilt table"]),
    ([("d1", "a", 1)], [("d1", "a", 1), ("d2", None, 2)], ["totals, day d2: only in the rebuilt table"]),
    ([("d1", None, 1)], [("d1", "a", 1)], [
        "totals, day d1: note is None in the warehouse and 'a' in the rebuilt table"]),
    ([("d1", "a", 1)], [("d1", None, 3)], [
        "totals, day d1: note is 'a' in the warehouse and None in the rebuilt table; "
        "orders is 1 in the warehouse and 3 in the rebuilt table"]),
])
def test_a_row_that_differs_is_named_by_its_key(tmp_path: Path, original: list[Row], rebuilt: list[Row],
                                                says: list[str]):
    for folder, rows in (("original", original), ("rebuilt", rebuilt)):
        (tmp_path / folder).mkdir()
        with open_layer(tmp_path / folder, "gold", write=True) as layer:
            layer.create_table("totals", COLUMNS, key="day")
            layer.insert("totals", pa.table(list(zip(*rows, strict=True)), schema=COLUMNS))
    with (open_layer(tmp_path / "original", "gold") as before,
          open_layer(tmp_path / "rebuilt", "gold") as after):
        assert find_differences(before, after, "totals") == says
