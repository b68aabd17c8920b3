"""What is in a file: the file itself, the files of a ZIP archive, or the sheets of a workbook, as text.

The content tells, not the name. A sheet becomes CSV in which every row has the line of its number: a line
break within a cell becomes a blank.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from pathlib import Path, PurePosixPath

from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetTypeEnum, SheetVisibleEnum

from lib.errors import PipelineError
from lib.ingest.text import FirstBlock, Member, reading

ZIP_MAGIC, OLD_WORKBOOK_MAGIC = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
WORKBOOK_PARTS = ("[Content_Types].xml", "mimetype")  # what the archive of a workbook has
MOST_BYTES = 1 << 30  # that a workbook may unpack to: it is read as a whole
NUMBER_FORMAT = ".15g"  # Excel keeps 15 digits: 0.1 + 0.2 is 0.3

Place = Path | FirstBlock | Member


def list_tables(path: Path) -> list[str] | None:
    """Return the names of the tables in an archive or workbook, in their order; None for a plain file.

    Hidden sheets, sheets without rows, folders, and what systems add to archives are no tables. Raises
    PipelineError if the file is damaged or locked with a password.
    """
    with reading(path), path.open("rb") as file:
        magic = file.read(len(OLD_WORKBOOK_MAGIC))
    if magic.startswith(ZIP_MAGIC) and not _is_workbook(path):
        with _zipped(path) as archive:
            return [one.filename for one in archive.infolist()
                    if not one.is_dir() and not _is_noise(one.filename)]
    if not magic.startswith((ZIP_MAGIC, OLD_WORKBOOK_MAGIC)):
        return None
    with _opened(path) as book:
        shown = [sheet.name for sheet in book.sheets_metadata
                 if sheet.typ == SheetTypeEnum.WorkSheet and sheet.visible == SheetVisibleEnum.Visible]
        return [name for name in shown if book.get_sheet_by_name(name).height]


def open_table(path: Path, table: str, decimal: str = ".") -> Place:
    """Return what can be read as the text of a table that `list_tables` has named, "" for a plain file.

    `decimal` is the character that the source system writes before decimals: a cell that holds a number is
    written with it. Raises PipelineError.
    """
    if not table:
        return path
    with reading(path), path.open("rb") as file:
        is_archive = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
    if is_archive and not _is_workbook(path):
        return Member(path, table)
    with _opened(path) as book:
        rows = book.get_sheet_by_name(table).to_python(skip_empty_area=False)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        cells = [_as_text(cell, decimal) for cell in row]
        writer.writerow(cells if any(cells) else [])
    return FirstBlock(path, text.getvalue().encode(), is_all=True)


def _as_text(cell: object, decimal: str) -> str:
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, int | float):
        return format(cell, NUMBER_FORMAT if abs(cell) < 1e15 else ".0f").replace(".", decimal)
    if isinstance(cell, datetime):
        return cell.isoformat(" ", "seconds" if not cell.microsecond else "microseconds")
    if isinstance(cell, date | time):
        return cell.isoformat()
    return " ".join(str(cell).splitlines())


def _is_workbook(path: Path) -> bool:
    with _zipped(path) as archive:
        return any(part in archive.NameToInfo for part in WORKBOOK_PARTS)


def _is_noise(name: str) -> bool:
    """Return whether a system has added a file of an archive by itself, or hides it."""
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


@contextmanager
def _zipped(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with reading(path), zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise PipelineError(f"{path} is a damaged ZIP archive ({error}). Deliver it again.") from error


@contextmanager
def _opened(path: Path) -> Iterator[CalamineWorkbook]:
    try:
        if zipfile.is_zipfile(path):
            with _zipped(path) as archive:
                if (size := sum(one.file_size for one in archive.infolist())) > MOST_BYTES:
                    raise PipelineError(f"{path} unpacks to {size >> 20:,} MB; of a workbook at most "
                                        f"{MOST_BYTES >> 20:,} MB are read. Deliver it as CSV.")
        with CalamineWorkbook.from_path(path) as book:
            yield book
    except PasswordError as error:
        raise PipelineError(f"{path} is locked with a password. Deliver it without one.") from error
    except CalamineError as error:
        raise PipelineError(f"{path} cannot be read as a workbook ({error}). Deliver it again, or as "
                            "CSV.") from error
