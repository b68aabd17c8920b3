"""Look at a file as a table: its encoding, delimiter, header line and footer, and its rows as text."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path

import pandas as pd

from lib.contract import SOURCES
from lib.errors import PipelineError
from lib.ingest.containers import Place, list_tables, open_table
from lib.ingest.header import DELIMITERS, MARK_AND_BLANK_LINES, SEPARATOR_LINE, Header
from lib.ingest.reader import read_batches
from lib.ingest.records import LINE_END, split_record
from lib.ingest.text import FirstBlock, byte_chunks, detect_encoding, read_first_block, reading, text_chunks
from lib.ingest.total_row import TOTAL_WORD
from lib.ingest.western import judge, propose_encoding

LOOKED_AT = 40  # lines in which the header and the delimiter are looked for
MOST_ROWS = 300_000  # that are looked at
LAST_ROWS = 5  # among which a footer is looked for
NO_NAME = re.compile(r"[\W\d_]*")  # numbers, dates and amounts are no names of columns
CANNOT_DECODE = "hardly cp1252"


@dataclass(frozen=True)
class Table:
    """One table of text.

    table: its name within an archive or a workbook, "" if the file is the table.
    rows: all text, an empty cell is missing; without the footer.
    footer: how the first line below the rows begins, "" if there is none.
    encodings: what the text may be encoded in: more than one if a person must choose.
    is_all: whether these are all rows of the file.
    """

    path: Path
    table: str
    delimiter: str
    encodings: tuple[str, ...]
    header_line: int
    titles: tuple[str, ...]
    rows: pd.DataFrame
    footer: str = ""
    notes: tuple[str, ...] = ()
    is_all: bool = True
    is_alone: bool = True  # in its file

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.rows.columns)

    @property
    def label(self) -> str:
        return self.path.name if self.is_alone else f"{self.path.name}/{self.table}"

    @property
    def is_text(self) -> bool:
        """Whether it is text with an encoding and a delimiter of its own, and no sheet of a workbook."""
        return bool(self.encodings)


@dataclass(frozen=True)
class _Line:
    start: int
    end: int
    cells: list[str]

    @property
    def named(self) -> list[str]:
        return [cell for cell in self.cells if cell]


def read_tables(path: Path) -> list[Table]:
    """Return the tables of a file. Raises PipelineError if it cannot be read, or one has no header."""
    names = list_tables(path) or [""]
    return [replace(_read_table(path, name), is_alone=len(names) == 1) for name in names]


def _read_table(path: Path, name: str) -> Table:
    place = open_table(path, name)
    encodings, notes = _find_encodings(place)
    with reading(path):
        head = b"".join(text_chunks(read_first_block(place), encodings[0]))
    head += b"" if head.endswith((b"\n", b"\r")) else b"\n"
    start, delimiters = MARK_AND_BLANK_LINES.match(head).end(), DELIMITERS
    if separator := SEPARATOR_LINE.match(head, start):
        start, delimiters = separator.end(), (separator[1].decode(),)
        notes += (f"the first line is {separator[0].strip().decode()!r}, which names the delimiter",)
    found = _find_header(head, start, delimiters)
    if found is None:
        where = f"{path}, table {name}" if name else path
        raise PipelineError(f"{where}: none of its first {LOOKED_AT} lines looks like the names of columns. "
                            "Put a header line above the rows.")
    line, delimiter, titles = found
    body = LINE_END.search(head, line.end).end()
    names = _unique(line.cells)
    header = Header(SOURCES["orders"], names, (), names, (), encodings[0], delimiter, (), body,
                    1 + len(LINE_END.findall(head[:body])))
    rows, is_all = _read_rows(place, header)
    is_sheet = isinstance(place, FirstBlock)
    table = Table(path, name, delimiter, () if is_sheet else encodings,
                  1 + len(LINE_END.findall(head[:line.start])), titles, rows, notes=notes, is_all=is_all)
    return _without_footer(table) if is_all else table


def _find_encodings(path: Place) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        with reading(path):
            encoding, notes = detect_encoding(path)
    except PipelineError as error:
        if CANNOT_DECODE not in str(error):
            raise
        found = judge(byte_chunks(path))
        guess = propose_encoding(found.values)
        if guess is None:
            raise
        return (guess, "cp1252"), (f"not UTF-8: values are {found.shown(guess)} in {guess}",)
    return (encoding,), () if encoding == "cp1252" else notes


def _find_header(head: bytes, start: int,
                 delimiters: Sequence[str]) -> tuple[_Line, str, tuple[str, ...]] | None:
    """Return the header line with its delimiter, and the lines above it: of the delimiter that splits most
    lines into equally many cells."""
    best, best_score = None, 0.0
    for delimiter in delimiters:
        lines = list(_lines(head, start, delimiter))
        counts = Counter(len(line.cells) for line in lines if line.named)
        if not counts:
            continue
        width, count = max(counts.items(), key=lambda item: (item[1], item[0]))
        place = next((place for place, line in enumerate(lines) if _is_header(line, width)), None)
        score = count / counts.total() * sqrt(width)
        if place is not None and score > best_score and (width > 1 or len(delimiters) == 1):
            titles = tuple(" ".join(line.named) for line in lines[:place] if line.named)
            best, best_score = (lines[place], delimiter, titles), score
    return best


def _lines(head: bytes, start: int, delimiter: str) -> Iterator[_Line]:
    for _ in range(LOOKED_AT):
        if start >= len(head):
            return
        cells, end = split_record(head, delimiter.encode(), start)
        yield _Line(start, end, [cell.strip() for cell in cells])
        start = LINE_END.search(head, end).end()


def _is_header(line: _Line, width: int) -> bool:
    names = [cell.casefold() for cell in line.named]
    return (len(line.cells) in (width, width + 1) and 10 * len(names) >= 9 * width - 9
            and len(names) >= min(2, width) and len(set(names)) * 10 >= 9 * len(names)
            and sum(bool(NO_NAME.fullmatch(name)) for name in names) * 10 <= len(names))


def _unique(cells: Sequence[str]) -> tuple[str, ...]:
    """Return names of columns, of which each stands once; a cell without a name gets one."""
    names: list[str] = []
    for place, cell in enumerate(cells, 1):
        name = cell or f"column_{place}"
        names.append(name if name not in names else f"{name}_{place}")
    return tuple(names)


def _read_rows(path: Place, header: Header) -> tuple[pd.DataFrame, bool]:
    frames, count = [], 0
    for batch in read_batches(path, header):
        frames.append(batch.rows.to_pandas().drop(columns="source_row"))
        count += batch.rows.num_rows
        if count >= MOST_ROWS:
            break
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=header.names, dtype="str")
    rows = rows.apply(lambda cells: cells.astype("str").str.strip())
    return rows.mask(rows == ""), count < MOST_ROWS


def _without_footer(table: Table) -> Table:
    """Return a table without the totals and remarks below its rows."""
    for place in range(max(1, len(table.rows) - LAST_ROWS), len(table.rows)):
        cells = table.rows.iloc[place].dropna()
        first_cell = table.rows.iat[place, 0]
        is_sparse = 2 * len(cells) <= 2 + table.rows.shape[1]
        if is_sparse and pd.notna(first_cell) and TOTAL_WORD.fullmatch(first_cell):
            above = table.rows.iloc[:place]
            is_taken = above.iloc[:, 0].str.startswith(first_cell, na=False).any()  # `Total Wine` is a shop
            return table if is_taken else replace(table, rows=above, footer=first_cell)
    return table
