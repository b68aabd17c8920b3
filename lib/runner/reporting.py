"""Write the report of a run: pages of its notebooks, data docs, `run.json`, manifests, and the index."""

import json
import multiprocessing
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lib.errors import first_line, remedy
from lib.report import pages
from lib.report.run_records import DOCS, list_folders
from lib.runner import kernels
from lib.runner.result import RunResult
from lib.runner.retention import prune_runs
from lib.storage import manifest
from lib.storage.files import write_whole

LONGEST_WAIT = 10  # seconds for the pages of notebooks when a run is stopped
EXPORT_LOG = "pages.log"  # in a run's folder: the output of the processes that make its pages


class Exporter:
    """A process that turns executed notebooks into pages while the next notebooks run.

    It gets their paths through a pipe and ends when the pipe is closed. It is a fork of the warm process, so
    that nbconvert's imports do not delay the run.
    """

    def __init__(self, folder: Path):
        paths, self._paths = multiprocessing.Pipe(duplex=False)
        self._folder = folder
        self._forks = [_start_export(folder, "lib.report.notebook_pages:export_notebooks", paths)]
        paths.close()  # only the fork may hold this end: if it dies, sending then fails instead of waiting

    def export(self, notebook: Path) -> None:
        with suppress(BrokenPipeError):  # the process has died: `finish` finds that in its exit code
            self._paths.send(notebook)

    def finish_notebooks(self) -> None:
        """Wait for the pages of the notebooks that were executed, for a run that was stopped."""
        self._paths.close()
        self._forks[0].join(LONGEST_WAIT)
        _remove_if_empty(self._folder / EXPORT_LOG)

    def start(self, others: Iterable[tuple]) -> None:
        """Call others (a function's name, its arguments) in forks."""
        self._forks += [_start_export(self._folder, *other) for other in others]

    def finish(self) -> bool:
        """Wait for all pages, and return whether all went well."""
        self._paths.close()
        for fork in self._forks:
            fork.join()
        return not any(fork.exitcode for fork in self._forks)


def write_report(result: RunResult, reports: Path, exporter: Exporter | None = None, keep_runs: int = 0,
                 make_business_report: Callable[[Exporter], list[str]] | None = None) -> None:
    """Write what a run leaves in the reports, except its manifest; `exporter` makes pages of its notebooks.

    `make_business_report` is called meanwhile, and returns warnings.

    A disk that cannot be written makes the run a failed one; its changes to the layers stay. A page that
    cannot be made for another reason is a warning: the data was published before.
    """
    folder = reports / "runs" / result.batch_id
    try:
        if exporter:
            _finish_pages(result, reports, folder, exporter, make_business_report)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "run.json", json.dumps(asdict(result), indent=1, ensure_ascii=False))
        if keep_runs:
            prune_runs(reports, keep_runs, result.batch_id)
        for write, where in ((pages.write_run_page, folder), (pages.write_index, reports)):
            try:
                write(where)
            except OSError:
                raise
            except Exception as error:
                result.notes.append(f"{where / 'index.html'} could not be written: "
                                    f"{type(error).__name__}: {first_line(error)}")
    except OSError as error:
        _fail(result, folder, error)


def put_manifests(result: RunResult, reports: Path, manifests: dict[str, str]) -> None:
    """Write completed manifests into the folders of their runs; if that fails, the run is a failed one."""
    try:
        manifest.put(manifests, reports)
    except OSError as error:
        _fail(result, reports / "runs" / result.batch_id, error)


def _finish_pages(result: RunResult, reports: Path, folder: Path, exporter: Exporter,
                  make_business_report: Callable[[Exporter], list[str]] | None) -> None:
    begun, log = time.perf_counter(), folder / EXPORT_LOG
    last_docs = folder
    if any(step.notebook for step in result.steps):
        exporter.start([("lib.report.data_docs:build_docs", folder),
                        ("lib.report.trends:draw_trends", reports, folder, asdict(result))])
    else:
        last_docs = next((run for run in list_folders(reports) if (run / DOCS).exists()), folder)
    exporter.start([("lib.report.catalog:write_catalog", reports, last_docs, Path(result.warehouse))])
    if make_business_report:
        result.notes += make_business_report(exporter)
    if not exporter.finish():
        result.notes.append(f"a page, chart or data docs could not be made: see {log}. The data is published")
    _remove_if_empty(log)
    result.report_seconds = time.perf_counter() - begun


def _remove_if_empty(log: Path) -> None:
    if log.exists() and not log.stat().st_size:
        log.unlink()


def _start_export(folder: Path, target: str, *arguments: Any) -> Any:
    return kernels.start_fork("lib.runner.kernels:run_logged", folder / EXPORT_LOG, target, *arguments)


def _fail(result: RunResult, folder: Path, error: OSError) -> None:
    """Make the run a failed one. The first error of a run is the one that is reported."""
    if not result.error:
        result.verdict = "failed"
        result.error = (f"the report in {error.filename or folder} cannot be written ({error.strerror}). "
                        f"{remedy(error) or 'Correct that, or name another folder with --reports.'} "
                        "What was published stays.")
