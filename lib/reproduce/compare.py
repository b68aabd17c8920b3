"""Compare the content of two tables in bounded memory, regardless of which run wrote each row."""

from typing import Any

import pyarrow as pa

from lib.step.raw_tables import PROVENANCE, SERIAL
from lib.step.working_database import create_table, working_database
from lib.steps import STEPS
from lib.storage import digest
from lib.storage.layer import Layer
from lib.storage.sql import quote, quoted

SHOWN = 3  # differing rows of a table
ABOUT_THE_RUN = {SERIAL, "batch_id", "process_name", *PROVENANCE,
                 *(step.timestamp for step in STEPS.values())}


def content_columns(layer: Layer, table: str) -> list[str]:
    """Return a table's columns without those that say which run and which delivery a row is from."""
    return [name for name in layer.schema(table).names if name not in ABOUT_THE_RUN]


def take_digest(layer: Layer, table: str) -> tuple[int, str]:
    """Return a table's number of rows and the digest of their content (see lib.storage.digest)."""
    names, rows, total = content_columns(layer, table), 0, digest.EMPTY
    for batch in layer.batches(f"select {quoted(names)} from {quote(table)}", layer.columns(table, names)):
        rows += batch.num_rows
        total = digest.add(total, digest.of_rows(pa.Table.from_batches([batch]), names))
    return rows, total


def find_differences(original: Layer, rebuilt: Layer, table: str, until: str | None = None) -> list[str]:
    """Return the first rows that differ between a table of the warehouse and the rebuilt one, a line each.

    With `until`, the id of a run, only the rows that this run or an earlier one wrote are compared.
    """
    if rebuilt.schema(table) is None:
        return [f"{table}: only in the warehouse"]
    names = [name for name in content_columns(original, table) if name in rebuilt.schema(table).names]
    key = SERIAL if original.name == "raw" else names[0]
    names = [key, *(name for name in names if name != key)]
    with working_database() as work:
        _copy_rows(work, "original", original, table, names, until)
        _copy_rows(work, "rebuilt", rebuilt, table, names)
        # Later runs may have replaced a row that is only in `rebuilt`: with `until` it is not a difference.
        rows = work.execute(_query_differences(names, "left" if until else "full")).fetchall()
    return [_describe(table, names, row[:len(names)], row[len(names):]) for row in rows]


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
