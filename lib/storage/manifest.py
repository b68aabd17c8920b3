"""The manifest of each run: its input and its results as JSON, chained to the manifest of the run before.

It is stored in `audit.db` and, as the same bytes, in the run's folder. It is the last thing that a run
writes, so it covers everything else: the rows of the log since the manifest before, the watermarks, the
checksums of all tables, and every file of the run's folder. It also holds the sha256 of the manifest before,
so a change to an old one is noticed: the later hashes no longer match. `lib.reproduce.records` checks this.
"""

import hashlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lib.clock import utc_now
from lib.contract import CONTRACT
from lib.errors import PipelineError
from lib.steps import LAYERS, NOTEBOOKS, PROJECT, STEPS, SUITES, Options
from lib.storage import audit, lookup
from lib.storage.files import hash_file, write_whole

FILE = "manifest.json"  # in a run's folder
NEEDED = ("adbc-driver-sqlite", "duckdb", "great-expectations", "nbclient", "pandas", "papermill", "pyarrow")
PACKAGES = {"sqlite": NEEDED, "spark": (*NEEDED, "deltalake", "pyspark", "sqlglot")}  # by engine
LOCKS = {"sqlite": "requirements.txt", "spark": "requirements-spark.txt"}
DELIVERY = ("name", "source", "bytes", "sha256", "rows", "is_snapshot", "system", "reading", "table")
OUTPUTS = {table for step in STEPS.values() for table in step.outputs}
# Those parameters of a run that decide its results.
PARAMETERS = ("full_refresh", "steps", "snapshot", "snapshot_limit", "quarantine_limit", "as_of")
REBUILT = "select process_name, max(is_rebuild) from layer_commits where batch_id = ? group by process_name"
DIGESTS = """
select table_name, digest from layer_commits
where commit_id in (select max(commit_id) from layer_commits group by table_name)
order by table_name"""
CHECKSUMS = "select table_name, rows, checksum from checksums order by table_name"
DELIVERIES = """
select source_filename, source_name, size_bytes, content_sha256, rows, is_snapshot, source_system, reading,
    table_name
from deliveries
where batch_id = ?
order by delivery_id"""


def begin(log: sqlite3.Connection, options: Options, batch_id: str, now: str) -> None:
    """Record the input of a run, once. If the run is killed, the next run completes the manifest."""
    given = asdict(options)
    begun = {"batch_id": batch_id, "now": now, "started": utc_now(),
             "parameters": {name: given[name] for name in PARAMETERS}, "engine": options.engine,
             **describe_code(options.engine), **_describe_rules(log),
             "watermarks_before": read_watermarks(log)}
    log.execute("insert or ignore into pipeline_manifest (batch_id, begun) values (?, ?)",
                [batch_id, _text(begun)])


def complete(log: sqlite3.Connection, warehouse: Path, reports: Path) -> dict[str, str]:
    """Add results and chain to the manifests of this run and of runs that died; return these by run, as text.

    Call it only while holding the run lock.
    """
    completed = {}
    open_manifests = log.execute("select batch_id, begun from pipeline_manifest where manifest is null "
                                 "order by manifest_id").fetchall()
    for batch_id, begun in open_manifests:
        results = _outcome(log, warehouse, batch_id)
        results |= {"files": hash_run(reports / "runs" / batch_id)}
        text = _text(json.loads(begun) | results | _chain(log))
        log.execute("update pipeline_manifest set manifest = ?, manifest_sha256 = ?, begun = null "
                    "where batch_id = ?", [text, hash_text(text), batch_id])
        completed[batch_id] = text
    return completed


def put(manifests: dict[str, str], reports: Path) -> None:
    """Write completed manifests into the folders of their runs. Raises OSError."""
    for batch_id, text in manifests.items():
        folder = reports / "runs" / batch_id
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / FILE, text)


def read_unwritten(log: sqlite3.Connection, reports: Path) -> dict[str, str]:
    """Return the last manifest, by its run, if it is not in its folder: that run died before it wrote it."""
    return {batch_id: text for batch_id, text in log.execute(
        "select batch_id, manifest from pipeline_manifest where manifest is not null "
        "order by manifest_id desc limit 1") if is_unwritten(reports / "runs" / batch_id)}


def is_unwritten(folder: Path) -> bool:
    """Return whether a run's folder is there without its manifest; `--keep-runs` deletes whole folders."""
    return folder.exists() and not (folder / FILE).exists()


def read_texts(log: sqlite3.Connection) -> dict[str, str]:
    """Return the manifests of all runs that have ended, by run, oldest first."""
    return dict(log.execute("select batch_id, manifest from pipeline_manifest where manifest is not null "
                            "order by manifest_id"))


def read_manifests(log: sqlite3.Connection) -> list[dict[str, Any]]:
    """Return the manifests of all runs that have ended, oldest first, as data."""
    return [json.loads(text) for text in read_texts(log).values()]


def read_rule_texts(log: sqlite3.Connection, batch_id: str) -> dict[str, str]:
    """Return the text of each file with rules, by path, as a run had it; files that no manifest has are left
    out: a run of an earlier release has recorded none."""
    texts: dict[str, str] = {}
    for recorded, text in log.execute("select batch_id, coalesce(begun, manifest) from pipeline_manifest "
                                      "order by manifest_id"):
        of_run = json.loads(text)
        texts |= of_run.get("rule_texts", {})
        if recorded == batch_id:
            return {path: texts[path] for path in of_run.get("rules", {}) if path in texts}
    return {}


def read_clock(log: sqlite3.Connection, batch_id: str | None = None) -> tuple[str, str]:
    """Return the clock of a run, or of the last run, and its `as_of`; "" for what is not known.

    The run may have been killed.
    """
    which = "where batch_id = ?" if batch_id else "order by manifest_id desc limit 1"
    row = log.execute(f"select coalesce(begun, manifest) from pipeline_manifest {which}",
                      [batch_id] if batch_id else []).fetchone()
    of_run = json.loads(row[0]) if row else {"now": "", "parameters": {}}
    return of_run["now"], of_run["parameters"].get("as_of", "")


def accepted_limit(log: sqlite3.Connection, step: str, sha256: str) -> float:
    """Return the highest quarantine limit with which a run of a step has read a delivery with these bytes.

    0.0 if none has. Such a run has succeeded, so a person has seen what it set aside and has accepted it.
    """
    limit, delivered = 0.0, set()  # the times at which raw has committed these bytes
    for run in read_manifests(log):
        if any(delivery["sha256"] == sha256 for delivery in run["deliveries"]):
            delivered.add(run["watermarks_after"]["raw"][0])
        about = run["steps"].get(step)
        if about and about["status"] == "SUCCESS" and about["has_run"]:
            before, after = (run[marks].get(step, [audit.INITIAL])[0]
                             for marks in ("watermarks_before", "watermarks_after"))
            since = audit.INITIAL if about["is_full"] else before
            if any(since < time <= after for time in delivered):
                limit = max(limit, run["parameters"]["quarantine_limit"])
    return limit


def hash_run(folder: Path) -> dict[str, str]:
    """Return the hash of each file in a run's folder, and of each folder in it with all that it holds."""
    entries = sorted(path for path in folder.glob("[!.]*") if path.name != FILE)
    return {path.name: _hash_folder(path) if path.is_dir() else hash_file(path) for path in entries}


def _hash_folder(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hash_text("".join(f"{path.relative_to(folder).as_posix()}\0{hash_file(path)}\0" for path in files))


def describe_code(engine: str = "sqlite") -> dict[str, Any]:
    """Return what decides the results besides the data, as hashes: code, suites, contract and versions."""
    return {
        "git": _git(),
        "lib": _hash_files(PROJECT.glob("lib/**/*.py")),
        "notebooks": {step.notebook: _hash_files([NOTEBOOKS / step.notebook]) for step in STEPS.values()},
        "suites": {path.stem: _hash_files([path]) for path in sorted(SUITES.glob("*.json"))},
        "contract": _hash_files(sorted(CONTRACT.rglob("*.yaml"))),
        "lock": _hash_files([PROJECT / LOCKS[engine]]),
        "versions": {"python": sys.version.split()[0], "sqlite": sqlite3.sqlite_version} | {
            name: version(name) for name in PACKAGES[engine]},
    }


def rule_files() -> dict[str, str]:
    """Return the text of each file that holds rules, by its path in the project."""
    paths = [*(NOTEBOOKS / step.notebook for step in STEPS.values()), *SUITES.glob("*.json"),
             *CONTRACT.rglob("*.yaml")]
    return {path.relative_to(PROJECT).as_posix(): path.read_text(encoding="utf-8", errors="replace")
            for path in sorted(paths) if path.exists()}


def _describe_rules(log: sqlite3.Connection) -> dict[str, Any]:
    """Return the hash of each file with rules, and the text of those that the manifest before has not: so
    the manifests together hold every text, once."""
    last = log.execute("select coalesce(begun, manifest) from pipeline_manifest "
                       "order by manifest_id desc limit 1").fetchone()
    before = json.loads(last[0]).get("rules", {}) if last else {}
    texts = rule_files()
    rules = {path: hash_text(text) for path, text in texts.items()}
    return {"rules": rules, "rule_texts": {path: text for path, text in texts.items()
                                           if before.get(path) != rules[path]}}


def _outcome(log: sqlite3.Connection, warehouse: Path, batch_id: str) -> dict[str, Any]:
    rebuilt: dict[str, int] = {}  # by step that committed: whether it rebuilt its tables
    digests, checksums, deliveries, unreadable = {}, {}, [], {}
    for layer in LAYERS:
        if (warehouse / f"{layer}.db").exists():
            try:
                rebuilt |= dict(lookup.query(warehouse, layer, "layer_commits", REBUILT, batch_id))
                latest = lookup.query(warehouse, layer, "layer_commits", DIGESTS)
                digests[layer] = {table: digest for table, digest in latest if table in OUTPUTS}
                checksums[layer] = {table: [rows, checksum] for table, rows, checksum in lookup.query(
                    warehouse, layer, "checksums", CHECKSUMS)}
                if lookup.has_column(warehouse, layer, "deliveries", "table_name"):  # else this run read none
                    deliveries += lookup.query(warehouse, layer, "deliveries", DELIVERIES, batch_id)
            except PipelineError as error:  # the run has already reported it
                unreadable[layer] = str(error)
    steps = log.execute("select process_name, status, table_digests, error_message "
                        "from pipeline_execution_log where batch_id = ? order by execution_id", [batch_id])
    return {
        # Raw that died after its commit may have read nothing but empty files, which change no table.
        "steps": {name: {"status": status, "is_full": bool(rebuilt.get(name)), "error": error,
                         "has_run": bool(table_digests or name in rebuilt or (name == "raw" and deliveries))}
                  for name, status, table_digests, error in steps},
        "deliveries": [dict(zip(DELIVERY, row, strict=True)) for row in deliveries],
        "watermarks_after": read_watermarks(log), "digests": digests, "checksums": checksums,
        "unreadable": unreadable,
    }


def _chain(log: sqlite3.Connection) -> dict[str, Any]:
    """Return the hash of the last manifest, and of the log's rows after those that it covers."""
    last = log.execute("select manifest, manifest_sha256 from pipeline_manifest where manifest is not null "
                       "order by manifest_id desc limit 1").fetchone()
    covered, previous = (json.loads(last[0])["log_rows_to"], last[1]) if last else (0, "")
    rows, reached = log_rows(log, covered)
    return {"previous_manifest_sha256": previous, "log_rows_to": reached, "log_rows_sha256": hash_text(rows)}


def log_rows(log: sqlite3.Connection, covered: int, last: int | None = None) -> tuple[str, int]:
    """Return the log's rows after `covered`, as text, and the number of the last one."""
    rows = log.execute("select * from pipeline_execution_log where execution_id > ? and execution_id <= ? "
                       "order by execution_id", [covered, sys.maxsize if last is None else last]).fetchall()
    return json.dumps(rows), rows[-1][0] if rows else last or covered


def read_watermarks(log: sqlite3.Connection) -> dict[str, list[str]]:
    rows = log.execute("select process_name, last_processed_timestamp, last_batch_id from pipeline_watermark "
                       "order by process_name")
    return {name: [timestamp, batch_id] for name, timestamp, batch_id in rows}


def _git() -> dict[str, Any] | None:
    """Return the commit that is checked out and whether files were changed; None without a repository."""
    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(PROJECT), *arguments], capture_output=True, text=True,
                              check=True).stdout

    try:
        return {"commit": git("rev-parse", "HEAD").strip(), "is_clean": not git("status", "--porcelain")}
    except (OSError, subprocess.CalledProcessError):
        return None


def _hash_files(paths: Iterable[Path]) -> str:
    """Return one hash of the names and contents of some files."""
    content = hashlib.sha256()
    for path in sorted(paths):
        content.update(f"{path.name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return content.hexdigest()


def _text(manifest: dict[str, Any]) -> str:
    return json.dumps(manifest, indent=1, ensure_ascii=False)


def hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
