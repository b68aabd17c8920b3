"""A SELECT's rows with types that fit all of them, as Arrow's batches, and these as Parquet.

pandas would do it, too, but with all rows in memory.
"""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from sqlite3 import complete_statement
from typing import TYPE_CHECKING, Any

from lib.explore.readonly import Database, Selection, select

if TYPE_CHECKING:
    import pyarrow as pa

# Whether all of a column are days, or moments. Only with a modifier does SQLite see that February has no
# 31st.
ALL_DAYS = "min(date({c}, '+0 days') is {c})"
ALL_MOMENTS = """
    min(date({c}, '+0 days') is {c} or datetime(substr({c}, 1, 19), '+0 days') is substr({c}, 1, 19)
        and length({c}) <= 26 and rtrim(substr({c}, 20), '0123456789') is iif(length({c}) = 19, '', '.'))"""
ROWS_AT_ONCE = 50_000  # in memory, and in a row group of Parquet


def write_parquet(database: Database, selection: Selection, path: Path, limit: int | None) -> int:
    """Write rows to a file and return how many."""
    from pyarrow.parquet import ParquetWriter

    schema, count = find_types(database, selection, limit)
    with ParquetWriter(path, schema) as writer:
        for batch in batches(database, selection, schema, limit):
            writer.write_batch(batch)
    return count


def find_types(database: Database, selection: Selection, limit: int | None) -> "tuple[pa.Schema, int]":
    """Return Arrow types that hold every value of a SELECT, and how many rows to write, after one pass.

    A column of nulls has its declared type, or is text, and so is a column whose values differ in type.
    Outside raw, which is text as delivered, a column named `…_date` becomes dates and one named `…_timestamp`
    or `…_time` moments in UTC, if all of its values are such.
    """
    import pyarrow as pa

    moment = (ALL_MOMENTS, pa.timestamp("us", tz="UTC"))
    meanings = {"date": (ALL_DAYS, pa.date32()), "timestamp": moment, "time": moment}
    names = select(database, selection.sql, selection.parameters).columns
    columns = {f"c{number}": ("null", pa.string()) for number in range(len(names))}
    if database.path.stem != "raw":
        columns = {column: meanings.get(name.rpartition("_")[2], plain)
                   for name, (column, plain) in zip(names, columns.items(), strict=True)}
    facts = ", ".join(f"group_concat(distinct typeof({column})), {check.format(c=column)}"
                      for column, (check, _) in columns.items())
    asked = f"with asked({', '.join(columns)}) as ({_without_end(selection.sql)}\n) "
    found = select(database, f"{asked}select count(*), {facts} from asked", selection.parameters).rows
    count, *found = next(found)
    types = []
    for name, typeofs, fits, (_, meant) in zip(names, found[::2], found[1::2], columns.values(), strict=True):
        kinds = set((typeofs or "null").split(",")) - {"null"} or {selection.types.get(name)}
        types.append(pa.int64() if kinds == {"integer"} else
                     pa.float64() if kinds <= {"integer", "real"} else
                     pa.binary() if kinds == {"blob"} else
                     meant if kinds == {"text"} and fits != 0 else pa.string())
    return pa.schema(list(zip(names, types, strict=True))), count if limit is None else min(count, limit)


def _without_end(sql: str) -> str:
    """Return a SELECT without its semicolon and what follows, so that it can stand in brackets."""
    ends = (match.start() for match in re.finditer(";", sql) if complete_statement(sql[:match.end()]))
    return sql[:next(ends, None)]


def batches(database: Database, selection: Selection, schema: "pa.Schema",
            limit: int | None) -> "Iterator[pa.RecordBatch]":
    """Yield a SELECT's rows with the types that `find_types` found."""
    import pyarrow as pa

    rows = islice(select(database, selection.sql, selection.parameters).rows, limit)
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        columns = zip(zip(*chunk, strict=True), schema.types, strict=True)
        yield pa.record_batch([_array(values, type_) for values, type_ in columns], schema=schema)


def _array(values: tuple, type_: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    if pa.types.is_temporal(type_):
        return pa.array(values, pa.string()).cast(pa.timestamp("us")).cast(type_)
    if pa.types.is_floating(type_):  # of large whole numbers, too, which Arrow would refuse
        values = [None if value is None else float(value) for value in values]
    return pa.array(map(_text, values) if pa.types.is_string(type_) else values, type_)


def _text(value: Any) -> str | None:
    return value.hex() if isinstance(value, bytes) else None if value is None else str(value)
