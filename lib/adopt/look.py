"""Find the tables among files and folders, and what is already known of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.adopt.tables import Table, read_tables
from lib.errors import PipelineError, UsageError
from lib.ingest.claims import claim, fits_contract
from lib.ingest.containers import open_table
from lib.ingest.named import Claim, Unclaimed, is_table
from lib.ingest.names import natural_order
from lib.systems import DEFAULT


@dataclass(frozen=True)
class Known:
    """A file that can be read as it is: what it holds, and in the form of which system."""

    path: Path
    system: str
    sources: tuple[str, ...]


@dataclass
class Found:
    """What there is: files that are known, tables that are not, and files that are no tables, with why."""

    known: list[Known]
    tables: list[Table]
    others: dict[Path, str]


def look(paths: Sequence[Path]) -> Found:
    """Return what is in files, and in the files of folders. Raises UsageError if there is nothing."""
    found = Found([], [], {})
    for path in _files(paths):
        if not is_table(path.name) and path not in paths:
            found.others[path] = "no table by its name"
            continue
        try:
            if claims := _known_form(path):
                sources = tuple(dict.fromkeys(one.source for one in claims))
                found.known.append(Known(path, claims[0].system, sources))
            else:
                found.tables += read_tables(path)
        except PipelineError as error:
            found.others[path] = str(error)
    return found


def _files(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (one for one in path.rglob("*") if one.is_file())
            files += sorted((one for one in inside if not any(
                part.startswith(".") for part in one.relative_to(path).parts)),
                key=lambda one: natural_order(one.relative_to(path).as_posix()))
        elif path.is_file():
            files.append(path)
        else:
            raise UsageError(f"there is no file or folder {path}. Correct the path.")
    if not files:
        raise UsageError(f"there is no file in {', '.join(map(str, paths))}. Name the exports to look at.")
    return list(dict.fromkeys(files))


def _known_form(path: Path) -> list[Claim]:
    """Return what a declared system, or the contract itself, reads in a file."""
    try:
        claims = claim(path, path.name)
    except Unclaimed:
        return []
    return [one for one in claims if one.system != DEFAULT
            or fits_contract(open_table(path, one.table), one.source)]
