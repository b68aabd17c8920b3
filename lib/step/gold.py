"""The step from curated to gold: SQL on named tables, for the rows that changes touch."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pandas as pd
import pyarrow as pa

from lib.step.base import Step
from lib.step.control_totals import ControlTotals
from lib.step.curated_reader import CuratedReader
from lib.step.frames import to_arrow
from lib.step.phases import timed
from lib.step.prefetch import prefetch
from lib.step.query_ranges import find_ranges, in_batches
from lib.step.raw_tables import SERIAL
from lib.step.working_database import create_table, insert, within_memory
from lib.step.writer import Writer
from lib.storage import commits
from lib.storage.sql import literal, quote


class GoldStep(Step):
    """The step from curated to gold: SQL over named tables, for what the changes touch."""

    def begin(self, stack: ExitStack) -> None:
        super().begin(stack)
        self._reader = CuratedReader(self.input, self.work, self.warehouse, self.spec.inputs, stack)
        self._totals = ControlTotals(self.output, self.input, self._reader, self.work)
        self._stamp = {"batch_id": self.batch_id, "aggregation_timestamp": self.timestamp}
        self.writer = Writer(self, self._stamp, keys_come_once=True, follow=self._totals.follow)
        self._rows_expected = 0  # of the query whose rows are being written, where that is known

    @timed("read")
    def changed(self, name: str, table: str, columns: Sequence[str]) -> None:
        """Make the table `name` of a curated table's rows that are new, and of those that they replaced.

        In a full load that is every row.
        """
        if self.is_full:
            self.load(name, table)
            return
        create_table(self.comparing, name, self.input.columns(table, columns).empty_table())
        history = f"{table}_replaced"
        replaced = commits.new_rows(self.input, history, self.watermark.timestamp)
        for origin, new in ((table, self.new[table]), (history, replaced)):
            if new:
                rows = self.input.read(origin, columns, f"where {SERIAL} >= ?", (new.first_row_id,))
                insert(self.comparing, name, rows)

    @timed("read")
    def load(self, name: str, table: str, **wanted: str) -> None:
        """Make the table `name` of the rows of a curated table in which a column has a value that a query
        returns, except deleted ones.

        `load("orders", "fact_orders", order_id="select …", order_date="select …")` loads what matches either.
        A full load loads every row.
        """
        if self.is_full:
            self.progress.say(f"reading {table}", self._reader.load_all(table))
            self.work.execute(f"create view {quote(name)} as select * from {quote(table)}")
        else:
            create_table(self.comparing, name, self._reader.schema(table).empty_table())
            for column, query in wanted.items():
                self._load_matching(name, table, column, query)

    def _load_matching(self, name: str, table: str, column: str, query: str) -> None:
        # In order, so that lookups find their pages in the cache.
        keys = self.work.sql(f"select distinct * from ({query}) as wanted(key) where key is not null "
                             "order by key").to_arrow_table().column(0)
        if len(keys):
            found = self._reader.look_up(table, column, keys)
            self.comparing.register("found", found)
            self.comparing.execute(f"insert into {quote(name)} select * from found anti join {quote(name)} "
                                   f"using ({quote(found.column_names[0])})")
            self.comparing.unregister("found")

    @timed("read")
    def published(self, name: str, table: str, columns: Sequence[str], where: str) -> None:
        """Make the table `name` of published rows of gold that meet a condition; empty in a full load."""
        if self.is_full or self.output.schema(table) is None:
            nothing = pa.schema([(column, pa.string()) for column in columns]).empty_table()
            create_table(self.comparing, name, nothing)
        else:
            create_table(self.comparing, name, self.output.read(table, columns, f"where {where}"))

    def define(self, name: str, sql: str) -> None:
        """Give a query a name, by which later queries read its rows."""
        self.work.execute(f"create or replace view {quote(name)} as {sql}")

    @timed("compute")
    def table(self, name: str, sql: str) -> None:
        """Make a table of a query's result, which later queries read without computing it again."""
        within_memory(self.work, lambda: self.work.execute(f"create or replace table {quote(name)} as {sql}"))

    def sizes(self, *names: str) -> pd.DataFrame:
        """Return how many rows tables have that this step has made, for a notebook to show."""
        counts = [self.work.execute(f"select count(*) from {quote(name)}").fetchall()[0][0] for name in names]
        return pd.DataFrame({"table": names, "rows": counts})

    @timed("compute")
    def batches(self, sql: str, *, by: str = "") -> Iterator[pd.DataFrame]:
        """Yield a query's result in batches; at least one, empty when there are no rows.

        With `by`, a column of the result, a long result is computed a range of that column at a time.
        """
        batch_rows = self.parameters.batch_rows
        self._rows_expected, conditions = find_ranges(self.work, sql, by, batch_rows) if by else (0, ["true"])
        for rows in prefetch(in_batches(self.work, sql, conditions, batch_rows)):
            yield rows.to_pandas()

    @timed("write")
    def upsert(self, table: str, rows: pd.DataFrame, *, key: str, indexes: Sequence[str] = ()) -> None:
        """Write rows by key; only what differs is written. `remove_missing` then takes out the others."""
        count, incoming = self.count(table), to_arrow(rows)
        if not count.read:
            self._report_progress(table, 0)
        written = self.writer.write(table, incoming, key)
        count.read += len(rows)
        count.add(written, len(rows))
        self._report_progress(table, count.read)
        self.work.execute("create table if not exists produced_keys (table_name varchar, record_key varchar)")
        if not self.table_changes[table].was_empty:
            insert(self.comparing, "produced_keys",
                   pa.table({"table_name": pa.repeat(table, len(rows)), "record_key": incoming[key]}))
        self.index_later(table, *indexes)

    @timed("write")
    def remove_missing(self, table: str, *, key: str, affected: str) -> None:
        """Delete the rows of the affected keys that were not produced again."""
        if self.table_changes[table].was_empty:
            return
        produced = f"select record_key from produced_keys where table_name = {literal(table)}"
        missing = self.work.sql(f"select distinct affected_key from ({affected}) as affected(affected_key) "
                                f"where affected_key not in ({produced})").to_arrow_table().column(0)
        self.count(table).removed += self.writer.remove(table, missing, key)

    @timed("reconcile")
    def control_totals(self, figures: dict[str, tuple[str, str, str, str]]) -> None:
        """Declare, before anything is written, totals that gold and curated must agree on, for `reconcile`.

        A figure is a gold table and what one of its rows counts for, then a curated table and what one of its
        rows, unless deleted, counts for: SQL, in decimals with two places. Totals are kept from commit to
        commit, so their cost follows the change.
        """
        self._totals.declare(figures, is_full=self.is_full)

    @timed("reconcile")
    def reconcile(self) -> pd.DataFrame:
        """Return each figure's total in gold, as `publish` will leave it, and in curated."""
        self.output.flush()
        return self._totals.compare()

    def publish(self) -> dict:
        """Commit as every step does, with the totals that the next commit goes on from."""
        self.output.flush()
        self._totals.keep(self.reached, self._stamp)
        return super().publish()

    def record(self) -> dict:
        return super().record() | {"samples": self.writer.samples.tables}

    def _report_progress(self, table: str, rows: int) -> None:
        self.progress.say(table, rows, min(1.0, rows / self._rows_expected) if self._rows_expected else None)
