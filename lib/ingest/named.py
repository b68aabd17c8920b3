"""What the name of a file says: its source, by the contract's own names, or that a system has a pattern."""

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from lib.contract import SOURCES
from lib.systems import Block, System, systems

TEXT_ENDINGS = r"(?:csv|tsv|txt)(?:\.gz)?"
ENDINGS = rf"{TEXT_ENDINGS}|zip|xlsx|xlsm|xlsb|xls|ods"


@dataclass(frozen=True)
class Claim:
    """That a table holds rows of a source, in the form of a system."""

    name: str  # the file's, and behind a slash the table's where the file has several
    table: str  # within the file; "" for a plain file
    system: str
    source: str
    left_out: tuple[str, ...] = field(default=(), compare=False)  # tables of the file that nothing claims


class Unclaimed(Exception):
    """No system, or more than one, takes a file; the argument says why."""


def is_table(name: str) -> bool:
    """Return whether a name ends like that of a table, or a system has a pattern for it."""
    return bool(re.search(rf"\.(?:{ENDINGS})$", name, re.IGNORECASE) or claim_by_pattern([name]))


def source_of(name: str) -> str | None:
    """Return the source of a file by the contract's own names: `orders.csv`, `orders_….csv`, `orders/….csv`,
    each also with `.gz` and the other endings of tables.

    `orders (1).csv` is how a browser saves a second `orders.csv`.
    """
    match = re.fullmatch(rf"(?P<stem>.+)\.(?:{ENDINGS})", name, re.IGNORECASE | re.DOTALL)
    return source_named(match["stem"]) if match else None


def source_named(name: str) -> str | None:
    """Return the source that the beginning of a name names, or its folder; the ending does not matter."""
    is_in_folder = "/" in name
    stem = (name.partition("/")[0] if is_in_folder else name).lower()
    for source in SOURCES:
        if stem == source or (not is_in_folder and re.match(rf"{source}([_.-]| ?\([0-9]+\))", stem)):
            return source
    return None


def patterns_of(system: System, block: Block) -> tuple[str, ...]:
    return block.files or system.files


def claim_by_pattern(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the systems with a pattern that matches one of the names, and the sources that it is for."""
    found: dict[str, list[str]] = {}
    own = {name.lower() for name in names if name} | {name.rpartition("/")[2].lower() for name in names}
    for system in systems().values():
        for source, block in system.sources.items():
            if any(fnmatch.fnmatchcase(name, pattern.lower())
                   for pattern in patterns_of(system, block) for name in own):
                found.setdefault(system.name, []).append(source)
    return found
