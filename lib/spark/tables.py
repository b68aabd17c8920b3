"""A layer's tables in the warehouse: Parquet files, and for each table a Delta log of the files that belong
to it.

The layer's own file (raw.db, …) is the catalog: its `table_versions` pins the published version of each
table. A step stages files, which no reader sees. `commit` then writes one version of each changed table to
its Delta log and pins it in the transaction that publishes the rest of the step. Files are never changed. So
a step that is killed at any time leaves the published version as it was, and the next step that writes to the
layer takes back any newer version.
"""

import json
import re
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from deltalake import DeltaTable, Field, PostCommitHookProperties, Schema
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql import types as st

from lib.errors import StepError, first_line
from lib.spark.sql import column
from lib.storage.files import sync
from lib.storage.layer import Layer

VERSIONS = pa.schema([("table_name", pa.string()), ("version", pa.int64()), ("next_row_id", pa.int64()),
                      ("batch_id", pa.string())])
KEPT_VERSIONS = 3  # of a table, with the published one
OLD_VERSIONS = f"""
where table_name = ? and version not in (
    select version from table_versions where table_name = ? order by version_id desc limit {KEPT_VERSIONS})"""
SMALL_BYTES = 4 << 20
MANY_SMALL = 12  # a table with more small files than this gets them merged
ROWS_PER_FILE = 200_000
FEW_KEYS = 500_000  # some 10 MB, which is Spark's own limit for a broadcast
FILE = "_file"  # starts with an underscore, unlike any column of a layer
TYPES = {pa.string(): st.StringType(), pa.int64(): st.LongType(), pa.float64(): st.DoubleType()}
# Only `prune` lets logs expire, after the new version is published: if a run expired the pinned version's log
# and then died, the published table would be lost.
HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


@dataclass(frozen=True)
class File:
    """A Parquet file of a table. `path` is relative to the table's folder: a write's folder, a file in it."""

    path: str
    size: int
    modified: int  # milliseconds since 1970
    rows: int


@dataclass
class State:
    """What a table consists of, with what the step has staged."""

    files: dict[str, File]
    next_row_id: int = 1
    is_changed: bool = False


class Tables:
    """The tables of one layer. Only the step sees what it has staged, until the layer's file is committed."""

    def __init__(self, spark: SparkSession, warehouse: str, layer: Layer):
        self._spark, self._layer = spark, layer
        self._address = f"{warehouse.rstrip('/')}/{layer.name}"
        self._states: dict[str, State] = {}

    def read(self, table: str, columns: Sequence[str] | None = None, *, files: Collection[str] | None = None,
             with_file: bool = False) -> DataFrame:
        """Return the rows of a table, or of some of its files, with what the step has staged.

        A column that a file lacks is null. `with_file` adds the column FILE, the path of a row's file.
        """
        schema = self._layer.schema(table)
        paths = self._state(table).files if files is None else files
        names = list(schema.names if columns is None else columns)
        if not paths:
            empty = st.StructType([*struct_of(schema), st.StructField(FILE, st.StringType())])
            return self._spark.createDataFrame([], empty).select(
                *map(column, names), *([FILE] if with_file else []))
        folder = self._spark_path(table)
        frame = self._parquet(schema, *(f"{folder}/{path}" for path in paths))
        extra = [sf.substring_index(_of_file(frame, "path"), "/", -2).alias(FILE)] if with_file else []
        return frame.select(*map(column, names), *extra)

    def matching(self, table: str, key: str, wanted: DataFrame) -> DataFrame:
        """Return the rows of a table whose `key` is among the keys of `wanted`, with the column FILE.

        First only the column of keys is read, then all columns of the files that have one of the keys.
        """
        if not self.files(table):
            return self.read(table, with_file=True)
        keys = broadcast_few(wanted.select(key))
        found = self.read(table, [key], with_file=True).join(keys, key, "left_semi").select(FILE).distinct()
        files = [path for (path,) in found.collect()]
        return self.read(table, files=files, with_file=True).join(keys, key, "left_semi")

    def next_row_id(self, table: str) -> int:
        """Return the next number for a row of the table. Only a rebuild starts the numbers again."""
        return self._state(table).next_row_id

    def append(self, table: str, rows: DataFrame) -> int:
        """Stage new rows, with all or some of the table's columns; return how many there are."""
        return self.replace(table, (), rows)

    def replace(self, table: str, files: Collection[str], rows: DataFrame) -> int:
        """Stage rows in place of some files, given by their paths; return how many rows there are."""
        state = self._state(table)
        added = self._write(table, rows)
        for path in files:
            del state.files[path]
        state.files |= {file.path: file for file in added}
        state.is_changed |= bool(added or files)
        return sum(file.rows for file in added)

    def clear(self, table: str) -> None:
        """Stage the table without rows; new rows are numbered from 1 again."""
        state = self._state(table)
        state.files, state.next_row_id, state.is_changed = {}, 1, True

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Forget what is staged in this context if it ends with an error."""
        before = deepcopy(self._states)
        try:
            yield
        except BaseException:
            self._states = before
            raise

    def files(self, table: str) -> list[File]:
        """Return the files of the table, with the staged ones."""
        return list(self._state(table).files.values())

    def take_back(self, tables: Iterable[str]) -> None:
        """Make the published versions the newest in their logs, in case a run died between two commits."""
        for table in tables:
            newest = self._newest(table)
            if newest is not None and set(_files_of(newest)) != set(self._state(table).files):
                self._state(table).is_changed = True
                self._commit_files(table)

    def commit(self, next_row_ids: dict[str, int], batch_id: str) -> None:
        """Write a version of each changed table to its log, and pin it in the layer's file.

        Afterwards everything that was written to a local folder is on the disk; an object store guarantees it
        itself.
        """
        for table, state in self._states.items():
            if state.is_changed:
                self._fold(table)
                pin = dict(table_name=table, version=self._commit_files(table),
                           next_row_id=next_row_ids.get(table, 1), batch_id=batch_id)
                self._layer.insert("table_versions", pa.Table.from_pylist([pin], schema=VERSIONS))
                self._layer.delete("table_versions", OLD_VERSIONS, (table, table))

    def pins(self) -> dict[str, list[int]]:
        """Return the pinned versions of the changed tables."""
        pins = {}
        for table, state in self._states.items():
            if state.is_changed:
                kept = self._layer.read("table_versions", ["version"], "where table_name = ?", (table,))
                pins[table] = kept["version"].to_pylist()
        return pins

    def prune(self, pins: dict[str, list[int]]) -> None:
        """Delete the files that no pinned version needs. Call this after the pins are published."""
        for table, versions in pins.items():
            newest = self._newest(table)
            newest.cleanup_metadata()
            kept = [version for version in versions if self._has_version(table, version)]
            newest.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True, keep_versions=kept,
                          post_commithook_properties=HOOKS)
            self._remove_empty_folders(table)

    def _state(self, table: str) -> State:
        if table not in self._states:
            self._states[table] = self._published(table)
        return self._states[table]

    def _published(self, table: str) -> State:
        if self._layer.schema("table_versions") is None:
            return State({})
        pins = self._layer.read("table_versions", ["version", "next_row_id"],
                                "where table_name = ? order by version_id desc limit 1", (table,)).to_pylist()
        if not pins:
            return State({})
        return State(self._pinned_files(table, pins[0]["version"]), pins[0]["next_row_id"])

    def _pinned_files(self, table: str, version: int) -> dict[str, File]:
        try:
            return _files_of(DeltaTable(self._delta_path(table), version=version))
        except (DeltaError, OSError) as error:
            raise StepError(
                f"version {version} of {self._layer.name}.{table} cannot be read in {self._address}: "
                f"{first_line(error)} Name the warehouse of these layers with --warehouse, or restore it "
                "from a copy.") from error

    def _parquet(self, schema: pa.Schema, *paths: str) -> DataFrame:
        # Spark takes a path as a pattern.
        literal = (re.sub(r"([\[\]{}*?\\])", r"\\\1", path) for path in paths)
        return self._spark.read.schema(struct_of(schema)).parquet(*literal)

    def _write(self, table: str, rows: DataFrame) -> list[File]:
        """Let the executors write rows to a new folder in the table's folder; return the files."""
        write = uuid.uuid4().hex
        folder = f"{self._spark_path(table)}/{write}"
        rows.write.parquet(folder)
        frame = self._parquet(self._layer.schema(table), folder)
        about = [_of_file(frame, name) for name in ("path", "size", "modification_time")]
        written = frame.groupBy(*about).count().collect()
        return [File(f"{write}/{path.rsplit('/', 1)[1]}", size, int(modified.timestamp() * 1000), count)
                for path, size, modified, count in written]

    def _fold(self, table: str) -> None:
        """Stage one file in place of many small ones, of which every increment adds some."""
        small = [file for file in self.files(table) if file.size < SMALL_BYTES]
        if len(small) > MANY_SMALL:
            paths = [file.path for file in small]
            parts = 1 + sum(file.rows for file in small) // ROWS_PER_FILE
            rows = self.read(table, files=paths)
            self.replace(table, paths, rows.repartition(parts) if parts > 1 else rows.coalesce(1))

    def _commit_files(self, table: str) -> int:
        """Write a version to the table's log that has the table's files, and return its number."""
        path, schema = self._delta_path(table), Schema.from_arrow(self._layer.schema(table))
        files, newest = self._state(table).files, self._newest(table)
        before = {} if newest is None else _files_of(newest)
        adds = [AddAction(
            file.path, file.size, {}, file.modified, True, json.dumps({"numRecords": file.rows}))
            for file in files.values() if file.path not in before]
        self._sync_files(table, files.keys() - before.keys())
        if newest is None:
            create_table_with_add_actions(path, schema, adds, post_commithook_properties=HOOKS)
        else:
            known = {column.name for column in newest.schema().fields}
            missing = [Field(column.name, column.type, nullable=True) for column in schema.fields
                       if column.name not in known]
            if missing:
                newest.alter.add_columns(missing, post_commithook_properties=HOOKS)
            now = time.time_ns() // 1_000_000
            removes = [RemoveAction(file.path, True, now, file.size, {})
                       for file in before.values() if file.path not in files]
            newest.create_write_transaction(
                [*adds, *removes], "append", schema, post_commithook_properties=HOOKS)
        self._sync_log(table)
        return DeltaTable(path).version()

    def _newest(self, table: str) -> DeltaTable | None:
        path = self._delta_path(table)
        return DeltaTable(path) if DeltaTable.is_deltatable(path) else None

    def _has_version(self, table: str, version: int) -> bool:
        try:
            DeltaTable(self._delta_path(table), version=version)
        except DeltaError:  # the log of an old version has expired
            return False
        return True

    def _spark_path(self, table: str) -> str:
        return f"{self._address if self._folder is None else f'file:{self._folder}'}/{table}"

    def _delta_path(self, table: str) -> str:
        return f"{self._address if self._folder is None else self._folder}/{table}"

    @property
    def _folder(self) -> Path | None:
        """The layer's folder if it is local. Unlike its address, the path has no encoded characters."""
        address = urlsplit(self._address)
        return Path(unquote(address.path)) if address.scheme == "file" else None

    def _sync_files(self, table: str, paths: Iterable[str]) -> None:
        if self._folder:
            folder = self._folder / table
            for path in paths:
                sync(folder / path)
            if folder.exists():
                for changed in {folder, *(folder / path.partition("/")[0] for path in paths)}:
                    sync(changed)

    def _sync_log(self, table: str) -> None:
        if self._folder:
            log = self._folder / table / "_delta_log"
            for path in sorted(log.glob("*.*"))[-3:]:  # new columns, new files and a checkpoint at most
                sync(path)
            for folder in (log, log.parent, self._folder, self._folder.parent):
                sync(folder)

    def _remove_empty_folders(self, table: str) -> None:
        if self._folder:
            for folder in sorted((self._folder / table).rglob("*/"), reverse=True):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()


def _of_file(frame: DataFrame, name: str) -> Column:
    """Return a property of each row's file, even when a delivered column is called `_metadata`."""
    return frame.metadataColumn("_metadata").getField(f"file_{name}")


def _files_of(table: DeltaTable) -> dict[str, File]:
    actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    files = (File(action["path"], action["size_bytes"], action["modification_time"], action["num_records"])
             for action in actions)
    return {file.path: file for file in files}


def broadcast_few(keys: DataFrame) -> DataFrame:
    """Return keys, and columns that go with them, to join a table with; few keys are broadcast to its rows.

    Spark cannot know how many keys there will be; without this it would move all rows of the table to be
    safe.
    """
    keys = keys.persist()
    return sf.broadcast(keys) if keys.count() <= FEW_KEYS else keys


def schema_of(frame: DataFrame) -> pa.Schema:
    """Return a frame's columns with the types of a layer."""
    types = {type_: arrow for arrow, type_ in TYPES.items()}
    return pa.schema([(column.name, types[column.dataType]) for column in frame.schema])


def struct_of(schema: pa.Schema) -> st.StructType:
    """Return a layer's columns with the types of Spark."""
    return st.StructType([st.StructField(column.name, TYPES[column.type]) for column in schema])
