"""What all steps share: the gate, the counts that must add up, and publishing all of it or nothing."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from sqlite3 import Connection
from typing import TypeVar

import duckdb
import pandas as pd
import pyarrow as pa

from lib.errors import PipelineError
from lib.step.fingerprint import mix, take_fingerprint
from lib.step.gate import Gate
from lib.step.phases import Phases, timed
from lib.step.progress import Progress
from lib.steps import STEPS
from lib.storage import audit, commits
from lib.storage.layer import Layer, open_layer

WORK_MEMORY, MORE_MEMORY = "400MB", "1GB"  # of a working database; when that was too little
SAMPLE = 3  # rows shown of what was set aside
SAMPLE_TEXT = 300  # characters of such a row's text

Result = TypeVar("Result")


@dataclass
class Count:
    """Rows of one table in a step: read = added + changed + unchanged + quarantined, and those removed or set aside."""

    read: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    quarantined: int = 0
    duplicates: int = 0
    removed: int = 0

    def verify(self, table: str) -> None:
        """Raise PipelineError when a row was lost or counted twice."""
        if self.read != self.added + self.changed + self.unchanged + self.quarantined + self.duplicates:
            raise PipelineError(f"{table}: {self.read} rows were read but {self} does not add up. Nothing was written; "
                                "this is a defect of the pipeline: report it with the run's folder.")


class Abandoned(Exception):
    """Unwinds a step that is not to be published."""


class Step:
    """What all steps share. Everything written becomes visible with `publish`: all of it, or nothing."""

    engine = "sqlite"
    quarantine_limit = 0.1  # the largest share of a delivery that may be set aside

    def __init__(self, name: str, log: Connection, source: Path, warehouse: Path, reports: Path, batch_id: str, now: str,
                 full_refresh: bool, batch_rows: int):
        self.spec = STEPS[name]
        self.source, self.warehouse, self.reports = source, warehouse, reports
        self.batch_id, self.now, self.batch_rows = batch_id, now, batch_rows
        self.is_full = full_refresh and name != "raw"  # raw is never rebuilt: it is what the others are rebuilt from
        self.counts: dict[str, Count] = {}
        self.warnings: list[str] = []
        self.set_aside: list[dict] = []  # per table and rule: the reason, how many rows, and the first of them
        self.stack = ExitStack()
        self.phases = Phases()
        self.progress = Progress(reports / "runs" / batch_id)
        self._log = log
        self._gate: Gate | None = None
        self._changes: dict[str, commits.TableChange] = {}
        self._indexes: list[tuple[str, str, bool]] = []  # table, column, whether each value is there once

    @timed("open")
    def begin(self, stack: ExitStack) -> None:
        """Append the RUNNING row, read the watermark, open the layers and the working database."""
        self._execution = audit.start_execution(self._log, self.batch_id, self.spec.name, self.spec.writes)
        self.watermark = audit.read_watermark(self._log, self.spec.name)
        self._rules = take_fingerprint(self.spec)
        self.work = stack.enter_context(working_database())
        self._compare = stack.enter_context(self.work.cursor())
        self._commit = stack.enter_context(ExitStack())
        self._open_output()
        self.timestamp = commits.next_timestamp(self.output, self.now)
        self.reached, last = self.watermark.timestamp, commits.last_timestamp(self.output, self.spec.name)
        if self.spec.reads == "source":
            self.reached = max(self.reached, last)  # later than the watermark if a run died between the two commits
        else:
            self._open_input(stack)
            if self.watermark != audit.Watermark() and not last:
                self.is_full = True  # somebody has moved the layer's file aside
            since = audit.INITIAL if self.is_full else self.watermark.timestamp
            self._new = {table: commits.new_rows(self.input, table, since) for table in self.spec.inputs}
            is_first = self.watermark == audit.Watermark()
            self.is_full = self.is_full or is_first or any(new.is_rebuild for new in self._new.values() if new)
            # everything committed to the input so far is seen: what is news of this step, and that the rest is none
            self.reached = self.input.scalar("select max(committed_timestamp) from layer_commits") or self.reached

    def _open_output(self) -> None:
        """Open the layer that the step writes, which is committed as soon as `_commit` is closed."""
        self.output: Layer = self._commit.enter_context(open_layer(self.warehouse, self.spec.writes, write=True))
        commits.check_engine(self.output, self.engine)
        commits.create_system_tables(self.output)

    def _open_input(self, stack: ExitStack) -> None:
        self.input = stack.enter_context(open_layer(self.warehouse, self.spec.reads))

    def _begin_change(self, table: str, serial: str | None) -> commits.TableChange:
        """Return a table's state before the step changes it; `serial` is the column that numbers its rows."""
        return commits.begin_change(self.output, table, serial)

    @timed("gates")
    def check(self, suite: str, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows that may pass the suite; the others go to the quarantine, or the step fails (see lib.step.gate).

        No rows, no question: a suite says nothing about an empty batch.
        """
        if rows.empty:
            return rows
        if self._gate is None:
            self._gate = Gate(self.reports / "runs" / self.batch_id, self.batch_id)
        refused = self._gate.check(suite, rows, self.describe_rows)
        if refused.empty:
            return rows
        self.quarantine(suite, rows.loc[refused.index], refused)
        return rows.drop(index=refused.index)

    def describe_rows(self, rows: pd.DataFrame) -> list[str]:
        """Return rows as one line each, for a person who has to find them."""
        return as_text(rows)

    def quarantine(self, suite: str, rows: pd.DataFrame, refused: pd.DataFrame) -> None:
        """Set rows aside that a gate refused; a step whose rows cannot be set aside fails."""
        raise PipelineError(f"gate {suite}: {refused.rule.iloc[0]} asks for a quarantine, which {self.spec.writes} has not. "
                            f'Set its meta.on_failure to "fail" or "warn" in gx/expectations/{suite}.json.')

    def put_into_quarantine(self, table: str, rows: pd.DataFrame) -> None:
        """Count rows as quarantined and write them: source_name, source_filename, source_row, rule, reason, raw_text and more."""
        if rows.empty:
            return
        self.count(table).quarantined += len(rows)
        self.output.insert("quarantine", to_arrow(rows.assign(
            table_name=table, batch_id=self.batch_id, quarantined_timestamp=self.timestamp)))
        for (rule, reason), group in rows.groupby(["rule", "reason"], sort=False):
            about = {"table": table, "rule": rule, "reason": reason}
            entry = next((entry for entry in self.set_aside if about.items() <= entry.items()), None)
            if entry is None:
                self.set_aside.append(entry := about | {"rows": 0, "samples": []})
            entry["rows"] += len(group)
            first = group.head(SAMPLE - len(entry["samples"]))[["source_filename", "source_row", "raw_text"]]
            entry["samples"] += first.assign(raw_text=first["raw_text"].str.slice(0, SAMPLE_TEXT)).to_dict("records")

    def check_share(self, filename: str, quarantined: int, rows: int) -> None:
        """Raise PipelineError when so many of a delivery's rows were quarantined that it is the export that is broken.

        One bad row never is, however small the file.
        """
        if quarantined > max(1, self.quarantine_limit * rows):
            first = self.output.read("quarantine", ["source_row", "rule", "reason", "raw_text"],
                                     f"where batch_id = ? and source_filename = ? order by source_row limit {SAMPLE}",
                                     (self.batch_id, filename)).to_pylist()
            shown = in_deliveries([filename] * len(first), [row["source_row"] for row in first], [row["raw_text"] for row in first])
            raise PipelineError("\n  ".join([
                f"{filename}: {quarantined:,} of {rows:,} rows cannot be loaded, more than {self.quarantine_limit:.0%}: a broken "
                "export, not bad rows. Nothing was written. Deliver it again, corrected; or raise --quarantine-limit to load the "
                "rest.",
                *(f"{line}: {row['reason']} ({row['rule']})" for line, row in zip(shown, first, strict=True))]))

    @timed("publish")
    def publish(self) -> dict:
        """Commit what the step has written, then its log row and watermark; return the step's record.

        Raises PipelineError, and commits nothing, when the rows do not add up.
        """
        for table, count in self.counts.items():
            count.verify(table)
        self._put_off_indexes()
        self.output.flush()
        for change in self._changes.values():
            if change.added or change.changed or change.removed or change.is_rebuild:
                commits.record_change(self.output, change, self.batch_id, self.spec.name, self.timestamp)
        self._commit.close()
        record = self.record()
        audit.finish_execution(
            self._log, self._execution, "SUCCESS", rows_processed=record["rows_processed"],
            rows_quarantined=record["rows_quarantined"], table_digests=record["digests"],
            rules=self._made_by(),
            watermark=None if self.reached == self.watermark.timestamp
            else (self.spec.name, audit.Watermark(self.reached, self.batch_id)))
        self.stack.close()
        return record

    def _put_off_indexes(self) -> None:
        """Have the indexes made that were asked for so far, of tables that are written, beside what the step does next."""
        if indexes := list(dict.fromkeys(self._indexes)):
            self.output.submit(partial(self._make_indexes, indexes))
        self._indexes.clear()

    def _make_indexes(self, indexes: list[tuple[str, str, bool]]) -> None:
        for table, column, is_unique in indexes:
            self.output.index(table, column, unique=is_unique)

    def _made_by(self) -> dict[str, str] | None:
        """Return the rules by which the step's rows were made, None when the log has them already.

        Those of an increment that followed other rules than the rows before it are several: no step back makes them one again.
        """
        if self.is_full or self.spec.reads == "source":
            return self._rules
        before, _ = audit.read_rules(self._log, self.spec.name)
        mixed = mix(before, self._rules)
        return mixed if mixed != before else None

    def abandon(self) -> None:
        """Roll back what the step has written and let go of every file, so that a notebook can open it again."""
        with suppress(Abandoned), self.stack:
            raise Abandoned

    def record(self) -> dict:
        """Return what the step did, ready for JSON."""
        return {
            "step": self.spec.name, "batch_id": self.batch_id, "layer": self.spec.writes, "is_full": self.is_full,
            "rows_processed": sum(count.read for count in self.counts.values()),
            "rows_quarantined": sum(count.quarantined for count in self.counts.values()),
            "watermark_before": self.watermark.timestamp, "watermark_after": self.reached,
            "tables": {table: asdict(count) | {"rows_after": self._rows_after(table)} for table, count in self.counts.items()},
            "digests": {change.table: change.digest for change in self._changes.values()
                        if change.table in self.counts},
            "gates": [asdict(tally) for tally in self._gate.tallies.values()] if self._gate else [],
            "quarantine": self.set_aside,
            "warnings": self.warnings,
            "seconds": self.phases.so_far(),
            "peak_mib": getrusage(RUSAGE_SELF).ru_maxrss // 1024,
        }

    def summary(self) -> pd.DataFrame:
        """Return the step's counts, one row per table, for a notebook to show."""
        table = pd.DataFrame.from_dict({name: asdict(count) for name, count in self.counts.items()}, orient="index")
        return table.assign(rows_after=[self._rows_after(name) for name in self.counts])

    def gates(self) -> pd.DataFrame:
        """Return what the gates said, one row per expectation, for a notebook to show."""
        tallies = self._gate.tallies.values() if self._gate else []
        return pd.DataFrame([{"suite": t.suite, "expectation": t.rule, "rows": t.checked, "failing": t.failed,
                              "verdict": t.verdict, "sample": ", ".join(t.sample)} for t in tallies])

    def quarantined(self) -> pd.DataFrame:
        """Return what was set aside in this run, the first rows of each rule, for a notebook to show."""
        return pd.DataFrame([{"table": entry["table"], "rule": entry["rule"], "rows": entry["rows"], "reason": entry["reason"],
                              "delivery": row["source_filename"], "line": row["source_row"], "delivered": row["raw_text"]}
                             for entry in self.set_aside for row in entry["samples"]])

    def show(self, table: str, columns: Sequence[str], rest: str = "") -> pd.DataFrame:
        """Return columns of a table as it is published; `rest` is the SQL behind its name (where, order by, limit)."""
        with open_layer(self.warehouse, self.spec.writes) as layer:
            return layer.read(table, columns, rest).to_pandas()

    def count(self, table: str) -> Count:
        """Return the table's count, a new one when there is none."""
        return self.counts.setdefault(table, Count())

    def _rows_after(self, table: str) -> int:
        return self._changes[table].rows_after if table in self._changes else 0


@contextmanager
def working_database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an empty DuckDB database for a step's named tables, which goes on in a file when memory runs out; delete it after."""
    with (tempfile.TemporaryDirectory(prefix="pipeline-") as folder,
          duckdb.connect(config={"memory_limit": WORK_MEMORY, "temp_directory": folder}) as work):
        yield work


def within_memory(work: duckdb.DuckDBPyConnection, compute: Callable[[], Result]) -> Result:
    """Return what a query in a working database computes: by one thread, and with more memory, where it runs out for several.

    Each needs some that it cannot put aside into a file, and what is left to them differs from run to run.
    """
    try:
        return compute()
    except duckdb.OutOfMemoryException:
        work.execute("set threads = 1")
        work.execute(f"set memory_limit = '{MORE_MEMORY}'")
        return compute()


def as_text(rows: pd.DataFrame) -> list[str]:
    """Return each row as one line of JSON: its text as delivered, by column."""
    return rows.to_json(orient="records", lines=True, force_ascii=False).rstrip("\n").split("\n")


def in_deliveries(filenames: Iterable[str], numbers: Iterable[int], texts: Iterable[str]) -> list[str]:
    """Return rows as delivered as one line each: file, line and text."""
    return [f"{filename}, line {number}: {text[:SAMPLE_TEXT]}"
            for filename, number, text in zip(filenames, numbers, texts, strict=True)]


def to_arrow(rows: pd.DataFrame) -> pa.Table:
    """Return a frame as Arrow in the three types that a layer knows: text, integers and reals. NaN becomes null."""
    table = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata(None)
    types = [pa.int64() if pa.types.is_integer(f.type) or pa.types.is_boolean(f.type)
             else pa.float64() if pa.types.is_floating(f.type) else pa.string() for f in table.schema]
    return table.cast(pa.schema(list(zip(table.column_names, types, strict=True))))
