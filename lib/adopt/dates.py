"""Which strptime patterns may a column's dates have? What the values themselves leave open stays open."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from lib.ingest.moments import MOMENT as ISO_MOMENT

ISO = re.compile(ISO_MOMENT)
MAY_BE_DATE = re.compile(r"\D{0,12}\d{1,4}\D.{0,40}|\d{8}.{0,20}")
MOMENT = re.compile(r".*\d:\d\d.*")
OFFSET = re.compile(r".*\d:?\d\d(?::?\d\d(?:[.,]\d+)?)? ?(?:Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)", re.IGNORECASE)
DAYS = {  # by which comes first
    "day first": [f"%d{sign}%m{sign}{year}" for year in ("%Y", "%y") for sign in "./- "]
    + [f"%d{sign}{month}{sign}{year}" for year in ("%Y", "%y") for sign in " -/" for month in ("%b", "%B")]
    + ["%d. %B %Y", "%d. %b %Y", "%a, %d %b %Y", "%A, %d %B %Y"],
    "month first": [f"%m{sign}%d{sign}{year}" for year in ("%Y", "%y") for sign in "/.-"]
    + ["%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%b. %d, %Y", "%A, %B %d, %Y"],
    "year first": ["%Y/%m/%d", "%Y.%m.%d", "%Y-%m-%d", "%Y %m %d"],
}
TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", ", %H:%M", ", %H:%M:%S",
         ", %I:%M %p", ", %I:%M:%S %p", "T%H:%M:%S", " at %I:%M %p", " - %H:%M", " %H.%M")
ENOUGH = 0.98  # of the values: others are reported as unreadable


@dataclass(frozen=True)
class Dates:
    """What the dates of a column are: in each order of day and month, the patterns that read the values.

    is_iso: whether they need no pattern. is_moment: whether they have a time. has_offset: whether they say
    how far it is from UTC. either: how many values more than one order reads. deciding: a value that only
    one reads, "" if there is none. example: a value that may be either.
    """

    orders: dict[str, tuple[str, ...]]
    is_iso: bool = False
    is_moment: bool = False
    has_offset: bool = False
    either: int = 0
    deciding: str = ""
    example: str = ""


def find_dates(values: Sequence[str]) -> Dates | None:
    """Return what the dates are, given different values; None if they are none."""
    if not values or sum(bool(MAY_BE_DATE.fullmatch(value)) for value in values) < ENOUGH * len(values):
        return None
    is_moment = sum(bool(MOMENT.fullmatch(value)) for value in values) * 2 > len(values)
    has_offset = is_moment and all(OFFSET.fullmatch(value) for value in values)
    iso = [value for value in values if ISO.fullmatch(value) and _is_iso_day(value)]
    if len(iso) >= ENOUGH * len(values):
        return Dates({}, True, is_moment, has_offset)
    known = set(iso)
    rest = [value for value in values if value not in known]
    read = {order: _patterns_of(days, rest) for order, days in DAYS.items()}
    most = max(sum(map(len, found.values())) for found in read.values())
    fits = {order: tuple(found) for order, found in read.items()
            if sum(map(len, found.values())) == most}
    if not rest or most < ENOUGH * len(rest):
        return None
    either = [value for value in rest if any(
        _reads(_swapped(pattern), value) for found in fits.values() for pattern in found)]
    known = set(either)
    only = [value for value in rest if value not in known]
    return Dates(fits, False, is_moment, has_offset, len(either), only[0] if only else "",
                 either[0] if either else "")


def _is_iso_day(value: str) -> bool:
    digits = value[:10].replace("-", "")[:8]
    return digits.isdecimal() and 1900 <= int(digits[:4]) <= 2100 and 1 <= int(digits[4:6]) <= 12 \
        and 1 <= int(digits[6:]) <= 31


def _patterns_of(days: Sequence[str], values: Sequence[str]) -> dict[str, list[str]]:
    """Return the patterns that read values, each with those that no pattern before it reads."""
    left, found = list(values), {}
    sample = _one_of_each_shape(values)
    for pattern in (f"{day}{time}" for day in days for time in TIMES):
        if any(_reads(pattern, value) for value in sample):
            matched = {value for value in left if _reads(pattern, value)}
            if matched:
                found[pattern] = sorted(matched)
                left = [value for value in left if value not in matched]
        if not left:
            break
    return found


def _one_of_each_shape(values: Sequence[str]) -> list[str]:
    """Return three values of each shape, of which each pattern that reads all must read one."""
    shapes: dict[str, list[str]] = {}
    for value in values:
        shapes.setdefault(re.sub(r"[^\W\d_]+", "a", re.sub(r"\d", "9", value)), []).append(value)
    return [value for same in list(shapes.values())[:12] for value in same[::max(1, len(same) // 3)][:3]]


def _swapped(pattern: str) -> str:
    """Return a pattern with day and month in the other order; with the month's name there is none."""
    if "%b" in pattern or "%B" in pattern or pattern.startswith("%Y"):
        return ""
    return pattern.replace("%d", "%1").replace("%m", "%d").replace("%1", "%m")


def _reads(pattern: str, value: str) -> bool:
    with suppress(ValueError):
        return 1900 <= datetime.strptime(value, pattern).year <= 2100
    return False
