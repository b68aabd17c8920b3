"""A random form of files with its declaration, and the same rows in the contract's own form."""

import csv
import gzip
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

import xlsxwriter
import yaml
from exports import CANCELLED, GUEST, PENDING, Order

from lib.contract import SOURCES

Value = str | Decimal | datetime | None
Rows = list[dict[str, Value]]
WORDS = ["Bestell-Nr.", "Größe (cm)", "Order #", "Prix / unité", "Kunde", "Datum", "Menge", "Näme",
         "e-mail", "Netto", "Titel", "Ort", "Land", "Kanal", "Art", "Rabatt", "Summe", "Stand",
         "Zahlung", "Marke", "Code"]
DATES = ["%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p", "%d %b %Y %H:%M:%S", "%Y%m%d %H%M", "%d-%m-%y %H:%M",
         "%b %d, %Y %H:%M"]
ENCODINGS = ["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252", "iso8859-1", "mac_roman", "cp850"]
DETECTED_ENCODINGS = ("utf-8", "utf-8-sig", "utf-16")
WORKBOOK = "xlsx"
CONTAINERS = ["csv", "txt", "csv.gz", "zip", WORKBOOK]
A_FILE_FOR_EACH, FLAT, ORDERS_FIRST, FILLED_DOWN = FORMS = (
    "a file for each source", "a row for each line", "an order's columns on its first row",
    "an order's columns and its number on its first row")
FILES = {"customers": "Klanten", "products": "Waren", "orders": "Verkopen", "order_lines": "Regels",
         "payments": "Betalingen"}
COLUMNS = {
    "customers": ["customer_id", "first_name", "last_name", "email", "city"],
    "products": ["product_id", "product_name", "category", "unit_price"],
    "orders": ["order_id", "customer_id", "order_date", "channel", "total_amount", "status"],
    "order_lines": ["order_line_id", "order_id", "product_id", "quantity", "unit_price", "discount_amount"],
    "payments": ["payment_id", "order_id", "payment_date", "payment_method", "payment_status",
                 "payment_amount"]}
OF_ORDER = ("customers", "orders", "payments")  # whose columns are the same in all rows of an order
WRITTEN = {"paid": "bezahlt", "pending": "offen", "refunded": "zurück", "partly refunded": "teils zurück",
           "cancelled": "storniert"}
MEANT = {"paid": "PAID", "pending": "PLACED", "refunded": "RETURNED", "partly refunded": "COMPLETED",
         "cancelled": "CANCELLED"}


def tables_of(orders: Sequence[Order]) -> dict[str, Rows]:
    """Return orders as rows of all sources, with the COLUMNS; a status is still the order's."""
    customers = dict.fromkeys(order.customer for order in orders if order.customer != GUEST)
    products = {line.product.key: line.product for order in orders for line in order.lines}
    return {
        "customers": [{"customer_id": one.name, "first_name": one.first, "last_name": one.last or None,
                       "email": one.email, "city": one.city} for one in customers],
        "products": [{"product_id": key, "product_name": one.name, "category": one.category,
                      "unit_price": one.price} for key, one in products.items()],
        "orders": [{"order_id": f"O{order.number}", "customer_id": order.customer.name or None,
                    "order_date": order.moment, "channel": "WEB", "total_amount": order.total,
                    "status": order.status} for order in orders],
        "order_lines": [{"order_line_id": f"O{order.number}/{n}", "order_id": f"O{order.number}",
                         "product_id": line.product.key, "quantity": Decimal(line.quantity) / (1 + n % 2),
                         "unit_price": line.price + Decimal(n) / 10 ** 6, "discount_amount": line.discount}
                        for order in orders for n, line in enumerate(order.lines, start=1)],
        "payments": [{"payment_id": f"P{order.number}", "order_id": f"O{order.number}",
                      "payment_date": None if order.status in (PENDING, CANCELLED) else order.moment,
                      "payment_method": "CARD", "payment_status": "SUCCESS",
                      "payment_amount": order.received} for order in orders]}


def in_default_form(tables: dict[str, Rows]) -> dict[str, bytes]:
    """Return the tables as files that need no declaration."""
    def text(value: Value) -> str:
        if isinstance(value, datetime):
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        return "" if value is None else MEANT.get(str(value), str(value))

    files = {}
    for source, rows in tables.items():
        names = SOURCES[source].column_names
        cells = [[text(row.get(name)) for name in names] for row in rows]
        files[f"{source}.csv"] = _csv([names, *cells], ",")
    return {name: content.encode() for name, content in files.items()}


@dataclass(frozen=True)
class Dialect:
    """How files are written: their container and form, and the text of their cells."""

    container: str
    form: str
    delimiter: str
    encoding: str
    decimal: str
    grouping: str
    sign: str
    date: str
    timezone: str
    missing: str
    titles: tuple[str, ...]
    footer: str
    comment: str
    has_line_ids: bool

    def text(self, name: str, value: Value) -> str:
        if value is None:
            return self.missing
        if isinstance(value, datetime):
            return value.astimezone(ZoneInfo(self.timezone)).strftime(self.date)
        if isinstance(value, Decimal):
            text = f"{value:,f}".translate({ord(","): self.grouping, ord("."): self.decimal})
            return f"{text} {self.sign}" if self.sign and name != "quantity" else text
        return WRITTEN[value] if name == "status" else value


def random_dialect(random: Random, timezone: str) -> Dialect:
    """Return a dialect for a shop in a time zone."""
    container, decimal = random.choice(CONTAINERS), random.choice([".", ","])
    is_text = container != WORKBOOK
    return Dialect(
        container, random.choice(FORMS), random.choice([",", ";", "\t", "|"]),
        random.choice(ENCODINGS) if is_text else "utf-8", decimal,
        random.choice([one for one in ("", ".", ",", " ", "'") if one != decimal]),
        random.choice(["", "$", "kr"]), random.choice(DATES),
        random.choice(["UTC", "Asia/Kolkata", timezone]),
        random.choice(["", "-", "k. A."]), random.choice([(), ("Export of all orders", "")]),
        random.choice(["", "Gesamt:"]) if is_text else "", random.choice(["", "//"]) if is_text else "",
        random.choice([True, False]))


def in_dialect(random: Random, dialect: Dialect,
               tables: dict[str, Rows]) -> tuple[dict[str, bytes], str]:
    """Return the tables as files in a dialect, and the text of its declaration."""
    names = _random_names(random)
    if dialect.form == A_FILE_FOR_EACH:
        sheets = {FILES[source]: [_named(dialect, names, {source: row}) for row in rows]
                  for source, rows in tables.items() if rows}
    else:
        sheets = {"Alles": _flat_rows(dialect, names, tables)}
    declared = {
        "delimiter": dialect.delimiter if dialect.container != WORKBOOK else "",
        "encoding": dialect.encoding if dialect.encoding not in DETECTED_ENCODINGS else "",
        "decimal": dialect.decimal, "grouping": dialect.grouping,
        "signs": [dialect.sign] if dialect.sign else "", "dates": [dialect.date],
        "timezone": dialect.timezone, "footer": dialect.footer, "comment": dialect.comment,
        "missing": [dialect.missing] if dialect.missing else "",
        "fill_down": _names_of_orders(names) if dialect.form == FILLED_DOWN else "",
        "sources": {source: _block(dialect, names, source) for source in COLUMNS}}
    if dialect.form != A_FILE_FOR_EACH and random.random() < 0.5:  # else the header tells
        declared["files"] = "Alles*"
    known = {key: value for key, value in declared.items() if value}
    files = _packed(random, dialect, {name: _framed(random, dialect, rows) for name, rows in sheets.items()})
    return files, yaml.safe_dump(known, allow_unicode=True, sort_keys=False)


def _key(source: str, column: str) -> str:
    return f"{source}.{column}" if (source, column) == ("products", "unit_price") else column


def _random_names(random: Random) -> dict[str, str]:
    """Return a name for each column; a key has the same one in all sources."""
    keys = list(dict.fromkeys(_key(source, one) for source, columns in COLUMNS.items() for one in columns))
    words = [f"{word} {number}".removesuffix(" 0") for number in range(2) for word in WORDS]
    return dict(zip(keys, random.sample(words, len(keys)), strict=True))


def _names_of_orders(names: dict[str, str]) -> list[str]:
    """Return the names of the columns that belong to an order, first of its key."""
    return list(dict.fromkeys([names["order_id"], *(
        names[_key(source, column)] for source in OF_ORDER for column in COLUMNS[source])]))


def _named(dialect: Dialect, names: dict[str, str],
           rows: dict[str, dict[str, Value]]) -> dict[str, object]:
    """Return a row of each of some sources as one row under delivered names; a workbook keeps numbers."""
    found = {}
    for source, row in rows.items():
        for column, value in row.items():
            if column == "order_line_id" and not dialect.has_line_ids:
                continue
            is_number = dialect.container == WORKBOOK and isinstance(value, Decimal)
            found[names[_key(source, column)]] = float(value) if is_number else dialect.text(column, value)
    return found


def _flat_rows(dialect: Dialect, names: dict[str, str],
               tables: dict[str, Rows]) -> list[dict[str, object]]:
    by_key = {source: {row[SOURCES[source].key]: row for row in rows} for source, rows in tables.items()}
    payments = {row["order_id"]: row for row in tables["payments"]}
    guest = dict.fromkeys(COLUMNS["customers"])
    emptied = _names_of_orders(names) if dialect.form in (ORDERS_FIRST, FILLED_DOWN) else []
    if dialect.form == ORDERS_FIRST:
        emptied.remove(names["order_id"])
    found, seen = [], set()
    for line in tables["order_lines"]:
        order = by_key["orders"][line["order_id"]]
        row = _named(dialect, names, {
            "customers": by_key["customers"].get(order["customer_id"], guest), "orders": order,
            "products": by_key["products"][line["product_id"]], "order_lines": line,
            "payments": payments[order["order_id"]]})
        if order["order_id"] in seen:
            row |= dict.fromkeys(emptied, "")
        seen.add(order["order_id"])
        found.append(row)
    return found


def _block(dialect: Dialect, names: dict[str, str], source: str) -> dict[str, object]:
    columns = {column: names[_key(source, column)] for column in COLUMNS[source]}
    if source == "order_lines" and not dialect.has_line_ids:
        columns["order_line_id"] = f"{{{names['order_id']}}}/{{n}}"
    block: dict[str, object] = {"columns": columns}
    if source == "orders":
        block["values"] = {"status": {word: MEANT[status] for status, word in WRITTEN.items()}}
    if dialect.form == A_FILE_FOR_EACH:
        block["files"] = f"{FILES[source]}*"
    elif source != "order_lines":
        block["rows"] = "one per key"
    return block


def _framed(random: Random, dialect: Dialect, rows: list[dict[str, object]]) -> list[list[object]]:
    """Return rows as lists, with the header and what else is in a file."""
    header = [*rows[0]]
    random.shuffle(header)
    lines = [[title] for title in dialect.titles] + [header]
    lines += [[row[name] for name in header] for row in rows]
    if dialect.comment:
        place = random.randrange(len(dialect.titles) + 1, len(lines))
        lines.insert(place, [f"{dialect.comment} a page ends"])
    if dialect.footer:
        lines += [[dialect.footer, *[""] * (len(header) - 1)], ["made by nobody"]]
    return lines


def _csv(lines: Sequence[Sequence[object]], delimiter: str) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(lines)
    return text.getvalue()


def _packed(random: Random, dialect: Dialect,
            tables: dict[str, list[list[object]]]) -> dict[str, bytes]:
    """Return tables as files in their container, sometimes all of them in one."""
    is_together = random.random() < 0.5
    if dialect.container == WORKBOOK:
        parts = [tables] if is_together else [{name: lines} for name, lines in tables.items()]
        return {f"{'Alles' if is_together else next(iter(part))}.xlsx": _workbook(part) for part in parts}
    texts = {name: _csv(lines, dialect.delimiter).encode(dialect.encoding) for name, lines in tables.items()}
    if dialect.container == "csv.gz":
        return {f"{name}.csv.gz": gzip.compress(text) for name, text in texts.items()}
    if dialect.container != "zip":
        return {f"{name}.{dialect.container}": text for name, text in texts.items()}
    parts = [texts] if is_together else [{name: text} for name, text in texts.items()]
    return {f"{'Alles' if is_together else next(iter(part))}.zip": _zipped(part) for part in parts}


def _zipped(texts: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(f"export/{name}.csv", text)
    return content.getvalue()


def _workbook(tables: dict[str, list[list[object]]]) -> bytes:
    content = io.BytesIO()
    with xlsxwriter.Workbook(content) as book:
        for name, lines in tables.items():
            sheet = book.add_worksheet(name)
            for row, cells in enumerate(lines):
                for column, cell in enumerate(cells):
                    write = sheet.write_number if isinstance(cell, float) else sheet.write_string
                    write(row, column, cell)
    return content.getvalue()
