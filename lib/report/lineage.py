"""Find where a column comes from, by running the notebooks' own code on a stand-in for their step.

The stand-in has the verbs of a step (`changes`, `upsert`, `load`, `batches`, …) and records what passes
through them. It gives a cleaning function probes: a made-up delivery, and the same delivery with one column
changed. The columns that come out differently depend on that column. The SQL of gold is read by sqlglot. If a
rule in a notebook changes, so does the lineage.
"""

import ast
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import sqlglot.lineage
from sqlglot import exp

from lib.contract import SOURCES
from lib.steps import NOTEBOOKS, STEPS

# Two deliveries by the contract's types. They have no value in common, nor an empty field in the same row.
PROBES = {
    "text": (["Ab Cd", "ab cd", "AB", "x", None, "y"], ["Zu Ve", "zu ve", "ZU", "w", "v", None]),
    "date": (["2026-01-02", "2026-01-02T03:04:05Z", "2026-01-03", None],
             ["2025-11-12", "2025-10-09 08:07:06", None, "2025-09-08"]),
    "money": (["1.50", "-2", None, "4"], ["7.25", "-8", "9", None]),
    "price": (["1.25", "0.004", None, "4"], ["7.5", "8.125", "9", None]),
    "number": (["1", "-2", None, "4"], ["7", "-8", "9", None]),
}
ROWS = 12
CLEANED = "cleaned"  # stands for what a cleaning function did to a column

Column = tuple[str, str, str]  # layer, table, name; an empty name stands for the table's rows


@dataclass(frozen=True)
class Origin:
    """Where a column comes from."""

    columns: tuple[Column, ...]  # that it is computed from
    steps: tuple[str, ...] = ()  # of the computation, the last one first; none for a column that is copied


class Recorded(Exception):
    """Ends the run of a notebook's cells where its step would publish."""


class Recorder:
    """What both stand-ins share. All verbs that are not defined here or there do nothing."""

    day = timestamp = "day of run"  # ten characters, as many as a notebook takes of a time for the day

    def __init__(self) -> None:
        self.origins: dict[Column, Origin] = {}

    def __getattr__(self, verb: str) -> Callable[..., None]:
        return lambda *arguments, **named: None

    def check(self, suite: str, rows: Any) -> Any:
        return rows

    def publish(self) -> None:
        raise Recorded


class CuratedRecorder(Recorder):
    """Stands in for a step from raw to curated."""

    def changes(self, source: str, clean: Callable[[pd.DataFrame], pd.DataFrame]) -> Iterator[pd.DataFrame]:
        self._source, self._base, self._changed = source, None, None
        plain = _probe(source)
        yield clean(plain)
        for column in SOURCES[source].columns:
            self._changed = column.name
            yield clean(plain.assign(**{column.name: _values(column.type, 1)}))

    def upsert(self, table: str, rows: pd.DataFrame, **_: Any) -> None:
        if self._changed is None:
            self._base = rows
            delivered = _probe(self._source)
            for name in rows:
                is_same = name in delivered and rows[name].astype("str").equals(delivered[name])
                self.origins["curated", table, name] = Origin((), () if is_same else (CLEANED,))
        else:
            for name in rows:
                if not rows[name].equals(self._base[name]):
                    origin = self.origins["curated", table, name]
                    columns = (*origin.columns, ("raw", self._source, self._changed))
                    self.origins["curated", table, name] = Origin(columns, origin.steps)


class GoldRecorder(Recorder):
    """Stands in for the step from curated to gold."""

    def __init__(self, curated: dict[Column, Origin]):
        super().__init__()
        self._tables: dict[str, tuple[str, str]] = {}  # layer and table by the name that the SQL gives it
        self._schemas: dict[str, dict[str, str]] = {}
        self._queries: dict[str, str] = {}
        self._curated: dict[str, dict[str, str]] = {}
        for _, table, name in curated:
            self._curated.setdefault(table, {})[name] = "text"

    def load(self, name: str, table: str, **_: str) -> None:
        self._tables[name], self._schemas[name] = ("curated", table), self._curated[table]

    def changed(self, name: str, table: str, columns: list[str]) -> None:
        self.load(name, table)

    def published(self, name: str, table: str, columns: list[str], where: str) -> None:
        self._tables[name] = ("gold", table)
        self._schemas[name] = dict.fromkeys(columns, "text")

    def define(self, name: str, sql: str) -> None:
        self._queries[name] = sql

    table = define

    def batches(self, sql: str, **_: Any) -> list[pd.DataFrame]:
        rows = pd.DataFrame()
        rows.attrs["sql"] = sql
        return [rows]

    def upsert(self, table: str, rows: pd.DataFrame, **_: Any) -> None:
        nodes = sqlglot.lineage.lineage(None, rows.attrs["sql"], self._schemas, sources=self._queries,
                                        dialect="duckdb", trim_selects=False)
        for name, node in nodes.items():
            self.origins["gold", table, name] = self._origin(node)

    def _origin(self, column: sqlglot.lineage.Node) -> Origin:
        columns, steps = {}, {}
        for node in column.walk():
            if isinstance(node.expression, exp.Table):
                columns[*self._tables[node.expression.name], node.name.rpartition(".")[2]] = None
            else:
                expression = node.expression.unalias()
                if not isinstance(expression, exp.Column):
                    steps[expression.sql(dialect="duckdb")] = None
                if expression.find(exp.Count):  # depends on the rows of a table, not on a column
                    sources = node.source.args["from_"].find_all(exp.Table)
                    counted = (self._tables.get(source.name) for source in sources)
                    columns |= {(*table, ""): None for table in counted if table}
        return Origin(tuple(columns), tuple(steps))


def find_origins(notebooks: Path = NOTEBOOKS) -> dict[Column, Origin]:
    """Return where every column that the notebooks write comes from, by (layer, table, column)."""
    origins = {("raw", source.name, column.name): Origin((("source", source.name, column.name),))
               for source in SOURCES.values() for column in source.columns}
    for name, spec in STEPS.items():
        if name != "raw":
            recorder = GoldRecorder(origins) if name == "gold" else CuratedRecorder()
            _run_cells(notebooks / spec.notebook, recorder)
            origins |= recorder.origins
    return origins


def _run_cells(notebook: Path, recorder: Recorder) -> None:
    """Run a notebook's cells up to `publish`, except the line that opens its step."""
    names: dict[str, Any] = {"step": recorder}
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    try:
        for number, cell in enumerate(cells):
            if cell["cell_type"] == "code":
                code = ast.parse("".join(cell["source"]), f"{notebook.name}, cell {number}")
                code.body = [statement for statement in code.body if not _opens_step(statement)]
                exec(compile(code, f"{notebook.name}, cell {number}", "exec"), names)
    except Recorded:
        pass


def _opens_step(statement: ast.stmt) -> bool:
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return any(isinstance(target, ast.Name) and target.id == "step" for target in targets)


def _probe(source: str) -> pd.DataFrame:
    return pd.DataFrame({column.name: _values(column.type, 0) for column in SOURCES[source].columns})


def _values(type_: str, which: int) -> pd.Series:
    values = PROBES.get(type_, PROBES["text"])[which]
    return pd.Series([values[row % len(values)] for row in range(ROWS)], dtype="str")
