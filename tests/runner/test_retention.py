"""`--keep-runs` deletes the folders of old runs, and nothing else."""

import json
import re
from pathlib import Path

from conftest import Shop
from warm_runs import WarmRuns

from lib.runner.retention import prune_runs


def names(reports: Path) -> list[str]:
    return sorted(folder.name for folder in (reports / "runs").iterdir())


def save(reports: Path, name: str, started: str) -> None:
    folder = reports / "runs" / name
    (folder / "data_docs").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"batch_id": name, "started": started}), encoding="utf-8")


def test_the_newest_runs_stay_and_the_remains_of_a_killed_deletion_are_deleted(tmp_path: Path):
    for day in (1, 2, 3):
        save(tmp_path, f"2026010{day}T1", f"2026-01-0{day} 00:00:00")
    (tmp_path / "runs" / ".deleted-20251231T1" / "data_docs").mkdir(parents=True)
    assert prune_runs(tmp_path, 2, "20260103T1") == ["20260101T1"]
    assert names(tmp_path) == ["20260102T1", "20260103T1"]


def test_nothing_is_deleted_when_there_are_fewer_runs(tmp_path: Path):
    save(tmp_path, "20260101T1", "2026-01-01 00:00:00")
    assert prune_runs(tmp_path, 2, "20260101T1") == []
    assert names(tmp_path) == ["20260101T1"]


def test_the_newest_runs_are_those_that_were_started_last_whatever_their_clock(tmp_path: Path):
    save(tmp_path, "20200101T1", "2026-01-09 00:00:00")  # with --now
    save(tmp_path, "20200102T1", "2026-01-08 00:00:00")  # of another warehouse
    save(tmp_path, "20260105T1", "2026-01-05 00:00:00")
    save(tmp_path, "29990101T1", "2026-01-06 00:00:00")
    assert prune_runs(tmp_path, 2, "20200101T1") == ["29990101T1", "20260105T1"]
    assert names(tmp_path) == ["20200101T1", "20200102T1"]


def test_only_folders_of_runs_that_have_ended_are_deleted(tmp_path: Path):
    save(tmp_path, "20260101T1", "2026-01-01 00:00:00")
    save(tmp_path, "20260103T1", "2026-01-03 00:00:00")
    for name in ("20250101T1", "notes"):  # a run that is still going on, on another warehouse; somebody's
        (tmp_path / "runs" / name).mkdir()
    (tmp_path / "runs" / "notes" / "run.json").write_text("[]")
    (tmp_path / "runs" / "read me.txt").write_text("x")
    assert prune_runs(tmp_path, 1, "20260103T1") == ["20260101T1"]
    assert names(tmp_path) == ["20250101T1", "20260103T1", "notes", "read me.txt"]


def test_a_run_with_an_older_clock_keeps_its_own_folder_among_those_of_another_warehouse(
        used: Shop, warm: WarmRuns):
    other = Shop(used.folder / "other")
    other.reports.parent.mkdir()
    other.reports.symlink_to(used.reports)
    for name in ("customers", "products", "orders", "order_lines", "payments"):
        other.deliver(f"{name}.csv", *(used.source / f"{name}.csv").read_text().splitlines()[:2])
    warm.run(other, "--now", "2020-01-01", "--keep-runs", "1")
    [left] = names(used.reports)
    assert left.startswith("20200101T")
    assert (used.reports / "runs" / left / "index.html").exists()


def test_a_run_deletes_the_folders_of_older_runs_but_not_their_audit_rows(used: Shop, warm: WarmRuns):
    first = names(used.reports)
    warm.run(used, "--keep-runs", "1")
    assert len(names(used.reports)) == 1
    assert names(used.reports) != first
    assert used.query("audit", "select count(*) from pipeline_execution_log") == [(8,)]
    assert first[0] not in (used.reports / "index.html").read_text(encoding="utf-8")


def test_keeping_no_run_is_a_usage_error(used: Shop):
    assert re.search("--keep-runs.*0", used.run("--keep-runs", "0", expect=2).stderr)
