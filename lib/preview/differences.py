"""What differs between the tables of two warehouses, in bounded memory."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from lib.step.working_database import create_table, working_database
from lib.steps import SERIAL, STEPS
from lib.storage.digest import content_columns
from lib.storage.layer import Layer
from lib.storage.sql import quote, quoted

SHOWN = 3  # rows of a kind
MONTHS = 12
LAST_DIGEST = "select digest from layer_commits where table_name = ? order by commit_id desc limit 1"
LAST_TOTALS = "where batch_id = (select max(batch_id) from balances)"
QUARANTINE = ["table_name", "rule", "source_filename", "source_row", "reason"]
SUMMED = ("sales_summary_daily", "order_date")  # the measures that are shown by month, and their day

Layers = dict[str, Layer]
Change = tuple[str, Any, Any]  # key, before, after


@dataclass(frozen=True)
class ColumnDifference:
    """How many rows, that both sides have, differ in a column, and the first of them."""

    name: str
    rows: int
    sample: tuple[Change, ...]


@dataclass(frozen=True)
class TableDifference:
    """What differs in a table: numbers of rows, the first keys, and each column that differs.

    `columns_added` and `columns_removed` are columns that only one side has.
    """

    layer: str
    table: str
    key: str
    rows_before: int
    rows_after: int
    added: int
    removed: int
    changed: int
    added_keys: tuple[str, ...]
    removed_keys: tuple[str, ...]
    columns: tuple[ColumnDifference, ...]
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]


@dataclass(frozen=True)
class TotalDifference:
    """A control total, or the sum of a measure in a month, that differs: decimals as text; None where a side
    has none."""

    name: str
    month: str  # "" for a control total
    before: str | None
    after: str | None


@dataclass(frozen=True)
class SetAside:
    """Rows that a rule would set aside, or let in that are set aside now, by table and rule.

    `sample` has their files and lines, with the reason.
    """

    layer: str
    table: str
    rule: str
    added: int
    let_in: int
    sample: tuple[str, ...]


@dataclass(frozen=True)
class Observed:
    """What an observed expectation would have done."""

    suite: str
    rule: str
    failed: int
    checked: int
    sample: tuple[str, ...]
    notes: str


def compare_tables(before: Layers, after: Layers) -> Iterator[TableDifference]:
    """Yield what differs in each table that a step writes; tables with the same digest are not read."""
    for step in STEPS.values():
        for table in step.outputs:
            sides = [_layer_with(layers, step.writes, table) for layers in (before, after)]
            if any(sides) and _digest(sides[0], table) != _digest(sides[1], table):
                yield _compare_table(step.writes, table, *sides)


def _layer_with(layers: Layers, name: str, table: str) -> Layer | None:
    layer = layers.get(name)
    return layer if layer and layer.schema(table) is not None else None


def _digest(layer: Layer | None, table: str) -> str | None:
    return layer.scalar(LAST_DIGEST, (table,)) if layer else None


def _compare_table(layer: str, table: str, before: Layer | None, after: Layer | None) -> TableDifference:
    columns = [content_columns(layer, side.schema(table).names) if side else [] for side in (before, after)]
    common = [name for name in columns[1] if name in columns[0]] or columns[0] or columns[1]
    key = SERIAL if layer == "raw" else common[0]
    names = [key, *(name for name in common if name != key)]
    schema = (before or after).columns(table, names)
    with working_database() as work:
        with ThreadPoolExecutor() as readers:  # SQLite gives the rows of a file to one thread
            copies = [readers.submit(_copy, work.cursor(), name, side, table, schema)
                      for name, side in (("before", before), ("after", after))]
        for copied in copies:
            copied.result()
        return _describe(work, layer, table, names, columns)


def _copy(work: Any, name: str, layer: Layer | None, table: str, schema: pa.Schema) -> None:
    """Copy a layer's table into a table of the working database; an empty one if the layer has none."""
    batches = layer.batches(f"select {quoted(schema.names)} from {quote(table)}", schema) if layer else ()
    create_table(work, name, pa.RecordBatchReader.from_batches(schema, batches))


def _describe(work: Any, layer: str, table: str, names: list[str],
              columns: list[list[str]]) -> TableDifference:
    key, *others = map(quote, names)
    same_key = f"before.{key} = after.{key}"
    differ = " or ".join(f"before.{name} is distinct from after.{name}" for name in others) or "false"
    pairs = ", ".join(f"before.{name} as {_old(name)}, after.{name} as {name}" for name in others)
    work.execute(f"create table changed as select after.{key}{', ' if pairs else ''}{pairs} "
                 f"from before join after on {same_key} where {differ}")
    for name, one, other in (("added", "after", "before"), ("removed", "before", "after")):
        work.execute(f"create table {name} as select {key} from {one} anti join {other} using ({key})")
    counts = work.execute(", ".join([
        "select (select count(*) from before), (select count(*) from after)", "(select count(*) from added)",
        "(select count(*) from removed)", "(select count(*) from changed)"])).fetchone()
    found = [_compare_column(work, key, name) for name in others]
    return TableDifference(
        layer, table, names[0], *counts, *(_keys(work, key, name) for name in ("added", "removed")),
        tuple(column for column in found if column.rows),
        *(tuple(name for name in one if name not in other) for one, other in (columns[::-1], columns)))


def _compare_column(work: Any, key: str, name: str) -> ColumnDifference:
    where = f"{_old(name)} is distinct from {name}"
    [rows] = work.execute(f"select count(*) from changed where {where}").fetchone()
    sample = work.execute(f"select cast({key} as varchar), {_old(name)}, {name} from changed where {where} "
                          f"order by {key} limit {SHOWN}").fetchall() if rows else []
    return ColumnDifference(name.strip('"'), rows, tuple(sample))


def _old(name: str) -> str:
    return quote(f"before {name.strip(chr(34))}")  # no column of a layer has spaces in its name


def _keys(work: Any, key: str, table: str) -> tuple[str, ...]:
    rows = work.execute(f"select cast({key} as varchar) from {table} order by {key} limit {SHOWN}").fetchall()
    return tuple(text for text, in rows)


def compare_totals(before: Layers, after: Layers) -> Iterator[TotalDifference]:
    """Yield the control totals that differ, and the measures of the last MONTHS months, by month."""
    sides = [layers.get("gold") for layers in (before, after)]
    old, new = (_control_totals(side) | _monthly(side) if side else {} for side in sides)
    for place in dict.fromkeys([*new, *old]):
        if old.get(place) != new.get(place):
            yield TotalDifference(*place, old.get(place), new.get(place))


def _control_totals(gold: Layer) -> dict[tuple[str, str], str]:
    if gold.schema("balances") is None:
        return {}
    rows = gold.read("balances", ["figure", "gold"], LAST_TOTALS).to_pylist()
    return {(row["figure"], ""): row["gold"] for row in rows}


def _monthly(gold: Layer) -> dict[tuple[str, str], str]:
    """Return the sums of all measures of the last months that have any, by measure and month."""
    table, day = SUMMED
    schema = gold.schema(table)
    if schema is None:
        return {}
    measures = [field for field in schema if field.type != pa.string()]
    sums = ", ".join(f"coalesce(round(sum({quote(field.name)}), 2), 0)" for field in measures)
    months = gold.query(
        f"select substr({day}, 1, 7) as month, {sums} from {table} group by 1 order by 1 desc limit {MONTHS}",
        pa.schema([("month", pa.string()), *measures])).to_pylist()
    return {(field.name, row["month"]): _as_text(row[field.name])
            for field in measures for row in months if row["month"]}


def _as_text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.2f}"


def compare_set_aside(before: Layers, after: Layers) -> Iterator[SetAside]:
    """Yield by rule which rows would be set aside, and which are set aside now and would be let in."""
    sides = [{place: reason for name, layer in layers.items() for place, reason in _open_rows(name, layer)}
             for layers in (before, after)]
    rules: dict[tuple[str, ...], list[list[str]]] = {}
    for number, (one, other) in enumerate((sides[::-1], sides)):
        for row in one.keys() - other.keys():
            layer, table, rule, file, line = row
            rules.setdefault((layer, table, rule), [[], []])[number].append(f"{file} line {line}: {one[row]}")
    for place, (added, let_in) in sorted(rules.items()):
        yield SetAside(*place, len(added), len(let_in), tuple(sorted(added or let_in)[:SHOWN]))


def _open_rows(name: str, layer: Layer) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the rows in a layer's quarantine: layer, table, rule, file and line, with the reason."""
    if layer.schema("quarantine") is not None:
        for row in layer.read("quarantine", QUARANTINE, "where resolved_batch_id is null").to_pylist():
            *place, line, reason = row.values()
            yield (name, *place, str(line)), reason


def describe_observed(gates: Iterable[dict[str, Any]]) -> Iterator[Observed]:
    """Yield what each observed expectation would have done, also those that all rows meet."""
    for gate in gates:
        if gate["on_failure"] == "observe":
            yield Observed(gate["suite"], gate["rule"], gate["failed"], gate["checked"],
                           tuple(gate["sample"]), gate["notes"])
