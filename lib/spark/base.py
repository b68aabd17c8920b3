"""What the steps share on Spark: a session, the tables that they write, and gates where the rows are."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pandas as pd
from deltalake.exceptions import DeltaError

from lib.errors import first_line
from lib.spark.address import warehouse_address
from lib.spark.gate import SparkGate
from lib.spark.rows import Rows
from lib.spark.session import open_session
from lib.spark.sql import in_spark
from lib.spark.tables import VERSIONS, Tables
from lib.step.phases import timed
from lib.storage import commits
from lib.storage.sql import quoted


class SparkStep:
    """Mixed in before the class of a step: rows are on Spark, and the layer's file is their catalog.

    The file also holds what is small, such as the log of commits, the deliveries and the quarantine.
    """

    engine = "spark"
    more_tables: Sequence[str] = ()  # that the step writes besides its outputs

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.address = warehouse_address(self.parameters.warehouse)

    def _open_output(self) -> None:
        super()._open_output()
        self.output.create_table("table_versions", VERSIONS, serial="version_id")
        self.session = self._commit.enter_context(ExitStack())
        self.spark = self.session.enter_context(open_session(
            self.parameters.master, f"{self.spec.name} {self.batch_id}", self.run_folder / "spark.log"))
        self.tables = Tables(self.spark, self.address, self.output)
        self.tables.take_back([*self.spec.outputs, *self.more_tables])
        self._commit.push(self._commit_tables)

    def _commit_tables(self, kind: type | None, *_: object) -> None:
        """Commit the tables, unless the step failed. The layer's file, committed next, publishes them."""
        if kind is None:
            next_row_ids = {table: change.next_row_id for table, change in self.table_changes.items()}
            self.tables.commit(next_row_ids, self.batch_id)
            self._pins = self.tables.pins()
            self._kept_session = self.session.pop_all()  # the notebook goes on to show what was published

    def begin_change(self, table: str, serial: str | None) -> commits.TableChange:
        change = super().begin_change(table, None)
        change.first_row_id = change.next_row_id = self.tables.next_row_id(table)
        return change

    @timed("publish")
    def publish(self) -> dict:
        record = super().publish()
        try:
            self.tables.prune(self._pins)
        except (DeltaError, OSError) as error:
            # The step is published all the same, and the next change of a table prunes it.
            record["warnings"].append(f"old files of {self.spec.writes} could not be deleted from the "
                                      f"warehouse: {first_line(error)}")
            self.progress.end(record)
        return record

    @timed("gates")
    def check(self, suite: str, rows: Rows | pd.DataFrame) -> Rows | pd.DataFrame:
        """Return the rows that pass the suite; the others are quarantined, or the step fails."""
        if isinstance(rows, pd.DataFrame):
            self.check(suite, Rows(self.spark.createDataFrame(rows)))
            return rows
        if not rows.count():
            return rows
        if not isinstance(self._gate, SparkGate):
            self._gate = SparkGate(self.run_folder, self.batch_id)
        refused = self._gate.check(suite, rows, self.describe_rows, self.name_rows)
        if refused is None:
            return rows
        refused.persist()
        self.refuse(suite, rows, refused)
        return rows.of(rows.frame.join(refused.select(rows.key), rows.key, "left_anti"))

    def show(self, table: str, columns: Sequence[str], rest: str = "") -> pd.DataFrame:
        """Return columns of a table as published; `rest` is SQL after its name (where, order by, limit)."""
        self.tables.read(table).createOrReplaceTempView("shown")
        return self.spark.sql(in_spark(f"select {quoted(columns)} from shown {rest}", "sqlite")).toPandas()
