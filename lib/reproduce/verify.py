"""Is everything still as it must be? The log's chain, the watermarks, the counts, and gold against one full load."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from sqlite3 import Connection

from lib.contract import SOURCES
from lib.errors import PipelineError, UsageError
from lib.reproduce.compare import differences, take_digest
from lib.reproduce.replay import Say, check_folder, lay_out
from lib.runner.console import Console
from lib.runner.kernels import KernelQueue
from lib.runner.run import run
from lib.steps import STEPS, Options
from lib.storage import audit, manifest
from lib.storage.layer import Layer, open_layer
from lib.storage.lock import run_lock
from lib.storage.sql import quote

DELIVERY = {"name": "source_filename", "source": "source_name", "bytes": "size_bytes", "sha256": "content_sha256",
            "is_snapshot": "is_snapshot"}
BECAME = ("appended", "unchanged", "duplicates", "quarantined")


def verify(options: Options, into: Path, say: Say) -> bool:
    """Check a whole warehouse, and return whether all is well; `say` is told what was checked and what is wrong, a line each.

    - the log and the manifests are as they were written: the chain of hashes holds;
    - every watermark is a commit of the step's input;
    - no row was lost: the counts of every delivery and every commit add up to what is in the tables;
    - every table holds what its last commit says, and what one full load of all deliveries gives, which reconciles gold with
      curated and is made in the folder `into`, from the archive.

    It reads one state while runs may go on, in memory that does not grow with history. Raises LockTaken when a run is going on
    at the start, UsageError when the rows are Spark's, and PipelineError when a file cannot be used or the archive lacks a delivery.
    """
    check_folder(into)
    with ExitStack() as stack:
        with run_lock(options.warehouse), audit.open_audit_to_read(options.warehouse) as log:
            layers = {}
            for name in dict.fromkeys(step.writes for step in STEPS.values()):
                if (options.warehouse / f"{name}.db").exists():
                    layers[name] = stack.enter_context(open_layer(options.warehouse, name))
                    layers[name].schema("layer_commits")  # the first question begins the state that is read from here on
            found = [("log and manifests", manifest.check_chain(log, options.reports)),
                     ("watermarks", list(_check_watermarks(log, layers)))]
            behind = _find_behind(log, layers)
        if not layers:
            raise PipelineError(f"there is nothing to verify in {options.warehouse}. Run run_pipeline.py first.")
        if any(layer.schema("table_versions") for layer in layers.values()):
            raise UsageError(f"the rows of {options.warehouse} are in Spark's tables, which verify does not read. A replay with the "
                           "id of the last run makes everything again on this machine, and compares every table by its digest.")
        tables = [(step.writes, table) for step in STEPS.values() if step.writes in layers for table in step.outputs
                  if layers[step.writes].schema(table)]
        content = {(layer, table): take_digest(layers[layer], table) for layer, table in tables}
        found += [("counts of deliveries", list(_check_deliveries(layers["raw"]))),
                  ("tables against their commits",
                   [line for place in tables for line in _check_commits(layers, place, content[place])])]
        for what, trouble in found:
            _report(what, trouble, say)
        _load(options, layers, into)
        different = []
        if behind:
            say(f"not compared with one full load, since the next run has something to do for them: {', '.join(behind)}")
        for layer, table in [place for place in tables if place[1] not in behind]:
            with open_layer(into / "warehouse", layer) as loaded:
                if take_digest(loaded, table) != content[layer, table]:
                    different += [f"{layer}: {line}" for line in differences(layers[layer], loaded, table)]
        _report("tables against one full load", different, say)
    return not different and not any(trouble for _, trouble in found)


def _report(what: str, trouble: Iterable[str], say: Say) -> None:
    say(f"{what}: {'not as they must be' if trouble else 'as they must be'}")
    for line in trouble:
        say(f"  {line}")


def _check_watermarks(log: Connection, layers: dict[str, Layer]) -> Iterator[str]:
    """Yield the watermarks that are no commit of the step's input."""
    for step in STEPS.values():
        mark = audit.read_watermark(log, step.name).timestamp
        layer, table, column = (("raw", "deliveries", "ingestion_timestamp") if step.reads == "source"
                                else (step.reads, "layer_commits", "committed_timestamp"))
        if mark != audit.INITIAL and not (layer in layers and layers[layer].scalar(
                f"select 1 from {table} where {column} = ? limit 1", (mark,))):
            yield f"step {step.name}: {mark} is no commit of its input"


def _find_behind(log: Connection, layers: dict[str, Layer]) -> list[str]:
    """Return the tables whose step has not read all of its input, or has one of these as its input."""
    behind: list[str] = []
    for step in STEPS.values():
        newest = [layers[step.reads].scalar("select max(committed_timestamp) from layer_commits where table_name = ?", (table,)) or ""
                  for table in step.inputs if step.reads in layers]
        if any(table in behind for table in step.inputs) or max(newest, default="") > audit.read_watermark(log, step.name).timestamp:
            behind += step.outputs
    return behind


def _check_deliveries(raw: Layer) -> Iterator[str]:
    """Yield the deliveries whose rows do not add up, and the sources that have more or fewer rows than were appended."""
    appended = dict.fromkeys(SOURCES, 0)
    names = ["source_filename", "source_name", "batch_id", "rows", "deleted", *BECAME]
    for delivery in raw.read("deliveries", names, "order by delivery_id").to_pylist():
        appended[delivery["source_name"]] += delivery["appended"] + delivery["deleted"]
        name = f"{delivery['source_filename']} in run {delivery['batch_id']}"
        if delivery["rows"] != sum(delivery[what] for what in BECAME):
            yield f"{name}: {delivery['rows']} rows were read, but {', '.join(f'{delivery[what]} {what}' for what in BECAME)}"
        aside = raw.scalar("select count(*) from quarantine where source_filename = ? and batch_id = ?",
                           (delivery["source_filename"], delivery["batch_id"]))
        if aside != delivery["quarantined"]:
            yield f"{name}: {delivery['quarantined']} rows were quarantined, {aside} are there"
    for source, rows in appended.items():
        there = raw.scalar(f"select count(*) from {quote(source)}")
        if there != rows:
            yield f"raw.{source}: {rows} rows were appended, {there} are there"


def _check_commits(layers: dict[str, Layer], place: tuple[str, str], content: tuple[int, str]) -> Iterator[str]:
    """Yield where a table's commits do not add up, and where it is not what the last one says."""
    layer, table = place
    commits = layers[layer].read("layer_commits", ["committed_timestamp", "added", "removed", "rows_after", "is_rebuild", "digest"],
                                 "where table_name = ? order by commit_id", (table,)).to_pylist()
    nothing = {"rows_after": 0, "digest": content[1] if not content[0] else ""}
    for before, commit in pairwise([nothing, *commits]):
        if commit["rows_after"] != (0 if commit["is_rebuild"] else before["rows_after"]) + commit["added"] - commit["removed"]:
            yield f"{layer}.{table}: the rows of the commit of {commit['committed_timestamp']} do not add up"
    last = (commits or [nothing])[-1]
    if content != (last["rows_after"], last["digest"]):
        yield f"{layer}.{table}: its {content[0]} rows are not the {last['rows_after']} that its last commit left: changed by hand?"


def _load(options: Options, layers: dict[str, Layer], into: Path) -> None:
    """Load everything that was ever delivered at once, at the time of the last commit, in a warehouse of its own."""
    delivered = layers["raw"].read("deliveries", list(DELIVERY.values()), "order by delivery_id").rename_columns(list(DELIVERY))
    source = lay_out(options.warehouse, delivered.to_pylist(), into / "deliveries")
    now = max(layer.scalar("select max(committed_timestamp) from layer_commits") or "" for layer in layers.values())
    once = Options(source, into / "warehouse", into / "reports", now=now, snapshot_limit=1.0, quarantine_limit=1.0,
                   steps=tuple(step.name for step in STEPS.values() if step.writes in layers))
    with run_lock(once.warehouse), audit.open_audit(once.warehouse) as log:
        result = run(once, log, Console(), KernelQueue(), is_replay=True)
    if result.error:
        raise PipelineError(f"one full load of everything that was delivered fails: {result.error}")
