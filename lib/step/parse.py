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
# ISO 8601 and RFC 3339: with or without hyphens and colons, `T` or a blank before the time, and an offset of
# hours alone.
OFFSET = r" ?(?:[Zz]|[+−-][0-9]{2}(?::?[0-9]{2})?)"
TIME = rf"[Tt ][0-9]{{2}}(?::?[0-9]{{2}}(?::?[0-9]{{2}}(?:[.,][0-9]{{1,9}})?)?)?(?:{OFFSET})?"
DATE = rf"[0-9]{{4}}(?:-[0-9]{{2}}-[0-9]{{2}}|[0-9]{{4}})(?:{TIME})?"
ZONED = r".+[Tt ].*[+−-](?!00(?::?00)?$)[0-9]{2}(?::?[0-9]{2})?"
# What programs write for "no value". Words of people are values: `Null` is a surname, `NA` is Namibia.
MARKERS = (r"\N", "NULL", "null", "(null)", "(NULL)", "[NULL]", "<null>", "<NULL>", "None", "NaN", "nan",
           "NaT", "<NA>", "#N/A", "N/A", "n/a", "undefined")


def read_columns(source: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the source's text columns trimmed, and the columns of all other types typed.

    Money, prices and numbers become float64 (nothing is rounded: more decimals than the contract allows are
    unreadable), dates become text `YYYY-MM-DD HH:MM:SS` in UTC. For each such column there is a new column
    `<column>_unreadable` with the delivered text where it could not be read; a gate decides what that means
    for the row. A date's `<column>_zoned` holds the delivered text where its offset from UTC is not zero; a
    moment without an offset is UTC. Surrounding spaces are removed, and in a category also repeated spaces
    inside. Text of only spaces counts as missing, and so does what the contract declares as missing, or a
    marker such as NULL. `missing_markers` names the columns that held a marker that is not declared. Nothing
    is guessed: `1,5`, `€ 3`, `1e3` and `31.12.2025` are unreadable.
    """
    readers = {name: partial(_numbers, pattern) for name, pattern in PATTERNS.items()}
    readers |= {"date": _timestamps, "category": _spaced_once}
    typed, declared, found = rows.copy(deep=False), SOURCES[source].missing, []
    for column in SOURCES[source].columns:
        text = rows[column.name].str.strip()
        text = text.mask((text == "") | text.isin(declared)) if declared else text.mask(text == "")
        is_typed = column.type not in ("text", "category")
        values = _each_once(text, readers[column.type]) if column.type in readers else text
        suspects = text[text.notna() & values.isna()] if is_typed else values  # a marker is no number
        markers = suspects[suspects.isin(MARKERS)]
        if len(markers):
            found.append(f"{column.name} " + markers)
            is_value = ~text.index.isin(markers.index)
            text, values = text.where(is_value), values.where(is_value)
        typed[column.name] = values
        if is_typed:
            typed[f"{column.name}_unreadable"] = rows[column.name].where(text.notna() & values.isna())
        if column.type == "date":
            zoned = _each_once(text, lambda distinct: distinct.where(distinct.str.fullmatch(ZONED)))
            typed[f"{column.name}_zoned"] = zoned.where(values.notna())
    typed["missing_markers"] = _by_row(found, rows.index)
    return typed


def map_text(text: pd.Series, function: Callable[[str], str]) -> pd.Series:
    """Return the text as a function returns it, which is called once for each distinct text."""
    return _each_once(text, lambda distinct: _mapped(distinct, function))


def _by_row(found: list[pd.Series], index: pd.Index) -> pd.Series:
    """Return texts that were found in several columns as one text for each row, null where there is none."""
    if not found:
        return pd.Series(None, index=index, dtype="str")
    joined, *others = (cells.reindex(index) for cells in found)
    for cells in others:
        joined = (joined + ", " + cells).fillna(joined).fillna(cells)
    return joined


def _each_once(text: pd.Series, read: Callable[[pd.Series], pd.Series]) -> pd.Series:
    """Return the text as `read` returns it, reading each distinct text once: there are few of them."""
    places, distinct = pd.factorize(text)
    values = read(pd.Series(distinct, dtype="str")).array
    return pd.Series(values.take(places, allow_fill=True), index=text.index)


def _mapped(text: pd.Series, function: Callable[[str], str]) -> pd.Series:
    return pd.Series([function(value) for value in text], dtype="str")


def _spaced_once(text: pd.Series) -> pd.Series:
    return _mapped(text, lambda value: " ".join(value.split()))


def _numbers(pattern: str, text: pd.Series) -> pd.Series:
    well_formed = text.where(text.str.fullmatch(pattern, na=False))
    values = well_formed.astype("float64")  # `to_numeric` would not give the nearest one for many zeros
    return values + 0.0  # -0 becomes 0, as SQLite stores it: a digest must not tell the two apart


def _timestamps(text: pd.Series) -> pd.Series:
    well_formed = text.where(text.str.fullmatch(DATE, na=False))
    read = _in_utc(well_formed)
    left = well_formed[well_formed.notna() & read.isna()]
    if len(left):  # no such day, or a form that pandas does not read beside the others
        usual = left.str.upper().str.replace(",", ".").str.replace("−", "-")
        usual = usual.str.replace(r"(\.[0-9]{6})[0-9]+", r"\1", regex=True)
        read = _in_utc(usual).combine_first(read)
    return read


def _in_utc(text: pd.Series) -> pd.Series:
    moments = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
    moments = moments.where(moments.dt.year.between(1, 9999))  # 9999-12-31T23:30-05:00 is in the year 10000
    return moments.dt.strftime("%Y-%m-%d %H:%M:%S").astype("str").where(moments.notna())
