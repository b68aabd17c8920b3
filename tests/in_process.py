"""Run the pipeline within the test's process: the same runner and the same notebooks' cells, without kernels and pages."""

import types
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import nbformat
from conftest import PROJECT, Shop

import lib.kernels
import lib.manifest
import lib.run
from lib import audit
from lib.lock import run_lock
from lib.steps import StepSpec


@cache
def cells(notebook: str) -> list[tuple[types.CodeType, bool]]:
    """Return a notebook's code cells, compiled, and whether each holds the parameters; pictures are left out."""
    content = nbformat.read(PROJECT / "notebooks" / notebook, 4)
    return [(compile(cell.source, f"{notebook} {cell.id}", "exec"), "parameters" in cell.metadata.get("tags", []))
            for cell in content.cells if cell.cell_type == "code" and "bars(" not in cell.source and "line(" not in cell.source]


def execute(spec: StepSpec, folder: Path, parameters: dict, kernel: object) -> dict:
    """Stand in for lib.notebooks.execute: run the cells here and return the record."""
    namespace: dict = {}
    try:
        for code, is_parameters in cells(spec.notebook):
            exec(code, namespace)
            if is_parameters:
                namespace.update(parameters)
        return namespace["record"]
    except BaseException:
        if "step" in namespace:
            namespace["step"].abandon()
        raise


def run(shop: Shop, monkeypatch, tell=lambda event, **about: None, **options) -> lib.run.RunResult:
    """Run the pipeline on a shop and return the result; raises for a step that failed."""
    monkeypatch.setattr("lib.notebooks.execute", execute)
    monkeypatch.setattr("lib.run._get_ready", lambda *_: None)
    monkeypatch.setattr("lib.run._write_report", lambda result, reports, folder, manifests, *_: lib.manifest.put(manifests, reports))
    monkeypatch.setattr("lib.kernels.start_fork", lambda *_: None)
    monkeypatch.setattr("lib.news.hold_open", lambda *_: nullcontext())  # the steps are ADBC's, see lib.store
    monkeypatch.setattr("lib.kernels.warm_up", lambda: None)
    with run_lock(shop.warehouse), audit.open_audit(shop.warehouse) as log:
        result = lib.run.run(lib.run.Options(shop.source, shop.warehouse, shop.reports, settled_seconds=0, **options), log, tell,
                             lib.kernels.KernelQueue())
    assert result.verdict != "failed", result.error
    return result
