"""Make the business report when it is not that of gold as it is. It is no step: if it fails, that is a
warning.
"""

import hashlib
import json
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from lib.clock import day_in
from lib.contract import SHOP
from lib.errors import PipelineError
from lib.report.notebook_pages import REPORT
from lib.report.run_records import FIGURES
from lib.runner import notebooks
from lib.runner.reporting import Exporter
from lib.runner.result import RunResult
from lib.steps import NOTEBOOKS, PROJECT, Options
from lib.storage import lookup
from lib.storage.files import write_whole

RULES = ("notebooks/report.ipynb", "notebooks/meanings.toml", "questions/*.sql")


def has_changed_gold(options: Options, result: RunResult) -> bool:
    """Return whether a run has published gold in the file that the report reads."""
    return options.engine == "sqlite" and any(
        step.name == "gold" and step.record and step.status == "SUCCESS" for step in result.steps)


def is_outdated(options: Options) -> bool:
    """Return whether gold, the report's notebook or a question has changed since the report was made.

    A run may have been stopped before it could make it. If several warehouses share a folder of reports, that
    of another one is not outdated.
    """
    now = _made_from(options)
    if not now["gold"]:
        return False
    try:
        before = json.loads((options.reports / FIGURES).read_text(encoding="utf-8"))["made_from"]
    except (OSError, ValueError, LookupError, TypeError):  # none, or one of an earlier release
        return True
    return before["warehouse"] == now["warehouse"] and before != now


def _made_from(options: Options) -> dict[str, str]:
    """Return what the report is made from: the warehouse, its last commit to gold, and the rules' hash."""
    is_there = options.engine == "sqlite" and (options.warehouse / "gold.db").exists()
    paths = sorted(path for pattern in RULES for path in PROJECT.glob(pattern))
    return {"warehouse": os.path.relpath(options.warehouse, options.reports),  # both may move
            "gold": lookup.last_timestamp(options.warehouse, "gold", "gold") if is_there else "",
            "rules": hashlib.sha256(b"".join(map(Path.read_bytes, paths))).hexdigest()}


def make_report(options: Options, result: RunResult, exporter: Exporter,
                kernel: AbstractContextManager) -> list[str]:
    """Execute the report's notebook, have its page made, and write its figures.

    Returns what went wrong, for a warning. Raises OSError when the reports cannot be written.
    """
    folder = options.reports / "runs" / result.batch_id
    try:
        parameters = report_parameters(options, result)
        notebooks.check_parameters(NOTEBOOKS / REPORT, parameters)
        executed = notebooks.execute_notebook(REPORT, folder, parameters, kernel)
    except PipelineError as error:
        return [f"the business report could not be made: {error} The data is published, and the report of an "
                "earlier run stays."]
    exporter.export(folder / REPORT)
    record = notebooks.find_record(executed.cells, "report") | {"made_from": _made_from(options)}
    write_whole(options.reports / FIGURES, json.dumps(record, indent=1, ensure_ascii=False))
    return []


def report_parameters(options: Options, result: RunResult) -> dict[str, Any]:
    """Return the parameters that the report's notebook is given."""
    in_quarantine = [row for layer in ("raw", "curated")
                     for row in lookup.open_quarantine(options.warehouse, layer)]
    return {"warehouse": str(options.warehouse), "batch_id": result.batch_id,
            "as_of": options.as_of or day_in(SHOP.timezone, result.now),
            "set_aside": sum(rows for *_, rows in in_quarantine), "warnings": result.warnings()}
