"""Bad input, one small file per case (in `corpus` or made here): what becomes of its lines, and what the run
reports.

A case has the name of its file, which is the name of a delivery. All files that can be read are delivered
together, so no two use the same key. Each file that cannot be read is delivered on its own, and stops the run
before anything is written.
"""

import csv
import gzip
import io
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import in_process
import pytest
from conftest import PROJECT, Shop
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from warm_runs import WarmRuns

from lib.contract import SOURCES
from lib.ingest.deliveries import source_of
from lib.runner.run import RunResult
from lib.step.parse import MARKERS
from lib.storage import digest
from lib.storage.layer import open_layer

CORPUS = PROJECT / "tests" / "ingest" / "corpus"


def header_of(source: str) -> str:
    return ",".join(SOURCES[source].column_names)


PRODUCTS = header_of("products") + "\n"
TABLES = {"customers": "dim_customers", "products": "dim_products", "orders": "fact_orders",
          "order_lines": "fact_order_lines", "payments": "fact_payments"}
# The columns that a case shows of a row, in raw and in curated.
SHOWN = {
    "customers": (("customer_id", "first_name", "last_name"),) * 2,
    "products": (("product_id", "product_name", "unit_price"),) * 2,
    "orders": (("order_id", "order_date", "total_amount"), ("order_id", "order_timestamp", "total_amount")),
    "order_lines": (("order_line_id", "quantity", "unit_price"),) * 2,
    "payments": (("payment_id", "payment_date", "payment_amount"),
                 ("payment_id", "payment_timestamp", "payment_amount")),
}
MADE = {
    "products_line_ends.csv": PRODUCTS.encode() + b"J1,Cup,,,,1.50,\r\nJ2,Pot,,,,2.00,\rJ3,Pan,,,,3.00,\n",
    "products_byte_order_mark.csv": (PRODUCTS + "O1,Cup,,,,1.50,\n").encode("utf-8-sig"),
    "products_utf16.csv": (PRODUCTS + "Q1,Tasse für zwölf,,,,1.50,\n").encode("utf-16"),
    "products_cp1252.csv": (PRODUCTS + "W1,Café “crème” €,,,,1.50,\n").encode("cp1252"),
    "products_nul_byte.csv": (PRODUCTS + "N1,Cup\0,,,,1.50,\nN2,Pot,,,,2.00,\n").encode(),
    "products_large_field.csv": (PRODUCTS + f"G1,{'x' * 100_000},,,,1.50,\n").encode(),
    "products_sep_line.csv": f"sep=;\r\n{PRODUCTS.replace(',', ';')}E1;Cup;;;;1.50;\n".encode(),
    "products_titles.csv": f"Products of 2026,,,,,,\n\n{PRODUCTS}A1,Cup,,,,1.50,\n".encode(),
    "products_header_ends_in_a_comma.csv": (PRODUCTS.strip() + ",\nM1,Cup,,,,1.50,\n").encode(),
    "products_rows_of_delimiters.csv": (PRODUCTS + ",,,,,,\nD1,Cup,,,,1.50,\n,,,,,,\n,,\n").encode(),
    "products_without_brand.csv": b"product_id,product_name,category,sub_category,unit_price,status\n"
                                  b"V1,Cup,,,1.50,\n",
    "products_joined.csv": (PRODUCTS + "I1,Cup,,,,1.50,\n\n\ufeff" + PRODUCTS.upper() +
                            "I2,Pot,,,,2.00,\n").encode(),
    "orders_total.csv": (header_of("orders") + "\nTR1,C1,2025-01-01,,0.10,\nTR2,C1,2025-01-01,,0.20,\n"
                         "Total,2 orders,2025-01-31,,0.30,\n\n").encode(),
    "payments_wrong_total.csv": (header_of("payments") + "\nTW1,TR1,2025-01-01,,,1.00\n"
                                 "Summe,,,,,2.00\n").encode(),
    "orders_sum_of_others.csv": (header_of("orders") + "\nSU1,C1,2025-01-01,,10.00,\n"
                                 "SU2,C1,2025-01-01,,20.00,\nSU3,C1,2025-01-01,,30.00,\n").encode(),
    "customers_cp1251.csv": (header_of("customers") + "\nCY1,Иван,Петров,,,Москва,,,\n").encode("cp1251"),
    "orders_another_header.csv": (header_of("orders") + "\nX1,C1,2025-01-01,,1.00,\n" + ",".join(
        reversed(header_of("orders").split(","))) + "\n,2.00,,2025-01-01,C1,X2\n").encode(),
    "products_cut_short.csv.gz": gzip.compress((PRODUCTS * 100).encode())[:-20],
}

Row = tuple[str, str | None, str | None]


@dataclass(frozen=True)
class Case:
    """What becomes of a delivery's lines, by line number, and the run's warnings about the delivery.

    A line is loaded (its row in raw and in curated), quarantined by curated's gate (its row in raw and the
    rule), rejected (the rule, the reason and the text of the line) or a duplicate of a later line with the
    same key (None).
    """

    lines: dict[int, tuple[Row, tuple] | tuple[Row, str] | tuple[str, str, str] | None]
    warnings: tuple[str, ...] = ()


def null(column: str) -> str:
    return f"expect_column_values_to_be_null({column})"


def set_aside(line: int, rule: str, text: str, reason: str) -> str:
    """Return the warning about a line that is no row, the only one of its rule."""
    return f"1 set aside by {rule}, such as line {line}, {text!r}: {reason}"


def product(key: str, name: str, price: str) -> tuple[Row, tuple]:
    """Return a product's row in raw and in curated."""
    return (key, name, price), (key, name, float(price))


def order_line(key: str, quantity: str, price: str) -> tuple[Row, tuple]:
    """Return an order line's row in raw and in curated."""
    return (key, quantity, price), (key, float(quantity), float(price))


def order(key: str, date: str, timestamp: str, amount: str = "1.00") -> tuple[Row, tuple]:
    """Return the row of an order or a payment in raw and in curated."""
    return (key, date, amount), (key, timestamp, float(amount))


NEVER_CLOSED = "field 2 opens a quote that is never closed, or not within a row of 7 fields"
HEADER_AGAIN = "the header again, as in exports that were joined to one file: left out"
RIGHT_TOTAL = "a total, no row: it says 'Total', and its total_amount is the sum of the 2 other rows"
WRONG_TOTAL = ("a total, no row: it says 'Summe'; its payment_amount is 2.00, but the 1 other rows sum to "
               "1.00: does the file lack rows?")
TOTAL = ('{"order_id":"Total","customer_id":"2 orders","order_date":"2025-01-31","channel":null,'
         '"total_amount":"0.30","status":null}')
SUMME = ('{"payment_id":"Summe","order_id":null,"payment_date":null,"payment_method":null,'
         '"payment_status":null,"payment_amount":"2.00"}')
CASES = {
    "products_extra_column.csv": Case({
        2: product("X1", "Cup", "1.50"), 3: product("X2", "Pot", "2.00")},
        ("column Gift Wrap is new, and not in the contract; kept in raw only, as gift_wrap",)),
    "products_reordered_columns.csv": Case({
        2: product("R1", "Cup", "1.50"), 3: product("R2", "Pot", "2.00")}),
    "products_loose_header.csv": Case({
        2: product("H1", "Cup", "1.50")},
        ("header names matched ignoring case, spaces and hyphens: ' Product-ID ' as product_id, "
         "'PRODUCT NAME' as product_name, 'Category' as category, 'Sub Category' as sub_category",)),
    "products_header_only.csv": Case({}),
    "products_short_row.csv": Case({
        2: product("S1", "Cup", "1.50"), 3: ("field_count", "2 fields, expected 7", "S2,Pot"),
        4: product("S3", "Pan", "3.00")},
        (set_aside(3, "field_count", "S2,Pot", "2 fields, expected 7"),)),
    "products_long_row.csv": Case({
        2: product("L1", "Cup", "1.50"), 3: ("field_count", "8 fields, expected 7", "L2,Pot, large,,,,2.00,"),
        4: product("L3", "Pan", "3.00")},
        (set_aside(3, "field_count", "L2,Pot, large,,,,2.00,", "8 fields, expected 7"),)),
    "products_unclosed_quote.csv": Case({
        2: ("quote", NEVER_CLOSED, 'U1,"Cup,,,,1.50,'),
        3: product("U2", "Pot", "2.00"), 4: product("U3", 'Pan, "big"', "3.00")},
        (set_aside(2, "quote", 'U1,"Cup,,,,1.50,', NEVER_CLOSED),)),
    "products_line_breaks.csv": Case({
        2: product("B1", "Cup\nblue\n\nround", "1.50"), 6: product("B2", "Pot", "2.00")}),
    "products_line_ends.csv": Case({
        2: product("J1", "Cup", "1.50"), 3: product("J2", "Pot", "2.00"),
        4: product("J3", "Pan", "3.00")}),
    "products_byte_order_mark.csv": Case({2: product("O1", "Cup", "1.50")}),
    "products_utf16.csv": Case({2: product("Q1", "Tasse für zwölf", "1.50")}, ("read as UTF-16",)),
    "products_cp1252.csv": Case({
        2: product("W1", "Café “crème” €", "1.50")},
        ("read as cp1252, because byte 76 is not UTF-8: values look like 'Café “crème” €' now. If that is "
         "wrong, deliver the file again as UTF-8, and declare the encoding of later files: `encoding: …` in "
         "data/contract/products.yaml",)),
    "products_nul_byte.csv": Case({
        2: ("nul_byte", "the line holds a NUL byte", "N1,Cup\0,,,,1.50,"), 3: product("N2", "Pot", "2.00")},
        (set_aside(2, "nul_byte", "N1,Cup\0,,,,1.50,", "the line holds a NUL byte"),)),
    "products_sep_line.csv": Case({3: product("E1", "Cup", "1.50")}, (
        "the first line is 'sep=;', which names the delimiter", "delimiter ';'")),
    "products_titles.csv": Case({4: product("A1", "Cup", "1.50")}, (
        "the header is in line 3; left out above it: 'Products of 2026'",)),
    "products_header_ends_in_a_comma.csv": Case({2: product("M1", "Cup", "1.50")}, (
        "the header ends in one more delimiter than the rows: left out",)),
    "products_rows_of_delimiters.csv": Case({3: product("D1", "Cup", "1.50")}),
    "products_without_brand.csv": Case({2: product("V1", "Cup", "1.50")}, (
        "the file has no column brand: empty in all of its rows",)),
    "products_joined.csv": Case({
        2: product("I1", "Cup", "1.50"), 5: product("I2", "Pot", "2.00"),
        4: ("repeated_header", HEADER_AGAIN, "\ufeff" + PRODUCTS.strip().upper())},
        (set_aside(4, "repeated_header", "\ufeff" + PRODUCTS.strip().upper(), HEADER_AGAIN),)),
    "orders_total.csv": Case({
        2: order("TR1", "2025-01-01", "2025-01-01 00:00:00", "0.10"),
        3: order("TR2", "2025-01-01", "2025-01-01 00:00:00", "0.20"),
        4: ("total_row", RIGHT_TOTAL, TOTAL)}, (set_aside(4, "total_row", TOTAL, RIGHT_TOTAL),)),
    "payments_wrong_total.csv": Case({
        2: order("TW1", "2025-01-01", "2025-01-01 00:00:00"), 3: ("total_row", WRONG_TOTAL, SUMME)},
        (set_aside(3, "total_row", SUMME, WRONG_TOTAL),)),
    "orders_sum_of_others.csv": Case({
        line: order(f"SU{line - 1}", "2025-01-01", "2025-01-01 00:00:00", f"{line - 1}0.00")
        for line in (2, 3, 4)}),
    "products_large_field.csv": Case({2: product("G1", "x" * 100_000, "1.50")}),
    "products_semicolons.csv": Case({2: product("C1", "Cup; blue", "1.50")}, ("delimiter ';'",)),
    "products_tabs.csv": Case({2: product("T1", "Cup", "1.50")}, (r"delimiter '\t'",)),
    "products_duplicate_keys.csv": Case({
        2: ("repeated_key", "The row in line 5, the last one of the file with this product_id, has other "
            "values and is the one that counts.",
            '{"product_id":"K1","product_name":"Cup","category":null,"sub_category":null,"brand":null,'
            '"unit_price":"1.50","status":null}'),
        3: None, 4: (("K2", " Pot", "2.00"), ("K2", "Pot", 2.0)), 5: product("K1", "Beaker", "1.80")},
        ("rows that share a product_id with a later row but differ from it: 1. Lines 2 and 5 both have the "
         "product_id 'K1'. The last row of each key is loaded, the others are in the quarantine. If they are "
         "different records, make the key unique and deliver the file again.",)),
    "customers_leading_zeros.csv": Case({
        2: (("00123", "Ann", "Lee"),) * 2, 3: (("123", "Bob", "Lee"),) * 2,
        4: (("1e3", "Cy", "Lee"),) * 2}),
    "customers_null_words.csv": Case({
        2: (("NA", "NULL", "Null"), ("NA", None, "Null")),
        3: (("null", "Nan", "NA"), "expect_column_values_to_not_be_null(customer_id)")}),
    "customers_emoji.csv": Case({2: (("E1", "Zoë 👩‍👩‍👧", "😀"),) * 2}),
    "customers_right_to_left.csv": Case({2: (("L1", "שרה", "\u202eكريم\u202c"),) * 2}),
    "customers_formulas.csv": Case({
        2: (("F1", '=HYPERLINK("http://x.example")', "+1"),) * 2, 3: (("F2", "-1", "@Sum(A1)"),) * 2}),
    "order_lines_thousands_separator.csv": Case({
        2: (("T1", "1,000", "2.00"), null("quantity_unreadable")), 3: order_line("T2", "1000", "2.00")}),
    "order_lines_currency_sign.csv": Case({
        2: (("Y1", "1", "€ 2.00"), null("unit_price_unreadable")), 3: order_line("Y2", "1", "2.00")}),
    "order_lines_decimal_comma.csv": Case({
        2: (("C1", "1,5", "2.00"), null("quantity_unreadable")), 3: order_line("C2", "1.5", "2.00")}),
    "order_lines_1e400.csv": Case({
        2: (("E1", "1e400", "2.00"), null("quantity_unreadable")), 3: order_line("E2", "1", "2.00")}),
    "order_lines_nan.csv": Case({
        2: (("N1", "NaN", "2.00"), "expect_column_values_to_not_be_null(quantity)"),
        3: order_line("N2", "1", "2.00")}),
    "order_lines_returns.csv": Case({
        2: order_line("R1", "-2", "2.00"), 3: order_line("R2", "0", "2.00"),
        4: order_line("R3", "-0", "2.00")}),
    "order_lines_three_decimals.csv": Case({
        2: order_line("M1", "1", "2.005"), 3: order_line("M2", "0.333", "2.00")}),
    "order_lines_beyond_64_bits.csv": Case({
        2: order_line("9223372036854775808", "1", "2.00"),
        3: (("B2", "9223372036854775808", "2.00"), null("quantity_unreadable"))}),
    "order_lines_too_many_digits.csv": Case({
        2: (("D1", "9999999999999.999", "2.00"), null("quantity_unreadable")),
        3: order_line("D2", "99999999.999", "2.00")}),
    "orders_no_such_date.csv": Case({
        2: (("N1", "2025-02-30", "1.00"), null("order_date_unreadable")),
        3: order("N2", "2024-02-29", "2024-02-29 00:00:00")}),
    "orders_day_first.csv": Case({
        2: (("F1", "31.12.2025", "1.00"), null("order_date_unreadable")),
        3: order("F2", "2025-12-31", "2025-12-31 00:00:00")}),
    "orders_first_and_last_year.csv": Case({
        2: order("Y1", "0001-01-01", "0001-01-01 00:00:00"),
        3: order("Y2", "9999-12-31T23:59:59", "9999-12-31 23:59:59")}),
    "orders_year_10000.csv": Case({
        2: (("T1", "9999-12-31T23:30:00-05:00", "1.00"), null("order_date_unreadable")),
        3: order("T2", "9999-12-31T18:30:00-05:00", "9999-12-31 23:30:00")}),
    "orders_year_0.csv": Case({
        2: (("Z1", "0000-01-01", "1.00"), null("order_date_unreadable")),
        3: order("Z2", "2025-01-01", "2025-01-01 00:00:00")}),
    "orders_time_zones.csv": Case({
        2: order("Z3", "2025-01-02T01:30:00+05:30", "2025-01-01 20:00:00"),
        3: order("Z4", "2025-01-01T23:30:00-02:00", "2025-01-02 01:30:00"),
        4: order("Z5", "2025-01-01 12:00:00Z", "2025-01-01 12:00:00")}),
    "orders_largest_amount.csv": Case({
        2: order("A1", "2025-01-01", "2025-01-01 00:00:00", "9999999999999.99"),
        3: order("A2", "2025-01-01", "2025-01-01 00:00:00", "0.29")}),
    "orders_without_customer.csv": Case({2: order("W1", "2025-03-01", "2025-03-01 00:00:00")}),
    "order_lines_without_parents.csv": Case({
        2: order_line("O1", "1", "2.00"), 3: order_line("O2", "1", "2.00")}),
    "payments_without_order.csv": Case({2: order("W1", "2025-03-01", "2025-03-01 00:00:00")}),
}


def zip_bytes() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("notes.md", "# Notes")
    return buffer.getvalue()


MADE["products_zip.csv"] = zip_bytes()
# What the message names besides the file.
REFUSED = {
    "products_missing_column.csv": "line 1: .*'unit_price' .*'unitprice'",
    "products_duplicate_column.csv": "line 1: .*'unit_price' 2 times",
    "products_empty.csv": "empty",
    "products_html.csv": "web page",
    "products_zip.csv": "the header lacks",
    "products_cut_short.csv.gz": "cut short",
    "customers_cp1251.csv": "values would look like 'Èâàí'.* cp1251: 'Иван'.*`encoding: cp1251` in data",
    "orders_another_header.csv": "line 3: another header",
}


def deliver(shop: Shop, *names: str) -> None:
    shop.source.mkdir(exist_ok=True)
    for name in names:
        if name in MADE:
            (shop.source / name).write_bytes(MADE[name])
        else:
            shutil.copy(CORPUS / name, shop.source / name)


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, patch) -> tuple[Shop, RunResult]:
    """A shop to which every case was delivered, after its run; for reading only."""
    shop = Shop(tmp_path_factory.mktemp("corpus"))
    deliver(shop, *CASES)
    return shop, in_process.run(shop, patch)


def test_every_file_of_the_corpus_has_a_case():
    assert sorted([*CASES, *REFUSED]) == sorted([*MADE, *(path.name for path in CORPUS.iterdir())])


def lines_of(shop: Shop, name: str) -> dict[int, tuple]:
    """Return what became of a delivery's lines, as in a case, without duplicates."""
    source = SOURCES[source_of(name)]
    in_raw, in_curated = (", ".join(columns) for columns in SHOWN[source.name])
    found = {}
    for row_id, line, *row in shop.query(
            "raw", f"select row_id, source_row, {in_raw} from {source.name} where source_filename = ?", name):
        table = TABLES[source.name]
        loaded = shop.query("curated", f"select {in_curated} from {table} where {source.key} = ?", row[0])
        [fate] = loaded or shop.query(
            "curated", "select rule from quarantine where table_name = ? and raw_row_id = ?", table, row_id)
        found[line] = (tuple(row), fate if loaded else fate[0])
    rejected = shop.query("raw", "select source_row, rule, reason, raw_text from quarantine "
                                 "where source_filename = ?", name)
    return found | {line: tuple(rest) for line, *rest in rejected}


@pytest.mark.parametrize("name", CASES)
def test_every_line_of_a_file_becomes_what_it_should(name: str, corpus: tuple[Shop, RunResult]):
    shop, result = corpus
    case = CASES[name]
    assert lines_of(shop, name) == {line: fate for line, fate in case.lines.items() if fate}
    warnings = [line.removeprefix(f"{name}: ") for line in result.warnings() if line.startswith(name)]
    assert tuple(warnings) == case.warnings


@pytest.mark.parametrize("name", CASES)
def test_no_row_of_a_file_is_lost_or_counted_twice(name: str, corpus: tuple[Shop, RunResult]):
    check_conservation(corpus[0], name, rows=len(CASES[name].lines))


def check_conservation(shop: Shop, name: str, rows: int) -> None:
    """Check that the counts of a file add up, and that each appended row is in curated or in its
    quarantine."""
    [counts] = shop.query("raw", "select rows, appended, unchanged, duplicates, quarantined from deliveries "
                                 "where source_filename = ?", name)
    assert counts[0] == rows == sum(counts[1:])
    [appended] = shop.query("raw", f"select count(*) from {source_of(name)} where source_filename = ?", name)
    [refused] = shop.query("raw", "select count(*) from quarantine where source_filename = ?", name)
    assert (*appended, *refused) == (counts[1], counts[4])
    source = SOURCES[source_of(name)]
    for row_id, key in shop.query(
            "raw", f"select row_id, {source.key} from {source.name} where source_filename = ?", name):
        loaded = shop.query("curated", f"select 1 from {TABLES[source.name]} where {source.key} = ?",
                            key.strip())
        quarantined = shop.query("curated", "select 1 from quarantine where source_name = ? "
                                            "and raw_row_id = ?", source.name, row_id)
        assert len(loaded) + len(quarantined) == 1, key


def test_every_step_accounts_for_every_row_that_it_read(corpus: tuple[Shop, RunResult]):
    fates = ("added", "changed", "unchanged", "duplicates", "quarantined")
    for step in corpus[1].steps:
        for table, count in step.record["tables"].items():
            assert count["read"] == sum(count[fate] for fate in fates), table


def test_an_extra_column_is_in_raw_and_nowhere_else(corpus: tuple[Shop, RunResult]):
    shop = corpus[0]
    wrapped = "select gift_wrap from products where product_id in ('X1', 'X2') order by 1"
    assert shop.query("raw", wrapped) == [(None,), ("yes",)]
    for layer in ("curated", "gold"):
        assert shop.query(layer, "select sql from sqlite_schema where sql like '%gift_wrap%'") == []


def test_a_quarantined_row_is_kept_as_it_was_delivered(corpus: tuple[Shop, RunResult]):
    [(*row, reason)] = corpus[0].query(
        "curated", "select source_name, source_filename, source_row, record_key, raw_text, reason "
        "from quarantine where record_key = 'C1' and source_name = 'order_lines'")
    assert row == ["order_lines", "order_lines_decimal_comma.csv", 2, "C1",
                   '{"order_line_id":"C1","order_id":"O1","product_id":"P1","quantity":"1,5","unit_price":"2.00",'
                   '"discount_amount":null}']
    assert re.search("quantity .*number .*three decimals", reason)


def test_a_digest_is_that_of_what_is_stored(corpus: tuple[Shop, RunResult]):
    shop = corpus[0]
    with open_layer(shop.warehouse, "curated") as layer:
        for table in TABLES.values():
            columns = [name for name in layer.schema(table).names
                       if name not in ("row_id", "batch_id", "process_name", "transformation_timestamp")]
            recorded = layer.scalar(
                "select digest from layer_commits where table_name = ? order by commit_id desc", (table,))
            assert recorded == digest.of_rows(layer.read(table, columns), columns)


def test_orphans_are_loaded_and_heal_when_their_parents_arrive(corpus: tuple[Shop, RunResult], tmp_path: Path,
                                                               patch):
    shutil.copytree(corpus[0].folder, tmp_path / "later")
    shop = Shop(tmp_path / "later")
    wide = ("select order_date, product_name, order_paid_amount from reporting_sales_wide "
            "where order_line_id in ('O1', 'O2') order by order_line_id")
    customer = ("select first_name, lifetime_value from reporting_customer_stats "
                "where customer_id = 'NO-CUSTOMER'")
    assert shop.query("gold", wide) == [(None, None, 1.0), ("2025-01-01", None, 0.0)]
    assert shop.query("gold", customer) == [(None, 1.0)]
    shop.deliver("orders_parents.csv", header_of("orders"), "NO-ORDER,C1,2025-03-02,,2.00,")
    shop.deliver("products_parents.csv", PRODUCTS.strip(), "NO-PRODUCT,Jug,,,,1.00,", "P1,Bowl,,,,1.00,")
    shop.deliver("customers_parents.csv", header_of("customers"), "NO-CUSTOMER,Ann,Lee,,,,,,")
    in_process.run(shop, patch)
    assert shop.query("gold", wide) == [("2025-03-02", "Bowl", 1.0), ("2025-01-01", "Jug", 0.0)]
    assert shop.query("gold", customer) == [("Ann", 1.0)]


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_read_is_named_and_nothing_is_written(name: str, tmp_path: Path, patch):
    shop = Shop(tmp_path)
    deliver(shop, name, "products_extra_column.csv")
    with pytest.raises(AssertionError, match=rf"^{re.escape(str(shop.source / name))}\b.* {REFUSED[name]}"):
        in_process.run(shop, patch, all_or_nothing=True)
    for layer in ("raw", "curated", "gold"):
        path = shop.warehouse / f"{layer}.db"
        assert not path.exists() or shop.query(layer, "select name from sqlite_schema") == []


HOSTILE_NAMES = ["products_'; drop table products; --.csv", 'products_"x\' or 1=1.csv',
                 "products_..\\..\\etc%2f..%2f.csv", "products/a..;$(touch x)`id`|.csv"]


def test_names_of_files_and_columns_are_text_and_stay_in_their_folders(tmp_path: Path, patch):
    shop = Shop(tmp_path / "shop")
    columns = ['x" text); drop table products; --', "../../etc/passwd", "select", "rowid", "a;b'c", "key"]
    header = ",".join([PRODUCTS.strip(), *(f'"{name.replace(chr(34), chr(34) * 2)}"' for name in columns)])
    for number, name in enumerate(HOSTILE_NAMES):
        shop.deliver(name, header, f"P{number},Cup,,,,1.50,,1,2,3,4,5,6")
    in_process.run(shop, patch)
    shop.deliver(HOSTILE_NAMES[0], header, "P0,Cup,,,,1.60,,1,2,3,4,5,7", "P9,Pot,,,,2.00,,1,2,3,4,5,6")
    in_process.run(shop, patch)
    rows = shop.query("raw", "select source_filename, product_id, unit_price from products order by row_id")
    assert rows == [*((name, f"P{HOSTILE_NAMES.index(name)}", "1.50") for name in sorted(HOSTILE_NAMES)),
                    (HOSTILE_NAMES[0], "P0", "1.60"), (HOSTILE_NAMES[0], "P9", "2.00")]
    assert [name for (name,) in shop.query("raw", "select name from pragma_table_info('products')")][-6:] == [
        'x"_text);_drop_table_products;_', "../../etc/passwd", "select", "rowid", "a;b'c", "key"]
    assert shop.query("curated", "select product_id, unit_price from dim_products order by 1") == [
        ("P0", 1.6), ("P1", 1.5), ("P2", 1.5), ("P3", 1.5), ("P9", 2.0)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shop"]
    assert sorted(path.name for path in shop.folder.iterdir()) == ["reports", "source", "warehouse"]


def test_a_file_whose_name_is_not_text_waits_until_it_is_renamed(tmp_path: Path, patch):
    shop = Shop(tmp_path)
    deliver(shop, "products_extra_column.csv")
    path = shop.source / os.fsdecode(b"products_caf\xe9.csv")
    path.write_text(PRODUCTS + "N1,Cup,,,,1.50,\n")
    result = in_process.run(shop, patch)
    [warning] = [line for line in result.warnings() if line.startswith(r"products_caf\xe9.csv: ")]
    assert "not UTF-8" in warning and "rename it" in warning
    assert shop.counts("raw", "products", "deliveries") == [2, 1]
    path.rename(shop.source / "products_café.csv")
    in_process.run(shop, patch)
    assert shop.counts("raw", "products", "deliveries") == [3, 2]


BY_COMMAND = ["products_cp1252.csv", "products_semicolons.csv", "products_unclosed_quote.csv",
              "customers_null_words.csv", "order_lines_decimal_comma.csv", "orders_time_zones.csv"]


def test_the_command_does_the_same_and_reports_it(tmp_path: Path, warm: WarmRuns):
    shop = Shop(tmp_path)
    deliver(shop, *BY_COMMAND)
    done = warm.run(shop)
    assert done.stderr == ""
    for name in BY_COMMAND:
        assert lines_of(shop, name) == CASES[name].lines
        check_conservation(shop, name, rows=len(CASES[name].lines))
        for warning in CASES[name].warnings:
            assert f"{name}: {warning}" in done.stdout
    assert re.search("1/4 raw +12 rows read +11 added +0 changed +0 removed +1 quarantined", done.stdout)
    for words in (
            r"fact_order_lines: 1 of 2 rows, such as '1,5', which looks like a decimal comma.* "
            r"\(.*\.csv, line 2, order_line_id '.*'\): quantity .*number.*\(.*quantity_unreadable\)",
            r"fact_orders: 2 of 3 rows, such as '2025-01-02T01:30:00\+05:30' \(.*\), "
            r"'2025-01-01T23:30:00-02:00' \(.*\): .*order_date .*offset from UTC.*\(.*order_date_zoned\)",
            r"customers: NULL was read as .*: first_name in 1 row \(first: .*_null_words\.csv, line 2\)"):
        assert re.search(words, done.stdout)


# Cells as people and programs write them. Half of them are good: two bad cells in one row could hide each
# other.
texts = st.text(st.sampled_from("aZ0,;\"'\n\r\t \u00a0é😀\u202e\u2028\x85=<>\\"), max_size=6)
amounts = st.one_of(st.decimals(0, 10**4, places=2), st.decimals(-10**13, 10**13, places=2),
                    st.decimals(-9, 9, places=3))
number_formats = st.sampled_from(
    ["{:,}", "€ {}", "{} kg", "+{}", "--{}", "{}.", "{:e}", "0{}", "{}%", "({})"])
spoiled_numbers = st.one_of(
    st.builds(str.format, number_formats, amounts),
    st.builds(str.replace, amounts.map(str), st.just("."), st.sampled_from([",", " ", "..", "\u066b"])),
    st.integers(-10**20, 10**20).map(str),
    st.sampled_from(["NaN", "inf", "1e400", "5e3", "0x1F", "1_000", "٣", "-0", ".5"]), texts)
numbers = st.one_of(st.decimals(0, 10**4, places=2).map(str), st.one_of(amounts.map(str), spoiled_numbers))
years = st.sampled_from([0, 1, 1582, 1900, 2024, 2025, 9999])
days = st.builds("{:04}-{:02}-{:02}".format, years, st.integers(0, 13), st.integers(0, 32))
times = st.builds("{}{:02}:{:02}{}{}".format, st.sampled_from("T "), st.integers(0, 24), st.integers(0, 60),
                  st.sampled_from(["", ":00", ":59", ":60", ":07.5"]),
                  st.sampled_from(["", "Z", "z", "+05:30", "-0500", "+24:00"]))
edges = st.sampled_from(["9999-12-31T23:30-05:00", "0001-01-01T00:30+05:00", "0000-01-01", "0001-01-01",
                         "9999-12-31", "2025-02-29"])
day_first = st.builds("{2}.{1}.{0}".format, *[st.integers(1, 30)] * 3)
dates = st.one_of(
    st.dates().map(str), st.one_of(days, st.builds("{}{}".format, days, times), edges, texts, day_first))
dirty = {
    "orders": {"order_date": dates, "channel": texts, "total_amount": numbers},
    "order_lines": {"quantity": numbers, "unit_price": numbers, "discount_amount": numbers},
}
UNREADABLE = object()


def number(text: str, places: int) -> Decimal | object | None:
    """Read a number exactly: digits, a point and at most `places` decimals, not counting zeros at the end.

    None where there is no text.
    """
    text = "" if text in MARKERS else text
    decimals = rf"\.[0-9]{{1,{places}}}0*"
    plain = re.fullmatch(rf"[+-]?([0-9]+({decimals})?|{decimals})", text)
    return Decimal(text) if plain else UNREADABLE if text else None


def moment(text: str) -> str | object | None:
    """Read an ISO 8601 date or timestamp, in UTC."""
    time = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?"
    if not re.fullmatch(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([T ]{time})?", text):
        return UNREADABLE if text else None
    try:
        read = datetime.fromisoformat(text.upper())
        in_utc = (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
        return in_utc.replace(tzinfo=None, microsecond=0).isoformat(" ")
    except (ValueError, OverflowError):  # there is no such day, or not in UTC
        return UNREADABLE


def may_pass(values: dict) -> bool:
    """Return whether a row may be in curated.

    All of it must be readable, nothing required may be missing, no price negative and no amount above 10^12.
    """
    required = [values[name] for name in ("order_timestamp", "quantity", "unit_price") if name in values]
    if UNREADABLE in values.values() or None in required:
        return False
    if (values.get("unit_price") or 0) < 0:
        return False
    return "quantity" not in values or abs(float(values["quantity"]) * float(values["unit_price"])) <= 1e12


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(data=st.data())
def test_any_text_in_a_cell_is_loaded_exactly_or_quarantined(data: st.DataObject):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        shop = Shop(Path(folder))
        shop.source.mkdir()
        delivered = {}
        for source, cells in dirty.items():
            rows = data.draw(st.lists(st.fixed_dictionaries(cells), min_size=1, max_size=30))
            filler = dict.fromkeys(SOURCES[source].column_names, "X")
            delivered[source] = [filler | {SOURCES[source].key: f"K{number}"} | row
                                 for number, row in enumerate(rows)]
            with (shop.source / f"{source}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, SOURCES[source].column_names, quoting=csv.QUOTE_ALL)
                writer.writeheader()
                writer.writerows(delivered[source])
        in_process.run(shop, patch, steps=("raw", "facts"), quarantine_limit=1.0)
        for source, rows in delivered.items():
            check_conservation(shop, f"{source}.csv", rows=len(rows))
            names = SOURCES[source].column_names
            assert shop.query("raw", f"select {', '.join(names)} from {source} order by row_id") == [
                tuple(row[name] or None for name in names) for row in rows]
            for row in rows:
                check_row(shop, source, row)


def check_row(shop: Shop, source: str, row: dict[str, str]) -> None:
    """Check that a loaded row has the delivered values, and that a row that may pass was loaded."""
    if source == "orders":
        expected = {"order_timestamp": moment(row["order_date"].strip()),
                    "total_amount": number(row["total_amount"].strip(), 2)}
    else:
        expected = {"quantity": number(row["quantity"].strip(), 3),
                    "unit_price": number(row["unit_price"].strip(), 6),
                    "discount_amount": number(row["discount_amount"].strip(), 2)}
    key = SOURCES[source].key
    found = shop.query("curated", f"select {', '.join(expected)} from {TABLES[source]} where {key} = ?",
                       row[key])
    if found:
        assert may_pass(expected), row
        loaded = [Decimal(repr(value)) if isinstance(value, float) else value for value in found[0]]
        assert loaded == [0 if value is None and name == "discount_amount" else value
                          for name, value in expected.items()], row
    else:
        numbers_read = [value for value in expected.values() if isinstance(value, Decimal)]
        has_huge_number = any(abs(value) >= 10**11 for value in numbers_read)
        assert has_huge_number or not may_pass(expected), row
