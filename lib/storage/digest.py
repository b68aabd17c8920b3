"""Content digests of tables that do not depend on row order, and that follow a change at the cost of the change."""

import hashlib
from collections.abc import Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache

import duckdb
import pyarrow as pa

from lib.storage.sql import literal, quote

MODULUS = 1 << 64
EMPTY = "0" * 32


def of_rows(rows: pa.Table, columns: Iterable[str]) -> str:
    """Return the digest of `rows` over `columns`: 32 hexadecimal digits.

    A row's digest is the md5 of its values as text, in order of column name, each behind a mark of its name; a table's digest
    is the sum of its rows' digests. The sum makes it independent of order and lets `add` and `subtract` keep it current. A
    cell that is null counts as nothing at all, so a new column that is still empty changes no digest.
    """
    if not rows.num_rows:
        return EMPTY
    cells = ", ".join(_cell(name, rows[name].null_count) for name in sorted(columns))
    with scratch_database().cursor() as connection:
        connection.register("rows", rows)
        high, low = connection.execute(  # md5_number_upper and md5_number_lower would each compute the md5
            f"select sum((number & {MODULUS - 1}::uhugeint)::hugeint), sum((number >> 64)::hugeint) "
            f"from (select md5_number(concat({cells})) as number from rows)").fetchone()
    return f"{high % MODULUS:016x}{low % MODULUS:016x}"


@cache
def beside() -> Executor:
    """Return the thread that takes digests of rows while they are written."""
    return ThreadPoolExecutor(1)


@cache
def scratch_database() -> duckdb.DuckDBPyConnection:
    """Return an empty database, the same one always: to open one takes longer than most digests."""
    return duckdb.connect()


def _cell(name: str, nulls: int) -> str:
    # The mark is as long as DuckDB keeps within a value; joined by concat, and not by ||, no text is copied twice.
    mark = literal(chr(31) + hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:8])
    if nulls:
        mark = f"case when {quote(name)} is null then '' else {mark} end"
    return f"{mark}, {quote(name)}"


def add(digest: str, other: str) -> str:
    """Return the digest of both tables' rows together."""
    return _combine(digest, other, 1)


def subtract(digest: str, other: str) -> str:
    """Return the digest of the first table without the second's rows."""
    return _combine(digest, other, -1)


def _combine(digest: str, other: str, sign: int) -> str:
    return "".join(
        f"{(int(digest[half], 16) + sign * int(other[half], 16)) % MODULUS:016x}"
        for half in (slice(0, 16), slice(16, 32)))
