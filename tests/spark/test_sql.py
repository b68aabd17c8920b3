"""The notebooks' SQL on Spark: the amounts are exactly those of DuckDB, and no table goes through the
driver."""

import json
import random
from decimal import Decimal

import duckdb
import pandas as pd
import pytest
from conftest import PROJECT

from lib.spark.gold import _storable
from lib.spark.sql import in_spark
from lib.step.query_ranges import storable as stored

from .local_spark import local  # noqa: F401

AMOUNTS = """
    select id, price,
        round(cast(quantity as decimal(19, 3)) * cast(
            case when abs(price) < 1e9 then cast(price as decimal(18, 6))
                else cast(price as decimal(18, 3)) end as decimal(18, 6)), 2) as gross,
        (2 * abs(cast(100 * total as hugeint)) + orders) // nullif(2 * orders, 0) as average_cents,
        case when orders = 0 then 1 else 0 end as is_none,
        date_diff('day', cast(day as date), cast('2026-01-01' as date)) as days
    from (select *, cast(amount as decimal(38, 2)) as total from amounts) as amounts
    order by id"""
TOTALS = f"""
    select count(*) as rows, sum(gross) as gross, sum(average_cents) / 100 as average, sum(is_none) as none,
        min(days) as least
    from ({AMOUNTS}) as amounts"""


@pytest.fixture(scope="module")
def amounts() -> pd.DataFrame:
    """Return prices and amounts, many of which give half cents when they are multiplied or divided."""
    chance = random.Random(7)
    rows = []
    for number in range(20_000):
        whole, decimals = chance.choice([(9, 6), (12, 3)])
        price = Decimal(chance.randrange(10 ** chance.randrange(1, whole + decimals))) / 10**decimals
        amount = Decimal(chance.randrange(10 ** chance.randrange(1, 16))) / 100
        quantity = chance.choice([1, -2, 0.5, 2.5, 0.333, 0.005, 12.125])
        rows.append((number, float(price), float(amount), quantity, chance.randrange(9),
                     f"20{chance.randrange(10, 27)}-0{chance.randrange(1, 10)}-28"))
    return pd.DataFrame(rows, columns=["id", "price", "amount", "quantity", "orders", "day"])


@pytest.mark.parametrize("query", [AMOUNTS, TOTALS], ids=["amounts", "totals"])
def test_amounts_are_those_of_duckdb_to_the_bit(local, amounts: pd.DataFrame, query: str):  # noqa: F811
    local.createDataFrame(amounts).createOrReplaceTempView("amounts")
    with duckdb.connect() as database:
        database.register("amounts", amounts)
        expected = stored(database.sql(query)).fetchall()
    found = sorted(map(tuple, _storable(local.sql(in_spark(query))).collect()))
    pairs = zip(found, sorted(expected), strict=True)
    differing = [(on_spark, in_duckdb) for on_spark, in_duckdb in pairs if on_spark != in_duckdb]
    assert not differing, differing[:3]


def test_no_notebook_uses_not_in_with_a_query():
    """For `not in (select …)`, Spark sends all rows of the query through the driver; `not exists` means the
    same."""
    for notebook in (PROJECT / "notebooks").glob("*.ipynb"):
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        code = "".join("".join(cell["source"]) for cell in cells)
        assert "not in (select" not in code, notebook.name
