"""The header of a delivery: where it is, what its names mean, and how the text below it is to be read."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from pathlib import Path

from lib.contract import Source
from lib.errors import PipelineError, how_to_adopt
from lib.ingest.near import nearest
from lib.ingest.records import LINE_END, end_of_lines, is_blank, split_record
from lib.ingest.text import FirstBlock, Member, detect_encoding, reading, text_chunks

DELIMITERS = (",", ";", "\t", "|")
SOURCE_ROW = "source_row"
MAX_HEADER_BYTES = 1 << 20
MAX_COLUMNS = 1900  # SQLite allows 2000, and the raw layer adds some of its own
MAX_LINES_ABOVE = 20  # so far down is the header looked for
MARK_AND_BLANK_LINES = re.compile(rb"(?:\xef\xbb\xbf)?(?:[ \t]*+(?:\r\n?|\n))*+")
SEPARATOR_LINE = re.compile(rb'"?sep=(\t|[^\w\s"])"?[ \t]*(?:\r\n?|\n)', re.IGNORECASE)  # Excel's own


@dataclass(frozen=True)
class Header:
    """The names of a file's columns, and how its text is to be read."""

    source: Source
    names: tuple[str, ...]  # in the file's order: the contract's name where there is one, else normalised
    extra: tuple[str, ...]  # the names that are not in the contract
    delivered: tuple[str, ...]  # the names as the file has them
    absent: tuple[str, ...]  # optional columns of the contract that the file lacks; they are read as empty
    encoding: str
    delimiter: str
    notes: tuple[str, ...]  # what was detected and should be reported
    body_start: int  # where the text after the header begins, in bytes of UTF-8
    body_line: int  # the physical line there


@dataclass(frozen=True)
class _Line:
    """One of the first lines, split into cells by the delimiter that finds most names of the contract."""

    start: int
    cells: list[str]
    delimiter: str
    end: int  # behind the last cell
    is_declared: bool = False  # columns that are not wanted then have no names

    def names(self, source: Source) -> tuple[str, ...]:
        contract = {normalise(column): column for column in source.column_names}
        return tuple(contract.get(normalise(cell), "" if self.is_declared else normalise(cell))
                     or f"column_{position}" for position, cell in enumerate(self.cells, start=1))

    def known(self, source: Source) -> set[str]:
        return {*self.names(source)} & {*source.column_names}

    def is_header(self, source: Source) -> bool:
        """Return whether nothing is lacking that a header must have."""
        return not _missing(self, source)


def read_header(path: Path | FirstBlock | str, source: Source, delimiters: Sequence[str] = DELIMITERS,
                line_number: int = 0, *, is_declared: bool = False,
                may_lack: Collection[str] = ()) -> Header:
    """Return the header of a delivery of a source.

    This reads the whole file once, to be sure of its encoding, or a first block alone. With `line_number`,
    the header is in this line. With `is_declared`, the columns that are not the source's do not matter: their
    names are their positions. `may_lack` are columns that this file may lack, although others must have them.
    Raises PipelineError for a file that is missing, empty, damaged or not CSV, and for a header that lacks a
    column or has a name twice.
    """
    path = Path(path) if isinstance(path, str) else path
    with reading(path):
        encoding, notes = detect_encoding(path, source.encoding, f"data/contract/{source.name}.yaml")
        head = _read_head(path, encoding)
    start = MARK_AND_BLANK_LINES.match(head).end()
    if not head[start:].strip():
        raise PipelineError(f"{path} is empty: no header. Deliver it again with a header line.")
    if head[start:].lstrip().lower().startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise PipelineError(f"{path} is a web page or XML, not CSV. Deliver the table as .csv or .csv.gz.")
    if separator := SEPARATOR_LINE.match(head, start):
        delimiters = (separator[1].decode(),)
        notes += (f"the first line is {separator[0].strip().decode()!r}, which names the delimiter",)
        start = separator.end()
    if line_number:
        start = next(islice(_line_starts(head, 0, len(head)), line_number - 1, None), start)
    line = _find_header(path, head, start, source, delimiters)
    line = replace(line, is_declared=is_declared)
    where = f"{path}, line {1 + _count_lines(head[:line.start])}"
    body_start = _check_line(head, line, where)
    notes += _describe_titles(head, start, line)
    if unnamed := _count_unnamed(head[body_start:], line):
        line = replace(line, cells=line.cells[:-unnamed])
        more = "one more delimiter" if unnamed == 1 else f"{unnamed} more delimiters"
        notes += (f"the header ends in {more} than the rows: left out",)
    names = line.names(source)
    extra = tuple(name for name in names if name not in source.column_names)
    _check_names(line, source, may_lack, where, path)
    absent = tuple(name for name in source.column_names if name not in names)
    return Header(source, names, extra, tuple(line.cells), absent, encoding, line.delimiter,
                  notes + _describe(line, names, absent, source), body_start,
                  1 + _count_lines(head[:body_start]))


def normalise(name: str) -> str:
    """Return a name without what does not count in a header: case, spaces and hyphens."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _describe(line: _Line, names: Sequence[str], absent: Sequence[str], source: Source) -> tuple[str, ...]:
    notes = () if line.delimiter == "," else (f"delimiter {line.delimiter!r}",)
    loose = [f"{cell!r} as {name}" for cell, name in zip(line.cells, names, strict=True)
             if cell != name and name in source.column_names]
    if loose:
        notes += (f"header names matched ignoring case, spaces and hyphens: {', '.join(loose)}",)
    if absent:
        notes += (f"the file has no column {', '.join(absent)}: empty in all of its rows",)
    return notes


def _read_head(path: Path | FirstBlock, encoding: str) -> bytes:
    """Return the complete lines at the start of the file's text, as UTF-8; b"" if the file has no text."""
    head = b""
    for chunk in text_chunks(path, encoding):
        head += chunk
        if len(head) >= MAX_HEADER_BYTES:
            break
    else:
        return head + missing_line_end(head)
    end = end_of_lines(head, is_last=False)
    if not end:
        raise PipelineError(f"{path} has no line end in its first MB. "
                            "Check that the file is CSV, and deliver it again.")
    return head[:end]


def missing_line_end(text: bytes) -> bytes:
    """Return the line end that the last line of a file lacks, if it does."""
    return b"" if not text or text.endswith((b"\n", b"\r")) else b"\n"


def _find_header(path: Path | FirstBlock, head: bytes, start: int, source: Source,
                 delimiters: Sequence[str]) -> _Line:
    """Return the first line that is a header of the source; else the one that looks most like it.

    Only titles may stand above it. Raises PipelineError when lines above it may be rows.
    """
    best = None
    for line in _first_lines(head, start, source, delimiters):
        if line.is_header(source):
            best = line
            break
        if best is None or len(line.known(source)) > max(1, len(best.known(source))):
            best = line
    if all(2 * len(title) <= len(best.cells) for title in _titles(head, start, best)):
        return best
    raise PipelineError(
        f"{path}, line {1 + _count_lines(head[:best.start])}: this looks like the header, but lines above it "
        "may be rows. Deliver the file again with the header in its first line.")


def _titles(head: bytes, start: int, header: _Line) -> list[list[str]]:
    """Return the cells that are not empty of each line above the header."""
    above = (_split(head, position, header.delimiter) for position in _line_starts(head, start, header.start))
    return [list(filter(None, line.cells)) for line in above]


def _first_lines(head: bytes, start: int, source: Source, delimiters: Sequence[str]) -> Iterator[_Line]:
    for number, position in enumerate(_line_starts(head, start, len(head))):
        if number > MAX_LINES_ABOVE:
            return
        lines = (_split(head, position, delimiter) for delimiter in delimiters)
        yield max(lines, key=lambda line: len(line.known(source)))  # the first of equals


def _line_starts(head: bytes, start: int, stop: int) -> Iterator[int]:
    while start < stop:
        yield start
        start = LINE_END.search(head, start).end()


def _split(head: bytes, position: int, delimiter: str) -> _Line:
    cells, end = split_record(head, delimiter.encode(), position)
    return _Line(position, cells, delimiter, end)


def _check_line(head: bytes, line: _Line, where: str) -> int:
    """Return where the text below a header line begins."""
    line_end = LINE_END.match(head, line.end)
    if not line_end:
        raise PipelineError(f"{where}: the header breaks off after {line.cells[-1][:40]!r}, at a misplaced "
                            "quote or a NUL byte. Correct it and deliver the file again.")
    if len(line.cells) > MAX_COLUMNS:
        raise PipelineError(f"{where}: the header has {len(line.cells)} columns, more than {MAX_COLUMNS}. "
                            "Check that the file is CSV, and deliver it again.")
    return line_end.end()


def _describe_titles(head: bytes, start: int, line: _Line) -> tuple[str, ...]:
    titles = [" ".join(cells) for cells in _titles(head, start, line) if cells]
    if not titles:
        return ()
    return (f"the header is in line {1 + _count_lines(head[:line.start])}; left out above it: "
            f"{_listed(titles, 3)}",)


def _count_unnamed(body: bytes, line: _Line) -> int:
    """Return how many cells at the end of the header have no name and no field in the first row."""
    unnamed = len(list(takewhile(lambda cell: not cell, reversed(line.cells))))
    delimiter = line.delimiter.encode()
    for position in _line_starts(body, 0, len(body)) if unnamed else ():
        if not is_blank(body, delimiter, position):
            fields = len(split_record(body, delimiter, position)[0])
            return max(0, min(unnamed, len(line.cells) - fields))
    return unnamed


def _missing(line: _Line, source: Source, may_lack: Collection[str] = ()) -> list[str]:
    """Return the columns that a header lacks although it must have them.

    A column that may be empty may also be absent. But if more columns are absent than present, or if one may
    be there under another name, the file is most likely another table, or its header is wrong.
    """
    names = line.names(source)
    absent = [name for name in source.column_names if name not in names and name not in may_lack]
    if 2 * len(absent) > len(source.columns):
        return absent
    optional, extra = _optional(source), _extra(line, source)
    return [name for name in absent if name not in optional or nearest(name, source, extra)]


def _optional(source: Source) -> set[str]:
    return {column.name for column in source.columns[1:] if column.optional}


def _extra(line: _Line, source: Source) -> list[str]:
    """Return the names that are not in the contract, as the file has them."""
    names = zip(line.cells, line.names(source), strict=True)
    return [cell for cell, name in names if name not in source.column_names]


def _check_names(line: _Line, source: Source, may_lack: Collection[str], where: str,
                 path: Path | FirstBlock | Member) -> None:
    names = line.names(source)
    for name, count in Counter(names).items():
        if count > 1:
            same = [cell for cell, other in zip(line.cells, names, strict=True) if other == name]
            raise PipelineError(f"{where}: the header has {name[:40]!r} {count} times: {_listed(same)} "
                                "(case, spaces and hyphens do not count). Rename all but one.")
    if SOURCE_ROW in names:
        raise PipelineError(f"{where}: the header has {SOURCE_ROW!r}, which is the pipeline's name for line "
                            "numbers. Rename it.")
    if missing := _missing(line, source, may_lack):
        extra = _extra(line, source)
        near = {name: nearest(name, source, extra) for name in missing}
        lacking = [f"{name!r} (nearest: {cell[:40]!r})" for name, cell in near.items() if cell]
        if far := [repr(name) for name, cell in near.items() if not cell]:
            lacking.append(f"{', '.join(far)} (nothing like {'it' if len(far) == 1 else 'them'})")
        otherwise = next((f" If {cell[:40]!r} means something else, add an empty column {name}."
                          for name, cell in near.items() if cell and name in _optional(source)), "")
        raise PipelineError(f"{where}: the header lacks {', '.join(lacking)}. It has {_listed(line.cells)}. "
                            f"Correct it and deliver the file again.{otherwise} "
                            f"{how_to_adopt(_file_of(path))}")


def _file_of(path: Path | FirstBlock | Member) -> Path:
    """Return the file in which a text is: an archive, where it is a member of one."""
    return path if isinstance(path, Path) else _file_of(path.path)


def _listed(names: Sequence[str], limit: int = 12) -> str:
    shown = ", ".join(repr(name[:40]) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _count_lines(text: bytes) -> int:
    return sum(1 for _ in LINE_END.finditer(text))
