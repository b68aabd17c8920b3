"""What a run left in its folder, as the pages show it: `run.json`, its charts, and links."""

import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lib.steps import STEPS

VERDICTS = ("success", "incomplete", "nothing new", "failed", "interrupted", "died")
STOPPED = ("failed", "interrupted", "died")
COUNTS = ("read", "added", "changed", "unchanged", "quarantined", "duplicates", "removed")
GATES = {"rows": "rows", "checks": "expectations", "pass": "passed", "warn": "warned",
         "quarantine": "quarantined", "fail": "failed", "observe": "observed"}  # of a suite
BECAME = ("rows", "appended", "unchanged", "duplicates", "quarantined", "deleted")  # of a delivery
SEE_ABOVE = {"failed": "nothing was written: see the error above", "died": "see the error above"}
DOCS = "data_docs"  # in a run's folder
FIGURES = "report.json"  # in the reports: what the business report shows on its top
CHARTS = "charts.json"  # in a run's folder: the charts of the index, which show this run and those before it
# What reading a file raises that was cut off, edited by hand, or written by something else.
NOT_A_RUN = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)


def list_folders(reports: Path) -> list[Path]:
    """Return the folders of all runs of a reports folder, by name, the newest first."""
    runs_folder = reports / "runs"
    found = runs_folder.iterdir() if runs_folder.is_dir() else ()
    return sorted((folder for folder in found if folder.is_dir() and not folder.name.startswith(".")),
                  reverse=True)


def read_runs(folders: list[Path]) -> list[dict[str, Any]]:
    """Return runs in the order in which they were started, the newest first.

    Their names do not tell: they follow `--now`, and runs of several warehouses may share a folder.
    """
    return sorted(map(read_run, folders), key=lambda run: re.sub(r"\D", "", run["started"]), reverse=True)


def find_last_work(runs: list[dict[str, Any]], older: list[Path]) -> dict[str, Any]:
    """Return the latest run that had something to do, or the latest run if none had; `older` are the folders
    of the runs before `runs`."""
    every: Iterator[dict[str, Any]] = chain(runs, map(read_run, older))
    return next((run for run in every if run["verdict"] != "nothing new"), runs[0])


def read_run(folder: Path) -> dict[str, Any]:
    """Return what the pages show of a run; its verdict is "damaged" if `run.json` cannot be read."""
    try:
        return describe_run(json.loads((folder / "run.json").read_text(encoding="utf-8")), folder)
    except NOT_A_RUN as error:
        reason = f"run.json is not the record of a run ({type(error).__name__}: {error})"
        if isinstance(error, FileNotFoundError):
            reason = "there is no run.json: the run has not ended, was killed, or a notebook was run by hand"
        return {"name": folder.name, "verdict": "damaged", "started": folder.name, "error": reason}


def describe_run(run: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a run's record and what the pages show in addition. Raises one of NOT_A_RUN for other JSON."""
    if run["verdict"] not in VERDICTS:
        raise ValueError(f"verdict {run['verdict']!r}")
    records = {step["name"]: step["record"] for step in run["steps"] if step["record"]}
    gates = [gate | {"step": step["name"], "verdict": gate["on_failure"] if gate["failed"] else "pass"}
             for step in run["steps"] for gate in (step["record"] or step).get("gates", [])]
    stops = sum(gate["verdict"] == "fail" for gate in gates)
    findings = sum(gate["verdict"] in ("quarantine", "warn") for gate in gates)
    observed = sum(gate["verdict"] == "observe" for gate in gates)
    deliveries = _add_row_counts(run["deliveries"], records)
    warnings = [*run.get("files", []), *run["overdue"], *run["notes"],
                *(warning for record in records.values() for warning in record["warnings"])]
    series = [record["series"] for record in records.values()  # made by a cell, which may make anything
              if isinstance(record.get("series"), dict) and record["series"].get("values")]
    steps = [_describe_step(step, folder) for step in run["steps"]]
    return run | {
        "name": folder.name, "started": str(run["started"]), "seconds": float(run["seconds"]),
        "delivered": sum(record["rows_processed"] for name, record in records.items() if name == "raw"),
        "quarantined": sum(record["rows_quarantined"] for record in records.values()),
        "steps": steps, "pages": [step for step in steps if step["link"]],
        "gates": gates, "suites": _count_by_suite(gates), "findings": findings, "stops": stops,
        "failed_expectations": findings + stops, "observed": observed,
        "not_listed": run.get("not_listed", 0),
        "warnings": warnings, "warned": len(warnings) + findings,
        "tables": [_describe_table(table, count, record)
                   for record in records.values() for table, count in record["tables"].items()],
        "quarantine": [group for record in records.values() for group in record.get("quarantine", [])],
        "series": series[0] if series else None,
        "deliveries": deliveries,
        "docs": f"{DOCS}/index.html" if (folder / DOCS / "index.html").exists() else None}


def read_charts(reports: Path, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the charts of the latest of these runs that left some."""
    for run in runs:
        try:
            return json.loads((reports / "runs" / run["name"] / CHARTS).read_text(encoding="utf-8"))
        except NOT_A_RUN:
            continue  # the run had nothing to do, or did not get to its end
    return []


def read_report(reports: Path) -> dict[str, Any] | None:
    """Return the figures of the latest business report, or None if there is none that can be read."""
    try:
        report = json.loads((reports / FIGURES).read_text(encoding="utf-8"))
        figures = [{name: str(figure[name]) for name in ("name", "shown", "note")}
                   for figure in report["figures"]]
        return {"title": str(report["title"]), "figures": figures}
    except NOT_A_RUN:
        return None


def link_results(folder: Path, suite: str) -> str | None:
    """Return the link to a suite's results in the data docs: their page, or the list of several."""
    results = (folder / DOCS / "validations" / suite).rglob("*.html")
    pages = [page.relative_to(folder).as_posix() for page in results]
    if len(pages) == 1:
        return quote(pages[0])
    return f"{DOCS}/index.html#result-{suite}" if pages else None


def _add_row_counts(deliveries: list[dict[str, Any]], records: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a run's deliveries; the raw step has counted the rows of those that it read."""
    counted = {(delivery["name"], delivery["source"]): delivery
               for delivery in records.get("raw", {}).get("deliveries", [])}
    return [delivery | counted.get((delivery["name"], delivery["source"]), {}) for delivery in deliveries]


def _count_by_suite(gates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each suite of a run how many rows it checked and how many of its expectations passed."""
    suites: dict[str, dict[str, Any]] = {}
    for gate in gates:
        counts = suites.setdefault(gate["suite"], {"suite": gate["suite"], "step": gate["step"],
                                                   **dict.fromkeys(GATES, 0)})
        counts["rows"] = max(counts["rows"], gate["checked"])
        counts["checks"] += 1
        counts[gate["verdict"]] += 1
    return list(suites.values())


def _describe_table(table: str, count: dict[str, int], record: dict[str, Any]) -> dict[str, Any]:
    samples = record.get("samples", {}).get(table, {})
    return {"name": table, "layer": record["layer"], "step": record["step"],
            "counts": {key: int(count[key]) for key in COUNTS}, "after": count["rows_after"],
            "samples": _describe_samples(samples)}


def _describe_samples(kinds: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return sampled rows as one list, the changed ones first, whose columns have two values."""
    changed = [{"key": row["key"], "kind": "changed", "values": list(row["columns"].items())}
               for row in kinds.get("changed", [])]
    others = [_describe_one_row(row, kind) for kind in ("removed", "added") for row in kinds.get(kind, [])]
    return changed + others


def _describe_one_row(row: dict[str, Any], kind: str) -> dict[str, Any]:
    values = [(name, (value,)) for name, value in row["row"].items()]
    return {"key": row["key"], "kind": kind, "values": values}


def _describe_step(step: dict[str, Any], folder: Path) -> dict[str, Any]:
    name, record = step["name"], step["record"] or {}
    verdict = "nothing new" if step["status"] == "SUCCESS" and not record else step["status"].lower()
    notebook = Path(step["notebook"] or "")
    pages = [page for page in (f"{notebook.stem}.html", notebook.name)
             if notebook.name and (folder / page).exists()]
    tables = record["tables"].values() if record else ()
    return {
        "name": name, "number": list(STEPS).index(name) + 1 if name in STEPS else "", "verdict": verdict,
        "seconds": float(step["seconds"]), "link": pages[0] if pages else None,
        "counts": {key: sum(int(count[key]) for count in tables) for key in COUNTS} if record else {},
        "why": SEE_ABOVE.get(verdict, step["error"]),
        "before": record.get("watermark_before"), "after": record.get("watermark_after")}
