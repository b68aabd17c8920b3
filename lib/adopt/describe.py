"""A proposal as lines for a terminal."""

from collections.abc import Iterable, Sequence
from itertools import chain

import pandas as pd

from lib.adopt.look import Found
from lib.adopt.preview import Preview
from lib.adopt.profile import Profile
from lib.adopt.proposal import SHOP_FILE, Proposal
from lib.adopt.roles import Kind, references
from lib.adopt.tables import Table
from lib.contract import SHOP
from lib.declarations import CHOOSE
from lib.systems import DEFAULT

CELL = 24  # characters shown of a value
SET_OF_VALUES = 6  # so many different values are a set, and are all shown
NUMBERED = 3


def describe_known(found: Found) -> list[str]:
    """Return what is said of files that need no declaration, and of files that are no tables."""
    lines, by_form = [], {}
    for known in found.known:
        by_form.setdefault((known.system, known.sources), []).append(known.path.name)
    for (system, sources), names in by_form.items():
        holds = ", ".join(sources)
        if system == DEFAULT:
            lines.append(f"{_few(names)}: {holds}, in the contract's own form: nothing to declare.")
            continue
        lines.append(f"{_few(names)}: {system} ({holds}): nothing to declare.")
        if SHOP.timezone == "UTC":
            lines.append(f"  Set timezone in {SHOP_FILE} before the first run: business days are counted in "
                         "it, and it is UTC now.")
        lines.append("  Then put the files into the source folder, and run: python run_pipeline.py")
    lines += [f"{path.name}: left out: {why}" for path, why in found.others.items()]
    return lines


def describe_kinds(kinds: Sequence[Kind]) -> list[str]:
    """Return what each file is, and what is in its columns."""
    lines = []
    for kind in kinds:
        for table in kind.tables:
            lines.append(f"{table.label}: {_what(kind)}")
            lines += [f"  {line}" for line in _form(table)]
        lines += [f"  {line}" for line in _columns(kind)]
        for name, share in references(kind, kinds).items():
            lines.append(f"  {share:.0%} of the values of {name}")
        lines.append("")
    return lines


def _what(kind: Kind) -> str:
    sources = list(kind.sources)
    if not sources:
        return "looks like none of the sources, and is left out"
    return " and ".join(filter(None, [", ".join(sources[:-1]), sources[-1]]))


def _form(table: Table) -> list[str]:
    more = "" if table.is_all else f" (the first {len(table.rows):,} were looked at)"
    form = [f"{' or '.join(table.encodings)}, delimiter {table.delimiter!r}, " if table.is_text else "",
            f"header in line {table.header_line}, {len(table.rows):,} rows{more}"]
    lines = ["".join(form), *table.notes]
    if table.titles:
        lines.append(f"left out above the header: {', '.join(map(repr, table.titles))}")
    if table.footer:
        lines.append(f"left out below the rows: from {table.footer!r} on")
    return lines


def _columns(kind: Kind) -> list[str]:
    used: dict[str, list[str]] = {}
    for source, columns in kind.sources.items():
        for column, names in columns.items():
            if names:
                meant = column if len(kind.sources) == 1 else f"{source}.{column}"
                used.setdefault(names[0], []).append(meant)
    for helper, name in kind.helpers.items():
        used.setdefault(name, [f"({helper.replace('_', ' ')})"])
    rows = [(held.name, _type(held), f"{held.empty:.0%} empty", f"{held.distinct:,} different", _values(held),
             f"-> {', '.join(used[held.name])}" if used.get(held.name) else "")
            for held in kind.profiles.values()]
    return _aligned(rows)


def _type(held: Profile) -> str:
    return f"{held.type}, unique" if held.is_unique else held.type


def _values(held: Profile) -> str:
    number = SET_OF_VALUES if held.type == "text" and 1 < held.distinct <= SET_OF_VALUES else NUMBERED
    shown = [_short(value) for value in held.values.index[:number]]
    return ", ".join(shown) + (", …" if held.distinct > number else "")


def _short(value: object) -> str:
    text = "" if pd.isna(value) else str(value)
    return text if len(text) <= CELL else f"{text[:CELL - 1]}…"


def _aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows]


def describe_proposal(proposal: Proposal) -> list[str]:
    """Return the remarks and the questions."""
    lines = ["what was found", *(f"  {note}" for note in proposal.notes), ""] if proposal.notes else []
    if proposal.questions:
        lines.append("questions")
        for number, question in enumerate(proposal.questions, 1):
            where = f" ({question.where})" if question.where else ""
            lines.append(f"  {number}. {question.text}{where}")
        lines.append("")
    return lines


def describe_previews(previews: Sequence[Preview], is_decided: bool) -> list[str]:
    """Return what would be loaded and set aside, and the first rows as they would be in curated."""
    lines = ["what would be loaded" + ("" if is_decided else ", if the first of all choices were taken")]
    for one in previews:
        if one.error:
            lines.append(f"  {one.source}: cannot be read: {one.error}")
            continue
        lines.append(f"  {one.source}: {one.rows:,} rows of {_few(one.files)}, "
                     f"{one.aside.total():,} set aside")
        lines += [f"    {count:,} {'row' if count == 1 else 'rows'} set aside: {reason}"
                  for reason, count in one.aside.most_common(5)]
        lines += [f"    {note}" for note in one.notes]
    for one in previews:
        if not one.first.empty:
            rows = (list(map(_short, row)) for row in one.first.itertuples(index=False))
            cells = _aligned([list(one.first.columns), *rows])
            lines += ["", f"{one.source}, as in curated", *(f"  {line}" for line in cells)]
    return lines


def describe_next(questions: int, path: str) -> list[str]:
    """Return what to do after a declaration was saved."""
    if questions:
        return [f"saved as {path}. Answer the questions: delete `{CHOOSE}` in front of one line of each "
                "choice in it. Until then every run refuses to begin. Then put the files into the source "
                "folder, and run: python run_pipeline.py"]
    return [f"saved as {path}. Put the files into the source folder, and run: python run_pipeline.py"]


def _few(names: Iterable[str]) -> str:
    names = list(chain(names))
    more = f" and {len(names) - NUMBERED} more" if len(names) > NUMBERED else ""
    return ", ".join(names[:NUMBERED]) + more
