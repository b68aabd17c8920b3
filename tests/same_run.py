"""Whether two runs executed their notebooks with the same results; only times and folders may differ."""

import ast
import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

import nbformat

FOLDERS = ("source", "warehouse", "reports")  # parameters that say where a run worked, not what it did
TIMES = {"seconds", "peak_mib"}  # of a step's record


def find_differences(run: Path, other: Path) -> list[str]:
    """Return where the executed notebooks in two runs' folders differ, a line each."""
    names = sorted({path.name for folder in (run, other) for path in folder.glob("*.ipynb")})
    assert names, f"no executed notebook in {run} nor in {other}"
    return [f"{name}, cell {number}: {part}" for name in names
            for number, cells in enumerate(zip_longest(_read_cells(run / name), _read_cells(other / name)), 1)
            for part in _differing_parts(*cells)]


def _differing_parts(cell: dict[str, Any] | None, other: dict[str, Any] | None) -> list[str]:
    if cell is None or other is None:
        return ["only in one of the runs"]
    return [part for part in cell if cell[part] != other[part]]


def _read_cells(notebook: Path) -> list[dict[str, Any]]:
    """Return a notebook's cells without metadata and ids, and with names in place of the run's folders."""
    cells = nbformat.read(notebook, 4).cells if notebook.exists() else []
    tagged = {tag: cell.source for cell in cells for tag in cell.metadata.get("tags", [])}
    assignments = [line for line in ast.parse(tagged.get("injected-parameters", "")).body
                   if isinstance(line, ast.Assign)]
    parameters = {line.targets[0].id: ast.literal_eval(line.value) for line in assignments}
    folders = {parameters[name]: f"<{name}>" for name in FOLDERS if parameters.get(name)}

    def name_folders(text: str) -> str:
        for folder in sorted(folders, key=len, reverse=True):  # a folder may lie in another one
            text = text.replace(folder, folders[folder])
        return text

    return [{"source": name_folders(cell.source), "outputs": name_folders(_outputs_as_text(cell))}
            for cell in cells]


def _outputs_as_text(cell: dict[str, Any]) -> str:
    return json.dumps([_without_times(output) for output in cell.get("outputs", [])], sort_keys=True)


def _without_times(output: dict[str, Any]) -> dict[str, Any]:
    record = output.get("data", {}).get("application/json")
    if not isinstance(record, dict):
        return output
    kept = {name: value for name, value in record.items() if name not in TIMES}
    return output | {"data": {"application/json": kept}}
