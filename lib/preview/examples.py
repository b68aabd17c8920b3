"""Run the examples of rules: one real run loads all of them into a temporary warehouse."""

import csv
import io
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from itertools import product, zip_longest
from pathlib import Path
from typing import Any, NoReturn

from lib.contract import SHOP, SOURCES
from lib.declarations import DeclarationError
from lib.errors import closest
from lib.ingest.deliveries import Delivery, write_list
from lib.report.examples import DAY, KEY, Example, Examples, Row
from lib.runner.console import Console
from lib.runner.kernels import KernelQueue
from lib.runner.result import RunResult
from lib.runner.run import run
from lib.steps import LAYERS, STEPS, Options
from lib.steps import PLACE as PLACE_COLUMNS
from lib.storage import audit
from lib.storage.files import hash_file
from lib.storage.layer import Layer, open_layer
from lib.storage.lock import run_lock
from lib.storage.temporary import use_temporary_folder

FIRST_DAY = date(2001, 1, 1)  # of those that examples have for themselves
BY_DAY = "order_date"  # the key of a table of gold that is no key of a source
IN_SAMPLE = re.compile(r"(?:^|\()(\w+\.csv), line (\d+)")  # where a row is that a gate names
LATER = "_later"  # in the names of the second deliveries
SHOWN_PROBLEMS = 2  # of an example
SHOWN = 60  # characters of a value
Place = tuple[str, int]  # file and line


@dataclass(frozen=True)
class Tried:
    """How many examples were tried, and a line for each of them that does not hold."""

    number: int
    failed: list[str]


@dataclass
class _Case:
    """An example with its rows in full, as they are first delivered, and with the places of all rows."""

    example: Example
    key: str
    day: str
    rows: dict[str, list[Row]] = field(default_factory=dict)
    places: dict[str, list[Place]] = field(default_factory=dict)

    def of_its_own(self, row: Row) -> Row:
        """Return a row with the key and the day of the example in the place of what stands for them."""
        return {name: text.replace(KEY, self.key).replace(DAY, self.day) for name, text in row.items()}


@dataclass(frozen=True)
class _Table:
    key: str
    columns: list[str]
    rows: dict[str, dict[str, Any]]  # by key


@dataclass(frozen=True)
class _Outcome:
    """What became of all examples; what was set aside has its layer, rule and reason."""

    tables: dict[str, _Table]
    set_aside: dict[Place, tuple[str, str, str]]
    gates: list[dict[str, Any]]


def try_examples(examples: Examples) -> Tried:
    """Run the examples with the notebooks and suites as they are, and return what differs.

    Nothing is left of their warehouse. Raises DeclarationError for two examples that cannot be told apart.
    """
    cases = [_Case(example, f"example-{number}", (FIRST_DAY + timedelta(number)).isoformat())
             for number, example in enumerate(examples.examples, 1)
             if example.timezone in ("", SHOP.timezone)]
    for case in cases:
        _complete(case, examples.base)
    _check_keys(cases, examples.place)
    use_temporary_folder()  # of which nothing stays, even if this process is killed
    with tempfile.TemporaryDirectory() as folder:
        result = _load(examples, cases, Path(folder))
        if result.error:
            return Tried(len(cases), [f"the examples cannot be loaded: {result.error}"])
        outcome = _read_outcome(result, Path(folder) / "warehouse")
    _check_days(cases, outcome.tables, examples.place)
    problems = {case.key: list(_compare(case, outcome)) for case in cases}
    for case, problem in _compare_warnings(cases, outcome.gates):
        problems[case.key].append(problem)
    return Tried(len(cases), [
        f"{examples.place}, line {case.example.line}: {'; '.join(found[:SHOWN_PROBLEMS])}"
        f"{'; and more' * (len(found) > SHOWN_PROBLEMS)} ({case.example.about} See {case.example.rule}.)"
        for case in sorted(cases, key=lambda case: case.example.line) if (found := problems[case.key])])


def _complete(case: _Case, base: Mapping[str, Row]) -> None:
    """Give an example its rows in full, and a base row of each source that these name and it does not."""
    wanted = dict(case.example.delivered)
    while wanted:
        source, rows = wanted.popitem()
        own = SOURCES[source].key
        default = {own: KEY} | dict(base.get(source, {}))
        for number, row in enumerate(rows):
            full = {name: row.get(name, default.get(name, "")) for name in SOURCES[source].column_names}
            for other in SOURCES.values():
                is_there = other.name in case.rows or other.name in case.example.delivered
                if full.get(other.key) == KEY and other.key != own and not is_there:
                    wanted[other.name] = ({},)
            if number and own not in row:
                full[own] += f"-{number + 1}"
            case.rows.setdefault(source, []).append(case.of_its_own(full))


def _key(source: str, row: Row) -> str:
    return row[SOURCES[source].key].strip()


def _check_keys(cases: list[_Case], place: str) -> None:
    """Raise DeclarationError when two examples have rows with the same key, or that name the same key."""
    seen: dict[tuple[str, str], _Case] = {}
    keys = {source.key for source in SOURCES.values()}
    for case in cases:
        for column, text in ((column, text.strip()) for rows in case.rows.values() for row in rows
                             for column, text in row.items() if column in keys):
            if text and (other := seen.setdefault((column, text), case)) is not case:
                _fail_together(place, other, case, f"have the {column} {text!r}. Give one of them another.")


def _check_days(cases: list[_Case], tables: dict[str, _Table], place: str) -> None:
    """Raise DeclarationError when an example expects the figures of a day to which another one adds."""
    case_of = {_key("orders", row): case for case in cases for row in case.rows.get("orders", [])}
    for case in cases:
        for table, rows in case.example.becomes.items():
            days = {_find_key(case, BY_DAY, case.of_its_own(row), number) for number, row in enumerate(rows)
                    if tables[table].key == BY_DAY}
            for key, order in tables["fact_orders"].rows.items():
                if order[BY_DAY] in days and (other := case_of[key]) is not case:
                    _fail_together(place, case, other, f"have orders on {order[BY_DAY]}, whose figures the "
                                                       f"first expects. Give one of them another {BY_DAY}.")


def _fail_together(place: str, one: _Case, other: _Case, message: str) -> NoReturn:
    raise DeclarationError(f"{place}: the examples in line {one.example.line} ({one.example.about}) and line "
                           f"{other.example.line} ({other.example.about}) both {message}")


def _load(examples: Examples, cases: list[_Case], folder: Path) -> RunResult:
    """Deliver all rows, a file for each source and one for what comes later, and load them in one run."""
    source = folder / "source"
    source.mkdir()
    listed = []
    for is_later, name in product((False, True), SOURCES):
        is_snapshot = is_later and any(name in case.example.left_out for case in cases)
        path = source / f"{name}{LATER if is_later else ''}.csv"
        if not is_later or is_snapshot or any(name in case.example.later for case in cases):
            text = _as_csv(path.name, name, cases, is_later, is_snapshot)
            path.write_text(text, encoding="utf-8", newline="")
            listed.append(Delivery(path.name, "new", name, path.stat().st_size, hash_file(path),
                                   file=path.name, is_snapshot=is_snapshot))
    options = Options(write_list(source, listed), folder / "warehouse", folder / "reports",
                      quarantine_limit=1.0, snapshot_limit=1.0, now=f"{examples.today} 12:00:00.000000",
                      as_of=examples.today)
    with run_lock(options.warehouse), audit.open_audit(options.warehouse) as log:
        return run(options, log, Console(), KernelQueue(), is_replay=True)


def _as_csv(file: str, source: str, cases: list[_Case], is_later: bool, is_snapshot: bool) -> str:
    """Return a file with the rows of all examples, which get their places in it."""
    text = io.StringIO()
    writer = csv.DictWriter(text, SOURCES[source].column_names, lineterminator="\n")
    writer.writeheader()
    for case in cases:
        rows = case.rows.get(source, [])
        for row in _later_rows(case, source, rows, is_snapshot) if is_later else rows:
            case.places.setdefault(source, []).append((file, text.getvalue().count("\n") + 1))
            writer.writerow(row)
    return text.getvalue()


def _later_rows(case: _Case, source: str, rows: list[Row], is_snapshot: bool) -> Iterator[Row]:
    """Yield the rows that a second delivery has of an example: in a snapshot, those that stay as well."""
    changes = case.example.later.get(source, ())
    for row, change in zip_longest(rows, changes):
        if change is not None:
            yield row | case.of_its_own(change)
        elif is_snapshot and source not in case.example.left_out and not (
                case.example.set_aside and source in case.example.delivered):
            yield row


def _read_outcome(result: RunResult, warehouse: Path) -> _Outcome:
    tables, aside = {}, {}
    for name in LAYERS:
        with open_layer(warehouse, name) as layer:
            for step in STEPS.values():
                for table in step.outputs if step.writes == name != "raw" else ():
                    tables[table] = _read_table(layer, table, PLACE_COLUMNS[name])
            if layer.schema("quarantine"):
                columns = ["source_filename", "source_row", "rule", "reason"]
                for row in layer.read("quarantine", columns).to_pylist():
                    aside[row["source_filename"], row["source_row"]] = name, row["rule"], row["reason"]
    return _Outcome(tables, aside, [gate for step in result.steps for gate in step.record["gates"]])


def _read_table(layer: Layer, table: str, no_content: Sequence[str]) -> _Table:
    columns = layer.schema(table).names
    key = next(column for column in columns if column not in no_content)
    return _Table(key, columns, {row[key]: row for row in layer.read(table, columns).to_pylist()})


def _compare(case: _Case, outcome: _Outcome) -> Iterator[str]:
    """Yield what became of an example's rows otherwise than it says."""
    suite, rule = case.example.set_aside or ("", "")
    for source, places in case.places.items():
        for place in places:
            is_meant = source in case.example.delivered and (not case.example.later or LATER in place[0])
            wanted = (_layer_of(suite), rule) if suite and is_meant else None
            *found, reason = outcome.set_aside.get(place, ("",))
            if wanted and not found:
                yield f"{_describe(case)} was loaded instead of being set aside"
            elif found and tuple(found) != wanted:
                yield f"{_describe(case)} was set aside by {found[1]}: {reason.rstrip('.')}"
                return  # what it should become is not there
    for table, rows in case.example.becomes.items():
        for number, row in enumerate(rows):
            yield from _compare_row(case, table, case.of_its_own(row), number, outcome.tables[table])


def _compare_row(case: _Case, name: str, expected: Row, number: int, table: _Table) -> Iterator[str]:
    key = _find_key(case, table.key, expected, number)
    if key not in table.rows:
        yield f"{name} has no row with the {table.key} {key!r}"
        return
    for column, text in expected.items():
        if column not in table.columns:
            yield f"{name} has no column {column!r}{closest(column, table.columns)}"
        elif not _is_same(text, value := table.rows[key][column]):
            instead = text if text and isinstance(value, int | float) else _shown(text)
            yield f"{name}.{column} is {_shown(value)} instead of {instead} for {_describe(case)}"


def _find_key(case: _Case, column: str, expected: Row, number: int) -> str:
    """Return the key of the row that an example expects: as it says or, where it does not, as it delivers.

    The first expected row is that of the first delivered row that has the key, and so on.
    """
    if column in expected:
        return expected[column]
    owner = [source.name for source in SOURCES.values() if source.key == column]
    for source in [*owner, *case.rows]:
        rows = case.rows.get(source, [])
        if len(rows) > number and column in rows[number]:
            key = rows[number][column].strip()
            return key[:len("2025-12-31")] if column == BY_DAY else key
    return ""


def _compare_warnings(cases: list[_Case], gates: list[dict[str, Any]]) -> Iterator[tuple[_Case, str]]:
    """Yield examples with rows that a rule reports and that do not say so, or the other way round.

    A gate counts the rows that it reports, and names a few of them.
    """
    by_place = {place: case for case in cases for places in case.places.values() for place in places}
    by_key = {_key(source, row): case for case in cases
              for source, rows in case.rows.items() for row in rows}
    failed, samples = Counter(), {}
    for gate in gates:
        if gate["on_failure"] == "warn" and gate["failed"]:
            failed[gate["rule"]] += gate["failed"]
            samples.setdefault(gate["rule"], []).extend(gate["sample"])
    for rule in {*failed, *(rule for case in cases for rule in case.example.warns)}:
        found = [by_place[place[1], int(place[2])] if (place := IN_SAMPLE.search(text))
                 else by_key.get(text.strip("'").partition(" (")[0]) for text in samples.get(rule, [])]
        named = [case for case in found if case]  # a sample may have values that are no keys
        for case in named:
            if rule not in case.example.warns:
                yield case, f"{_describe(case)} is reported by {rule}, which the example does not say"
        missing = [case for case in cases if rule in case.example.warns and case not in named]
        if failed[rule] - len(named) < len(missing):  # else the gate reports more rows than it has named
            for case in missing:
                yield case, f"{_describe(case)} is not reported by {rule}"


def _layer_of(suite: str) -> str:
    return "raw" if suite.startswith("raw_") else "curated"


def _describe(case: _Case) -> str:
    """Return what an example delivers, in short."""
    rows = [f"{source} {', '.join(f'{name} {_shown(text)}' for name, text in row.items())}".strip()
            for rows in (case.example.delivered, case.example.later) for source, of_source in rows.items()
            for row in of_source]
    text = "; ".join(rows)
    return text if len(text) <= SHOWN * 2 else f"{text[:SHOWN * 2]}…"


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "empty"
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _is_same(expected: str, value: Any) -> bool:
    """Return whether a value is as a text says; numbers are compared as exact decimals."""
    if value is None or isinstance(value, str):
        return expected == (value or "")
    try:
        return Decimal(expected) == Decimal(repr(value))
    except InvalidOperation:
        return False
