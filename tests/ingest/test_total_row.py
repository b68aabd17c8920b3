"""The last row of a file is set aside as a total where it is one beyond doubt, and nowhere else."""

import re

import pytest

from lib.contract import SOURCES
from lib.ingest.header import read_header
from lib.ingest.reader import read_batches
from lib.ingest.total_row import set_total_aside

TWENTY = [f"{n:05},C1,2026-01-01,web,{n}.50,done" for n in range(1, 21)]  # 220.00
THREE = ["A1,C1,2026-01-01,web,10.00,done", "A2,C1,2026-01-01,web,20.00,done"]  # 30.00
# Source, its rows, and the last row, which is a total.
TOTALS = {
    "a word as key": ("orders", TWENTY, "Total,20 orders,2026-01-31,,220.00,",
                      "'Total'.*its total_amount is the sum of the 20 other rows"),
    "in capitals, with more words": ("orders", TWENTY, "TOTAL: January,,,,220.00,", "'TOTAL: January'"),
    "in German, one decimal": ("orders", TWENTY, "Summe,,,,220.0,", "'Summe'.*sum of the 20"),
    "of a single row": ("orders", THREE[:1], "Grand total,,,,10.00,", "'Grand total'.*sum of the 1"),
    "the word in another column": ("orders", THREE, ",Total,,,30.00,", "'Total'.*sum of the 2"),
    "other rows with more decimals": (
        "order_lines", ["L1,O1,P1,1,0.125,", "L2,O1,P2,1,0.125,"], "L3,,,,0.25,", "unit_price is the sum"),
    "an empty key": ("orders", THREE, ",,,,30.00,", "no other row.*sum of the 2"),
    "a key unlike all others": ("orders", TWENTY, "20 orders,-,2026-01-31,,220.00,", "no other row.*sum of"),
    "several amounts, of which one adds up": (
        "order_lines", ["L1,O1,P1,2,1.00,0.50", "L2,O1,P2,3,2.00,0.25"], "Total,,,5,1.60,0.75", "quantity"),
    "a sum that is wrong": ("orders", TWENTY, "Total,20 orders,2026-01-31,,219.00,",
                            "total_amount is 219.00, but the 20 other rows sum to 220.00: does .* lack rows"),
    "a sum that cannot be checked": ("orders", [*TWENTY, "X,C1,2026-01-01,,1x,"], "Total,,,,221,",
                                     r"sum to 220\.00 \(1 cannot be read\)"),
    "an amount that cannot be read": ("orders", TWENTY, 'Summe,,,,"220,00",', "'Summe'$"),
    "no amount": ("customers", ["C1,Ann,A,,,,,,", "C2,Bob,B,,,,,,"], "Total,2,,,,,,,", "'Total'"),
}
# Rows of which some, in these lines, are totals among the others.
AMONG = {
    "subtotals": ("orders", [THREE[0], "Subtotal,,2026-01-31,,10.00,", THREE[1],
                             "Subtotal,,2026-01-31,,20.00,", "A3,C1,2026-02-01,web,1.00,done"], [3, 5]),
    "with a guest's order around it": ("orders", ["A0,,2026-01-01,,1.00,", "Summe Januar,,2026-01-31,,1.00,",
                                                  *THREE], [3]),
    "in the first row": ("order_lines", ["TOTAL,,,4,9.00,", "L1,O1,P1,1,5.00,", "L2,O1,P2,1,5.00,"], [2]),
    "of customers": ("customers", ["C1,Ann,A,,,,,,", "Total: 2,,,,,,,,", "C2,Bob,B,,,,,,"], [3]),
    "in another alphabet": ("payments", ["Y1,O1,,,,1.00", "\u00a0ИТОГО ,,,,,1.00", "Y2,O2,,,,1.00"], [3]),
}
# Rows of which none is a total.
NONE_AMONG = {
    "a customer with such a key": ("customers", [
        "TOTAL,Total,Energies,t@example.com,1,Paris,,FR,b2b", "C2,Bob,B,,,,,,"]),
    "an id that begins with a word": ("orders", ["Total-1,C1,2026-01-01,web,1.00,done", *THREE]),
    "a longer word": ("orders", ["Totaled,,2026-01-01,,1.00,", "Sumer,,2026-01-01,,1.00,", *THREE]),
    "a word in another column": ("orders", ["A0,Total,2026-01-01,,1.00,", *THREE]),
}
# The last row is an order, a line, a payment or a customer like any other.
ROWS = {
    "an order as large as the others": ("orders", THREE, "A3,C1,2026-01-01,web,30.00,done"),
    "an order as large as twenty others": ("orders", TWENTY, "00021,C1,2026-01-01,web,220.00,done"),
    "a guest's": ("orders", THREE, "A3,,2026-01-01,web,30.00,done"),
    "a payment of which little is known": (
        "payments", ["Y1,O1,,,,10.00", "Y2,O2,,,,20.00"], "Y3,O3,,,,30.00"),
    "a line without a product": (
        "order_lines", ["L1,O1,P1,1,5.00,", "L2,O1,P2,1,5.00,"], "L3,O2,,2,5.00,"),
    "an id that begins with the word": ("orders", THREE, "TOTAL-3,C1,2026-01-01,web,30.00,done"),
    "a customer with such a key": ("customers", ["C1,Ann,A,,,,,,"],
                                   "TOTAL,Total,Energies,t@example.com,1,Paris,,FR,b2b"),
    "a product of that name": ("products", ["P1,Cup,,,,2.00,"], "P2,Total,Food,,Fage,2.00,active"),
    "nothing adds up": ("orders", THREE, ",,,,31.00,"),
    "nothing": ("orders", ["A1,C1,2026-01-01,web,5.00,", "A2,C1,2026-01-01,web,-5.00,"], "A3,,,,0.00,"),
}


def read(path, source, lines, batch_rows=1000):
    path.write_text("\n".join([",".join(SOURCES[source].column_names), *lines, "", ""]), encoding="utf-8")
    header = read_header(path, SOURCES[source])
    batches = list(set_total_aside(
        read_batches(path, header, batch_rows), SOURCES[source],
        lambda name: read_batches(path, header, batch_rows, only=name)))
    keys = [key for batch in batches for key in batch.rows[SOURCES[source].key].to_pylist()]
    return keys, [tuple(line.values()) for batch in batches for line in batch.rejected.to_pylist()]


@pytest.mark.parametrize(("source", "rows", "last", "reason"), TOTALS.values(), ids=TOTALS)
@pytest.mark.parametrize("batch_rows", [1, 3, 1000])
def test_a_total_is_set_aside(tmp_path, source, rows, last, reason, batch_rows):
    keys, rejected = read(tmp_path / "a.csv", source, [*rows, last], batch_rows)
    assert keys == [row.partition(",")[0] for row in rows]
    [(line, _, rule, why)] = rejected
    assert (line, rule) == (len(rows) + 2, "total_row")
    assert re.search(reason, why), why


@pytest.mark.parametrize(("source", "rows", "last"), ROWS.values(), ids=ROWS)
def test_a_row_is_no_total(tmp_path, source, rows, last):
    keys, rejected = read(tmp_path / "a.csv", source, [*rows, last])
    assert (keys, rejected) == ([row.partition(",")[0] or None for row in [*rows, last]], [])


@pytest.mark.parametrize(("source", "rows", "totals"), AMONG.values(), ids=AMONG)
@pytest.mark.parametrize("batch_rows", [1, 2, 1000])
def test_a_row_whose_key_is_a_word_for_a_total_is_set_aside_wherever_it_stands(
        tmp_path, source, rows, totals, batch_rows):
    keys, rejected = read(tmp_path / "a.csv", source, rows, batch_rows)
    assert keys == [row.partition(",")[0] for line, row in enumerate(rows, 2) if line not in totals]
    assert [(line, rule) for line, _, rule, _ in rejected] == [(line, "total_row") for line in totals]
    assert all(why.startswith("a total, no row: it says ") for *_, why in rejected)


@pytest.mark.parametrize(("source", "rows"), NONE_AMONG.values(), ids=NONE_AMONG)
def test_a_row_that_only_looks_like_a_total_is_a_row(tmp_path, source, rows):
    keys, rejected = read(tmp_path / "a.csv", source, rows)
    assert (keys, rejected) == ([row.partition(",")[0] for row in rows], [])


@pytest.mark.parametrize("batch_rows", [1, 1000])
def test_a_total_below_subtotals_is_the_sum_of_the_rows_alone(tmp_path, batch_rows):
    rows = [THREE[0], "Subtotal,,,,10.00,", THREE[1], "Subtotal,,,,20.00,", "Total,,,,30.00,"]
    keys, rejected = read(tmp_path / "a.csv", "orders", rows, batch_rows)
    assert (keys, [line for line, *_ in rejected]) == (["A1", "A2"], [3, 5, 6])
    assert "is the sum of the 2 other rows" in rejected[-1][3]


def test_sums_are_exact(tmp_path):
    lines = [f"A{n},C1,2026-01-01,web,0.1,done" for n in range(10)]
    _, [(*_, why)] = read(tmp_path / "a.csv", "orders", [*lines, "Total,,,,1,"])
    assert "is the sum of the 10 other rows" in why


def test_a_row_that_is_no_total_costs_no_second_reading(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text("\n".join([",".join(SOURCES["orders"].column_names), *THREE]))
    header = read_header(path, SOURCES["orders"])
    [batch] = set_total_aside(read_batches(path, header), SOURCES["orders"], None)
    assert batch.rows.num_rows == 2
