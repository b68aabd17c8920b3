"""Markers such as NULL that were read as empty cells: in which columns, in how many rows, and where first."""

import json
from collections.abc import Callable


class Markers:
    """The markers that a step has found and that the contract does not declare."""

    def __init__(self) -> None:
        # By source and marker, and then by column: in how many rows, and the row_id of the first.
        self._found: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}

    def note(self, source: str, cells: str, rows: int, first: int) -> None:
        """Count rows that had the same markers in the same cells, such as "email NULL, phone NULL"."""
        for cell in cells.split(", "):
            column, _, marker = cell.partition(" ")
            columns = self._found.setdefault((source, marker), {})
            counted, earliest = columns.get(column, (0, first))
            columns[column] = counted + rows, min(first, earliest)

    def warnings(self, place_of: Callable[[str, int], tuple[str, int]]) -> list[str]:
        """Return a line for each marker of each source; `place_of` finds the file and line of a row."""
        lines = []
        for (source, marker), columns in self._found.items():
            counted = ", ".join(f"{column} in {rows:,} row{'s' * (rows > 1)}"
                                for column, (rows, _) in columns.items())
            filename, line = place_of(source, min(first for _, first in columns.values()))
            lines.append(
                f"{source}: {marker} was read as an empty cell: {counted} (first: {filename}, line {line}). "
                f"If it always means that, add {json.dumps(marker)} to missingValues in "
                f"data/contract/{source}.yaml. If it is a value, deliver it in another spelling.")
        return lines
