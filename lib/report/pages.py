"""The pages about runs: one page for each run, and the index of all runs.

They are static files with relative links. Text from data cannot do harm in them: jinja2 escapes it, and
charts are images. If something does slip through, a content security policy forbids scripts and requests.
"""

import base64
import html
import re
from collections.abc import Iterable
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape

from lib.report.expectation_text import OTHER_RULES, RULE, find_words
from lib.report.graph import draw_steps
from lib.report.run_records import (
    BECAME,
    COUNTS,
    GATES,
    STOPPED,
    find_last_work,
    link_results,
    list_folders,
    read_charts,
    read_report,
    read_run,
    read_runs,
)
from lib.storage.files import write_whole

TEMPLATES = Path(__file__).parent / "templates"
LISTED = 100  # runs in the index
SAID = 3  # of a run's warnings in the index
CLIPPED = 300  # characters of one of them
# Numbers with up to three decimals; all others with decimals are money.
QUANTITIES = ("quantity", "units", "returned_units")
NAMED = Markup('<span class="named" title="{}">{}</span>')  # a technical name, and what it is in words
# An image does not inherit the colours of its page, so that each chart brings those of its text along.
CHART_TEXT = ("<style>text { fill: #566170 !important } "
              "@media (prefers-color-scheme: dark) { text { fill: #a2adba !important } }</style></svg>")


def write_run_page(folder: Path) -> Path:
    """Write `index.html` of a run's folder from its `run.json`; return the page."""
    run = read_run(folder)
    suites = {gate["suite"] for gate in run.get("gates", [])}
    return write_page(folder / "index.html", "run.html", {
        "run": run, "has_catalog": (folder.parents[1] / "catalog.html").exists(),
        "has_report": (folder.parents[1] / "report.html").exists(),
        "graph": draw_steps(run["steps"], run["tables"]) if "steps" in run else "",
        "results": {suite: link_results(folder, suite) for suite in suites}})


def write_index(reports: Path) -> Path:
    """Write `index.html` of the reports folder: the latest runs, newest first; return the page.

    Only the runs that it lists are read, and those before them up to the last that had something to do, which
    is the one in the headline. A run whose `run.json` cannot be read is listed as damaged.
    """
    folders = list_folders(reports)
    listed, older = folders[:LISTED], folders[LISTED:]
    runs = read_runs(listed)
    return write_page(reports / "index.html", "index.html", {
        "runs": runs, "older": len(older), "latest": find_last_work(runs, older) if runs else None,
        "charts": read_charts(reports, runs), "report": read_report(reports),
        "has_catalog": (reports / "catalog.html").exists()})


def write_page(page: Path, template: str, values: dict[str, Any]) -> Path:
    """Render a page and replace the old one in one step, so that nobody sees half a page."""
    write_whole(page, _templates().get_template(template).render(values), errors="replace")
    return page


def as_image(svg: str, description: str = "", narrow: str | None = None) -> Markup:
    """Return a chart as an image, in which no script runs; the description, or its title, is its text.

    `narrow` is the same chart for narrow screens.
    """
    title = re.search(r"(?s)<title>(.*?)</title>", svg)
    image = Markup('<img alt="{}" src="{}">').format(
        description or (html.unescape(title[1]) if title else "Chart"), _as_address(svg))
    if not narrow:
        return image
    source = Markup('<source media="(max-width: 40rem)" srcset="{}">').format(_as_address(narrow))
    return Markup("<picture>{}{}</picture>").format(source, image)


def _as_address(svg: str) -> str:
    themed = CHART_TEXT.join(svg.rsplit("</svg>", 1))
    return f"data:image/svg+xml;base64,{base64.b64encode(themed.encode()).decode()}"


def in_words(text: str, suite: str = "") -> Markup:
    """Return text in which the rules of suites stand in words; their technical names show on hover."""
    parts, end = [], 0
    for match in RULE.finditer(text):
        name, of = match["rule"], match["suite"] or suite
        if words := find_words(name, of):
            quoted = words if name == text else f"“{words}”"
            parts += [escape(text[end:match.start("rule")]), NAMED.format(name, quoted)]
            end = match.end()
    if text in OTHER_RULES:
        return NAMED.format(text, OTHER_RULES[text])
    return Markup("").join([*parts, escape(text[end:])])


def format_value(value: Any, column: str = "") -> str:
    """Return a value as all pages show it: `3,136` rows, `12.50` of money, a quantity of `2` or `1.5`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if column in QUANTITIES:
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    if isinstance(value, int) or not isfinite(value):
        return f"{value:,}"
    return f"{value:,.2f}" if round(value, 2) == value else f"{value:,.6f}".rstrip("0")


def used(names: Iterable[str], rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return the names for which a row has a value that is neither 0 nor empty: a table needs no others."""
    rows = list(rows)
    return [name for name in names if any(row.get(name) for row in rows)]


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:,.0f} min {seconds % 60:.0f} s"


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else "–"


def _size(size: int) -> str:
    if size < 1000:
        return f"{size} bytes"
    return f"{size / 1e3:,.1f} kB" if size < 1e6 else f"{size / 1e6:,.1f} MB"


def _clip(text: str) -> str:
    return text if len(text) <= CLIPPED else f"{text[:CLIPPED]}…"


FILTERS = {
    "number": _number, "value": format_value, "used": used, "in_words": in_words,
    "duration": _duration, "size": _size, "chart": as_image,
    "url": lambda text: quote(text, safe="", errors="replace"),
    "first_line": lambda text: _clip(str(text).partition("\n")[0]),
    "moment": lambda value: str(value).partition(".")[0] if value else "–",
}


@cache
def _templates() -> Environment:
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True,
                            lstrip_blocks=True)
    templates.filters |= FILTERS
    templates.globals |= {"COUNTS": COUNTS, "GATES": GATES, "BECAME": BECAME, "SAID": SAID,
                          "STOPPED": STOPPED}
    return templates
