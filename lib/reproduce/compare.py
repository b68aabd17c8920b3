"""Hold a table against another one: by what is in it, whatever the records say of it, in bounded memory."""

from typing import Any

import pyarrow as pa

from lib.step.raw_tables import PROVENANCE, SERIAL
from lib.step.working_database import working_database
from lib.steps import STEPS
from lib.storage import digest
from lib.storage.layer import Layer
from lib.storage.sql import quote, quoted

SHOWN = 3
ABOUT_THE_RUN = {SERIAL, "batch_id", "process_name", *PROVENANCE, *(step.timestamp for step in STEPS.values())}


def content_columns(layer: Layer, table: str) -> list[str]:
    """Return a table's columns without those that say which run wrote a row, and from which line."""
    return [name for name in layer.schema(table).names if name not in ABOUT_THE_RUN]


def take_digest(layer: Layer, table: str) -> tuple[int, str]:
    """Return how many rows a table has, and the digest of what is in them (see lib.storage.digest)."""
    names, rows, total = content_columns(layer, table), 0, digest.EMPTY
    for batch in layer.batches(f"select {quoted(names)} from {quote(table)}", layer.columns(table, names)):
        rows += batch.num_rows
        total = digest.add(total, digest.of_rows(pa.Table.from_batches([batch]), names))
    return rows, total


def differences(here: Layer, there: Layer, table: str, until: str | None = None) -> list[str]:
    """Return the first rows that differ, a line each: what is here, and what is there.

    With `until`, the id of a run, only the rows that are here since that run or longer are looked for there.
    """
    if there.schema(table) is None:
        return [f"{table}: only in the warehouse"]
    names = [name for name in content_columns(here, table) if name in there.schema(table).names]
    key = SERIAL if here.name == "raw" else names[0]
    names = [key, *(name for name in names if name != key)]
    with working_database() as work:
        for name, layer, where in (("here", here, "where batch_id <= ?" if until else ""), ("there", there, "")):
            schema = layer.columns(table, names)
            batches = layer.batches(f"select {quoted(names)} from {quote(table)} {where}", schema, (until,) if where else ())
            work.register("arrived", pa.RecordBatchReader.from_batches(schema, batches))
            work.execute(f"create table {name} as select * from arrived")
            work.unregister("arrived")
        join = "left" if until else "full"
        columns = ", ".join(f"{side}.{quote(name)}" for side in ("here", "there") for name in names)
        differ = " or ".join(f"here.{quote(name)} is distinct from there.{quote(name)}" for name in names)
        found = work.execute(f"select {columns} from here {join} join there on here.{quote(key)} = there.{quote(key)} where {differ} "
                             f"order by coalesce(here.{quote(key)}, there.{quote(key)}) limit {SHOWN}").fetchall()
    return [_describe(table, names, row[:len(names)], row[len(names):]) for row in found]


def _describe(table: str, names: list[str], here: tuple[Any, ...], there: tuple[Any, ...]) -> str:
    key = here[0] if here[0] is not None else there[0]
    if here[0] is None or there[0] is None:
        return f"{table}, {names[0]} {key}: only {'rebuilt' if here[0] is None else 'in the warehouse'}"
    said = [f"{name} is {mine!r} in the warehouse, {other!r} rebuilt" for name, mine, other in zip(names, here, there, strict=True)
            if mine != other]
    return f"{table}, {names[0]} {key}: {'; '.join(said)}"
