"""What a run left in its folder, as the pages say it: `run.json` read back, and what can be linked to."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lib.steps import STEPS

VERDICTS = ("success", "nothing new", "failed", "interrupted")
STOPPED = ("failed", "interrupted")
COUNTS = ("read", "added", "changed", "unchanged", "quarantined", "duplicates", "removed")
BECAME = ("rows", "appended", "unchanged", "duplicates", "quarantined", "deleted")  # what became of a delivery's rows
DOCS = "data_docs"  # in a run's folder
CHARTS = "charts.json"  # in a run's folder: what the index shows of it and the runs before
NOT_A_RUN = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)


def read_runs(reports: Path, most: int) -> tuple[list[dict[str, Any]], int]:
    """Return the latest runs of a reports folder, newest first, and how many older ones there are."""
    runs_folder = reports / "runs"
    found = runs_folder.iterdir() if runs_folder.is_dir() else ()
    folders = sorted((folder for folder in found if folder.is_dir() and not folder.name.startswith(".")), reverse=True)
    return [read_run(folder) for folder in folders[:most]], len(folders[most:])


def read_run(folder: Path) -> dict[str, Any]:
    """Return what the pages say of a run; "damaged" is the verdict where `run.json` cannot be made sense of."""
    try:
        return describe(json.loads((folder / "run.json").read_text(encoding="utf-8")), folder)
    except NOT_A_RUN as error:
        reason = f"run.json is no record of a run ({type(error).__name__}: {error})"
        if isinstance(error, FileNotFoundError):
            reason = "there is no run.json: the run has not ended, was killed, or a notebook was run by hand"
        return {"name": folder.name, "verdict": "damaged", "started": folder.name, "error": reason}


def describe(run: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a run's record, with what the pages say of it beside. Raises one of NOT_A_RUN for what is no record."""
    if run["verdict"] not in VERDICTS:
        raise ValueError(f"verdict {run['verdict']!r}")
    records = {step["name"]: step["record"] for step in run["steps"] if step["record"]}
    gates = [gate | {"step": name, "verdict": gate["on_failure"] if gate["failed"] else "pass"}
             for name, record in records.items() for gate in record["gates"]]
    findings = sum(gate["verdict"] != "pass" for gate in gates)
    stops = [line[5:].partition(":")[0] for line in (run["error"] or "").splitlines() if line.startswith("gate ")]
    read = {delivery["name"]: delivery for delivery in records.get("raw", {}).get("deliveries", [])}  # these know their rows
    deliveries = [delivery | read.get(delivery["name"], {}) for delivery in run["deliveries"]]
    odd = [f"{delivery['name']} ({delivery['status']}): {delivery['note']}" for delivery in deliveries
           if delivery["status"] in ("stray", "waiting")]
    return run | {
        "name": folder.name, "started": str(run["started"]), "seconds": float(run["seconds"]),
        "delivered": sum(record["rows_processed"] for name, record in records.items() if name == "raw"),
        "quarantined": sum(record["rows_quarantined"] for record in records.values()),
        "steps": [_describe_step(step, folder) for step in run["steps"]],
        "gates": gates, "findings": findings, "stops": stops,
        "failed_expectations": findings + len(stops),
        "warnings": odd + run["overdue"] + run["notes"] + [
            warning for record in records.values() for warning in record["warnings"]],
        "tables": [{"name": table, "layer": record["layer"], "counts": [int(count[key]) for key in COUNTS],
                    "after": count["rows_after"], "samples": _describe_samples(record.get("samples", {}).get(table, {}))}
                   for record in records.values() for table, count in record["tables"].items()],
        "quarantine": [group for record in records.values() for group in record.get("quarantine", [])],
        "series": next((record["series"] for record in records.values() if record.get("series", {}).get("values")), None),
        "deliveries": deliveries,
        "docs": f"{DOCS}/index.html" if (folder / DOCS / "index.html").exists() else None}


def read_charts(reports: Path, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the charts that the latest of the runs left that left any."""
    for run in runs:
        try:
            return json.loads((reports / "runs" / run["name"] / CHARTS).read_text(encoding="utf-8"))
        except NOT_A_RUN:
            continue  # it had nothing to do, or came to no end
    return []


def link_results(folder: Path, suite: str) -> str | None:
    """Return what to link a suite's results in a run to: their page in the data docs or, for several batches, their list."""
    pages = [page.relative_to(folder).as_posix() for page in (folder / DOCS / "validations" / suite).rglob("*.html")]
    return quote(pages[0]) if len(pages) == 1 else f"{DOCS}/index.html#result-{suite}" if pages else None


def _describe_samples(kinds: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return sampled rows as one list of changes, the changed ones first: key, kind, and values as text."""
    return [{"key": row["key"], "kind": kind, "values": [(name, value if kind == "changed" else (value,)) for name, value in values]}
            for kind in ("changed", "removed", "added") for row in kinds.get(kind, [])
            for values in [(row["columns"] if kind == "changed" else row["row"]).items()]]


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
