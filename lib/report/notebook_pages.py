"""The page of an executed notebook: prose, tables and charts open, code folded.

Text that comes from data is inert in it: HTML outputs are cleaned to a list of harmless tags, and charts are images.
"""

import json
import re
import sys
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from jinja2 import FileSystemLoader
from markupsafe import Markup

from lib.report.pages import TEMPLATES, as_image, write_page

OUTPUTS = ["application/json", "image/svg+xml", "image/png", "text/html", "text/markdown", "text/plain"]
TAGS = {"a", "blockquote", "br", "code", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "span",
        "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"}
ATTRIBUTES = {"a": ["href"], "div": ["class"], "span": ["class"], "td": ["colspan", "rowspan"], "th": ["colspan", "rowspan"]}
NUMBER = re.compile(r"-?(0|[1-9]\d*|[1-9]\d{0,2}(,\d{3})+)(\.\d+)?")  # a leading zero makes it text


def export_notebooks(paths: Connection) -> None:
    """Write each executed notebook whose path arrives as a page, until there are no more; exits with 1 if one could not be."""
    import nbconvert  # noqa: F401 - while the first notebook is still at work

    is_complete = True
    with suppress(EOFError):
        while True:
            notebook = paths.recv()
            try:
                export_notebook(notebook)
            except Exception:
                traceback.print_exc()
                is_complete = False
    sys.exit(0 if is_complete else 1)


def export_notebook(notebook: Path) -> Path:
    """Write an executed notebook as a page beside it, prose and outputs open and code folded; return the page."""
    import nbformat
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    book = nbformat.read(notebook, as_version=4)
    exporter = HTMLExporter(
        config=Config({"NbConvertBase": {"display_data_priority": OUTPUTS}}), template_name="base", template_file="cells.html",
        extra_loaders=[FileSystemLoader(TEMPLATES)], exclude_input_prompt=True, exclude_output_prompt=True, exclude_raw=True,
        exclude_anchor_links=True, filters={
            "clean_html": _clean, "tables": _arrange_tables, "chart": as_image, "plain": _without_colors,
            "pretty": lambda value: json.dumps(value, indent=2, ensure_ascii=False)})
    exporter.environment.autoescape = True
    cells, _ = exporter.from_notebook_node(book)

    about = book.metadata.get("papermill", {})
    code = [cell for cell in book.cells if cell.cell_type == "code" and cell.source]
    errors = [f"{output.ename}: {output.evalue}" for cell in code for output in cell.outputs if output.output_type == "error"]
    outcome = ("failed" if errors or about.get("exception") else
               "success" if code and code[-1].execution_count else "interrupted")
    return write_page(notebook.with_suffix(".html"), "notebook.html", {
        "name": notebook.stem.partition("_")[2] or notebook.stem, "file": notebook.name, "batch_id": notebook.parent.name,
        "outcome": outcome, "error": _without_colors("\n".join(errors)), "cells": Markup(cells),
        "started": (about.get("start_time") or "").replace("T", " "), "seconds": about.get("duration") or 0.0})


def _clean(text: str) -> Markup:
    """Return HTML with its harmless tags only; pandas' style sheets go with their text."""
    import bleach

    return Markup(bleach.clean(re.sub(r"(?s)<style.*?</style>", "", text), tags=TAGS, attributes=ATTRIBUTES, strip=True))


def _arrange_tables(text: str) -> Markup:
    """Return cleaned HTML whose tables scroll by themselves, name their headers and set numbers flush right."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(text, "html.parser")
    for table in soup("table"):
        table.wrap(soup.new_tag("div", attrs={"class": "scroll", "tabindex": "0", "role": "group", "aria-label": "Table"}))
        rows = [cells for row in table("tr") if (cells := row(["th", "td"]))]
        if [(row[0].name, row[0].text) for row in rows[1:]] == [("th", str(number)) for number in range(len(rows) - 1)]:
            for row in rows:
                row.pop(0).decompose()  # pandas' own row numbers say nothing
        for header in table("th"):
            header.name = "th" if header.text else "td"
            if header.text:
                header["scope"] = "col" if header.find_parent("thead") else "row"
        for name, *cells in zip(*rows, strict=True) if len({len(row) for row in rows}) == 1 else ():
            texts = {cell.text for cell in cells} - {"", "NaN"}
            if texts and all(map(NUMBER.fullmatch, texts)) and not name.text.endswith("_id"):
                for cell in (name, *cells):
                    cell["class"] = "number"
    return Markup(str(soup))


def _without_colors(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
