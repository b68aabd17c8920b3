"""Run the pipeline within the test's process: the same runner and cells, without kernels and pages."""

import tempfile
import types
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import nbformat
from conftest import PROJECT, Shop

import lib.runner.kernels
import lib.runner.run
from lib.step.open import abandon_open_step
from lib.step.progress import take_record
from lib.steps import Options, StepSpec
from lib.storage import audit, spool
from lib.storage.lock import run_lock
from lib.storage.temporary import SPOOL

SPOOLED = tempfile.TemporaryDirectory()  # of all shops: what another run has left there must do no harm


@cache
def cells(notebook: str) -> list[tuple[types.CodeType, bool]]:
    """Return a notebook's compiled code cells, and whether each holds the parameters; charts are left out."""
    content = nbformat.read(PROJECT / "notebooks" / notebook, 4)
    code = [cell for cell in content.cells
            if cell.cell_type == "code" and "bars(" not in cell.source and "line(" not in cell.source]
    return [(compile(cell.source, f"{notebook} {cell.id}", "exec"),
             "parameters" in cell.metadata.get("tags", [])) for cell in code]


def execute(spec: StepSpec, folder: Path, parameters: dict, kernel: object) -> dict:
    """Stand in for lib.runner.notebooks.execute: run the cells here and return the record."""
    namespace: dict = {}
    try:
        for code, is_parameters in cells(spec.notebook):
            exec(code, namespace)
            if is_parameters:
                namespace.update(parameters)
        take_record(folder)  # which `publish` has left
        return namespace["record"]
    except BaseException as error:
        abandon_open_step(str(error))  # or the step would keep its files and locks in this process
        raise


def keep_in_process(monkeypatch) -> None:
    """Let every run of this process execute the cells here, and write no report but its manifest."""
    monkeypatch.setattr("lib.runner.notebooks.execute", execute)
    monkeypatch.setattr("lib.runner.run._get_ready", lambda *_: None)
    monkeypatch.setattr("lib.runner.run.write_report", lambda *_: None)
    monkeypatch.setattr("lib.runner.run.report_dead_runs", lambda *_: [])
    monkeypatch.setattr("lib.runner.kernels.start_fork", lambda *_: None)
    # The layers may be held open by one SQLite library of a process only, and the steps use ADBC's.
    monkeypatch.setattr("lib.storage.lookup.hold_open", lambda *_: nullcontext())
    monkeypatch.setattr("lib.runner.kernels.warm_up", lambda: None)


def run(shop: Shop, monkeypatch, tell=lambda event, **about: None, *, may_lack_deliveries: bool = False,
        **options) -> lib.runner.run.RunResult:
    """Run the pipeline on a shop and return the result; raises for a step that failed.

    `may_lack_deliveries` lets pass that deliveries could not be loaded, also all of them.
    """
    keep_in_process(monkeypatch)
    monkeypatch.setenv(SPOOL, SPOOLED.name)  # steps hand on their rows as in a run, however few
    monkeypatch.setattr(spool, "LEAST_ROWS", 1)
    given = Options(shop.source, shop.warehouse, shop.reports, settled_seconds=0, **options)
    with run_lock(shop.warehouse), audit.open_audit(shop.warehouse) as log:
        result = lib.runner.run.run(given, log, tell, lib.runner.kernels.KernelQueue())
    failed = [step for step in result.steps if step.status == "FAILED"]
    is_passable = may_lack_deliveries and all(step.is_passable for step in failed)
    errors = "\n".join(step.error for step in failed) or result.error
    assert result.verdict in ("success", "nothing new") or is_passable, errors
    return result
