"""Digests of tables: independent of row order, and updated from the changed rows alone.

There are two of them. The digest of the content leaves out which run and which delivery a row is from, so it
is the same for every way in which the rows were delivered, and on every engine. The checksum covers every
column of a table of a layer's file.
"""

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache
from types import MappingProxyType

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.steps import PLACE
from lib.storage.sql import literal, quote

MODULUS = 1 << 64
EMPTY = "0" * 32
WEIGHT = "weight of the row"  # no column of a layer has spaces in its name
NO_NUMBER = -1 << 62  # stands for null among the numbers of rows
NOTHING: Mapping[str, str] = MappingProxyType({})


def of_rows(rows: pa.Table, columns: Iterable[str]) -> str:
    """Return the digest of `rows` over `columns`: 32 hexadecimal digits.

    A row's digest is the md5 of its values as text, in order of column name, each after a mark that stands
    for the column; a table's digest is the sum of its rows' digests. A sum does not depend on order, and
    `add` and `subtract` can update it. A null adds no text at all, so a new column that is still empty
    changes no digest.
    """
    return _sums(rows, columns, "1")[0] if rows.num_rows else EMPTY


def with_checksum(layer: str, rows: pa.Table, constants: Mapping[str, str] = NOTHING) -> tuple[str, str]:
    """Return the digest of the content of a layer's rows, and their checksum, which covers every column.

    `constants` are further columns, with the same value in every row. The checksum multiplies the digest of
    a row's content by a weight of 32 bits, which follows from its place: that takes a sixth of the time of a
    second md5.
    """
    if not rows.num_rows:
        return EMPTY, EMPTY
    for name in content_columns(layer, constants):
        rows = rows.append_column(name, pa.repeat(constants[name], rows.num_rows))
    content = content_columns(layer, rows.column_names)
    weights = _weights(rows.drop_columns(content),
                       {name: text for name, text in constants.items() if name in PLACE[layer]})
    return _sums(rows.select(content).append_column(WEIGHT, pa.array(weights)), content, quote(WEIGHT))


def content_columns(layer: str, names: Iterable[str]) -> list[str]:
    """Return those columns of a layer's table that do not tell the place of a row (see lib.steps.PLACE)."""
    return [name for name in names if name not in PLACE[layer]]


def _sums(rows: pa.Table, columns: Iterable[str], weight: str) -> tuple[str, str]:
    cells = ", ".join(_cell(name, rows[name].null_count) for name in sorted(columns))
    # Both halves come from one number: md5_number_upper and md5_number_lower would each compute the md5.
    halves = (f"(number & {MODULUS - 1}::uhugeint)::hugeint", "(number >> 64)::hugeint")
    sums = ", ".join([*(f"sum({half})" for half in halves), *(f"sum({half} * {weight})" for half in halves)])
    with scratch_database().cursor() as connection:
        connection.register("rows", rows)
        first, second, *weighted = connection.execute(
            f"select {sums} from (select *, md5_number(concat({cells})) as number from rows)").fetchone()
    return _as_text(first, second), _as_text(*weighted)


def _as_text(first: int, second: int) -> str:
    return f"{first % MODULUS:016x}{second % MODULUS:016x}"


def _weights(place: pa.Table, constants: Mapping[str, str]) -> np.ndarray:
    """Return a number from 1 to 2^32 for each row, which changes with every column of its place."""
    total = np.full(place.num_rows, sum(_number_of(name, text) for name, text in constants.items()) % MODULUS,
                    np.uint64)
    for name, column in zip(place.column_names, place.columns, strict=True):
        if pa.types.is_integer(column.type):
            numbers = column.fill_null(NO_NUMBER).to_numpy().astype(np.int64).view(np.uint64)
            total += numbers * np.uint64(_number_of(name, "") | 1)
        else:  # few runs and few files wrote many rows
            coded = pc.dictionary_encode(column.combine_chunks())
            numbers = [*(_number_of(name, text) for text in coded.dictionary.to_pylist()), 0]  # 0 for null
            total += np.array(numbers, np.uint64)[coded.indices.fill_null(len(numbers) - 1).to_numpy()]
    return (total >> np.uint64(32)) + np.uint64(1)


def _number_of(name: str, text: str) -> int:
    return int(hashlib.md5(f"{name}\0{text}".encode(), usedforsecurity=False).hexdigest()[:16], 16)


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
