"""Read one delivery in batches of text: every record appears once, as a row or rejected with a reason.

`read_header` checks the whole file and describes it; `read_batches` then yields its rows. `records` defines
what a row is. `text` decides which files count as text.
"""

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa

from lib.errors import PipelineError
from lib.ingest.records import LINE_END, REJECTED, Parsed, Shape, end_of_lines, parse, split_record
from lib.ingest.text import detect_encoding, reading, text_chunks

DELIMITERS = (",", ";", "\t", "|")
SOURCE_ROW = "source_row"
BLOCK_BYTES = 4 << 20
MAX_HEADER_BYTES = 1 << 20
MAX_COLUMNS = 1900  # SQLite allows 2000, and the raw layer adds some of its own
MAX_LINE_BYTES = 128 << 20
MARK_AND_BLANK_LINES = re.compile(rb"(?:\xef\xbb\xbf)?(?:[ \t]*+(?:\r\n?|\n))*+")


@dataclass(frozen=True)
class Header:
    """The names of a file's columns, and how its text is to be read."""

    names: tuple[str, ...]  # in the file's order: the contract's name where there is one, else normalised
    extra: tuple[str, ...]  # the names that are not in the contract
    encoding: str
    delimiter: str
    notes: tuple[str, ...]  # what was detected and should be reported
    body_start: int  # where the text after the header begins, in bytes of UTF-8
    body_line: int  # the physical line there


@dataclass(frozen=True)
class Batch:
    """Some of a file's rows, in their order, and the lines rejected on the way.

    rows: the header's names, all text, an empty field null; and `source_row`, the physical line where the row
    begins.
    rejected: source_row, raw_text (a line without its end), rule (field_count, quote or nul_byte), reason.
    """

    rows: pa.Table
    rejected: pa.Table


class Unfinished(Exception):
    """A part of a file ends where a record may not be complete."""


def read_header(path: Path | str, columns: Sequence[str], required: Sequence[str]) -> Header:
    """Return the header of a delivery whose source has these `columns`, some of them `required`.

    This reads the whole file once, to be sure of its encoding. Raises PipelineError for a file that is
    missing, empty, damaged or not CSV, and for a header that lacks a column or has a name twice.
    """
    path = Path(path)
    with reading(path):
        encoding, notes = detect_encoding(path)
        head = _read_head(path, encoding)
    start = MARK_AND_BLANK_LINES.match(head).end()
    body = head[start:]
    if not body.strip():
        raise PipelineError(f"{path} is empty: no header. Deliver it again with a header line.")
    if body.lstrip().lower().startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise PipelineError(f"{path} is a web page or XML, not CSV. Deliver the table as .csv or .csv.gz.")
    where = f"{path}, line {1 + _count_lines(head[:start])}"
    contract = {_normalise(column): column for column in columns}
    delimiter, cells, end = _split_header(body, contract, where)
    names = tuple(contract.get(_normalise(cell), _normalise(cell)) or f"column_{position}"
                  for position, cell in enumerate(cells, start=1))
    extra = tuple(name for name in names if name not in columns)
    _check_names(names, extra, required, where)
    if delimiter != ",":
        notes += (f"delimiter {delimiter!r}",)
    loose = [f"{cell!r} as {name}" for cell, name in zip(cells, names, strict=True)
             if cell != name and name in columns]
    if loose:
        notes += (f"header names matched ignoring case, spaces and hyphens: {', '.join(loose)}",)
    return Header(names, extra, encoding, delimiter, notes, start + end, 1 + _count_lines(head[:start + end]))


def read_batches(path: Path | str, header: Header, batch_rows: int = 200_000, block_bytes: int = BLOCK_BYTES,
                 only: str | None = None) -> Iterator[Batch]:
    """Yield the file's rows and rejected lines, up to `batch_rows` of each at a time.

    With `only`, the name of a column, the rows have just that column and `source_row`, which takes half the
    time. Memory is bounded by a block of `block_bytes` (or the longest line) and a batch; the size of a block
    changes nothing else. Raises PipelineError if the file can no longer be read, or has a line longer than
    MAX_LINE_BYTES.
    """
    if batch_rows < 1:
        raise ValueError(f"batch_rows is {batch_rows}: it must be 1 or more")
    path = Path(path)
    shape = Shape(header.names, header.delimiter.encode(), only)
    rows, rejected = shape.schema.empty_table(), REJECTED.empty_table()
    with reading(path):
        for parsed in _parse_blocks(path, header, shape, block_bytes):
            rows = pa.concat_tables([rows, parsed.rows])
            rejected = pa.concat_tables([rejected, parsed.rejected])
            while max(rows.num_rows, rejected.num_rows) >= batch_rows:
                yield Batch(rows.slice(0, batch_rows), rejected.slice(0, batch_rows))
                rows, rejected = rows.slice(batch_rows), rejected.slice(batch_rows)
    if rows.num_rows or rejected.num_rows:
        yield Batch(rows, rejected)


def _parse_blocks(path: Path, header: Header, shape: Shape, block_bytes: int) -> Iterator[Parsed]:
    chunks = _skip(text_chunks(path, header.encoding, block_bytes), header.body_start)
    return parse_chunks(path, chunks, shape, header.body_line)


def parse_chunks(path: Path, chunks: Iterator[bytes], shape: Shape, line: int, *,
                 is_end: bool = True) -> Iterator[Parsed]:
    """Yield the rows and rejected lines of a part of a file that begins with a record, in line `line`.

    `is_end` tells that the part is the last one of the file; any other part must end in a line feed. Raises
    Unfinished when the last record of the part may continue in the next one.
    """
    text = b""
    for chunk in chain(chunks, [b""]):
        is_last = is_end and not chunk
        text += chunk or _missing_line_end(text)
        end = end_of_lines(text, is_last=is_last)
        lines, unfinished = text[:end], text[end:]
        while lines:
            parsed = parse(lines, shape, line, is_last=is_last)
            if not parsed.bytes_used:
                break
            yield parsed
            line += parsed.lines_used
            lines = lines[parsed.bytes_used:]
        if len(unfinished) > MAX_LINE_BYTES:
            raise PipelineError(f"{path}: a line after line {line - 1} is longer than {MAX_LINE_BYTES >> 20} "
                                "MB. Check that the file is CSV, and deliver it again.")
        text = lines + unfinished
    if text:
        raise Unfinished


def _skip(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield what follows the first `size` bytes, without empty chunks."""
    for chunk in chunks:
        if len(chunk) > size:
            yield chunk[size:]
        size = max(0, size - len(chunk))


def _missing_line_end(text: bytes) -> bytes:
    return b"" if not text or text.endswith((b"\n", b"\r")) else b"\n"


def _read_head(path: Path, encoding: str) -> bytes:
    """Return the complete lines at the start of the file's text, as UTF-8; b"" if the file has no text."""
    head = b""
    for chunk in text_chunks(path, encoding):
        head += chunk
        if len(head) >= MAX_HEADER_BYTES:
            break
    else:
        return head + _missing_line_end(head)
    end = end_of_lines(head, is_last=False)
    if not end:
        raise PipelineError(f"{path} has no line end in its first MB. "
                            "Check that the file is CSV, and deliver it again.")
    return head[:end]


def _split_header(body: bytes, contract: dict[str, str], where: str) -> tuple[str, list[str], int]:
    """Return the first delimiter that yields a name of the contract (else a comma), the cells, their end."""
    splits = {delimiter: split_record(body, delimiter.encode()) for delimiter in DELIMITERS}
    fitting = (delimiter for delimiter, (cells, end) in splits.items()
               if LINE_END.match(body, end) and any(_normalise(cell) in contract for cell in cells))
    delimiter = next(fitting, ",")
    cells, end = splits[delimiter]
    line_end = LINE_END.match(body, end)
    if not line_end:
        raise PipelineError(f"{where}: the header breaks off after {cells[-1][:40]!r}, at a misplaced quote "
                            "or a NUL byte. Correct it and deliver the file again.")
    if len(cells) > MAX_COLUMNS:
        raise PipelineError(f"{where}: the header has {len(cells)} columns, more than {MAX_COLUMNS}. "
                            "Check that the file is CSV, and deliver it again.")
    return delimiter, cells, line_end.end()


def _check_names(names: Sequence[str], extra: Sequence[str], required: Sequence[str], where: str) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise PipelineError(f"{where}: the header has {name[:40]!r} {count} times (case, spaces and "
                                "hyphens do not count). Rename all but one.")
    if SOURCE_ROW in names:
        raise PipelineError(f"{where}: the header has {SOURCE_ROW!r}, which is the pipeline's name for line "
                            "numbers. Rename it.")
    missing = [f"{name!r} ({_nearest(name, extra)})" for name in required if name not in names]
    if missing:
        raise PipelineError(f"{where}: the header lacks {', '.join(missing)}. It has {_listed(names)}. "
                            "Correct it and deliver the file again.")


def _nearest(name: str, candidates: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, candidates, n=1)
    return f"nearest: {near[0]!r}" if near else "nothing like it"


def _listed(names: Sequence[str], limit: int = 12) -> str:
    shown = ", ".join(repr(name[:40]) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _normalise(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _count_lines(text: bytes) -> int:
    return sum(1 for _ in LINE_END.finditer(text))
