"""Make the business report of a run that has changed gold. It is no step: if it fails, that is a warning."""

import json
from contextlib import AbstractContextManager
from typing import Any

from lib.clock import day_in
from lib.contract import SHOP
from lib.errors import PipelineError
from lib.report.notebook_pages import REPORT
from lib.runner import notebooks
from lib.runner.reporting import Exporter
from lib.runner.result import RunResult
from lib.steps import NOTEBOOKS, Options
from lib.storage import lookup
from lib.storage.files import write_whole


def has_changed_gold(options: Options, result: RunResult) -> bool:
    """Return whether a run has published gold in the file that the report reads."""
    return options.engine == "sqlite" and any(
        step.name == "gold" and step.record and step.status == "SUCCESS" for step in result.steps)


def make_report(options: Options, result: RunResult, exporter: Exporter,
                kernel: AbstractContextManager) -> list[str]:
    """Execute the report's notebook, have its page made, and write its figures as `report.json`.

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
    record = notebooks.find_record(executed.cells, "report")
    write_whole(options.reports / "report.json", json.dumps(record, indent=1, ensure_ascii=False))
    return []


def report_parameters(options: Options, result: RunResult) -> dict[str, Any]:
    """Return the parameters that the report's notebook is given."""
    in_quarantine = [row for layer in ("raw", "curated")
                     for row in lookup.open_quarantine(options.warehouse, layer)]
    return {"warehouse": str(options.warehouse), "batch_id": result.batch_id,
            "as_of": options.as_of or day_in(SHOP.timezone, result.now),
            "set_aside": sum(rows for *_, rows in in_quarantine), "warnings": result.warnings()}
