"""Find the deliveries in the source folder and tell, by content, which of them say something new."""

import difflib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

from lib.clock import FORMAT, duration
from lib.contract import SOURCES
from lib.errors import PipelineError, UsageError
from lib.steps import SETTLED_SECONDS
from lib.storage.files import hash_file
from lib.storage.lookup import KnownDelivery

LISTED = "deliveries.json"
FOUND = ".found"  # in a run's folder, while its raw step runs
UNFINISHED = (".tmp", ".part")
WAITS = 20  # between deliveries of a source, that tell its rhythm
WAITS_NEEDED = 3


@dataclass(frozen=True)
class Delivery:
    """One file of a source, as it lies in the source folder.

    `status` is "new", "changed" (the name was read before, with other bytes), "known" (the same bytes under the same
    name), "copy" (the same bytes as `same_as`), "waiting" (unfinished, hidden, still growing, or its name is no text) or "stray"
    (no source has such files). Only "new" and "changed" are to be read.
    """

    name: str  # relative to the source folder, with forward slashes
    status: str
    source: str = ""
    size: int = 0
    sha256: str = ""
    same_as: str = ""
    note: str = ""
    is_snapshot: bool = False  # said of one that comes from a list
    file: str = ""  # where it lies, beside the list

    @property
    def is_to_read(self) -> bool:
        return self.status in ("new", "changed")

    def path(self, source: Path) -> Path:
        """Return the file, given the source folder or the list that names it."""
        return source.parent / self.file if self.file else source / self.name


def find_deliveries(folder: Path, known: Iterable[KnownDelivery], settled_seconds: float = SETTLED_SECONDS) -> list[Delivery]:
    """Return everything that lies in the source folder, in the order in which it is applied: by name.

    In its place, a file called LISTED lists deliveries, as JSON, for a run that is made again: they are applied in its order.

    `known` is the manifest, oldest first. Every file's content is hashed: neither a name nor a time says what is in it. A file
    that has changed within `settled_seconds` is waited for; one that changes meanwhile is still growing.
    Raises PipelineError when the folder is missing or a file cannot be read.
    """
    latest = {entry.name: entry.sha256 for entry in known}
    first_name = {}
    for entry in known:
        first_name.setdefault(entry.sha256, entry.name)
    if folder.name == LISTED and folder.is_file():
        return _listed(folder)
    deliveries = []
    with ThreadPoolExecutor() as readers:  # hashing lets go of the interpreter lock
        for found in readers.map(partial(_read, folder, settled_seconds), list_files(folder)):
            delivery = _judge(found, latest, first_name) if found.is_to_read else found
            if delivery.is_to_read:
                latest[delivery.name] = delivery.sha256
                first_name.setdefault(delivery.sha256, delivery.name)
            deliveries.append(delivery)
    return deliveries


def has_new_name(folder: Path, known: Iterable[KnownDelivery]) -> bool:
    """Return whether a delivery lies in the source folder under a name that was never read, so that there is most likely news.

    That is known long before the contents are.
    """
    names = {entry.name for entry in known}
    return folder.is_dir() and any(
        source_of(name) and not _is_unfinished(name) and name not in names
        for name in (path.relative_to(folder).as_posix() for path in list_files(folder)))


@contextmanager
def handed_on(deliveries: list[dict], folder: Path) -> Iterator[None]:
    """While the context is open, keep what a run has found in its folder, for its raw step: to look twice is to hash all twice."""
    path = folder / FOUND
    with suppress(OSError):  # the step then looks itself
        path.write_text(json.dumps(deliveries), encoding="utf-8")
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def read_handed_on(folder: Path) -> list[Delivery] | None:
    """Return what the run of a folder has found; None where no run has, as when a notebook is run by hand."""
    try:
        return _listed(folder / FOUND)
    except (OSError, ValueError):
        return None


def _listed(path: Path) -> list[Delivery]:
    return [Delivery(**delivery) for delivery in json.loads(path.read_text(encoding="utf-8"))]


def overdue(known: Iterable[KnownDelivery], now: str) -> list[str]:
    """Return the sources that have brought nothing new for longer than usual, a line each.

    Longer than usual is twice the longest wait between the last deliveries, so that a weekend is usual where weekends bring
    nothing, and at least an hour. A source needs a few waits before it has a rhythm.
    """
    times: dict[str, set[str]] = {}
    for entry in known:
        times.setdefault(entry.source, set()).add(entry.timestamp)
    said = []
    for source, stamps in times.items():
        moments = [datetime.strptime(stamp, FORMAT) for stamp in sorted(stamps)[-WAITS - 1:]]
        waits = [later - earlier for earlier, later in pairwise(moments)]
        silent = datetime.strptime(now, FORMAT) - moments[-1]
        if len(waits) >= WAITS_NEEDED and silent > max(2 * max(waits), timedelta(hours=1)):
            said.append(f"{source}: nothing new for {duration(silent)}; the longest wait before was {duration(max(waits))}")
    return said


def check_source(folder: Path) -> None:
    """Raise UsageError when there is no source folder, or no delivery in it."""
    if not any(source_of(path.relative_to(folder).as_posix()) for path in list_files(folder)):
        raise UsageError(f"source folder {folder} holds no delivery. Put customers.csv, products.csv, orders.csv, "
                       "order_lines.csv and payments.csv there, or name another folder with --source.")


def list_files(folder: Path) -> list[Path]:
    """Return the files in the source folder and in its folders that are named for a source, by name.

    Raises PipelineError when the folder is missing or cannot be read.
    """
    def fail(error: OSError) -> None:
        raise error

    try:
        files = list(folder.iterdir())
        for child in folder.iterdir():
            if child.is_dir() and child.name.lower() in SOURCES:
                files += [Path(place) / name for place, _, names in os.walk(child, onerror=fail) for name in names]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"there is no source folder {folder}. Create it, or name another with --source.") from error
    except OSError as error:
        raise PipelineError(f"source folder {error.filename} cannot be read ({error.strerror}). Correct its permissions, or name "
                            "another with --source.") from error
    return sorted(filter(_is_file, files), key=lambda path: path.relative_to(folder).as_posix())


def _is_file(path: Path) -> bool:
    """Tell files from folders, and from pipes, which a read would wait for; a link that leads nowhere is one that cannot be read."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def source_of(name: str) -> str | None:
    """Return the source that a file belongs to: `orders.csv`, `orders_….csv`, `orders/….csv`, each also `.gz`."""
    match = re.fullmatch(r"(?P<stem>.+)\.csv(\.gz)?", name, re.IGNORECASE | re.DOTALL)
    if match:
        folder, slash, _ = name.partition("/")
        stem = (folder if slash else match["stem"]).lower()
        for source in SOURCES:
            if stem == source or (not slash and re.match(rf"{source}[_.-]", stem)):
                return source
    return None


def _read(folder: Path, settled_seconds: float, path: Path) -> Delivery:
    """Return a file as a delivery that is new, or why it is none."""
    name = path.relative_to(folder).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
        return Delivery(shown, "waiting", note="its name is not UTF-8: rename it")
    if _is_unfinished(name):
        return Delivery(name, "waiting", note="hidden or unfinished by its name")
    source = source_of(name)
    if source is None:
        stem = name.partition("/")[0].partition(".")[0].lower()
        close = difflib.get_close_matches(stem, SOURCES, n=1)
        is_near = close and name.lower().endswith((".csv", ".csv.gz"))
        return Delivery(name, "stray", note=f"did you mean {close[0]}.csv?" if is_near else "no source has such a name")
    try:
        before = path.stat()
        age = time.time() - before.st_mtime
        if 0 <= age < settled_seconds:
            time.sleep(settled_seconds - age)
        sha256 = hash_file(path)
        after = path.stat()
    except OSError as error:
        raise PipelineError(f"{name}: cannot be read ({error.strerror}). Check its permissions and run again.") from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return Delivery(name, "waiting", source, after.st_size, note="is still growing")
    return Delivery(name, "new", source, after.st_size, sha256)


def _is_unfinished(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/")) or name.lower().endswith(UNFINISHED)


def _judge(delivery: Delivery, latest: dict[str, str], first_name: dict[str, str]) -> Delivery:
    """Return a delivery with what it is, given the latest content by name and the first name by content."""
    if delivery.name in latest:
        return replace(delivery, status="known" if latest[delivery.name] == delivery.sha256 else "changed")
    same = first_name.get(delivery.sha256)
    return replace(delivery, status="copy", same_as=same, note=f"same bytes as {same}") if same else delivery
