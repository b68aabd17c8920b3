"""Read the contract's text columns as numbers, money and dates, and keep the text that cannot be read."""

from collections.abc import Callable

import pandas as pd

from lib.contract import SOURCES

# A double keeps 15 digits. With up to 13 before the point and two decimals, or 12 and three, each value is
# exact.
NUMBER = r"[+-]?[0-9]{1,12}(?:\.[0-9]{1,3})?"
MONEY = r"[+-]?[0-9]{1,13}(?:\.[0-9]{1,2})?"
TIME = r"[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
DATE = rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?:{TIME})?"
ZONED = r".*:.*[+-](?!00:?00)[0-9]{2}:?[0-9]{2}"


def read_columns(source: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the source's text columns trimmed and its number, money and date columns typed.

    Money and numbers become float64 (nothing is rounded: more decimals than the contract allows are
    unreadable), dates become text `YYYY-MM-DD HH:MM:SS` in UTC. For each such column there is a new column
    `<column>_unreadable` with the delivered text where it could not be read; a gate decides what that means
    for the row. A date's `<column>_zoned` holds the delivered text where its offset from UTC is not zero; a
    moment without an offset is UTC. Surrounding spaces are removed, and text of only spaces counts as
    missing. Nothing is guessed: `1,5`, `€ 3`, `1e3` and `31.12.2025` are unreadable.
    """
    readers = {"number": lambda text: _numbers(text, NUMBER), "money": lambda text: _numbers(text, MONEY),
               "date": _timestamps}
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


def _numbers(text: pd.Series, pattern: str) -> pd.Series:
    well_formed = text.where(text.str.fullmatch(pattern, na=False))
    values = pd.to_numeric(well_formed, errors="coerce").astype("float64")
    return values + 0.0  # -0 becomes 0, as SQLite stores it: a digest must not tell the two apart


def _timestamps(text: pd.Series) -> pd.Series:
    well_formed = text.where(text.str.fullmatch(DATE, na=False))
    moments = pd.to_datetime(well_formed, format="ISO8601", errors="coerce", utc=True)
    moments = moments.where(moments.dt.year.between(1, 9999))  # 9999-12-31T23:30-05:00 is in the year 10000
    return moments.dt.strftime("%Y-%m-%d %H:%M:%S").astype("str").where(moments.notna())
