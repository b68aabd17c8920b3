"""`--keep-runs` deletes the folders of old runs, and nothing else."""

import re
from pathlib import Path

from conftest import Shop
from warm_runs import WarmRuns

from lib.runner.retention import prune_runs


def names(reports: Path) -> list[str]:
    return sorted(folder.name for folder in (reports / "runs").iterdir())


def test_the_newest_runs_stay_and_the_remains_of_a_killed_deletion_are_deleted(tmp_path: Path):
    for name in ("20260101T1", "20260102T1", "20260103T1", ".deleted-20251231T1"):
        (tmp_path / "runs" / name / "data_docs").mkdir(parents=True)
    assert prune_runs(tmp_path, 2) == ["20260101T1"]
    assert names(tmp_path) == ["20260102T1", "20260103T1"]


def test_nothing_is_deleted_when_there_are_fewer_runs(tmp_path: Path):
    (tmp_path / "runs" / "20260101T1").mkdir(parents=True)
    assert prune_runs(tmp_path, 2) == []
    assert names(tmp_path) == ["20260101T1"]


def test_a_run_deletes_the_folders_of_older_runs_but_not_their_audit_rows(used: Shop, warm: WarmRuns):
    first = names(used.reports)
    warm.run(used, "--keep-runs", "1")
    assert len(names(used.reports)) == 1
    assert names(used.reports) != first
    assert used.query("audit", "select count(*) from pipeline_execution_log") == [(8,)]
    assert first[0] not in (used.reports / "index.html").read_text(encoding="utf-8")


def test_keeping_no_run_is_a_usage_error(used: Shop):
    assert re.search("--keep-runs.*0", used.run("--keep-runs", "0", expect=2).stderr)
