"""On Spark, too, one bad file keeps no good one out, and nothing of it is written."""

from pathlib import Path

import pytest
from conftest import CUSTOMERS, ORDERS, PRODUCTS
from pyspark.sql import SparkSession

from .spark_shop import digests
from .test_histories import in_tables, new_shops, one_session, patched, run  # noqa: F401


def test_both_engines_say_the_same(
        tmp_path: Path, spark: SparkSession, one_session: pytest.MonkeyPatch):  # noqa: F811
    lite, spark_shop = new_shops(tmp_path, spark)
    lite.deliver("customers.csv", CUSTOMERS, "C1,Ann,A,no mail,,,,,vip", ",Bob,B,,,,,,")
    lite.deliver("orders.csv", ORDERS, *(f"O{n},C1,2025-01-01,web,1.00,placed" for n in range(20)),
                 "O20,,2025-01-01,web,1.00,odd", "Subtotal,,2025-01-01,,20.00,", "O21,C1,x,web,1.00,odd")
    for name in ("products", "order_lines", "payments"):
        lite.deliver(f"{name}.csv", "id,b", "1,2")
    first = [run(shop, one_session, 1) for shop in (lite, spark_shop)]
    for result in first:
        assert all(f"{name}.csv, line 1: the header lacks" in result.error
                   for name in ("products", "order_lines", "payments"))
    assert first[0].error == first[1].error
    warnings = [sorted(result.warnings()) for result in first]
    assert warnings[0] == warnings[1]
    assert any("orders.csv, line 22, order_id 'O20': An order that names no" in line for line in warnings[0])
    lite.deliver("orders_2.csv", ORDERS, "O1,C1,2025-01-01,phone,1.00,placed",
                 "1e+15,C1,2025-01-01,,1.00,placed")
    warnings = [sorted(run(shop, one_session, 2).warnings()) for shop in (lite, spark_shop)]
    assert warnings[0] == warnings[1]
    assert any("never seen before: 'PHONE' (line 2)" in line for line in warnings[0])


def test_both_engines_leave_out_the_same_and_undo_it(
        tmp_path: Path, spark: SparkSession, patched: pytest.MonkeyPatch):  # noqa: F811
    lite, spark_shop = new_shops(tmp_path, spark)
    lite.deliver("customers.csv", CUSTOMERS, "C1,Ann,A,,,,,,vip")
    lite.deliver("orders.csv", ORDERS, "O1,C1,2025-01-01,,14.00,placed")
    lite.deliver("orders_2.csv", f"{ORDERS},coupon", "O2,C1,2025-01-02,,1.00,placed,X", *["O3,C1"] * 4)
    lite.deliver("orders_3.csv", "a,b", "1,2")
    lite.deliver("products.csv", PRODUCTS, "P1,Cup,Kitchen,,,2.00,")
    for shop in (lite, spark_shop):
        result = run(shop, patched, 1)
        assert result.verdict == "incomplete"
        assert "orders_2.csv: 4 of 5 rows" in result.error and "orders_3.csv, line 1" in result.error
        assert shop.counts("raw", "deliveries", "quarantine") == [3, 0]
        columns = shop.query("raw", "select name from pragma_table_info('orders')")
        assert ("coupon",) not in columns
    assert digests(spark_shop) == digests(lite)
    found = in_tables(spark_shop, spark)
    assert found["raw.orders"][0] == found["curated.fact_orders"][0] == 1
    lite.deliver("orders_2.csv", ORDERS, "O2,C1,2025-01-02,,1.00,placed")
    lite.deliver("orders_3.csv", ORDERS, "O1,C1,2025-01-01,,15.00,placed")
    for shop in (lite, spark_shop):
        assert run(shop, patched, 2).verdict == "success"
    assert digests(spark_shop) == digests(lite)
    assert in_tables(spark_shop, spark)["curated.fact_orders"][0] == 2
