"""Which run folders stay in the reports. What the audit log says of a run stays in any case."""

import shutil
from pathlib import Path

GOING = ".deleted-"  # in front of the name of a folder that is being deleted: no page lists it


def prune_runs(reports: Path, keep: int) -> list[str]:
    """Delete all run folders but the newest `keep`, and return the names of those that went.

    A folder is renamed before it is emptied, so that none is ever seen in part; what a killed run left of one goes, too.
    """
    runs = reports / "runs"
    folders = sorted(folder for folder in runs.iterdir() if folder.is_dir())
    listed = [folder for folder in folders if not folder.name.startswith(".")]
    going = listed[:max(0, len(listed) - keep)]
    for folder in going:
        shutil.rmtree(folder.rename(runs / f"{GOING}{folder.name}"))
    for folder in folders:
        if folder.name.startswith(GOING):
            shutil.rmtree(folder)
    return [folder.name for folder in going]
