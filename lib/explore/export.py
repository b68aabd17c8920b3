"""Rows for other programs: CSV, JSON and Markdown to a stream, CSV and Parquet to a new file."""

import csv
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from sqlite3 import complete_statement
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TextIO

from lib.errors import PipelineError, UsageError
from lib.explore.readonly import Database, Rows, select
from lib.explore.table import cell, places, type_of

if TYPE_CHECKING:
    import pyarrow as pa

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the beginning of a formula
# Whether all of a column are days, or moments. Only with a modifier does SQLite see that February has no 31st.
ALL_DAYS = "min(date({c}, '+0 days') is {c})"
ALL_MOMENTS = """min(date({c}, '+0 days') is {c} or datetime(substr({c}, 1, 19), '+0 days') is substr({c}, 1, 19)
    and length({c}) <= 26 and substr({c}, 20) not glob '*[^0-9.]*')"""
AT_ONCE = 50_000  # rows of a row group
SUFFIXES = (".csv", ".parquet")


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
    """Write rows as a Markdown table, numbers flush right and money with its cents."""
    found = list(rows.rows)
    columns = list(zip(*found, strict=True)) or [()] * len(rows.columns)
    decimals = [places(name, values) for name, values in zip(rows.columns, columns, strict=True)]
    lines = [rows.columns, ["---:" if type_of(values) in ("integer", "real") else "---" for values in columns]]
    for row in found:
        lines.append(["" if value is None else cell(value, count) for value, count in zip(row, decimals, strict=True)])
    for number, line in enumerate(lines):
        out.write("| " + " | ".join(line if number == 1 else map(_escaped, line)) + " |\n")


def export(database: Database, sql: str, types: dict[str, str], path: Path, limit: int | None = None) -> int:
    """Write a SELECT's rows to a new CSV or Parquet file and return how many; `types` are the declared types, where known.

    Raises UsageError for another suffix or a file that exists; PipelineError when it cannot be written. Then no file is left.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path} is neither .csv nor .parquet: the suffix says what is written. Name such a file.")
    with _new_file(path):
        if path.suffix == ".parquet":
            return _write_parquet(database, sql, types, path, limit)
        rows = select(database, sql)
        with path.open("w", encoding="utf-8", newline="") as out:
            return write_csv(Rows(rows.columns, islice(rows.rows, limit)), out)


@contextmanager
def _new_file(path: Path) -> Iterator[None]:
    """Make a file that was not there, and take it away again when writing fails."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError as error:
        raise UsageError(f"{path} exists. Name another file, or delete it first: nothing is overwritten here.") from error
    except OSError as error:
        raise PipelineError(f"{path} cannot be written ({error.strerror}). Name a file in a folder that may be written.") from error
    try:
        yield
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise PipelineError(f"{path} could not be written ({error.strerror or error}). Nothing of it is left.") from error
        raise


def _write_parquet(database: Database, sql: str, declared: dict[str, str], path: Path, limit: int | None) -> int:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    rows = select(database, sql)
    schema = _arrow_schema(database, sql, rows.columns, declared)
    remaining = islice(rows.rows, limit)
    count = 0
    with ParquetWriter(path, schema) as writer:
        while batch := list(islice(remaining, AT_ONCE)):
            columns = zip(*batch, strict=True)
            writer.write_table(pa.table([_arrow_array(values, field.type) for values, field in zip(columns, schema, strict=True)],
                                        schema=schema))
            count += len(batch)
    return count


def _arrow_schema(database: Database, sql: str, names: list[str], declared: dict[str, str]) -> "pa.Schema":
    """Return Arrow types that hold every value of a SELECT, found by one pass over all of it.

    A column of nulls has its declared type, or is text. Outside raw, which is text as delivered, a column named `…_date`
    becomes dates and one named `…_timestamp` or `…_time` moments in UTC, if all of its values are such.
    """
    import pyarrow as pa

    columns = [f"c{number}" for number in range(len(names))]
    moment = (ALL_MOMENTS, pa.timestamp("us", tz="UTC"))
    named = {"date": (ALL_DAYS, pa.date32()), "timestamp": moment, "time": moment} if database.path.stem != "raw" else {}
    expected = [named.get(name.rpartition("_")[2], ("null", None)) for name in names]
    facts = ", ".join(f"group_concat(distinct typeof({column})), {check.format(c=column)}"
                      for column, (check, _) in zip(columns, expected, strict=True))
    end = next((place for place, letter in enumerate(sql) if letter == ";" and complete_statement(sql[:place + 1])), None)
    found = next(select(database, f"with asked({', '.join(columns)}) as ({sql[:end]}\n) select {facts} from asked").rows)
    fields = []
    for name, kinds, fits, (_, meant) in zip(names, found[::2], found[1::2], expected, strict=True):
        types = set((kinds or "null").split(",")) - {"null"} or {declared.get(name)}
        type_ = pa.string()
        if types <= {"integer", "real"}:
            type_ = pa.float64() if "real" in types else pa.int64()
        elif types == {"blob"}:
            type_ = pa.binary()
        elif types == {"text"} and meant and fits != 0:
            type_ = meant
        fields.append(pa.field(name, type_))
    return pa.schema(fields)


def _arrow_array(values: tuple, type_: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    if pa.types.is_timestamp(type_):
        return pa.array(values, pa.string()).cast(pa.timestamp("us")).cast(type_)
    if pa.types.is_date(type_):
        return pa.array(values, pa.string()).cast(type_)
    try:
        return pa.array(values, type_)
    except pa.ArrowTypeError:  # a column whose values differ in type is text
        return pa.array([value if value is None or isinstance(value, str) else cell(value) for value in values], type_)


def inert(value: Any) -> Any:
    """Return a value as CSV may hold it: text that a spreadsheet would run as a formula with an apostrophe in front."""
    if isinstance(value, bytes):
        return value.hex()
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _json_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return None if isinstance(value, float) and math.isinf(value) else value  # JSON has no word for it


def _escaped(text: str) -> str:
    for letter in "\\|<`":
        text = text.replace(letter, f"\\{letter}")
    return text
