"""Totals that must agree in two layers, kept from commit to commit at the cost of what changed, as digests are."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import pyarrow as pa

from lib.storage.digest import scratch_database
from lib.storage.sql import quote

# What each commit left: the totals of a figure, exact decimals as text, the definition that they are totals of, and up to which
# commit of curated they count. (A step that dies behind its commit does its batch again, and must not count it twice.)
CONTROL_TOTALS = pa.schema([("figure", pa.string()), ("definition", pa.string()), ("gold", pa.string()), ("curated", pa.string()),
                      ("curated_timestamp", pa.string()), ("batch_id", pa.string()), ("aggregation_timestamp", pa.string())])


@dataclass(frozen=True)
class Figure:
    """A total that gold and curated must agree on: on each side a table, and what one of its rows counts for, in SQL.

    It is summed in decimals with two places, so that a sum does not depend on the order of rows.
    """

    name: str
    gold_table: str
    gold_amount: str
    curated_table: str
    curated_amount: str

    @property
    def definition(self) -> str:
        text = f"{self.gold_table}: {self.gold_amount} = {self.curated_table}: {self.curated_amount}"
        return " ".join(text.split())


def sum_amounts(amounts: Sequence[str], source: str) -> str:
    """Return the query of the sums of some amounts over `source`, a table or query: one row, zeros where there are no rows."""
    sums = ", ".join(f"coalesce(sum(cast({amount} as decimal(18, 2))), 0) as {quote(f'total_{number}')}"
                     for number, amount in enumerate(amounts))
    return f"select {sums} from {source}"


def sums_of(rows: pa.Table, amounts: Sequence[str]) -> list[Decimal]:
    """Return the sums of some amounts over rows."""
    with scratch_database().cursor() as connection:
        connection.register("counted", rows)
        return list(connection.execute(sum_amounts(amounts, "counted")).fetchall()[0])
