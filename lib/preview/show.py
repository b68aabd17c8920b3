"""Show a preview: as lines for a terminal, and as a page in the dress of the run pages."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from lib.errors import printable
from lib.preview.build import Preview
from lib.preview.differences import ColumnDifference, SetAside, TableDifference, TotalDifference
from lib.preview.examples import Tried
from lib.preview.rules import RuleChange
from lib.report.pages import format_value, write_page
from lib.steps import STEPS

PAGE = "preview/index.html"  # in the reports
LINES = 6  # of a changed rule on the terminal, which should fit a screen
COLUMNS = 4  # of a table
FEW = 5  # warnings
WIDTH = 100  # characters of such a line


def describe(preview: Preview, tried: Tried) -> list[str]:
    """Return a preview, and what became of the examples, as lines for a terminal; the page has everything."""
    nothing = "nothing, as the run failed" if preview.error else "nothing, as no rule has changed"
    lines = [f"preview of {preview.warehouse} as of {preview.now[:19]} UTC, by the rules as they are now",
             f"rebuilt in a copy: {', '.join(preview.rebuilt) or nothing}"]
    for title, found in (
            ("rules that have changed", _rules(preview.rules)),
            ("read in addition", list(preview.deliveries)),
            ("tables that would become different", _tables(preview.tables)),
            ("control totals and sums by month", _totals(preview.totals)),
            ("rows set aside", _set_aside(preview.set_aside)),
            ("observed expectations", _observed(preview)),
            ("examples that fail", _few(tried.failed)),
            ("warnings of that run", _few(list(map(_clip, preview.warnings))))):
        lines += ["", f"{title}:", *(f"  {line}" for line in found)] if found else []
    return [*map(printable, lines), "", conclude(preview, tried)]


def conclude(preview: Preview, tried: Tried) -> str:
    """Return in one line what a run would do."""
    if preview.error:
        return f"a run would fail: {preview.error}"
    examples = f"{len(tried.failed)} of {tried.number} examples fail, and " if tried.failed else ""
    if not preview.is_different:
        return f"{examples}nothing would become different"
    rows = sum(table.added + table.removed + table.changed for table in preview.tables)
    return (f"{examples}{rows:,} row{'s' * (rows != 1)} in {len(preview.tables)} "
            f"table{'s' * (len(preview.tables) != 1)} would become different")


def write_preview(preview: Preview, tried: Tried, reports: Path) -> Path:
    """Write the page of a preview, which replaces the one before; return it."""
    page = reports / PAGE
    page.parent.mkdir(parents=True, exist_ok=True)
    months = sorted({total.month for total in preview.totals if total.month}, reverse=True)
    by_place = {(total.name, total.month): total for total in preview.totals}
    measures = list(dict.fromkeys(total.name for total in preview.totals if total.month))
    return write_page(page, "preview.html", {
        "preview": preview, "tried": tried, "conclusion": conclude(preview, tried), "months": months,
        "measures": measures, "by_place": by_place,
        "control_totals": [total for total in preview.totals if not total.month],
        "change": change_of, "of_step": _of_step, "has_catalog": (reports / "catalog.html").exists()})


def change_of(total: TotalDifference) -> str:
    """Return a total before and after, `1,234.50 → 1,200.00`."""
    return " → ".join("none" if text is None else format_value(_number(text), total.name)
                      for text in (total.before, total.after))


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def _rules(changes: tuple[RuleChange, ...]) -> list[str]:
    lines = []
    for change in changes:
        lines.append(f"{change.file}{', ' if change.place else ''}{change.place} ({_of_step(change)})")
        found = [line for line in change.lines if line[:1] in "+-"]
        lines += [f"  {_clip(line)}" for line in found[:LINES]]
        if len(found) > LINES:
            lines.append(f"  … and {len(found) - LINES} more lines")
        elif not found:
            lines.append("  its text before is not on record: a run of an earlier release made the tables")
    return lines


def _of_step(change: RuleChange) -> str:
    applies = ": applies to deliveries that are read from now on"
    return f"step {change.step}{applies if STEPS[change.step].reads == 'source' else ''}"


def _tables(tables: tuple[TableDifference, ...]) -> list[str]:
    lines = []
    for table in tables:
        counts = [f"{rows:,} {what}" for what, rows in (
            ("added", table.added), ("removed", table.removed), ("changed", table.changed)) if rows]
        what = f"{', '.join(counts)}, of {table.rows_before:,} rows" if counts else "only its columns"
        lines.append(f"{table.layer}.{table.table}: {what}")
        for name, columns in (("new", table.columns_added), ("no more", table.columns_removed)):
            lines += [f"  {name}: {', '.join(columns)}"] if columns else []
        shown = sorted(table.columns, key=lambda column: -column.rows)
        lines += [f"  {_clip(_column(table, column))}" for column in shown[:COLUMNS]]
        if len(shown) > COLUMNS:
            lines.append(f"  … and {len(shown) - COLUMNS} more columns")
    return lines


def _column(table: TableDifference, column: ColumnDifference) -> str:
    key, before, after = column.sample[0]
    values = " → ".join("empty" if value is None else format_value(value, column.name)
                        for value in (before, after))
    return f"{column.name}: {column.rows:,} rows, such as {values} ({table.key} {key})"


def _totals(totals: tuple[TotalDifference, ...]) -> list[str]:
    lines = [f"{total.name}: {change_of(total)}" for total in totals if not total.month]
    by_measure: dict[str, list[TotalDifference]] = {}
    for total in totals:
        if total.month:
            by_measure.setdefault(total.name, []).append(total)
    for name, months in by_measure.items():
        latest = max(months, key=lambda total: total.month)
        earlier = f"{len(months) - 1} earlier months" if len(months) > 2 else "an earlier month"
        others = f", and in {earlier}" if len(months) > 1 else ""
        lines.append(f"{name} in {latest.month}: {change_of(latest)}{others}")
    return lines


def _set_aside(groups: tuple[SetAside, ...]) -> list[str]:
    return [_clip(f"{group.layer}.{group.table}: {', '.join(_counts(group))}, such as {group.sample[0]} "
                  f"({group.rule})") for group in groups]


def _counts(group: SetAside) -> Iterator[str]:
    if group.added:
        yield f"{group.added:,} more"
    if group.let_in:
        yield f"{group.let_in:,} would be let in"


def _observed(preview: Preview) -> list[str]:
    return [f"{one.suite}: {one.failed:,} of {one.checked:,} rows do not meet {one.rule}"
            f"{', such as ' if one.sample else ''}{', '.join(one.sample)}" for one in preview.observed]


def _few(lines: Sequence[str]) -> list[str]:
    more = [f"… and {len(lines) - FEW} more"] if len(lines) > FEW else []
    return [*lines[:FEW], *more]


def _clip(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[:WIDTH]}…"
