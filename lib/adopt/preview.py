"""What a proposed system would load and set aside, and how its rows would stand in curated."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from lib.adopt.roles import Kind
from lib.contract import SOURCES
from lib.errors import PipelineError
from lib.ingest.declared import forget, open_rows
from lib.step.parse import read_as
from lib.systems import System, read_system

SHOWN = 5


@dataclass(frozen=True)
class Preview:
    """What a source would have: rows, how many would be set aside for which reason, and the first as typed.

    error: why the source could not be read at all, "" if it could.
    """

    source: str
    files: tuple[str, ...]
    rows: int
    aside: Counter
    first: pd.DataFrame
    notes: tuple[str, ...] = ()
    error: str = ""


def read_text(name: str, text: str) -> System:
    """Return the system that a text declares. Raises DeclarationError."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return read_system(path)


def preview(system: System, kinds: Sequence[Kind]) -> list[Preview]:
    """Return what a system would load from the tables of which it was made."""
    found = []
    for source in system.sources:
        kind = next(kind for kind in kinds if source in kind.sources)
        found.append(_preview_source(system, source, kind))
    forget()
    return found


def _preview_source(system: System, source: str, kind: Kind) -> Preview:
    parts, aside, notes = [], Counter(), []
    files = tuple(table.label for table in kind.tables)
    try:
        for table in kind.tables:
            opened = open_rows(table.path, table.table, system, source)
            for batch in opened.read():
                parts.append(batch.rows.to_pandas().drop(columns="source_row"))
                aside.update(batch.rejected["reason"].to_pylist())
            notes += opened.describe()
    except PipelineError as error:
        return Preview(source, files, 0, aside, pd.DataFrame(), error=str(error))
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if rows.empty:
        return Preview(source, files, 0, aside, rows, tuple(notes))
    typed = read_as(SOURCES[source], rows, system)
    is_bad = pd.Series(False, rows.index)
    for column in SOURCES[source].columns:
        unreadable = typed.get(f"{column.name}_unreadable")
        is_new = ~is_bad & typed[column.name].isna()
        if unreadable is not None and unreadable.notna().any():
            bad = is_new & unreadable.notna()
            example = unreadable.dropna().iloc[0]
            aside.update({f"{column.name} is unreadable, such as {example!r}": int(bad.sum())})
            is_bad |= bad
        if not column.optional:
            bad = is_new & typed[column.name].isna() & ~is_bad
            aside.update({f"{column.name} is empty": int(bad.sum())})
            is_bad |= bad
    key = typed[SOURCES[source].key]
    repeated = ~is_bad & key.duplicated(keep="last") & ~rows.duplicated(keep="last")
    aside.update({f"{key.name} is that of another row of the file": int(repeated.sum())})
    kept = typed[~is_bad & ~repeated]
    columns = [name for column in SOURCES[source].columns for name in (column.name, f"{column.name}_day")]
    shown = [name for name in columns if name in kept and kept[name].notna().any()]
    return Preview(source, files, len(kept), +aside, kept[shown].head(SHOWN), tuple(notes))
