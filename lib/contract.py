"""The contract: what each source delivers, and what is true of the shop, as declared in `data/contract`.

Nothing else repeats these lists of columns.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from lib.declarations import Place, read_declaration

CONTRACT = Path(__file__).resolve().parent.parent / "data" / "contract"
FIRST = ("customers", "products", "orders", "order_lines", "payments")  # people read them in this order
# By the type and decimals of a Table Schema: how text is read. The decimals are those that a double holds.
TYPES = {("string", ""): "text", ("datetime", ""): "date", ("date", ""): "date",
         ("number", "2"): "money", ("number", "6"): "price", ("number", "3"): "number"}


@dataclass(frozen=True)
class Column:
    """One column of a source: its name, how its text is to be read, and whether a row may leave it empty.

    `type` is "text", "category" (text with few different values), "date" (an ISO 8601 date or timestamp),
    "money" (at most two decimals), "price" (of one unit: at most six) or "number" (at most three).
    `meaning` is what the column holds, for people. `since` is the name of the first delivery that has it,
    where the column was added later: earlier ones may lack it.
    """

    name: str
    type: str
    optional: bool = False
    meaning: str = ""
    since: str = ""


@dataclass(frozen=True)
class Source:
    """One feed. The first column is the key.

    `meaning` is what one row is, for people. `missing` are texts that stand for an empty cell. `encoding` is
    that of files which are not UTF-8, such as "cp1251"; "" if none is declared.
    """

    name: str
    columns: tuple[Column, ...]
    missing: tuple[str, ...] = ()
    encoding: str = ""
    meaning: str = ""

    @property
    def key(self) -> str:
        return self.columns[0].name

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if column.type == "category")


@dataclass(frozen=True)
class _Constraints:
    """What a field must meet to be read at all; rules about values are in the suites."""

    required: bool = False


@dataclass(frozen=True)
class _Field:
    """A field of a Table Schema, and properties of our own: `category`, a number's `decimals`, `since`."""

    name: str
    type: str = "string"
    title: str = ""
    description: str = ""
    format: str = ""
    category: bool = False
    decimals: str = ""
    since: str = ""
    constraints: _Constraints = _Constraints()

    def as_column(self) -> Column:
        kind = "category" if self.category else TYPES[self.type, self.decimals]
        return Column(self.name, kind, not self.constraints.required, self.description, self.since)


def _read_fields(place: Place, node: yaml.Node) -> tuple[Column, ...]:
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        place.fail(node, "'fields' must be a list of fields. Correct it.")
    columns: dict[str, Column] = {}
    for item in node.value:
        declared = place.build(item, _Field, {})
        if (declared.type, declared.decimals) not in TYPES:
            place.fail(item, f"{declared.name!r} has the type {declared.type!r}"
                             + (f" with {declared.decimals} decimals" if declared.decimals else "")
                             + ". Write string, date, datetime, or number with decimals: 2 (amounts), "
                             "3 (quantities) or 6 (prices of one unit).")
        if declared.category and declared.type != "string":
            place.fail(item, f"{declared.name!r} is a category, so its type must be string. Correct it.")
        if declared.format not in ("", "default", "any"):
            place.fail(item, f"{declared.name!r} has the format {declared.format!r}. The contract has only "
                             "ISO 8601; declare other forms in data/contract/systems, as `dates`.")
        if not columns and not declared.constraints.required:
            place.fail(item, f"{declared.name!r} is the first field, which is the key. Write `constraints: "
                             "{required: true}`, or move it down.")
        if not columns and declared.since:
            place.fail(item, f"{declared.name!r} is the key, without which no file can be read. Remove "
                             "'since'.")
        if declared.name in columns:
            place.fail(item, f"the field {declared.name!r} is there twice. Keep one.")
        columns[declared.name] = declared.as_column()
    return tuple(columns.values())


def read_encoding(place: Place, node: yaml.Node) -> str:
    """Return the name of an encoding that Python knows."""
    name = place.text(node, "'encoding'")
    try:
        "".encode(name)
    except LookupError:
        place.fail(node, f"Python does not know the encoding {name!r}. Write one of its standard encodings, "
                         "such as cp1251, shift_jis or mac_roman.")
    return name


def read_timezone(place: Place, node: yaml.Node) -> str:
    """Return the name of a time zone that the database of time zones has."""
    name = place.text(node, "'timezone'")
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        place.fail(node, f"there is no time zone {name!r}. Write an IANA name, such as Europe/Berlin, "
                         "America/New_York or UTC.")
    return name


def _read_primary_key(place: Place, node: yaml.Node) -> tuple[yaml.Node, tuple[str, ...]]:
    return node, place.texts(node, "'primaryKey'")


@dataclass(frozen=True)
class _TableSchema:
    columns: tuple[Column, ...] = field(metadata={"name": "fields", "read": _read_fields})
    missing: tuple[str, ...] = field(default=(), metadata={"name": "missingValues"})
    encoding: str = field(default="", metadata={"read": read_encoding})
    description: str = ""
    primary_key: Any = field(default=None, metadata={"name": "primaryKey", "read": _read_primary_key})
    foreign_keys: Any = field(
        default=None, metadata={"name": "foreignKeys", "read": lambda place, node: node})


@dataclass(frozen=True)
class Shop:
    """What is true of the whole shop.

    timezone: business days are days in this time zone.
    currency: the ISO 4217 code of all amounts, "" if it is not declared.
    first_month_of_fiscal_year: 1 is January.
    """

    timezone: str = field(default="UTC", metadata={"read": read_timezone})
    currency: str = ""
    first_month_of_fiscal_year: int = 1


def read_source(path: Path) -> Source:
    """Return the source that a Table Schema describes. Raises DeclarationError."""
    found = read_declaration(path, _TableSchema)
    key = found.columns[0].name
    if found.primary_key and found.primary_key[1] != (key,):
        Place(path).fail(found.primary_key[0], f"the 'primaryKey' must be {key!r}, because the first field "
                                               "is the key. Correct it, or move the key up.")
    return Source(path.stem, found.columns, tuple(filter(None, found.missing)), found.encoding,
                  found.description)


def read_shop(path: Path) -> Shop:
    """Return what a file says of the shop. Raises DeclarationError."""
    shop, place = read_declaration(path, Shop), Place(path)
    if not 1 <= shop.first_month_of_fiscal_year <= 12:
        place.fail(place.find("first_month_of_fiscal_year"),
                   "'first_month_of_fiscal_year' must be a month from 1 to 12. Correct it.")
    return shop


def _source_names() -> list[str]:
    names = sorted(path.stem for path in CONTRACT.glob("*.yaml") if path.stem != "shop")
    return sorted(names, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))


SOURCES: dict[str, Source] = {name: read_source(CONTRACT / f"{name}.yaml") for name in _source_names()}
SHOP = read_shop(CONTRACT / "shop.yaml") if (CONTRACT / "shop.yaml").exists() else Shop()
