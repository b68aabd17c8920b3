"""Read one delivery in batches of text: every record appears once, as a row or rejected with a reason.

`header` checks the whole file and describes it; `read_batches` then yields its rows. `records` defines what a
row is. `text` decides which files count as text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa

from lib.errors import PipelineError
from lib.ingest import records
from lib.ingest.header import Header, missing_line_end
from lib.ingest.records import REJECTED, LineTooLong, Parsed, Shape, end_of_lines, line_ends, parse
from lib.ingest.repeated_header import set_headers_aside
from lib.ingest.text import FirstBlock, reading, text_chunks

BLOCK_BYTES = 4 << 20
BATCH_BYTES = 64 << 20  # of rows; a batch has as many only where rows are long


@dataclass(frozen=True)
class Batch:
    """Some of a file's rows, in their order, and the lines rejected on the way.

    rows: the header's names, all text, an empty field null; `source_row`, the physical line where the row
    begins; and the header's absent columns, all null.
    rejected: source_row, raw_text (a line without its end), rule (field_count, quote, nul_byte or
    repeated_header), reason.
    """

    rows: pa.Table
    rejected: pa.Table


class Unfinished(Exception):
    """A part of a file ends where a record may not be complete."""


def read_batches(path: Path | FirstBlock | str, header: Header, batch_rows: int = 200_000,
                 block_bytes: int = BLOCK_BYTES, only: str | None = None) -> Iterator[Batch]:
    """Yield the file's rows and rejected lines, up to `batch_rows` of each and BATCH_BYTES at a time.

    With `only`, the name of a column, the rows have just that column and `source_row`, which takes half the
    time. Memory is bounded by a block of `block_bytes` and a batch; the size of a block changes nothing but
    where a batch ends that is full by its bytes. Raises PipelineError if the file can no longer be read, or
    has a line that is too long.
    """
    absent = () if only else header.absent
    if batch_rows < 1:
        raise ValueError(f"batch_rows is {batch_rows}: it must be 1 or more")
    path = Path(path) if isinstance(path, str) else path
    shape = Shape(header.names, header.delimiter.encode(), only)
    rows, rejected = shape.schema.empty_table(), REJECTED.empty_table()
    with reading(path):
        for parsed in _parse_blocks(path, header, shape, block_bytes):
            rows = pa.concat_tables([rows, parsed.rows])
            rejected = pa.concat_tables([rejected, parsed.rejected])
            while max(rows.num_rows, rejected.num_rows) >= batch_rows:
                yield Batch(with_absent(rows.slice(0, batch_rows), absent), rejected.slice(0, batch_rows))
                rows, rejected = rows.slice(batch_rows), rejected.slice(batch_rows)
            if rows.nbytes + rejected.nbytes >= BATCH_BYTES:
                yield Batch(with_absent(rows, absent), rejected)
                rows, rejected = rows.slice(0, 0), rejected.slice(0, 0)
    if rows.num_rows or rejected.num_rows:
        yield Batch(with_absent(rows, absent), rejected)


def with_absent(rows: pa.Table, absent: tuple[str, ...]) -> pa.Table:
    """Return rows with empty columns for those that the file lacks."""
    for name in absent:
        rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.string()))
    return rows


def _parse_blocks(path: Path | FirstBlock, header: Header, shape: Shape,
                  block_bytes: int) -> Iterator[Parsed]:
    chunks = _skip(text_chunks(path, header.encoding, block_bytes), header.body_start)
    return parse_chunks(path, chunks, shape, header.body_line)


def parse_chunks(path: Path | FirstBlock, chunks: Iterator[bytes], shape: Shape, line: int, *,
                 is_end: bool = True) -> Iterator[Parsed]:
    """Yield the rows and rejected lines of a part of a file that begins with a record, in line `line`.

    `is_end` tells that the part is the last one of the file; any other part must end in a line feed. Raises
    Unfinished when the last record of the part may continue in the next one.
    """
    text = b""
    for chunk in chain(chunks, [b""]):
        is_last = is_end and not chunk
        text += chunk or missing_line_end(text)
        end = end_of_lines(text, is_last=is_last)
        lines, unfinished = text[:end], text[end:]
        while lines:
            try:
                parsed = parse(lines, shape, line, is_last=is_last)
            except LineTooLong as error:
                raise _too_long(path, *error.args) from error
            if not parsed.bytes_used:
                break
            yield set_headers_aside(parsed, lines, shape, line, path)
            line += parsed.lines_used
            lines = lines[parsed.bytes_used:]
        if len(unfinished) > records.MAX_RECORD_BYTES:
            raise _too_long(path, line + len(line_ends(lines)))
        text = lines + unfinished
    if text:
        raise Unfinished


def _too_long(path: Path, line: int) -> PipelineError:
    return PipelineError(f"{path}, line {line}: the line is longer than {records.MAX_RECORD_BYTES >> 10} kB, "
                         "which is the most that is read as a row. Check that the file is CSV, shorten the "
                         "line or take it out, and deliver the file again.")


def _skip(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield what follows the first `size` bytes, without empty chunks."""
    for chunk in chunks:
        if len(chunk) > size:
            yield chunk[size:]
        size = max(0, size - len(chunk))
