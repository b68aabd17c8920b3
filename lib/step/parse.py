"""Read the contract's text columns as amounts and dates, and keep the text that cannot be read."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pandas as pd

from lib.contract import SHOP, SOURCES, Source
from lib.ingest.formats import plain_numbers
from lib.ingest.moments import UTC, read_moments
from lib.systems import DEFAULT, SHOP_CSV, System, system_named


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
SYSTEM = "source_system"
# A moment with an offset, and one whose offset is zero.
ZONED = r"[Tt ].*[+−-][0-9]{2}(?::?[0-9]{2})?$"
ZERO = "[+−-]00(?::?00)?$"
# What programs write for "no value". Words of people are values: `Null` is a surname, `NA` is Namibia.
MARKERS = (r"\N", "NULL", "null", "(null)", "(NULL)", "[NULL]", "<null>", "<NULL>", "None", "NaN", "nan",
           "NaT", "<NA>", "#N/A", "N/A", "n/a", "undefined")


def read_columns(source: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the source's text columns trimmed, and the columns of all other types typed.

    Text is read as the system that a row's `source_system` names declares it, and without that column as the
    contract does. The column itself is not returned.

    Money, prices and numbers become float64 (nothing is rounded: more decimals than the contract allows are
    unreadable). Dates become text `YYYY-MM-DD HH:MM:SS` in UTC, and `<column>_day` is the day `YYYY-MM-DD` in
    the shop's time zone; see `lib.ingest.moments`. For each such column there is a new column
    `<column>_unreadable` with the delivered text where it could not be read; a gate decides what that means
    for the row. While the shop's time zone is UTC, a date's `<column>_zoned` holds the delivered text where
    its offset from UTC is not zero. Surrounding spaces are removed, and in a category also repeated spaces
    inside. Text of only spaces counts as missing, and so does what the contract or the system declares as
    missing, or a marker such as NULL. `missing_markers` names the columns that held a marker that is not
    declared. Nothing is guessed: `1,5`, `€ 3`, `1e3` and `31.12.2025` are unreadable unless a system declares
    them. Raises DeclarationError if a row's system is not declared any more.
    """
    if SYSTEM not in rows:
        return read_as(SOURCES[source], rows, SHOP_CSV)
    delivered = rows.drop(columns=SYSTEM)
    systems = [system_named(name) for name in rows[SYSTEM].unique()] or [SHOP_CSV]
    if len(systems) == 1:
        return read_as(SOURCES[source], delivered, systems[0])
    parts = [read_as(SOURCES[source], delivered[rows[SYSTEM] == system.name], system) for system in systems]
    return pd.concat(parts).loc[rows.index]


def read_as(source: Source, rows: pd.DataFrame, system: System) -> pd.DataFrame:
    """Return what `read_columns` returns of rows that are all of one system."""
    typed, declared, found = rows.copy(deep=False), [*source.missing, *system.missing], []
    meanings = system.sources[source.name].values if source.name in system.sources else {}
    readers = {name: partial(_numbers, pattern, system) for name, pattern in PATTERNS.items()}
    readers["category"] = _spaced_once
    for column in source.columns:
        text = rows[column.name].str.strip()
        if column.name in meanings:
            text = _each_once(text, partial(_meant, meanings[column.name]))
        text = text.mask((text == "") | text.isin(declared)) if declared else text.mask(text == "")
        is_typed, more = column.type not in ("text", "category"), {}
        if column.type == "date":
            values, more["day"], more["zoned"] = _dates(text, system)
        else:
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
        for name, cells in more.items():
            typed[f"{column.name}_{name}"] = cells
    typed["missing_markers"] = _by_row(found, rows.index)
    return typed


def _dates(text: pd.Series, system: System) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Return text as moments in UTC, as days of the shop, and where its offset from UTC is to be reported."""
    places, distinct = pd.factorize(text)
    texts = pd.Series(distinct, dtype="str")
    moments, days = read_moments(texts, system, SHOP.timezone)
    if SHOP.timezone == UTC:
        zoned = texts.where(moments.notna() & texts.str.contains(ZONED, na=False))
        zoned = zoned.mask(zoned.str.contains(ZERO, na=False))
    else:
        zoned = pd.Series(None, index=texts.index, dtype="str")
    return tuple(_taken(values, places, text.index) for values in (moments, days, zoned))


def _meant(meanings: Mapping[str, str], text: pd.Series) -> pd.Series:
    """Return what a system's values mean; neither case nor spaces count."""
    by_value = {" ".join(value.split()).casefold(): meaning for value, meaning in meanings.items()}
    return _mapped(text, lambda value: by_value.get(" ".join(value.split()).casefold(), value))


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
    return _taken(read(pd.Series(distinct, dtype="str")), places, text.index)


def _taken(values: pd.Series, places: np.ndarray, index: pd.Index) -> pd.Series:
    return pd.Series(values.array.take(places, allow_fill=True), index=index)


def _mapped(text: pd.Series, function: Callable[[str], str]) -> pd.Series:
    return pd.Series([function(value) for value in text], dtype="str")


def _spaced_once(text: pd.Series) -> pd.Series:
    return _mapped(text, lambda value: " ".join(value.split()))


def _numbers(pattern: str, system: System, text: pd.Series) -> pd.Series:
    text = text if system.name == DEFAULT else plain_numbers(text, system)
    well_formed = text.where(text.str.fullmatch(pattern, na=False))
    values = well_formed.astype("float64")  # `to_numeric` would not give the nearest one for many zeros
    return values + 0.0  # -0 becomes 0, as SQLite stores it: a digest must not tell the two apart
