"""Totals that must agree in gold and curated, kept up to date at the cost of what changed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import duckdb
import pandas as pd
import pyarrow as pa

from lib.step.curated import DELETED
from lib.step.curated_reader import CuratedReader
from lib.step.raw_tables import SERIAL
from lib.steps import STEPS
from lib.storage.digest import scratch_database
from lib.storage.layer import Layer
from lib.storage.sql import quote, quoted

# From here on, two doubles next to each other are more than a cent apart, and the nearest one is off by at
# most this share of an amount; twice that, since it is turned into a decimal again.
EXACT_BELOW = 2 ** 46
LARGEST_ERROR = Decimal(2) ** -52

# What each commit left: the totals of a figure, exact decimals as text, the definition that they are totals
# of, and up to which commit of curated they count. (A step that dies after its commit does its batch again
# and must not count it twice.)
BALANCES = pa.schema([
    ("figure", pa.string()), ("definition", pa.string()), ("gold", pa.string()), ("curated", pa.string()),
    ("curated_timestamp", pa.string()), ("batch_id", pa.string()), ("aggregation_timestamp", pa.string())])


@dataclass(frozen=True)
class Figure:
    """A total that gold and curated must agree on: for each, a table and what one of its rows counts for.

    It is summed in decimals with two places, so that a sum does not depend on the order of rows. The second
    table may also be one of gold: then two tables of gold must agree.
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

    @property
    def is_count(self) -> bool:
        """Whether rows are counted: each one for a whole number, whatever its amounts."""
        return bool(re.fullmatch(r"(?s)\d+|case .* then \d+ else \d+ end", self.curated_amount.strip()))

    @property
    def is_within_gold(self) -> bool:
        return self.curated_table in STEPS["gold"].outputs


class ControlTotals:
    """The figures of a step and their totals in gold and curated, its own changes included."""

    def __init__(self, gold: Layer, curated: Layer, reader: CuratedReader, work: duckdb.DuckDBPyConnection):
        self._gold, self._curated, self._reader, self._work = gold, curated, reader, work
        self._totals: dict[Figure, dict[str, Decimal]] = {}  # by layer
        self._moved: dict[tuple[str, str], tuple[pa.Table, pa.Table]] = {}  # by curated table and commit

    def declare(self, figures: dict[str, tuple[str, str, str, str]], *, is_full: bool) -> None:
        """Go on from the last commit's totals. Sum new figures, and those of a full load, over all rows."""
        self._gold.create_table("balances", BALANCES, serial="balance_id")
        columns = ["definition", "gold", "curated", "curated_timestamp"]
        # Only the last commit's: a figure that it left out has missed changes since, and counts as new.
        kept = {row["definition"]: row for row in self._gold.read(
            "balances", columns, "where batch_id = (select max(batch_id) from balances)").to_pylist()}
        for figure in (Figure(name, *definition) for name, definition in figures.items()):
            if is_full:
                curated = Decimal(0) if figure.is_within_gold else self._sum_loaded(figure)
                self._totals[figure] = {"gold": Decimal(0), "curated": curated}
            elif last := kept.get(figure.definition):
                since = last["curated_timestamp"]
                change = Decimal(0) if figure.is_within_gold else self._sum_change(figure, since)
                curated = Decimal(last["curated"]) + change
                self._totals[figure] = {"gold": Decimal(last["gold"]), "curated": curated}
            else:
                gold = self._sum_gold(figure.gold_table, figure.gold_amount)
                curated = (self._sum_gold(figure.curated_table, figure.curated_amount)
                           if figure.is_within_gold else self._sum_curated(figure))
                self._totals[figure] = {"gold": gold, "curated": curated}

    def follow(self, table: str, rows: pa.Table, sign: int) -> None:
        """Add rows of gold that are written (1) to the totals, or take off those that are taken out (-1)."""
        followed = [(totals, "gold", figure.gold_amount)
                    for figure, totals in self._totals.items() if figure.gold_table == table]
        followed += [(totals, "curated", figure.curated_amount)
                     for figure, totals in self._totals.items() if figure.curated_table == table]
        if followed:
            sums = self._sums(rows, [amount for _, _, amount in followed])
            for (totals, side, _), total in zip(followed, sums, strict=True):
                totals[side] += sign * total

    def compare(self) -> pd.DataFrame:
        """Return each figure's total in gold and in curated as text, exact to the cent, one row per figure.

        Where they differ by no more than what doubles cannot hold of gold's rows, both are as in curated.
        """
        compared = []
        for figure, totals in self._totals.items():
            gold, curated = totals["gold"], totals["curated"]
            if gold != curated and abs(gold - curated) <= self._rounding(figure):
                gold = curated
            is_whole = figure.is_count and gold == int(gold) and curated == int(curated)
            places = 0 if is_whole else 2
            compared.append({"figure": figure.name, "gold": f"{gold:,.{places}f}",
                             "curated": f"{curated:,.{places}f}"})
        return pd.DataFrame(compared)

    def _rounding(self, figure: Figure) -> Decimal:
        """Return by how much gold's total may be off because its rows are doubles.

        Only a sum of a day or a customer can be so large that a double does not hold it to the cent.
        """
        size = f"abs({figure.gold_amount})"
        large = f"case when {size} >= {EXACT_BELOW} then {size} else 0 end"
        return self._sum_gold(figure.gold_table, large) * LARGEST_ERROR

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

    def _sum_gold(self, table: str, amount: str) -> Decimal:
        if self._gold.schema(table) is None:
            return Decimal(0)
        return self._sum_rows(self._gold, table, amount)

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
    """Return the query of the sums of some amounts over a table or query; zeros if it has no rows."""
    sums = ", ".join(f"coalesce(sum(cast({amount} as decimal(38, 2))), 0) as {quote(f'total_{number}')}"
                     for number, amount in enumerate(amounts))
    return f"select {sums} from {source}"
