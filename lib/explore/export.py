"""Rows for other programs: CSV, JSON and Markdown to a stream; CSV, Parquet and Excel to a new file."""

import csv
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

from lib.errors import PipelineError, UsageError
from lib.explore.excel import write_excel
from lib.explore.readonly import Database, Rows, Selection, is_technical, select
from lib.explore.table import cell, decimals, type_of
from lib.explore.typed import write_parquet

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the beginning of a formula


def write_csv(rows: Rows, out: TextIO) -> int:
    """Write rows with a header, RFC 4180 quoting and nulls as empty fields; return how many.

    Text that a spreadsheet would run as a formula gets an apostrophe in front. Numbers stay as they are.
    """
    # The writer quotes a lone \r only where it ends lines itself with \r\n, which shells do not like.
    writer = csv.writer(SimpleNamespace(write=lambda line: out.write(line.removesuffix("\r\n") + "\n")))
    writer.writerow(map(inert, rows.columns))
    count = 0
    for row in rows.rows:
        writer.writerow(map(inert, row))
        count += 1
    return count


def write_json(rows: Rows, out: TextIO) -> None:
    """Write rows as an array of objects, one a line."""
    before = "[\n"
    for row in rows.rows:
        values = {name: _json_value(value) for name, value in zip(rows.columns, row, strict=True)}
        out.write(before + json.dumps(values, ensure_ascii=False))
        before = ",\n"
    out.write("[]\n" if before == "[\n" else "\n]\n")


def write_markdown(rows: Rows, out: TextIO) -> None:
    """Write rows as a Markdown table, with numbers flush right and money with its cents."""
    found = list(rows.rows)
    columns = list(zip(*found, strict=True)) or [()] * len(rows.columns)
    counts = [decimals(name, values) for name, values in zip(rows.columns, columns, strict=True)]
    rules = ["---:" if type_of(values) in ("integer", "real") else "---" for values in columns]
    lines = [map(_escaped, rows.columns), rules]
    for row in found:
        cells = zip(row, counts, strict=True)
        lines.append([_escaped("" if value is None else cell(value, count)) for value, count in cells])
    out.writelines(f"| {' | '.join(line)} |\n" for line in lines)


def export(database: Database, selection: Selection, path: Path, limit: int | None = None, *,
           for_excel: bool = False) -> int:
    """Write a SELECT's rows to a new file of the kind that its suffix names, and return how many.

    With `for_excel`, a CSV file begins with the byte-order mark by which Excel knows that it is UTF-8. Raises
    UsageError for another suffix, a file that exists or rows that the format cannot hold, and PipelineError
    when the file cannot be written. Then no file is left.
    """
    with _new_file(path):
        if path.suffix == ".csv":
            return _write_csv(database, selection, path, limit, "utf-8-sig" if for_excel else "utf-8")
        if path.suffix == ".parquet":
            return write_parquet(database, selection, path, limit)
        return write_excel(database, [selection], path, limit)


def export_tables(database: Database, path: Path, limit: int | None = None) -> str:
    """Write the tables that people read to a new workbook, a sheet each, and return what it holds, in words.

    Raises the same errors as `export`.
    """
    tables = [table.rows for table in database.tables.values() if not is_technical(table.name)]
    if path.suffix != ".xlsx":
        raise UsageError(f"{path} cannot hold more than one table. Name an .xlsx file, or a table.")
    if not tables:
        raise UsageError(f"{database.path.name} has no tables yet. Run run_pipeline.py first.")
    with _new_file(path):
        count = write_excel(database, tables, path, limit)
    return f"{count:,} rows of {len(tables)} tables"


@contextmanager
def _new_file(path: Path) -> Iterator[None]:
    """Create a file that does not exist yet, and delete it again when writing to it fails."""
    if path.suffix not in (".csv", ".parquet", ".xlsx"):
        raise UsageError(f"{path} is not a .csv, .parquet or .xlsx file: the suffix says what is written. "
                         "Name such a file.")
    try:
        path.touch(exist_ok=False)
    except FileExistsError as error:
        raise UsageError(f"{path} exists and is not overwritten. Name another file, or delete it.") from error
    except OSError as error:
        raise PipelineError(f"{path} cannot be written ({error.strerror}). Name a file in a folder that you "
                            "may write to.") from error
    try:
        yield
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise PipelineError(f"{path} could not be written ({error.strerror or error}) and was deleted "
                                "again.") from error
        raise


def _write_csv(database: Database, selection: Selection, path: Path, limit: int | None,
               encoding: str) -> int:
    rows = select(database, selection.sql, selection.parameters)
    with path.open("w", encoding=encoding, newline="") as out:
        return write_csv(Rows(rows.columns, islice(rows.rows, limit)), out)


def inert(value: Any) -> Any:
    """Return a value for CSV: text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if isinstance(value, bytes):
        return value.hex()
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _json_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return None if isinstance(value, float) and math.isinf(value) else value  # JSON has no infinity


def _escaped(text: str) -> str:
    for letter in "\\|<`":
        text = text.replace(letter, f"\\{letter}")
    return text
