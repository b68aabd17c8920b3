"""What a column holds: its type, how many values it has, and what its dates and numbers look like."""

import re
from dataclasses import dataclass

import pandas as pd

from lib.adopt.dates import Dates, find_dates
from lib.adopt.numbers import Numbers, find_numbers
from lib.step.parse import MARKERS

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
FEW = 12  # different values that are shown as a set
EXAMPLES = 3


@dataclass(frozen=True)
class Profile:
    """What a column holds.

    type: "empty", "date", "whole number", "amount", "e-mail" or "text".
    empty: the share of rows without a value. values: how often each occurs, the most frequent first.
    is_unique: no two rows share a value, and none is empty. markers: texts such as NULL for "no value".
    """

    name: str
    type: str
    rows: int
    empty: float
    values: pd.Series
    is_unique: bool
    markers: tuple[str, ...] = ()
    dates: Dates | None = None
    numbers: Numbers | None = None

    @property
    def distinct(self) -> int:
        return len(self.values)

    @property
    def examples(self) -> list[str]:
        return list(self.values.index[:EXAMPLES])

    @property
    def is_number(self) -> bool:
        return self.numbers is not None

    @property
    def is_constant(self) -> bool:
        return self.distinct == 1


def profile(cells: pd.Series) -> Profile:
    """Return the profile of a column of text."""
    values = cells.dropna().value_counts()
    markers = tuple(value for value in values.index if value in MARKERS)
    real = values.drop(list(markers)) if markers else values
    texts = list(real.index)
    dates = find_dates(texts)
    numbers = None if dates and not (dates.is_iso and not dates.is_moment and _are_plain(texts)) else (
        find_numbers(texts))
    if numbers:
        dates = dates if dates and dates.is_iso else None
    kind = ("empty" if not texts else "date" if dates else "text" if not numbers
            else "whole number" if numbers.is_whole and not numbers.signs else "amount")
    if kind == "text" and sum(bool(EMAIL.fullmatch(text)) for text in texts) * 10 > 9 * len(texts):
        kind = "e-mail"
    if not (numbers or dates):
        markers, real = (), values  # of people's words nobody knows: Null is a surname
    is_unique = len(cells) > 1 and len(values) == len(cells)
    return Profile(str(cells.name), kind, len(cells), float(cells.isna().mean()) if len(cells) else 1.0, real,
                   is_unique, markers, dates, numbers)


def _are_plain(texts: list[str]) -> bool:
    return all(text.isdecimal() for text in texts)
