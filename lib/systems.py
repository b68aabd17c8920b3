"""The source systems: where files come from, and how their columns become those of the contract, as data.

Each `data/contract/systems/<name>.yaml` declares one. docs/your-files.md explains every property by example.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cache
from itertools import combinations
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from lib.contract import CONTRACT, SOURCES, read_encoding, read_timezone
from lib.declarations import DeclarationError, Place, read_declaration
from lib.errors import closest

SYSTEMS = CONTRACT / "systems"
DEFAULT = "shop_csv"  # the contract itself
PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
LAST_WINS = "last_wins"
EVERY_ROW, ONE_PER_KEY = "every row", "one per key"
LINES = "lines"  # in `adds_up`: what the order's lines come to
NUMBER = "n"  # the placeholder for the number of a row within its order, or of a numbered column
NUMBERED = "<n>"  # in the name of a numbered column: `Item <n> name`
NAME_PARTS = (":first", ":rest")  # of a person's name: up to the first space, and after it
Problem = tuple[tuple[str, ...], str]  # the names that lead to what is wrong, and what is wrong with it


@dataclass(frozen=True)
class Text:
    """A text with placeholders for delivered columns; it has no value where one of them is empty.

    `when` is a column that must have a value, too.
    """

    template: str
    when: str = ""

    @property
    def placeholders(self) -> tuple[str, ...]:
        return tuple(PLACEHOLDER.findall(self.template))

    @property
    def columns(self) -> tuple[str, ...]:
        names = [column_of(name) for name in self.placeholders if name != NUMBER]
        return tuple(dict.fromkeys([*names, *filter(None, [self.when])]))


@dataclass(frozen=True)
class Cell:
    """Where a column of the contract comes from: the first of some texts that has a value.

    If none has one, `sums` of all rows of the key are joined with " + ", to be added up where text is typed.
    """

    texts: tuple[Text, ...]
    sums: tuple[Text, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(column for text in (*self.texts, *self.sums) for column in text.columns))


def column_of(placeholder: str) -> str:
    """Return the delivered column that a placeholder stands for."""
    return next((placeholder.removesuffix(part) for part in NAME_PARTS if placeholder.endswith(part)),
                placeholder)


def _read_cells(place: Place, node: yaml.Node) -> dict[str, Cell]:
    return {name: _read_cell(place, value) for name, (_, value) in place.items(node, "'columns'").items()}


def _read_cell(place: Place, node: yaml.Node) -> Cell:
    ways = list(node.value) if isinstance(node, yaml.SequenceNode) else [node]
    if not ways:
        place.fail(node, "a column has an empty list. Name where it comes from, or take it out.")
    sums: tuple[Text, ...] = ()
    last = ways[-1]
    if isinstance(last, yaml.MappingNode) and set(found := place.items(last, "a column")) == {"sum"}:
        sums = _read_cell(place, found["sum"][1]).texts
        ways.pop()
    return Cell(tuple(_read_text(place, way) for way in ways), sums)


def _read_text(place: Place, node: yaml.Node) -> Text:
    if isinstance(node, yaml.MappingNode):
        found = place.items(node, "a column")
        if set(found) != {"when", "value"}:
            place.fail(node, "write a column's name, a text with {placeholders}, a list of these, "
                             "`sum: […]`, or `{when: …, value: …}`.")
        return Text(place.text(found["value"][1], "'value'"), place.text(found["when"][1], "'when'"))
    text = place.text(node, "a column")
    if not text or set("{}") & set(PLACEHOLDER.sub("", text)):
        place.fail(node, f"{text!r} is no name of a column, and no text with {{placeholders}}. Correct it, "
                         "or remove the line.")
    return Text(text if PLACEHOLDER.search(text) else f"{{{text}}}")


@dataclass(frozen=True)
class Block:
    """How rows of a file become rows of one source.

    columns: where each column of the contract comes from.
    constants: text for columns that no delivered column holds.
    values: by column, what a delivered value means: `storniert` is `CANCELLED`. Case does not count.
    files: patterns of the files that hold this source; those of the system if there are none.
    rows: "every row", or "one per key" where several rows of a file tell of the same order, customer or
        product: each column is then taken from the first of them that has a value.
    when: only rows that have a value in this column count.
    adds_up: what the order's total should be the sum of, in ways of which one has to be right: names of
        delivered columns, with a minus sign if they are taken off, and `lines`.
    """

    columns: Mapping[str, Cell] = field(metadata={"read": _read_cells})
    constants: dict[str, str] = field(default_factory=dict)
    values: dict[str, dict[str, str]] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    rows: str = EVERY_ROW
    when: str = ""
    adds_up: tuple[tuple[str, ...], ...] = ()

    @property
    def delivered(self) -> tuple[str, ...]:
        """All delivered columns that are named, also by patterns of numbered columns."""
        parts = [part.removeprefix("-") for way in self.adds_up for part in way if part != LINES]
        named = [column for cell in self.columns.values() for column in cell.columns]
        return tuple(dict.fromkeys([*named, *filter(None, [self.when]), *parts]))

    @property
    def is_numbered(self) -> bool:
        return any(NUMBERED in name for name in self.delivered)


@dataclass(frozen=True)
class System:
    """Where files come from, how they are read, and how their columns become those of the contract.

    files: patterns of names; without any, a file is recognised by its header.
    encoding, delimiter, header (the number of its line), footer (how the first line below the rows begins),
    comment (how a line begins that is no row), sheet: of the file; detected where they are not declared.
    decimal, grouping, signs, dates (strptime), timezone (of moments without an offset; the shop's if not
    declared), zones (what names of time zones mean), missing, currency: of the text.
    currency_column: the delivered column with each row's currency.
    prefix: is put before every key.
    fill_down: delivered columns that are empty where the row above has the value.
    complete: "order" if a file holds orders whole: lines and payments that a later file lacks are gone.
    repeated_keys: "last_wins" if rows of one file with the same key are versions of it.
    requires: more columns that the header must have.
    """

    name: str
    sources: dict[str, Block]
    description: str = ""
    files: tuple[str, ...] = ()
    encoding: str = field(default="", metadata={"read": read_encoding})
    delimiter: str = ""
    header: int = 0
    footer: str = ""
    comment: str = ""
    sheet: str = ""
    decimal: str = "."
    grouping: str = ""
    signs: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    timezone: str = field(default="", metadata={"read": read_timezone})
    zones: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    currency: str = ""
    currency_column: str = ""
    prefix: str = ""
    fill_down: tuple[str, ...] = ()
    complete: str = ""
    repeated_keys: str = ""
    requires: tuple[str, ...] = ()

    @property
    def reading(self) -> str:
        """A hash of what decides which rows of text a file holds: with another, it is read again."""
        parts = {name: [[[column, asdict(cell)] for column, cell in block.columns.items()], block.constants,
                        block.rows, block.when] for name, block in self.sources.items()}
        own = [self.encoding, self.delimiter, self.header, self.footer, self.comment, self.sheet, self.prefix,
               self.fill_down, self.complete, self.repeated_keys, self.currency_column, self.missing]
        return _hash([own, parts])

    def typing(self, source: str) -> str:
        """A hash of what decides how the text of a source's rows is typed."""
        values = self.sources[source].values if source in self.sources else {}
        return _hash([self.decimal, self.grouping, self.signs, self.dates, self.timezone, self.zones,
                      self.missing, values])


def _hash(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


SHOP_CSV = System(DEFAULT, {})


@cache
def systems() -> dict[str, System]:
    """Return the declared systems, by name. Raises DeclarationError."""
    return {path.stem: read_system(path) for path in sorted(SYSTEMS.glob("*.yaml"))}


def system_named(name: str) -> System:
    """Return a system, also the default one. Raises DeclarationError if its declaration is gone."""
    if name == DEFAULT:
        return SHOP_CSV
    if name not in systems():
        raise DeclarationError(f"rows were read as {name!r}, but data/contract/systems/{name}.yaml is not "
                               "there. Restore it: without it nobody knows what their text means.")
    return systems()[name]


def read_system(path: Path) -> System:
    """Return the system that a file declares. Raises DeclarationError for whatever in it cannot be meant."""
    system, place = read_declaration(path, System, name=path.stem), Place(path)
    problems = [*_problems_of_text(system), *(
        (("sources", name, *names), f"{name}: {problem}") for name, block in system.sources.items()
        for names, problem in _problems_of_block(name, block))]
    if not system.sources:
        problems.append((("sources",), "'sources' is empty. Say of at least one source where its columns "
                                       "come from."))
    if system.name == DEFAULT:
        problems.append(((), f"{DEFAULT} is the contract itself. Give the file another name."))
    if problems:
        raise DeclarationError("\n  ".join(
            f"{place.at(place.find(*names))}: {problem}" for names, problem in problems))
    return system


def _problems_of_text(system: System) -> Iterator[Problem]:
    if system.decimal not in (".", ","):
        yield ("decimal",), f"'decimal' is {system.decimal!r}. Write \".\" or \",\"."
    if len(system.grouping) > 1 or system.grouping == system.decimal:
        yield ("grouping",), (f"'grouping' is {system.grouping!r}. Write one character, which is not the "
                              f"decimal character {system.decimal!r}.")
    if system.delimiter and len(system.delimiter.encode()) != 1:
        yield ("delimiter",), (f"'delimiter' is {system.delimiter!r}. Write one character, such as \";\" or "
                               "\"\\t\".")
    if system.complete not in ("", "order"):
        yield ("complete",), f"'complete' is {system.complete!r}. Write order, or leave it out."
    if system.repeated_keys not in ("", LAST_WINS):
        yield ("repeated_keys",), (f"'repeated_keys' is {system.repeated_keys!r}. Write {LAST_WINS}, or "
                                   "leave it out.")
    for name, zone in system.zones.items():
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            yield ("zones", name), (f"'zones': there is no time zone {zone!r} for {name!r}. Write an IANA "
                                    "name, such as Europe/Berlin.")
    for problem in _problems_of_dates(system.dates):
        yield ("dates",), problem


def _problems_of_dates(patterns: Sequence[str]) -> Iterator[str]:
    """Yield the patterns that are none, and those that read the same text as different dates."""
    probes = [datetime(2001, 2, 3, 4, 5, 6), datetime(2011, 12, 10, 11, 9, 8)]
    for pattern in patterns:
        try:
            if any(datetime.strptime(probe.strftime(pattern), pattern).date() != probe.date()
                   for probe in probes):
                yield f"'dates': {pattern!r} does not say which day it is: it needs day, month and year."
        except ValueError as error:
            yield f"'dates': {pattern!r} is no pattern of strptime ({error})."
    for pattern, other in combinations(patterns, 2):
        for probe in probes:
            with suppress(ValueError):
                text = probe.strftime(pattern)
                if (read := datetime.strptime(text, other)).date() != probe.date():
                    yield (f"'dates': {pattern!r} and {other!r} both match {text!r}, as {probe:%Y-%m-%d} and "
                           f"{read:%Y-%m-%d}. Keep the one that is meant.")
                    break


def _problems_of_block(name: str, block: Block) -> Iterator[Problem]:
    source = SOURCES.get(name)
    if source is None:
        yield (), f"there is no such source{closest(name, SOURCES)}. Correct the name."
        return
    for kind, columns in (("columns", block.columns), ("constants", block.constants),
                          ("values", block.values)):
        for column in columns:
            if column not in source.column_names:
                yield (kind, column), (f"'{kind}' has {column!r}, which is no column of the contract"
                                       f"{closest(column, source.column_names)}. Correct the name.")
    if block.rows not in (EVERY_ROW, ONE_PER_KEY):
        yield ("rows",), f"'rows' is {block.rows!r}. Write {EVERY_ROW}, or {ONE_PER_KEY}."
    known = {*block.columns, *block.constants}
    for column in source.columns:
        if not (column.optional or column.since or column.name in known):
            what = "is the key" if column.name == source.key else "must not be empty"
            yield ("columns",), (f"'columns' does not say where {column.name} comes from, which {what}. "
                                 "Add it.")
    for column, cell in block.columns.items():
        if cell.sums and block.rows != ONE_PER_KEY:
            yield ("columns", column), (f"{column!r} is a sum over the rows of a key: that needs "
                                        f"`rows: {ONE_PER_KEY}`.")
        if (any(NUMBER in text.placeholders for text in cell.texts) and not block.is_numbered
                and ("order_id" not in known or block.rows != EVERY_ROW)):
            yield ("columns", column), (f"{column!r} has {{n}}, the number of a row within its order: it "
                                        f"needs order_id, and `rows: {EVERY_ROW}`.")
    if block.adds_up and name != "orders":
        yield ("adds_up",), "'adds_up' is about the totals of orders. Move it there."
