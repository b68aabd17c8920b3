"""What `adopt` proposes for exports that nobody has declared loads once its questions are answered."""

import csv
import gzip
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import in_process
import pytest
import xlsxwriter
from commands import refused
from conftest import PROJECT, Shop

import lib.systems
from lib.adopt.adopt import Adoption, adopt, check_name, save
from lib.adopt.preview import read_text
from lib.contract import Shop as ShopDeclaration
from lib.declarations import DeclarationError
from lib.errors import PipelineError, UsageError

# What the shop's own declarations of the excel files say about the sample's order B2: 2 × 48 + 1 × 25 - 2.50.
ORDERS_DE = [
    ("B1", "person09", "28.01.2026 13:55", "Web", "21,50 €", "geliefert"),
    ("B2", "", "03.02.2026 06:02", "Web", "1.118,50 €", "storniert"),
    ("B3", "person04", "04.02.2026 00:31", "Laden", "48,00 €", "offen")]
LINES_DE = [
    ("B1", "1", "SKU-006", "1,000", "14,00", "0,00"), ("B2", "1", "SKU-002", "2,000", "548,00", "0,00"),
    ("B2", "2", "SKU-008", "1,000", "25,00", "2,50"), ("B3", "1", "SKU-002", "1,000", "48,00", "0,00")]


def write(path: Path, header: Sequence, rows: Sequence, delimiter: str = ",", encoding: str = "utf-8",
          above: str = "", below: str = "") -> Path:
    """Write a table with lines above and below it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding=encoding) as file:
        file.write(above)
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
        file.write(below)
    return path


def write_excel_de(folder: Path) -> Path:
    dialect = {"delimiter": ";", "encoding": "cp1252"}
    write(folder / "Kunden.csv", ["Kunden-Nr.", "Vorname", "Nachname", "E-Mail", "Ort"], [
        ("person09", "Bo", "Ek", "person09@example.com", "Umeå"),
        ("person04", "José", "Prieto", "person04@example.com", "Cádiz")], **dialect)
    write(folder / "Artikel.csv", ["Artikel-Nr.", "Bezeichnung", "Warengruppe", "Listenpreis"], [
        ("SKU-002", 'Teapot "Aiko"', "Kitchen", "48,00"), ("SKU-006", "Candle", "Home", "14,00"),
        ("SKU-008", "Gift card", "Gift", "25,00")], **dialect)
    write(folder / "Bestellungen_Q1.csv", ["Bestell-Nr.", "Kunden-Nr.", "Bestelldatum", "Kanal",
                                           "Gesamtbetrag",
                                           "Status"], ORDERS_DE, **dialect,
          above="sep=;\r\nBestellungen 1. Quartal\r\n\r\n", below="Summe;;;;1.188,00 €;\r\n")
    write(folder / "Positionen_Q1.csv", ["Bestell-Nr.", "Pos.", "Artikel-Nr.", "Menge", "Einzelpreis",
                                         "Rabatt"],
          LINES_DE, **dialect)
    return folder


def write_uci(folder: Path, first: datetime = datetime(2010, 12, 1, 8, 26)) -> Path:
    """Thirty invoices of two lines, on days that show which comes first."""
    rows = []
    for number in range(30):
        moment = first + timedelta(days=number, minutes=7 * number)
        for item in (1, 2):
            rows.append([536365 + number, f"8512{item}A", f"ITEM {item}", item,
                         f"{moment.month}/{moment.day}/{moment.year} {moment.hour}:{moment.minute:02}",
                         "2.55",
                         17850 if number % 3 else "", "United Kingdom"])
    write(folder / "data.csv", ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate",
                                "UnitPrice",
                                "CustomerID", "Country"], rows)
    return folder


def write_olist(folder: Path) -> Path:
    keys = [f"{number:032x}" for number in range(1, 5)]
    moments = [f"2017-10-0{number} 10:56:33" for number in range(1, 5)]
    write(folder / "olist_customers_dataset.csv",
          ["customer_id", "customer_unique_id", "customer_zip_code_prefix", "customer_city",
           "customer_state"],
          [(f"c{key}", f"u{key}", "14409", "franca", "SP") for key in keys])
    write(folder / "olist_orders_dataset.csv",
          ["order_id", "customer_id", "order_status", "order_purchase_timestamp", "order_approved_at",
           "order_delivered_carrier_date", "order_delivered_customer_date", "order_estimated_delivery_date"],
          [(key, f"c{key}", status, moment, moment, "", "", "2017-10-18 00:00:00") for key, moment, status in
           zip(keys, moments, ["delivered", "shipped", "canceled", "delivered"], strict=True)])
    write(folder / "olist_order_items_dataset.csv",
          ["order_id", "order_item_id", "product_id", "seller_id", "shipping_limit_date", "price",
           "freight_value"],
          [(key, item, f"p{item}", "s1", "2017-10-06 11:07:15", "58.90", "13.29") for key in keys
           for item in (1, 2)])
    write(folder / "olist_order_payments_dataset.csv",
          ["order_id", "payment_sequential", "payment_type", "payment_installments", "payment_value"],
          [(key, number, "voucher", 1, "72.19") for key in keys for number in (1, 2)])
    write(folder / "olist_products_dataset.csv",
          ["product_id", "product_category_name", "product_name_lenght", "product_photos_qty"],
          [("p1", "perfumaria", 40, 1), ("p2", "artes", 44, 1)])
    return folder


def write_northwind(folder: Path) -> Path:
    write(folder / "Customers.csv", ["CustomerID", "CompanyName", "ContactName", "ContactTitle", "Address",
                                     "City",
                                     "Region", "PostalCode", "Country", "Phone", "Fax"], [
        ("ALFKI", "Alfreds Futterkiste", "Maria Anders", "Owner", "Obere Str. 57", "Berlin", "", "12209",
         "Germany",
         "030-0074321", ""),
        ("AROUT", "Around the Horn", "Thomas Hardy", "Agent", "120 Hanover Sq.", "London", "", "WA1 1DP",
         "UK",
         "(171) 555-7788", "")])
    write(folder / "Products.csv", ["ProductID", "ProductName", "SupplierID", "CategoryID", "QuantityPerUnit",
                                    "UnitPrice", "UnitsInStock"], [
        (11, "Chai", 1, 1, "10 boxes x 20 bags", "18.0000", 39), (42, "Chang", 1, 1, "24 bottles",
                                                                  "19.0000", 17)])
    write(folder / "Orders.csv", ["OrderID", "CustomerID", "EmployeeID", "OrderDate", "RequiredDate",
                                  "ShipVia",
                                  "Freight", "ShipName", "ShipCity", "ShipCountry"], [
        (10248, "ALFKI", 5, "1996-07-04 00:00:00.000", "1996-08-01 00:00:00.000", 3, "32.38", "V", "Reims",
         "France"),
        (10249, "AROUT", 6, "1996-07-05 00:00:00.000", "1996-08-16 00:00:00.000", 1, "11.61", "T", "Ulm",
         "Germany")])
    write(folder / "Order Details.csv", ["OrderID", "ProductID", "UnitPrice", "Quantity", "Discount"], [
        (10248, 11, "14.0000", 12, "0"), (10248, 42, "9.8000", 10, "0.15"), (10249, 11, "18.6000", 9,
                                                                             "0.05")])
    return folder


def answered(adoption: Adoption, **choices: str) -> str:
    """Return a declaration in which a person has chosen, by property, the line that begins so."""
    text = adoption.text
    for name, choice in choices.items():
        marked = rf"(?m)^( *{name}:\n(?: *# choose: .*\n)*? *)# choose: (?={re.escape(choice)})"
        text, made = re.subn(marked, r"\1",
                             text)
        assert made == 1, text
    return text


def shown(adoption: Adoption) -> str:
    return "\n".join(adoption.lines)


def deleted(text: str, name: str) -> str:
    """Return a declaration without a property and its choices."""
    return re.sub(rf"(?m)^( *){name}:\n(?: *# choose: .*\n)+", "", text)


@pytest.fixture
def declared(tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """A folder of declarations in place of the project's own."""
    folder = tmp_path / "systems"
    folder.mkdir()
    monkeypatch.setattr(lib.systems, "SYSTEMS", folder)
    lib.systems.systems.cache_clear()
    yield folder
    lib.systems.systems.cache_clear()


def load(tmp_path: Path, declared: Path, monkeypatch, files: Path, text: str) -> Shop:
    """Run the pipeline on files, in the form that is declared."""
    (declared / "my_shop.yaml").write_text(text, encoding="utf-8")
    lib.systems.systems.cache_clear()
    shop = Shop(tmp_path / "shop")
    shop.folder.mkdir()
    files.rename(shop.source)
    in_process.run(shop, monkeypatch)
    return shop


def counts(shop: Shop) -> list[int]:
    return shop.counts("curated", "dim_customers", "dim_products", "fact_orders", "fact_order_lines",
                       "fact_payments")


# What is asked, and what the answers load

def test_german_excel_files_load_after_the_time_zone_is_chosen(tmp_path: Path, declared: Path, monkeypatch):
    folder = write_excel_de(tmp_path / "export")
    found = adopt([folder])
    assert found.text.count("# choose: ") == 2  # both of the one question
    shop = load(tmp_path, declared, monkeypatch, folder, answered(found, timezone='"Europe/Berlin"'))
    assert counts(shop) == [2, 3, 3, 4, 0]
    days = shop.query("curated",
                      "select order_id, order_date, total_amount, status from fact_orders order by 1")
    assert days == [
        ("B1", "2026-01-28", 21.5, "DELIVERED"), ("B2", "2026-02-03", 1118.5, "CANCELLED"),
        ("B3", "2026-02-03", 48.0, "PLACED")]  # half past midnight in Berlin is the day before in UTC
    assert shop.query("curated", "select order_line_id, quantity, unit_price, discount_amount "
                                 "from fact_order_lines where order_id = 'B2' order by 1") == [
        ("B2/1", 2.0, 548.0, 0.0), ("B2/2", 1.0, 25.0, 2.5)]


def test_one_file_with_a_row_for_each_item_is_split(tmp_path: Path, declared: Path, monkeypatch):
    folder = write_uci(tmp_path / "export")
    found = adopt([folder])
    assert 'dates: ["%m/%d/%Y %H:%M"]' in found.text
    shop = load(tmp_path, declared, monkeypatch, folder, answered(found, timezone='"UTC"'))
    assert counts(shop) == [1, 2, 30, 60, 0]
    assert shop.query("curated",
                      "select order_date, customer_id from fact_orders where order_id = '536366'") == [
        ("2010-12-02", "17850")]


def test_olist_loads_after_quantity_payments_and_time_zone_are_answered(tmp_path: Path, declared: Path,
                                                                       monkeypatch):
    folder = write_olist(tmp_path / "export")
    found = adopt([folder])
    assert found.questions == 3
    text = answered(found, quantity='"1"', payment_status='"SUCCESS"', timezone='"UTC"')
    shop = load(tmp_path, declared, monkeypatch, folder, text)
    assert counts(shop) == [4, 2, 4, 8, 8]
    assert shop.query("curated", "select distinct quantity, unit_price from fact_order_lines") == [(1.0,
                                                                                                    58.9)]
    assert shop.query("curated", "select status from fact_orders order by order_id") == [
        ("DELIVERED",), ("SHIPPED",), ("CANCELLED",), ("DELIVERED",)]


def test_northwind_asks_whether_discounts_are_amounts_and_loads_without_them(tmp_path: Path, declared: Path,
                                                                            monkeypatch):
    folder = write_northwind(tmp_path / "export")
    found = adopt([folder])
    assert found.questions == 1  # midnight is no moment whose time zone matters
    shop = load(tmp_path, declared, monkeypatch, folder, deleted(found.text, "discount_amount"))
    assert counts(shop) == [2, 2, 2, 3, 0]
    assert shop.query("curated", "select first_name, last_name from dim_customers order by 1") == [
        ("Maria", "Anders"), ("Thomas", "Hardy")]


def test_a_workbook_with_a_sheet_for_each_source_loads(tmp_path: Path, declared: Path, monkeypatch):
    folder = tmp_path / "export"
    folder.mkdir()
    with xlsxwriter.Workbook(folder / "shop 2026.xlsx") as book:
        for name, rows in (("Orders", [("Order no.", "Date", "Client", "Total"), ("A1", "2026-01-31", "C1",
                                                                                  20.5),
                                       ("A2", "2026-02-01", "C2", 4.0)]),
                           ("Order items", [("Order no.", "Item no.", "Qty", "Price"), ("A1", "P1", 2, 10.25),
                                            ("A2", "P2", 1, 4.0)])):
            sheet = book.add_worksheet(name)
            for place, row in enumerate(rows):
                sheet.write_row(place, 0, row)
    found = adopt([folder])
    assert found.questions == 0
    shop = load(tmp_path, declared, monkeypatch, folder, found.text)
    assert counts(shop) == [2, 2, 2, 2, 0]


# Nothing is guessed

def test_dates_that_may_be_either_are_asked_and_a_run_refuses_until_one_is_chosen(tmp_path: Path):
    rows = [(f"A{day}", f"0{day}/0{day + 1}/2026", "P1", 1, "2.50") for day in range(1, 8)]
    header = ["Order", "Date", "SKU", "Qty", "Price"]
    found = adopt([write(tmp_path / "sales.csv", header, rows)])
    assert found.questions == 1
    assert "all 7 different dates of 'Date', such as 01/02/2026, can be read with the day" in shown(found)
    with pytest.raises(DeclarationError, match=r"line \d+: 'dates' is not decided\. Choose one of "
                                               r'\["%d/%m/%Y"\]  # day first or \["%m/%d/%Y"\]  # month'):
        read_text("my_shop", found.text)
    assert read_text("my_shop", answered(found, dates='["%m/%d/%Y"]')).dates == ("%m/%d/%Y",)


def test_one_date_that_only_one_pattern_reads_decides_for_all(tmp_path: Path):
    rows = [(f"A{day}", f"{day:02}/04/2026", "P1", 1, "2.50") for day in (*range(1, 13), 27)]
    found = adopt([write(tmp_path / "sales.csv", ["Order", "Date", "SKU", "Qty", "Price"], rows)])
    assert found.questions == 0
    assert "01/04/2026 and 11 others can be either; 27/04/2026 only day first: `%d/%m/%Y`" in shown(found)


def test_a_number_that_may_have_thousands_or_decimals_is_asked(tmp_path: Path):
    rows = [(f"A{day}", "2026-01-31", "P1", 1, "1,500") for day in range(5)]
    found = adopt([write(tmp_path / "sales.csv", ["Order", "Date", "SKU", "Qty", "Price"], rows)])
    assert found.questions == 1
    system = read_text("my_shop", answered(found, decimal='"."', grouping='","'))
    assert (system.decimal, system.grouping) == (".", ",")


def test_two_columns_that_may_both_be_the_total_are_asked_if_they_differ(tmp_path: Path):
    rows = [(f"A{day}", "2026-01-31", f"{day}.50", f"{day}.00") for day in range(1, 5)]
    path = write(tmp_path / "orders export.csv", ["Order", "Date", "Total", "Order total"], rows)
    found = adopt([path])
    assert found.questions == 1
    assert "'Order total' and 'Total' of orders export.csv could both be total_amount" in shown(found)
    write(path, ["Order", "Date", "Total", "Order total"], [(*row[:3], row[2]) for row in rows])
    assert adopt([path]).questions == 0


def test_a_required_column_that_no_name_says_is_asked_with_the_columns_that_may_be_it(tmp_path: Path):
    rows = [(f"A{day}", "2026-01-31", "P1", 1, "2.50", "7.10") for day in range(1, 5)]
    found = adopt([write(tmp_path / "sales.csv", ["Order", "Date", "SKU", "Qty", "Foo", "Bar"], rows)])
    choices = '      unit_price:\n        # choose: "{Foo}"  # such as 2.50\n        # choose: "{Bar}"'
    assert choices in found.text


def test_amounts_in_a_currency_that_the_shop_does_not_declare_are_asked(tmp_path: Path, monkeypatch):
    rows = [(f"A{day}", "2026-01-31", "P1", 1, "2,50 €") for day in range(1, 5)]
    path = write(tmp_path / "sales.csv", ["Order", "Date", "SKU", "Qty", "Price"], rows, delimiter=";")
    found = adopt([path])
    assert found.questions == 1
    assert "Is EUR the shop's currency? Set currency there. (data/contract/shop.yaml)" in shown(found)
    monkeypatch.setattr("lib.adopt.proposal.SHOP", ShopDeclaration(currency="EUR"))
    assert adopt([path]).questions == 0


def test_moments_without_an_offset_are_those_of_a_shop_that_declares_its_time_zone(tmp_path: Path,
                                                                                   monkeypatch):
    monkeypatch.setattr("lib.adopt.proposal.SHOP", ShopDeclaration(timezone="Europe/London"))
    found = adopt([write_uci(tmp_path / "export")])
    assert (found.questions, "timezone" in found.text) == (0, False)


def test_an_encoding_that_can_only_be_guessed_is_asked(tmp_path: Path):
    people = ["Анна Иванова", "Борис Петров", "Дмитрий Смирнов", "Екатерина Кузнецова", "Жанна Соколова"]
    path = write(tmp_path / "clients.csv", ["Client no.", "Name", "City"],
                 [(f"C{number}", name, "Москва") for number, name in enumerate(people)], encoding="cp1251")
    found = adopt([path])
    assert 'encoding:\n  # choose: "cp1251"' in found.text
    assert read_text("my_shop", answered(found, encoding='"cp1251"')).encoding == "cp1251"


# What is already known

PRESETS = {
    "shopify": ("orders_export_1.csv", ["Name", "Email", "Financial Status", "Paid at", "Currency", "Total",
                                        "Created at", "Lineitem quantity", "Lineitem name", "Lineitem price",
                                        "Lineitem sku"],
                ["#1001", "a@example.com", "paid", "", "USD", "5.00", "2026-03-05 23:55:00 -0500", "1",
                 "Cup", "5.00",
                 "S1"]),
    "square": ("items-2026-05.csv", ["Date", "Time", "Time Zone", "Category", "Item", "Qty", "SKU",
                                     "Gross Sales",
                                     "Discounts", "Net Sales", "Tax", "Transaction ID", "Event Type",
                                     "Customer ID",
                                     "Customer Name"],
               ["2026-01-28", "21:44:00", "Arizona", "Bath", "Soap", "1.0", "S1", "$6.40", "-$0.64",
                "$5.76", "$0.00",
                "T1", "Payment", "p1", "Ann"]),
    "etsy": ("EtsySoldOrderItems2026-1.csv", ["Sale Date", "Item Name", "Buyer", "Quantity", "Price",
                                              "Discount Amount", "Currency", "Transaction ID", "Listing ID",
                                              "Order ID", "SKU", "Order Total"],
             ["01/28/26", "Cup", "p6", "3", "48.00", "0", "EUR", "700000010", "902", "3000000001", "S1",
              "144.00"]),
    "stripe": ("unified_payments.csv", ["id", "Created date (UTC)", "Amount", "Amount Refunded", "Currency",
                                        "Captured", "Status", "order_id (metadata)"],
               ["ch_1", "2026-01-28 11:21:00", "137.10", "0.00", "eur", "true", "Paid", "3000000001"])}


@pytest.mark.parametrize("system", PRESETS)
def test_an_export_of_a_known_system_needs_no_declaration(system: str, tmp_path: Path):
    name, header, row = PRESETS[system]
    found = adopt([write(tmp_path / name, header, [row])])
    assert (found.text, found.questions) == ("", 0)
    assert re.search(rf"{re.escape(name)}: {system} \(.*\): nothing to declare", shown(found))
    assert "Set timezone in data/contract/shop.yaml" in shown(found)


def test_the_samples_files_are_in_the_contracts_own_form():
    found = adopt([PROJECT / "data" / "source"])
    assert (found.text, found.questions) == ("", 0)
    assert any("orders, in the contract's own form" in line for line in found.lines)


def test_a_file_that_is_no_table_is_named_and_left_out(tmp_path: Path):
    folder = write_uci(tmp_path / "export")
    (folder / "notes.pdf").write_bytes(b"%PDF-1.7")
    assert "notes.pdf: left out: no table by its name" in adopt([folder]).lines
    with pytest.raises(PipelineError,
                       match=r"none of the files can be read as a table:\n  .*is a PDF, not CSV"):
        adopt([folder / "notes.pdf"])


def test_compressed_and_repeated_files_of_one_form_are_one(tmp_path: Path):
    write_uci(tmp_path / "a")
    (tmp_path / "a" / "data.csv").rename(tmp_path / "a" / "data_1.csv")
    write_uci(tmp_path / "b", datetime(2011, 6, 1, 9, 0))
    (tmp_path / "a" / "data_2.csv.gz").write_bytes(gzip.compress((tmp_path / "b" / "data.csv").read_bytes()))
    found = adopt([tmp_path / "a"])
    assert 'files: ["data*.csv", "data*.csv.gz"]' in found.text
    assert any("order_lines: 120 rows of data_1.csv, data_2.csv.gz" in line for line in found.lines)


# The command

def run(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, PROJECT / "run_pipeline.py", "adopt", *words],
                          capture_output=True, text=True)


def test_the_exit_code_says_whether_questions_are_open(tmp_path: Path):
    open_questions, decided = run(write_uci(tmp_path / "uci")), run(PROJECT / "data" / "source")
    assert (open_questions.returncode, decided.returncode) == (1, 0)
    assert "nothing was written" in open_questions.stdout
    refused(run(tmp_path / "nowhere"), "there is no file or folder", "nowhere")
    refused(run(tmp_path / "uci", "--write", "shopify"), "shopify.yaml exists already")


def test_a_saved_declaration_is_never_overwritten(tmp_path: Path):
    found = adopt([write_uci(tmp_path / "export")])
    path = check_name("my_shop", tmp_path)
    assert "Answer the questions" in "\n".join(save(found, path))
    assert path.read_text(encoding="utf-8") == found.text
    with pytest.raises(UsageError, match=r"my_shop\.yaml exists already"):
        check_name("my_shop", tmp_path)


@pytest.mark.parametrize("name", ["My Shop", "../my_shop", "", "1shop", "shop_csv"])
def test_a_name_that_cannot_be_a_systems_is_refused(name: str, tmp_path: Path):
    with pytest.raises(UsageError, match="cannot name a source system"):
        check_name(name, tmp_path)


def test_an_error_about_another_header_ends_with_the_command(tmp_path: Path, monkeypatch):
    shop = Shop(tmp_path)
    shop.deliver("orders.csv", "Auftrag,Datum", "1,2026-01-31")
    shop.deliver("verkauf.csv", "Auftrag,Datum", "1,2026-01-31")
    done = shop.run("plan", expect=1)
    assert f"python run_pipeline.py adopt {shop.source / 'orders.csv'}\n" in done.stdout
    hint = f"To read it as it is: python run_pipeline.py adopt {shop.source}\n"
    assert f"verkauf.csv: no source has such a name. {hint}" in done.stdout
