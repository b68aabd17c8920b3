"""Verify: check a whole warehouse against its own records and against one full load of all deliveries.

It proves that the log, the manifests and the runs' folders are as they were written, that no table was
changed by hand, that no row was lost between a delivery and its tables, and that many small runs gave what
one full load gives. It does not prove that the rules are right, because the full load runs the same
notebooks. The chain of hashes does not stop anyone with write access to the warehouse from writing a whole
new chain. Only a copy of a manifest in another place shows that.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from sqlite3 import Connection

import pyarrow as pa

from lib.contract import SOURCES
from lib.errors import PipelineError, UsageError
from lib.reproduce import records
from lib.reproduce.compare import find_differences, find_other_rows
from lib.reproduce.replay import ShowLine, check_folder, restore_deliveries
from lib.runner.console import Console
from lib.runner.kernels import KernelQueue
from lib.runner.run import run
from lib.steps import LAYERS, STEPS, Options
from lib.storage import audit, manifest
from lib.storage.checksums import NO_ROWS, read_stored
from lib.storage.digest import EMPTY
from lib.storage.layer import Layer, open_layer
from lib.storage.lock import run_lock
from lib.storage.sql import quote

Table = tuple[str, str]  # layer and name
Content = tuple[int, str]  # number of rows, and their digest
DELIVERY = {"name": "source_filename", "source": "source_name", "bytes": "size_bytes",
            "sha256": "content_sha256", "is_snapshot": "is_snapshot", "system": "source_system",
            "reading": "reading", "table": "table_name"}
BECAME = ("appended", "unchanged", "duplicates", "quarantined")
IS_OPEN = {"is_open": "resolved_batch_id is null"}
QUARANTINED = ("table_name", "source_filename", "source_row", "raw_text")
# Tables of the system in which one full load leaves the same rows, and what is the same in them. (A new
# release may word a reason in another way, and raw is never rebuilt.)
BECAME_OF: dict[Table, dict[str, str | None]] = {
    ("raw", "deliveries"): dict.fromkeys(("source_filename", "content_sha256", "rows", "deleted", *BECAME)),
    ("raw", "quarantine"): dict.fromkeys(QUARANTINED) | IS_OPEN,
    ("curated", "quarantine"): dict.fromkeys((*QUARANTINED, "record_key", "rule", "raw_row_id")) | IS_OPEN}
COMMIT = ["committed_timestamp", "added", "removed", "rows_after", "is_rebuild", "digest"]


def verify(options: Options, into: Path, show: ShowLine) -> bool:
    """Check a whole warehouse and return whether it is well; `show` gets a line for each check and problem.

    The full load is made in the folder `into`. All checks read one state of the warehouse while runs may go
    on, in memory that does not grow with history. Raises LockTaken when a run is going on at the start,
    UsageError when the rows are in Spark's tables, and PipelineError when a file cannot be used or the
    archive lacks a delivery.
    """
    check_folder(into)
    with ExitStack() as stack:
        # The lock is held only until each layer has begun to read, so that all of them show the same state.
        with run_lock(options.warehouse), audit.open_audit_to_read(options.warehouse) as log:
            layers = open_layers(options.warehouse, stack)
            _check_that_rows_are_here(options.warehouse, layers)
            if unreadable := list(records.check_readable(log)):
                _show_check("log and manifests", unreadable, show)
                show("nothing else was checked, because all checks need the manifests")
                return False
            chain = [*records.check_chain(log), *records.check_known_runs(log, layers, options.reports)]
            last_state = [*_check_watermarks(log, layers), *records.check_last_state(log, layers)]
            open_runs, texts = records.read_open_runs(log), manifest.read_texts(log)
            outdated, clock = _find_outdated(log, layers), find_clock(log, layers)
        tables = {(name, table): layer.sums(table)
                  for name, layer in layers.items() for table in layer.tables()}
        contents = {table: tables[table][:2] for step in STEPS.values() for table in (
            (step.writes, output) for output in step.outputs) if table in tables}
        checks = {
            "log and manifests": chain,
            "folders of the runs": list(records.check_folders(texts, options.reports)),
            "watermarks and checksums": last_state,
            "tables against their checksums": list(_check_checksums(layers, tables)),
            "counts of deliveries": list(_check_deliveries(layers["raw"])),
            "tables against their commits": [line for table, content in contents.items()
                                             for line in _check_commits(layers, table, content)]}
        for name, problems in checks.items():
            _show_check(name, problems, show)
        for batch_id in open_runs:
            show(f"run {batch_id} has no manifest yet, because it did not end: the next run completes it. "
                 "Until then, watermarks and checksums have nothing to be compared with")
        _load_everything(options, layers, into, *clock)
        if outdated:
            show("not compared with one full load, because the next run will still update them: "
                 f"{', '.join(outdated)}")
        compared = {table: content for table, content in contents.items() if table[1] not in outdated}
        differences = list(_compare_with_full_load(layers, into / "warehouse", compared))
        differences += _compare_what_became_of_rows(layers, into / "warehouse", outdated)
        _show_check("tables against one full load", differences, show)
    return not differences and not any(checks.values())


def open_layers(warehouse: Path, stack: ExitStack) -> dict[str, Layer]:
    """Open the layers that a warehouse has, to read; each shows the state of this moment from now on."""
    layers = {}
    for name in LAYERS:
        if (warehouse / f"{name}.db").exists():
            layers[name] = stack.enter_context(open_layer(warehouse, name))
            layers[name].schema("layer_commits")  # the first query fixes the state that all later ones read
    return layers


def _check_that_rows_are_here(warehouse: Path, layers: dict[str, Layer]) -> None:
    if not layers:
        raise PipelineError(f"there is nothing to verify in {warehouse}: no run has written anything there. "
                            "Run run_pipeline.py first.")
    if any(layer.schema("table_versions") for layer in layers.values()):
        raise UsageError(f"the rows of {warehouse} are in Spark's tables, which run_pipeline.py verify "
                         "does not read. Use run_pipeline.py replay with the id of the last run: it repeats "
                         "all runs on this machine and compares every table by its digest.")


def _show_check(name: str, problems: list[str], show: ShowLine) -> None:
    show(f"{name}: {'not ok' if problems else 'ok'}")
    for line in problems:
        show(f"  {line}")


def _check_watermarks(log: Connection, layers: dict[str, Layer]) -> Iterator[str]:
    """Yield the watermarks that are not the time of a commit of the step's input."""
    for step in STEPS.values():
        mark = audit.read_watermark(log, step.name).timestamp
        layer, table, column = (("raw", "deliveries", "ingestion_timestamp") if step.reads == "source"
                                else (step.reads, "layer_commits", "committed_timestamp"))
        if mark != audit.INITIAL and not (layer in layers and layers[layer].scalar(
                f"select 1 from {table} where {column} = ? limit 1", (mark,))):
            yield f"step {step.name}: the watermark {mark} is not the time of any commit of its input"


def _find_outdated(log: Connection, layers: dict[str, Layer]) -> list[str]:
    """Return the tables that the next run will update, because a step has not read all of its input."""
    outdated: list[str] = []
    last_commit = "select max(committed_timestamp) from layer_commits where table_name = ?"
    for step in STEPS.values():
        newest = max((layers[step.reads].scalar(last_commit, (table,)) or ""
                      for table in step.inputs if step.reads in layers), default="")
        is_input_outdated = any(table in outdated for table in step.inputs)
        if is_input_outdated or newest > audit.read_watermark(log, step.name).timestamp:
            outdated += step.outputs
    return outdated


def _check_checksums(layers: dict[str, Layer], tables: dict[Table, tuple[int, str, str]]) -> Iterator[str]:
    """Yield the files that are damaged, and the tables that are not as the last transaction left them."""
    for name, layer in layers.items():
        damage = layer.scalar("pragma integrity_check")
        if damage != "ok":
            yield f"{name}.db is damaged: {damage}"
        stored = read_stored(layer)
        if not stored:  # an earlier release made the file, and the next run that writes to it adds them
            continue
        for table in sorted(stored.keys() | set(layer.tables())):
            rows, _, checksum = tables.get((name, table), (0, "", EMPTY))
            expected, expected_checksum = stored.get(table, NO_ROWS)
            if (rows, checksum) != (expected, expected_checksum):
                what = f"it has {rows} rows instead of {expected}" if rows != expected else "a value differs"
                yield f"{name}.{table} was changed by hand: {what}"


def _check_deliveries(raw: Layer) -> Iterator[str]:
    """Yield the deliveries whose rows do not add up, or are not in the tables."""
    found = {table: dict(_count_rows(raw, table)) for table in (*SOURCES, "quarantine")}
    names = ["source_filename", "source_name", "batch_id", "rows", "deleted", *BECAME]
    for delivery in raw.read("deliveries", names, "order by delivery_id").to_pylist():
        place = (delivery["source_filename"], delivery["batch_id"])
        aside = (*place, delivery["source_name"])
        name = f"{delivery['source_filename']} in run {delivery['batch_id']}"
        if delivery["rows"] != sum(delivery[what] for what in BECAME):
            parts = " + ".join(f"{delivery[what]} {what}" for what in BECAME)
            yield f"{name}: the {delivery['rows']} rows that were read are not {parts}"
        for table, of_it, expected in (
                (delivery["source_name"], place, delivery["appended"] + delivery["deleted"]),
                ("quarantine", aside, delivery["quarantined"])):
            if (rows := found.get(table, {}).pop(of_it, 0)) != expected:
                yield f"{name}: raw.{table} has {rows} of its rows instead of {expected}"
    for table, places in found.items():
        for (filename, batch_id, *_), rows in places.items():
            yield f"raw.{table} has {rows} rows of {filename} in run {batch_id}, which was not delivered"


def _count_rows(raw: Layer, table: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield the number of rows by delivery: its file, its run and, of rows set aside, its source."""
    names = ["source_filename", "batch_id", *(["source_name"] if table == "quarantine" else [])]
    schema = pa.schema([*((name, pa.string()) for name in names), ("rows", pa.int64())])
    sql = f"select {', '.join(names)}, count(*) from {quote(table)} group by {', '.join(names)}"
    for row in raw.query(sql, schema).to_pylist():
        yield tuple(row[name] for name in names), row["rows"]


def _check_commits(layers: dict[str, Layer], table: Table, content: Content) -> Iterator[str]:
    """Yield the commits of a table that do not add up, and the table if it is not as the last one left it."""
    layer, name = table
    where = "where table_name = ? order by commit_id"
    commits = layers[layer].read("layer_commits", COMMIT, where, (name,)).to_pylist()
    rows, digest = content
    nothing = {"rows_after": 0, "digest": "" if rows else digest}
    for before, commit in pairwise([nothing, *commits]):
        rows_before = 0 if commit["is_rebuild"] else before["rows_after"]
        if commit["rows_after"] != rows_before + commit["added"] - commit["removed"]:
            yield f"{layer}.{name}: the rows of the commit of {commit['committed_timestamp']} do not add up"
    last = (commits or [nothing])[-1]
    if content != (last["rows_after"], last["digest"]):
        yield (f"{layer}.{name}: its content ({rows} rows) is not that of its last commit "
               f"({last['rows_after']} rows): was it changed by hand?")


def find_clock(log: Connection, layers: dict[str, Layer]) -> tuple[str, str]:
    """Return the clock and `as_of` of the run that committed last to the last layer: gold counts by them."""
    *_, last = layers.values()
    batch_id = last.scalar("select batch_id from layer_commits order by commit_id desc limit 1")
    commits = (layer.scalar("select max(committed_timestamp) from layer_commits") or ""
               for layer in layers.values())
    now, as_of = manifest.read_clock(log, batch_id or "")
    return now or max(commits), as_of


def _load_everything(options: Options, layers: dict[str, Layer], into: Path, now: str, as_of: str) -> None:
    """Load all deliveries in one run, with the clock `now`, into a new warehouse."""
    in_raw = layers["raw"].schema("deliveries").names  # those of an earlier release lack some
    columns = {name: column for name, column in DELIVERY.items() if column in in_raw}
    delivered = layers["raw"].read("deliveries", list(columns.values()), "order by delivery_id")
    deliveries = delivered.rename_columns(list(columns)).to_pylist()
    if unknown := {delivery["source"] for delivery in deliveries} - SOURCES.keys():
        raise PipelineError(f"one full load cannot be made: {', '.join(sorted(unknown))} in raw.deliveries "
                            "is not a source")
    source = restore_deliveries(options.warehouse, deliveries, into / "deliveries")
    steps = tuple(step.name for step in STEPS.values() if step.writes in layers)
    # Each delivery has already passed the limits of its own run, so that they are off here.
    once = Options(source, into / "warehouse", into / "reports", now=now, as_of=as_of, steps=steps,
                   snapshot_limit=1.0, quarantine_limit=1.0)
    with run_lock(once.warehouse), audit.open_audit(once.warehouse) as log:
        result = run(once, log, Console(), KernelQueue(), is_replay=True)
    if result.error:
        raise PipelineError(f"one full load of all deliveries fails: {result.error}")


def _compare_with_full_load(layers: dict[str, Layer], loaded: Path,
                            contents: dict[Table, Content]) -> Iterator[str]:
    """Yield the first rows of each table that differ from those of the full load."""
    for (layer, name), content in contents.items():
        with open_layer(loaded, layer) as rebuilt:
            if rebuilt.sums(name)[:2] != content:
                yield from (f"{layer}: {line}" for line in find_differences(layers[layer], rebuilt, name))


def _compare_what_became_of_rows(layers: dict[str, Layer], loaded: Path,
                                 outdated: list[str]) -> Iterator[str]:
    """Yield deliveries that were counted, and rows that were set aside, otherwise than by the full load."""
    for (name, table), columns in BECAME_OF.items():
        if name in layers and not (outdated and name == "curated"):
            with open_layer(loaded, name) as rebuilt:
                for line in find_other_rows(layers[name], rebuilt, table, columns):
                    yield f"{name}.{table}: {line}"
