"""Whether two runs left the same notebooks: only times may differ."""

import ast
import json
from pathlib import Path
from typing import Any

import nbformat

PATHS = ("source", "warehouse", "reports")  # parameters that say where a run worked, not what it did
TIMES = {"seconds", "peak_mib"}  # of a step's record


def differences(folder: Path, other: Path) -> list[str]:
    """Return where the executed notebooks of two runs differ in more than times and folders, a line each."""
    names = sorted({path.name for place in (folder, other) for path in place.glob("*.ipynb")})
    found = [] if names else [f"there is no executed notebook in {folder} nor in {other}"]
    for name in names:
        if not (folder / name).exists() or not (other / name).exists():
            found.append(f"{name}: only in {folder if (folder / name).exists() else other}")
            continue
        cells, others = _normal_cells(folder / name), _normal_cells(other / name)
        for number, (mine, theirs) in enumerate(zip(cells, others, strict=False), 1):
            found += [f"{name}, cell {number}: {what} differ" for what in mine if mine[what] != theirs[what]]
        if len(cells) != len(others):
            found.append(f"{name}: {len(cells)} cells, and {len(others)}")
    return found


def _normal_cells(path: Path) -> list[dict[str, Any]]:
    """Return a notebook's cells without metadata and ids, and with names in place of the run's folders."""
    cells = nbformat.read(path, 4).cells
    injected = [cell.source for cell in cells if "injected-parameters" in cell.metadata.get("tags", [])]
    given = {line.targets[0].id: ast.literal_eval(line.value)
             for line in ast.parse("\n".join(injected)).body if isinstance(line, ast.Assign)}
    folders = {given[name]: f"<{name}>" for name in PATHS if given.get(name)}
    places = sorted(folders.items(), key=lambda place: -len(place[0]))  # inner folders before outer ones

    def put_names(text: str) -> str:
        for place, name in places:
            text = text.replace(place, name)
        return text

    return [{"texts": put_names(cell.source), "outputs": put_names(_normal_outputs(cell))} for cell in cells]


def _normal_outputs(cell: dict[str, Any]) -> str:
    return json.dumps([_normal_output(output) for output in cell.get("outputs", [])], sort_keys=True)


def _normal_output(output: dict[str, Any]) -> dict[str, Any]:
    record = output.get("data", {}).get("application/json")
    if not isinstance(record, dict):
        return output
    timeless = {name: value for name, value in record.items() if name not in TIMES}
    return output | {"data": {"application/json": timeless}}
