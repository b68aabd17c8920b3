"""A layer's file: a new one appears only when it is whole, and submitted work is done in the background."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from lib.errors import PipelineError
from lib.storage.layer import Layer, open_layer

COLUMNS = pa.schema([("key", pa.string()), ("amount", pa.float64())])
ROWS = pa.table({"key": ["a", "b"], "amount": [1.5, None]}, schema=COLUMNS)


def rows_of(path: Path) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("select key, amount from things order by key").fetchall()


def fill(layer: Layer) -> None:
    layer.create_table("things", COLUMNS, key="key")
    layer.insert("things", ROWS)
    layer.index("things", "key", unique=True)


def test_a_new_file_appears_whole_and_in_wal_mode(tmp_path: Path):
    with open_layer(tmp_path, "gold", write=True) as layer:
        fill(layer)
        assert not (tmp_path / "gold.db").exists()
    assert rows_of(tmp_path / "gold.db") == [("a", 1.5), ("b", None)]
    with closing(sqlite3.connect(tmp_path / "gold.db")) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)


def test_a_new_file_that_fails_leaves_nothing(tmp_path: Path):
    with pytest.raises(RuntimeError, match="no"), open_layer(tmp_path, "gold", write=True) as layer:
        fill(layer)
        raise RuntimeError("no")
    assert list(tmp_path.iterdir()) == []


def test_what_all_rows_share_is_written_to_each(tmp_path: Path):
    with open_layer(tmp_path, "gold", write=True) as layer:
        layer.create_table("things", COLUMNS)
        layer.insert("things", ROWS.select(["amount"]), {"key": "d'Or; żółw"})
        layer.insert("things", ROWS.slice(0, 0), {"key": "none"})
    assert rows_of(tmp_path / "gold.db") == [("d'Or; żółw", 1.5), ("d'Or; żółw", None)]


def test_a_key_that_is_written_twice_is_refused(tmp_path: Path):
    with (pytest.raises(PipelineError, match=r"things\.key .*gold\.db.* more than once: correct"),
          open_layer(tmp_path, "gold", write=True) as layer):
        fill(layer)
        layer.insert("things", ROWS)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_replaced(tmp_path: Path):
    (tmp_path / ".gold.db.new").write_bytes(b"half a file")
    with open_layer(tmp_path, "gold", write=True) as layer:
        fill(layer)
    assert [path.name for path in tmp_path.iterdir()] == ["gold.db"]
    assert len(rows_of(tmp_path / "gold.db")) == 2


def test_the_journal_of_a_file_that_was_moved_away_is_not_applied_to_the_new_one(tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "gold.db")) as old:
        old.execute("pragma journal_mode = wal")
        old.execute("create table old_things (key text)")
        old.commit()
        (tmp_path / "kept-wal").write_bytes((tmp_path / "gold.db-wal").read_bytes())
    (tmp_path / "gold.db").unlink()
    (tmp_path / "kept-wal").rename(tmp_path / "gold.db-wal")
    with open_layer(tmp_path, "gold", write=True) as layer:
        fill(layer)
    assert len(rows_of(tmp_path / "gold.db")) == 2


def test_a_file_that_another_program_created_meanwhile_is_not_replaced(tmp_path: Path):
    with (pytest.raises(PipelineError, match=r"gold\.db .* another program .*run again"),
          open_layer(tmp_path, "gold", write=True) as layer):
        fill(layer)
        (tmp_path / "gold.db").write_bytes(b"somebody's")
    assert (tmp_path / "gold.db").read_bytes() == b"somebody's"


def test_a_query_waits_for_submitted_work(tmp_path: Path):
    with open_layer(tmp_path, "gold", write=True) as layer:
        layer.create_table("things", COLUMNS, key="key")
        layer.submit(lambda: layer.insert("things", ROWS))
        assert layer.scalar("select count(*) from things") == 2


def test_submitted_work_that_fails_makes_the_step_fail_and_writes_nothing(tmp_path: Path):
    with (pytest.raises(PipelineError, match="no such table: nothings"),
          open_layer(tmp_path, "gold", write=True) as layer):
        fill(layer)
        layer.submit(lambda: layer.execute("delete from nothings"))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_after_work_that_failed(tmp_path: Path):
    with open_layer(tmp_path, "gold", write=True) as layer:
        fill(layer)

    def run_out_of_disk() -> None:
        layer.execute("rollback")  # as SQLite does by itself
        raise PipelineError("the disk is full")

    more = pa.table({"key": ["c"], "amount": [3.0]}, schema=COLUMNS)
    with (pytest.raises(PipelineError, match="the disk is full"),
          open_layer(tmp_path, "gold", write=True) as layer):
        layer.submit(run_out_of_disk)
        layer.submit(lambda: layer.insert("things", more))
    assert rows_of(tmp_path / "gold.db") == [("a", 1.5), ("b", None)]
