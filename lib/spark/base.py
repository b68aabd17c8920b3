"""What the steps share on Spark: a session, the tables of the layer that they write, and the gate."""

from collections.abc import Sequence
from contextlib import ExitStack

import pandas as pd
from deltalake.exceptions import DeltaError

from lib.errors import first_line
from lib.spark.gate import SparkGate
from lib.spark.rows import Rows
from lib.spark.session import open_session, scratch
from lib.spark.sql import in_spark
from lib.spark.tables import VERSIONS, Tables
from lib.step.base import Step
from lib.step.phases import timed
from lib.storage import commits
from lib.storage.sql import quoted


class SparkStep(Step):
    """What the steps share on Spark. The layer's file is opened as always: it is the catalog, and holds what is small.

    Mixed in before the step whose work is done on Spark.
    """

    engine = "spark"
    master = ""
    address = ""  # of the warehouse
    more_tables: Sequence[str] = ()  # that the step writes besides its outputs

    def _open_output(self) -> None:
        super()._open_output()
        self.output.create_table("table_versions", VERSIONS, serial="version_id")
        self.session = self._commit.enter_context(ExitStack())
        self.spark = self.session.enter_context(open_session(
            self.master, f"{self.spec.name} {self.batch_id}", self.reports / "runs" / self.batch_id / "spark.log"))
        self.tables = Tables(self.spark, self.address, self.output)
        self.tables.take_back([*self.spec.outputs, *self.more_tables])
        self._commit.push(self._commit_tables)

    def _commit_tables(self, kind: type | None, *_: object) -> None:
        """Publish the tables with the layer's file, which commits next; or not, as it does not."""
        if kind is None:
            self.tables.commit({change.table: change.next_row_id for change in self._changes.values()}, self.batch_id)
            self._pins = self.tables.pins()
            self._kept_session = self.session.pop_all()  # what was published is yet to be shown

    def _begin_change(self, table: str, serial: str | None) -> commits.TableChange:
        change = super()._begin_change(table, None)
        change.first_row_id = change.next_row_id = self.tables.next_row_id(table)
        return change

    @timed("publish")
    def publish(self) -> dict:
        record = super().publish()
        try:
            self.tables.prune(self._pins)
        except (DeltaError, OSError) as error:  # what is published stays so; the next step that changes a table prunes it
            record["warnings"].append(f"old files of {self.spec.writes} could not be deleted from the warehouse: "
                                      f"{first_line(error)}")
        return record

    @timed("gates")
    def check(self, suite: str, rows: Rows | pd.DataFrame) -> Rows | pd.DataFrame:
        """Return the rows that may pass the suite; the others go to the quarantine, or the step fails (see lib.step.gate)."""
        if isinstance(rows, pd.DataFrame):
            self.check(suite, Rows(self.spark.createDataFrame(rows)))
            return rows
        if rows.frame.isEmpty():
            return rows
        if not isinstance(self._gate, SparkGate):
            self._gate = SparkGate(self.reports / "runs" / self.batch_id, self.batch_id, scratch())
        refused = self._gate.check(suite, rows, self.describe_rows)
        if refused is None:
            return rows
        refused.persist()
        self.quarantine(suite, rows, refused)
        return rows.of(rows.frame.join(refused.select(rows.key), rows.key, "left_anti"))

    def show(self, table: str, columns: Sequence[str], rest: str = "") -> pd.DataFrame:
        """Return columns of a table as it is published; `rest` is the SQL behind its name (where, order by, limit)."""
        self.tables.read(table).createOrReplaceTempView("shown")
        return self.spark.sql(in_spark(f"select {quoted(columns)} from shown {rest}", "sqlite")).toPandas()
