"""Workbooks and CSV for Excel, as LibreOffice opens them: cells, types, what they show, what is refused."""

import re
import shutil
import sqlite3
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest
from conftest import LAYERS, Shop
from python_calamine import CalamineWorkbook

from lib.explore.export import export
from lib.explore.readonly import Selection, is_technical, open_database

QUANTITIES = ("units", "quantity")


class Cell(NamedTuple):
    """A cell as LibreOffice has it: its type, its value without a format, and what it shows."""

    type: str | None
    value: str | None
    shown: str


EMPTY = Cell(None, None, "")


def opened(file: Path, *options: str) -> dict[str, list[list[Cell]]]:
    """Return the rows of a file's sheets, the header first, as LibreOffice reads them."""
    soffice = shutil.which("soffice")
    assert soffice, "soffice is not installed. On Debian, it is in libreoffice-calc-nogui."
    folder = file.with_suffix(".opened")
    subprocess.run([soffice, f"-env:UserInstallation={(folder / 'profile').as_uri()}", "--headless", *options,
                    "--convert-to", "fods", "--outdir", folder, file], check=True, capture_output=True)
    tables = _found(ElementTree.parse(folder / f"{file.stem}.fods").getroot(), "table")
    return {_of(table, "name"): [row for line in _found(table, "table-row") for row in _rows(line)]
            for table in tables}


def _found(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return element.iter(f"{{urn:oasis:names:tc:opendocument:xmlns:table:1.0}}{name}")


def _of(element: ElementTree.Element, attribute: str) -> str | None:
    values = [value for name, value in element.attrib.items() if name.rpartition("}")[2] == attribute
              and "calcext" not in name]
    return values[0] if values else None


def _rows(line: ElementTree.Element) -> list[list[Cell]]:
    cells: list[Cell] = []
    for cell in _found(line, "table-cell"):
        assert _of(cell, "formula") is None
        lines = [_text(part) for part in cell if part.tag.endswith("}p")]
        kind, shown = _of(cell, "value-type"), "\n".join(lines)
        value = _of(cell, {"float": "value", "date": "date-value"}.get(kind, ""))
        cells += [Cell(kind, value, shown)] * min(int(_of(cell, "number-columns-repeated") or 1), 100)
    while cells and cells[-1] == EMPTY:
        cells.pop()
    return [cells] * int(_of(line, "number-rows-repeated") or 1) if cells else []


def _text(part: ElementTree.Element) -> str:
    blanks = {"s": " " * int(_of(part, "c") or 1), "tab": "\t"}.get(part.tag.rpartition("}")[2], "")
    return blanks + (part.text or "") + "".join(_text(inner) + (inner.tail or "") for inner in part)


# What is in a workbook

def test_the_cells_of_a_workbook_are_what_gold_has_to_the_cent_and_the_day(ask, loaded: Shop, tmp_path: Path):
    file = tmp_path / "gold.xlsx"
    assert ask("gold", "--export", str(file)) == f"3,556 rows of 3 tables in {file}\n"
    sheets = opened(file)
    keys = {"reporting_customer_stats": "customer_id", "reporting_sales_wide": "order_line_id",
            "sales_summary_daily": "order_date"}
    assert list(sheets) == list(keys)
    for table, key in keys.items():
        names = [name for name, in loaded.query("gold", f"select name from pragma_table_info('{table}')")]
        header, *rows = sheets[table]
        assert [(cell.type, cell.shown) for cell in header] == [("string", name) for name in names]
        expected = loaded.query("gold", f"select * from {table} order by {key}")
        for row, values in zip(rows, expected, strict=True):
            cells = row + [EMPTY] * (len(values) - len(row))
            for name, cell, value in zip(names, cells, values, strict=True):
                assert is_as(cell, name, value), (table, name, cell, value)


def is_as(cell: Cell, name: str, value: object) -> bool:
    """Return whether a cell of gold has a value with its type, and shows it as people expect it."""
    if value is None:
        return cell == EMPTY
    if isinstance(value, int):
        return cell == ("float", str(value), f"{value:,}")
    if isinstance(value, float):
        is_right = cell.type == "float" and Decimal(cell.value) == Decimal(repr(value))
        return is_right and cell.shown == (f"{value:,.0f}" if name in QUANTITIES else f"{value:,.2f}")
    if name.endswith("_date"):
        return cell == ("date", value, value)
    if name.endswith("_timestamp"):
        distance = datetime.fromisoformat(cell.value) - datetime.fromisoformat(value)
        return cell.type == "date" and abs(distance) < timedelta(milliseconds=10)
    return cell == ("string", None, value)


TEXTS = ["=1+1", "{=1}", "@x", "http://x", "007", "<r>&", "_x0041_", "one\ntwo", "a\tb", "  äöü€"]
SHOWN = {  # by the name of a column: values, and what they show
    "customer_id": dict(zip(TEXTS, TEXTS, strict=True)) | {"<r>&</r>": "'<r>&</r>"},
    "net_sales": {9929.14: "9,929.14", -0.5: "-0.50", 1e6: "1,000,000.00", 0.1 + 0.2: "0.30"},
    "units": {2.0: "2", 0.25: "0.25", 12345.0: "12,345"},
    "unit_price": {10.5: "10.50", 0.0125: "0.0125", 999999.000001: "999,999.000001"},
    "orders": {0: "0", 12345: "12,345", -1: "-1"},
    "source_row": {12345: "12345"},
    "fiscal_year": {2025: "2025"},
    "large": {10**15: "1,000,000,000,000,000", 2**63 - 1: "9223372036854775807"},
    "mixed": {0.5: "0.50", 2**63 - 1: "9.22337203685478E+018", 9e999: "inf"},
    "last_date": {"1900-03-01": "1900-03-01", "9999-12-31": "9999-12-31", "1850-01-01": "1850-01-01",
                  "1900-02-28": "1900-02-28"},
    "bytes": {b"\0\xff": "00ff"},
    "=1+1": {1: "1"},
}


def test_each_kind_of_value_shows_what_people_expect_and_no_text_runs(ask, tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "gold.db")) as gold, gold:
        for name, values in SHOWN.items():
            gold.execute(f'create table "with {name}" (place integer primary key, "{name}")')
            gold.executemany(f'insert into "with {name}" ("{name}") values (?)', zip(values))
    ask("gold", "--export", str(tmp_path / "x.xlsx"), warehouse=tmp_path)
    sheets = opened(tmp_path / "x.xlsx")
    found = {name: [cell for _, cell in sheets[f"with {name}"][1:]] for name in SHOWN}
    assert {name: [cell.shown for cell in cells] for name, cells in found.items()} == {
        name: list(values.values()) for name, values in SHOWN.items()}
    assert {cell.type for cell in found["customer_id"]} == {"string"}
    assert sheets["with =1+1"][0][1] == Cell("string", None, "=1+1")
    amounts = CalamineWorkbook.from_path(tmp_path / "x.xlsx").get_sheet_by_name("with net_sales").to_python()
    assert amounts[1][1] == 9929.14  # exactly, which LibreOffice would not show
    # Before March 1900, Excel and other programs disagree about the days: they are text.
    assert [cell.type for cell in found["last_date"]] == ["date", "date", "string", "string"]


def test_a_sheet_has_a_bold_frozen_header_a_filter_and_columns_as_wide_as_their_content(ask, tmp_path: Path):
    sql = ("select 'ABCDEFGHIJKLMNOPQRSTUVWXYZ' as name, hex(zeroblob(400)) as long, "
           "1234567.89 as amount, 1 as n")
    ask("gold", "--sql", sql, "--export", str(tmp_path / "x.xlsx"))
    with zipfile.ZipFile(tmp_path / "x.xlsx") as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
        styles = book.read("xl/styles.xml").decode()
    assert re.search(r'<pane ySplit="1" topLeftCell="A2" [^>]*state="frozen"/>', sheet)
    assert '<autoFilter ref="A1:D2"/>' in sheet
    header = re.search(r'<c r="A1" s="(\d+)"', sheet)[1]
    formats = re.findall(r'<xf [^>]*fontId="(\d+)"', styles.partition("<cellXfs")[2])
    assert "<b/>" in re.findall("<font>.*?</font>", styles)[int(formats[int(header)])]
    name, long, amount, number = (float(width) for width in re.findall(r'<col [^>]*width="([^"]+)"', sheet))
    assert 26 <= name < 30 and 50 <= long < 70 and len("1,234,567.89") <= amount < 16 and number < 10


def test_a_question_with_parameters_is_a_sheet_with_its_title(loaded: Shop, tmp_path: Path):
    sql = "select order_date, orders from sales_summary_daily where order_date like :month || '%'"
    december = Selection("Sales by day: a month [shop/web]", sql, parameters={"month": "2025-12"})
    with open_database(loaded.warehouse, "gold") as database:
        counts = {suffix: export(database, december, tmp_path / f"x.{suffix}")
                  for suffix in ("csv", "parquet", "xlsx")}
    [(days,)] = loaded.query("gold", "select count(*) from sales_summary_daily where order_date >= '2025-12'")
    assert set(counts.values()) == {days} and days > 20
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 1 + days
    [(title, rows)] = opened(tmp_path / "x.xlsx").items()
    assert (title, len(rows)) == ("Sales by day a month shop web", 1 + days)


def test_sheets_have_names_that_excel_accepts_and_that_differ(ask, tmp_path: Path):
    names = ["history", "sales of the shop in the year 2024", "Sales of the shop in the year 2025", "it's 5'",
             "a/b?", "😀" * 20]
    with closing(sqlite3.connect(tmp_path / "gold.db")) as gold, gold:
        for name in names:
            gold.execute(f'create table "{name}" (a)')
    ask("gold", "--export", str(tmp_path / "x.xlsx"), warehouse=tmp_path)
    assert list(opened(tmp_path / "x.xlsx")) == [
        "Sales of the shop in the year 2", "a b", "history (2)", "it's 5", "sales of the shop in the ye (2)",
        "😀" * 15]


# Which tables

READ = {
    "raw": {"customers", "products", "orders", "order_lines", "payments", "deliveries", "quarantine"},
    "curated": {"dim_customers", "dim_products", "fact_orders", "fact_order_lines", "fact_payments",
                "quarantine"},
    "gold": {"reporting_sales_wide", "sales_summary_daily", "reporting_customer_stats"},
    "audit": {"pipeline_execution_log", "pipeline_watermark"},
}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_workbook_has_the_tables_that_people_read(layer: str, ask, tmp_path: Path):
    file = tmp_path / "all.xlsx"
    ask(layer, "--limit", "2", "--export", str(file))
    with zipfile.ZipFile(file) as book:
        names = re.findall(r'<sheet name="([^"]+)"', book.read("xl/workbook.xml").decode())
    assert names == sorted(READ[layer])
    assert is_technical("fact_orders_replaced") and is_technical("table_versions")


def test_a_database_without_tables_is_no_workbook(ask, tmp_path: Path):
    sqlite3.connect(tmp_path / "gold.db").close()
    error = ask("gold", "--export", str(tmp_path / "x.xlsx"), warehouse=tmp_path, expect=2)
    assert "gold.db has no tables yet" in error
    assert [path.name for path in tmp_path.iterdir()] == ["gold.db"]


# What does not fit

MANY = "with recursive n(i) as (select 1 union all select i + 1 from n limit {}) select i from n"


def test_what_a_sheet_cannot_hold_is_refused(ask, tmp_path: Path):
    file = str(tmp_path / "x.xlsx")
    many = ask("gold", "--sql", MANY.format(1_048_576), "--export", file, expect=2)
    assert re.search(r"1,048,576 rows.* 1,048,575\. .*--limit.*\.csv or \.parquet", many)
    long = "select 1 as a union all select hex(zeroblob(20000))"
    assert re.search(r"a of row 2 is too long.*\.csv or \.parquet",
                     ask("gold", "--sql", long, "--export", file, expect=2))
    assert list(tmp_path.iterdir()) == []


def test_a_table_of_a_workbook_that_has_too_many_rows_is_named(ask, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("lib.explore.excel.ROWS", 500)
    file = str(tmp_path / "gold.xlsx")
    assert "reporting_sales_wide has 3,064 rows" in ask("gold", "--export", file, expect=2)
    assert list(tmp_path.iterdir()) == []
    assert ask("gold", "--limit", "500", "--export", file).startswith("992 rows of 3 tables")


# CSV

UMLAUTS = "select 'Müller, Jürgen' as name, '€' as sign, '2025-12-31' as last_date, 1234.5 as net_sales"


def test_csv_for_excel_begins_with_a_byte_order_mark_in_a_file_and_in_a_pipe(ask, loaded: Shop,
                                                                             tmp_path: Path):
    file = tmp_path / "x.csv"
    ask("gold", "--sql", UMLAUTS, "--excel", "--export", str(file))
    content = file.read_bytes()
    assert content.startswith(b"\xef\xbb\xbfname,sign,")
    command = loaded.command("query", "gold", "--sql", UMLAUTS, "--excel", "--format", "csv")
    assert subprocess.run(command, capture_output=True, check=True, env={"LC_ALL": "C"}).stdout == content
    [(header, row)] = opened(file, "--infilter=CSV:44,34,76").values()  # a comma, ", and UTF-8
    assert header[0].shown == "name"
    assert [cell.shown for cell in row] == ["Müller, Jürgen", "€", "2025-12-31", "1234.5"]
    ask("gold", "--sql", UMLAUTS, "--export", str(tmp_path / "plain.csv"))
    assert (tmp_path / "plain.csv").read_bytes() == content.removeprefix(b"\xef\xbb\xbf")
