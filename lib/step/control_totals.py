"""The control totals, which must agree in gold and curated. Each commit updates them from what changed, as it
does digests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import duckdb
import pandas as pd
import pyarrow as pa

from lib.step.curated import DELETED
from lib.step.curated_reader import CuratedReader
from lib.step.raw_tables import SERIAL
from lib.storage.digest import scratch_database
from lib.storage.layer import Layer
from lib.storage.sql import quote, quoted

# What each commit left: the totals of a figure, exact decimals as text, the definition that they are totals
# of, and up to which commit of curated they count. (A step that dies after its commit does its batch again
# and must not count it twice.)
BALANCES = pa.schema([
    ("figure", pa.string()), ("definition", pa.string()), ("gold", pa.string()), ("curated", pa.string()),
    ("curated_timestamp", pa.string()), ("batch_id", pa.string()), ("aggregation_timestamp", pa.string())])


@dataclass(frozen=True)
class Figure:
    """A total that gold and curated must agree on: on each side a table, and what one of its rows counts for,
    in SQL.

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


class ControlTotals:
    """The figures of a step, and what each adds up to in gold and in curated, the step's own changes
    included.
    """

    def __init__(self, gold: Layer, curated: Layer, reader: CuratedReader, work: duckdb.DuckDBPyConnection):
        self._gold, self._curated, self._reader, self._work = gold, curated, reader, work
        self._totals: dict[Figure, dict[str, Decimal]] = {}  # by layer
        self._moved: dict[tuple[str, str], tuple[pa.Table, pa.Table]] = {}  # by curated table and commit

    def declare(self, figures: dict[str, tuple[str, str, str, str]], *, is_full: bool) -> None:
        """Take up the figures where the last commit left them; those of a full load, and new ones, are summed
        over all rows.
        """
        self._gold.create_table("balances", BALANCES, serial="balance_id")
        columns = ["definition", "gold", "curated", "curated_timestamp"]
        # Only the last commit's: a figure that it left out has missed changes since, and counts as new.
        kept = {row["definition"]: row for row in self._gold.read(
            "balances", columns, "where batch_id = (select max(batch_id) from balances)").to_pylist()}
        for figure in (Figure(name, *definition) for name, definition in figures.items()):
            if is_full:
                self._totals[figure] = {"gold": Decimal(0), "curated": self._sum_loaded(figure)}
            elif last := kept.get(figure.definition):
                change = self._sum_change(figure, last["curated_timestamp"])
                curated = Decimal(last["curated"]) + change
                self._totals[figure] = {"gold": Decimal(last["gold"]), "curated": curated}
            else:
                self._totals[figure] = {"gold": self._sum_gold(figure), "curated": self._sum_curated(figure)}

    def follow(self, table: str, rows: pa.Table, sign: int) -> None:
        """Add rows of gold that are written (1) to the totals, or take off those that are taken out (-1)."""
        figures = [figure for figure in self._totals if figure.gold_table == table]
        if figures:
            sums = self._sums(rows, [figure.gold_amount for figure in figures])
            for figure, total in zip(figures, sums, strict=True):
                self._totals[figure]["gold"] += sign * total

    def compare(self) -> pd.DataFrame:
        """Return each figure's total in gold and in curated, one row per figure."""
        return pd.DataFrame([
            {"figure": figure.name, "gold": float(totals["gold"]), "curated": float(totals["curated"])}
            for figure, totals in self._totals.items()])

    def keep(self, curated_timestamp: str, stamp: dict[str, str]) -> None:
        """Write the totals from which the next commit goes on."""
        rows = [{"figure": figure.name, "definition": figure.definition, "gold": f"{totals['gold']:.2f}",
                 "curated": f"{totals['curated']:.2f}", "curated_timestamp": curated_timestamp, **stamp}
                for figure, totals in self._totals.items()]
        self._gold.insert("balances", pa.Table.from_pylist(rows, schema=BALANCES))

    def _sums(self, rows: pa.Table, amounts: Sequence[str]) -> list[Decimal]:
        with scratch_database().cursor() as connection:
            connection.register("counted", rows)
            return list(connection.execute(sum_amounts(amounts, "counted")).fetchall()[0])

    def _sum_loaded(self, figure: Figure) -> Decimal:
        self._reader.load_all(figure.curated_table)
        query = sum_amounts([figure.curated_amount], quote(figure.curated_table))
        return self._work.execute(query).fetchall()[0][0]

    def _sum_gold(self, figure: Figure) -> Decimal:
        if self._gold.schema(figure.gold_table) is None:
            return Decimal(0)
        return self._sum_rows(self._gold, figure.gold_table, figure.gold_amount)

    def _sum_curated(self, figure: Figure) -> Decimal:
        where = f"where {DELETED} = 0"
        return self._sum_rows(self._curated, figure.curated_table, figure.curated_amount, where)

    def _sum_rows(self, layer: Layer, table: str, amount: str, where: str = "") -> Decimal:
        schema = layer.columns(table, [name for name in layer.schema(table).names if name != SERIAL])
        batches = layer.batches(f"select {quoted(schema.names)} from {quote(table)} {where}", schema)
        return sum((self._sums(pa.Table.from_batches([batch]), [amount])[0] for batch in batches), Decimal(0))

    def _sum_change(self, figure: Figure, since: str) -> Decimal:
        """Return by how much a total has changed in curated since a commit."""
        table = figure.curated_table
        if (table, since) not in self._moved:
            self._moved[table, since] = self._reader.removed_and_added(table, since)
        removed, added = self._moved[table, since]
        return self._sums(added, [figure.curated_amount])[0] - self._sums(removed, [figure.curated_amount])[0]


def sum_amounts(amounts: Sequence[str], source: str) -> str:
    """Return the query of the sums of some amounts over `source`, a table or query: one row, zeros where
    there are no rows.
    """
    sums = ", ".join(f"coalesce(sum(cast({amount} as decimal(18, 2))), 0) as {quote(f'total_{number}')}"
                     for number, amount in enumerate(amounts))
    return f"select {sums} from {source}"
