"""What a step remembers of the rows that it wrote: a few of each kind, before and after."""

from conftest import CUSTOMERS, LINES, ORDERS, Shop

from lib.step import samples


def samples_of(result) -> dict:
    """Return the samples of all tables of a run."""
    return {table: kinds for step in result.steps if step.record for table,
            kinds in step.record.get("samples", {}).items()}


def test_a_changed_row_is_shown_with_the_columns_that_differ(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O1,C1,2025-01-01,,15.50,PAID", "O2,C2,2025-01-02,,10.00,placed")
    seen = samples_of(run())
    changed = [{"key": "O1", "columns": {"total_amount": [14.0, 15.5], "status": ["PLACED", "PAID"]}}]
    assert seen["fact_orders"] == {"changed": changed, "added": [], "removed": []}
    assert seen["sales_summary_daily"]["changed"] == [
        {"key": "2025-01-01", "columns": {"total_sales": [14.0, 15.5], "open_amount": [0.0, 1.5]}}]
    assert [row["key"] for row in seen["reporting_sales_wide"]["changed"]] == ["L1", "L2"]


def test_an_added_row_is_shown_whole_beside_a_changed_one(small: Shop, run):
    small.deliver("order_lines_2.csv", LINES, "L1,O1,P1,3,2.00,", "L4,O2,P1,1,2.00,0.50")
    seen = samples_of(run())["fact_order_lines"]
    assert seen["changed"] == [{"key": "L1", "columns": {"quantity": [2.0, 3.0]}}]
    assert seen["added"] == [{"key": "L4", "row": {
        "order_id": "O2", "product_id": "P1", "quantity": 1.0, "unit_price": 2.0, "discount_amount": 0.5,
        "is_deleted": 0}}]


def test_a_row_that_a_snapshot_left_out_is_shown_as_removed_also_in_gold(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O1,C1,2025-01-01,,14.00,placed")
    seen = samples_of(run(snapshot=("orders",), snapshot_limit=1.0))
    assert [(row["key"], row["row"]["total_amount"]) for row in seen["fact_orders"]["removed"]] == [
        ("O2", 10.0)]
    assert seen["fact_orders"]["changed"] == []
    assert [row["key"] for row in seen["reporting_customer_stats"]["removed"]] == ["C2"]
    assert [row["key"] for row in seen["sales_summary_daily"]["removed"]] == ["2025-01-02"]


def test_a_few_rows_of_each_kind_are_kept_and_long_text_is_clipped(small: Shop, run):
    small.deliver("customers_2.csv", CUSTOMERS, "C1,Anna,A,,,,,,vip",
                  *(f"N{number},{'x' * 500},,,,,,," for number in range(9)))
    seen = samples_of(run())["dim_customers"]
    assert [row["key"] for row in seen["added"]] == [f"N{number}" for number in range(samples.FEW)]
    name = seen["added"][0]["row"]["first_name"]
    assert (len(name), name[-1]) == (samples.CLIPPED, "…")
    assert seen["changed"] == [{"key": "C1", "columns": {"first_name": ["Ann", "Anna"]}}]
