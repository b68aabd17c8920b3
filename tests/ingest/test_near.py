"""A delivered name is near to the column that it most likely means, and to no other; a file in which a column
may be there under another name is refused."""

import pytest

from lib.contract import SOURCES
from lib.errors import PipelineError
from lib.ingest.header import read_header
from lib.ingest.near import nearest

# By source: the name in the contract, and delivered names that mean it.
NEAR = [
    ("customers", "city", ["cty"]),
    ("customers", "country", ["country_code"]),
    ("customers", "customer_id", ["cust_id"]),
    ("customers", "email", ["e-mail", "E-Mail Address", "mail"]),
    ("customers", "first_name", ["First-Name", "NameFirst"]),
    ("customers", "phone", ["Phone No."]),
    ("order_lines", "discount_amount", ["discount"]),
    ("order_lines", "order_line_id", ["line_id"]),
    ("order_lines", "product_id", ["productid"]),
    ("order_lines", "quantity", ["qty"]),
    ("order_lines", "unit_price", ["unitPrice", "price_unit", "price"]),
    ("orders", "channel", ["chanel"]),
    ("orders", "customer_id", ["CustomerID", "Customer Id", "id_customer", "custommer_id", "id_custommer"]),
    ("orders", "order_date", ["orderdate", "date_of_order", "date"]),
    ("orders", "order_id", ["id", "orders_id"]),
    ("orders", "status", ["order_status"]),
    ("orders", "total_amount", ["order_total", "total", "Amount Total"]),
    ("payments", "payment_amount", ["amount"]),
    ("payments", "payment_method", ["method"]),
    ("payments", "payment_status", ["paymentStatus", "status"]),
    ("products", "category", ["product_category"]),
    ("products", "product_name", ["name"]),
    ("products", "sub_category", ["Sub-Category"]),
]
# Names that mean something else.
FAR = [
    ("customers", "city", ["birth_date"]),
    ("customers", "country", ["zip_code", "order_count", "county", "currency"]),
    ("customers", "first_name", ["last_name", "company_name"]),
    ("customers", "state", ["name", "status"]),
    ("order_lines", "discount_amount", ["tax_amount", "line_amount"]),
    ("order_lines", "order_id", ["product_id", "order_line_id", "date"]),
    ("order_lines", "unit_price", ["phone"]),
    ("orders", "customer_id", ["id", "session_id"]),
    ("orders", "order_date", ["ship_date"]),
    ("orders", "order_id", ["card_id"]),
    ("orders", "status", ["state", "note", "payment_status"]),
    ("orders", "total_amount", ["shipping_amount", "total_weight", "total_items", "tax"]),
    ("payments", "payment_date", ["order_date"]),
    ("products", "category", ["subcategory"]),
    ("products", "sub_category", ["category"]),
    ("products", "unit_price", ["price_list"]),
]


@pytest.mark.parametrize(("source", "column", "names"), NEAR)
def test_a_name_is_near_across_case_separators_slips_and_the_order_of_words(source, column, names):
    assert [nearest(column, SOURCES[source], ["a note", name]) for name in names] == names


@pytest.mark.parametrize(("source", "column", "names"), FAR)
def test_a_name_with_other_words_is_not_near(source, column, names):
    assert nearest(column, SOURCES[source], names) is None


def test_of_several_names_the_most_likely_one_is_nearest():
    names = ["total tax", "order total", "Total Amout"]
    assert nearest("total_amount", SOURCES["orders"], names) == "Total Amout"
    assert nearest("order_id", SOURCES["order_lines"], ["OrderLineID", "OrderID"]) == "OrderID"


ORDERS = "order_id,customer_id,order_date,channel,total_amount,status"
# A header of orders, and what the error says, or which columns are absent.
HEADERS = {
    "quoted as delivered": (ORDERS.replace("order_id", "OrderID"),
                            r"lacks 'order_id' \(nearest: 'OrderID'\)\. It has 'OrderID', 'customer_id'"),
    "in another order of words": (ORDERS.replace("total_amount", "order_total"),
                                  "lacks 'total_amount' .*nearest: 'order_total'.*"
                                  "If 'order_total' means something else, add an empty column total_amount"),
    "nothing like it": (ORDERS.replace("order_id", "card_id"), r"lacks 'order_id' \(nothing like it\)"),
    "absent": (ORDERS.replace("status", "state"), ("status",)),
}


@pytest.mark.parametrize(("line", "expected"), HEADERS.values(), ids=HEADERS)
def test_a_header_is_refused_where_a_column_may_have_another_name(tmp_path, line, expected):
    path = tmp_path / "orders.csv"
    path.write_text(f"{line}\n1,2,3,4,5,6\n", encoding="utf-8")
    if isinstance(expected, str):
        with pytest.raises(PipelineError, match=expected):
            read_header(path, SOURCES["orders"])
    else:
        assert read_header(path, SOURCES["orders"]).absent == expected
