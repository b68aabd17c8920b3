"""The system layer: audit.db with the append-only execution log and the watermarks.

Watermark semantics, for every step:

- cursor: the `*_timestamp` of the step's input; the watermark is the highest one the step has processed.
- bounds: a step reads what is strictly newer than its watermark. That is exact, not approximate, because every
  commit to a layer carries one timestamp that is later than all earlier ones of that file, even if the clock is not:
  no two commits tie, and a row that arrives during a run is committed under a later timestamp than the run has read.
- first run, or `--full-refresh`: `INITIAL`, so everything is read.
- empty input: the watermark stays as it is.
- failed or killed run: the watermark is written after the data, in a transaction of its own, on success only. A crash
  between the two makes the next run do the batch again, which upserts by key make harmless.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lib.clock import as_name, later_than, of_name, utc_now
from lib.errors import UsageError, explain
from lib.storage.lock import BUSY_SECONDS
from lib.storage.sql import read_only_uri

INITIAL = "1900-01-01"
SEVERAL = "several"  # instead of the hash of a rule: some rows were made by other rules than the rest. It equals none

SCHEMA = """
create table if not exists pipeline_execution_log (
    execution_id integer primary key,
    batch_id text not null,
    process_name text not null,
    layer text not null,
    status text not null check (status in ('RUNNING', 'SUCCESS', 'FAILED', 'SKIPPED', 'DIED')),
    start_time text not null,
    end_time text,
    rows_processed integer not null default 0,
    rows_quarantined integer not null default 0,
    error_message text,
    table_digests text,
    rules text
) strict;
create index if not exists pipeline_execution_log_batch on pipeline_execution_log (batch_id);
create index if not exists pipeline_execution_log_rules on pipeline_execution_log (process_name) where rules is not null;
create table if not exists pipeline_watermark (
    process_name text primary key,
    last_processed_timestamp text not null,
    last_batch_id text not null
) strict;
create table if not exists pipeline_manifest (
    manifest_id integer primary key,
    batch_id text not null unique,
    begun text,
    manifest text,
    manifest_sha256 text
) strict;
create trigger if not exists pipeline_manifest_no_delete before delete on pipeline_manifest
begin select raise(abort, 'pipeline_manifest is append only'); end;
create trigger if not exists pipeline_manifest_final before update on pipeline_manifest
when old.manifest is not null or new.manifest is null or new.batch_id <> old.batch_id
begin select raise(abort, 'pipeline_manifest is append only: a manifest is completed once'); end;
create trigger if not exists pipeline_execution_log_no_delete before delete on pipeline_execution_log
begin select raise(abort, 'pipeline_execution_log is append only'); end;
create trigger if not exists pipeline_execution_log_final before update on pipeline_execution_log
when old.status <> 'RUNNING' or new.status = 'RUNNING'
    or new.execution_id <> old.execution_id or new.batch_id <> old.batch_id or new.process_name <> old.process_name
    or new.layer <> old.layer or new.start_time <> old.start_time
begin select raise(abort, 'pipeline_execution_log is append only: a RUNNING row may become final once'); end;
"""


@dataclass(frozen=True)
class Watermark:
    """How far a step has processed its input, and the run that took it there."""

    timestamp: str = INITIAL
    batch_id: str = ""


@contextmanager
def open_audit(warehouse: Path) -> Iterator[sqlite3.Connection]:
    """Open audit.db in autocommit mode, creating it when missing; close it on the way out.

    Raises PipelineError when the file is no database, cannot be written or stays locked.
    """
    path = warehouse / "audit.db"
    with _explained(path), closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.executescript(SCHEMA)
        yield connection


@contextmanager
def open_audit_to_read(warehouse: Path) -> Iterator[sqlite3.Connection]:
    """Open audit.db, which must be there, for reading, and change no byte of the warehouse. Raises PipelineError as `open_audit`."""
    path = warehouse / "audit.db"
    with _explained(path), closing(sqlite3.connect(read_only_uri(path), uri=True, timeout=BUSY_SECONDS)) as connection:
        yield connection


@contextmanager
def _explained(path: Path | str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise explain(Path(path), str(error)) from error


def read_watermark(audit: sqlite3.Connection, step: str) -> Watermark:
    """Return the step's watermark, `INITIAL` when it has none."""
    row = audit.execute(
        "select last_processed_timestamp, last_batch_id from pipeline_watermark where process_name = ?", [step]
    ).fetchone()
    return Watermark(*row) if row else Watermark()


def set_watermarks(audit: sqlite3.Connection, marks: dict[str, list[str]]) -> None:
    """Set all watermarks, each a timestamp and a batch_id, to what a run that is made again left."""
    audit.execute("delete from pipeline_watermark")
    audit.executemany("insert into pipeline_watermark values (?, ?, ?)", [[step, *mark] for step, mark in marks.items()])


def read_rules(audit: sqlite3.Connection, step: str) -> tuple[dict[str, str], str]:
    """Return the fingerprint of the rules by which a step's rows were made, and when all of them were last made by the same ones.

    Nothing if it never succeeded.
    """
    rules: dict[str, str] = {}
    for text, end_time in audit.execute("select rules, end_time from pipeline_execution_log where process_name = ? "
                                        "and rules is not null order by execution_id desc", [step]):
        made_by = json.loads(text)
        rules = rules or made_by
        if SEVERAL not in made_by.values():
            return rules, end_time
    return rules, ""


def start_execution(audit: sqlite3.Connection, batch_id: str, step: str, layer: str) -> int:
    """Append a RUNNING row for a step and return its execution_id."""
    return audit.execute(
        "insert into pipeline_execution_log (batch_id, process_name, layer, status, start_time) "
        "values (?, ?, ?, 'RUNNING', ?)",
        [batch_id, step, layer, utc_now()],
    ).lastrowid


def finish_execution(audit: sqlite3.Connection, execution_id: int, status: str, *, rows_processed: int = 0,
                     rows_quarantined: int = 0, error_message: str | None = None,
                     table_digests: dict[str, str] | None = None, rules: dict[str, str] | None = None,
                     watermark: tuple[str, Watermark] | None = None) -> None:
    """Make a RUNNING row final and, with it, move a step's watermark: both in one transaction."""
    path = audit.execute("pragma database_list").fetchone()[2]
    with _explained(path), audit:
        audit.execute("begin immediate")
        audit.execute(
            "update pipeline_execution_log set status = ?, end_time = ?, rows_processed = ?, rows_quarantined = ?, "
            "error_message = ?, table_digests = ?, rules = ? where execution_id = ?",
            [status, utc_now(), rows_processed, rows_quarantined, error_message,
             *(json.dumps(pairs, sort_keys=True) if pairs else None for pairs in (table_digests, rules)), execution_id],
        )
        if watermark:
            step, reached = watermark
            audit.execute(
                "insert into pipeline_watermark (process_name, last_processed_timestamp, last_batch_id) "
                "values (?, ?, ?) on conflict (process_name) do update set "
                "last_processed_timestamp = excluded.last_processed_timestamp, last_batch_id = excluded.last_batch_id",
                [step, reached.timestamp, reached.batch_id],
            )


def mark_died(audit: sqlite3.Connection, batch_id: str) -> list[str]:
    """Make the RUNNING rows that dead runs left final, and return the steps they were in.

    Call it only while holding the run lock: whoever else had it is gone.
    """
    dead = audit.execute(
        "select execution_id, batch_id, process_name from pipeline_execution_log where status = 'RUNNING'").fetchall()
    for execution_id, dead_batch, step in dead:
        finish_execution(audit, execution_id, "DIED",
                         error_message=f"run {dead_batch} ended without a word in step {step}; found by run {batch_id}")
    return [step for _, _, step in dead]


def begin_run(audit: sqlite3.Connection, now: str = "") -> tuple[str, str]:
    """Return the id of a new run and its clock: all times in the layers count from it, and no two runs share one.

    It is `now` or, without one, the clock's time. Raises UsageError when `now` is not later than every run before.
    """
    latest = audit.execute("select max(batch_id) from pipeline_execution_log").fetchone()[0]
    last = of_name(latest) if latest else None
    if now and last and now <= last:
        raise UsageError(f"--now {now} is not later than the last run, {last}. Name a later time, or another --warehouse.")
    now = now or later_than(last, utc_now())
    return as_name(now), now
