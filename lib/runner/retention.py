"""Delete the folders of old runs from the reports (`--keep-runs`). The audit log keeps every run."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

DELETED = ".deleted-"  # prefix of a folder that is being deleted: no page lists hidden folders


def prune_runs(reports: Path, keep: int, current: str) -> list[str]:
    """Delete the folders of all runs except the newest `keep`, and return their names.

    The newest runs are those that were started last, by this machine's clock. Names do not tell: they follow
    `--now`, and runs of several warehouses may share a folder. The run `current`, which is being reported, is
    always one of those that stay, and so is a folder without the record of a run: it belongs to a run that is
    still going on, or is not a run's. A folder is renamed before it is emptied, so that nobody sees half of
    one. The remains of a deletion that was killed are deleted, too.
    """
    runs = reports / "runs"
    started = {folder: when for folder in sorted(runs.iterdir())
               if not folder.name.startswith(".") and folder.name != current and (when := _started(folder))}
    old = sorted(started, key=started.__getitem__, reverse=True)[keep - 1:]
    for folder in old:
        shutil.rmtree(folder.rename(runs / f"{DELETED}{folder.name}"))
    for folder in runs.glob(f"{DELETED}*"):
        shutil.rmtree(folder)
    return [folder.name for folder in old]


def _started(folder: Path) -> str:
    """Return when the run of a folder was started; "" if the folder has no record of a run."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return str(record["started"]) if record["batch_id"] == folder.name else ""
    return ""
