"""Look at files, propose a declaration, and save it if a person wants to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.adopt.declaration import decided, is_complete, write
from lib.adopt.describe import (
    describe_kinds,
    describe_known,
    describe_next,
    describe_previews,
    describe_proposal,
)
from lib.adopt.look import look
from lib.adopt.preview import preview, read_text
from lib.adopt.proposal import propose
from lib.adopt.roles import find_roles, group
from lib.declarations import CHOOSE
from lib.errors import PipelineError, UsageError
from lib.systems import DEFAULT, SYSTEMS

SHOWN_FILES = 6
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Adoption:
    """What was found, as lines for a terminal; the declaration, "" if there is nothing to declare; and how
    many questions are open."""

    lines: list[str]
    text: str
    questions: int


def adopt(paths: Sequence[Path], name: str = "proposed") -> Adoption:
    """Propose a declaration of a source system for files, or the files of folders. Nothing is written.

    Raises UsageError if there is no such file, and PipelineError if no table can be read.
    """
    found = look(paths)
    lines = describe_known(found)
    if not found.tables and not found.known:
        raise PipelineError("\n  ".join(["none of the files can be read as a table:", *lines]))
    if not found.tables:
        return Adoption(lines, "", 0)
    kinds = group(found.tables)
    find_roles(kinds)
    proposal = propose(kinds)
    lines += ["", *describe_kinds(kinds), *describe_proposal(proposal)]
    if not any(kind.sources for kind in kinds):
        return Adoption([*lines, "no file looks like customers, products, orders, order lines or payments. "
                         "Write a declaration by hand: docs/your-files.md explains it."], "", 1)
    files = sorted({table.path.name for kind in kinds if kind.sources for table in kind.tables})
    more = " and others" if files[SHOWN_FILES:] else ""
    text = write(proposal.declared, [f"Proposed for {', '.join(files[:SHOWN_FILES])}{more}."])
    lines += ["declaration", *(f"  {line}" for line in text.splitlines()), ""]
    if is_complete(proposal.declared):
        system = read_text(name, write(decided(proposal.declared)))
        lines += describe_previews(preview(system, kinds), CHOOSE not in text)
    return Adoption(lines, text, len(proposal.questions))


def check_name(name: str, folder: Path = SYSTEMS) -> Path:
    """Return where a declaration of this name is saved. Raises UsageError if it cannot be."""
    if not NAME.fullmatch(name) or name == DEFAULT:
        why = "it is the contract itself" if name == DEFAULT else (
            "write small letters, digits and _, beginning with a letter")
        raise UsageError(f"{name!r} cannot name a source system: {why}. Choose another, such as my_shop.")
    path = folder / f"{name}.yaml"
    if path.exists():
        raise UsageError(f"{_shown(path)} exists already. Choose another name, or move it away.")
    return path


def save(adoption: Adoption, path: Path) -> list[str]:
    """Write the declaration into a new file, and return what to do next."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(adoption.text)
    return describe_next(adoption.questions, _shown(path))


def _shown(path: Path) -> str:
    return "/".join(path.parts[-4:])
