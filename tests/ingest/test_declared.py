"""A file in the form of a system: currencies, sheets, archives and orders whose rows disagree."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import xlsxwriter

from lib.contract import SHOP
from lib.errors import PipelineError
from lib.ingest.claims import claim
from lib.ingest.declared import Opened, open_rows
from lib.ingest.named import Claim, Unclaimed
from lib.systems import system_named

HEADER = ("Name,Email,Financial Status,Paid at,Currency,Shipping,Taxes,Total,Created at,Lineitem quantity,"
          "Lineitem name,Lineitem price,Lineitem sku,Lineitem discount")
FIRST = "#1,a@x.org,paid,,EUR,1.00,0,5.00,2026-01-31 10:00:00 +0100,2,Cup,2.00,P1,0"
SECOND = "#2,b@x.org,paid,,USD,0,0,3.00,2026-01-31 11:00:00 +0100,1,Pot,3.00,P2,0"


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "export.csv"
    path.write_text("\n".join([HEADER, FIRST, SECOND, ""]))
    return path


def opened(path: Path, source: str) -> Opened:
    return open_rows(path, "", system_named("shopify"), source)


def rows_of(found: Opened) -> tuple[list[dict], list[dict]]:
    batches = list(found.read())
    return ([row for batch in batches for row in batch.rows.to_pylist()],
            [row for batch in batches for row in batch.rejected.to_pylist()])


def test_an_export_is_recognised_by_its_header_whatever_its_name(export):
    assert {(one.system, one.source) for one in claim(export, export.name)} == {
        ("shopify", source) for source in ("customers", "products", "orders", "order_lines", "payments")}


def test_rows_in_another_currency_than_the_shops_are_set_aside_with_the_reason(export, monkeypatch):
    monkeypatch.setitem(vars(SHOP), "currency", "EUR")
    rows, rejected = rows_of(opened(export, "order_lines"))
    assert [row["order_id"] for row in rows] == ["#1"]
    assert [(row["source_row"], row["reason"]) for row in rejected] == [
        (3, "the amounts are in USD, and those of the shop in EUR")]


def test_what_has_rows_in_the_shops_currency_too_is_not_lost_and_the_rest_counts_once(export, monkeypatch):
    """Of a file with a row for each line, a product or an order is one row however many lines it has."""
    monkeypatch.setitem(vars(SHOP), "currency", "EUR")
    more = ["#2,,,,,,,,,1,Cup,2.00,P1,0",
            "#3,a@x.org,paid,,EUR,0,0,2.00,2026-01-31 12:00:00 +0100,1,Cup,2.00,P1,0"]
    export.write_text("\n".join([HEADER, FIRST, SECOND, *more, ""]))
    counted = {source: tuple(map(len, rows_of(opened(export, source))))
               for source in ("products", "orders", "order_lines")}
    assert counted == {"products": (1, 1), "orders": (2, 1), "order_lines": (2, 2)}


def test_a_file_with_several_currencies_is_refused_while_the_shop_declares_none(export):
    with pytest.raises(PipelineError, match=r"export\.csv: the amounts are in EUR and USD\. .*shop\.yaml"):
        rows_of(opened(export, "orders"))


def test_a_total_that_is_no_sum_of_its_parts_is_reported_with_the_difference(tmp_path):
    path = tmp_path / "export.csv"
    path.write_text("\n".join([HEADER, FIRST.replace(",5.00,", ",5.25,"), ""]))
    assert opened(path, "orders").describe() == [
        "in 1 of 1 orders, the total is not the sum of lines + Shipping + Taxes, such as that of '#1': 5.25 "
        "instead of 5.00. All of them together differ by 0.25"]


def test_rows_of_an_order_that_disagree_are_reported_and_the_first_counts(tmp_path):
    path = tmp_path / "export.csv"
    path.write_text("\n".join([HEADER, FIRST, FIRST.replace(",paid,", ",pending,"), ""]))
    found = opened(path, "orders")
    [said, *_] = found.describe()
    assert said == ("in 1 of 1 orders, rows disagree about status, such as those of '#1': 'paid' in line 2, "
                    "'pending' in line 3. The first counts")
    assert [row["status"] for row in rows_of(found)[0]] == ["paid"]


def test_a_payment_number_of_several_orders_is_reported_as_only_the_first_counts(tmp_path):
    path = tmp_path / "orders.csv"
    header = ("order_id,order_date,status,order_currency,order_total,customer_email,item_name,item_quantity,"
              "item_subtotal,item_total,paid_date,transaction_id")
    path.write_text("\n".join([header, *(
        f"{order},2026-01-31,completed,EUR,10.00,a@x.org,Cup,1,10.00,10.00,2026-01-31,{payment}"
        for order, payment in [("1", "pi_1"), ("2", "pi_2"), ("2", "pi_2"), ("3", "pi_2")]), ""]))
    found = {source: open_rows(path, "", system_named("woocommerce"), source)
             for source in ("customers", "payments")}
    assert len(rows_of(found["payments"])[0]) == 2
    assert found["payments"].describe() == [
        "in 1 of 2 payments, rows disagree about order_id, such as those of 'pi_2': '2' in line 3, '3' "
        "in line 5. The first counts"]
    assert found["customers"].describe() == []


def test_a_changed_marker_for_missing_text_has_files_read_again(export):
    export.write_text("\n".join([HEADER, FIRST.replace(",P1,", ",-,"), ""]))
    system = system_named("shopify")
    with_marker = replace(system, missing=("-",))
    skus = [[row["product_id"] for row in rows_of(open_rows(export, "", one, "order_lines"))[0]]
            for one in (system, with_marker)]
    assert skus[0] == ["-"] and skus[1] != ["-"]
    assert with_marker.reading != system.reading


def test_the_tables_of_an_archive_and_the_sheets_of_a_workbook_are_claimed_by_their_names(tmp_path):
    with zipfile.ZipFile(tmp_path / "shop.zip", "w") as archive:
        archive.writestr("orders.csv", "order_id,order_date,total_amount\nO1,2026-01-31,1.00\n")
        archive.writestr("notes.txt", "nothing\n")
    assert claim(tmp_path / "shop.zip", "shop.zip") == [
        Claim("shop.zip/orders.csv", "orders.csv", "shop_csv", "orders")]
    with xlsxwriter.Workbook(tmp_path / "orders.xlsx") as book:
        sheet = book.add_worksheet("Tabelle1")
        for row, cells in enumerate([("order_id", "order_date", "total_amount", "status"),
                                     (17, "2026-01-31", 0.1 + 0.2, "a\nb")]):
            sheet.write_row(row, 0, cells)
    [one] = claim(tmp_path / "orders.xlsx", "orders.xlsx")
    assert one == Claim("orders.xlsx", "Tabelle1", "shop_csv", "orders")
    [row], _ = rows_of(open_rows(tmp_path / "orders.xlsx", one.table, system_named(one.system), one.source))
    assert (row["order_id"], row["total_amount"], row["status"], row["source_row"]) == ("17", "0.3", "a b", 2)


def test_a_sheet_is_named_as_people_write_and_the_sheets_that_nobody_reads_are_told(tmp_path):
    with xlsxwriter.Workbook(tmp_path / "January.xlsx") as book:
        for name in ("Order Lines", "Refunds 2026", "payments"):
            book.add_worksheet(name).write_row(0, 0, ["x"])
        hidden = book.add_worksheet("Settings")
        hidden.write_row(0, 0, ["x"])
        hidden.hide()
    claims = claim(tmp_path / "January.xlsx", "January.xlsx")
    assert [(one.table, one.source, one.left_out) for one in claims] == [
        ("Order Lines", "order_lines", ("Refunds 2026",)), ("payments", "payments", ("Refunds 2026",))]


def test_a_file_that_nothing_claims_is_left(tmp_path):
    (tmp_path / "prices.csv").write_text("a,b\n1,2\n")
    with pytest.raises(Unclaimed):
        claim(tmp_path / "prices.csv", "prices.csv")
