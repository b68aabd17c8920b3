"""Records in CSV text: the one definition of what a row is, and a fast parser for text that is well formed.

Text is UTF-8 bytes. A physical line ends in LF, CRLF or CR. A record is a row if it has the expected number
of fields, each of which is either

- quoted: it starts and ends with a quote; a quote inside is doubled; delimiters and line ends inside are
  text; or
- plain: everything up to the delimiter; a quote that is not its first character is text.

A field without characters, quoted or not, is missing. A line without characters, or whose fields are all
missing, is blank and not a record. If no row begins at a physical line, only this line is rejected, and
reading resumes at the next line. So an unclosed quote costs one line. A line that is longer than a row may be
is an error: the file is hardly CSV, or was made to fill the memory.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, reduce

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

# How far a row may extend over several lines. An unclosed quote can swallow so much, and so much must be held
# back.
MAX_RECORD_LINES = 1000
# How long a row may be, and a line. Real rows have some kB; a file of few bytes may unpack to rows of any
# length.
MAX_RECORD_BYTES = 128 << 10
# How much text is parsed carefully, which takes much memory, before the fast parser is tried again.
CAREFUL_BYTES = 1 << 20
ARROW_BLOCK_BYTES = 1 << 20  # Arrow needs a whole record in one
LF, CR, QUOTE = b'\n\r"'
LINE_END = re.compile(rb"\r\n?|\n")
OPEN_QUOTE = rb'"[^"\0]*+(?:""[^"\0]*+)*+'
REJECTED = pa.schema([("source_row", pa.int64()), ("raw_text", pa.string()), ("rule", pa.string()),
                      ("reason", pa.string())])


@dataclass(frozen=True)
class Shape:
    """The names of a row's fields, their delimiter (one byte), and the only field that is wanted, if any."""

    names: tuple[str, ...]
    delimiter: bytes
    only: str | None = None

    @property
    def wanted(self) -> tuple[str, ...]:
        return (self.only,) if self.only else self.names

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([*((name, pa.string()) for name in self.wanted), ("source_row", pa.int64())])

    @property
    def marker(self) -> str:
        """The column by whose value a repeated header is found: one that has a name there."""
        named = (name for name in self.names if not name.startswith("column_"))
        return self.only or next(named, self.names[0])

    @property
    def blank(self) -> re.Pattern[bytes]:
        return _blank_pattern(self.delimiter)


class LineTooLong(Exception):
    """A line has more than MAX_RECORD_BYTES; the argument is its number."""


@dataclass(frozen=True)
class Parsed:
    """The rows and rejected lines of some text, and how many bytes and lines of the text they took up."""

    rows: pa.Table
    rejected: pa.Table
    bytes_used: int
    lines_used: int


def parse(text: bytes, shape: Shape, first_line: int, is_last: bool) -> Parsed:
    """Parse text that starts with a record, in physical line `first_line`, and ends with a line end.

    Some of the text may be left: pass the rest in again. If all of it is left, its only record may be
    unfinished: pass it in with more text. That never happens with the last text of a file.
    Raises LineTooLong.
    """
    return parse_fast(text, shape, first_line) or parse_carefully(text, shape, first_line, is_last)


def parse_carefully(text: bytes, shape: Shape, first_line: int, is_last: bool) -> Parsed:
    """Parse any text, record by record, by the rules at the top of this module; stop after CAREFUL_BYTES."""
    match_row, match_blank = _row_pattern(shape.delimiter, len(shape.names)).match, shape.blank.match
    rows, row_starts, rejected, rejected_starts = [], [], [], []
    position = 0
    while position < min(len(text), CAREFUL_BYTES):
        if blank := match_blank(text, position):
            position = blank.end()
        elif (row := match_row(text, position)) and not _reaches_too_far(text, position, row.end()):
            rows.append(row.groups())
            row_starts.append(position)
            position = row.end()
        elif not is_last and _may_go_on(text, position, shape):
            break
        else:
            line_end = LINE_END.search(text, position)
            if line_end.end() - position > MAX_RECORD_BYTES:
                raise LineTooLong(first_line + len(line_ends(text[:position])))
            raw_text = text[position:line_end.start()]
            rejected.append((raw_text, *_diagnose(raw_text, shape)))
            rejected_starts.append(position)
            position = line_end.end()
    ends = line_ends(text[:position])
    row_lines = first_line + np.searchsorted(ends, row_starts)
    rejected_lines = first_line + np.searchsorted(ends, rejected_starts)
    columns = dict(zip(shape.names, zip(*rows, strict=True), strict=True)) if rows else {}
    fields = ([_value(field) for field in columns[name]] for name in shape.wanted if columns)
    return Parsed(
        rows=_table(shape.schema, [*fields, row_lines]),
        rejected=_table(REJECTED, [rejected_lines, *zip(*rejected, strict=True)]),
        bytes_used=position,
        lines_used=len(ends),
    )


def parse_fast(text: bytes, shape: Shape, first_line: int) -> Parsed | None:
    """Parse text with Arrow if every record in it is a row; return None, quickly, if that is not certain.

    Arrow alone would not do: it appends text after a closing quote to the field, reads an unclosed quote to
    the end, and skips a byte-order mark wherever its input starts.
    """
    if b"\0" in text or text.startswith(b"\xef\xbb\xbf") or text.count(b"\r") != text.count(b"\r\n"):
        return None
    codes = np.frombuffer(text, np.uint8)
    breaks = np.flatnonzero(codes == LF)
    quotes = np.flatnonzero(codes == QUOTE)
    # With every quote in its place, a line end ends a record exactly if the number of quotes before it is
    # even.
    last_lines = (np.flatnonzero(np.searchsorted(quotes, breaks) % 2 == 0) if quotes.size
                  else np.arange(breaks.size))
    ends = breaks[last_lines]
    if not ends.size:
        return None
    if not _quotes_in_place(codes, quotes[:np.searchsorted(quotes, ends[-1])], shape.delimiter):
        return None
    starts = np.concatenate([[0], ends + 1])
    longest = int(np.diff(starts, append=len(text)).max())
    if longest > MAX_RECORD_BYTES or np.diff(last_lines, prepend=-1).max() > MAX_RECORD_LINES:
        return None
    is_record = ~np.isin(codes[starts[:-1]], (LF, CR))
    row_lines = first_line + np.concatenate([[0], last_lines[:-1] + 1])[is_record]
    used = int(starts[-1])
    try:
        rows = _read_with_arrow(text[:used], shape)
        rows = rows.append_column("source_row", pa.array(row_lines, pa.int64()))
    except pa.ArrowInvalid:  # a record with too few or too many fields
        return None
    rows = _without_blank(rows, text, starts[:-1][is_record], shape)
    return Parsed(rows, REJECTED.empty_table(), bytes_used=used, lines_used=int(last_lines[-1]) + 1)


def _without_blank(rows: pa.Table, text: bytes, starts: np.ndarray, shape: Shape) -> pa.Table:
    """Return the rows without those whose fields are all missing; `starts` is where each is in the text."""
    if not all(rows[name].null_count for name in shape.wanted):  # nearly always
        return rows
    is_empty = reduce(np.logical_and, (rows[name].is_null().to_numpy() for name in shape.wanted))
    blank = [row for row in np.flatnonzero(is_empty) if shape.blank.match(text, starts[row])]
    return rows.filter(pa.array(~np.isin(np.arange(rows.num_rows), blank))) if blank else rows


def is_blank(text: bytes, delimiter: bytes, position: int) -> bool:
    """Return whether the line at a position has no characters but delimiters and quotes around nothing."""
    return bool(_blank_pattern(delimiter).match(text, position))


def end_of_lines(text: bytes, is_last: bool) -> int:
    """Return where the last complete line ends. If more text follows, a CR at the end may be half a CRLF."""
    if is_last:
        return len(text)
    return max(text.rfind(b"\n"), text.rfind(b"\r", 0, len(text) - 1)) + 1


def split_record(text: bytes, delimiter: bytes, position: int = 0) -> tuple[list[str], int]:
    """Return the fields of the record at a position, and its end (a line end unless malformed)."""
    fields = list(_fields(text, delimiter, position))
    return [(_value(field[0]) or b"").decode() for field in fields], fields[-1].end()


def _table(schema: pa.Schema, columns: Sequence) -> pa.Table:
    if len(columns) < len(schema):  # there are no rows, and so no columns
        return schema.empty_table()
    arrays = [pa.array(column, type_) for column, type_ in zip(columns, schema.types, strict=True)]
    return pa.table(arrays, schema=schema)


def _value(field: bytes) -> bytes | None:
    if field[:1] == b'"':
        field = field[1:-1].replace(b'""', b'"')
    return field or None


@cache
def _field_pattern(delimiter: bytes) -> bytes:
    plain = rb'[^"\r\n\0%b][^\r\n\0%b]*+' % ((re.escape(delimiter),) * 2)
    return rb'(?:%b"|%b|)' % (OPEN_QUOTE, plain)


@cache
def _blank_pattern(delimiter: bytes) -> re.Pattern[bytes]:
    return re.compile(rb'(?:"")?+(?:%b(?:"")?+)*+(?:\r\n?+|\n)' % re.escape(delimiter))


@cache
def _row_pattern(delimiter: bytes, count: int) -> re.Pattern[bytes]:
    # All quantifiers are possessive and no more than `count` fields match, so a match fails in linear time.
    fields = re.escape(delimiter).join([rb"(%b)" % _field_pattern(delimiter)] * count)
    return re.compile(fields + rb"(?:\r\n?+|\n)")


@cache
def _open_pattern(delimiter: bytes, count: int) -> re.Pattern[bytes]:
    field = _field_pattern(delimiter) + re.escape(delimiter)
    return re.compile(rb"(?:%b){0,%d}+%b\Z" % (field, count - 1, OPEN_QUOTE))


def _reaches_too_far(text: bytes, start: int, end: int) -> bool:
    """Return whether a record with its line end has too many lines or too many bytes."""
    if end - start <= min(MAX_RECORD_LINES, MAX_RECORD_BYTES):
        return False
    lines = sum(1 for _ in LINE_END.finditer(text, start, end))
    return lines > MAX_RECORD_LINES or end - start > MAX_RECORD_BYTES


def _may_go_on(text: bytes, start: int, shape: Shape) -> bool:
    """Return whether the record at `start` may become a row: the text ends within its quotes."""
    is_open = _open_pattern(shape.delimiter, len(shape.names)).match(text, start)
    return bool(is_open) and not _reaches_too_far(text, start, len(text))


def _diagnose(line: bytes, shape: Shape) -> tuple[str, str]:
    """Return the rule and the reason why no row begins with a line."""
    count = len(shape.names)
    if b"\0" in line:
        return "nul_byte", "the line holds a NUL byte"
    number, last = deque(enumerate(_fields(line, shape.delimiter), start=1), maxlen=1).pop()
    if last.end() == len(line):
        return "field_count", f"{number} field{'' if number == 1 else 's'}, expected {count}"
    if line[last.end():last.end() + 1] == b'"':
        return "quote", (f"field {number} opens a quote that is never closed, or not within a row of {count} "
                         "fields")
    return "quote", f"field {number} has text after its closing quote"


def _fields(text: bytes, delimiter: bytes, position: int = 0) -> Iterator[re.Match[bytes]]:
    """Yield the fields from a position up to a line end, the end of the text or a misplaced quote."""
    match_field = re.compile(_field_pattern(delimiter)).match
    field = match_field(text, position)
    yield field
    while text.startswith(delimiter, field.end()):
        field = match_field(text, field.end() + 1)
        yield field


def line_ends(text: bytes) -> np.ndarray:
    """Return the position of the last byte of every line end."""
    codes = np.frombuffer(text, np.uint8)
    if b"\r" not in text:
        return np.flatnonzero(codes == LF)
    is_lone_cr = (codes == CR) & np.append(codes[1:] != LF, True)
    return np.flatnonzero((codes == LF) | is_lone_cr)


def _quotes_in_place(codes: np.ndarray, quotes: np.ndarray, delimiter: bytes) -> bool:
    """Return whether quotes alternately open at the start of a field and close at its end.

    A doubled quote closes and opens again.
    """
    # Before a quote at position 0, index -1 is the last byte: a line end, as before any first field.
    before = codes[quotes[0::2] - 1]
    after = codes[quotes[1::2] + 1]
    opens, closes = (*delimiter, LF, QUOTE), (*delimiter, LF, CR, QUOTE)
    return bool(np.isin(before, opens).all() and np.isin(after, closes).all())


def _read_with_arrow(text: bytes, shape: Shape) -> pa.Table:
    return arrow_csv.read_csv(
        pa.BufferReader(text),
        arrow_csv.ReadOptions(column_names=shape.names, block_size=ARROW_BLOCK_BYTES),
        arrow_csv.ParseOptions(delimiter=shape.delimiter.decode(), newlines_in_values=True),
        arrow_csv.ConvertOptions(
            include_columns=shape.wanted, column_types=dict.fromkeys(shape.names, pa.string()),
            null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=True))
