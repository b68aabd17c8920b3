"""Check the records that runs leave: the chain of manifests, and everything that the manifests cover.

A manifest covers the rows of the log since the manifest before, the files of the run's folder, and the
watermarks and checksums that the run left. Those of the last manifest must be those of now. If a run was
killed, its manifest is still to be completed: then watermarks and checksums may be newer than the last one.
"""

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from lib.storage import audit, manifest
from lib.storage.checksums import read_stored
from lib.storage.layer import Layer

TEXTS = """
select manifest_id, batch_id, begun, manifest, manifest_sha256 from pipeline_manifest order by manifest_id"""
TRIGGERS = "select name, sql from sqlite_schema where type = 'trigger' order by name"
BATCHES = {"raw": ("layer_commits", "deliveries"), "curated": ("layer_commits",),
           "gold": ("layer_commits", "balances")}


def read_open_runs(log: sqlite3.Connection) -> list[str]:
    """Return the runs whose manifest the next run will complete: they were killed, or run by hand."""
    return [batch_id for (batch_id,) in log.execute(
        "select batch_id from pipeline_manifest where manifest is null order by manifest_id")]


def check_readable(log: sqlite3.Connection) -> Iterator[str]:
    """Yield the manifests that are no JSON any more."""
    for batch_id, text in manifest.read_texts(log).items():
        try:
            json.loads(text)
        except ValueError:
            yield f"run {batch_id}: its manifest in audit.db was changed, and cannot be read"


def check_chain(log: sqlite3.Connection) -> Iterator[str]:
    """Yield what was changed in the manifests or the log after it was written, a line each."""
    previous, covered = "", 0
    for number, (manifest_id, batch_id, begun, text, sha256) in enumerate(log.execute(TEXTS), start=1):
        if manifest_id != number:
            yield f"run {batch_id}: its manifest has the number {manifest_id} instead of {number}"
        if text is None:
            continue
        if manifest.hash_text(text) != sha256 or begun is not None:
            yield f"run {batch_id}: its manifest in audit.db was changed"
        of_run = json.loads(text)
        if of_run["batch_id"] != batch_id:
            yield f"run {batch_id}: its manifest is that of run {of_run['batch_id']}"
        if of_run["previous_manifest_sha256"] != previous:
            yield f"run {batch_id}: the manifest before it was changed or removed"
        rows, last = manifest.log_rows(log, covered, of_run["log_rows_to"])
        if manifest.hash_text(rows) != of_run["log_rows_sha256"]:
            yield (f"run {batch_id}: its rows in pipeline_execution_log "
                   f"(execution_id {covered + 1} to {last}) were changed")
        previous, covered = sha256, of_run["log_rows_to"]
    yield from _check_log_after(log, covered)
    yield from _check_triggers(log)
    damage, *_ = log.execute("pragma integrity_check").fetchone()
    if damage != "ok":
        yield f"audit.db is damaged: {damage}"


def _check_log_after(log: sqlite3.Connection, covered: int) -> Iterator[str]:
    """Yield rows of the log that no manifest covers, unless their run has not ended."""
    going_on = read_open_runs(log)
    rows, _ = manifest.log_rows(log, covered, sys.maxsize)
    for execution_id, batch_id, step, *_ in json.loads(rows):
        if batch_id not in going_on:
            yield (f"pipeline_execution_log, execution_id {execution_id} ({step} of run {batch_id}): no "
                   "manifest covers this row: it was added by hand, or its manifest was removed")


def _check_triggers(log: sqlite3.Connection) -> Iterator[str]:
    """Yield the triggers of audit.db that were changed; they make the log and the manifests append-only."""
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(audit.SCHEMA)
        expected, found = ({name: sql.split() for name, sql in database.execute(TRIGGERS)}
                           for database in (fresh, log))
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            yield f"audit.db: trigger {name} was changed, added or removed"


def check_last_state(log: sqlite3.Connection, layers: dict[str, Layer]) -> Iterator[str]:
    """Yield where watermarks and checksums are not those that the last run left."""
    manifests = manifest.read_manifests(log)
    if not manifests or read_open_runs(log):
        return
    last = manifests[-1]
    now = manifest.read_watermarks(log)
    for step in sorted(now.keys() | last["watermarks_after"].keys()):
        if now.get(step) != last["watermarks_after"].get(step):
            yield (f"pipeline_watermark, step {step}: it is {now.get(step)}, and run {last['batch_id']} left "
                   f"{last['watermarks_after'].get(step)}")
    for name, checksums in last.get("checksums", {}).items():  # an earlier release left none
        stored = read_stored(layers[name]) if name in layers else {}
        for table in sorted(stored.keys() | checksums.keys()):
            if list(stored.get(table, ())) != checksums.get(table, []):
                yield f"{name}.{table}: its checksum is not the one that run {last['batch_id']} left"


def check_known_runs(log: sqlite3.Connection, layers: dict[str, Layer], reports: Path) -> Iterator[str]:
    """Yield runs that have left rows or a folder, and whose manifest is not in audit.db."""
    known = [batch_id for (batch_id,) in log.execute("select batch_id from pipeline_manifest")]
    for name, layer in layers.items():
        for table in BATCHES[name]:
            for batch_id in _batches(layer, table):
                if batch_id not in known:
                    yield f"{name}.{table}: run {batch_id} wrote to it, and its manifest is not in audit.db"
    last = log.execute("select manifest_sha256 from pipeline_manifest where manifest is not null "
                       "order by manifest_id desc limit 1").fetchone()
    for path in sorted(reports.glob(f"runs/*/{manifest.FILE}")):
        if last and path.parent.name not in known and _follows(path, last[0]):
            yield f"run {path.parent.name}: its manifest is in its folder, and not in audit.db"


def _batches(layer: Layer, table: str) -> list[str]:
    if layer.schema(table) is None:
        return []
    return layer.read(table, ["batch_id"], "group by batch_id")["batch_id"].to_pylist()


def _follows(path: Path, sha256: str) -> bool:
    """Return whether a manifest's file is the next one of the chain; reports may belong to several chains."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))["previous_manifest_sha256"] == sha256
    except (OSError, ValueError, KeyError, TypeError):
        return False


def check_folders(texts: dict[str, str], reports: Path) -> Iterator[str]:
    """Yield what was changed in the folders of runs; folders that `--keep-runs` has deleted are left out."""
    for batch_id, text in texts.items():
        folder = reports / "runs" / batch_id
        # If the last run died before it could write its manifest, the next run does.
        is_unwritten = batch_id == list(texts)[-1] and manifest.is_unwritten(folder)
        try:
            lines = list(_check_folder(folder, text, is_unwritten)) if folder.exists() else []
        except FileNotFoundError:  # a run that has begun meanwhile is deleting the folder
            continue
        yield from (f"run {batch_id}: {line}" for line in lines)


def _check_folder(folder: Path, text: str, is_unwritten: bool) -> Iterator[str]:
    path, of_run = folder / manifest.FILE, json.loads(text)
    if not is_unwritten and not (path.is_file() and path.read_bytes() == text.encode()):
        yield f"{manifest.FILE} in its folder is not the one in audit.db"
    found = manifest.hash_run(folder)
    expected = of_run["files"] if "files" in of_run else of_run["executed"]  # of an earlier release
    for name in sorted(expected.keys() | (found.keys() if "files" in of_run else ())):
        if found.get(name) != expected.get(name):
            yield f"{name} was changed, added or removed"
