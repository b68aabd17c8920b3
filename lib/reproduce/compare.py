"""Compare the content of two tables in bounded memory, regardless of which run wrote each row."""

from typing import Any

import pyarrow as pa

from lib.step.working_database import create_table, working_database
from lib.steps import SERIAL
from lib.storage.digest import content_columns
from lib.storage.layer import Layer
from lib.storage.sql import quote, quoted

SHOWN = 3  # differing rows of a table


def find_differences(original: Layer, rebuilt: Layer, table: str, until: str | None = None) -> list[str]:
    """Return the first rows that differ between a table of the warehouse and the rebuilt one, a line each.

    With `until`, the id of a run, only the rows that this run or an earlier one wrote are compared.
    """
    if rebuilt.schema(table) is None:
        return [f"{table}: only in the warehouse"]
    common = [name for name in original.schema(table).names if name in rebuilt.schema(table).names]
    names = content_columns(original.name, common)
    key = SERIAL if original.name == "raw" else names[0]
    names = [key, *(name for name in names if name != key)]
    with working_database() as work:
        _copy_rows(work, "original", original, table, names, until)
        _copy_rows(work, "rebuilt", rebuilt, table, names)
        # Later runs may have replaced a row that is only in `rebuilt`: with `until` it is not a difference.
        rows = work.execute(_query_differences(names, "left" if until else "full")).fetchall()
    return [_describe(table, names, row[:len(names)], row[len(names):]) for row in rows]


def find_other_rows(original: Layer, rebuilt: Layer, table: str, columns: dict[str, str | None]) -> list[str]:
    """Return the first rows of a table that are in one of two layers only, a line each.

    `columns` are compared as text; None stands for the column of that name, instead of an expression of SQL.
    """
    values = ", ".join(f"cast({expression or quote(name)} as text)" for name, expression in columns.items())
    schema, lines = pa.schema([(name, pa.string()) for name in columns]), []
    with working_database() as work:
        for name, layer in (("original", original), ("rebuilt", rebuilt)):
            batches = layer.batches(f"select {values} from {quote(table)}", schema)
            create_table(work, name, pa.RecordBatchReader.from_batches(schema, batches))
        for where, one, other in (("in the warehouse", "original", "rebuilt"),
                                  ("in the full load", "rebuilt", "original")):
            rows = work.execute(f"(from {one} except all from {other}) order by all limit {SHOWN}").fetchall()
            lines += [f"only {where}: {dict(zip(columns, row, strict=True))}" for row in rows]
    return lines


def _copy_rows(work: Any, name: str, layer: Layer, table: str, names: list[str],
               until: str | None = None) -> None:
    """Copy a layer's table, or its rows up to a run, into a table of the working database."""
    schema, where = layer.columns(table, names), "where batch_id <= ?" if until else ""
    query = f"select {quoted(names)} from {quote(table)} {where}"
    batches = layer.batches(query, schema, (until,) if until else ())
    create_table(work, name, pa.RecordBatchReader.from_batches(schema, batches))


def _query_differences(names: list[str], join: str) -> str:
    key = quote(names[0])
    columns = ", ".join(f"{side}.{quote(name)}" for side in ("original", "rebuilt") for name in names)
    differ = " or ".join(f"original.{name} is distinct from rebuilt.{name}" for name in map(quote, names))
    return (f"select {columns} from original {join} join rebuilt on original.{key} = rebuilt.{key} "
            f"where {differ} order by coalesce(original.{key}, rebuilt.{key}) limit {SHOWN}")


def _describe(table: str, names: list[str], original: tuple[Any, ...], rebuilt: tuple[Any, ...]) -> str:
    key = original[0] if original[0] is not None else rebuilt[0]
    if rebuilt[0] is None:
        return f"{table}, {names[0]} {key}: only in the warehouse"
    if original[0] is None:
        return f"{table}, {names[0]} {key}: only in the rebuilt table"
    columns = [f"{name} is {mine!r} in the warehouse and {other!r} in the rebuilt table"
               for name, mine, other in zip(names, original, rebuilt, strict=True) if mine != other]
    return f"{table}, {names[0]} {key}: {'; '.join(columns)}"
