"""Cut a delivery into parts that can be read separately, with the same result as
`lib.ingest.reader.read_batches`.

A file may be cut after a line feed that ends a record. If the number of quotes before a line feed is even, it
probably does. Parsing shows whether it really does. The first part begins with a record. When a part leaves
nothing that could continue in the next one, the next one also begins with a record. If a part does leave
something (quotes that are text can cause that), the file is read in one piece. So are files that are
compressed or not UTF-8.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.ingest.header import Header
from lib.ingest.reader import BLOCK_BYTES, Batch, parse_chunks, with_absent
from lib.ingest.records import CR, LF, QUOTE, Shape
from lib.ingest.text import GZIP_MAGIC, reading

PART_BYTES = 32 << 20


@dataclass(frozen=True)
class Part:
    """A part of a file: where it starts and stops, its first physical line, and whether it is the last."""

    start: int
    stop: int
    first_line: int
    is_end: bool


@dataclass(frozen=True)
class Scan:
    """What a stretch of a file contains, and where it could be cut.

    `cuts` is for an even and for an odd number of quotes before the stretch. Each is the byte after the first
    line feed with an even number of quotes before it, and the number of lines that end up to there; None if
    there is none.
    """

    quotes: int
    line_ends: int
    cuts: tuple[tuple[int, int] | None, tuple[int, int] | None]


def can_be_cut(path: Path, header: Header) -> bool:
    """Return whether a file's bytes are its text in UTF-8."""
    with reading(path), path.open("rb") as file:
        return header.encoding == "utf-8" and file.read(len(GZIP_MAGIC)) != GZIP_MAGIC


def stretches(path: Path, header: Header, part_bytes: int) -> list[tuple[int, int]]:
    """Return the text below the header in stretches of `part_bytes`: where each begins and ends."""
    with reading(path):
        size = path.stat().st_size
    return [(start, min(start + part_bytes, size)) for start in range(header.body_start, size, part_bytes)]


def scan(path: Path, start: int, stop: int) -> Scan:
    """Count quotes and line ends in a stretch of a file; some text must come before it."""
    quotes = line_ends = 0
    cuts: list[tuple[int, int] | None] = [None, None]
    before = b"".join(_read_bytes(path, start - 1, start))[0]
    for block in _read_bytes(path, start, stop):
        codes = np.frombuffer(block, np.uint8)
        is_end = codes == CR
        feeds = np.flatnonzero(codes == LF)
        # A CRLF is one line end, counted at its CR. The CR may be the last byte of the block before.
        is_end[feeds[np.where(feeds == 0, before, codes[feeds - 1]) != CR]] = True
        quoted = np.flatnonzero(codes == QUOTE)
        parity = (quotes + np.searchsorted(quoted, feeds)) % 2
        for odd in (0, 1):
            fitting = feeds[parity == odd]
            if cuts[odd] is None and fitting.size:
                cuts[odd] = start + int(fitting[0]) + 1, line_ends + int(is_end[:fitting[0] + 1].sum())
        quotes += quoted.size
        line_ends += int(is_end.sum())
        start, before = start + len(block), codes[-1]
    return Scan(quotes, line_ends, (cuts[0], cuts[1]))


def cut(header: Header, ends: Sequence[tuple[int, int]], scans: Sequence[Scan]) -> list[Part]:
    """Return the parts of a file whose stretches were scanned, in order; none for a file without text."""
    if not ends:
        return []
    size, starts = ends[-1][1], [(header.body_start, header.body_line)]
    quotes, line = scans[0].quotes, header.body_line + scans[0].line_ends
    for found in scans[1:]:
        found_cut = found.cuts[quotes % 2]
        if found_cut and found_cut[0] < size:
            starts.append((found_cut[0], line + found_cut[1]))
        quotes += found.quotes
        line += found.line_ends
    stops = [start for start, _ in starts[1:]] + [size]
    return [Part(start, stop, first_line, stop == size)
            for (start, first_line), stop in zip(starts, stops, strict=True)]


def read_part(path: Path, header: Header, part: Part) -> Iterator[Batch]:
    """Yield the rows and rejected lines of a part. Raises Unfinished if its last record may continue."""
    shape = Shape(header.names, header.delimiter.encode())
    with reading(path):
        chunks = _read_bytes(path, part.start, part.stop)
        for parsed in parse_chunks(path, chunks, shape, part.first_line, is_end=part.is_end):
            yield Batch(with_absent(parsed.rows, header.absent), parsed.rejected)


def _read_bytes(path: Path, start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes of a file from `start` to `stop`, in blocks."""
    with path.open("rb") as file:
        file.seek(start)
        while start < stop and (block := file.read(min(BLOCK_BYTES, stop - start))):
            start += len(block)
            yield block
