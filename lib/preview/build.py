"""Build a copy of the warehouse by the rules as they are now, and compare it with the warehouse."""

import sqlite3
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from lib.clock import utc_now
from lib.errors import PipelineError, UsageError, explain
from lib.ingest.deliveries import write_list
from lib.preview import differences
from lib.preview.differences import Layers, Observed, SetAside, TableDifference, TotalDifference
from lib.preview.rules import RuleChange, find_rule_changes, is_observed
from lib.reproduce.verify import find_clock, open_layers
from lib.runner.console import Console
from lib.runner.decide import look_at_source
from lib.runner.kernels import KernelQueue
from lib.runner.result import RunResult
from lib.runner.run import run
from lib.steps import LAYERS, STEPS, Options
from lib.storage import audit, lookup
from lib.storage.lock import run_lock
from lib.storage.sql import file_uri


@dataclass(frozen=True)
class Preview:
    """What would become different, and why. `now` and `as_of` are the clock up to which both sides count.

    error: why a run would fail, "" if it would not; the tables are then those that it would have published.
    """

    warehouse: str
    now: str
    as_of: str
    deliveries: tuple[str, ...]  # which are read in addition
    rules: tuple[RuleChange, ...]
    rebuilt: tuple[str, ...]  # steps
    tables: tuple[TableDifference, ...]  # only those that differ
    totals: tuple[TotalDifference, ...]
    set_aside: tuple[SetAside, ...]
    observed: tuple[Observed, ...]
    warnings: tuple[str, ...]  # of that run, about the rows that it read
    error: str

    @property
    def is_different(self) -> bool:
        return bool(self.tables or self.set_aside)


def make_preview(options: Options, into: Path, *, with_new: bool) -> Preview:
    """Build the warehouse that a run would make now in the empty folder `into`, and compare the two.

    Without `with_new` only the rules count: the clock is that of the run that made gold, and no delivery is
    read that was not read before. Raises LockTaken when a run is going on, UsageError for Spark's tables, and
    PipelineError for a warehouse that has nothing to compare with, or that cannot be used.
    """
    with ExitStack() as stack:
        with run_lock(options.warehouse):  # only until both sides show the same state
            _copy_databases(options.warehouse, into / "warehouse")
            layers = open_layers(options.warehouse, stack)
            for layer in layers.values():
                if layer.schema("table_versions"):
                    raise UsageError(f"the rows of {options.warehouse} are in Spark's tables, which "
                                     "run_pipeline.py preview does not read.")
        with audit.open_audit(into / "warehouse") as log:
            changes = tuple(find_rule_changes(log))
            once = _options(options, into, find_clock(log, layers), with_new)
            observed = {step.name for step in STEPS.values() if step.reads != "source" and is_observed(step)}
            result = run(once, log, Console(), KernelQueue(), full=frozenset(observed), is_replay=True)
        return _compare(options, once, result, changes, layers, open_layers(into / "warehouse", stack))


def _copy_databases(warehouse: Path, into: Path) -> None:
    """Copy the databases of a warehouse. Raises PipelineError when there is nothing to copy."""
    if not (warehouse / "raw.db").exists():
        raise PipelineError(f"there is nothing to compare with in {warehouse}: no run has read anything. Run "
                            "run_pipeline.py first.")
    into.mkdir(parents=True)
    for name in ("audit", *LAYERS):
        path = warehouse / f"{name}.db"
        if path.exists():
            try:
                with (closing(sqlite3.connect(file_uri(path, "mode=ro"), uri=True)) as original,
                      closing(sqlite3.connect(into / path.name)) as copy):
                    copy.execute("pragma synchronous = off")
                    original.backup(copy)
            except sqlite3.Error as error:
                at_fault = into / path.name if "full" in str(error) else path
                raise explain(at_fault, str(error)) from error


def _options(options: Options, into: Path, clock: tuple[str, str], with_new: bool) -> Options:
    """Return the options of the run that builds the copy; `clock` is that by which gold was made."""
    now, as_of = clock
    if with_new or options.now:
        now, as_of = options.now or utc_now(), ""
    copy = replace(options, warehouse=into / "warehouse", reports=into / "reports", now=now, as_of=as_of)
    return copy if with_new else replace(copy, source=_list_known(copy, into))


def _list_known(options: Options, into: Path) -> Path:
    """Return a list of the deliveries that were read before, and that a changed declaration reads again."""
    known = lookup.known_deliveries(options.warehouse)
    contents = {entry.sha256 for entry in known}
    found = look_at_source(options, known, options.now)[0] if options.source.is_dir() else []
    again = [replace(delivery, status="new", file=str(options.source / (delivery.file or delivery.name)))
             for delivery in found if delivery.is_to_read and delivery.sha256 in contents]
    return write_list(into, again)


def _compare(options: Options, once: Options, result: RunResult, changes: tuple[RuleChange, ...],
             before: Layers, after: Layers) -> Preview:
    """Return what is different between the warehouse and the copy."""
    gates = [gate for step in result.steps for gate in (step.record or {}).get("gates", step.gates)]
    return Preview(
        str(options.warehouse), once.now, once.as_of,
        tuple(delivery["name"] for delivery in result.deliveries if delivery["status"] in ("new", "changed")),
        changes, tuple(step.name for step in result.steps if step.record),
        tuple(differences.compare_tables(before, after)), tuple(differences.compare_totals(before, after)),
        tuple(differences.compare_set_aside(before, after)), tuple(differences.describe_observed(gates)),
        tuple(result.warnings_about_rows()), result.error or "")
