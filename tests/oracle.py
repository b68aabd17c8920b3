"""Gold as plain Python computes it from the CSV files, with exact decimals: what the pipeline must equal."""

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

KEYS = {"customers": "customer_id", "products": "product_id", "orders": "order_id",
        "order_lines": "order_line_id", "payments": "payment_id"}
CENT = Decimal("0.01")


def latest_rows(files: Iterable[Path], source: str) -> dict[str, dict]:
    """Return a source's rows by key, stripped; a later file or line replaces an earlier one."""
    rows = {}
    for path in files:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                cells = {name: value.strip() or None for name, value in row.items()}
                rows[cells[KEYS[source]]] = cells
    return rows


def money(text: str | None) -> Decimal:
    return Decimal(text or 0)


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_UP)


def day_of(text: str) -> str:
    """Return the UTC day of an ISO date or timestamp."""
    moment = datetime.fromisoformat(text)
    return (moment.astimezone(UTC) if moment.tzinfo else moment).date().isoformat()


def gold(sources: dict[str, dict[str, dict]], as_of: str) -> dict[str, dict[str, dict]]:
    """Return the three gold tables by key, from the current rows of the five sources."""
    orders, lines, payments = sources["orders"], sources["order_lines"], sources["payments"]
    cancelled = {key for key, order in orders.items()
                 if (order["status"] or "").upper() in ("CANCELLED", "CANCELED")}
    paid, counts, methods = defaultdict(Decimal), defaultdict(int), defaultdict(set)
    for payment in payments.values():
        counts[payment["order_id"]] += 1
        if (payment["payment_status"] or "").upper() == "SUCCESS":
            paid[payment["order_id"]] += money(payment["payment_amount"])
            if payment["payment_method"]:
                methods[payment["order_id"]].add(payment["payment_method"].upper())
    wide, daily, by_customer = {}, {}, defaultdict(list)
    for key, line in lines.items():
        order = orders.get(line["order_id"])
        customer = sources["customers"].get(order["customer_id"], {}) if order else {}
        gross = cents(Decimal(line["quantity"]) * money(line["unit_price"]))
        wide[key] = {
            "order_id": line["order_id"], "order_date": order and day_of(order["order_date"]),
            "customer_id": order and order["customer_id"], "product_id": line["product_id"],
            "product_name": sources["products"].get(line["product_id"], {}).get("product_name"),
            "segment": upper(customer.get("segment")),
            "quantity": Decimal(line["quantity"]), "gross_amount": gross,
            "net_amount": gross - money(line["discount_amount"]),
            "is_sale": int(order is not None and line["order_id"] not in cancelled),
            "order_payments": counts[line["order_id"]],
            "order_paid_amount": paid[line["order_id"]],
            "payment_method": min(methods[line["order_id"]], default=None)}
        if order:
            figures, net = day(daily, day_of(order["order_date"])), wide[key]["net_amount"]
            if not wide[key]["is_sale"]:
                figures["cancelled_amount"] += net
                continue
            figures["units"] += Decimal(line["quantity"])
            figures["gross_sales"] += gross
            figures["discounts"] += money(line["discount_amount"])
            figures["net_sales"] += net
            figures["returned_amount"] -= net if Decimal(line["quantity"]) < 0 else 0
    for key, order in orders.items():
        figures = day(daily, day_of(order["order_date"]))
        figures["orders"] += 1
        figures["total_sales"] += money(order["total_amount"])
        figures["cancelled_orders"] += key in cancelled
        figures["payments_received"] += paid[key]
        figures["open_amount"] += 0 if key in cancelled else money(order["total_amount"]) - paid[key]
        if order["customer_id"]:
            by_customer[order["customer_id"]].append(key)
    stats = {}
    for customer, keys in by_customer.items():
        kept = [key for key in keys if key not in cancelled]
        value = sum((money(orders[key]["total_amount"]) for key in kept), Decimal(0))
        days = sorted(day_of(orders[key]["order_date"]) for key in keys)
        silent = (date.fromisoformat(as_of) - date.fromisoformat(days[-1])).days
        stats[customer] = {
            "orders": len(keys), "cancelled_orders": len(keys) - len(kept), "lifetime_value": value,
            "average_order_value": cents(value / len(kept)) if kept else None, "first_order_date": days[0],
            "last_order_date": days[-1], "days_since_last_order": silent,
            "churn_risk": "LOW" if silent <= 30 else "MEDIUM" if silent <= 90 else "HIGH",
            "value_tier": ("PLATINUM" if value >= 5000 else "GOLD" if value >= 2000
                           else "SILVER" if value >= 500 else "BRONZE")}
    return {"reporting_sales_wide": wide, "sales_summary_daily": daily, "reporting_customer_stats": stats}


def day(daily: dict[str, dict], name: str) -> dict:
    return daily.setdefault(name, {"orders": 0, "cancelled_orders": 0} | dict.fromkeys(
        ("total_sales", "units", "gross_sales", "discounts", "net_sales", "returned_amount",
         "cancelled_amount", "payments_received", "open_amount"), Decimal(0)))


def upper(text: str | None) -> str | None:
    return text and text.upper()
