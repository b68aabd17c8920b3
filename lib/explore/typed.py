"""A SELECT's rows, with types that fit all of them, as Parquet (by pyarrow) and Excel (by XlsxWriter).

pandas would do both, but with all rows in memory: it writes Parquet as a whole, and Excel column by column,
which loses cells without an error in XlsxWriter's mode for constant memory.
"""

import math
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import islice
from pathlib import Path
from sqlite3 import complete_statement
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lib.errors import UsageError
from lib.explore.readonly import Database, select
from lib.storage.temporary import use_temporary_folder

if TYPE_CHECKING:
    import pyarrow as pa

# Whether all of a column are days, or moments. Only with a modifier does SQLite see that February has no
# 31st.
ALL_DAYS = "min(date({c}, '+0 days') is {c})"
ALL_MOMENTS = """
    min(date({c}, '+0 days') is {c} or datetime(substr({c}, 1, 19), '+0 days') is substr({c}, 1, 19)
        and length({c}) <= 26 and rtrim(substr({c}, 20), '0123456789') is iif(length({c}) = 19, '', '.'))"""
ROWS_AT_ONCE = 50_000  # in memory, and in a row group of Parquet
EXCEL_ROWS = 1_048_575  # of a sheet, below the header
EXCEL_DIGITS = 10**15  # whole numbers beyond this lose digits
EXCEL_OPTIONS = {"constant_memory": True, "remove_timezone": True, "strings_to_formulas": False,
                 "strings_to_urls": False, "strings_to_numbers": False}


def write_parquet(database: Database, sql: str, types: dict[str, str], path: Path, limit: int | None) -> int:
    from pyarrow.parquet import ParquetWriter

    schema, count = _find_types(database, sql, types, limit)
    with ParquetWriter(path, schema) as writer:
        for batch in _batches(database, sql, schema, limit):
            writer.write_batch(batch)
    return count


def write_excel(database: Database, sql: str, types: dict[str, str], path: Path, limit: int | None) -> int:
    """Write rows to the only sheet of a workbook: dates and moments as such, and all text as text."""
    import pyarrow as pa
    from xlsxwriter import Workbook
    from xlsxwriter.exceptions import XlsxFileError

    schema, count = _find_types(database, sql, types, limit)
    if count > EXCEL_ROWS:
        raise UsageError(f"{path} would have {count:,} rows, and a sheet of Excel holds {EXCEL_ROWS:,}. "
                         "Write fewer with --limit, or all of them to a .csv or .parquet file.")
    use_temporary_folder()
    with TemporaryDirectory(prefix="pipeline-") as temporary:
        book = Workbook(path, {**EXCEL_OPTIONS, "tmpdir": temporary})
        sheet = book.add_worksheet()
        sheet.freeze_panes(1, 0)
        sheet.set_column(0, len(schema) - 1, 24)  # Excel shows #### for a moment in a narrower column
        sheet.write_row(0, 0, map(_excel_value, schema.names))
        formats = {pa.date32(): book.add_format({"num_format": "yyyy-mm-dd"}),
                   pa.timestamp("us", tz="UTC"): book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"})}
        columns = list(zip(schema.names, map(formats.get, schema.types), strict=True))
        for number, row in enumerate(_rows(_batches(database, sql, schema, limit)), start=1):
            for place, (value, (name, format_)) in enumerate(zip(row, columns, strict=True)):
                if sheet.write(number, place, _excel_value(value), format_):
                    raise UsageError(f"{path}: {name} of row {number:,} is too long for a cell of Excel, "
                                     "which holds 32,767 characters. Write a .csv or .parquet file.")
        try:
            book.close()
        except XlsxFileError as error:
            raise OSError(str(error)) from error
    return count


def _rows(batches: "Iterator[pa.RecordBatch]") -> Iterator[tuple]:
    for batch in batches:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _excel_value(value: Any) -> Any:
    """Return a value as a cell of Excel can hold it: text where a number or a date would not survive."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str):
        return f"'{value}" if value.startswith("<r>") else value  # XlsxWriter takes that for its own markup
    if isinstance(value, float):  # of which XlsxWriter would write 9929.14 as 9929.139999999999
        return Decimal(repr(value)) if math.isfinite(value) else str(value)
    is_early = isinstance(value, date) and value.year < 1900  # before Excel's calendar begins
    is_long = isinstance(value, int) and abs(value) > EXCEL_DIGITS
    return str(value) if is_early or is_long else value


def _find_types(database: Database, sql: str, declared: dict[str, str],
                limit: int | None) -> "tuple[pa.Schema, int]":
    """Return Arrow types that hold every value of a SELECT, and how many rows to write, after one pass.

    A column of nulls has its declared type, or is text, and so is a column whose values differ in type.
    Outside raw, which is text as delivered, a column named `…_date` becomes dates and one named `…_timestamp`
    or `…_time` moments in UTC, if all of its values are such.
    """
    import pyarrow as pa

    moment = (ALL_MOMENTS, pa.timestamp("us", tz="UTC"))
    meanings = {"date": (ALL_DAYS, pa.date32()), "timestamp": moment, "time": moment}
    names = select(database, sql).columns
    columns = {f"c{number}": ("null", pa.string()) for number in range(len(names))}
    if database.path.stem != "raw":
        columns = {column: meanings.get(name.rpartition("_")[2], plain)
                   for name, (column, plain) in zip(names, columns.items(), strict=True)}
    facts = ", ".join(f"group_concat(distinct typeof({column})), {check.format(c=column)}"
                      for column, (check, _) in columns.items())
    count, *found = next(select(database, f"with asked({', '.join(columns)}) as ({_without_end(sql)}\n) "
                                          f"select count(*), {facts} from asked").rows)
    types = []
    for name, typeofs, fits, (_, meant) in zip(names, found[::2], found[1::2], columns.values(), strict=True):
        kinds = set((typeofs or "null").split(",")) - {"null"} or {declared.get(name)}
        types.append(pa.int64() if kinds == {"integer"} else
                     pa.float64() if kinds <= {"integer", "real"} else
                     pa.binary() if kinds == {"blob"} else
                     meant if kinds == {"text"} and fits != 0 else pa.string())
    return pa.schema(list(zip(names, types, strict=True))), count if limit is None else min(count, limit)


def _without_end(sql: str) -> str:
    """Return a SELECT without its semicolon and what follows, so that it can stand in brackets."""
    ends = (match.start() for match in re.finditer(";", sql) if complete_statement(sql[:match.end()]))
    return sql[:next(ends, None)]


def _batches(database: Database, sql: str, schema: "pa.Schema",
             limit: int | None) -> "Iterator[pa.RecordBatch]":
    """Yield a SELECT's rows with the types that `_find_types` found."""
    import pyarrow as pa

    rows = islice(select(database, sql).rows, limit)
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        columns = zip(zip(*chunk, strict=True), schema.types, strict=True)
        yield pa.record_batch([_array(values, type_) for values, type_ in columns], schema=schema)


def _array(values: tuple, type_: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    if pa.types.is_temporal(type_):
        return pa.array(values, pa.string()).cast(pa.timestamp("us")).cast(type_)
    return pa.array(map(_text, values) if pa.types.is_string(type_) else values, type_)


def _text(value: Any) -> str | None:
    return value.hex() if isinstance(value, bytes) else None if value is None else str(value)
