"""Replay: repeat past runs in a new folder, from the archive and the manifests, and compare what they write.

It proves that the archived deliveries and the code as it is now, with the recorded times and parameters, give
the tables whose digests the manifests recorded. It does not prove that these tables were right, because a
mistake in the code is repeated. It does not prove that nobody has changed the warehouse since then: `verify`
checks that. Reports are not repeated.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lib.errors import PipelineError, UsageError, closest
from lib.ingest import archive
from lib.ingest.deliveries import Delivery, write_list
from lib.reproduce.compare import find_differences
from lib.runner.console import Console
from lib.runner.kernels import KernelQueue
from lib.runner.run import run
from lib.step.fingerprint import changed_parts
from lib.steps import Options
from lib.storage import audit, manifest
from lib.storage.layer import open_layer
from lib.storage.lock import run_lock
from lib.systems import DEFAULT

Manifest = dict[str, Any]
ShowLine = Callable[[str], None]


def check_folder(into: Path) -> None:
    """Raise UsageError when the folder to work in is not empty."""
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise UsageError(f"{into} is not empty. Name a new folder with --into.")


def replay(options: Options, batch_id: str, into: Path, show: ShowLine) -> bool:
    """Repeat every run up to `batch_id` that wrote something, and return whether all its tables are the same.

    The folder `into` gets the warehouse as that run left it. `show` gets a line for each run and, for the
    first run that differs, its tables, the first rows that differ, and what has changed since. Raises
    UsageError for an unknown run or a folder that is not empty, and PipelineError for a run that cannot be
    repeated.
    """
    check_folder(into)
    manifests = _read_manifests_until(options.warehouse, batch_id)
    originals = [original for original in manifests if _steps_that_ran(original)]
    is_same = True
    for number, original in enumerate(originals, start=1):
        repeated = _repeat_run(options.warehouse, original, into)
        differing = _find_differing_tables(original, repeated)
        if differing and is_same:  # what follows from the first difference would only hide it
            is_same = False
            show(f"run {original['batch_id']} differs: {', '.join(differing)}")
            for line in _explain(options.warehouse, into / "warehouse", original, differing):
                show(f"  {line}")
        show(f"{number}/{len(originals)} run {original['batch_id']}: "
             f"{len(original['deliveries'])} deliveries, {', '.join(_steps_that_ran(original))}")
    last = manifests[-1]
    if is_same:
        for line in _list_changes_since(last):
            show(line)
    tables = sum(map(len, last["digests"].values()))
    show(f"all {tables} tables are as run {batch_id} left them" if is_same else
         f"some tables differ from those that run {batch_id} left")
    return is_same


def restore_deliveries(warehouse: Path, deliveries: list[dict[str, Any]], folder: Path) -> Path:
    """Take deliveries out of the archive into a folder; return the list of them, which `--source` may name.

    Each has its name, source, bytes, sha256 and is_snapshot; those of a declared system also its name, and
    the table in the file. The run reads them in this order.
    """
    listed = []
    for number, delivery in enumerate(deliveries):
        file = f"{number:05d}/{delivery['name']}"  # several deliveries may have the same name
        archive.take_out(warehouse, delivery["sha256"], folder / file)
        listed.append(Delivery(
            delivery["name"], "new", delivery["source"], delivery["bytes"], delivery["sha256"],
            is_snapshot=bool(delivery["is_snapshot"]), file=file, system=delivery.get("system") or DEFAULT,
            reading=delivery.get("reading") or "", table=delivery.get("table") or ""))
    return write_list(folder, listed)


def _read_manifests_until(warehouse: Path, batch_id: str) -> list[Manifest]:
    """Return the manifests of all runs up to one, oldest first. Raises UsageError for an unknown run."""
    with audit.open_audit_to_read(warehouse) as log:
        manifests = manifest.read_manifests(log)
    known = [one["batch_id"] for one in manifests]
    if batch_id not in known:
        raise UsageError(f"there is no run {batch_id}{closest(batch_id, known)} with a manifest in "
                         f"{warehouse}/audit.db")
    return manifests[:known.index(batch_id) + 1]


def _steps_that_ran(original: Manifest) -> list[str]:
    return [name for name, step in original["steps"].items() if step["has_run"]]


def _repeat_run(warehouse: Path, original: Manifest, into: Path) -> Manifest:
    """Repeat one run, after those before it, and return its new manifest."""
    source = restore_deliveries(warehouse, original["deliveries"], into / "deliveries" / original["batch_id"])
    parameters = {name: tuple(value) if isinstance(value, list) else value
                  for name, value in original["parameters"].items()}
    parameters |= {"steps": tuple(_steps_that_ran(original)), "full_refresh": False}
    options = Options(source, into / "warehouse", into / "reports", **parameters, now=original["now"])
    full = frozenset(name for name, step in original["steps"].items() if step["is_full"])
    with run_lock(options.warehouse), audit.open_audit(options.warehouse) as log:
        result = run(options, log, Console(), KernelQueue(), full=full, is_replay=True,
                     batch_id=original["batch_id"])
        if result.error:
            problem = f"run {original['batch_id']} fails in the replay: {result.error}"
            raise PipelineError("\n  ".join([problem, *_list_changes_since(original)]))
        # A run that was killed between its rows and its watermark leaves the one without the other.
        audit.set_watermarks(log, original["watermarks_after"])
        return manifest.read_manifests(log)[-1]


def _find_differing_tables(original: Manifest, repeated: Manifest) -> list[str]:
    return [f"{layer}.{table}"
            for layer, tables in original["digests"].items() for table, digest in tables.items()
            if repeated["digests"].get(layer, {}).get(table) != digest]


def _explain(warehouse: Path, rebuilt: Path, original: Manifest, differing: list[str]) -> list[str]:
    """Return the first differing rows that the warehouse still has, and what may have changed them."""
    lines = []
    for layer, _, table in (name.partition(".") for name in differing):
        with open_layer(warehouse, layer) as here, open_layer(rebuilt, layer) as there:
            lines += find_differences(here, there, table, original["batch_id"]) or [
                f"{table}: later runs have replaced the rows that differ"]
    return lines + (_list_changes_since(original) or [
        "code, suites, contract and packages are those of that run: was a database changed by hand?"])


def _list_changes_since(original: Manifest) -> list[str]:
    """Return one line that names what has changed since a run and could change its result, or no line."""
    now = manifest.describe_code()
    changes = [f"{kind[:-1]} {name}" for kind in ("notebooks", "suites")
               for name in changed_parts(original[kind], now[kind])]
    then, installed = original["versions"], now["versions"]
    changes += [f"version of {name} ({then.get(name)} then, {installed.get(name)} now)"
                for name in changed_parts(then, installed)]
    changes += [part for part in ("contract", "lib", "lock") if original[part] != now[part]]
    if changes and original["git"]:
        edited = "" if original["git"]["is_clean"] else " with uncommitted changes"
        changes.append(f"that run used git commit {original['git']['commit']}{edited}")
    return [f"changed since: {', '.join(changes)}"] if changes else []
