"""A delivered file as text: gunzipped, its encoding detected, and passed on as UTF-8 bytes."""

import codecs
import gzip
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from lib.errors import PipelineError
from lib.ingest.western import judge, propose_encoding

SCAN_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
NOT_CSV = (
    (b"PK\x03\x04", "a ZIP archive or a workbook in another one"),
    (b"%PDF", "a PDF"),
    (b"SQLite format 3\0", "a SQLite database"),
    (b"PAR1", "a Parquet file"),
    (GZIP_MAGIC, "compressed twice"),
)
# UTF-32 first: its little-endian mark begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)
# A file with at least this share of valid UTF-8 beyond ASCII is damaged UTF-8. If its encoding is declared,
# half of it must be: pairs of bytes in East Asian encodings may look like UTF-8.
DAMAGED_UTF8, DAMAGED_UTF8_IF_DECLARED = 0.2, 0.5
ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
NOT_ASCII = re.compile("[^\0-\x7f]")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the errors of reading a file into a PipelineError that names the file."""
    try:
        yield
    except EOFError as error:
        raise PipelineError(f"{path} is cut short: its gzip data has no end. Deliver it again.") from error
    except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error) as error:
        raise PipelineError(f"{path} is corrupt: {error}. Deliver it again.") from error
    except OSError as error:
        raise PipelineError(f"{path} cannot be read: {error.strerror or error}. "
                            "Check that it is there and may be read, and run again.") from error
    except (UnicodeError, pa.ArrowInvalid) as error:  # all of it could be decoded a moment ago
        raise PipelineError(f"{path} changed while it was read. "
                            "Run again when its delivery is complete.") from error


@dataclass(frozen=True)
class Member:
    """A file in a ZIP archive."""

    path: Path
    name: str

    def __str__(self) -> str:
        return f"{self.path}/{self.name}"

    @contextmanager
    def open(self, mode: str) -> Iterator[BinaryIO]:
        """Open the file's content, as Path.open does."""
        with zipfile.ZipFile(self.path) as archive:
            if archive.getinfo(self.name).flag_bits & 1:
                raise PipelineError(f"{self} is locked with a password. Deliver it without one.")
            with archive.open(self.name) as file:
                yield file


@contextmanager
def open_delivery(path: Path | Member) -> Iterator[BinaryIO]:
    """Open the file's content, gunzipped if it is gzip; the name of the file does not matter."""
    with path.open("rb") as file:
        magic = file.read(len(GZIP_MAGIC))
        file.seek(0)
        if magic != GZIP_MAGIC:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as content:
            yield content


@dataclass(frozen=True)
class FirstBlock:
    """The first lines of a file, which are read in place of all of it where a path is expected."""

    path: "Path | Member"
    content: bytes  # gunzipped
    is_all: bool

    def __str__(self) -> str:
        return str(self.path)


def read_first_block(path: Path | Member | FirstBlock, size: int = SCAN_BYTES) -> FirstBlock:
    """Return the lines in the first bytes of a file. Raises PipelineError if it cannot be read."""
    if isinstance(path, FirstBlock):
        return path
    with reading(path), open_delivery(path) as file:
        content = file.read(size + 1)
    if len(content) <= size:
        return FirstBlock(path, content, True)
    wide = wide_encoding(content) or ""
    end = content.rfind(b"\n", 0, size) + 1 or size
    unit = 4 if "32" in wide else 2 if wide else 1  # a line feed of UTF-16 is half of its two bytes
    return FirstBlock(path, content[:end + -end % unit], False)


def byte_chunks(path: Path | FirstBlock, size: int = SCAN_BYTES) -> Iterator[bytes]:
    """Yield the file's content, gunzipped, in chunks of at most `size` bytes."""
    if isinstance(path, FirstBlock):
        yield path.content
        return
    with open_delivery(path) as content:
        while chunk := content.read(size):
            yield chunk


def text_chunks(path: Path | FirstBlock, encoding: str, size: int = SCAN_BYTES) -> Iterator[bytes]:
    """Yield the file's text as UTF-8; a chunk may end within a line. A UTF-8 byte-order mark is kept."""
    chunks = byte_chunks(path, size)
    if encoding == "utf-8":
        return chunks
    return (text.encode() for text in codecs.iterdecode(chunks, encoding))


def detect_encoding(path: Path | FirstBlock, declared: str = "",
                    declaration: str = "data/contract") -> tuple[str, tuple[str, ...]]:
    """Return a codec that decodes the whole file, and notes on what was found.

    `declared` is the encoding of files that are not UTF-8; without it, they are cp1252. `declaration` is the
    file that declares it, for messages. A file that is UTF-8,
    or UTF-16 by its first bytes, is read as such whatever is declared. This reads every byte, so it also
    finds a damaged gzip file. Raises PipelineError for a file that is not CSV, or that can only be decoded by
    guessing.
    """
    head = next(byte_chunks(path), b"")
    for magic, kind in NOT_CSV:
        if head.startswith(magic):
            raise PipelineError(f"{path} is {kind}, not CSV. Deliver the table as .csv or .csv.gz.")
    notes = _packing_notes(path)
    if wide := wide_encoding(head):
        if (offset := first_bad_byte(path, wide)) is not None:
            raise PipelineError(f"{path} is {wide.upper()}, but cut short or damaged at byte {offset}. "
                                "Deliver it again, preferably as UTF-8.")
        return wide, (*notes, f"read as {wide.upper()}")
    if (offset := first_bad_byte(path, "utf-8")) is None:
        if declared and first_bad_byte(path, "ascii") is not None and not _is_utf8(declared):
            notes += (f"read as UTF-8, which it is, although {declared} is declared",)
        return "utf-8", notes
    if _share_of_utf8(path) >= (DAMAGED_UTF8_IF_DECLARED if declared else DAMAGED_UTF8):
        raise PipelineError(f"{path}, line {_line_at(path, offset)}: the file is UTF-8 except for byte "
                            f"{offset}, where it is cut short, damaged or mixed with another encoding. "
                            "Deliver it again, all of it as UTF-8.")
    if declared:
        _check_declared(path, declared, declaration)
        return declared, notes
    return "cp1252", (*notes, _check_western(path, offset, declaration))


def _check_declared(path: Path, declared: str, declaration: str) -> None:
    """Raise PipelineError when a file cannot be decoded as it is declared."""
    if (offset := first_bad_byte(path, declared)) is not None:
        raise PipelineError(
            f"{path}, line {_line_at(path, offset)}: byte {offset} is not {declared}, which {declaration} "
            f"declares as its encoding. Deliver the file again in {declared} or as UTF-8, or correct the "
            "declaration.")


def _check_western(path: Path, not_utf8: int, declaration: str) -> str:
    """Return the note on a file that is read as cp1252; raise PipelineError if it hardly can be."""
    found, line = judge(byte_chunks(path)), _line_at(path, not_utf8)
    shown = found.shown("cp1252")
    undefined = first_bad_byte(path, "cp1252")
    if undefined is None and found.is_western:
        return (f"read as cp1252, because byte {not_utf8} is not UTF-8: values look like {shown} now. If "
                "that is wrong, deliver the file again as UTF-8, and declare the encoding of later files: "
                f"`encoding: …` in {declaration}")
    reason = f"{found.odd:,} of {found.words:,} words with letters beyond ASCII look wrong"
    if undefined is not None:
        reason = f"it has no character for byte {undefined}, in line {_line_at(path, undefined)}"
    guess = propose_encoding(found.values)
    likely = f" It may be {guess}: {found.shown(guess)}." if guess else ""
    declare = f"`encoding: {guess or '…'}` in {declaration}"
    raise PipelineError(
        f"{path} is not UTF-8 (byte {not_utf8}, line {line}), and hardly cp1252: {reason}, and values would "
        f"look like {shown}.{likely} Declare its encoding: {declare} (see docs/your-files.md, Encodings). Or "
        "deliver it again as UTF-8.")


def first_bad_byte(path: Path, encoding: str) -> int | None:
    """Return the offset in the gunzipped content of the first byte that `encoding` cannot decode, if any."""
    decoder = codecs.getincrementaldecoder(encoding)()
    offset = 0
    for chunk in _and_end(byte_chunks(path)):
        held_back = len(decoder.getstate()[0])
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            return offset - held_back + error.start
        offset += len(chunk)
    return None


def _and_end(chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield from chunks
    yield b""


def _packing_notes(path: Path | FirstBlock) -> tuple[str, ...]:
    path = path.path if isinstance(path, FirstBlock) else path
    if isinstance(path, Member):
        return ()
    with path.open("rb") as file:
        is_gzip = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    if is_gzip and path.suffix.lower() != ".gz":
        return ("gunzipped, though not named .gz",)
    if not is_gzip and path.suffix.lower() == ".gz":
        return ("read as plain text, though named .gz",)
    return ()


def wide_encoding(head: bytes) -> str | None:
    """Return the UTF-16 or UTF-32 codec that a mark shows, or NULs in every other byte of the header."""
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return encoding
    even, odd = head[0:256:2], head[1:256:2]
    for encoding, high, low in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if high.count(0) > len(high) // 3 and low.count(0) * 4 < high.count(0):
            return encoding
    return None


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def _line_at(path: Path, offset: int) -> int:
    """Return the number of the line with a byte; of lines that end in different ways, most are counted."""
    feeds = returns = 0
    for chunk in byte_chunks(path):
        before = chunk[:max(0, offset)]
        feeds, returns = feeds + before.count(b"\n"), returns + before.count(b"\r")
        offset -= len(chunk)
    return 1 + max(feeds, returns)


def _share_of_utf8(path: Path) -> float:
    """Return which share of what is beyond ASCII is valid UTF-8.

    Accents in cp1252 hardly ever look like UTF-8; a UTF-8 file with one bad byte would be garbled if read as
    cp1252.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
    valid = invalid = 0
    for chunk in _and_end(byte_chunks(path)):
        text = decoder.decode(chunk, final=not chunk)
        bad = len(ESCAPED_BYTE.findall(text))
        invalid += bad
        valid += len(NOT_ASCII.findall(text)) - bad
    return valid / max(1, valid + invalid)
