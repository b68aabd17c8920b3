"""The page of an executed notebook: prose, tables and charts are visible, and code is folded.

What came out stands first: the sections whose heading has the tag `result`, the last one first. The other
sections follow as they are in the notebook.

Text from data cannot do harm on the page: only harmless HTML tags are kept, and charts are images.
"""

import json
import re
import sys
import traceback
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader
from markupsafe import Markup

from lib.report.expectation_text import OTHER_RULES, RULE
from lib.report.pages import QUANTITIES, TEMPLATES, as_image, format_value, in_words, write_page

REPORT = "report.ipynb"  # the business report, whose page is the first that people open
OUTPUTS = ["application/json", "image/svg+xml", "image/png", "text/html", "text/markdown", "text/plain"]
TAGS = {"a", "blockquote", "br", "code", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol",
        "p", "pre", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"}
SPANS = ["colspan", "rowspan"]
ATTRIBUTES = {"a": ["href"], "div": ["class"], "span": ["class", "title"], "table": ["class"],
              "td": [*SPANS, "class", "data-label"], "th": [*SPANS, "class", "title"]}
SCROLLING = {"class": "scroll", "tabindex": "0", "role": "group", "aria-label": "Table"}
RESULT = "result"  # the tag
LEFT_OUT = Markup('<p class="soft"><small>Not shown, as they are 0 or empty in every row: {}.</small></p>')
LONG = 60  # characters of a text that is broken into lines
MISSING = ("", "NaN", "None", "<NA>", "NaT")  # how pandas shows that there is no value
NAMES = re.compile("(_id|phone|code|zip|year)$")  # ends the name of a column whose digits are no amount
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
    about = book.metadata.get("papermill", {})
    code = [cell for cell in book.cells if cell.cell_type == "code" and cell.source]
    errors = [f"{output.ename}: {output.evalue}"
              for cell in code for output in cell.outputs if output.output_type == "error"]
    if errors or about.get("exception"):
        outcome = "failed"
    else:
        outcome = "success" if code and code[-1].execution_count else "interrupted"
    title, results, others = _arrange_cells(book.cells) if outcome == "success" else ([], [], book.cells)
    return write_page(notebook.with_suffix(".html"), "notebook.html", {
        "name": notebook.stem.partition("_")[2] or notebook.stem, "file": notebook.name,
        "batch_id": notebook.parent.name, "outcome": outcome, "error": _without_colors("\n".join(errors)),
        "title": _render_cells(book, title), "results": _render_cells(book, results),
        "cells": _render_cells(book, others, "h3" if results else "h2"),
        "started": (about.get("start_time") or "").replace("T", " "),
        "seconds": about.get("duration") or 0.0})


def export_report(notebook: Path) -> Path:
    """Write the executed notebook of the business report as `report.html` in the reports folder; return it.

    It shows prose, tables and charts without the code.
    """
    import nbformat

    book = nbformat.read(notebook, as_version=4)
    reports = notebook.parents[2]
    return write_page(reports / "report.html", "report.html", {
        "cells": _render_cells(book, book.cells, is_code_shown=False), "batch_id": notebook.parent.name,
        "file": notebook.name})


def _arrange_cells(cells: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the title of a notebook, the cells of its results, and all others."""
    sections: list[list[Any]] = []
    for cell in cells:
        if not sections or (cell.cell_type == "markdown" and cell.source.startswith("#")):
            sections.append([])
        sections[-1].append(cell)
    results = [section for section in sections if RESULT in section[0].metadata.get("tags", [])]
    others = [cell for section in sections if section not in results for cell in section]
    return others[:1], [cell for section in reversed(results) for cell in section], others[1:]


def _render_cells(book: Any, cells: list[Any], heading: str = "h2", *, is_code_shown: bool = True) -> Markup:
    """Return cells of a notebook as HTML by `templates/cells.html`, with such headings of sections."""
    page, _ = _exporter(is_code_shown).from_notebook_node(type(book)(book | {"cells": cells}))
    return Markup(re.sub("(</?)h2>", rf"\1{heading}>", page))


@cache  # to make one, and to compile its templates, takes as long as to render a notebook
def _exporter(is_code_shown: bool) -> Any:
    from nbconvert import HTMLExporter
    from nbconvert.exporters.templateexporter import TemplateExporter
    from nbconvert.filters import Highlight2HTML
    from traitlets.config import Config

    class PlainExporter(HTMLExporter):
        # Its own parses the page again, for the sake of its own templates: a third of the time.
        from_notebook_node = TemplateExporter.from_notebook_node

    exporter = PlainExporter(
        config=Config({"NbConvertBase": {"display_data_priority": OUTPUTS}}),
        template_name="base", template_file="cells.html", extra_loaders=[FileSystemLoader(TEMPLATES)],
        exclude_input_prompt=True, exclude_output_prompt=True, exclude_raw=True, exclude_anchor_links=True,
        exclude_input=not is_code_shown,
        filters={"highlight_code": Highlight2HTML(pygments_lexer="ipython3"), "clean_html": _clean,
                 "tables": _arrange_tables, "chart": as_image, "plain": _without_colors, "in_words": in_words,
                 "pretty": lambda value: json.dumps(value, indent=2, ensure_ascii=False)})
    exporter.environment.autoescape = True
    return exporter


def _clean(text: str) -> Markup:
    """Return HTML with harmless tags only, and without the style sheets of pandas, text included."""
    import bleach

    text = re.sub(r"(?s)<style.*?</style>", "", text)
    return Markup(bleach.clean(text, tags=TAGS, attributes=ATTRIBUTES, strip=True))


def _arrange_tables(text: str) -> Markup:
    """Return cleaned HTML whose tables scroll and have headers with a scope.

    Numbers are as on all pages, and flush right. Columns that are 0 or empty in every row are left out, a
    table without rows says so, and rules stand in words.
    """
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
        is_arranged = table.find(class_="number")  # by who made it
        if len({len(row) for row in rows}) == 1 and not is_arranged:  # else cells span columns
            for row in rows[1:]:
                _put_into_words(rows[0], row)
            left_out = [name for column in zip(*rows, strict=True) if (name := _arrange_column(*column))]
            if not table(["td", "th"]):
                table.parent.replace_with(BeautifulSoup('<p class="none">None.</p>', "html.parser"))
            elif left_out:
                table.parent.insert_after(BeautifulSoup(LEFT_OUT.format(", ".join(left_out)), "html.parser"))
    return Markup(str(soup))


def _drop_row_numbers(rows: list[list[Any]]) -> None:
    """Remove the column of row numbers that pandas puts before a frame without an index of its own."""
    numbers = [("th", str(number)) for number in range(len(rows) - 1)]
    if [(row[0].name, row[0].text) for row in rows[1:]] == numbers:
        for row in rows:
            row.pop(0).decompose()


def _arrange_column(name: Any, *cells: Any) -> str:
    """Arrange the cells of a column; return its name if it is left out, as it has nothing in it."""
    for cell in cells:
        if cell.text in MISSING:
            cell.string = ""
        if len(cell.text) > LONG and cell.name == "td":
            cell["class"] = "prose"
    texts = {cell.text for cell in cells} - {""}
    is_number = all(map(NUMBER.fullmatch, texts)) and not NAMES.search(name.text)
    if not texts or (is_number and not any(float(text.replace(",", "")) for text in texts)):
        for cell in (name, *cells):
            cell.extract()
        return name.text
    if is_number:
        for cell in (name, *cells):
            cell["class"] = "number"
        for cell in cells:
            cell.string = _as_number(cell.text, name.text)
    return ""


def _as_number(text: str, column: str) -> str:
    """Return a number with its thousands separated; the decimals of an amount stay as they are."""
    sign, whole, decimals = re.fullmatch(r"(-?)(\d*)(.*)", text.replace(",", "")).groups()
    if column in QUANTITIES and text:
        return format_value(float(f"{sign}{whole}{decimals}"), column)
    return f"{sign}{int(whole):,}{decimals}" if text else ""


def _put_into_words(names: list[Any], row: list[Any]) -> None:
    """Name the rules in a row of the gates or of the quarantine, which begins with a suite or its table."""
    from bs4 import BeautifulSoup

    for name, cell in zip(names, row, strict=True):
        if RULE.fullmatch(cell.text) or (name.text == "rule" and cell.text in OTHER_RULES):
            words = in_words(cell.text, row[0].text)
            cell.clear()
            cell.append(BeautifulSoup(words, "html.parser"))


def _without_colors(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
