"""Frames as a layer stores them, and rows as a person reads them."""

from collections.abc import Iterable

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lib.storage.sql import SPACES

ROW_TEXT = 300  # characters shown of a row
KEY_TEXT = 40  # characters shown of a key


def to_arrow(rows: pd.DataFrame) -> pa.Table:
    """Return a frame as Arrow in the three types of a layer: text, integers, reals. NaN becomes null."""
    table = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata(None)
    return table.cast(pa.schema([(column.name, _stored_type(column.type)) for column in table.schema]))


def _stored_type(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_integer(type_) or pa.types.is_boolean(type_):
        return pa.int64()
    return pa.float64() if pa.types.is_floating(type_) else pa.string()


def trim(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text without surrounding spaces, and null where nothing is left."""
    text = pc.utf8_trim(text, characters=SPACES)
    return pc.if_else(pc.equal(text, ""), None, text)


def as_text(rows: pd.DataFrame) -> list[str]:
    """Return each row as one line of JSON: its text as delivered, by column."""
    return rows.to_json(orient="records", lines=True, force_ascii=False).rstrip("\n").split("\n")


def name_rows(filenames: Iterable[str], numbers: Iterable[int], keys: pd.Series) -> list[str]:
    """Return where rows are: file, line and key, without the key where it is missing."""
    return [f"{filename}, line {number}" + ("" if pd.isna(key) else f", {keys.name} {key[:KEY_TEXT]!r}")
            for filename, number, key in zip(filenames, numbers, keys, strict=True)]


def locate(filenames: Iterable[str], numbers: Iterable[int], texts: Iterable[str]) -> list[str]:
    """Return delivered rows as one line each: file, line and text."""
    return [f"{filename}, line {number}: {text[:ROW_TEXT]}"
            for filename, number, text in zip(filenames, numbers, texts, strict=True)]
