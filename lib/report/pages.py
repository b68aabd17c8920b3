"""The pages about runs: one page for each run, and the index of all runs.

They are static files with relative links. Text from data cannot do harm in them: jinja2 escapes it, and
charts are images. If something does slip through, a content security policy forbids scripts and requests.
"""

import base64
import html
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from lib.report.run_records import (
    BECAME,
    COUNTS,
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
# An image does not inherit the colours of its page, so that each chart brings those of its text along.
CHART_TEXT = ("<style>text { fill: #566170 !important } "
              "@media (prefers-color-scheme: dark) { text { fill: #a2adba !important } }</style></svg>")


def write_run_page(folder: Path) -> Path:
    """Write `index.html` of a run's folder from its `run.json`; return the page."""
    run = read_run(folder)
    suites = {gate["suite"] for gate in run.get("gates", [])}
    return write_page(folder / "index.html", "run.html", {
        "run": run, "has_catalog": (folder.parents[1] / "catalog.html").exists(),
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
    "number": _number, "duration": _duration, "size": _size, "chart": as_image,
    "url": lambda text: quote(text, safe="", errors="replace"),
    "first_line": lambda text: _clip(str(text).partition("\n")[0]),
    "moment": lambda value: str(value).partition(".")[0] if value else "–",
}


@cache
def _templates() -> Environment:
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True,
                            lstrip_blocks=True)
    templates.filters |= FILTERS
    templates.globals |= {"COUNTS": COUNTS, "BECAME": BECAME, "SAID": SAID, "STOPPED": STOPPED}
    return templates
