"""Random histories of deliveries and runs, and a small model of what raw makes of them."""

import csv
import gzip
import io
import os
from pathlib import Path

from hypothesis import strategies as st

from lib.contract import SOURCES

FILES = {source: [f"{source}.csv", f"{source} (1).csv", f"{source}_2.csv", f"{source}_10.csv",
                  f"{source}/a.csv", f"{source}/b.csv.gz"] for source in SOURCES}
BROKEN = b"Number of the "  # before a header: its key has another name then
STEPS = [("raw", "dimensions", "facts", "gold")] * 4 + [("raw",), ("raw", "facts"), ("raw", "dimensions")]

ids = {"customers": ["007", "C1", "1e3"], "products": ["P1", "NA"], "orders": ["O1", "O2", "O3", "00"],
       "order_lines": ["L1", "L2", "L3", "L4", "L5"], "payments": ["Y1", "Y2", "Y3"]}
spaces = st.sampled_from(["", "", "", " ", "\u00a0", "\t\u3000"])  # around a key, of which they are no part
cents = st.integers(0, 99999).map(lambda number: f"{number // 100}.{number % 100:02d}")
optional_cents = st.one_of(st.just(""), cents)
totals = st.one_of(st.just(""), cents, cents.map("-{}".format))  # credit notes, too
prices = st.one_of(cents, st.integers(0, 10 ** 9).map(lambda number: f"{number / 10 ** 6:.6f}"))
days = st.sampled_from(["2025-01-01", "2025-01-02", "2025-01-02T23:30:00-02:00", "2025-01-03 10:00:00",
                        "0001-01-01", "9999-12-31"])
fields = {
    "customers": {"first_name": st.sampled_from(["ANNA", "bob", ""]),
                  "last_name": st.sampled_from(["null", "Łódź"]),
                  "segment": st.sampled_from(["vip", "RETAIL", ""])},
    "products": {"product_name": st.sampled_from(["Cup, blue", 'A "B"', "x\ny"]),
                 "unit_price": st.one_of(st.just(""), prices)},
    "orders": {"customer_id": st.sampled_from([*ids["customers"], ""]), "order_date": days,
               "total_amount": totals,
               "status": st.sampled_from(["placed", "CANCELLED", "", "shipped"])},
    "order_lines": {"order_id": st.sampled_from(ids["orders"]),
                    "product_id": st.sampled_from(ids["products"]),
                    "quantity": st.sampled_from(["1", "-2", "0", "2.5", "0.333"]), "unit_price": prices,
                    "discount_amount": optional_cents},
    "payments": {"order_id": st.sampled_from(ids["orders"]), "payment_date": st.one_of(st.just(""), days),
                 "payment_method": st.sampled_from(["card", "CASH", ""]),
                 "payment_status": st.sampled_from(["SUCCESS", "failed", ""]),
                 "payment_amount": optional_cents},
}


@st.composite
def deliveries(draw) -> tuple[str, str, bytes]:
    """One file: its source, its name and its content, in which a key may occur several times.

    Now and then its header lacks the key, so that it cannot be loaded.
    """
    source = draw(st.sampled_from(list(SOURCES)))
    rows = draw(st.lists(st.fixed_dictionaries(
        {column.name: fields[source].get(column.name, st.just("")) for column in SOURCES[source].columns}
        | {SOURCES[source].key: st.tuples(spaces, st.sampled_from(ids[source]), spaces).map("".join)}),
        min_size=0, max_size=4))
    content = content_of(source, rows)
    if draw(st.sampled_from([False] * 7 + [True])):
        content = BROKEN + content
    return source, draw(st.sampled_from(FILES[source])), content


runs = st.fixed_dictionaries({
    "deliveries": st.lists(deliveries(), max_size=4),
    "full_refresh": st.sampled_from([False, False, False, True]),
    "steps": st.sampled_from(STEPS),
    "snapshot": st.sampled_from([()] * 4 + [("customers",), ("orders",), ("order_lines", "payments")]),
    "again": st.booleans(),
})


class Model:
    """A source's current rows, by the rule of the raw layer: what a file only repeats changes nothing."""

    def __init__(self) -> None:
        self.now: dict[str, dict[str, dict | None]] = {source: {} for source in SOURCES}
        self.last_seen: dict[str, dict[str, dict | None]] = {}  # by file and key
        self.bytes: dict[str, bytes] = {}
        self.ever: set[tuple[str, bytes]] = set()

    def deliver(self, source: str, name: str, content: bytes, rows: list[dict], is_snapshot: bool) -> None:
        if self.bytes.get(name) == content or (name not in self.bytes and (source, content) in self.ever):
            return
        self.bytes[name] = content
        self.ever.add((source, content))
        now, seen, key_column = self.now[source], self.last_seen.setdefault(name, {}), SOURCES[source].key
        last = {row[key_column].strip(): row | {key_column: row[key_column].strip()} for row in rows}
        for key, row in last.items():
            if row != (seen[key] if key in seen else now.get(key)):
                now[key] = row
            seen[key] = row
        if is_snapshot:
            for key in [key for key, row in now.items() if row is not None and key not in last]:
                now[key] = seen[key] = None

    def rows(self) -> dict[str, dict[str, dict]]:
        return {source: {key: stripped(row) for key, row in rows.items() if row is not None}
                for source, rows in self.now.items()}


def stripped(row: dict[str, str]) -> dict[str, str | None]:
    return {name: value.strip() or None for name, value in row.items()}


def content_of(source: str, rows: list[dict]) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, SOURCES[source].column_names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    os.utime(path, (1e9, 1e9))  # all files have the same time: a delivery is known by its content
