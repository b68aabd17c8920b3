"""Delete the folders of old runs from the reports (`--keep-runs`). The audit log keeps every run."""

import shutil
from pathlib import Path

DELETED = ".deleted-"  # prefix of a folder that is being deleted: no page lists hidden folders


def prune_runs(reports: Path, keep: int) -> list[str]:
    """Delete all run folders except the newest `keep`, and return their names.

    A folder is renamed before it is emptied, so that nobody sees half of one. The remains of a deletion that
    was killed are deleted, too.
    """
    runs = reports / "runs"
    folders = sorted(folder for folder in runs.iterdir() if folder.is_dir())
    listed = [folder for folder in folders if not folder.name.startswith(".")]
    old = listed[:max(0, len(listed) - keep)]
    for folder in old:
        shutil.rmtree(folder.rename(runs / f"{DELETED}{folder.name}"))
    for folder in folders:
        if folder.name.startswith(DELETED):
            shutil.rmtree(folder)
    return [folder.name for folder in old]
