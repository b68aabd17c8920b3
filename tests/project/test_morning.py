"""`make run` takes the sample as of the morning after its last day, and everything else as of now."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from commands import copy_with_environment
from conftest import ORDERS, PROJECT
from documents import README, blocks

sys.path.insert(0, str(PROJECT / "data"))

from generate import generate
from morning import morning_after


@pytest.fixture
def project(tmp_path):
    """A copy of the project with an environment of its own, which has the packages of this one."""
    folder = tmp_path / "project"
    copy_with_environment(PROJECT, folder)
    (folder / ".venv" / ".requirements").touch()
    return folder


def make_run(project):
    """Run `make run`; return what it printed on stderr, and the customers by day, risk and tier."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(["make", "run"], cwd=project, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    with closing(sqlite3.connect(project / "data" / "warehouse" / "gold.db")) as gold:
        return done.stderr, gold.execute(
            "select distinct as_of_date, churn_risk, value_tier from reporting_customer_stats").fetchall()


@pytest.mark.whole_run
def test_make_run_takes_the_sample_as_of_the_morning_after_and_says_so_and_all_else_as_of_now(project):
    said, found = make_run(project)
    days, risks, tiers = map(set, zip(*found, strict=True))
    assert (days, risks) == ({"2025-12-31"}, {"LOW", "MEDIUM"})
    assert tiers == {"BRONZE", "SILVER", "GOLD", "PLATINUM"}
    for transcript in blocks(README, "text")[:2]:
        assert transcript.startswith(f"$ make run\n{said}")
    path = project / "data" / "source" / "orders_2.csv"
    path.write_text(f"{ORDERS}\nN1,00001,2026-01-05,web,1.00,placed\n")
    os.utime(path, (1e9, 1e9))  # a run would wait until a young one has settled
    said, found = make_run(project)
    assert said == "" and "2025-12-31" not in {day for day, *_ in found}


def test_the_morning_after_is_known_of_the_sample_and_of_nothing_else(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(PROJECT / "data" / "source", source)
    (source / ".DS_Store").touch()
    assert morning_after(source) == "2025-12-31T06:00"
    generate(source, day=2)
    assert morning_after(source) == "2026-01-01T06:00"
    (source / "orders_mine.csv").touch()
    assert morning_after(source) == ""
    (source / "orders_mine.csv").rename(source / "orders.csv")
    assert morning_after(source) == ""
    assert morning_after(tmp_path / "nowhere") == ""
