"""The examples of rules: what delivered rows become, or why they are set aside; in `notebooks/examples.yaml`.

They are tests, which `lib.preview.examples` runs, and explanations, which the catalog shows at the columns.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import yaml

from lib.clock import is_day
from lib.contract import SOURCES, read_timezone
from lib.declarations import Place, read_declaration
from lib.errors import closest
from lib.report.expectation_text import OTHER_RULES, read_expectations
from lib.steps import NOTEBOOKS, STEPS, SUITES

EXAMPLES = NOTEBOOKS / "examples.yaml"
PREFIXES = ("dim_", "fact_", "raw_")  # in front of a source's name: the table that has its rows, or its suite
KEY, DAY = "<key>", "<day>"  # in a row: a key, and a day, that only this example has
Row = Mapping[str, str]
Rows = Mapping[str, tuple[Row, ...]]  # by source or table


@dataclass(frozen=True)
class Example:
    """Delivered rows, with the columns that matter, and what has to become of them.

    line: where it stands in the file.
    cell, notebook: of the rule; empty where a suite has it.
    later: what a second delivery changes in the rows, and left_out the sources whose rows it leaves out.
    becomes: by table, the columns and values that a row must have; an empty text is an empty value.
    set_aside: the suite, and the rule by which the row, or what comes later, is set aside; None if all of it
        must be loaded.
    warns: the rules that report rows of the example and let them pass.
    timezone: the example holds in shops in this time zone, or in all of them if it is empty.
    """

    about: str
    line: int
    cell: str
    notebook: str
    delivered: Rows
    becomes: Rows = field(default_factory=dict)
    set_aside: tuple[str, str] | None = None
    warns: tuple[str, ...] = ()
    timezone: str = ""
    later: Rows = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    @property
    def rule(self) -> str:
        """Where a person finds what the example is about."""
        if self.set_aside:
            return f"{self.set_aside[1]} in gx/expectations/{self.set_aside[0]}.json"
        return f"cell {self.cell} of {self.notebook}" if self.cell else ", ".join(self.warns)


@dataclass(frozen=True)
class Examples:
    """All examples. `today` is the day of the run, and `base` has a valid row of each source."""

    place: str
    today: str
    base: Mapping[str, Row]
    examples: tuple[Example, ...]


def _read_rows(place: Place, node: yaml.Node) -> Rows:
    """Return rows by source or table; a single row needs no list."""
    found = {}
    for name, (_, value) in place.items(node, "rows by table").items():
        items = value.value if isinstance(value, yaml.SequenceNode) else [value]
        found[name] = tuple(_read_row(place, item) for item in items)
    return found


def _read_row(place: Place, node: yaml.Node) -> Row:
    return {name: place.text(value, repr(name)) for name, (_, value) in place.items(node, "a row").items()}


def _read_values(place: Place, node: yaml.Node) -> Mapping[str, str | None]:
    """Return what each text becomes; None for texts in a list, which are set aside."""
    if isinstance(node, yaml.SequenceNode):
        return dict.fromkeys(place.texts(node, "'values'"))
    return _read_row(place, node)


@dataclass(frozen=True)
class _Declared:
    """An example as it stands in the file: one of curated names its `table`."""

    about: str
    cell: str = ""
    table: str = ""
    column: str = ""
    values: Mapping[str, str | None] = field(default_factory=dict, metadata={"read": _read_values})
    delivered: yaml.Node | None = field(default=None, metadata={"read": lambda place, node: node})
    becomes: yaml.Node | None = field(default=None, metadata={"read": lambda place, node: node})
    set_aside: str = ""
    warns: tuple[str, ...] = ()
    timezone: str = field(default="", metadata={"read": read_timezone})
    later: yaml.Node | None = field(default=None, metadata={"read": lambda place, node: node})
    left_out: tuple[str, ...] = ()


def _read_nodes(place: Place, node: yaml.Node) -> tuple[yaml.Node, ...]:
    if not isinstance(node, yaml.SequenceNode):
        place.fail(node, "there must be a list of examples here (`- about:` begins each). Correct it.")
    return tuple(node.value)


@dataclass(frozen=True)
class _File:
    today: str
    base: Mapping[str, Row]
    curated: tuple[yaml.Node, ...] = field(metadata={"read": _read_nodes})
    gold: tuple[yaml.Node, ...] = field(metadata={"read": _read_nodes})


def read_examples(path: Path = EXAMPLES) -> Examples:
    """Return the examples of a file. Raises DeclarationError, with line and closest name, for a wrong one."""
    file, place = read_declaration(path, _File), Place(path)
    if not is_day(file.today):
        place.fail(place.find("today"), f"'today' is {file.today!r}. Write a day such as 2025-12-31.")
    for source, row in file.base.items():
        _check_name(place, partial(place.find, "base", source), source, SOURCES, "source")
        for column in row:
            _check_name(place, partial(place.find, "base", source, column), column,
                        SOURCES[source].column_names, f"column of {source}")
    rules = {path.stem: [rule["rule"] for rule in read_expectations(path)] for path in SUITES.glob("*.json")}
    examples = []
    for layer, nodes in (("curated", file.curated), ("gold", file.gold)):
        cells = _read_cells(layer)
        for node in nodes:
            examples += _Reader(place, node, layer, cells, rules).read()
    return Examples(str(place), file.today, file.base, tuple(examples))


class _Reader:
    """Reads one example of the file, and raises DeclarationError about what is wrong in it."""

    def __init__(self, place: Place, node: yaml.Node, layer: str, cells: Mapping[str, str],
                 rules: Mapping[str, list[str]]):
        self._place, self._node, self._layer, self._cells, self._rules = place, node, layer, cells, rules
        self._found = place.build(node, _Declared, {})

    def read(self) -> Iterator[Example]:
        """Yield the example; a list of values is an example for each of them."""
        found = self._found
        self._check_rules()
        first = Example(found.about, self._node.start_mark.line + 1, found.cell,
                        self._cells.get(found.cell, ""), {}, warns=found.warns, timezone=found.timezone,
                        left_out=found.left_out)
        if self._layer == "gold":
            yield self._read_gold(first)
        else:
            yield from self._read_curated(first)

    def _read_gold(self, first: Example) -> Example:
        for name in ("table", "column", "values", "set_aside"):
            if getattr(self._found, name):
                self._fail(name, f"an example of gold has no {name!r}. Write what is delivered, and what it "
                                 "becomes, by source and table.")
        delivered, becomes = self._rows_by_table("delivered"), self._rows_by_table("becomes")
        later = self._rows_by_table("later")
        for source, rows in [*delivered.items(), *later.items()]:
            self._check(source, SOURCES, "source")
            for row in rows:
                self._check_columns(row, source)
        for source, rows in later.items():
            if len(rows) > len(delivered.get(source, ())):
                self._fail("later", f"more rows of {source} come later than were delivered before.")
        for table in becomes:
            self._check(table, _tables(self._layer), "table of gold")
        if not (becomes or first.warns):
            self._fail("", "it does not say what becomes of the rows. Write `becomes` or `warns`.")
        return replace(first, delivered=delivered, becomes=becomes, later=later)

    def _read_curated(self, first: Example) -> Iterator[Example]:
        found, table = self._found, self._found.table
        if not table:
            self._fail("", "it does not say of which table it is. Write `table: dim_customers`.")
        suites = [*_tables(self._layer), *(f"raw_{source}" for source in SOURCES)]
        self._check(table, suites, "table of curated, nor suite of a source")
        source = source_of(table)
        delivered, becomes, later = self._row("delivered"), self._row("becomes"), self._row("later")
        self._check_columns(delivered | later, source)
        values = found.values.values()
        if not (becomes or values or found.set_aside or found.warns):
            self._fail("", "it does not say what becomes of the row. Write `becomes` or `set_aside`.")
        if found.set_aside and not later and (becomes or set(values) - {None}):
            self._fail("set_aside", "a row that is set aside becomes nothing. Remove one of both.")
        if not found.set_aside and None in values:
            self._fail("values", "it does not say what the values become. Write `text: what it becomes`, or "
                                 "`set_aside` and the rule.")
        if bool(found.column) != bool(found.values):
            self._fail("column" if found.column else "values", "`column` and `values` belong together. Write "
                                                               "both.")
        if found.column:
            self._check(found.column, SOURCES[source].column_names, f"column of {source}")
        aside = (table, found.set_aside) if found.set_aside else None
        for line, text, value in self._values():
            row = delivered | ({found.column: text} if found.column else {})
            after = becomes | ({found.column: value} if value is not None else {})
            yield replace(first, line=line or first.line, delivered={source: (row,)}, set_aside=aside,
                          becomes={table: (after,)} if after else {},
                          later={source: (later,)} if later else {})

    def _values(self) -> Iterator[tuple[int, str, str | None]]:
        """Yield the line, the text and what it becomes, of each value; once nothing if there are none."""
        if not self._found.values:
            yield 0, "", None
        for text, value in self._found.values.items():
            yield self._line_of(text), text, value

    def _check_rules(self) -> None:
        found = self._found
        if not (found.cell or found.set_aside or found.warns):
            self._fail("", "it does not say where its rule is. Write `cell:` and the id of the cell.")
        if found.cell:
            self._check(found.cell, self._cells, f"cell of the notebooks of {self._layer}")
        if found.set_aside:
            known = [*self._rules.get(found.table, []), *OTHER_RULES]
            self._check(found.set_aside, known, f"rule of the suite {found.table}")
        for source in found.left_out:
            self._check(source, SOURCES, "source")
        for rule in found.warns:
            self._check(rule, set().union(*self._rules.values()), "rule of a suite")

    def _rows_by_table(self, name: str) -> Rows:
        node = getattr(self._found, name)
        return _read_rows(self._place, node) if node else {}

    def _row(self, name: str) -> Row:
        node = getattr(self._found, name)
        return _read_row(self._place, node) if node else {}

    def _check_columns(self, row: Row, source: str) -> None:
        for column in row:
            self._check(column, SOURCES[source].column_names, f"column of {source}")

    def _check(self, name: str, known: Collection[str], what: str) -> None:
        _check_name(self._place, partial(_find, self._node, name), name, known, what)

    def _line_of(self, text: str) -> int:
        return _find(self._node, text).start_mark.line + 1

    def _fail(self, name: str, message: str) -> NoReturn:
        self._place.fail(_find(self._node, name), f"the example {self._found.about!r}: {message}")


def source_of(table: str) -> str:
    """Return the source that a table of curated, or a suite of raw, has the rows of."""
    return next(table.removeprefix(prefix) for prefix in PREFIXES if table.startswith(prefix))


def _check_name(place: Place, find: Callable[[], yaml.Node | None], name: str, known: Collection[str],
                what: str) -> None:
    if name not in known:
        hint = closest(name, known) or f" (there are: {', '.join(sorted(known))})"
        place.fail(find(), f"{name!r} is no {what}{hint}. Correct it.")


def _find(node: yaml.Node, text: str) -> yaml.Node:
    """Return the first node below a node that has this text; the node itself if none has, or for no text."""
    if not text:
        return node
    below = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))] \
        if isinstance(node.value, list) else []
    for part in below:
        if isinstance(part, yaml.ScalarNode):
            if part.value == text:
                return part
        elif (found := _find(part, text)) is not part:
            return found
    return node


def _tables(layer: str) -> list[str]:
    return [table for step in STEPS.values() if step.writes == layer for table in step.outputs]


def _read_cells(layer: str) -> dict[str, str]:
    """Return the notebook of each code cell, by the cell's id, of the notebooks that write a layer."""
    return {cell["id"]: step.notebook for step in STEPS.values() if step.writes == layer
            for cell in json.loads((NOTEBOOKS / step.notebook).read_text(encoding="utf-8"))["cells"]
            if cell["cell_type"] == "code"}
