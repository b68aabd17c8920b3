"""The page of an executed notebook: prose, tables and charts are visible, and code is folded.

Text from data cannot do harm on the page: only harmless HTML tags are kept, and charts are images.
"""

import json
import re
import sys
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader
from markupsafe import Markup

from lib.report.pages import TEMPLATES, as_image, write_page

REPORT = "report.ipynb"  # the business report, whose page is the first that people open
OUTPUTS = ["application/json", "image/svg+xml", "image/png", "text/html", "text/markdown", "text/plain"]
TAGS = {"a", "blockquote", "br", "code", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol",
        "p", "pre", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"}
SPANS = ["colspan", "rowspan"]
ATTRIBUTES = {"a": ["href"], "div": ["class"], "span": ["class"], "td": [*SPANS, "class"],
              "th": [*SPANS, "class", "title"]}
SCROLLING = {"class": "scroll", "tabindex": "0", "role": "group", "aria-label": "Table"}
# With a leading zero it is text, such as a postcode.
NUMBER = re.compile(r"-?(0|[1-9]\d*|[1-9]\d{0,2}(,\d{3})+)(\.\d+)?")


def export_notebooks(paths: Connection) -> None:
    """Write a page of each executed notebook whose path arrives, until the connection closes.

    Exits with 1 if a page could not be written.
    """
    import nbconvert  # noqa: F401 - its import takes a second, while the first notebook is still at work

    is_complete = True
    with suppress(EOFError):
        while True:
            notebook = paths.recv()
            try:
                (export_report if notebook.name == REPORT else export_notebook)(notebook)
            except Exception:
                traceback.print_exc()
                is_complete = False
    sys.exit(0 if is_complete else 1)


def export_notebook(notebook: Path) -> Path:
    """Write an executed notebook as a page next to it; return the page."""
    import nbformat

    book = nbformat.read(notebook, as_version=4)
    cells = _render_cells(book)
    about = book.metadata.get("papermill", {})
    code = [cell for cell in book.cells if cell.cell_type == "code" and cell.source]
    errors = [f"{output.ename}: {output.evalue}"
              for cell in code for output in cell.outputs if output.output_type == "error"]
    if errors or about.get("exception"):
        outcome = "failed"
    else:
        outcome = "success" if code and code[-1].execution_count else "interrupted"
    return write_page(notebook.with_suffix(".html"), "notebook.html", {
        "name": notebook.stem.partition("_")[2] or notebook.stem, "file": notebook.name,
        "batch_id": notebook.parent.name, "outcome": outcome, "error": _without_colors("\n".join(errors)),
        "cells": cells, "started": (about.get("start_time") or "").replace("T", " "),
        "seconds": about.get("duration") or 0.0})


def export_report(notebook: Path) -> Path:
    """Write the executed notebook of the business report as `report.html` in the reports folder; return it.

    It shows prose, tables and charts without the code.
    """
    import nbformat

    book = nbformat.read(notebook, as_version=4)
    reports = notebook.parents[2]
    return write_page(reports / "report.html", "report.html", {
        "cells": _render_cells(book, exclude_input=True), "batch_id": notebook.parent.name,
        "file": notebook.name, "has_catalog": (reports / "catalog.html").exists()})


def _render_cells(book: Any, **how: Any) -> Markup:
    """Return a notebook's cells as HTML by `templates/cells.html`."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    exporter = HTMLExporter(
        config=Config({"NbConvertBase": {"display_data_priority": OUTPUTS}}),
        template_name="base", template_file="cells.html", extra_loaders=[FileSystemLoader(TEMPLATES)],
        exclude_input_prompt=True, exclude_output_prompt=True, exclude_raw=True, exclude_anchor_links=True,
        **how,
        filters={"clean_html": _clean, "tables": _arrange_tables, "chart": as_image, "plain": _without_colors,
                 "pretty": lambda value: json.dumps(value, indent=2, ensure_ascii=False)})
    exporter.environment.autoescape = True
    return Markup(exporter.from_notebook_node(book)[0])


def _clean(text: str) -> Markup:
    """Return HTML with harmless tags only, and without the style sheets of pandas, text included."""
    import bleach

    text = re.sub(r"(?s)<style.*?</style>", "", text)
    return Markup(bleach.clean(text, tags=TAGS, attributes=ATTRIBUTES, strip=True))


def _arrange_tables(text: str) -> Markup:
    """Return cleaned HTML whose tables scroll, have headers with a scope, and show numbers flush right."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(text, "html.parser")
    for table in soup("table"):
        table.wrap(soup.new_tag("div", attrs=SCROLLING))
        rows = [cells for row in table("tr") if (cells := row(["th", "td"]))]
        _drop_row_numbers(rows)
        for header in table("th"):
            header.name = "th" if header.text else "td"
            if header.text:
                header["scope"] = "col" if header.find_parent("thead") else "row"
        if len({len(row) for row in rows}) == 1:  # else cells span columns
            for column in zip(*rows, strict=True):
                _mark_numbers(*column)
    return Markup(str(soup))


def _drop_row_numbers(rows: list[list[Any]]) -> None:
    """Remove the column of row numbers that pandas puts before a frame without an index of its own."""
    numbers = [("th", str(number)) for number in range(len(rows) - 1)]
    if [(row[0].name, row[0].text) for row in rows[1:]] == numbers:
        for row in rows:
            row.pop(0).decompose()


def _mark_numbers(name: Any, *cells: Any) -> None:
    """Mark a column whose values are numbers, other than ids, to be set flush right."""
    texts = {cell.text for cell in cells} - {"", "NaN"}
    if texts and all(map(NUMBER.fullmatch, texts)) and not name.text.endswith("_id"):
        for cell in (name, *cells):
            cell["class"] = "number"


def _without_colors(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
