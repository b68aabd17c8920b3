"""A layer's tables in the warehouse: Parquet files that executors write, and a Delta log that says which of them are the table.

The layer's own file (raw.db, …) is the catalog: its `table_versions` pins the version of each table that is published. A step
stages files, which nobody else looks at; `commit` then writes one version of each changed table to its Delta log, and pins it
within the transaction that publishes everything else of the step. Files are never changed. So whoever is killed whenever leaves
the published version as it was, and the next step that writes to the layer takes back what is newer.
"""

import json
import re
import time
import uuid
from collections.abc import Collection, Iterable, Sequence
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

from lib.errors import PipelineError, first_line
from lib.spark.sql import column
from lib.storage.files import sync
from lib.storage.layer import Layer

VERSIONS = pa.schema([("table_name", pa.string()), ("version", pa.int64()), ("next_row_id", pa.int64()), ("batch_id", pa.string())])
KEPT_VERSIONS = 3  # of a table, the published one among them
SMALL_BYTES = 4 << 20
MANY_SMALL = 12  # small files of a table, from which on they are folded into one
ROWS_PER_FILE = 200_000
FEW_KEYS = 500_000  # some 10 MB, which is what Spark itself would broadcast
FILE = "_file"  # with an underscore in front, which no column of a layer has
TYPES = {pa.string(): st.StringType(), pa.int64(): st.LongType(), pa.float64(): st.DoubleType()}
# Logs expire when a version is published for good, see `prune`: the pinned one must not expire under a run that then dies.
HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


@dataclass(frozen=True)
class File:
    """A Parquet file of a table; `path` is relative to the table's folder: a folder per write, and a file in it."""

    path: str
    size: int
    modified: int  # milliseconds since 1970
    rows: int


@dataclass
class State:
    """What a table consists of, as a step sees it."""

    files: dict[str, File]
    next_row_id: int = 1
    is_changed: bool = False


class Tables:
    """The tables of one layer. What a step stages it sees itself; others see it after `commit`, and that of the layer's file."""

    def __init__(self, spark: SparkSession, warehouse: str, layer: Layer):
        self._spark, self._layer = spark, layer
        self._place = f"{warehouse.rstrip('/')}/{layer.name}"
        self._states: dict[str, State] = {}

    def read(self, table: str, columns: Sequence[str] | None = None, *, files: Collection[str] | None = None,
             with_file: bool = False) -> DataFrame:
        """Return the rows of a table, or of some of its files, as the step has staged it; null where a file lacks a column.

        `with_file` adds the column FILE, the path of their file.
        """
        schema = self._layer.schema(table)
        paths = self._state(table).files if files is None else files
        names = list(schema.names if columns is None else columns)
        if not paths:
            empty = st.StructType([*struct_of(schema), st.StructField(FILE, st.StringType())])
            return self._spark.createDataFrame([], empty).select(*map(column, names), *([FILE] if with_file else []))
        folder = self._spark_place(table)
        frame = self._parquet(schema, *(f"{folder}/{path}" for path in paths))
        extra = [sf.substring_index(_of_file(frame, "path"), "/", -2).alias(FILE)] if with_file else []
        return frame.select(*map(column, names), *extra)

    def matching(self, table: str, key: str, wanted: DataFrame) -> DataFrame:
        """Return the rows of a table whose `key` is among the keys of `wanted`, with the column FILE.

        Keys are looked for in the column of keys alone; only files that have one of them are read whole.
        """
        if not self.files(table):
            return self.read(table, with_file=True)
        keys = broadcast_few(wanted.select(key))
        found = self.read(table, [key], with_file=True).join(keys, key, "left_semi").select(FILE).distinct()
        return self.read(table, files=[path for (path,) in found.collect()], with_file=True).join(keys, key, "left_semi")

    def next_row_id(self, table: str) -> int:
        """Return the number behind the last that a row of the table was ever given since its last rebuild."""
        return self._state(table).next_row_id

    def append(self, table: str, rows: DataFrame) -> int:
        """Stage new rows and return how many there are. Their columns are those of the layer's table, or some of them."""
        return self.replace(table, (), rows)

    def replace(self, table: str, files: Collection[str], rows: DataFrame) -> int:
        """Stage rows that stand in for those of some files, which are named by their paths; return how many there are."""
        state = self._state(table)
        added = self._write(table, rows)
        for path in files:
            del state.files[path]
        state.files |= {file.path: file for file in added}
        state.is_changed |= bool(added or files)
        return sum(file.rows for file in added)

    def clear(self, table: str) -> None:
        """Stage a table without rows, which are numbered from 1 on again."""
        state = self._state(table)
        state.files, state.next_row_id, state.is_changed = {}, 1, True

    def files(self, table: str) -> list[File]:
        """Return the files that the table consists of, what is staged included."""
        return list(self._state(table).files.values())

    def take_back(self, tables: Iterable[str]) -> None:
        """Make the published version of tables the newest of their logs again, where a run died between the two commits."""
        for table in tables:
            newest = self._newest(table)
            if newest is not None and set(_files_of(newest)) != set(self._state(table).files):
                self._state(table).is_changed = True
                self._commit_files(table)

    def commit(self, next_row_ids: dict[str, int], batch_id: str) -> None:
        """Write a version of each changed table to its log, and pin it in the layer's file.

        When this returns, everything it wrote to a local folder is on the disk; an object store has it when it says so.
        """
        for table, state in self._states.items():
            if state.is_changed:
                self._fold(table)
                version = self._commit_files(table)
                self._layer.insert("table_versions", pa.Table.from_pylist([dict(
                    table_name=table, version=version, next_row_id=next_row_ids.get(table, 1), batch_id=batch_id)], schema=VERSIONS))
                self._layer.execute(
                    "delete from table_versions where table_name = ? and version not in "
                    f"(select version from table_versions where table_name = ? order by version_id desc limit {KEPT_VERSIONS})",
                    (table, table))

    def pins(self) -> dict[str, list[int]]:
        """Return the versions of the changed tables that are to be kept."""
        return {table: self._layer.read("table_versions", ["version"], "where table_name = ?", (table,))["version"].to_pylist()
                for table, state in self._states.items() if state.is_changed}

    def prune(self, pins: dict[str, list[int]]) -> None:
        """Delete the files that no pinned version needs; call it when these are published."""
        for table, versions in pins.items():
            newest = self._newest(table)
            newest.cleanup_metadata()
            kept = [version for version in versions if self._has_version(table, version)]
            newest.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True, keep_versions=kept,
                          post_commithook_properties=HOOKS)
            self._remove_empty_folders(table)

    def _state(self, table: str) -> State:
        if table not in self._states:
            pinned = [] if self._layer.schema("table_versions") is None else self._layer.read(
                "table_versions", ["version", "next_row_id"], "where table_name = ? order by version_id desc limit 1",
                (table,)).to_pylist()
            self._states[table] = State(
                self._pinned_files(table, pinned[0]["version"]), pinned[0]["next_row_id"]) if pinned else State({})
        return self._states[table]

    def _pinned_files(self, table: str, version: int) -> dict[str, File]:
        try:
            return _files_of(DeltaTable(self._delta_place(table), version=version))
        except (DeltaError, OSError) as error:
            raise PipelineError(
                f"version {version} of {self._layer.name}.{table} cannot be read in {self._place}: {first_line(error)} "
                "Name the warehouse that belongs to these layers with --warehouse, or bring it back from a copy.") from error

    def _parquet(self, schema: pa.Schema, *paths: str) -> DataFrame:
        return self._spark.read.schema(struct_of(schema)).parquet(*(re.sub(r"([\[\]{}*?\\])", r"\\\1", path) for path in paths))

    def _write(self, table: str, rows: DataFrame) -> list[File]:
        """Have the executors write rows to a folder of their own in the table's, and return the files."""
        write = uuid.uuid4().hex
        folder = f"{self._spark_place(table)}/{write}"
        rows.write.parquet(folder)
        frame = self._parquet(self._layer.schema(table), folder)
        written = frame.groupBy(*(_of_file(frame, what) for what in ("path", "size", "modification_time"))).count().collect()
        return [File(f"{write}/{path.rsplit('/', 1)[1]}", size, int(modified.timestamp() * 1000), count)
                for path, size, modified, count in written]

    def _fold(self, table: str) -> None:
        """Stage one file for many small ones: every increment adds some."""
        small = [file for file in self.files(table) if file.size < SMALL_BYTES]
        if len(small) > MANY_SMALL:
            paths = [file.path for file in small]
            parts = 1 + sum(file.rows for file in small) // ROWS_PER_FILE
            rows = self.read(table, files=paths)
            self.replace(table, paths, rows.repartition(parts) if parts > 1 else rows.coalesce(1))

    def _commit_files(self, table: str) -> int:
        """Make the table's log say what the table consists of, and return the version that does."""
        place, schema = self._delta_place(table), Schema.from_arrow(self._layer.schema(table))
        files, newest = self._state(table).files, self._newest(table)
        before = {} if newest is None else _files_of(newest)
        adds = [AddAction(file.path, file.size, {}, file.modified, True, json.dumps({"numRecords": file.rows}))
                for path, file in files.items() if path not in before]
        self._sync_files(table, files.keys() - before.keys())
        if newest is None:
            create_table_with_add_actions(place, schema, adds, post_commithook_properties=HOOKS)
            newest = DeltaTable(place)
        else:
            known = {column.name for column in newest.schema().fields}
            missing = [Field(column.name, column.type, nullable=True) for column in schema.fields if column.name not in known]
            if missing:
                newest.alter.add_columns(missing, post_commithook_properties=HOOKS)
            now = time.time_ns() // 1_000_000
            removes = [RemoveAction(file.path, True, now, file.size, {})
                       for path, file in before.items() if path not in files]
            newest.create_write_transaction([*adds, *removes], "append", schema, post_commithook_properties=HOOKS)
            newest = DeltaTable(place)
        self._sync_log(table)
        return newest.version()

    def _newest(self, table: str) -> DeltaTable | None:
        place = self._delta_place(table)
        return DeltaTable(place) if DeltaTable.is_deltatable(place) else None

    def _has_version(self, table: str, version: int) -> bool:
        try:
            DeltaTable(self._delta_place(table), version=version)
        except DeltaError:  # it is old, and its log has expired
            return False
        return True

    def _spark_place(self, table: str) -> str:
        return f"{self._place if self._folder is None else f'file:{self._folder}'}/{table}"

    def _delta_place(self, table: str) -> str:
        return f"{self._place if self._folder is None else self._folder}/{table}"

    @property
    def _folder(self) -> Path | None:
        """The layer's folder where it is a local one, whose address has its special characters encoded."""
        address = urlsplit(self._place)
        return Path(unquote(address.path)) if address.scheme == "file" else None

    def _sync_files(self, table: str, paths: Iterable[str]) -> None:
        if self._folder:
            folder = self._folder / table
            for path in paths:
                sync(folder / path)
            for path in {folder, *(folder / path.partition("/")[0] for path in paths)} if folder.exists() else ():
                sync(path)

    def _sync_log(self, table: str) -> None:
        if self._folder:
            log = self._folder / table / "_delta_log"
            for path in sorted(log.glob("*.*"))[-3:]:  # of new columns, new files, and a checkpoint
                sync(path)
            for folder in (log, log.parent, self._folder, self._folder.parent):
                sync(folder)

    def _remove_empty_folders(self, table: str) -> None:
        if self._folder:
            for folder in sorted((self._folder / table).rglob("*/"), reverse=True):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()


def _of_file(frame: DataFrame, what: str) -> Column:
    """Return what Spark knows of each row's file; a delivered column may have the name under which it says so."""
    return frame.metadataColumn("_metadata").getField(f"file_{what}")


def _files_of(table: DeltaTable) -> dict[str, File]:
    actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    return {action["path"]: File(action["path"], action["size_bytes"], action["modification_time"], action["num_records"])
            for action in actions}


def broadcast_few(keys: DataFrame) -> DataFrame:
    """Return keys, and what goes with them, to join a table with: few are sent to where its rows are, which then need not move.

    Spark cannot know how many there will be, and moves all rows of the table to be sure.
    """
    keys = keys.persist()
    return sf.broadcast(keys) if keys.count() <= FEW_KEYS else keys


def schema_of(frame: DataFrame) -> pa.Schema:
    """Return a frame's columns in the three types that a layer knows."""
    types = {type_: arrow for arrow, type_ in TYPES.items()}
    return pa.schema([(column.name, types[column.dataType]) for column in frame.schema])


def struct_of(schema: pa.Schema) -> st.StructType:
    """Return a layer's columns as Spark names them."""
    return st.StructType([st.StructField(column.name, TYPES[column.type]) for column in schema])
