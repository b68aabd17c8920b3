"""Rows as a table to read: typed columns, money with its cents, as wide as the terminal, and paged."""

import io
import math
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain, islice
from typing import Any, NamedTuple

from lib.contract import SOURCES
from lib.explore.readonly import Rows

PAGE = 20  # rows below one header on a terminal
PLAIN_PAGE = 1000  # the same in a file or a pipe
WIDEST = 40  # characters of a cell on a terminal before it is folded
GAP = 2  # between two columns
NOISE = 1e-12  # what a sum of doubles may be off by, in proportion


def _columns_of(type_: str) -> set[str]:
    return {column.name for source in SOURCES.values() for column in source.columns if column.type == type_}


# Reals that count things; all other reals are money.
QUANTITIES = {"units", *_columns_of("number")}
PRICES = _columns_of("price")  # exact, to six decimals
NUMBERED = re.compile(r"(.*_)?(id|key|row|year)")  # columns whose whole numbers count nothing
TYPE_NAMES = {str: "text", int: "integer", float: "real", bytes: "blob"}


class Column(NamedTuple):
    """A column of a page: its cells as text, and how wide the widest of them is."""

    name: str
    type: str
    cells: list[str]
    width: int


def show(rows: Rows, types: Mapping[str, str]) -> None:
    """Print rows; on a terminal, through a pager when they do not fit the screen.

    `types` are the declared types, where known; others are found from the values.
    """
    if not sys.stdout.isatty():
        for page in pages(rows, types):
            print(page)
        return
    import click

    width, height = shutil.get_terminal_size()
    text = pages(rows, types, width)
    first = list(islice(text, max(height // PAGE, 1)))  # with their headers, no more pages fit the screen
    more = list(islice(text, 1))
    if more or "\n".join(first).count("\n") >= height - 2:
        click.echo_via_pager(f"{page}\n" for page in chain(first, more, text))
    else:
        print(*first, sep="\n")


def pages(rows: Rows, types: Mapping[str, str], width: int | None = None) -> Iterator[str]:
    """Yield the rows as text, a page at a time, each with its header.

    With a `width`, columns that do not fit are shown below the others, each time after the first column.
    Without one, a page is as wide as it needs to be and has no colours.
    """
    size = PLAIN_PAGE if width is None else PAGE
    page = list(islice(rows.rows, size))
    while True:
        columns = [_column(name, types.get(name), [row[number] for row in page], width)
                   for number, name in enumerate(rows.columns)]
        yield "\n".join(_draw(band, width) for band in _bands(columns, width))
        page = list(islice(rows.rows, size))
        if not page:
            return


def cell(value: Any, decimals: int = 2) -> str:
    """Return a value as text on one line, in which characters that would steer a terminal are visible."""
    if value is None:
        return "–"
    if isinstance(value, float):
        exact = Decimal(repr(value)) if math.isfinite(value) else value  # no digits that a double only adds
        return f"{exact:,.{decimals}f}"
    if isinstance(value, bytes):
        return value.hex()
    return "".join(letter if letter.isprintable() else _visible(letter) for letter in str(value))


def is_counted(name: str) -> bool:
    """Return whether the whole numbers of a column count something, so that they are shown as 12,345."""
    return not NUMBERED.fullmatch(name)


def decimals(name: str, values: Sequence[Any]) -> int:
    """Return how many decimals the reals of a column need: at least two for money, none for quantities."""
    reals = [value for value in values if isinstance(value, float)]
    noise = 0 if name in PRICES else NOISE

    def suffices(count: int) -> bool:
        return all(abs(round(real, count) - real) <= noise * max(1, abs(real)) for real in reals)

    return next(filter(suffices, range(0 if name in QUANTITIES else 2, 6)), 6)


def type_of(values: Sequence[Any]) -> str:
    """Return the type of a column's values in SQLite's words; empty when all are null."""
    return " or ".join(sorted({TYPE_NAMES[type(value)] for value in values if value is not None}))


def _visible(letter: str) -> str:
    code = ord(letter)
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7f else f"\\u{code:04x}"


def _column(name: str, declared: str | None, values: list, width: int | None) -> Column:
    from rich.cells import cell_len

    count = decimals(name, values)
    cells = [cell(value, count) for value in values]
    name, type_ = cell(name), declared or type_of(values)
    widest = max(map(cell_len, (name, type_, *cells)))
    if width is not None:
        widest = min(widest, WIDEST, max(width // 2 - GAP, 1))
    return Column(name, type_, cells, widest)


def _bands(columns: list[Column], width: int | None) -> Iterator[list[Column]]:
    """Yield groups of columns, each no wider than `width` and each beginning with the first column."""
    band: list[Column] = []
    for column in columns:
        if width is not None and band and sum(other.width + GAP for other in band) + column.width > width:
            yield band
            band = [columns[0]]
        band.append(column)
    yield band


def _draw(columns: list[Column], width: int | None) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="")
    for column in columns:
        header = Text.assemble((column.name, "bold"), "\n", (column.type, "dim"))
        justify = "right" if column.type in ("integer", "real") else "left"
        table.add_column(header, width=column.width, justify=justify, overflow="fold")
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(Text, row))
    out = io.StringIO()
    Console(file=out, width=sum(column.width + GAP for column in columns), force_terminal=width is not None,
            color_system="standard" if width is not None else None).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
