"""Make past runs again, from the archive and the manifests, in a folder of their own."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lib.errors import PipelineError, UsageError, closest
from lib.ingest import archive
from lib.ingest.deliveries import LISTED, Delivery
from lib.reproduce.compare import differences
from lib.runner.console import Console
from lib.runner.kernels import KernelQueue
from lib.runner.run import run
from lib.steps import Options
from lib.storage import audit, manifest
from lib.storage.layer import open_layer
from lib.storage.lock import run_lock

Say = Callable[[str], None]


def check_folder(into: Path) -> None:
    """Raise UsageError when the folder for what is made again has something in it."""
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise UsageError(f"{into} is not empty. Name a new folder with --into.")


def replay(options: Options, batch_id: str, into: Path, say: Say) -> bool:
    """Make the warehouse as a run left it in the folder `into`, and return whether every table is the same.

    Every run up to that one that wrote something is made again, in order: the same deliveries, from the archive, at the same
    time, with the same parameters, by the code as it is now. `say` is told, a line each, of the runs, the first that came out
    otherwise, the first rows that differ and what else has changed since. Raises UsageError for a run that is not known, and
    PipelineError for one that cannot be made again.
    """
    check_folder(into)
    with audit.open_audit_to_read(options.warehouse) as log:
        manifests = manifest.read_manifests(log)
    known = [one["batch_id"] for one in manifests]
    if batch_id not in known:
        raise UsageError(f"there is no run {batch_id}{closest(batch_id, known)} with a manifest in {options.warehouse}/audit.db")
    writing = [one for one in manifests[:known.index(batch_id) + 1] if any(step["has_run"] for step in one["steps"].values())]
    is_same = True
    for number, one in enumerate(writing, start=1):
        made = _make_again(options.warehouse, one, into)
        differing = [f"{layer}.{table}" for layer, tables in one["digests"].items() for table, digest in tables.items()
                     if made["digests"].get(layer, {}).get(table) != digest]
        if differing and is_same:
            is_same = False
            say(f"run {one['batch_id']} comes out otherwise: {', '.join(differing)}")
            for line in _explain(options.warehouse, into / "warehouse", one, differing):
                say(f"  {line}")
        say(f"{number}/{len(writing)} run {one['batch_id']}: {len(one['deliveries'])} deliveries, "
            f"{', '.join(name for name, step in one['steps'].items() if step['has_run'])}")
    if is_same:
        for line in _changes(manifests[known.index(batch_id)]):
            say(line)
    tables = sum(map(len, manifests[known.index(batch_id)]["digests"].values()))
    say(f"all {tables} tables are as run {batch_id} left them" if is_same else "the tables are not as they were")
    return is_same


def lay_out(warehouse: Path, delivered: list[dict[str, Any]], folder: Path) -> Path:
    """Take deliveries (name, source, bytes, sha256, is_snapshot) out of the archive and return a list of them that `--source` may
    name, in this order."""
    listed = []
    for number, delivery in enumerate(delivered):
        file = f"{number:05d}/{delivery['name']}"
        archive.take_out(warehouse, delivery["sha256"], folder / file)
        listed.append(asdict(Delivery(delivery["name"], "new", delivery["source"], delivery["bytes"], delivery["sha256"],
                                      is_snapshot=bool(delivery["is_snapshot"]), file=file)))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LISTED).write_text(json.dumps(listed), encoding="utf-8")
    return folder / LISTED


def _make_again(warehouse: Path, one: dict[str, Any], into: Path) -> dict[str, Any]:
    """Make one run again, behind those before it, and return its new manifest."""
    source = lay_out(warehouse, one["deliveries"], into / "deliveries" / one["batch_id"])
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in one["parameters"].items()}
    given["steps"] = tuple(name for name, step in one["steps"].items() if step["has_run"])
    options = Options(source, into / "warehouse", into / "reports", **given | {"full_refresh": False}, now=one["now"])
    full = frozenset(name for name, step in one["steps"].items() if step["is_full"])
    with run_lock(options.warehouse), audit.open_audit(options.warehouse) as log:
        result = run(options, log, Console(), KernelQueue(), full=full, is_replay=True)
        if result.error:
            raise PipelineError(f"run {one['batch_id']} fails when it is made again: {result.error}\n"
                                + "\n".join(f"  {line}" for line in _changes(one)))
        audit.set_watermarks(log, one["watermarks_after"])
        return manifest.read_manifests(log)[-1]


def _explain(warehouse: Path, remade: Path, one: dict[str, Any], differing: list[str]) -> list[str]:
    """Return the first rows of each table that differ, as far as the warehouse still has them, and what may be the cause."""
    lines = []
    for table in differing:
        layer, _, name = table.partition(".")
        with open_layer(warehouse, layer) as here, open_layer(remade, layer) as there:
            lines += differences(here, there, name, one["batch_id"]) or [f"{name}: the rows that differ were replaced since"]
    return lines + (_changes(one) or ["nothing that decides has changed since: was a database changed by hand?"])


def _changes(one: dict[str, Any]) -> list[str]:
    """Return what decides what a run makes and is not as it was in that run, as the likely cause."""
    now = manifest.describe_code()
    names = [f"{kind[:-1] if kind != 'versions' else 'version of'} {name}{f' ({old} then, {new} now)' if kind == 'versions' else ''}"
             for kind in ("notebooks", "suites", "versions") for name in sorted(one[kind].keys() | now[kind].keys())
             for old, new in [(one[kind].get(name), now[kind].get(name))] if old != new]
    names += [what for what in ("contract", "lib", "lock") if one[what] != now[what]]
    if names and one["git"]:
        names.append(f"git's commit {one['git']['commit']} is what ran" + ("" if one["git"]["is_clean"] else ", with changes"))
    return [f"changed since: {', '.join(names)}"] if names else []
