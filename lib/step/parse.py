"""Read the contract's text columns as amounts and dates, and keep the text that cannot be read."""

from collections.abc import Callable
from functools import partial

import pandas as pd

from lib.contract import SOURCES


def _pattern(*digits: tuple[int, int]) -> str:
    """Return the pattern of numbers with at most so many digits before and after the point.

    Zeros at the end are no decimals. There may be no digit before the point, but there is one after it: `5.`
    may be a number that was cut.
    """
    forms = [rf"[0-9]{{1,{before}}}(?:\.[0-9]{{1,{after}}}0*)?" for before, after in digits]
    return rf"[+-]?(?:{'|'.join(forms)}|\.[0-9]{{1,{digits[0][1]}}}0*)"


# A double keeps 15 digits, so each value is exact.
NUMBER = _pattern((12, 3))
MONEY = _pattern((13, 2))
PRICE = _pattern((9, 6), (12, 3))
PATTERNS = {"number": NUMBER, "money": MONEY, "price": PRICE}
TIME = r"[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
DATE = rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?:{TIME})?"
ZONED = r".*:.*[+-](?!00:?00)[0-9]{2}:?[0-9]{2}"


def read_columns(source: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the source's text columns trimmed, and the columns of all other types typed.

    Money, prices and numbers become float64 (nothing is rounded: more decimals than the contract allows are
    unreadable), dates become text `YYYY-MM-DD HH:MM:SS` in UTC. For each such column there is a new column
    `<column>_unreadable` with the delivered text where it could not be read; a gate decides what that means
    for the row. A date's `<column>_zoned` holds the delivered text where its offset from UTC is not zero; a
    moment without an offset is UTC. Surrounding spaces are removed, and text of only spaces counts as
    missing. Nothing is guessed: `1,5`, `€ 3`, `1e3` and `31.12.2025` are unreadable.
    """
    readers = {name: partial(_numbers, pattern) for name, pattern in PATTERNS.items()} | {"date": _timestamps}
    typed = rows.copy(deep=False)
    for column in SOURCES[source].columns:
        text = rows[column.name].str.strip()
        text = text.mask(text == "")
        typed[column.name] = text
        if column.type in readers:
            values = _each_once(text, readers[column.type])
            typed[column.name] = values
            typed[f"{column.name}_unreadable"] = rows[column.name].where(text.notna() & values.isna())
        if column.type == "date":
            zoned = _each_once(text, lambda distinct: distinct.where(distinct.str.fullmatch(ZONED)))
            typed[f"{column.name}_zoned"] = zoned.where(values.notna())
    return typed


def _each_once(text: pd.Series, read: Callable[[pd.Series], pd.Series]) -> pd.Series:
    """Return the text as `read` returns it, reading each distinct text once: there are few of them."""
    places, distinct = pd.factorize(text)
    values = read(pd.Series(distinct, dtype="str")).array
    return pd.Series(values.take(places, allow_fill=True), index=text.index)


def _numbers(pattern: str, text: pd.Series) -> pd.Series:
    well_formed = text.where(text.str.fullmatch(pattern, na=False))
    values = well_formed.astype("float64")  # `to_numeric` would not give the nearest one for many zeros
    return values + 0.0  # -0 becomes 0, as SQLite stores it: a digest must not tell the two apart


def _timestamps(text: pd.Series) -> pd.Series:
    well_formed = text.where(text.str.fullmatch(DATE, na=False))
    moments = pd.to_datetime(well_formed, format="ISO8601", errors="coerce", utc=True)
    moments = moments.where(moments.dt.year.between(1, 9999))  # 9999-12-31T23:30-05:00 is in the year 10000
    return moments.dt.strftime("%Y-%m-%d %H:%M:%S").astype("str").where(moments.notna())
