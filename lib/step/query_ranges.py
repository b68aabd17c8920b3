"""A query's result in batches. A long result is computed in ranges of a column, to save memory."""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise
from math import ceil

import duckdb
import pyarrow as pa

from lib.step.working_database import within_memory
from lib.storage.sql import literal, quote

MOST_RANGES = 64
MOST_SCATTERED = 16  # where ids come in no order, each range has to look at all rows of all tables
SAMPLED_ROWS = 100_000  # their values tell where a range ends, so it is up to a twentieth longer than meant:
ROOM = 1.05  # it is meant to be shorter than a batch


def find_ranges(work: duckdb.DuckDBPyConnection, sql: str, by: str, batch_rows: int) -> tuple[int, list[str]]:
    """Return a number of rows, and conditions on a column of which each row of a query meets exactly one.

    The longest table that has the column tells both (the query itself where no table has it): its rows are
    what takes memory. No more than `batch_rows` of them meet each condition if MOST_RANGES are enough, unless
    more than that have the same value. Where ids that follow each other are scattered over the table, they
    are MOST_SCATTERED at most. The same rows in the same order give the same conditions.
    """
    column = quote(by)
    with work.cursor() as cursor:
        table = _longest_table(cursor, by)
        rows, sample = cursor.execute(
            f"select count({column}), list_sort(min_by({column}, hash({column}), {SAMPLED_ROWS})) "
            f"from {table or f'({sql})'}").fetchall()[0]
        ranges = min(MOST_RANGES, ceil(ROOM * rows / batch_rows))
        if ranges > MOST_SCATTERED and not (table and _lie_together(cursor, table, column, sample, rows)):
            ranges = MOST_SCATTERED
    starts = sorted({sample[len(sample) * number // ranges] for number in range(1, ranges)})
    if not starts:
        return rows, ["true"]
    between = [f"{column} >= {literal(start)} and {column} < {literal(end)}"
               for start, end in pairwise(starts)]
    last = f"({column} >= {literal(starts[-1])} or {column} is null)"
    return rows, [f"{column} < {literal(starts[0])}", *between, last]


def in_batches(work: duckdb.DuckDBPyConnection, sql: str, conditions: Iterable[str],
               batch_rows: int) -> Iterator[pa.Table]:
    """Yield a query's result in tables of at most `batch_rows`; an empty one if there are no rows.

    Rows that meet a condition come in order of their first column. DuckDB's joins return them in another
    order each time, but the same rows in curated are to give the same file of gold, to the byte.
    """
    is_empty = True
    with work.cursor() as cursor:
        for condition in conditions:
            query = f"select * from ({sql}) where {condition} order by 1"
            reader = within_memory(work, partial(_begin_reading, cursor, query, batch_rows))
            for batch in reader:
                is_empty = False
                yield pa.Table.from_batches([batch])
        if is_empty:
            yield reader.schema.empty_table()


def _longest_table(work: duckdb.DuckDBPyConnection, column: str) -> str | None:
    found = work.execute(
        "select table_name from duckdb_tables() join duckdb_columns() using (schema_name, table_name) "
        "where column_name = ? order by estimated_size desc, table_name limit 1", [column]).fetchall()
    return quote(found[0][0]) if found else None


def _lie_together(work: duckdb.DuckDBPyConnection, table: str, column: str, sample: list, rows: int) -> bool:
    """Return whether the rows of ids that follow each other are nearly all in one place of a table."""
    middle = len(sample) // 2
    [spread] = work.execute(
        f"select quantile_disc(rowid, 0.9) - quantile_disc(rowid, 0.1) from {table} "
        f"where {column} >= ? and {column} < ?",
        [sample[middle], sample[middle + len(sample) // MOST_RANGES]]).fetchone()
    return spread is not None and spread < rows / MOST_SCATTERED


def _begin_reading(cursor: duckdb.DuckDBPyConnection, query: str, batch_rows: int) -> pa.RecordBatchReader:
    """Begin to compute a query whose joins build their hash tables from the right side, as written.

    DuckDB underestimates how long a range is, and would build hash tables from our wide rows on the left:
    that takes a third more CPU, and memory.
    """
    with cursor.cursor() as settings:  # a connection cannot change settings while it is read from
        settings.execute("set disabled_optimizers = 'build_side_probe_side'")
        try:
            return storable(cursor.sql(query)).to_arrow_reader(batch_rows)
        finally:
            settings.execute("reset disabled_optimizers")


def storable(result: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Return a query's result without the types that no layer stores: sums of integers and of decimals.

    DuckDB's cast gives the double nearest to an amount in cents; Arrow's does not (0.47 becomes
    0.47000000000000003).
    """
    stored = {"decimal": "double", "hugeint": "bigint"}
    return result.project(", ".join(
        f"cast({quote(name)} as {stored[type_.id]}) as {quote(name)}" if type_.id in stored else quote(name)
        for name, type_ in zip(result.columns, result.types, strict=True)))
