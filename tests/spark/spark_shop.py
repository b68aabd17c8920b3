"""A shop whose pipeline runs on a cluster."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from conftest import PROJECT, Shop

LAYERS = ("raw", "curated", "gold")
SECONDS = 900  # that a run may take
RECORDED = r"""
select table_name, rows_after, digest from layer_commits
where table_name not like '%\_replaced' escape '\'
    and commit_id in (select max(commit_id) from layer_commits group by table_name)"""


@dataclass(frozen=True)
class SparkShop(Shop):
    """A shop with its tables in `folder`/tables; `warehouse` is the folder of --audit."""

    master: str = ""

    @property
    def tables(self) -> str:
        return (self.folder / "tables").as_uri()

    def command(self, *words: str) -> list[str]:
        """Return the command of a run with these options, or of `import`, on the shop's folders."""
        of_a_run = [] if words[:1] == ("import",) else [
            "--source", str(self.source), "--engine", "spark", "--reports", str(self.reports)]
        return [sys.executable, str(PROJECT / "run_pipeline.py"), *words, *of_a_run, "--master", self.master,
                "--warehouse", self.tables, "--audit", str(self.warehouse)]

    def run(self, *options: str, expect: int = 0, **how) -> subprocess.CompletedProcess:
        """Run the pipeline as its user would; fail the test when it exits otherwise than expected."""
        done = subprocess.run(self.command(*options), capture_output=True, text=True, timeout=SECONDS, **how)
        assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


def new_spark_shop(folder: Path, master: str) -> SparkShop:
    """Return a shop with the sample in its source folder and nothing else."""
    shutil.copytree(PROJECT / "data" / "source", folder / "source")
    return SparkShop(folder, master)


def digests(shop: Shop) -> dict[str, tuple[int, str]]:
    """Return the last recorded number of rows and digest of each table that was ever written."""
    found = {}
    for layer in LAYERS:
        if (shop.warehouse / f"{layer}.db").exists():
            with closing(sqlite3.connect(shop.warehouse / f"{layer}.db")) as connection:
                for table, rows, digest in connection.execute(RECORDED):
                    found[f"{layer}.{table}"] = rows, digest
    return found
