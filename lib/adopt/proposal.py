"""Propose a source system for tables whose columns are known, and ask what they leave open."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch

from lib.adopt.dates import Dates
from lib.adopt.declaration import Choice
from lib.adopt.profile import Profile, profile
from lib.adopt.roles import Kind
from lib.adopt.words import likely_timezones, meaning, words
from lib.contract import SHOP, SOURCES
from lib.systems import EVERY_ROW, ONE_PER_KEY, PLACEHOLDER

FEW = 40  # different values that are looked up one by one
MOST_OPTIONS = 5
SHOP_FILE = "data/contract/shop.yaml"
NUMBERS = ("money", "price", "number")
DATES = ("date",)


@dataclass(frozen=True)
class Question:
    """What a person must say: where in the declaration, "" if it is elsewhere."""

    text: str
    where: str = ""


@dataclass
class Proposal:
    """A declaration that is being built: its properties, and the questions and remarks about it."""

    declared: dict[str, object] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def ask(self, text: str, where: str = "") -> None:
        self.questions.append(Question(text, where))


def propose(kinds: Sequence[Kind]) -> Proposal:
    """Return a proposal for all tables that hold a source. Sets aside which columns are used."""
    proposal, blocks = Proposal(), {}
    for kind in kinds:
        for source in kind.sources:
            if source in blocks:
                other = blocks[source][0].label
                proposal.ask(f"{kind.label} and {other} both look like {source}, with different columns. A "
                             "system has one form of each source: adopt them one after the other, each under "
                             "its own name.")
            else:
                blocks[source] = kind, _Block(proposal, kind, source, kinds)
    ordered = {source: blocks[source] for source in SOURCES if source in blocks}
    sources = {source: block.build() for source, (_, block) in ordered.items()}
    text = _propose_text(proposal, [block for _, block in ordered.values()])
    several = len({id(kind) for kind, _ in ordered.values()}) > 1
    for source, (kind, _) in ordered.items():
        patterns = _patterns(kind, kinds)
        if several:
            sources[source] = {"files": patterns, **sources[source]}
    files = () if several or not ordered else _patterns(next(iter(ordered.values()))[0], kinds)
    proposal.declared = {"files": files, **_propose_dialect(kinds, text), "sources": sources}
    return proposal


def _patterns(kind: Kind, kinds: Sequence[Kind]) -> list[str]:
    """Return patterns of the names of a kind's files, that no file of another kind has."""
    others = [table.label for other in kinds if other is not kind for table in other.tables]
    patterns = []
    for table in kind.tables:
        name, dot, ending = table.path.name.partition(".")
        stem = re.sub(r"[\W_]*(?:[qQ][1-4]|\d).*$", "", name) or name
        inner = "" if table.is_alone else f"/{table.table}"
        wide = f"{stem}*{dot}{ending}{inner}"
        is_taken = any(fnmatch(other.lower(), wide.lower()) for other in others)
        patterns.append(f"{name}{dot}{ending}{inner}" if is_taken else wide)
    return list(dict.fromkeys(patterns))


def _propose_dialect(kinds: Sequence[Kind], text: dict[str, object]) -> dict[str, object]:
    tables = [table for kind in kinds if kind.sources for table in kind.tables]
    encodings = {table.encodings for table in tables if table.is_text} - {("utf-8",)}
    delimiters = {table.delimiter for table in tables}
    dialect: dict[str, object] = {}
    if len(encodings) == 1:
        [found] = encodings
        dialect["encoding"] = found[0] if len(found) == 1 else Choice(tuple((name, "") for name in found))
    if len(delimiters) == 1 and delimiters != {","}:
        dialect["delimiter"] = delimiters.pop()
    footers = {table.footer for table in tables if table.footer}
    return {**dialect, "footer": footers.pop() if len(footers) == 1 else "", **text}


class _Block:
    """How one source is read from one kind of tables."""

    def __init__(self, proposal: Proposal, kind: Kind, source: str, kinds: Sequence[Kind]):
        self.proposal, self.kind, self.source, self.kinds = proposal, kind, source, kinds
        self.columns: dict[str, object] = {
            name: found[0] for name, found in kind.sources[source].items() if found}
        self.constants: dict[str, object] = {}
        self.when = ""

    def build(self) -> dict[str, object]:
        """Return the block's properties."""
        getattr(self, f"_{self.source}")()
        self._ask_about_doubles()
        for column in SOURCES[self.source].columns:
            if not column.optional and column.name not in {**self.columns, **self.constants}:
                self._ask_for(column.name, column.type)
        order = SOURCES[self.source].column_names
        columns = {name: self.columns[name] for name in order if name in self.columns}
        rows = self._rows()
        return {"rows": "" if rows == EVERY_ROW else rows, "when": self.when, "columns": columns,
                "constants": self.constants, "values": self._values()}

    def _customers(self) -> None:
        held, key = self.kind.profiles, self.columns.get("customer_id")
        is_name = bool(key) and _share(held[key], " ") > 0.5
        if self.columns.get("email") and (not key or is_name):
            self.columns["customer_id"] = self.columns["email"]
        full = self.kind.helpers.get("full_name") or (key if is_name else "")
        if full and not {"first_name", "last_name"} & {*self.columns}:
            self.columns |= {"first_name": f"{{{full}:first}}", "last_name": f"{{{full}:rest}}"}

    def _products(self) -> None:
        name = self.columns.get("product_name")
        if "order_lines" in self.kind.sources:
            self.columns.pop("unit_price", None)  # that is what was paid, and no list price
            self.columns.pop("status", None)
        self.columns["product_id"] = self._product_key(self.columns.get("product_id"), name)

    def _product_key(self, key: object, name: object) -> object:
        if not key:
            return name
        return [key, name] if name and self.kind.profiles[key].empty > 0 else key

    def _orders(self) -> None:
        customer = next((block for block in [self.kind.sources.get("customers")] if block is not None), None)
        if customer is not None:
            helper = _Block(self.proposal, self.kind, "customers", self.kinds)
            helper._customers()
            self.columns["customer_id"] = helper.columns.get("customer_id", "")
        date, time = self.columns.get("order_date"), self.kind.helpers.get("order_time")
        if date and time and time != date and self.kind.profiles[date].dates \
                and not self.kind.profiles[date].dates.is_moment:
            self.columns["order_date"] = f"{{{date}}} {{{time}}}"
        self._propose_total()

    def _propose_total(self) -> None:
        """A total that differs between the rows of an order is one of its lines: it is added up."""
        total, key = self.columns.get("total_amount"), self.columns.get("order_id")
        if "order_lines" not in self.kind.sources or not key:
            return
        line_total = self.kind.helpers.get("line_total")
        if total and _varies(self.kind, key, total):
            self.columns["total_amount"] = {"sum": [total]}
            self.proposal.notes.append(f"{total!r} differs between the rows of an order: it is added up.")
        elif not total and line_total:
            self.columns["total_amount"] = {"sum": [line_total]}
            self.proposal.notes.append(f"no column holds the order's total: {line_total!r} is added up, "
                                       "without what is on no line, such as shipping.")
        for name in ("order_date", "customer_id", "status", "channel"):
            delivered = self.columns.get(name)
            if isinstance(delivered, str) and delivered in self.kind.profiles and _varies(
                    self.kind, key, delivered):
                self.proposal.notes.append(f"{delivered!r} differs between the rows of some orders: the "
                                           "first row's value counts.")

    def _order_lines(self) -> None:
        if "products" in self.kind.sources:
            name = self.kind.column("products", "product_name")
            self.columns["product_id"] = self._product_key(self.columns.get("product_id"), name)
        self.columns["order_line_id"] = self._line_key("order_line_id", "line_number")
        product = self.columns.get("product_id")
        if isinstance(product, str) and self.kind.profiles[product].empty > 0:
            self.when = product
        self._propose_price()
        self._propose_discount()
        if "quantity" not in self.columns:
            self.constants["quantity"] = Choice((("1", "each row is one unit"),))
            self.proposal.ask(f"{self.kind.label} has no column with a quantity. Is each of its rows one "
                              "unit?", "order_lines, constants, quantity")

    def _line_key(self, column: str, helper: str) -> object:
        """Return what identifies a row: a column, or the order's key and a number within the order."""
        key, order = self.columns.get(column), self.columns.get("order_id")
        if key and self.kind.profiles[key].is_unique:
            return key
        for number in filter(None, [self.kind.helpers.get(helper), key]):
            if order and number != order and not self.kind.rows.duplicated([order, number]).any():
                return f"{{{order}}}/{{{number}}}"
        return f"{{{order}}}/{{n}}" if order else ""

    def _propose_price(self) -> None:
        total, quantity = self.kind.helpers.get("line_total"), self.columns.get("quantity")
        if "unit_price" not in self.columns and total and quantity:
            self.columns["unit_price"] = f"{{{total}}} / {{{quantity}}}"

    def _propose_discount(self) -> None:
        name = self.columns.get("discount_amount")
        if not name:
            return
        held = self.kind.profiles[name]
        if _share(held, "-") > 0.3:
            self.columns["discount_amount"] = f"-{{{name}}}"
        elif held.numbers and held.distinct > 1 and held.numbers.decimals and _are_shares(held):
            self.columns["discount_amount"] = Choice(((f"{{{name}}}", "amounts, as they are"),))
            self.proposal.ask(
                f"{name!r} of {self.kind.label} has values from 0 to 1, such as {held.examples[-1]}: are "
                "they amounts, or shares of the price? Only amounts can be read. If they are shares, export "
                "the amounts, or delete the property: then no discount is taken off.",
                "order_lines, columns, discount_amount")

    def _payments(self) -> None:
        self.columns["payment_id"] = self._line_key("payment_id", "sequence_number")
        status = self.columns.get("payment_status")
        if not status:
            self.constants["payment_status"] = Choice((("SUCCESS", "all were received"),
                                                       ("PENDING", "none is known to be received")))
            self.proposal.ask(f"{self.kind.label} has no column with the state of a payment. Were all of "
                              "them received?", "payments, constants, payment_status")

    def _rows(self) -> str:
        key = self.columns.get(SOURCES[self.source].key)
        repeated = isinstance(key, list) or (isinstance(key, str) and key in self.kind.profiles
                                             and not self.kind.profiles[key].is_unique)
        return ONE_PER_KEY if repeated and self.source in ("customers", "products", "orders") else EVERY_ROW

    def _values(self) -> dict[str, object]:
        found: dict[str, object] = {}
        for column in ("status", "payment_status"):
            name = self.columns.get(column)
            if self.source not in ("orders", "payments") or not isinstance(name, str) \
                    or name not in self.kind.profiles:
                continue
            texts = list(self.kind.profiles[name].values.index[:FEW])
            known = {text: meant for text in texts if (meant := meaning(column, text))}
            own = [text for text in texts if text not in known]
            found[column] = {text: meant for text, meant in known.items() if text.upper() != meant}
            if own:
                self.proposal.notes.append(f"{self.source}, {column}: "
                                           f"{', '.join(map(repr, own[:8]))} stay as they are.")
            if column == "payment_status" and "SUCCESS" not in known.values():
                found[column] |= {text: Choice((("SUCCESS", "the money was received"), (text, "not")))
                                  for text in own[:MOST_OPTIONS]}
                self.proposal.ask(f"which values of {name!r} mean that the money was received? Only SUCCESS "
                                  "counts as received.", f"payments, values, {column}")
        return {column: values for column, values in found.items() if values}

    def _ask_about_doubles(self) -> None:
        for column in ("total_amount", "payment_amount", "order_date"):
            names = self.kind.sources[self.source].get(column, [])
            if len(names) < 2 or not isinstance(self.columns.get(column), str):
                continue
            first = self.kind.rows[names[0]]
            others = [name for name in names[1:] if not first.equals(self.kind.rows[name])]
            if others and column in self.columns:
                options = [self.columns[column], *others][:MOST_OPTIONS]
                self.columns[column] = Choice(tuple(
                    (f"{{{name}}}", f"such as {self.kind.profiles[name].examples[0]}") for name in options))
                self.proposal.ask(f"{' and '.join(map(repr, options))} of {self.kind.label} could both be "
                                  f"{column}, and they differ. Which is it?",
                                  f"{self.source}, columns, {column}")

    def _ask_for(self, column: str, kind: str) -> None:
        used = {name for name in self.columns.values() if isinstance(name, str)}
        fitting = [held for held in self.kind.profiles.values() if held.name not in used and (
            held.is_number if kind in NUMBERS else held.type == "date" if kind in DATES
            else held.type not in ("date", "empty", "amount"))]
        self.columns[column] = options = Choice(tuple(
            (f"{{{held.name}}}", f"such as {held.examples[0]}") for held in fitting[:MOST_OPTIONS]))
        more = "" if options.options else " None looks like it: write a column's name, or export it, too."
        self.proposal.ask(f"no column of {self.kind.label} is called like {column}, which {self.source} must "
                          f"have. Which one is it?{more}", f"{self.source}, columns, {column}")


def _share(held: Profile, text: str) -> float:
    return sum(text in value for value in held.values.index) / max(1, held.distinct)


def _are_shares(held: Profile) -> bool:
    try:
        return all(0 <= float(value.replace(",", ".")) <= 1 for value in held.values.index)
    except ValueError:
        return False


def _varies(kind: Kind, key: str, column: str) -> bool:
    return bool((kind.rows.dropna(subset=[column]).groupby(key)[column].nunique() > 1).any())


# The text

def _propose_text(proposal: Proposal, blocks: Sequence[_Block]) -> dict[str, object]:
    """Return how the text of all blocks is to be read."""
    numbers = list(_profiles(blocks, NUMBERS))
    dates = list(_profiles(blocks, DATES))
    markers = {marker for held in [*numbers, *dates] for marker in held.markers}
    decimal = _propose_decimal(proposal, numbers)
    return {**decimal, **_propose_dates(proposal, dates), **_propose_timezone(proposal, blocks, dates),
            "missing": sorted(markers), **_propose_currency(proposal, blocks, numbers),
            "complete": "order" if any({"orders", "order_lines"} <= {*block.kind.sources} for block in blocks)
            else ""}


def _profiles(blocks: Sequence[_Block], types: Sequence[str]) -> Iterator[Profile]:
    """Yield the profiles of the delivered columns that become columns of some types, each once."""
    seen = set()
    for block in blocks:
        kinds = {column.name: column.type for column in SOURCES[block.source].columns}
        for column, cell in block.columns.items():
            if kinds[column] not in types:
                continue
            for text in _texts(cell):
                names = PLACEHOLDER.findall(text) if "{" in text else [text]
                joined = len(names) > 1 and types == DATES
                for name in [text] if joined else names:
                    if (id(block.kind), name) in seen:
                        continue
                    seen.add((id(block.kind), name))
                    if joined:
                        cells = [block.kind.rows[part] for part in names]
                        yield profile((cells[0] + " " + cells[1]).rename(text))
                    elif name in block.kind.profiles:
                        yield block.kind.profiles[name]


def _texts(cell: object) -> list[str]:
    if isinstance(cell, Choice):
        return [str(option) for option, _ in cell.options]
    if isinstance(cell, dict):
        return list(cell["sum"])
    return cell if isinstance(cell, list) else [str(cell)]


def _propose_decimal(proposal: Proposal, numbers: Sequence[Profile]) -> dict[str, object]:
    shown, groupings, deciding, either = Counter(), Counter(), {}, {}
    for held in filter(lambda held: held.numbers, numbers):
        shown.update(held.numbers.decimals)
        groupings.update(held.numbers.groupings)
        deciding = {**held.numbers.deciding, **deciding}
        either = {**held.numbers.either, **either}
    for character in groupings:  # what stands between thousands in one value is no decimal character
        if character in either and not shown[character]:
            either.pop(character)
    signs = sorted({sign for held in numbers if held.numbers for sign in held.numbers.signs})
    if len(shown) == 2:
        examples = {sign: repr(deciding[sign]) for sign in ".,"}
        proposal.ask(f"{examples['.']} has a decimal point, and {examples[',']} a decimal comma. A system "
                     "has one decimal character: choose the one of most files, and adopt the others by "
                     "themselves.", "decimal")
        return {"decimal": Choice(((",", f"as in {examples[',']}"), (".", f"as in {examples['.']}"))),
                "signs": signs}
    if not shown and len(either) == 1:
        [(sign, example)] = either.items()
        other = "," if sign == "." else "."
        proposal.ask(f"{example!r} can be a thousand and more, or have three decimals, and no value shows "
                     "which. Choose the decimal character, and as grouping the other one.", "decimal")
        return {"decimal": Choice(((other, f"{example} has no decimals"), (sign, f"{example} has three"))),
                "grouping": Choice(((sign, f"if the decimal character is {other}"),
                                    (other, f"if it is {sign}"))), "signs": signs}
    decimal = next(iter(shown), "") or ("," if "." in groupings else ".")
    groupings.pop(decimal, None)
    groupings.update(sign for sign in either if sign != decimal)
    grouping = groupings.most_common(1)[0][0] if groupings else ""
    if decimal == ",":
        proposal.notes.append(f"{deciding.get(',', 'a dot between thousands')!r} shows a decimal comma.")
    return {"decimal": "" if decimal == "." else decimal, "grouping": grouping, "signs": signs}


def _propose_dates(proposal: Proposal, held: Sequence[Profile]) -> dict[str, object]:
    found = [(column, column.dates) for column in held if column.dates and column.dates.orders]
    if not found:
        return {}
    orders = [order for order in found[0][1].orders if all(order in dates.orders for _, dates in found)]
    patterns = {order: sorted({pattern for _, dates in found for pattern in dates.orders.get(order, ())},
                              key=lambda pattern: -len(pattern)) for order in
                dict.fromkeys(order for _, dates in found for order in dates.orders)}
    if len(orders) == 1:
        [order] = orders
        proposal.notes.append(_evidence(found, order, patterns[order]))
        return {"dates": patterns[order]}
    names = ", ".join(repr(column.name) for column, _ in found)
    column, dates = max(found, key=lambda item: item[1].either)
    example = dates.example or column.examples[0]
    text = (f"all {dates.either} different dates of {column.name!r}, such as {example}, can be read with the "
            "day or the month first. Which comes first?")
    if not orders:
        text = f"the dates of {names} have no pattern in common. Choose one; the others will be unreadable."
    proposal.ask(text, "dates")
    return {"dates": Choice(tuple((patterns[order], order) for order in (orders or patterns)))}


def _evidence(found: Sequence[tuple[Profile, Dates]], order: str, patterns: Sequence[str]) -> str:
    shown = ", ".join(f"`{pattern}`" for pattern in patterns)
    deciding = [dates for _, dates in found if dates.deciding]
    unsure = max((dates for _, dates in found), key=lambda dates: dates.either)
    if not deciding or not unsure.either:
        return f"dates: {shown}"
    others = f" and {unsure.either - 1} others" if unsure.either > 1 else ""
    return (f"{unsure.example}{others} can be either; {deciding[0].deciding} only {order}: {shown}")


def _propose_timezone(proposal: Proposal, blocks: Sequence[_Block],
                      held: Sequence[Profile]) -> dict[str, object]:
    moments = [column for column in held if column.dates and column.dates.is_moment
               and not column.dates.has_offset and not _is_midnight(column)]
    if not moments:
        return {}
    if any(re.search(r"\b(utc|gmt)\b", column.name, re.IGNORECASE) for column in moments):
        return {"timezone": "UTC"}
    if SHOP.timezone != "UTC":
        proposal.notes.append(f"moments without an offset, as in {moments[0].name!r}, are in the shop's time "
                              f"zone, {SHOP.timezone}.")
        return {}
    names = [name for block in blocks for name in block.kind.profiles]
    likely = likely_timezones(names)[:2]
    proposal.ask(
        f"{moments[0].examples[0]} and all other moments of {moments[0].name!r} do not say how far they are "
        f"from UTC. In which time zone are they? If it is the shop's own, set timezone in {SHOP_FILE} "
        "(business days are counted in it, too), and delete the property here.", "timezone")
    return {"timezone": Choice((*((zone, "") for zone in likely), ("UTC", "or another name of the IANA")))}


def _is_midnight(column: Profile) -> bool:
    return all(re.search(r"\b0?0:00(?::00(?:\.0+)?)?$", value) for value in column.values.index)


def _propose_currency(proposal: Proposal, blocks: Sequence[_Block],
                      held: Sequence[Profile]) -> dict[str, object]:
    column = next((name for block in blocks if (name := block.kind.helpers.get("currency"))), "")
    codes = {value.upper() for block in blocks if (name := block.kind.helpers.get("currency"))
             for value in block.kind.profiles[name].values.index}
    signs = {sign for one in held if one.numbers for sign in one.numbers.signs}
    if column:
        if len(codes) > 1:
            proposal.ask(f"{column!r} has several currencies: {', '.join(sorted(codes))}. Only rows in the "
                         f"shop's currency are loaded. Which is it? Set currency in {SHOP_FILE}.", SHOP_FILE)
        elif SHOP.currency not in codes:
            _ask_currency(proposal, f"{column!r} says {next(iter(codes), 'nothing')}", sorted(codes))
        return {"currency_column": column}
    known = {words()["signs"].get(sign, sign) for sign in signs} - {""}
    shared = [code for sign in signs for code in words()["shared_signs"].get(sign, ())]
    if len(known) == 1 and not shared:
        [code] = known
        if SHOP.currency != code:
            _ask_currency(proposal, f"amounts have the sign {', '.join(sorted(signs))}", [code])
        return {"currency": code}
    if signs and SHOP.currency not in [*known, *shared]:
        _ask_currency(proposal, f"amounts have the sign {', '.join(sorted(signs))}", [*known, *shared])
    return {}


def _ask_currency(proposal: Proposal, what: str, codes: Sequence[str]) -> None:
    declared = f"declares {SHOP.currency}" if SHOP.currency else "declares no currency"
    proposal.ask(f"{what}, and {SHOP_FILE} {declared}. Is {' or '.join(codes)} the shop's currency? Set "
                 "currency there.", SHOP_FILE)
