"""The DuckDB database in which a step joins and compares: it uses little memory and is deleted after use."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import duckdb
import pyarrow as pa

from lib.storage.sql import quote
from lib.storage.temporary import use_temporary_folder

# Little memory, so that a large load spills into files instead of dying; more for a query that does not fit
# even so.
WORK_MEMORY, MORE_MEMORY = "400MB", "1GB"

Result = TypeVar("Result")


@contextmanager
def working_database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an empty database that goes on in files when its memory is full; delete it afterwards."""
    use_temporary_folder()
    with (tempfile.TemporaryDirectory(prefix="pipeline-") as folder,
          duckdb.connect(config={"memory_limit": WORK_MEMORY, "temp_directory": folder}) as database,
          # In a kernel DuckDB draws a progress bar for each long query, over what the run prints. It does so
          # for queries of the first connection only.
          database.cursor() as work):
        yield work


def within_memory(work: duckdb.DuckDBPyConnection, compute: Callable[[], Result]) -> Result:
    """Return what a query computes. If threads run out of memory, one tries again, with more of it.

    Each thread of a join needs memory that cannot spill, and how much is left for them differs from run to
    run.
    """
    try:
        return compute()
    except duckdb.OutOfMemoryException:
        work.execute("set threads = 1")
        work.execute(f"set memory_limit = '{MORE_MEMORY}'")
        return compute()


def create_table(work: duckdb.DuckDBPyConnection, name: str, rows: pa.Table | pa.RecordBatchReader) -> None:
    """Create a table that holds some rows, or none; those of a reader need not fit into memory."""
    work.register("arrived", rows)
    work.execute(f"create table {quote(name)} as select * from arrived")
    work.unregister("arrived")


def insert(work: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    """Append rows to a table, column by column in their order."""
    if rows.num_rows:
        work.register("arrived", rows)
        work.execute(f"insert into {quote(name)} select * from arrived")
        work.unregister("arrived")
