"""What a layer's history tells of one table or of one step leaves out the others."""

from pathlib import Path

import pytest

from lib.storage import commits, digest
from lib.storage.layer import Layer, open_layer


@pytest.fixture
def layer(tmp_path: Path):
    with open_layer(tmp_path, "curated", write=True) as opened:
        commits.create_system_tables(opened)
        yield opened


def commit(layer: Layer, table: str, first_row_id: int, added: int, step: str, time: str) -> None:
    change = commits.TableChange(table, first_row_id, first_row_id + added, rows_before=0,
                                 digest=digest.EMPTY, was_empty=True, added=added)
    commits.record_change(layer, change, "run1", step, time)


def test_only_the_new_rows_of_the_table_itself_are_counted(layer: Layer):
    commit(layer, "orders", 1, 3, "raw", "2025-01-01")
    commit(layer, "orders", 4, 2, "raw", "2025-01-02")
    commit(layer, "payments", 4, 7, "raw", "2025-01-02")
    assert [commits.count_new_rows(layer, "orders", first) for first in (1, 4, 6)] == [5, 2, 0]
    assert commits.count_new_rows(layer, "payments", 1) == 7
    assert commits.count_new_rows(layer, "customers", 1) == 0


def test_the_last_commit_of_a_step_is_none_of_another_step(layer: Layer):
    commit(layer, "fact_orders", 1, 1, "facts", "2025-01-01")
    commit(layer, "fact_orders", 2, 1, "facts", "2025-01-02")
    commit(layer, "dim_products", 1, 1, "dimensions", "2025-01-03")
    assert commits.last_timestamp(layer, "facts") == "2025-01-02"
    assert commits.last_timestamp(layer, "dimensions") == "2025-01-03"
    assert commits.last_timestamp(layer, "gold") == ""
