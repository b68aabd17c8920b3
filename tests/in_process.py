"""Run the pipeline in the test's process: the same runner and notebook cells, without kernels and pages."""

import types
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import nbformat
from conftest import PROJECT, Shop

import lib.runner.kernels
import lib.runner.run
import lib.storage.manifest
from lib.step.open import abandon_open_step
from lib.steps import StepSpec
from lib.storage import audit
from lib.storage.lock import run_lock


@cache
def cells(notebook: str) -> list[tuple[types.CodeType, bool]]:
    """Return a notebook's code cells without pictures, compiled, and whether each holds the parameters."""
    content = nbformat.read(PROJECT / "notebooks" / notebook, 4)
    return [(compile(cell.source, f"{notebook} {cell.id}", "exec"),
             "parameters" in cell.metadata.get("tags", []))
            for cell in content.cells if cell.cell_type == "code" and "bars(" not in cell.source
            and "line(" not in cell.source]


def execute(spec: StepSpec, folder: Path, parameters: dict, kernel: object) -> dict:
    """Stand in for lib.runner.notebooks.execute: run the cells here and return the record."""
    namespace: dict = {}
    try:
        for code, is_parameters in cells(spec.notebook):
            exec(code, namespace)
            if is_parameters:
                namespace.update(parameters)
        return namespace["record"]
    except BaseException as error:
        abandon_open_step(str(error))  # or the step would keep its files and locks in this process
        raise


def run(shop: Shop, monkeypatch, tell=lambda event, **about: None, **options) -> lib.runner.run.RunResult:
    """Run the pipeline on a shop and return the result; raises for a step that failed."""
    monkeypatch.setattr("lib.runner.notebooks.execute", execute)
    monkeypatch.setattr("lib.runner.run._get_ready", lambda *_: None)
    monkeypatch.setattr("lib.runner.run._write_report", lambda result, reports, folder, manifests,
                        *_: lib.storage.manifest.put(manifests, reports))
    monkeypatch.setattr("lib.runner.kernels.start_fork", lambda *_: None)
    monkeypatch.setattr("lib.storage.lookup.hold_open",
                        lambda *_: nullcontext())  # the steps are ADBC's, see lib.storage.layer
    monkeypatch.setattr("lib.runner.kernels.warm_up", lambda: None)
    with run_lock(shop.warehouse), audit.open_audit(shop.warehouse) as log:
        result = lib.runner.run.run(lib.runner.run.Options(shop.source, shop.warehouse, shop.reports,
                                                           settled_seconds=0, **options), log, tell,
                             lib.runner.kernels.KernelQueue())
    assert result.verdict != "failed", result.error
    return result
