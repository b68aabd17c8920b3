"""The pages of a run: its notebooks, itself, and the index of all runs. Static files that link to each other relatively.

Text that comes from data is inert in them: jinja2 escapes, HTML outputs of notebooks are cleaned to a list of harmless
tags, charts are images, and a content security policy forbids scripts and requests should something slip through.
"""

import base64
import html
import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from lib.steps import STEPS

TEMPLATES = Path(__file__).parent / "templates"
VERDICTS = ("success", "nothing new", "failed", "interrupted")
STOPPED = ("failed", "interrupted")
COUNTS = ("read", "added", "changed", "unchanged", "quarantined", "duplicates", "removed")
LISTED = 100  # runs in the index
TREND = 30  # runs in its small charts
NOT_A_RUN = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)

OUTPUTS = ["application/json", "image/svg+xml", "image/png", "text/html", "text/markdown", "text/plain"]
TAGS = {"a", "blockquote", "br", "code", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "span",
        "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"}
ATTRIBUTES = {"a": ["href"], "div": ["class"], "span": ["class"], "td": ["colspan", "rowspan"], "th": ["colspan", "rowspan"]}
NUMBER = re.compile(r"-?(0|[1-9]\d*|[1-9]\d{0,2}(,\d{3})+)(\.\d+)?")  # a leading zero makes it text
CHART_TEXT = ("<style>text { fill: #566170 !important } "
              "@media (prefers-color-scheme: dark) { text { fill: #a2adba !important } }</style></svg>")


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
            "clean_html": _clean, "tables": _arrange_tables, "chart": _as_image, "plain": _without_colors,
            "pretty": lambda value: json.dumps(value, indent=2, ensure_ascii=False)})
    exporter.environment.autoescape = True
    cells, _ = exporter.from_notebook_node(book)

    about = book.metadata.get("papermill", {})
    code = [cell for cell in book.cells if cell.cell_type == "code" and cell.source]
    errors = [f"{output.ename}: {output.evalue}" for cell in code for output in cell.outputs if output.output_type == "error"]
    outcome = ("failed" if errors or about.get("exception") else
               "success" if code and code[-1].execution_count else "interrupted")
    return _write(notebook.with_suffix(".html"), "notebook.html", {
        "name": notebook.stem.partition("_")[2] or notebook.stem, "file": notebook.name, "batch_id": notebook.parent.name,
        "outcome": outcome, "error": _without_colors("\n".join(errors)), "cells": Markup(cells),
        "started": (about.get("start_time") or "").replace("T", " "), "seconds": about.get("duration") or 0.0})


def write_run_page(folder: Path) -> Path:
    """Write `index.html` of a run's folder from its `run.json`; return the page."""
    return _write(folder / "index.html", "run.html", {"run": _read_run(folder)})


def write_index(reports: Path) -> Path:
    """Write `index.html` of the reports folder: the latest runs, newest first; return the page.

    Only the runs that are listed in full are read. One whose `run.json` cannot be read is listed as damaged.
    """
    runs_folder = reports / "runs"
    found = runs_folder.iterdir() if runs_folder.is_dir() else ()
    folders = sorted((folder for folder in found if folder.is_dir() and not folder.name.startswith(".")), reverse=True)
    runs = [_read_run(folder) for folder in folders[:LISTED]]
    sound = [run for run in runs if run["verdict"] != "damaged"]
    return _write(reports / "index.html", "index.html", {
        "runs": runs, "older": len(folders[LISTED:]), "trends": sound[:TREND][::-1]})


def _read_run(folder: Path) -> dict[str, Any]:
    """Return what the pages say of a run; "damaged" is the verdict where `run.json` cannot be made sense of."""
    try:
        return _describe(json.loads((folder / "run.json").read_text(encoding="utf-8")), folder)
    except NOT_A_RUN as error:
        reason = f"run.json is no record of a run ({type(error).__name__}: {error})"
        if isinstance(error, FileNotFoundError):
            reason = "there is no run.json: the run has not ended, was killed, or a notebook was run by hand"
        return {"name": folder.name, "verdict": "damaged", "started": folder.name, "error": reason}


def _describe(run: dict[str, Any], folder: Path) -> dict[str, Any]:
    if run["verdict"] not in VERDICTS:
        raise ValueError(f"verdict {run['verdict']!r}")
    records = {step["name"]: step["record"] for step in run["steps"] if step["record"]}
    gates = [gate | {"step": name, "verdict": gate["on_failure"] if gate["failed"] else "pass"}
             for name, record in records.items() for gate in record["gates"]]
    read = {delivery["name"]: delivery for delivery in records.get("raw", {}).get("deliveries", [])}  # these know their rows
    deliveries = [delivery | read.get(delivery["name"], {}) for delivery in run["deliveries"]]
    odd = [f"{delivery['name']} ({delivery['status']}): {delivery['note']}" for delivery in deliveries
           if delivery["status"] in ("stray", "waiting")]
    return run | {
        "name": folder.name, "started": str(run["started"]), "seconds": float(run["seconds"]),
        "delivered": sum(record["rows_processed"] for name, record in records.items() if name == "raw"),
        "quarantined": sum(record["rows_quarantined"] for record in records.values()),
        "steps": [_describe_step(step, folder) for step in run["steps"]],
        "gates": gates, "findings": sum(gate["verdict"] != "pass" for gate in gates),
        "stops": sum(line.startswith("gate ") for line in (run["error"] or "").splitlines()),
        "warnings": odd + run["overdue"] + [warning for record in records.values() for warning in record["warnings"]],
        "tables": [{"name": table, "layer": record["layer"], "counts": [int(count[key]) for key in COUNTS],
                    "after": count["rows_after"]} for record in records.values() for table, count in record["tables"].items()],
        "deliveries": deliveries,
        "docs": "data_docs/index.html" if (folder / "data_docs" / "index.html").exists() else None}


def _describe_step(step: dict[str, Any], folder: Path) -> dict[str, Any]:
    record = step["record"] or {}
    verdict = "nothing new" if step["status"] == "SUCCESS" and not record else step["status"].lower()
    notebook = Path(step["notebook"] or "")
    links = [name for name in (f"{notebook.stem}.html", notebook.name) if notebook.name and (folder / name).exists()]
    return {
        "name": step["name"], "number": list(STEPS).index(step["name"]) + 1 if step["name"] in STEPS else "", "verdict": verdict,
        "seconds": float(step["seconds"]), "link": links[0] if links else None,
        "counts": [sum(int(count[name]) for count in record["tables"].values()) for name in COUNTS] if record else None,
        "why": {"failed": "nothing was written: see the error above"}.get(verdict, step["error"]),
        "before": record.get("watermark_before"), "after": record.get("watermark_after")}


def _clean(text: str) -> Markup:
    """Return HTML with its harmless tags only; pandas' style sheets go with their text."""
    import bleach

    return Markup(bleach.clean(re.sub(r"(?s)<style.*?</style>", "", text), tags=TAGS, attributes=ATTRIBUTES, strip=True))


def _arrange_tables(text: str) -> Markup:
    """Return cleaned HTML whose tables scroll by themselves, name their headers and set numbers flush right."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(text, "html.parser")
    for table in soup("table"):
        table.wrap(soup.new_tag("div", attrs={"class": "scroll", "tabindex": "0", "role": "region", "aria-label": "Table"}))
        rows = [cells for row in table("tr") if (cells := row(["th", "td"]))]
        if [(row[0].name, row[0].text) for row in rows[1:]] == [("th", str(number)) for number in range(len(rows) - 1)]:
            for row in rows:
                row.pop(0).decompose()  # pandas' own row numbers say nothing
        for header in table("th"):
            header["scope"] = "col" if header.find_parent("thead") else "row"
            header.name = "th" if header.text else "td"
        for name, *cells in zip(*rows, strict=True) if len({len(row) for row in rows}) == 1 else ():
            texts = {cell.text for cell in cells} - {"", "NaN"}
            if texts and all(map(NUMBER.fullmatch, texts)) and not name.text.endswith("_id"):
                for cell in (name, *cells):
                    cell["class"] = "number"
    return Markup(str(soup))


def _as_image(svg: str) -> Markup:
    """Return a chart as an image, in which no script runs, with its title as the text that stands for it."""
    title = re.search(r"(?s)<title>(.*?)</title>", svg)
    themed = CHART_TEXT.join(svg.rsplit("</svg>", 1))
    return Markup('<img alt="{}" src="data:image/svg+xml;base64,{}">').format(
        html.unescape(title[1]) if title else "Chart", base64.b64encode(themed.encode()).decode())


def _without_colors(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:,.0f} min {seconds % 60:.0f} s"


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else "–"


def _size(size: int) -> str:
    return f"{size} bytes" if size < 1000 else f"{size / 1e3:,.1f} kB" if size < 1e6 else f"{size / 1e6:,.1f} MB"


@cache
def _templates() -> Environment:
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    templates.filters |= {
        "number": _number, "duration": _duration, "size": _size, "url": lambda text: quote(text, safe="", errors="replace"),
        "moment": lambda value: str(value).partition(".")[0] if value else "–"}
    templates.globals |= {"COUNTS": COUNTS, "TREND": TREND, "STOPPED": STOPPED, "duration": _duration, "number": _number}
    return templates


def _write(page: Path, template: str, values: dict[str, Any]) -> Path:
    """Render a page and put it in its place whole: a reader sees the old one or the new one."""
    partial = page.with_name(f".{page.name}.partial")
    partial.write_text(_templates().get_template(template).render(values), encoding="utf-8", errors="replace")
    return partial.replace(page)
