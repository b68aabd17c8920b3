"""Random shops, written as the exports of shop systems write them, and the figures that must come out."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

ZONES = {  # what Square calls them
    "America/New_York": "Eastern Time (US & Canada)", "America/Chicago": "Central Time (US & Canada)",
    "America/Los_Angeles": "Pacific Time (US & Canada)", "Europe/London": "London", "Europe/Paris": "Paris",
    "Australia/Sydney": "Sydney", "UTC": "UTC"}
PRICES = ["0.99", "6.40", "12.50", "19.90", "48.00", "79.00", "1234.50", "12999.00"]
NAMES = ["Mug, blue", 'Teapot "Aiko"', "Café press", "Käsehobel", "Gift card", "Soap; lavender",
         "O'Hara's best", "Tea | green", "Towel", "Candle"]
PEOPLE = [("Zoë", "van Dam"), ("José", "Müller"), ("Eve", "Null"), ("Sam", "O'Hara"), ("Bo", ""),
          ("Åsa", "Öberg"), ("Ana Maria", "da Silva, Jr.")]
CITIES = ["Cádiz", "St. Gallen", "Umeå", "Null", "Paris"]
PAID, PENDING, REFUNDED, PARTLY_REFUNDED, CANCELLED = STATUSES = (
    "paid", "pending", "refunded", "partly refunded", "cancelled")
NO_MONEY, CENT = Decimal("0.00"), Decimal("0.01")
MANY_LINES = 24


@dataclass(frozen=True)
class Product:
    name: str
    sku: str  # "" if it has none
    category: str
    price: Decimal  # in the list; a line has its own

    @property
    def key(self) -> str:
        return self.sku or self.name


@dataclass(frozen=True)
class Customer:
    name: str  # by which a shop calls them
    first: str
    last: str
    city: str

    @property
    def email(self) -> str:
        return f"{self.name}@example.com" if self.name else ""

    @property
    def full_name(self) -> str:
        return f"{self.first} {self.last}".strip()


GUEST = Customer("", "", "", "")


@dataclass(frozen=True)
class Line:
    product: Product
    quantity: int
    price: Decimal
    discount: Decimal

    @property
    def gross(self) -> Decimal:
        return self.quantity * self.price

    @property
    def net(self) -> Decimal:
        return self.gross - self.discount


@dataclass(frozen=True)
class Order:
    """`number` counts from 1; `moment` is in the shop's time zone; `tax` is not part of the lines."""

    number: int
    moment: datetime
    customer: Customer
    lines: tuple[Line, ...]
    status: str
    shipping: Decimal = NO_MONEY
    tax: Decimal = NO_MONEY
    refunded: Decimal = NO_MONEY

    @property
    def net(self) -> Decimal:
        return sum((line.net for line in self.lines), NO_MONEY)

    @property
    def total(self) -> Decimal:
        return self.net + self.shipping + self.tax

    @property
    def received(self) -> Decimal:
        return NO_MONEY if self.status in (PENDING, CANCELLED) else self.total - self.refunded

    @property
    def is_paid(self) -> bool:
        return self.status not in (PENDING, CANCELLED)


@dataclass(frozen=True)
class Figures:
    """What must come out of an export."""

    orders: int
    order_lines: int
    units: int
    total_sales: Decimal
    net_of_lines: Decimal
    customers: int
    orders_without_customer: int
    products: int
    received: Decimal
    sales_by_day: dict[str, Decimal]


def figures_of(orders: Iterable[Order]) -> Figures:
    """Return the figures of orders, by the days of their own time zone."""
    orders, by_day = list(orders), Counter()
    for order in orders:
        by_day[order.moment.date().isoformat()] += order.total
    lines = [line for order in orders for line in order.lines]
    return Figures(
        len(orders), len(lines), sum(line.quantity for line in lines), sum(order.total for order in orders),
        sum(line.net for line in lines), len({order.customer.name for order in orders} - {""}),
        sum(order.customer == GUEST for order in orders), len({line.product.key for line in lines}),
        sum(order.received for order in orders), dict(by_day))


def random_orders(random: Random, count: int = 25, timezone: str | None = None, *,
                  has_second_hours: bool = True) -> list[Order]:
    """Return a shop's orders, oldest first, around a change of its clocks.

    There are guests, refunds, an order with many lines, a product whose price changes, products without a
    SKU, and amounts above a thousand. Without `has_second_hours`, no order is in the second one of a doubled
    hour, which only an offset tells from the first.
    """
    zone = ZoneInfo(timezone or random.choice(list(ZONES)))
    products = [Product(name, "" if random.random() < 0.2 else f"SKU-{number:03d}",
                        random.choice(["Kitchen", "Bath", "Home"]), Decimal(random.choice(PRICES)))
                for number, name in enumerate(random.sample(NAMES, 8), start=1)]
    customers = [Customer(f"person{number:02d}", first, last, random.choice(CITIES))
                 for number, (first, last) in enumerate(random.sample(PEOPLE, 6), start=1)]
    moments = _moments(random, count, zone, has_second_hours)
    orders = []
    for number, moment in enumerate(moments, start=1):
        is_late = number > count / 2
        lines = [_line(random, random.choice(products), is_late)
                 for _ in range(MANY_LINES if number == 3 else random.randint(1, 4))]
        order = Order(number, moment, random.choice([GUEST, *customers]), tuple(lines),
                      random.choices(STATUSES, [8, 1, 1, 1, 1])[0],
                      Decimal(random.choice(["0.00", "4.90", "7.50"])))
        refunded = {REFUNDED: order.total, PARTLY_REFUNDED: min(order.total, Decimal("3.21"))}
        orders.append(replace(order, refunded=refunded.get(order.status, NO_MONEY)))
    return orders


def _line(random: Random, product: Product, is_late: bool) -> Line:
    price = product.price + Decimal("1.10") if is_late and product.name.startswith("Mug") else product.price
    quantity = random.choice([1, 1, 1, 2, 3, 12])
    discount = (quantity * price / 10).quantize(CENT) if random.random() < 0.3 else NO_MONEY
    return Line(product, quantity, price, discount)


def _moments(random: Random, count: int, zone: ZoneInfo, has_second_hours: bool) -> list[datetime]:
    """Return moments in a time zone, in order, many of them in the nights in which its clocks change."""
    start = date(2026, random.choice([3, 10]), 1)
    days = [start + timedelta(days) for days in range(40)]
    offsets = [datetime(day.year, day.month, day.day, tzinfo=zone).utcoffset() for day in days]
    nights = [day for day, offset, next_one in zip(days, offsets, offsets[1:], strict=False)
              if offset != next_one]
    found: list[datetime] = []
    while len(found) < count:
        day = random.choice(nights) if nights and random.random() < 0.3 else random.choice(days)
        hour = random.choice([0, 1, 2, 3, 23]) if day in nights else random.randrange(24)
        moment = datetime(day.year, day.month, day.day, hour, random.randrange(60), tzinfo=zone,
                          fold=random.choice([0, 1]))
        there_and_back = moment.astimezone(UTC).astimezone(zone)
        if there_and_back.replace(tzinfo=None) == moment.replace(tzinfo=None) and (
                has_second_hours or not there_and_back.fold):
            found.append(there_and_back)
    return sorted(found, key=lambda moment: moment.astimezone(UTC))



# What a system tells of the orders

def as_they_are(orders: Sequence[Order]) -> list[Order]:
    return list(orders)


def with_taxes(orders: Sequence[Order]) -> list[Order]:
    return [replace(order, tax=(order.net / 5).quantize(CENT),
                    refunded=order.refunded + (order.net / 5).quantize(CENT) * (order.status == REFUNDED))
            for order in orders]


def without_refunds(orders: Sequence[Order]) -> list[Order]:
    """The report does not tell of refunds."""
    return [replace(order, refunded=NO_MONEY) for order in orders]


def at_the_till(orders: Sequence[Order]) -> list[Order]:
    """Everything is paid, nothing is shipped, and a refund of an order's first line is a sale of its own."""
    told = []
    for order in orders:
        sale = replace(order, status=PAID, shipping=NO_MONEY, refunded=NO_MONEY)
        told.append(sale)
        if order.refunded:
            line = order.lines[0]
            told.append(replace(sale, number=1000 + order.number,
                                lines=(replace(line, quantity=-line.quantity, discount=-line.discount),)))
    return told


def by_members(orders: Sequence[Order]) -> list[Order]:
    """Nobody buys as a guest."""
    return [replace(order, customer=order.customer if order.customer.name else Customer(
                f"guest{order.number}", "Gil", "Guest", "Oslo")) for order in orders]


def by_nobody(orders: Sequence[Order]) -> list[Order]:
    """The report names no customer."""
    return [replace(order, customer=GUEST) for order in orders]


# What the systems write. Each returns files by name; `part` tells the files of several exports apart.

def _table(rows: list[dict[str, object]], delimiter: str = ",", header: Sequence[str] = ()) -> bytes:
    text = io.StringIO()
    names = header or list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, "", delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


SHOPIFY = """
Name,Email,Financial Status,Paid at,Fulfillment Status,Fulfilled at,Accepts Marketing,Currency,Subtotal,
Shipping,Taxes,Total,Discount Code,Discount Amount,Shipping Method,Created at,Lineitem quantity,
Lineitem name,Lineitem price,Lineitem compare at price,Lineitem sku,Lineitem requires shipping,
Lineitem taxable,Lineitem fulfillment status,Billing Name,Billing Street,Billing Address1,
Billing Address2,Billing Company,Billing City,Billing Zip,Billing Province,Billing Country,
Billing Phone,Shipping Name,Shipping Street,Shipping Address1,Shipping Address2,Shipping Company,
Shipping City,Shipping Zip,Shipping Province,Shipping Country,Shipping Phone,Notes,Note Attributes,
Cancelled at,Payment Method,Payment Reference,Refunded Amount,Vendor,Outstanding Balance,Employee,
Location,Device ID,Id,Tags,Risk Level,Source,Lineitem discount,Tax 1 Name,Tax 1 Value,Tax 2 Name,
Tax 2 Value,Tax 3 Name,Tax 3 Value,Tax 4 Name,Tax 4 Value,Tax 5 Name,Tax 5 Value,Phone,Receipt Number,
Duties,Billing Province Name,Shipping Province Name,Payment ID,Payment Terms Name,Next Payment Due At,
Payment References"""


def shopify(orders: Sequence[Order], part: int = 1) -> dict[str, bytes]:
    """The newest order comes first, and only its first row has what belongs to the order."""
    status = {PARTLY_REFUNDED: "partially_refunded", CANCELLED: "voided"}
    rows = []
    for order in reversed(orders):
        created = order.moment.strftime("%Y-%m-%d %H:%M:%S %z")
        for line in order.lines:
            rows.append({"Name": f"#{1000 + order.number}", "Email": order.customer.email,
                         "Created at": created, "Lineitem quantity": line.quantity,
                         "Lineitem name": line.product.name,
                         "Lineitem price": line.price, "Lineitem sku": line.product.sku,
                         "Lineitem discount": line.discount, "Vendor": "House"})
        rows[-len(order.lines)] |= {
            "Financial Status": status.get(order.status, order.status),
            "Paid at": created if order.is_paid else "", "Currency": "USD", "Subtotal": order.net,
            "Shipping": order.shipping, "Taxes": order.tax, "Total": order.total, "Source": "web",
            "Discount Amount": sum(line.discount for line in order.lines), "Refunded Amount": order.refunded,
            "Outstanding Balance": NO_MONEY if order.is_paid else order.total, "Payment Method": "Card",
            "Billing Name": order.customer.full_name,
            "Billing City": order.customer.city, "Billing Zip": "'01060",
            "Billing Country": "US", "Cancelled at": created if order.status == CANCELLED else ""}
    return {f"orders_export_{part}.csv": _table(rows, header=SHOPIFY.replace("\n", "").split(","))}


def _dollars(amount: Decimal) -> str:
    return f"{'-' if amount < 0 else ''}${abs(amount):,.2f}"


def square(orders: Sequence[Order], part: int = 1) -> dict[str, bytes]:
    rows = [{"Date": order.moment.strftime("%Y-%m-%d"), "Time": order.moment.strftime("%H:%M:%S"),
             "Time Zone": ZONES[str(order.moment.tzinfo)], "Category": line.product.category,
             "Item": line.product.name, "Qty": f"{line.quantity}.0", "Price Point Name": "",
             "SKU": line.product.sku, "Gross Sales": _dollars(line.gross),
             "Discounts": _dollars(-line.discount), "Net Sales": _dollars(line.net),
             "Tax": _dollars(NO_MONEY),
             "Transaction ID": f"T{order.number:05d}", "Payment ID": f"P{order.number % 1000:05d}",
             "Event Type": "Payment" if line.quantity > 0 else "Refund", "Location": "Main St",
             "Customer ID": order.customer.name.upper(),
             "Customer Name": order.customer.full_name,
             "Itemization Type": "Physical Good", "Channel": "Register"}
            for order in orders for line in order.lines]
    return {f"items-{part}.csv": _table(rows)}


def etsy(orders: Sequence[Order], part: int = 1) -> dict[str, bytes]:
    rows = [{"Sale Date": order.moment.strftime("%m/%d/%y"), "Item Name": line.product.name,
             "Buyer": order.customer.name, "Quantity": line.quantity, "Price": line.price,
             "Discount Amount": line.discount, "Shipping Discount": 0, "Order Shipping": order.shipping,
             "Order Sales Tax": order.tax, "Item Total": line.net, "Currency": "EUR",
             "Transaction ID": 700000000 + 100 * order.number + n,
             "Listing ID": 900 + NAMES.index(line.product.name), "Ship Name": order.customer.full_name,
             "Ship City": order.customer.city, "Ship Country": "France",
             "Order ID": 3000000000 + order.number, "SKU": line.product.sku, "Order Total": order.total}
            for order in orders for n, line in enumerate(order.lines)]
    return {f"EtsySoldOrderItems2026-{part}.csv": _table(rows, "\t")}


def stripe(orders: Sequence[Order], part: int = 1) -> dict[str, bytes]:
    status = {PENDING: "Failed", CANCELLED: "Failed", REFUNDED: "Refunded"}
    rows = [{"id": f"ch_{order.number:024d}",
             "Created date (UTC)": order.moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
             "Amount": order.total, "Amount Refunded": order.refunded, "Currency": "eur",
             "Captured": str(order.is_paid).lower(), "Status": status.get(order.status, "Paid"),
             "Card Brand": "Visa",
             "order_id (metadata)": 3000000000 + order.number} for order in orders]
    return {f"unified_payments_{part}.csv": _table(rows)}


def _woocommerce_order(order: Order) -> dict[str, object]:
    status = {PAID: "completed", PENDING: "on-hold", PARTLY_REFUNDED: "completed"}
    moment = order.moment.strftime("%Y-%m-%d %H:%M:%S")
    return {"order_id": 500 + order.number, "order_number": order.number, "order_date": moment,
            "paid_date": moment if order.is_paid else "", "status": status.get(order.status, order.status),
            "shipping_total": order.shipping, "shipping_tax_total": NO_MONEY, "fee_total": NO_MONEY,
            "fee_tax_total": NO_MONEY, "tax_total": order.tax, "order_total": order.total,
            "order_currency": "EUR", "payment_method_title": "Card",
            "transaction_id": f"ch_{order.number}" if order.number % 2 else "",
            "customer_email": order.customer.email, "billing_email": order.customer.email,
            "billing_first_name": order.customer.first,
            "billing_last_name": order.customer.last}


def woocommerce(orders: Sequence[Order], part: int = 1) -> dict[str, bytes]:
    rows = [_woocommerce_order(order) | {
                "refunded_total": order.refunded, "item_product_id": NAMES.index(line.product.name) + 1,
                "item_name": line.product.name, "item_sku": line.product.sku, "item_quantity": line.quantity,
                "item_subtotal": line.gross, "item_total": line.net}
            for order in orders for line in order.lines]
    return {f"order_export_{part}.csv": _table(rows)}


def woocommerce_wide(orders: Sequence[Order], part: int = 1) -> dict[str, bytes]:
    rows = []
    for order in orders:
        row = _woocommerce_order(order)
        for n, line in enumerate(order.lines, start=1):
            row |= {f"Product Item {n} Name": line.product.name,
                    f"Product Item {n} id": NAMES.index(line.product.name) + 1,
                    f"Product Item {n} SKU": line.product.sku, f"Product Item {n} Quantity": line.quantity,
                    f"Product Item {n} Total": line.net, f"Product Item {n} Subtotal": line.gross}
        rows.append(row)
    return {f"order_export_{part}.csv": _table(rows)}


def woocommerce_advanced(orders: Sequence[Order], part: int = 1) -> dict[str, bytes]:
    status = {PAID: "Completed", PENDING: "Pending payment", PARTLY_REFUNDED: "Completed"}
    rows = [{"Order Number": order.number, "Order Status": status.get(order.status, order.status.title()),
             "Order Date": order.moment.strftime("%Y-%m-%d %H:%M"), "Customer Note": "",
             "First Name (Billing)": order.customer.first,
             "Last Name (Billing)": order.customer.last,
             "City (Billing)": order.customer.city, "Country Code (Billing)": "DE",
             "Email (Billing)": order.customer.email, "Payment Method Title": "Card",
             "Order Shipping Amount": order.shipping, "Order Refund Amount": NO_MONEY,
             "Order Total Amount": order.total, "Order Total Tax Amount": order.tax, "SKU": line.product.sku,
             "Item #": n, "Item Name": line.product.name, "Quantity (- Refund)": line.quantity,
             "Item Cost": (line.net / line.quantity).quantize(Decimal("0.000001"))}
            for order in orders for n, line in enumerate(order.lines, start=1)]
    return {f"orders-{part}.csv": _table(rows)}


def amazon(orders: Sequence[Order], part: int = 1) -> dict[str, bytes]:
    rows = []
    for order in orders:
        moment = order.moment.isoformat()
        for n, line in enumerate(order.lines):
            rows.append({
                "order-id": f"111-{order.number:07d}", "order-item-id": 100 * order.number + n,
                "purchase-date": moment, "payments-date": moment if order.is_paid else "",
                "buyer-email": order.customer.email,
                "buyer-name": order.customer.full_name,
                "sku": line.product.sku, "product-name": line.product.name,
                "quantity-purchased": line.quantity, "currency": "USD", "item-price": line.gross,
                "item-tax": "0.07", "shipping-price": order.shipping if n == 0 else NO_MONEY,
                "item-promotion-discount": line.discount})
        rows.append({"sku": "the rest of the order above"})
    return {f"{part}0000012345.txt": _table(rows, "\t")}


def amazon_all_orders(orders: Sequence[Order], part: int = 1) -> dict[str, bytes]:
    rows = [{"amazon-order-id": f"111-{order.number:07d}", "merchant-order-id": "",
             "purchase-date": order.moment.isoformat(), "last-updated-date": order.moment.isoformat(),
             "order-status": "Pending" if order.status == PENDING else "Shipped",
             "sales-channel": "Amazon.com",
             "product-name": line.product.name, "sku": line.product.sku,
             "asin": f"B{NAMES.index(line.product.name):09d}", "quantity": line.quantity, "currency": "USD",
             "item-price": line.gross, "shipping-price": order.shipping if n == 0 else "",
             "item-promotion-discount": line.discount or ""}
            for order in orders for n, line in enumerate(order.lines)]
    return {f"{part}0000054321.txt": _table(rows, "\t")}


def _euros(amount: Decimal, decimals: int = 2) -> str:
    return f"{amount:,.{decimals}f}".translate(str.maketrans(",.", ".,"))


def excel_de(orders: Sequence[Order], part: int = 1) -> dict[str, bytes]:
    """Four files as a German Excel saves them, with a title, and a total in the last row."""
    status = {PAID: "geliefert", PENDING: "offen", CANCELLED: "storniert"}
    customers = dict.fromkeys(order.customer for order in orders if order.customer != GUEST)
    products = {line.product.key: line.product for order in orders for line in order.lines}
    tables = {
        "Kunden": [{"Kunden-Nr.": one.name, "Vorname": one.first, "Nachname": one.last, "E-Mail": one.email,
                    "Ort": one.city} for one in customers],
        "Artikel": [{"Artikel-Nr.": key, "Bezeichnung": one.name, "Warengruppe": one.category,
                     "Listenpreis": _euros(one.price)} for key, one in products.items()],
        "Bestellungen": [{"Bestell-Nr.": f"B{order.number:05d}",
                          "Kunden-Nr.": order.customer.name,
                          "Bestelldatum": order.moment.strftime("%d.%m.%Y %H:%M"), "Kanal": "Web",
                          "Gesamtbetrag": f"{_euros(order.total)} €",
                          "Status": status.get(order.status, "retourniert")} for order in orders],
        "Positionen": [{"Bestell-Nr.": f"B{order.number:05d}", "Pos.": n, "Artikel-Nr.": line.product.key,
                        "Menge": _euros(Decimal(line.quantity), 3), "Einzelpreis": _euros(line.price),
                        "Rabatt": _euros(line.discount)}
                       for order in orders for n, line in enumerate(order.lines, start=1)]}
    files = {f"{name}_Q{part}.csv": _table(rows, ";") for name, rows in tables.items()}
    name, total = f"Bestellungen_Q{part}.csv", sum(order.total for order in orders)
    files[name] = b"sep=;\r\nBestellungen\r\n\r\n" + files[name] + f"Summe;;;;{_euros(total)} €;\r\n".encode()
    return {name: content.decode().encode("cp1252") for name, content in files.items()}


@dataclass(frozen=True)
class Export:
    """How a system writes orders, and what it tells of them."""

    write: Callable[..., dict[str, bytes]]
    told: Callable[[Sequence[Order]], list[Order]] = as_they_are
    has_payments: bool = True


EXPORTS = {
    "shopify": Export(shopify, with_taxes), "square": Export(square, at_the_till),
    "etsy": Export(etsy, by_members, has_payments=False), "woocommerce": Export(woocommerce, with_taxes),
    "woocommerce_wide": Export(woocommerce_wide, without_refunds),
    "woocommerce_advanced": Export(woocommerce_advanced, has_payments=False),
    "amazon": Export(amazon, without_refunds),
    "amazon_all_orders": Export(amazon_all_orders, by_nobody, has_payments=False),
    "excel_de": Export(excel_de, has_payments=False)}
