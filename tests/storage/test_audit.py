"""audit.db: a log and manifests that nobody can rewrite, and watermarks that move with the log."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.errors import PipelineError
from lib.storage import audit

LOG = "pipeline_execution_log"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A log with a step that has succeeded (row 1), one that is running (2), and a manifest of each kind."""
    with audit.open_audit(tmp_path) as log:
        first = audit.start_execution(log, "run1", "raw", "raw")
        audit.finish_execution(log, first, "SUCCESS", rows_processed=3)
        audit.start_execution(log, "run2", "facts", "curated")
        log.execute("insert into pipeline_manifest values (1, 'run1', null, '{}', 'hash'), "
                    "(2, 'run2', '{}', null, null)")
        yield log


@pytest.mark.parametrize("sql", [
    f"delete from {LOG} where execution_id = 1",
    f"delete from {LOG} where execution_id = 2",
    f"update {LOG} set status = 'FAILED' where execution_id = 1",
    f"update {LOG} set rows_processed = 4 where execution_id = 1",
    f"update {LOG} set rows_processed = 4 where execution_id = 2",  # without an end
    *(f"update {LOG} set status = 'SUCCESS', {change} where execution_id = 2" for change in (
        "execution_id = 9", "batch_id = 'run9'", "process_name = 'gold'", "layer = 'gold'",
        "start_time = '2001-01-01'")),
    "delete from pipeline_manifest where manifest_id = 1",
    "delete from pipeline_manifest where manifest_id = 2",
    "update pipeline_manifest set manifest = '{ }' where manifest_id = 1",
    "update pipeline_manifest set manifest = null where manifest_id = 1",
    "update pipeline_manifest set begun = '{ }' where manifest_id = 2",
    "update pipeline_manifest set manifest = '{}', batch_id = 'run9' where manifest_id = 2",
])
def test_the_log_and_the_manifests_are_append_only(log: sqlite3.Connection, sql: str):
    before = list(log.iterdump())
    with pytest.raises(sqlite3.IntegrityError, match="append only"):
        log.execute(sql)
    assert list(log.iterdump()) == before


def test_a_running_row_and_a_begun_manifest_become_final_once(log: sqlite3.Connection):
    assert log.execute(f"select batch_id, process_name, layer, status, end_time, rows_processed, "
                       f"rows_quarantined from {LOG} where execution_id = 2").fetchall() == [
        ("run2", "facts", "curated", "RUNNING", None, 0, 0)]
    audit.finish_execution(log, 2, "SUCCESS", rows_processed=4)
    log.execute("update pipeline_manifest set manifest = '{}', begun = null where manifest_id = 2")
    assert log.execute(f"select status, rows_processed from {LOG}").fetchall() == [
        ("SUCCESS", 3), ("SUCCESS", 4)]


@pytest.mark.parametrize("statement", ["update {log} set status = 'DONE' where execution_id = 2",
                                       "insert into pipeline_manifest (batch_id) values ('run1')"])
def test_a_status_of_another_kind_and_a_second_manifest_of_a_run_are_refused(log, statement: str):
    with pytest.raises(sqlite3.IntegrityError, match=r"CHECK|UNIQUE"):
        log.execute(statement.format(log=LOG))


def test_the_watermark_moves_with_the_log_row_or_not_at_all(log: sqlite3.Connection):
    mark = audit.Watermark("2025-01-02", "run2")
    log.execute("create trigger full before insert on pipeline_watermark "
                "begin select raise(abort, 'the disk is full'); end")
    with pytest.raises(PipelineError, match=r"audit\.db.*the disk is full"):
        audit.finish_execution(log, 2, "SUCCESS", watermark=("facts", mark))
    assert log.execute(f"select status from {LOG} where execution_id = 2").fetchone() == ("RUNNING",)
    assert audit.read_watermark(log, "facts") == audit.Watermark("1900-01-01", "")
    log.execute("drop trigger full")
    audit.finish_execution(log, 2, "SUCCESS", watermark=("facts", mark))
    assert audit.read_watermark(log, "facts") == mark
    audit.start_execution(log, "run3", "facts", "curated")
    audit.finish_execution(log, 3, "SUCCESS", watermark=("facts", audit.Watermark("2025-01-03", "run3")))
    assert log.execute("select * from pipeline_watermark").fetchall() == [("facts", "2025-01-03", "run3")]


def test_only_what_was_running_is_marked_as_died(log: sqlite3.Connection):
    assert audit.mark_died(log, "run3") == ["facts"]
    rows = log.execute(f"select status, rows_processed, rows_quarantined, error_message from {LOG} "
                       "order by execution_id").fetchall()
    assert rows[0] == ("SUCCESS", 3, 0, None)
    *died, message = rows[1]
    assert died == ["DIED", 0, 0] and all(name in message for name in ("run2", "facts", "run3"))
    assert audit.mark_died(log, "run4") == []


def test_the_rules_of_a_step_are_those_of_its_last_success_since_its_rows_were_of_one_kind(log):
    made_by = [{"notebook": "a"}, {"notebook": audit.SEVERAL}, None]
    for rules in made_by:
        execution = audit.start_execution(log, "run3", "gold", "gold")
        audit.finish_execution(log, execution, "SUCCESS", rules=rules)
    [(end_time,)] = log.execute(f"select end_time from {LOG} where rules like '%\"a\"%'").fetchall()
    assert audit.read_rules(log, "gold") == ({"notebook": audit.SEVERAL}, end_time)
    assert audit.read_rules(log, "raw") == ({}, "")


def test_the_id_of_a_run_is_later_than_all_before_it_and_its_clock_is_the_given_one(tmp_path: Path):
    with audit.open_audit(tmp_path) as log:
        noon = "2025-01-02 12:00:00.000000"
        assert audit.begin_run(log, noon) == ("20250102T120000.000000", noon)
        audit.start_execution(log, "20250102T120000.000000", "raw", "raw")
        assert audit.begin_run(log, noon) == ("20250102T120000.000001", noon)
        assert audit.begin_run(log, "2024-01-01 00:00:00.000000")[0] == "20250102T120000.000001"
        for day in ("20250101", "20250103", "20250102"):
            audit.start_execution(log, f"{day}T000000.000000", "raw", "raw")
        assert audit.begin_run(log, noon) == ("20250103T000000.000001", noon)


def test_no_run_begins_after_one_under_the_latest_clock_that_there_is(tmp_path: Path):
    with audit.open_audit(tmp_path) as log:
        audit.start_execution(log, "99991231T235959.999999", "raw", "raw")
        with pytest.raises(PipelineError, match="had a clock after which no other run can begin"):
            audit.begin_run(log, "2025-01-02 12:00:00.000000")


def test_a_replayed_run_leaves_the_watermarks_of_the_original_and_no_others(log: sqlite3.Connection):
    audit.set_watermarks(log, {"raw": ["2025-01-01", "run1"], "gold": ["2025-01-02", "run2"]})
    audit.set_watermarks(log, {"raw": ["2025-01-03", "run3"]})
    assert log.execute("select * from pipeline_watermark").fetchall() == [("raw", "2025-01-03", "run3")]


def test_who_only_reads_sees_the_log_and_changes_no_byte(tmp_path: Path):
    with audit.open_audit(tmp_path) as log:
        audit.start_execution(log, "run1", "raw", "raw")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with audit.open_audit_to_read(tmp_path) as reading:
        assert reading.execute(f"select batch_id from {LOG}").fetchall() == [("run1",)]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reading.execute("delete from pipeline_watermark")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("open_it", [audit.open_audit, audit.open_audit_to_read])
def test_a_file_that_is_no_database_is_named(tmp_path: Path, open_it):
    (tmp_path / "audit.db").write_text("no database" * 99)
    with pytest.raises(PipelineError, match=r"audit\.db"), open_it(tmp_path) as log:
        log.execute(f"select * from {LOG}")
