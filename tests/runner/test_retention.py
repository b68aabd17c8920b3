"""Old runs' folders go when asked to, and nothing else does."""

from pathlib import Path

from conftest import Shop

from lib.runner.retention import prune_runs


def names(reports: Path) -> list[str]:
    return sorted(folder.name for folder in (reports / "runs").iterdir())


def test_the_newest_runs_stay_and_what_a_killed_run_left_of_others_goes(tmp_path: Path):
    for name in ("20260101T1", "20260102T1", "20260103T1", ".deleted-20251231T1"):
        (tmp_path / "runs" / name / "data_docs").mkdir(parents=True)
    assert prune_runs(tmp_path, 2) == ["20260101T1"]
    assert names(tmp_path) == ["20260102T1", "20260103T1"]


def test_fewer_runs_than_may_stay_all_stay(tmp_path: Path):
    (tmp_path / "runs" / "20260101T1").mkdir(parents=True)
    assert prune_runs(tmp_path, 2) == []
    assert names(tmp_path) == ["20260101T1"]


def test_a_run_deletes_older_runs_folders_but_not_their_audit_rows(used: Shop):
    first = names(used.reports)
    used.run("--keep-runs", "1")
    assert len(names(used.reports)) == 1
    assert names(used.reports) != first
    assert used.query("audit", "select count(*) from pipeline_execution_log") == [(8,)]
    assert first[0] not in (used.reports / "index.html").read_text(encoding="utf-8")


def test_keeping_no_run_is_wrong_use(used: Shop):
    assert "'0' is no number of 1 or more" in used.run("--keep-runs", "0", expect=2).stderr
