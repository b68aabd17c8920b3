"""Execute a step's notebook with papermill: check its parameters, save its copy, explain its failure."""

import ast
import logging
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.errors import DeliveryError, PipelineError, UsageError, closest, remedy
from lib.step import progress
from lib.steps import NOTEBOOKS, StepSpec

OUR_ERRORS = ("PipelineError", "UsageError", "LockTaken", "StepError", "DeliveryError")


class ParameterError(UsageError):
    """A parameter that a notebook does not have, or whose value has the wrong type."""


class NotebookFailed(PipelineError):
    """A notebook failed; its saved copy shows where.

    `what` says what failed without what to do. `cell` is the cell's number, None if the kernel died.
    """

    def __init__(self, message: str, what: str, cell: int | None = None) -> None:
        super().__init__(message)
        self.what, self.cell = what, cell


class DeliveriesFailed(NotebookFailed, DeliveryError):
    """A notebook failed because of deliveries, and for no other reason."""


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's parameters cell: `name: type = default  # help`."""

    name: str
    type: str
    default: Any
    help: str


def read_parameters(notebook: Path) -> list[Parameter]:
    """Return the parameters that a notebook declares, in order."""
    from papermill import inspect_notebook

    return [Parameter(name, about["inferred_type_name"], ast.literal_eval(about["default"]), about["help"])
            for name, about in inspect_notebook(str(notebook)).items()]


def check_parameters(notebook: Path, values: dict[str, Any]) -> None:
    """Raise ParameterError for a value that a notebook does not declare, or of the wrong type.

    papermill itself only warns of the first and lets the second pass.
    """
    declared = {parameter.name: parameter for parameter in read_parameters(notebook)}
    for name, value in values.items():
        if name not in declared:
            raise ParameterError(f"{notebook.name} has no parameter {name}{closest(name, declared)}; it has "
                                 f"{', '.join(declared)}. Correct the name, or add it to the notebook's "
                                 "parameters cell.")
        if type(value).__name__ != declared[name].type:
            raise ParameterError(f"{notebook.name}: parameter {name} is {value!r}, which is "
                                 f"{type(value).__name__}, not {declared[name].type}.")


def execute(spec: StepSpec, folder: Path, parameters: dict[str, Any], kernel: AbstractContextManager) -> dict:
    """Execute a step's notebook in a kernel, save the executed copy in `folder`, and return its record.

    The copy, also of a notebook that failed, gets its name when it is complete. A notebook that fails after
    its step has published gets a warning in its record. Raises NotebookFailed for one that fails before: with
    the message of the pipeline's own errors, or with the cell and the first line of any other error.
    """
    try:
        executed = execute_notebook(spec.notebook, folder, parameters, kernel)
        shown = find_record(executed.cells, spec.name)
    except NotebookFailed as failure:
        published = progress.take_record(folder)
        if published is None:
            raise
        published["warnings"].append(
            f"{spec.notebook}: {failure.what} when the step had already published. The data is complete; "
            "only the rest of the notebook is missing.")
        return published
    published = progress.take_record(folder) or {}
    if not shown:
        missing = f"{spec.notebook}: the last cell returns no record. End it with JSON(record)."
        if not published:
            raise PipelineError(missing)
        published["warnings"].append(missing)
    return shown | published  # what was published counts, whatever the cells after it have done to it


def execute_notebook(name: str, folder: Path, parameters: dict[str, Any],
                     kernel: AbstractContextManager) -> Any:
    """Execute a notebook, save its copy in `folder` and return it. Raises NotebookFailed."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    papermill.log.logger.setLevel(logging.CRITICAL)  # it would print on stderr what is raised below
    saved, partial = folder / name, folder / f".partial-{name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with kernel as manager:
            executed = papermill.execute_notebook(
                NOTEBOOKS / name, partial, parameters, km=manager, progress_bar=False,
                request_save_on_cell_execute=False, autosave_cell_every=0)
        partial.replace(saved)
        return executed
    except papermill.PapermillExecutionError as error:
        partial.replace(saved)
        first = _first_line(error)
        kind = DeliveriesFailed if error.ename == "DeliveryError" else NotebookFailed
        raise kind(_explain(name, error, first), f"cell {error.exec_count} failed ({first})",
                   error.exec_count) from error
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        advice = remedy(error) or "Correct that, or name another folder with --reports."
        what = f"{error.filename or folder} cannot be written ({error.strerror})"
        raise NotebookFailed(f"{name}: {what}. {advice}", what) from error
    except (DeadKernelError, RuntimeError) as error:  # from nbclient: the kernel died, or never answered
        raise NotebookFailed(f"{name}: its process died (killed, or out of memory). The step wrote "
                             "nothing; run again, with a smaller batch_rows in its parameters cell if memory "
                             "ran out.", "its process died") from error


def _first_line(error: Any) -> str:
    return f"{error.ename}: {(error.evalue or '').strip().partition(chr(10))[0].rstrip('.')}"


def _explain(name: str, error: Any, first: str) -> str:
    if error.ename in OUR_ERRORS:
        return error.evalue
    advice = remedy(first) or "This was not expected: the executed notebook shows the traceback."
    return f"{name}, cell {error.exec_count}: {first}. {advice}"


def find_record(cells: list[Any], step: str) -> dict[str, Any]:
    """Return the record that a notebook shows last, by its executed cells; empty when it shows none."""
    for cell in reversed(cells):
        for output in cell.get("outputs", []):
            shown = output.get("data", {}).get("application/json")
            if isinstance(shown, dict) and shown.get("step") == step:
                return shown
    return {}
