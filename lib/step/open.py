"""A step: what a notebook asks to read what is new, check it, write it and say so. Notebooks name no storage."""

from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from lib.clock import utc_now
from lib.errors import UsageError, closest
from lib.ingest.deliveries import SETTLED_SECONDS
from lib.spark.address import warehouse_address
from lib.step.base import Step
from lib.step.curated import CuratedStep
from lib.step.gold import GoldStep
from lib.step.raw import RawStep
from lib.steps import Options
from lib.storage import manifest
from lib.storage.audit import begin_run, mark_died, open_audit
from lib.storage.lock import run_lock

ENGINES = ("sqlite", "spark")


def open_step(name: str, *, source: str, warehouse: str, reports: str, batch_id: str, now: str, full_refresh: bool,
              batch_rows: int, quarantine_limit: float = 0.1, snapshot: str = "", snapshot_limit: float = 0.2,
              settled_seconds: float = SETTLED_SECONDS, engine: str = "sqlite", master: str = "", audit: str = "") -> "Step":
    """Open a step with its notebook's parameters: lock, log row, watermark, input and output.

    With an empty `batch_id` (a notebook run by hand) the step takes the run lock, makes an id of its own and begins a
    manifest, which the next run completes; otherwise the runner has done so. `now` is the run's clock, from which all times
    in the layers count. With the engine "spark" the tables are at the address `warehouse`, and `audit` is the folder of the
    layers' files. Raises PipelineError when the lock is taken, or a file or the cluster cannot be used.
    """
    pd.set_option("display.max_colwidth", None, "display.float_format", "{:,.2f}".format)  # the notebooks are the report
    folder = Path(audit or warehouse).resolve()
    with ExitStack() as stack:
        if not batch_id:
            stack.enter_context(run_lock(folder))
        log = stack.enter_context(open_audit(folder))
        if not batch_id:
            batch_id, now = begin_run(log, now)
            mark_died(log, batch_id)
            manifest.put(manifest.complete(log, folder, Path(reports)), Path(reports))  # of those before
            manifest.begin(log, Options(full_refresh=full_refresh, steps=(name,), snapshot=tuple(filter(None, snapshot.split(","))),
                                        snapshot_limit=snapshot_limit, quarantine_limit=quarantine_limit, engine=engine),
                           batch_id, now)
        kind = _kind(name, engine)
        step = kind(name, log, Path(source).resolve(), folder, Path(reports).resolve(), batch_id, now or utc_now(),
                    full_refresh, batch_rows)
        step.quarantine_limit = quarantine_limit
        if engine == "spark":
            step.master, step.address = master, warehouse_address(warehouse)
        if isinstance(step, RawStep):
            step.snapshots, step.snapshot_limit = set(filter(None, snapshot.split(","))), snapshot_limit
            step.settled_seconds = settled_seconds
        step.begin(stack)
        step.stack = stack.pop_all()
        return step


def _kind(name: str, engine: str) -> type[Step]:
    """Return the class of a step. What Spark needs is imported only where it was asked for."""
    if engine == "sqlite":
        return {"raw": RawStep, "gold": GoldStep}.get(name, CuratedStep)
    if engine != "spark":
        raise UsageError(f"there is no engine {engine!r}{closest(engine, ENGINES)}; there are {' and '.join(ENGINES)}.")
    from lib.spark.curated import SparkCuratedStep
    from lib.spark.gold import SparkGoldStep
    from lib.spark.raw import SparkRawStep

    return {"raw": SparkRawStep, "gold": SparkGoldStep}.get(name, SparkCuratedStep)
