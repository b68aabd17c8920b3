"""Open a step, which a notebook does first. Notebooks name no storage and no class of this folder."""

import importlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pandas as pd

from lib.clock import utc_now
from lib.errors import UsageError, closest
from lib.step.base import Step
from lib.step.curated import CuratedStep
from lib.step.gold import GoldStep
from lib.step.parameters import Parameters, read_parameters
from lib.step.raw import RawStep
from lib.steps import STEPS, Options
from lib.storage import manifest
from lib.storage.audit import begin_run, mark_died, open_audit
from lib.storage.lock import run_lock

KINDS = {"raw": RawStep, "curated": CuratedStep, "gold": GoldStep}  # by the layer that a step writes
ENGINES = ("sqlite", "spark")
OPENED_AGAIN = ("abandoned before it published: the same process opened a step again, as when a notebook is "
                "run again by hand after one of its cells failed")

_still_open: list[Step] = []  # in this process: one step at most, as locks and transactions are a process's


def open_step(name: str, namespace: Mapping[str, Any]) -> Step:
    """Open a step with its notebook's parameters: lock, log row, watermark, input and output.

    With an empty `batch_id` (a notebook run by hand) the step takes the run lock, makes an id of its own and
    begins a manifest, which the next run completes; otherwise the runner has done so. `now` is the run's
    clock, from which all times in the layers count. A step that this process opened before and did not
    publish is abandoned first. Raises UsageError for a wrong parameter, PipelineError when the lock is taken,
    or a file or the cluster cannot be used.
    """
    parameters = read_parameters(namespace)
    kind = _kind(name, parameters.engine)
    abandon_open_step(OPENED_AGAIN)
    # Executed notebooks are the report: tables show their values in full, and amounts like amounts.
    pd.set_option("display.max_colwidth", None, "display.float_format", "{:,.2f}".format)
    with ExitStack() as stack:
        if not parameters.batch_id:
            stack.enter_context(run_lock(parameters.folder))
        log = stack.enter_context(open_audit(parameters.folder))
        if not parameters.batch_id:
            parameters = _begin_run(log, name, parameters)
        step = kind(STEPS[name], replace(parameters, now=parameters.now or utc_now()), log)
        step.begin(stack)
        stack.callback(_still_open.clear)
        step.stack = stack.pop_all()
        _still_open.append(step)
        return step


def abandon_open_step(message: str) -> None:
    """Abandon the step that this process has open, if any, and log the message as its error."""
    for step in list(_still_open):
        step.abandon(message)


def _begin_run(log: Connection, name: str, parameters: Parameters) -> Parameters:
    """Begin a run of one step, and return the parameters with its id and clock."""
    batch_id, now = begin_run(log, parameters.now)
    mark_died(log, batch_id)
    reports = Path(parameters.reports)
    manifest.put(manifest.complete(log, parameters.folder, reports), reports)  # of the runs before
    options = Options(
        full_refresh=parameters.full_refresh, steps=(name,), snapshot=parameters.snapshots,
        snapshot_limit=parameters.snapshot_limit, quarantine_limit=parameters.quarantine_limit,
        as_of=parameters.as_of, engine=parameters.engine)
    manifest.begin(log, options, batch_id, now)
    return replace(parameters, batch_id=batch_id, now=now)


def _kind(name: str, engine: str) -> type[Step]:
    """Return the class of a step. Spark's is found by name: it is imported only if it is asked for."""
    if engine not in ENGINES:
        raise UsageError(f"there is no engine {engine!r}{closest(engine, ENGINES)}; there are "
                         f"{' and '.join(ENGINES)}.")
    layer = STEPS[name].writes
    if engine == "sqlite":
        return KINDS[layer]
    return getattr(importlib.import_module(f"lib.{engine}.{layer}"), f"Spark{KINDS[layer].__name__}")
