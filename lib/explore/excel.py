"""Workbooks of Excel, by XlsxWriter: a sheet for each SELECT, with dates, amounts and text as such.

The rows are never all in memory. pandas would write a sheet column by column, which loses cells without an
error in XlsxWriter's mode for constant memory.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lib.errors import UsageError
from lib.explore.readonly import Database, Selection
from lib.explore.table import decimals, is_counted
from lib.explore.typed import batches, find_types
from lib.storage.temporary import use_temporary_folder

if TYPE_CHECKING:
    import pyarrow as pa
    from xlsxwriter import Workbook

ROWS = 1_048_575  # of a sheet, below the header
EXACT = 10**15  # larger whole numbers lose digits
CALENDAR = (1900, 3)  # the first month in which all programs agree on the days
OPTIONS = {"constant_memory": True, "remove_timezone": True, "strings_to_formulas": False,
           "strings_to_urls": False, "strings_to_numbers": False}
DAY, MOMENT = "yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss.000"
NARROWEST, WIDEST = 8, 60  # of a column, in characters
BUTTON = 4  # characters that the filter's button hides
NAME_BYTES = 62  # of a sheet's name, which is at most 31 characters of UTF-16
NAME_TAKEN = "history"  # Excel wants it for itself
NOT_IN_A_NAME = str.maketrans(dict.fromkeys("[]:*?/\\", " "))


def write_excel(database: Database, selections: Sequence[Selection], path: Path, limit: int | None) -> int:
    """Write a workbook with a sheet for each SELECT, at most `limit` rows each, and return how many rows.

    Raises UsageError for rows and texts that a sheet cannot hold. Whether there are too many rows is known
    before anything is written.
    """
    from xlsxwriter import Workbook
    from xlsxwriter.exceptions import XlsxFileError

    found = [find_types(database, selection, limit) for selection in selections]
    for selection, (_, count) in zip(selections, found, strict=True):
        if count > ROWS:
            raise UsageError(f"{path}: {selection.title} has {count:,} rows, and a sheet of Excel holds "
                             f"{ROWS:,}. Write fewer with --limit, or all to a .csv or .parquet file.")
    use_temporary_folder()
    with TemporaryDirectory(prefix="pipeline-") as temporary:
        book = Workbook(path, {**OPTIONS, "tmpdir": temporary})
        names = sheet_names([selection.title for selection in selections])
        for selection, name, (schema, count) in zip(selections, names, found, strict=True):
            _write_sheet(book, name, schema, count, batches(database, selection, schema, limit))
        try:
            book.close()
        except XlsxFileError as error:
            raise OSError(str(error)) from error
    return sum(count for _, count in found)


def sheet_names(titles: Sequence[str]) -> list[str]:
    """Return names as Excel wants them: short, without some characters, and no two alike."""
    names: list[str] = []
    taken = {NAME_TAKEN}
    for title in titles:
        plain = " ".join(title.translate(NOT_IN_A_NAME).split()) or "rows"
        numbered = (_cut(plain, f" ({number})" if number > 1 else "") for number in range(1, len(titles) + 2))
        names.append(next(name for name in numbered if name.casefold() not in taken))
        taken.add(names[-1].casefold())
    return names


def _cut(name: str, end: str) -> str:
    begin = name.encode("utf-16-le")[:NAME_BYTES - 2 * len(end)].decode("utf-16-le", "ignore")
    return begin.strip("' ") + end


def _write_sheet(book: "Workbook", name: str, schema: "pa.Schema", count: int,
                 found: "Iterator[pa.RecordBatch]") -> None:
    styled = cache(lambda number_format: book.add_format({"num_format": number_format}))
    sheet = book.add_worksheet(name)
    sheet.freeze_panes(1, 0)
    sheet.write_row(0, 0, map(_value, schema.names), book.add_format({"bold": True}))
    widths = [max(len(column) + BUTTON, NARROWEST) for column in schema.names]
    written = 0
    for batch in found:
        widths = [max(width, _characters(column)) for width, column in zip(widths, batch, strict=True)]
        rows = zip(*(column.to_pylist() for column in batch), strict=True)
        for number, row in enumerate(rows, written + 1):
            for place, (column, value) in enumerate(zip(schema.names, row, strict=True)):
                if isinstance(value, str):  # most are, and `write` would try other types first
                    error = sheet.write_string(number, place, _value(value))
                else:
                    style = _number_format(column, value)
                    error = sheet.write(number, place, _value(value), style and styled(style))
                if error:
                    raise UsageError(f"{name}: {column} of row {number:,} is too long for a cell of Excel, "
                                     "which holds 32,767 characters. Write a .csv or .parquet file.")
        written += len(batch)
    for place, width in enumerate(widths):
        sheet.set_column(place, place, min(width, WIDEST))
    sheet.autofilter(0, 0, count, len(widths) - 1)
    sheet.ignore_errors({"number_stored_as_text": f"A1:XFD{count + 1}"})  # Excel would mark every key


def _number_format(column: str, value: Any) -> str | None:
    """Return how Excel shows a value: amounts with their cents, counts and quantities as `query` does."""
    if isinstance(value, date):
        return MOMENT if isinstance(value, datetime) else DAY
    if not isinstance(value, int | float) or abs(value) > EXACT:
        return None
    if isinstance(value, int):
        return "#,##0" if is_counted(column) else None
    return f"#,##0.{'0' * decimals(column, [value])}".rstrip(".")


def _characters(column: "pa.Array") -> int:
    """Return how many characters the widest cell of a column needs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_temporal(column.type):
        return len(DAY if pa.types.is_date(column.type) else MOMENT)
    if pa.types.is_string(column.type):
        return pc.max(pc.utf8_length(column)).as_py() or 0
    if pa.types.is_binary(column.type):
        return 2 * (pc.max(pc.binary_length(column)).as_py() or 0)
    ends = [value for value in pc.min_max(column).as_py().values() if value is not None]
    return max((len(f"{value:,.2f}") + 1 for value in ends), default=0)


def _value(value: Any) -> Any:
    """Return a value as a cell of Excel can hold it: text where a number or a date would not survive."""
    if isinstance(value, str):
        is_markup = value.startswith("<r>") and value.endswith("</r>")  # of XlsxWriter's own
        return f"'{value}" if is_markup else value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):  # of which XlsxWriter would write 9929.14 as 9929.139999999999
        return Decimal(repr(value)) if math.isfinite(value) else str(value)
    is_early = isinstance(value, date) and (value.year, value.month) < CALENDAR
    is_long = isinstance(value, int) and abs(value) > EXACT
    return str(value) if is_early or is_long else value
