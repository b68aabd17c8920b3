"""Dates and moments, in ISO 8601 or as a declared system writes them -> moments in UTC, and the shop's days.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from functools import cache, partial
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lib.ingest.zones import to_local, to_utc
from lib.systems import DEFAULT, System

# ISO 8601 and RFC 3339: with or without hyphens and colons, `T` or a blank before the time, and an offset of
# hours alone. A day may also be one of a week (2026-W05-3) or of a year (2026-035).
OFFSET = r" ?(?:[Zz]|UTC|[+−-][0-9]{2}(?::?[0-9]{2})?)"
CLOCK = r"[Tt ][0-9]{2}(?::?[0-9]{2}(?::?[0-9]{2}(?:[.,][0-9]+)?)?)?"
DAY = r"[0-9]{4}(?:-[0-9]{2}-[0-9]{2}|[0-9]{4}|-[0-9]{3}|-[Ww][0-9]{2}-[1-7]|[Ww][0-9]{2}[1-7])"
MOMENT = rf"{DAY}(?:{CLOCK}(?:{OFFSET})?)?"
HAS_OFFSET = rf"{CLOCK}{OFFSET}$"
HAS_CLOCK = "[Tt ]"
UTC = "UTC"

# What strptime's directives stand for: the width of those that have one, and the forms of others than one or
# two digits.
WIDTHS = {"Y": 4, "y": 2, "m": 2, "d": 2, "b": 3, "H": 2, "I": 2, "p": 2, "M": 2, "S": 2}
FORMS = {"Y": "[0-9]{4}", "y": "[0-9]{2}", "f": "[0-9]{1,6}", "p": "[AaPp][Mm]", "b": "[A-Za-z]{3}",
         "B": "[A-Za-z]+", "a": "[A-Za-z]{3}", "A": "[A-Za-z]+", "z": "[Zz]|[+-][0-9]{2}:?[0-9]{2}"}
MONTHS = [date(2001, month, 1).strftime("%B").lower() for month in range(1, 13)]
HOURS = [f"{hour % 12 or 12:02}{half}" for half in ("am", "pm") for hour in range(12)]
TWO_DIGITS = [f"{number:02}" for number in range(24)]
FIRST_OF_1900 = "69"  # of years in two digits, as POSIX has it


def read_moments(text: pd.Series, system: System, shop_zone: str) -> tuple[pd.Series, pd.Series]:
    """Return distinct texts as moments, `YYYY-MM-DD HH:MM:SS` in UTC, and as the days on which they are in
    the shop, `YYYY-MM-DD`. Both are null where the text cannot be read.

    A moment with an offset, or with the name of a time zone behind it, is that one. Any other is one of the
    system's time zone, or else of the shop's. A day without a time is that day in the shop; its moment is
    the midnight with which it begins. See `lib.ingest.zones` for days on which the clocks change.
    """
    parts = [_read_part(part, system, zone, shop_zone) for zone, part in _by_zone(text, system)]
    if len(parts) == 1:
        return parts[0]
    moments, days = (pd.concat(columns).reindex(text.index) for columns in zip(*parts, strict=True))
    return moments, days


def _read_part(text: pd.Series, system: System, zone: str, shop_zone: str) -> tuple[pd.Series, pd.Series]:
    iso = _as_iso(text, system) if system.dates else text.where(text.str.fullmatch(MOMENT, na=False))
    zone = zone or system.timezone or shop_zone
    read = _read_iso(iso)
    if zone == shop_zone == UTC:
        moments = _text_of(read, pa.timestamp("s"))
        return moments, moments.str.slice(0, 10)
    is_day = ~iso.str.contains(HAS_CLOCK, na=False)
    is_local = ~is_day & ~iso.str.contains(HAS_OFFSET, na=False)
    utc = _in_years(read.where(~is_local, to_utc(read.where(is_local), zone)))
    local = _in_years(to_local(utc, shop_zone))
    moments = read.where(is_day, utc)
    if is_day.any():
        moments = moments.where(~is_day, _in_years(to_utc(read.where(is_day), shop_zone)))
        local = local.where(~is_day, read)
    is_read = moments.notna() & local.notna()
    return (_text_of(moments.where(is_read), pa.timestamp("s")),
            _text_of(local.where(is_read), pa.date32()))


def _in_years(moments: pd.Series) -> pd.Series:
    """Return moments of the years that have four digits: 9999-12-31T23:30-05:00 is in the year 10000."""
    return moments.where(moments.dt.year.between(1, 9999))


def _text_of(moments: pd.Series, kind: pa.DataType) -> pd.Series:
    seconds = pa.array(moments.astype("datetime64[s]"))
    return pc.cast(pc.cast(seconds, kind), pa.string()).to_pandas().set_axis(moments.index)


def _read_iso(text: pd.Series) -> pd.Series:
    """Return ISO 8601 text as datetimes in UTC that name no time zone; what has no offset counts as UTC."""
    read = _to_datetime(text)
    left = text[text.notna() & read.isna()]
    if len(left):  # no such day, or a form that pandas does not read beside the others
        usual = left.str.upper().str.replace(",", ".").str.replace("−", "-")
        usual = usual.str.replace(r"(\.[0-9]{6})[0-9]+", r"\1", regex=True)
        usual = usual.str.replace(r" ?UTC$", "Z", regex=True)
        usual = usual.map(_with_calendar_day)
        read = _to_datetime(usual).combine_first(read)
    return read


def _to_datetime(text: pd.Series) -> pd.Series:
    moments = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
    return _in_years(moments.dt.tz_localize(None).astype("datetime64[us]"))


def _with_calendar_day(text: str) -> str | None:
    """Return a moment with its day as one of a month, where it is one of a week or of a year."""
    of_week = re.match(r"([0-9]{4})-?W([0-9]{2})-?([1-7])", text)
    of_year = re.match(r"([0-9]{4})-([0-9]{3})(?![0-9-])", text)
    try:
        if of_week:
            return date.fromisocalendar(*map(int, of_week.groups())).isoformat() + text[of_week.end():]
        if of_year:
            year, number = map(int, of_year.groups())
            day = date(year, 1, 1) + timedelta(days=number - 1)
            return day.isoformat() + text[of_year.end():] if day.year == year else None
    except (ValueError, OverflowError):
        return None  # the year has no such week or day
    return text


def _by_zone(text: pd.Series, system: System) -> Iterator[tuple[str, pd.Series]]:
    """Yield texts by the time zone that each names at its end, without that name; "" where it names none."""
    left = text
    for name, zone in _named_zones(text, system) if system.name != DEFAULT else ():
        ending = f" {name}"
        is_named = left.str.endswith(ending, na=False)
        if is_named.any():
            yield zone, left[is_named].str.slice(0, -len(ending)).str.rstrip()
            left = left[~is_named]
    if len(left) or left is text:
        yield "", left


def _named_zones(text: pd.Series, system: System) -> list[tuple[str, str]]:
    """Return the names that may end a text, each with the time zone that it means, the longest first."""
    with_slash = text[text.str.contains("/[A-Z]", na=False)]
    endings = {one.rpartition(" ")[2] for one in with_slash}
    named = {UTC: UTC, "GMT": UTC} | {name: name for name in endings if _is_zone(name)} | dict(system.zones)
    return sorted(named.items(), key=lambda entry: -len(entry[0]))


def _is_zone(name: str) -> bool:
    try:
        return bool(ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def _as_iso(text: pd.Series, system: System) -> pd.Series:
    """Return texts of a system's date patterns in ISO 8601, null where one is of no pattern and not ISO."""
    left, found = text, []
    for read in (read for pattern in system.dates for read in _readers(pattern)):
        iso = read(left)
        is_left = iso.isna() & left.notna()
        found.append(iso if not is_left.any() else iso[~is_left])
        left = left[is_left]
        if not len(left):
            break
    if len(left) and _leaves_iso(system.dates):
        found.append(left.where(left.str.fullmatch(MOMENT, na=False)))
    return found[0] if len(found) == 1 else pd.concat(found).reindex(text.index)


@cache
def _leaves_iso(patterns: tuple[str, ...]) -> bool:
    """Return whether no pattern reads ISO 8601 as other days than it says: `%Y-%d-%m` does."""
    for pattern in patterns:
        for iso in ("2001-02-03", "20010203", "2001-02-03 04:05", "2001-02-03 04:05:06"):
            try:
                if datetime.strptime(iso, pattern).date() != date(2001, 2, 3):
                    return False
            except ValueError:
                continue
    return True


@cache
def _readers(pattern: str) -> list[Callable[[pd.Series], pd.Series]]:
    """Return functions that read texts of a strptime pattern as ISO 8601; null where a text is not of it.

    The first is for texts in which everything has its full width: they are cut at fixed places, which is
    quicker than anything else.
    """
    parts = re.findall(r"%(.)|(\s+|[^%\s]+)", pattern)
    clock = re.search("[ T]%H:%M(:%S)?$", pattern)
    names = [name for name, _ in parts if name]
    if not set(names) <= {*WIDTHS, *FORMS} or ("I" in names) != ("p" in names):
        return [partial(_read_slowly, pattern=pattern)]
    narrow, wide, places, position = "", "", {}, 0
    for name, literal in parts:
        width = WIDTHS.get(name, 0) if name else len(literal)
        if name:
            places[name] = position, position + width
            wide += f"(?P<{name}>{FORMS.get(name, '[0-9]{1,2}')})"
            narrow += FORMS.get(name, "[0-9]{2}")
        else:
            narrow += re.escape(literal)
            wide += r"\s+" if literal.isspace() else re.escape(literal)
        position += width
    readers = [partial(_extract, form=f"(?i)^{wide}$")]
    if set(names) <= set(WIDTHS):
        if clock:  # it is one of ISO 8601 already
            places = {name: place for name, place in places.items() if name not in "HMS"}
            places["clock"] = position - (9 if clock[1] else 6), position
        readers.insert(0, partial(_cut, form=f"(?i){narrow}", places=places))
    return readers


def _cut(text: pd.Series, form: str, places: dict[str, tuple[int, int]]) -> pd.Series:
    cells = pa.array(text.where(text.str.fullmatch(form, na=False)))
    return _assemble({name: pc.utf8_slice_codeunits(cells, *place) for name, place in places.items()}, text)


def _extract(text: pd.Series, form: str) -> pd.Series:
    found = pc.extract_regex(pa.array(text), form)
    return _assemble({part.name: pc.struct_field(found, part.name) for part in found.type}, text)


def _read_slowly(text: pd.Series, pattern: str) -> pd.Series:
    return _text_of(_in_years(pd.to_datetime(text, format=pattern, errors="coerce")), pa.timestamp("s"))


def _assemble(parts: dict[str, pa.Array], text: pd.Series) -> pd.Series:
    """Return ISO 8601 of the parts that strptime's directives stand for."""
    two = {name: pc.utf8_lpad(parts[name], 2, "0") for name in "mdHIMS" if name in parts}
    if "Y" in parts:
        year = [parts["Y"]]
    else:
        year = [pc.if_else(pc.greater_equal(parts["y"], FIRST_OF_1900), "19", "20"), parts["y"]]
    month = two.get("m")
    if month is None:
        names = MONTHS if "B" in parts else [name[:3] for name in MONTHS]
        month = _translated(parts["B" if "B" in parts else "b"], names, TWO_DIGITS[1:13])
    iso = [*year, "-", month, "-", two["d"]]
    hour = _translated(_joined(two["I"], parts["p"]), HOURS, TWO_DIGITS) if "I" in two else two.get("H")
    if hour is not None:
        iso += [" ", hour, ":", two.get("M", "00"), ":", two.get("S", "00")]
    iso += [parts["clock"]] if "clock" in parts else []
    iso += [".", parts["f"]] if "f" in parts else []
    iso += [parts["z"]] if "z" in parts else []
    return _joined(*iso).to_pandas().set_axis(text.index)


def _joined(*cells: pa.Array | str) -> pa.Array:
    kind = pa.large_string()
    texts = [pa.scalar(cell, kind) if isinstance(cell, str) else cell.cast(kind) for cell in cells]
    return pc.binary_join_element_wise(*texts, pa.scalar("", kind))


def _translated(cells: pa.Array, before: list[str], after: list[str]) -> pa.Array:
    index = pc.index_in(pc.utf8_lower(cells).cast(pa.large_string()), pa.array(before, pa.large_string()))
    return pc.take(pa.array(after), index)

