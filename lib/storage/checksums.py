"""The checksums of a layer's file: of each table, how many rows it has and the checksum over all its columns.

They are in a table of the file itself, written in the transaction that changes the rows, and in the manifest
of the run. So a change that no run has made is noticed, in whatever table and column it is.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lib.storage import digest

if TYPE_CHECKING:
    from lib.storage.layer import Layer

TABLE = "checksums"
NO_ROWS = (0, digest.EMPTY)


class Checksums:
    """The rows and the checksum of each table, followed through one transaction."""

    def __init__(self, stored: Mapping[str, tuple[int, str]]):
        self._stored = stored  # what the file says
        self.now = dict(stored)

    def add(self, table: str, rows: int, checksum: str) -> None:
        """Follow rows that were written."""
        before, total = self.now.get(table, NO_ROWS)
        self.now[table] = (before + rows, digest.add(total, checksum))

    def subtract(self, table: str, rows: int, checksum: str) -> None:
        """Follow rows that were deleted."""
        before, total = self.now.get(table, NO_ROWS)
        self.now[table] = (before - rows, digest.subtract(total, checksum))

    def put(self, layer: "Layer") -> None:
        """Write what has changed into the file."""
        for table, (rows, checksum) in self.now.items():
            if self._stored.get(table) != (rows, checksum):
                layer.execute(f"insert or replace into {TABLE} values (?, ?, ?)", (table, rows, checksum))


def begin(layer: "Layer") -> Checksums:
    """Return the checksums that a transaction goes on from; a file of an earlier release gets them now."""
    if layer.schema(TABLE) is not None:
        return Checksums(read_stored(layer))
    checksums = Checksums({})
    for table in layer.tables():
        rows, _, checksum = layer.sums(table)
        checksums.add(table, rows, checksum)
    layer.execute(f"create table {TABLE} (table_name text primary key, rows integer not null, "
                  "checksum text not null) strict")
    return checksums


def read_stored(layer: "Layer") -> dict[str, tuple[int, str]]:
    """Return each table's rows and checksum as the file has them; nothing if an earlier release made it."""
    if layer.schema(TABLE) is None:
        return {}
    rows = layer.read(TABLE, ["table_name", "rows", "checksum"]).to_pylist()
    return {row["table_name"]: (row["rows"], row["checksum"]) for row in rows}
