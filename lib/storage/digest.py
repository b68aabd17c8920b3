"""Digests of a table's content: independent of row order, and updated from the changed rows alone."""

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

    A row's digest is the md5 of its values as text, in order of column name, each after a mark that stands
    for the column; a table's digest is the sum of its rows' digests. A sum does not depend on order, and
    `add` and `subtract` can update it. A null adds no text at all, so a new column that is still empty
    changes no digest.
    """
    if not rows.num_rows:
        return EMPTY
    cells = ", ".join(_cell(name, rows[name].null_count) for name in sorted(columns))
    with scratch_database().cursor() as connection:
        connection.register("rows", rows)
        # Both halves come from one number: md5_number_upper and md5_number_lower would each compute the md5.
        high, low = connection.execute(
            f"select sum((number & {MODULUS - 1}::uhugeint)::hugeint), sum((number >> 64)::hugeint) "
            f"from (select md5_number(concat({cells})) as number from rows)").fetchone()
    return f"{high % MODULUS:016x}{low % MODULUS:016x}"


@cache
def worker() -> Executor:
    """Return the thread that computes the digests of rows while the rows are written."""
    return ThreadPoolExecutor(1)


@cache
def scratch_database() -> duckdb.DuckDBPyConnection:
    """Return an empty database, always the same one: opening one takes longer than most digests."""
    return duckdb.connect()


def _cell(name: str, nulls: int) -> str:
    # Nine bytes, because DuckDB stores text up to twelve within the value itself, which is fast. The cells
    # are joined by concat, not by ||, which would copy the text once per cell.
    mark = literal(chr(31) + hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:8])
    if nulls:
        mark = f"case when {quote(name)} is null then '' else {mark} end"
    return f"{mark}, {quote(name)}"


def add(digest: str, other: str) -> str:
    """Return the digest of two tables' rows together."""
    return _combine(digest, other, 1)


def subtract(digest: str, other: str) -> str:
    """Return the digest of the first table without the rows of the second."""
    return _combine(digest, other, -1)


def _combine(digest: str, other: str, sign: int) -> str:
    return "".join(
        f"{(int(digest[half], 16) + sign * int(other[half], 16)) % MODULUS:016x}"
        for half in (slice(0, 16), slice(16, 32)))
