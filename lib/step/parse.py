"""Read the contract's text columns as numbers, money and dates, and keep what cannot be read in sight."""

from collections.abc import Callable

import pandas as pd

from lib.contract import SOURCES

# A double keeps 15 digits: up to 13 before the point with two decimals, 12 with three, every value is exact and fits DECIMAL(18, 2).
NUMBER = r"[+-]?[0-9]{1,12}(?:\.[0-9]{1,3})?"
MONEY = r"[+-]?[0-9]{1,13}(?:\.[0-9]{1,2})?"
DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"

ZONED = r".*:.*[+-](?!00:?00)[0-9]{2}:?[0-9]{2}"


def read_columns(source: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the source's text columns trimmed and its number, money and date columns typed.

    Money and numbers become float64 (nothing is rounded: more decimals than the contract allows are unreadable), dates
    become text `YYYY-MM-DD HH:MM:SS` in UTC. Beside each such column a new `<column>_unreadable` holds the delivered
    text where it could not be read, and is missing where all is well: a gate decides what that means for the row. A date's
    `<column>_zoned` holds the delivered text where its offset from UTC is not zero; a moment without an offset is UTC.
    Surrounding spaces do not count, and text of spaces alone is missing. Nothing is guessed: `1,5`, `€ 3`, `1e3` and
    `31.12.2025` are unreadable.
    """
    readers = {"number": lambda text: _numbers(text, NUMBER), "money": lambda text: _numbers(text, MONEY), "date": _timestamps}
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
    """Return what `read` makes of the text, having read each distinct one once: there are few dates, quantities and prices."""
    places, distinct = pd.factorize(text)
    return pd.Series(read(pd.Series(distinct, dtype="str")).array.take(places, allow_fill=True), index=text.index)


def _numbers(text: pd.Series, pattern: str) -> pd.Series:
    values = pd.to_numeric(text.where(text.str.fullmatch(pattern, na=False)), errors="coerce").astype("float64")
    return values + 0.0  # -0 becomes 0, as SQLite stores it: a digest must not tell the two apart


def _timestamps(text: pd.Series) -> pd.Series:
    well_formed = text.where(text.str.fullmatch(DATE, na=False))
    moments = pd.to_datetime(well_formed, format="ISO8601", errors="coerce", utc=True)
    moments = moments.where(moments.dt.year.between(1, 9999))  # 9999-12-31T23:30:00-05:00 is a day that no calendar here has
    return moments.dt.strftime("%Y-%m-%d %H:%M:%S").astype("str").where(moments.notna())
