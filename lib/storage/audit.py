"""The system layer: audit.db with the append-only execution log, the watermarks and the runs' manifests.

Watermarks have one meaning in every step:

- Cursor: the timestamp of a commit to the layer that the step reads. The watermark is the timestamp of the
  latest commit whose rows the step has processed. (The raw step reads files, not a layer: the table of
  deliveries tells it what is new, and its watermark is the timestamp of its own latest commit.)
- Bounds: a step reads the rows whose commit is strictly later than its watermark. It misses no row and reads
  none twice, because the timestamp of a commit is later than that of every earlier commit to the same file,
  even when the clock was set back. So two commits never tie, and what is committed during a run is later than
  everything that the run has read.
- Late rows: only the time of the commit counts, not a date in the data. A late row is a new row.
- First run and `--full-refresh`: the step reads everything, because the watermark is `INITIAL`.
- Nothing new: the watermark stays as it is.
- Failed or killed run: the watermark moves only after the data is committed, in a transaction of its own. If
  the run dies between the two, the next run processes the same rows again, which changes nothing: rows are
  upserted by key.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lib.clock import as_name, later_than, of_name, utc_now
from lib.errors import PipelineError, explain
from lib.storage.files import sync
from lib.storage.lock import BUSY_SECONDS
from lib.storage.lookup import hold_open
from lib.storage.sql import read_only_uri

INITIAL = "1900-01-01"
# In place of a rule's hash, when different versions of the rule made the rows of a table. It equals no hash.
SEVERAL = "several"

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
create index if not exists pipeline_execution_log_rules on pipeline_execution_log (process_name)
where rules is not null;
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
    or new.execution_id <> old.execution_id or new.batch_id <> old.batch_id
    or new.process_name <> old.process_name or new.layer <> old.layer or new.start_time <> old.start_time
begin select raise(abort, 'pipeline_execution_log is append only: a RUNNING row may become final once'); end;
"""


@dataclass(frozen=True)
class Watermark:
    """How far a step has processed its input, and the run that got that far."""

    timestamp: str = INITIAL
    batch_id: str = ""


@contextmanager
def open_audit(warehouse: Path) -> Iterator[sqlite3.Connection]:
    """Open audit.db in autocommit mode, creating it when it is missing; close it at the end.

    Readers that do not wait are not refused: a new file gets its name when it is complete, and
    `hold_open` outlives this connection. Raises PipelineError when the file is not a database, cannot be
    written or stays locked.
    """
    path = warehouse / "audit.db"
    with _explained(path):
        if not path.exists():
            _create(path)
        with hold_open(warehouse, "audit"), closing(_connect(path)) as audit:
            audit.executescript(SCHEMA)  # what an earlier release lacks
            yield audit
            with suppress(sqlite3.OperationalError):  # while there are readers, it stays in the -wal file
                audit.execute("pragma busy_timeout = 0")
                audit.execute("pragma wal_checkpoint(truncate)")


def _connect(path: Path) -> sqlite3.Connection:
    audit = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    audit.execute("pragma journal_mode = wal")
    audit.execute("pragma synchronous = full")  # a power failure must not undo what a run has reported
    return audit


def _create(path: Path) -> None:
    aside = path.with_name(f".{path.name}.new")
    for leftover in (aside, f"{aside}-wal", f"{aside}-shm", f"{path}-wal", f"{path}-shm"):
        Path(leftover).unlink(missing_ok=True)  # of a killed run or a file moved away
    with closing(_connect(aside)) as audit:
        audit.executescript(SCHEMA)
    aside.rename(path)
    sync(path.parent)


@contextmanager
def open_audit_to_read(warehouse: Path) -> Iterator[sqlite3.Connection]:
    """Open audit.db, which must exist, for reading; this changes no byte of the warehouse.

    Raises PipelineError as `open_audit` does.
    """
    path = warehouse / "audit.db"
    with (_explained(path),
          closing(sqlite3.connect(read_only_uri(path), uri=True, timeout=BUSY_SECONDS)) as audit):
        yield audit


@contextmanager
def _explained(path: Path | str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise explain(Path(path), str(error)) from error


def read_watermark(audit: sqlite3.Connection, step: str) -> Watermark:
    """Return the step's watermark; `INITIAL` when it has none."""
    row = audit.execute("select last_processed_timestamp, last_batch_id from pipeline_watermark "
                        "where process_name = ?", [step]).fetchone()
    return Watermark(*row) if row else Watermark()


def set_watermarks(audit: sqlite3.Connection, marks: dict[str, list[str]]) -> None:
    """Replace all watermarks (a timestamp and a batch_id by step) with those that a replayed run had left."""
    rows = [[step, *mark] for step, mark in marks.items()]
    audit.execute("delete from pipeline_watermark")
    audit.executemany("insert into pipeline_watermark values (?, ?, ?)", rows)


def read_rules(audit: sqlite3.Connection, step: str) -> tuple[dict[str, str], str]:
    """Return the rules of a step's last success, and when all of its rows were last made by one set of rules.

    Both are empty when the step never succeeded.
    """
    rules: dict[str, str] = {}
    for text, end_time in audit.execute(
            "select rules, end_time from pipeline_execution_log where process_name = ? and rules is not null "
            "order by execution_id desc", [step]):
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
    """Make a RUNNING row final and move the step's watermark, both in one transaction."""
    path = audit.execute("pragma database_list").fetchone()[2]
    with _explained(path), audit:
        audit.execute("begin immediate")
        audit.execute(
            "update pipeline_execution_log set status = ?, end_time = ?, rows_processed = ?, "
            "rows_quarantined = ?, error_message = ?, table_digests = ?, rules = ? where execution_id = ?",
            [status, utc_now(), rows_processed, rows_quarantined, error_message,
             _json(table_digests), _json(rules), execution_id],
        )
        if watermark:
            step, reached = watermark
            audit.execute(
                "insert into pipeline_watermark (process_name, last_processed_timestamp, last_batch_id) "
                "values (?, ?, ?) on conflict (process_name) do update set last_processed_timestamp = "
                "excluded.last_processed_timestamp, last_batch_id = excluded.last_batch_id",
                [step, reached.timestamp, reached.batch_id],
            )


def _json(pairs: dict[str, str] | None) -> str | None:
    return json.dumps(pairs, sort_keys=True) if pairs else None


def mark_died(audit: sqlite3.Connection, batch_id: str) -> list[str]:
    """Mark the RUNNING rows of dead runs as DIED, and return the steps in which these runs died.

    Call it only while holding the run lock: then no other run is alive.
    """
    dead = audit.execute("select execution_id, batch_id, process_name from pipeline_execution_log "
                         "where status = 'RUNNING'").fetchall()
    for execution_id, dead_batch, step in dead:
        finish_execution(audit, execution_id, "DIED", error_message=(
            f"run {dead_batch} died in step {step} without reporting an error; run {batch_id} found out"))
    return [step for _, _, step in dead]


def begin_run(audit: sqlite3.Connection, now: str = "") -> tuple[str, str]:
    """Return the id of a new run and its clock: `now` or, when that is empty, the time.

    The id is the clock written as a name, but later than the id of every run before, so that no other run has
    it. The clock stays as it is even when an earlier run had a clock that was ahead: the day of the run must
    not follow that one.
    """
    latest = audit.execute("select max(batch_id) from pipeline_execution_log").fetchone()[0]
    now = now or utc_now()
    try:
        return as_name(later_than(of_name(latest) if latest else None, now)), now
    except OverflowError as error:
        raise PipelineError(f"run {latest} had a clock after which no other run can begin. Move the "
                            "warehouse aside and run again: all deliveries are then loaded anew.") from error
