"""Import a warehouse of SQLite files into Spark: every row, checked by digest, in bounded memory."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from lib.errors import PipelineError, UsageError, explain
from lib.ingest import archive
from lib.spark import digests
from lib.spark.session import open_session
from lib.spark.tables import ROWS_PER_FILE, VERSIONS, Tables
from lib.step.raw_tables import SERIAL
from lib.steps import LAYERS, STEPS
from lib.storage import commits, digest
from lib.storage.layer import Layer, open_layer
from lib.storage.lock import run_lock
from lib.storage.sql import file_uri, literal, quote, quoted

OUTPUTS = {table for step in STEPS.values() for table in step.outputs}
PARTIAL = ".import"  # in the new folder, until everything is imported


def import_warehouse(source: Path, folder: Path, address: str, master: str,
                     say: Callable[[str], None]) -> None:
    """Import the warehouse in `source`: the rows to tables at `address`, everything else to `folder`.

    The log, the watermarks, the manifests and the archive are imported too, so that the next run continues
    after the last one. `say` gets a line for each table. `source` is not changed. After an import that was
    killed, the next one starts again from nothing. Raises UsageError when there is nothing to import or the
    target is not empty, and PipelineError when a table is not the same after the import.
    """
    if not (source / "audit.db").exists():
        raise UsageError(f"{source} holds no warehouse: audit.db is not there. Name another folder.")
    with run_lock(source), run_lock(folder):
        partial = folder / PARTIAL
        _check_new(folder, address, is_second_try=partial.exists())
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        with open_session(master, "import") as spark:
            for name in LAYERS:
                if (source / f"{name}.db").exists():
                    _import_layer(spark, source, partial, name, address, say)
        if (source / archive.FOLDER).exists():
            shutil.copytree(source / archive.FOLDER, partial / archive.FOLDER)
        with (closing(sqlite3.connect(source / "audit.db")) as old,
              closing(sqlite3.connect(partial / "audit.db")) as new):
            old.backup(new)
        for name in (archive.FOLDER, *(f"{name}.db" for name in LAYERS), "audit.db"):
            if (partial / name).exists():
                (partial / name).rename(folder / name)
        shutil.rmtree(partial)


def _check_new(folder: Path, address: str, is_second_try: bool) -> None:
    names = [*(f"{name}.db" for name in LAYERS), "audit.db", archive.FOLDER]
    if existing := [name for name in names if (folder / name).exists()]:
        raise UsageError(f"{folder} holds {', '.join(existing)} already. Name a new folder with --audit.")
    for step in STEPS.values():
        for table in step.outputs:
            if not is_second_try and DeltaTable.is_deltatable(f"{address}/{step.writes}/{table}"):
                raise UsageError(f"{address} holds a table {step.writes}/{table} already. "
                                 "Name another address with --warehouse.")


def _import_layer(spark: SparkSession, source: Path, partial: Path, name: str, address: str,
                  say: Callable[[str], None]) -> None:
    moved = _copy_catalog(source / f"{name}.db", partial / f"{name}.db")
    with open_layer(source, name) as old, open_layer(partial, name, write=True) as new:
        commits.check_engine(old, "sqlite")
        new.create_table("table_versions", VERSIONS, serial="version_id")
        tables, next_row_ids = Tables(spark, address, new), {}
        tables.take_back(moved)
        for table in moved:
            rows = _import_rows(spark, old, tables, table)
            if SERIAL in old.schema(table).names:
                next_row_ids[table] = (old.scalar(f"select max({SERIAL}) from {quote(table)}") or 0) + 1
            say(f"{name}.{table}: {rows:,} rows, the same")
        batch_id = old.scalar("select batch_id from layer_commits order by commit_id desc limit 1") or ""
        tables.commit(next_row_ids, batch_id)


def _copy_catalog(old: Path, new: Path) -> list[str]:
    """Copy a layer's file without the rows of the tables that Spark stores elsewhere; return these tables."""
    try:
        uri = file_uri(new, "mode=rwc")
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            connection.execute(f"attach {literal(file_uri(old, 'mode=ro'))} as old")
            connection.execute("begin")
            schema = connection.execute(
                "select type, name, sql from old.sqlite_schema where sql is not null "
                "and name not like 'sqlite\\_%' escape '\\' order by type = 'table' desc").fetchall()
            moved = [name for kind, name, _ in schema if kind == "table" and _is_moved(name)]
            for kind, name, sql in schema:
                connection.execute(sql)
                if kind == "table" and name not in moved:
                    connection.execute(f"insert into main.{quote(name)} select * from old.{quote(name)}")
            connection.execute("commit")
    except sqlite3.Error as error:
        raise explain(old, str(error)) from error
    return moved


def _is_moved(table: str) -> bool:
    return table in OUTPUTS or table == "confirmations" or table.endswith("_replaced")


def _import_rows(spark: SparkSession, old: Layer, tables: Tables, table: str) -> int:
    schema, total, count = old.schema(table), digest.EMPTY, 0
    for rows in _chunks(old.batches(f"select {quoted(schema.names)} from {quote(table)}", schema), schema):
        total, count = digest.add(total, digest.of_rows(rows, schema.names)), count + rows.num_rows
        tables.append(table, spark.createDataFrame(rows).coalesce(1))
    if digests.of_frame(tables.read(table), schema.names) != (count, total):
        raise PipelineError(f"{old.name}.{table} is not the same in the new warehouse. Nothing was imported. "
                            "This is a defect of the pipeline: report it with the versions in "
                            "requirements-spark.txt.")
    return count


def _chunks(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Join batches until they have as many rows as a file of a table should have."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(each.num_rows for each in waiting) >= ROWS_PER_FILE:
            yield pa.Table.from_batches(waiting, schema)
            waiting = []
    rows = pa.Table.from_batches(waiting, schema)
    if rows.num_rows:
        yield rows
