"""What a step has written, in files of Arrow for the next step of the same run.

To read rows back from SQLite takes nearly as long as to write them. The spool is a copy and nothing more: the
next step reads a file of it only if the table in the layer is still the one that the file was written with,
by its checksum. Otherwise it reads the layer.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from lib.steps import SERIAL
from lib.storage.checksums import read_stored
from lib.storage.files import write_whole
from lib.storage.temporary import SPOOL

if TYPE_CHECKING:
    from lib.storage.layer import Layer

LEAST_ROWS = 10_000  # of a table's first batch: fewer are read from the layer as fast
BATCH_ROWS = 16 << 10
COMPRESSED = pa.ipc.IpcWriteOptions(compression="lz4")  # half the space on the disk


@dataclass
class _File:
    path: Path
    schema: pa.Schema
    writer: pa.RecordBatchStreamWriter
    first: int  # the number of its first row


class Spool:
    """The rows that one transaction appends to a layer, by table.

    A table has no file if rows of it were deleted as well, or if the file could not be written.
    """

    def __init__(self, layer: str):
        self._layer, self._folder = layer, os.environ.get(SPOOL)
        self._files: dict[str, _File | None] = {}  # None: this table gets none

    def add(self, table: str, rows: pa.Table, constants: Mapping[str, str]) -> None:
        """Add numbered rows that were appended; `constants` are further columns, of one value each."""
        if not self._folder or SERIAL not in rows.column_names:
            return
        try:
            if table not in self._files:
                self._files[table] = self._begin(table, rows) if rows.num_rows >= LEAST_ROWS else None
            file = self._files[table]
            if file and rows.schema != file.schema:
                self.leave_out(table)
            elif file:
                for batch in rows.to_batches(BATCH_ROWS):
                    file.writer.write_batch(batch, custom_metadata=constants)
        except OSError:  # the disk is full: the next step reads the layer
            self.leave_out(table)

    def leave_out(self, *tables: str) -> None:
        """Give up the files of some tables, by default of all, in this transaction."""
        for table in tables or list(self._files):
            self.begin_again(table)
            self._files[table] = None

    def begin_again(self, table: str) -> None:
        """Forget the rows of a table, which has none any more."""
        if file := self._files.pop(table, None):
            with suppress(OSError):
                file.writer.close()
            file.path.unlink(missing_ok=True)

    def publish(self, checksums: Mapping[str, tuple[int, str]]) -> None:
        """Let the next step find the files, after the commit; `checksums` are those of the layer."""
        for table, file in self._files.items():
            if file:
                with suppress(OSError):
                    file.writer.close()
                    about = {"first": file.first, "stored": checksums[table]}
                    write_whole(file.path.with_suffix(".json"), json.dumps(about))

    def _begin(self, table: str, rows: pa.Table) -> _File:
        path = _path(self._folder, self._layer, table)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)  # of an earlier transaction
        writer = pa.ipc.new_stream(path, rows.schema, options=COMPRESSED)
        return _File(path, rows.schema, writer, rows[SERIAL][0].as_py())


def spooled(layer: "Layer", table: str, names: Sequence[str], first: int) -> Iterator[pa.RecordBatch] | None:
    """Return columns of a table's rows from the number `first` on; None where the layer is to be read.

    The rows are in the order of their numbers, in batches of at most BATCH_ROWS.
    """
    folder = os.environ.get(SPOOL)
    if not folder:
        return None
    path = _path(folder, layer.name, table)
    try:
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except OSError:
        return None
    if about["first"] > first or read_stored(layer).get(table) != tuple(about["stored"]):
        return None
    return _read(path, layer.columns(table, names), first)


def _read(path: Path, schema: pa.Schema, first: int) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
        while True:
            try:
                batch, constants = reader.read_next_batch_with_custom_metadata()
            except StopIteration:
                return
            skipped = max(0, first - batch[SERIAL][0].as_py())  # numbers have no gaps within a transaction
            columns = [_column(batch, field, constants) for field in schema]
            yield pa.RecordBatch.from_arrays(columns, schema=schema).slice(skipped)


def _column(batch: pa.RecordBatch, field: pa.Field, constants: Mapping[str, bytes]) -> pa.Array:
    if field.name in batch.schema.names:
        return batch[field.name]
    if constants and field.name in constants:
        return pa.repeat(constants[field.name].decode(), batch.num_rows)
    return pa.nulls(batch.num_rows, field.type)  # the rows were written without it


def _path(folder: str, layer: str, table: str) -> Path:
    return Path(folder) / f"{layer}.{table}.arrows"
