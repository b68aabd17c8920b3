"""Make a small warehouse by several runs and keep it as SQL, so that later code can be tried on it.

    python tests/warehouses/make.py 0.2.0 [PROJECT]

Run it for each release, with the release's own code: that of this checkout, or of another one at PROJECT. It
writes tests/warehouses/0.2.0; tests/reproduce/test_older_warehouse.py goes on with every such folder.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).resolve().parent
DELIVERIES = HERE / "deliveries"  # a folder for each run that got some, in their order
LAYERS = ("raw", "curated", "gold", "audit")
RUNS = {  # when each ran, and how
    "2025-12-31 06:00:00": ("1_first",),
    "2026-01-01 06:00:00": ("2_changes",),
    "2026-01-02 06:00:00": ("3_snapshot", "--snapshot", "customers"),
    "2026-01-03 06:00:00": (None, "--full-refresh"),
    "2026-01-04 06:00:00": ("4_last",),
}


def deliver(folder: str, source: Path) -> None:
    """Copy a run's deliveries into the source folder, as files that have not changed for long."""
    shutil.copytree(DELIVERIES / folder, source, dirs_exist_ok=True, copy_function=shutil.copyfile)
    for path in source.iterdir():
        os.utime(path, (1e9, 1e9))


def make(version: str, project: Path) -> None:
    """Do all runs with the project's code and write each database as SQL."""
    with tempfile.TemporaryDirectory() as folder:
        source, warehouse = Path(folder, "source"), Path(folder, "warehouse")
        for now, (delivered, *options) in RUNS.items():
            if delivered:
                deliver(delivered, source)
            subprocess.run([sys.executable, project / "run_pipeline.py", "--source", source,
                            "--warehouse", warehouse, "--reports", Path(folder, "reports"),
                            "--now", now, *options], check=True)
        (HERE / version).mkdir(exist_ok=True)
        for layer in LAYERS:
            with closing(sqlite3.connect(warehouse / f"{layer}.db")) as connection:
                dump = "".join(f"{statement}\n" for statement in connection.iterdump())
            (HERE / version / f"{layer}.sql").write_text(dump, encoding="utf-8", newline="")


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else HERE.parent.parent)
