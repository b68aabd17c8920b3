"""A file or folder that belongs to no source is named, with the reason and the source that it would be."""

import re

import pytest
from conftest import ORDERS, Shop

from lib.errors import UsageError
from lib.ingest.deliveries import check_source, find_deliveries

# A name, and what is said about it.
STRAYS = {
    "orders.parquet": "would be orders.* not .parquet",
    "Orders (1).pdf": "would be orders.* not .pdf",
    "order_lines_2026.csv.bak": "would be order_lines.* not .bak",
    "orders": "would be orders.* no ending",
    "payments/2026.json": "would be payments.* not .json",
    "ordres.csv": "did you mean orders.csv",
    "order lines.csv": "did you mean order_lines.csv",
    "shop_customers_2026-01-31.csv": "did you mean customers.csv",
    "prices.csv": "no source has such a name",
    "order/1.csv": "did you mean orders/",  # said of the folder
}


@pytest.mark.parametrize(("name", "words"), STRAYS.items(), ids=STRAYS)
def test_a_stray_says_which_source_it_would_be(tmp_path, name, words):
    shop = Shop(tmp_path)
    shop.deliver(name, "a,b")
    [found] = find_deliveries(shop.source, [], settled_seconds=0)
    assert (found.status, found.name) == ("stray", "order/" if name == "order/1.csv" else name)
    assert re.search(words, found.note), found.note


@pytest.mark.parametrize("name", ["archive/notes.csv", "orders_old/1.csv", "2026/a.csv"])
def test_a_folder_for_other_things_is_not_reported_where_there_are_deliveries(tmp_path, name):
    shop = Shop(tmp_path)
    shop.deliver(name, ORDERS)
    assert find_deliveries(shop.source, [], settled_seconds=0) == []


def test_a_source_folder_in_which_no_file_belongs_to_a_source_says_which_and_why(tmp_path):
    shop = Shop(tmp_path)
    for name in ("orders.json", "oders.csv", "archive/orders.csv", ".hidden", "orders.csv.part"):
        shop.deliver(name, "a")
    with pytest.raises(UsageError, match=(
            r"holds no delivery: oders\.csv \(did you mean orders\.csv\?\), orders\.json \(it would be .*\), "
            r"orders\.csv\.part \(.*unfinished.*\), archive/ \(only folders .*\)\. Put")) as error:
        check_source(shop.source)
    assert ".hidden" not in str(error.value)
    for number in range(7):
        shop.deliver(f"note {number}.txt", "a")
    with pytest.raises(UsageError, match=r"note 4\.txt \(no source has such a name\) and 6 more\. Put"):
        check_source(shop.source)
