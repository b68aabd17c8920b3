"""Which source is each table, and which of its columns is which column of the contract?

Names propose, what is in the columns disposes: a quantity is a number, a key is not repeated, and the values
of a reference are keys of another table.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from lib.adopt.profile import Profile, profile
from lib.adopt.tables import Table
from lib.adopt.words import file_likeness, likeness
from lib.contract import SOURCES

LIKELY = 0.5  # a column that is less like another than this does not mean it
CERTAIN = 0.9  # of two such columns, a person must say which it is
FOUND = 0.95  # the share of a reference's values that are keys of the other table
NUMBERS = {"quantity", "unit_price", "discount_amount", "total_amount", "payment_amount", "line_total"}
DATES = {"order_date", "payment_date"}
TEXTS = {"first_name", "last_name", "full_name", "city", "state", "country", "segment", "product_name",
         "category", "sub_category", "brand", "channel", "status", "payment_method", "payment_status",
         "currency"}
REFERENCES = (("order_id", "orders"), ("product_id", "products"), ("customer_id", "customers"))
HELPERS = ("line_number", "line_total", "full_name", "order_time", "sequence_number", "currency")


@dataclass
class Kind:
    """The tables that have the same header.

    sources: what they hold, each with its columns: by column of the contract, the delivered columns that may
    be it, the likeliest first.
    """

    tables: list[Table]
    rows: pd.DataFrame
    profiles: dict[str, Profile]
    sources: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    helpers: dict[str, str] = field(default_factory=dict)
    @property
    def label(self) -> str:
        first = self.tables[0].label
        return first if len(self.tables) == 1 else f"{first} and {len(self.tables) - 1} more"

    def column(self, source: str, column: str) -> str:
        """Return the delivered column that is likeliest a column of the contract, "" if there is none."""
        return next(iter(self.sources.get(source, {}).get(column, ())), "")

    @property
    def used(self) -> set[str]:
        return {names[0] for columns in self.sources.values() for names in columns.values() if names}


def group(tables: Iterable[Table]) -> list[Kind]:
    """Return the tables by their headers."""
    by_names: dict[tuple[str, ...], list[Table]] = {}
    for table in tables:
        by_names.setdefault(table.names, []).append(table)
    kinds = []
    for same in by_names.values():
        rows = pd.concat([table.rows for table in same], ignore_index=True)
        kinds.append(Kind(same, rows, {name: profile(rows[name]) for name in rows.columns}))
    return kinds


def find_roles(kinds: list[Kind]) -> None:
    """Say of each kind which sources it holds, and which columns they have."""
    for kind in kinds:
        fits = {source: _fit(kind, source) for source in ("customers", "products", "orders", "order_lines",
                                                          "payments")}
        kind.sources = {max(fits, key=fits.__getitem__): {}} if max(fits.values()) > 0 else {}
    owned = {next(iter(kind.sources)) for kind in kinds if kind.sources}
    for kind in kinds:
        if kind.sources:
            _add_sources(kind, owned)
    for kind in kinds:
        kind.sources = {source: _match(kind, source) for source in kind.sources}
        kind.helpers = {helper: best[0] for helper in HELPERS if (best := _candidates(
            kind, helper, next(iter(kind.sources), "orders")))}
    for kind in kinds:
        _find_references(kind, kinds)


def _best(kind: Kind, column: str, source: str) -> float:
    return max((_score(kind, name, column, source, True) for name in kind.profiles), default=0.0)


def _score(kind: Kind, name: str, column: str, source: str, is_only: bool = False) -> float:
    """Return how likely a delivered column is a column of the contract, by its name and by what it holds."""
    held = kind.profiles[name]
    if held.type == "empty":
        return 0.4 * likeness(name, column, source, is_only)
    fits = True
    if column in NUMBERS:
        fits = held.is_number
    elif column in DATES:
        fits = held.type == "date"
    elif column == "email":
        fits = held.type == "e-mail"
    elif column in TEXTS:
        fits = not held.is_number and held.type != "date"
    elif column.endswith("_id"):
        fits = held.type not in ("date", "e-mail") and not (held.numbers and held.numbers.decimals)
    return likeness(name, column, source, is_only) if fits else 0.0


def _candidates(kind: Kind, column: str, source: str) -> list[str]:
    scores = {name: _score(kind, name, column, source, True) for name in kind.profiles}
    return sorted((name for name, score in scores.items() if score >= LIKELY), key=lambda name: -scores[name])


def _fit(kind: Kind, source: str) -> float:
    """Return how well a table fits a source, 0 if it cannot be it."""
    has = {column: _best(kind, column, source) >= LIKELY for column in (
        "order_id", "customer_id", "product_id", "product_name", "quantity", "order_date", "total_amount",
        "email", "full_name", "last_name", "city", "payment_method", "payment_amount", "payment_date",
        "line_total", "unit_price", "payment_id", "category", "status")}
    stems = {table.table or table.path.name.partition(".")[0] for table in kind.tables}
    named = max(file_likeness(stem, source) for stem in stems)
    key = {source: _is_key(kind, column, source) for source, column in (
        ("orders", "order_id"), ("customers", "customer_id"), ("products", "product_id"))}
    has_product = has["product_id"] or has["product_name"]
    score = 0.0
    if source == "customers" and (key["customers"] or has["email"]) and not has["quantity"]:
        score = sum(has[c] for c in ("email", "full_name", "last_name", "city")) - 2 * has["order_id"]
    if source == "products" and has_product and not has["quantity"]:
        score = sum(has[c] for c in ("product_name", "unit_price", "category")) + key["products"] \
            - 2 * has["order_id"]
    if source == "orders" and has["order_id"] and has["order_date"]:
        score = 1 + sum(has[c] for c in ("total_amount", "customer_id", "status")) + key["orders"] \
            - 4 * (has["quantity"] and has_product)
    if source == "order_lines" and has["order_id"] and has_product:
        score = 1 + 2 * has["quantity"] + (has["unit_price"] or has["line_total"]) - key["orders"]
    if source == "payments" and (has["order_id"] or has["payment_id"]) and not has_product:
        score = 1.5 * has["payment_method"] + has["payment_amount"] + has["payment_date"] \
            - (2 if has["total_amount"] and has["customer_id"] else 0)
    is_flat = source == "orders" and has["quantity"] and has_product  # whatever it is called
    return score + 3 * named if score > 0 or (named > 0.5 and not is_flat) else 0.0


def _is_key(kind: Kind, column: str, source: str) -> bool:
    found = _candidates(kind, column, source)
    return bool(found) and kind.profiles[found[0]].is_unique


def _add_sources(kind: Kind, owned: set[str]) -> None:
    """Add the sources that a table holds beside its own: a row of an item may tell of its order, too."""
    [own] = kind.sources
    more = []
    if own == "order_lines" and "orders" not in owned and _best(kind, "order_date", "orders") >= LIKELY:
        more.append("orders")
    if (own in ("order_lines", "orders") and "customers" not in owned and (own == "orders" or more)
            and max(_best(kind, "customer_id", "customers"), _best(kind, "email", "customers")) >= LIKELY):
        more.append("customers")
    if (own == "order_lines" and "products" not in owned
            and max(_best(kind, column, "products") for column in ("product_name", "product_id")) >= LIKELY):
        more.append("products")
    kind.sources = {source: {} for source in SOURCES if source in (own, *more)}


def _match(kind: Kind, source: str) -> dict[str, list[str]]:
    """Return the delivered columns that may be each column of a source, the likeliest first.

    A delivered column is the likeliest for one column only, of which its name says most.
    """
    columns = [column.name for column in SOURCES[source].columns]
    is_only = not {"orders", "order_lines"} <= {*kind.sources} and source not in ("customers", "products")
    is_only = is_only or len(kind.sources) == 1
    scored = sorted(((_score(kind, name, column, source, is_only), column, name) for column in columns
                     for name in kind.profiles), key=lambda item: -item[0])
    taken: set[str] = set()
    found: dict[str, list[str]] = {}
    for score, column, name in scored:
        if score < LIKELY:
            break
        if column in found:
            if score >= CERTAIN and name not in taken:
                found[column].append(name)
        elif name not in taken:
            found[column] = [name]
            taken.add(name)
    if source == "order_lines" and (keys := found.get("order_id")) and kind.profiles[keys[0]].is_unique:
        keys.sort(key=lambda name: kind.profiles[name].is_unique)  # an order has several lines
    return {column: found[column] for column in columns if column in found}


def _find_references(kind: Kind, kinds: list[Kind]) -> None:
    """Find the references that no name says: columns whose values are keys of another table."""
    for source, columns in kind.sources.items():
        for column, target in REFERENCES:
            is_reference = column in SOURCES[source].column_names and column != SOURCES[source].key
            if not is_reference or columns.get(column):
                continue
            keys = [other.rows[name].dropna().unique() for other in kinds if other is not kind
                    and (name := other.column(target, column))]
            used = {names[0] for names in columns.values() if names}
            fitting = [name for name, held in kind.profiles.items() if name not in used and held.distinct > 1
                       and held.type not in ("date", "amount") and any(
                           held.values.index.isin(values).mean() >= FOUND for values in keys)]
            if len(fitting) == 1:
                columns[column] = fitting


def references(kind: Kind, kinds: list[Kind]) -> Mapping[str, float]:
    """Return, by column of the contract, which share of a kind's references is found among the keys of the
    others."""
    found = {}
    for source in kind.sources:
        for column, target in REFERENCES:
            name = kind.column(source, column)
            others = [other for other in kinds if other is not kind and other.column(target, column)]
            if name and others and column != SOURCES[source].key:
                keys = pd.concat([other.rows[other.column(target, column)] for other in others])
                share = float(kind.profiles[name].values.index.isin(keys).mean())
                found[f"{name} are keys of {others[0].label}"] = share
    return found
