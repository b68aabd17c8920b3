"""Tables in the warehouse: what a step stages, publishes, leaves when it dies, and prunes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from lib.errors import PipelineError
from lib.spark.tables import KEPT_VERSIONS, MANY_SMALL, VERSIONS, Tables
from lib.storage.layer import Layer, open_layer

from .local_spark import local  # noqa: F401

COLUMNS = pa.schema([("key", pa.string()), ("value", pa.int64())])


class Killed(Exception):
    """Unwinds a step as if it had been killed."""


@pytest.fixture
def opened(local, tmp_path: Path):  # noqa: F811
    """Open a layer with a table `t`, and publish what is staged in it on the way out."""
    warehouse = tmp_path / "a warehouse [1]"

    @contextmanager
    def opened() -> Iterator[tuple[Tables, Layer]]:
        with open_layer(tmp_path, "raw", write=True) as layer:
            layer.create_table("t", COLUMNS)
            layer.create_table("table_versions", VERSIONS, serial="version_id")
            tables = Tables(local, warehouse.as_uri(), layer)
            tables.take_back(["t"])
            yield tables, layer
            tables.commit({"t": 7}, "b")
            pins = tables.pins()
        tables.prune(pins)

    opened.folder = warehouse / "raw" / "t"
    opened.rows = lambda *rows: local.createDataFrame(rows, "key string, value bigint")
    return opened


def content(tables: Tables) -> list[tuple]:
    return sorted(map(tuple, tables.read("t").collect()))


def test_what_is_staged_is_seen_at_once_and_stays_when_it_is_published(opened):
    with opened() as (tables, _):
        assert content(tables) == []
        assert tables.next_row_id("t") == 1
        assert tables.append("t", opened.rows(("a", 1), ("b", 2))) == 2
        assert tables.append("t", opened.rows(("c", 3))) == 1
        assert content(tables) == [("a", 1), ("b", 2), ("c", 3)]
    with opened() as (tables, _):
        assert content(tables) == [("a", 1), ("b", 2), ("c", 3)]
        assert tables.next_row_id("t") == 7
        assert DeltaTable(opened.folder).count() == 3


def test_files_are_replaced_and_others_stay_as_they_are(opened):
    with opened() as (tables, _):
        tables.append("t", opened.rows(("a", 1), ("b", 2)).coalesce(1))
        tables.append("t", opened.rows(("c", 3)))
    with opened() as (tables, _):
        rows = tables.read("t", ["key"], with_file=True)
        (touched,) = {file for key, file in rows.collect() if key == "a"}
        others = {file.path for file in tables.files("t")} - {touched}
        tables.replace("t", [touched], opened.rows(("a", 9), ("b", 2)))
    with opened() as (tables, _):
        assert content(tables) == [("a", 9), ("b", 2), ("c", 3)]
        assert others < {file.path for file in tables.files("t")}


def test_a_step_that_dies_between_the_two_commits_leaves_the_published_version(opened):
    with opened() as (tables, _):
        tables.append("t", opened.rows(("a", 1)))
    with pytest.raises(Killed), opened() as (tables, _):
        tables.replace("t", [file.path for file in tables.files("t")], opened.rows(("a", 2), ("b", 2)))
        tables.commit({"t": 9}, "died")
        assert DeltaTable(opened.folder).count() == 2
        raise Killed
    with opened() as (tables, layer):
        assert content(tables) == [("a", 1)]
        assert DeltaTable(opened.folder).count() == 1
        assert layer.read("table_versions", ["batch_id"]).num_rows == 1
    with opened() as (tables, _):
        assert content(tables) == [("a", 1)]


def test_a_first_step_that_dies_leaves_an_empty_table(opened):
    with pytest.raises(Killed), opened() as (tables, _):
        tables.append("t", opened.rows(("a", 1)))
        tables.commit({}, "died")
        raise Killed
    with opened() as (tables, _):
        assert content(tables) == []
        tables.append("t", opened.rows(("b", 1)))
    assert DeltaTable(opened.folder).count() == 1


def test_a_column_that_comes_later_is_null_in_rows_from_before(opened):
    with opened() as (tables, _):
        tables.append("t", opened.rows(("a", 1)))
    with opened() as (tables, layer):
        layer.create_table("t", pa.schema([("more", pa.float64())]))
        tables.append("t", opened.rows(("b", 2)).selectExpr("*", "0.5D as more"))
        assert content(tables) == [("a", 1, None), ("b", 2, 0.5)]
    assert DeltaTable(opened.folder).to_pyarrow_table().num_rows == 2


def test_old_versions_are_pruned_and_the_kept_ones_stay_readable(opened):
    for value in range(6):
        with opened() as (tables, _):
            tables.clear("t")
            tables.append("t", opened.rows(("a", value)))
    with opened() as (tables, layer):
        versions = layer.read("table_versions", ["version"])["version"].to_pylist()
        assert len(versions) == KEPT_VERSIONS
        kept = [DeltaTable(opened.folder, version=version).to_pyarrow_table() for version in versions]
        assert [table["value"].to_pylist() for table in kept] == [[3], [4], [5]]
    assert len(list(opened.folder.rglob("*.parquet"))) == KEPT_VERSIONS
    assert not [folder for folder in opened.folder.iterdir() if not any(folder.iterdir())]


def test_small_files_are_folded_into_one(opened):
    with opened() as (tables, _):
        for value in range(MANY_SMALL + 1):
            tables.append("t", opened.rows(("a", value)).coalesce(1))
    with opened() as (tables, _):
        assert len(tables.files("t")) == 1
        assert content(tables) == [("a", value) for value in range(MANY_SMALL + 1)]


def test_a_table_that_is_gone_is_named(opened, local):  # noqa: F811
    with opened() as (tables, layer):
        tables.append("t", opened.rows(("a", 1)))
    missing = r"version 0 of raw\.t .* file:///elsewhere/raw: .*--warehouse"
    with opened() as (_, layer), pytest.raises(PipelineError, match=missing):
        Tables(local, "file:///elsewhere", layer).read("t")
