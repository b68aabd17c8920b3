"""Find the deliveries in the source folder and decide, by their content, which of them to read."""

import json
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

from lib.clock import FORMAT, duration
from lib.contract import SOURCES
from lib.errors import PipelineError, UsageError, how_to_adopt, printable
from lib.ingest.named import Claim, Unclaimed, is_table, source_named, source_of
from lib.ingest.names import natural_order
from lib.ingest.near import nearest_source
from lib.steps import SETTLED_SECONDS
from lib.storage.files import hash_file
from lib.storage.lookup import KnownDelivery
from lib.systems import DEFAULT, systems

LISTED = "deliveries.json"
FOUND = ".found"  # in a run's folder, while its raw step runs
UNFINISHED = (".tmp", ".part")
UNFINISHED_NAME = "hidden or unfinished by its name"
WAITS = 20  # as many of the latest waits between deliveries of a source show what is usual
WAITS_NEEDED = 3  # fewer show nothing
SHOWN = 5  # files that are named where there is no delivery


@dataclass(frozen=True)
class Delivery:
    """A file in the source folder, or what it holds of one source.

    `status` is "new", "changed" (a file of this name was read before, with other bytes), "known" (this file
    was read before), "copy" (the same bytes as `same_as`, which has the same source), "waiting" (unfinished,
    hidden, still growing, or its name is not text) or "stray" (no source has such files). Only files that are
    "new" or "changed" are to be read.
    """

    name: str  # relative to the source folder, with forward slashes
    status: str
    source: str = ""
    size: int = 0
    sha256: str = ""
    same_as: str = ""
    note: str = ""
    is_snapshot: bool = False  # only in a list of deliveries
    file: str = ""  # the path of the file, relative to the source folder or to the list's
    system: str = DEFAULT
    reading: str = ""  # the hash of the declaration by which its text becomes rows
    table: str = ""  # in a file that is an archive or a workbook

    @property
    def is_to_read(self) -> bool:
        return self.status in ("new", "changed")

    @property
    def key(self) -> tuple[str, str]:
        """What no other delivery of a run has: one file may hold several sources."""
        return self.name, self.source

    def path(self, source: Path) -> Path:
        """Return the file, given the source folder or the list that names it."""
        return (source.parent if is_list(source) else source) / (self.file or self.name)


def find_deliveries(folder: Path, known: Iterable[KnownDelivery], settled_seconds: float = SETTLED_SECONDS,
                    last_look: float = 0.0) -> list[Delivery]:
    """Return all files in the source folder, in the order in which they are applied: that of their names.

    When a run is repeated, `folder` is a file called LISTED with a list of deliveries as JSON, which are
    applied in the order of the list.

    `known` are the deliveries of earlier runs, oldest first. Every file is hashed, because neither its name
    nor its time shows what is in it. A file that was changed less than `settled_seconds` ago is hashed when
    that time is over; if it changes meanwhile, it is still growing. With `last_look`, the time at which a run
    looked at the folder, files of a known name and size that have not changed since are not hashed again:
    that is enough to say how things stand, but not for a run. Raises PipelineError when the folder is missing
    or cannot be read.
    """
    if is_list(folder):
        return _listed(folder)
    known = list(known)
    latest, first_name, deliveries = {}, {}, []
    seen: dict[tuple[str, int], str] = {}
    of_file: dict[str, list[KnownDelivery]] = {}
    for entry in known:
        latest[entry.name, entry.source] = entry
        first_name.setdefault(_content(entry), entry.name)
        for name in _files_of(entry):
            seen[name, entry.size] = entry.sha256
    for entry in latest.values():
        for name in _files_of(entry):
            of_file.setdefault(name, []).append(entry)
    with ThreadPoolExecutor() as readers:  # threads are enough: hashing releases the interpreter's lock
        read = partial(_read, folder, settled_seconds, seen if last_look else {}, last_look)
        for found in readers.map(read, list_files(folder)):
            for part in _parts(folder, found, of_file.get(found.name, []), {one.system for one in known}):
                delivery = _compare(part, latest, first_name) if part.sha256 else part
                if delivery.is_to_read and delivery.sha256:
                    latest[delivery.key] = delivery
                    first_name.setdefault(_content(delivery), delivery.name)
                deliveries.append(delivery)
    return deliveries + _find_stray_folders(folder, known)


def _content(delivery: Delivery | KnownDelivery) -> tuple[str, ...]:
    """Return what two deliveries have in common if one is a copy of the other."""
    return delivery.source, delivery.sha256, delivery.table, delivery.system, delivery.reading


def _files_of(entry: KnownDelivery) -> list[str]:
    """Return the names that the file of a delivery may have: `a.zip/b.csv` is in `a.zip`, or in a folder."""
    return [entry.name, entry.name.removesuffix(f"/{entry.table}")] if entry.table else [entry.name]


def _parts(folder: Path, found: Delivery, known: list[KnownDelivery],
           used: Collection[str]) -> list[Delivery]:
    """Return a file as a delivery for each source that it holds, or as it is if it is not to be read.

    `known` are the latest deliveries of the file, `used` the systems by which files were read before.
    """
    if found.status != "new" or not found.sha256:
        return [found]
    now = [(found.sha256, _reading(entry.system)) for entry in known]
    if known and now == [(entry.sha256, entry.reading) for entry in known]:
        return [replace(found, name=entry.name, source=entry.source, system=entry.system, table=entry.table,
                        reading=entry.reading) for entry in known]
    from lib.ingest.claims import claim  # here, not above: a run without new files should not wait for it

    try:
        claims = claim(folder / found.name, found.name)
    except Unclaimed as error:
        note = str(error) or f"{_why_stray(found.name).removesuffix('.')}. {how_to_adopt(folder)}"
        return [replace(found, status="stray", sha256="", note=note.replace("?. ", "? "))]
    except PipelineError as error:
        source = source_of(found.name)  # reading it will say so again, as the error of this delivery only
        return [replace(found, source=source) if source else
                replace(found, status="stray", sha256="", note=f"it cannot be read: {error}")]
    note = _describe_claims(claims, used)
    return [replace(found, name=one.name, source=one.source, system=one.system, table=one.table,
                    reading=_reading(one.system), note="" if number else note)
            for number, one in enumerate(claims)]


def _describe_claims(claims: list[Claim], used: Collection[str]) -> str:
    """Return what a person should know of how a file is read, "" if its name or an earlier one says it."""
    first, sources = claims[0], ", ".join(dict.fromkeys(one.source for one in claims))
    found = ""
    if first.system != DEFAULT:
        found = "" if first.system in used else f"read as an export of {first.system}: {sources}"
    elif first.table or re.match(rf"{first.source} ?\(", first.name, re.IGNORECASE):
        found = f"read as {sources}"
    if first.left_out:
        found = f"{found or f'read as {sources}'}. NOT read: {', '.join(first.left_out)}"
    return found


def _reading(system: str) -> str:
    """Return by which declaration files of a system are read now; that of the contract is not compared, and
    neither is one that is not there any more."""
    return systems()[system].reading if system in systems() else ""


def has_new_name(folder: Path, known: Iterable[KnownDelivery]) -> bool:
    """Return whether the source folder has a delivery with a name that was never read.

    There is then most likely something new, which is known long before the contents are.
    """
    if not folder.is_dir():
        return False
    found = {path.relative_to(folder).as_posix() for path in list_files(folder)}
    names = found - {name for entry in known for name in _files_of(entry)}
    return any(may_be_delivery(folder, name) and not _is_unfinished(name) for name in names)


def may_be_delivery(folder: Path, name: str) -> bool:
    """Return whether a file in the source folder holds a source, as far as its name and first lines say."""
    if source_of(name):
        return True
    if not is_table(name):
        return False
    from lib.ingest.claims import claim  # as in `_parts`

    try:
        return bool(claim(folder / name, name))
    except (Unclaimed, PipelineError):
        return False


def is_list(source: Path) -> bool:
    """Return whether a run reads a list of deliveries, and not a source folder."""
    return source.name == LISTED and source.is_file()


def write_list(folder: Path, deliveries: Iterable[Delivery]) -> Path:
    """Write a list of deliveries, which a run then reads in this order; return it, for `--source` to name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LISTED
    path.write_text(json.dumps([asdict(delivery) for delivery in deliveries]), encoding="utf-8")
    return path


def may_lack(delivery: Delivery, source: Path) -> set[str]:
    """Return the columns of the contract that a delivery may lack.

    Those are the columns that came into the contract later. What is in a list has been read before, by the
    contract of its time: it may lack all but the key.
    """
    columns, order = SOURCES[delivery.source].columns[1:], natural_order(delivery.name)
    return {column.name for column in columns
            if is_list(source) or (column.since and order < natural_order(column.since))}


@contextmanager
def keep_found(deliveries: list[dict], folder: Path) -> Iterator[None]:
    """Keep what a run has found in its folder while the context is open: its raw step need not hash again."""
    path = folder / FOUND
    with suppress(OSError):  # the raw step then looks for itself
        path.write_text(json.dumps(deliveries), encoding="utf-8")
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def read_found(folder: Path) -> list[Delivery] | None:
    """Return what the run with this folder has found; None when a notebook is executed without a run."""
    try:
        return _listed(folder / FOUND)
    except (OSError, ValueError):
        return None


def _listed(path: Path) -> list[Delivery]:
    return [Delivery(**delivery) for delivery in json.loads(path.read_text(encoding="utf-8"))]


def overdue(known: Iterable[KnownDelivery], now: str) -> list[str]:
    """Return the sources that have delivered nothing new for longer than usual, a line each.

    Longer than usual means more than an hour and more than twice the longest wait between the latest
    deliveries, so that weekends without deliveries are usual where they happen. A source with few deliveries
    is never overdue.
    """
    times: dict[str, set[str]] = {}
    for entry in known:
        times.setdefault(entry.source, set()).add(entry.timestamp)
    lines = []
    for source, stamps in times.items():
        moments = [datetime.strptime(stamp, FORMAT) for stamp in sorted(stamps)[-WAITS - 1:]]
        waits = [later - earlier for earlier, later in pairwise(moments)]
        silent = datetime.strptime(now, FORMAT) - moments[-1]
        if len(waits) >= WAITS_NEEDED and silent > max(2 * max(waits), timedelta(hours=1)):
            lines.append(f"{source}: nothing new for {duration(silent)}; "
                         f"the longest wait before was {duration(max(waits))}")
    return lines


def check_source(folder: Path) -> None:
    """Raise UsageError when there is no source folder or no delivery in it; it names the files that are."""
    names = [path.relative_to(folder).as_posix() for path in list_files(folder)]
    if any(may_be_delivery(folder, name) for name in names):
        return
    others = [name for name in [*names, *_other_folders(folder)] if not name.startswith(".")]
    shown = [f"{shown_name(name)} ({_why_stray(name)})" for name in others[:SHOWN]]
    more = f" and {len(others) - SHOWN:,} more" if len(others) > SHOWN else ""
    found = f": {', '.join(shown)}{more}" if others else ""
    *first, last = (f"{name}.csv" for name in SOURCES)
    raise UsageError(f"source folder {folder} holds no delivery{found}. Put {', '.join(first)} and {last} "
                     "there, or name another folder with --source.")


def list_files(folder: Path) -> list[Path]:
    """Return the files in the source folder and its subfolders named after a source, in order of their names.

    A subfolder that cannot be read is returned as a file that cannot be read either. Raises PipelineError
    when the folder is missing or cannot be read.
    """
    unreadable: list[Path] = []

    def note(error: OSError) -> None:
        unreadable.append(Path(error.filename) / "*.csv")

    try:
        files = list(folder.iterdir())
        for child in folder.iterdir():
            if child.is_dir() and child.name.lower() in SOURCES:
                for parent, _, names in os.walk(child, onerror=note):
                    files += [Path(parent) / name for name in names]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"there is no source folder {folder}. "
                         "Create it, or name another with --source.") from error
    except OSError as error:
        raise PipelineError(f"source folder {error.filename} cannot be read ({error.strerror}). Correct its "
                            "permissions, or name another with --source.") from error
    found = [*filter(_is_file, files), *unreadable]
    return sorted(found, key=lambda path: natural_order(path.relative_to(folder).as_posix()))


def _other_folders(folder: Path) -> list[str]:
    """Return the folders in the source folder that are not named after a source, each with a slash."""
    return sorted(shown_name(f"{child.name}/") for child in folder.iterdir()
                  if child.is_dir() and child.name.lower() not in SOURCES)


def _is_file(path: Path) -> bool:
    """Return whether a path is a file, or a broken link, which fails when it is read. A pipe would block."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def _why_stray(name: str) -> str:
    """Return why a file, or a folder whose name ends in a slash, is no delivery of a source."""
    stem, _, ending = name.partition(".")
    if name.endswith("/"):
        likely = nearest_source(name, is_whole=True)
        return ("only folders named after a source are read: "
                + (f"did you mean {likely}/?" if likely else "move its files up"))
    if _is_unfinished(name):
        return UNFINISHED_NAME
    if source := source_named(name):
        kind = f"not .{ending.rpartition('.')[2]}" if ending else "and this name has no ending"
        return (f"it would be {source}, but only tables such as .csv, .txt, .xlsx and .zip are read, {kind}. "
                "Deliver it as one of these")
    likely = nearest_source(stem)
    return f"did you mean {likely}.csv?" if likely else "no source has such a name"


def shown_name(name: str) -> str:
    """Return a name as text also where it is not UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _read(folder: Path, settled_seconds: float, seen: dict[tuple[str, int], str], last_look: float,
          path: Path) -> Delivery:
    """Return a file as a new delivery, or with the reason why it is not to be read."""
    name = path.relative_to(folder).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        return Delivery(shown_name(name), "waiting", note="its name is not UTF-8: rename it")
    shown = printable(name).replace("\n", "\\u000a").replace("\t", "\\u0009")
    if shown != name:
        return Delivery(shown, "waiting", note="its name has characters that cannot be shown: rename it")
    if _is_unfinished(name):
        return Delivery(name, "waiting", note=UNFINISHED_NAME)
    if not is_table(name):
        return Delivery(name, "stray", note=_why_stray(name))
    source = source_of(name) or ""
    try:
        before = path.stat()
        age = time.time() - before.st_mtime
        if 0 <= age < settled_seconds:
            time.sleep(settled_seconds - age)
        is_seen = before.st_ctime < last_look and (name, before.st_size) in seen
        sha256 = seen[name, before.st_size] if is_seen else hash_file(path)
        after = path.stat()
    except OSError as error:
        # Reading it will say so again, as the error of this delivery only.
        return Delivery(name, "new", source, note=f"cannot be read ({error.strerror})")
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return Delivery(name, "waiting", source, after.st_size, note="is still growing")
    return Delivery(name, "new", source, after.st_size, sha256, file=name)


def looks_like_deliveries(folder: Path, but: Collection[tuple[str, int]] = ()) -> list[str]:
    """Return the files in a folder and below it that are named like deliveries, in order of their names.

    `but` are names and sizes of files that do not count.
    """
    found = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names
             if source_of(name) or source_of(f"{Path(parent).name}/{name}"))
    with suppress(OSError):  # of a file that goes away meanwhile
        return sorted(path.relative_to(folder.parent).as_posix() for path in found
                      if not but or (path.name, path.stat().st_size) not in but)
    return []


def _find_stray_folders(folder: Path, known: Iterable[KnownDelivery]) -> list[Delivery]:
    """Return the subfolders that are not read although they hold deliveries, or are named almost like a
    source, each as a stray file.

    Files that were read before, and were moved into such a folder since, are no deliveries any more.
    """
    read = {(entry.name.rpartition("/")[2], entry.size) for entry in known}
    stray = []
    for name in _other_folders(folder):
        names = looks_like_deliveries(folder / name, read)
        more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        held = f"holds {names[0]}{more}, but " if names else ""
        if not name.startswith(".") and (held or nearest_source(name, is_whole=True)):
            stray.append(Delivery(name, "stray", note=held + _why_stray(name)))
    return stray


def _is_unfinished(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/")) or name.lower().endswith(UNFINISHED)


def _compare(delivery: Delivery, latest: dict[tuple[str, str], KnownDelivery | Delivery],
             first_name: dict[tuple[str, ...], str]) -> Delivery:
    """Return a delivery with its status, given the latest one by name and source, and the first name by what
    copies have in common."""
    if before := latest.get(delivery.key):
        is_known = (before.sha256, before.reading) == (delivery.sha256, delivery.reading)
        return replace(delivery, status="known", note="") if is_known else replace(delivery, status="changed")
    same = first_name.get(_content(delivery))
    return replace(delivery, status="copy", same_as=same, note=f"same bytes as {same}") if same else delivery
