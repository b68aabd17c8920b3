"""Verify names every change to what runs have written, and raises no alarm without one."""

import os
import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import in_process
import pytest
from conftest import CUSTOMERS, LINES, ORDERS, PAYMENTS, PROJECT, Shop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from warm_runs import WarmRuns

from lib.reproduce import records
from lib.reproduce.verify import verify
from lib.steps import Options
from lib.storage import audit, manifest
from lib.storage.layer import open_layer

EXAMPLES = 40 * int(os.environ.get("SOAK", "1"))
DATABASES = ("raw", "curated", "gold", "audit")
# The word by which a problem names a table, where that is not the table's own name.
NAMED = {"checksums": "checksum", "pipeline_manifest": "manifest", "pipeline_watermark": "watermark"}
NOT_COVERED = set(re.findall(r"^- `(\w+\.\w+)`", (PROJECT / "docs" / "reproduce.md").read_text(), re.M))
TODAY, TOMORROW = "2025-02-01 10:00:00.000000", "2025-02-02 10:00:00.000000"


@pytest.fixture(scope="module")
def eventful(small_loaded: Shop, tmp_path_factory) -> Shop:
    """A shop in which all that can happen has left rows: changes, deletions, confirmations, quarantine."""
    folder = tmp_path_factory.mktemp("eventful")
    shutil.copytree(small_loaded.folder, folder, dirs_exist_ok=True)
    shop = Shop(folder)
    days = [
        [("orders_2.csv", ORDERS, "O1,C1,2025-01-03,,15.00,placed", ",C1,2025-01-01,,1.00,", "O9,C1,?,,1,"),
         ("payments_2.csv", PAYMENTS, "Y1,O1,2025-01-01,card,SUCCESS,14.00", "Y2,O2,2025-01-02,card,,?")],
        [("payments_2.csv", PAYMENTS, "Y2,O2,2025-01-02,card,SUCCESS,10.00"),
         ("order_lines_2.csv", LINES, "L1,O1,P1,3,2.00,", "L1,O1,P1,4,2.00,", "L2,O1,P2,1,10.00,")],
        [("customers_all.csv", CUSTOMERS, "C1,Ann,A,,,,,,vip", "C3,Cid,C,,,,,,"),
         ("orders_3.csv", ORDERS, "O1,C1,2025-01-03,,16.00,placed", "O8,C1,?,,1.00,")]]
    with pytest.MonkeyPatch.context() as patch:
        for day in days:
            for name, *lines in day:
                shop.deliver(name, *lines)
            in_process.run(shop, patch, snapshot=("customers",), snapshot_limit=0.5, quarantine_limit=1.0)
    return shop


def look(shop: Shop, into: Path, **given) -> list[str]:
    """Verify a warehouse and return the problems that it shows, which must agree with the result."""
    lines: list[str] = []
    is_well = verify(Options(shop.source, shop.warehouse, shop.reports, **given), into, lines.append)
    problems = [line.strip() for line in lines if line.startswith("  ")]
    assert is_well == (not problems)
    return problems


@pytest.fixture
def find_problems(eventful: Shop, tmp_path: Path, monkeypatch) -> Callable[[], list[str]]:
    """Verify without the full load, which the checks of records and checksums must not need."""
    for name in ("_load_everything", "_compare_with_full_load", "_compare_what_became_of_rows"):
        monkeypatch.setattr(f"lib.reproduce.verify.{name}", lambda *_: [])
    return lambda: look(eventful, tmp_path)


def columns(shop: Shop) -> Iterator[tuple[str, str, str]]:
    """Yield every database, table and column with rows that a run has left and that verify covers."""
    for database in DATABASES:
        for (table,) in shop.query(database, "select name from sqlite_schema where type = 'table'"):
            if shop.counts(database, table) != [0]:
                for (column,) in shop.query(database, "select name from pragma_table_info(?)", table):
                    if f"{table}.{column}" not in NOT_COVERED:
                        yield database, table, column


class Changed:
    """A database that is changed by hand, whatever its triggers forbid, and is as before at the end."""

    def __init__(self, shop: Shop, database: str):
        self._path = shop.warehouse / f"{database}.db"

    def __enter__(self) -> sqlite3.Connection:
        self._before = self._path.read_bytes()
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        self._triggers = self._connection.execute(
            "select name, sql from sqlite_schema where type = 'trigger'").fetchall()
        for name, _ in self._triggers:
            self._connection.execute(f"drop trigger {name}")
        return self._connection

    def close(self) -> None:
        for _, sql in self._triggers:
            self._connection.execute(sql)
        self._connection.close()

    def __exit__(self, *_: object) -> None:
        self._path.write_bytes(self._before)


def another(value: object, kind: str = "TEXT") -> object:
    """Return a value that differs from this one as little as it can."""
    if value is None:
        return {"INTEGER": 7, "REAL": 7.5}.get(kind.upper(), "x")
    if isinstance(value, float):
        return value + 0.01
    return value + 1000 if isinstance(value, int) else f"{value}x"


def change_a_value(database: sqlite3.Connection, table: str, column: str, chance: random.Random) -> None:
    kinds = dict(database.execute("select name, type from pragma_table_info(?)", [table]).fetchall())
    place, value = chance.choice(database.execute(f'select rowid, "{column}" from "{table}"').fetchall())
    # The log's status is one of a few words.
    new = "FAILED" if table == "pipeline_execution_log" and column == "status" else another(
        value, kinds[column])
    database.execute(f'update "{table}" set "{column}" = ? where rowid = ?', [new, place])


def delete_a_row(database: sqlite3.Connection, table: str, _: str, chance: random.Random) -> None:
    [place] = chance.choice(database.execute(f'select rowid from "{table}"').fetchall())
    database.execute(f'delete from "{table}" where rowid = ?', [place])


def add_a_row(database: sqlite3.Connection, table: str, _: str, chance: random.Random) -> None:
    """Copy a row, with another key where a key must be unique."""
    info = database.execute("select name, type, pk from pragma_table_info(?)", [table]).fetchall()
    serial = next((name for name, kind, pk in info if pk and kind.upper() == "INTEGER"), None)
    key = {"pipeline_manifest": "batch_id", "pipeline_watermark": "process_name",
           "checksums": "table_name"}.get(table, info[1 if serial else 0][0])
    row = dict(zip([name for name, *_ in info], chance.choice(
        database.execute(f'select * from "{table}"').fetchall()), strict=True))
    if serial:
        row[serial] = database.execute(f'select max("{serial}") + 1 from "{table}"').fetchone()[0]
    row[key] = another(row[key])
    database.execute(f'insert into "{table}" values ({", ".join("?" * len(row))})', list(row.values()))


def swap_two_values(database: sqlite3.Connection, table: str, column: str, chance: random.Random) -> None:
    rows = database.execute(f'select rowid, "{column}" from "{table}"').fetchall()
    pairs = [(one, other) for one in rows for other in rows if one[1] != other[1]]
    if not pairs:
        change_a_value(database, table, column, chance)
        return
    (first, one), (second, other) = chance.choice(pairs)
    if one == first:  # the number of a row: through one that is free
        for value, place in ((-1, first), (first, second), (second, -1)):
            database.execute(f'update "{table}" set "{column}" = ? where rowid = ?', [value, place])
        return
    unique = isinstance(one, str) and f"{one}~"
    for value, place in ((unique or one, first), (one, second), (other, first)):
        database.execute(f'update "{table}" set "{column}" = ? where rowid = ?', [value, place])


KINDS = (change_a_value, delete_a_row, add_a_row, swap_two_values)


def test_a_warehouse_as_its_runs_left_it_is_well(eventful: Shop, tmp_path: Path, monkeypatch):
    in_process.keep_in_process(monkeypatch)
    tables = {table for _, table, _ in columns(eventful)}
    assert {"quarantine", "confirmations", "categories", "profiles", "balances", "layer_commits",
            "fact_orders_replaced", "dim_customers", "pipeline_watermark", "checksums"} <= tables
    assert look(eventful, tmp_path / "verified") == []


def test_a_checksum_changes_with_every_column_of_its_table(eventful: Shop):
    for database, table, column in columns(eventful):
        if database != "audit" and table != "checksums":
            [(rows, checksum)] = eventful.query(
                database, "select rows, checksum from checksums where table_name = ?", table)
            with (changed := Changed(eventful, database)) as connection:
                change_a_value(connection, table, column, random.Random(f"{database}.{table}.{column}"))
                changed.close()
                with open_layer(eventful.warehouse, database) as layer:
                    assert (layer.sums(table)[0], layer.sums(table)[2] == checksum) == (rows, False), column


def test_verify_names_every_column_of_the_log_the_watermarks_and_the_manifests(eventful: Shop, find_problems):
    for database, table, column in columns(eventful):
        if database == "audit":
            with (changed := Changed(eventful, database)) as connection:
                change_a_value(connection, table, column, random.Random(f"{table}.{column}"))
                changed.close()
                assert NAMED.get(table, table) in "\n".join(find_problems()), f"{table}.{column}"


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_verify_names_the_table_in_which_rows_were_changed_deleted_added_or_swapped(
        data: st.DataObject, eventful: Shop, find_problems):
    database, table, column = data.draw(st.sampled_from(list(columns(eventful))))
    kind, chance = data.draw(st.sampled_from(KINDS)), data.draw(st.randoms(use_true_random=False))
    with (changed := Changed(eventful, database)) as connection:
        kind(connection, table, column, chance)
        changed.close()
        problems = "\n".join(find_problems())
    assert NAMED.get(table, table) in problems


@pytest.mark.parametrize("trigger", [
    "pipeline_manifest_no_delete", "pipeline_manifest_final", "pipeline_execution_log_no_delete",
    "pipeline_execution_log_final"])
def test_verify_names_a_trigger_that_was_removed(trigger: str, eventful: Shop, find_problems):
    with (changed := Changed(eventful, "audit")):
        changed.close()
        with closing(sqlite3.connect(eventful.warehouse / "audit.db")) as connection:
            connection.execute(f"drop trigger {trigger}")
        assert any(trigger in problem for problem in find_problems())


def test_verify_misses_the_last_run_when_its_manifest_and_its_log_were_removed(
        eventful: Shop, find_problems, monkeypatch):
    clocks: list[tuple[str, str]] = []
    monkeypatch.setattr("lib.reproduce.verify._load_everything", lambda *given: clocks.append(given[-2:]))
    last = eventful.query("audit", "select max(batch_id) from pipeline_manifest")[0][0]
    with (changed := Changed(eventful, "audit")) as connection:
        connection.execute("delete from pipeline_manifest where batch_id = ?", [last])
        connection.execute("delete from pipeline_execution_log where batch_id = ?", [last])
        changed.close()
        problems = find_problems()
    assert f"run {last}: its manifest is in its folder, and not in audit.db" in problems
    assert any(re.match(f"raw.deliveries: run {last} wrote to it", problem) for problem in problems)
    committed = max(eventful.query(layer, "select max(committed_timestamp) from layer_commits")[0][0]
                    for layer in ("raw", "curated", "gold"))
    assert clocks == [(committed, "")]  # that of the last commit, as the run's own is not known any more


def test_verify_names_what_was_changed_removed_or_added_in_the_folder_of_a_run(used: Shop):
    [folder] = (used.reports / "runs").iterdir()
    texts = {folder.name: (folder / manifest.FILE).read_text(encoding="utf-8")}
    assert list(records.check_folders(texts, used.reports)) == []
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert {"run.json", "index.html", "4_gold.ipynb", "charts.json"} <= {path.name for path in files}
    for path in [*files, folder / "another.html", folder / "data_docs" / "another.html"]:
        before = path.read_bytes() if path.exists() else None
        for content in ((before or b"") + b" ", None):
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_bytes(content)
            found = list(records.check_folders(texts, used.reports))
            if path.name == manifest.FILE and content is None:
                assert found == []  # as if the run had died just before: the next run writes it
            elif content != before:
                entry = path.relative_to(folder).parts[0]
                assert len(found) == 1 and f"run {folder.name}: {entry}" in found[0]
        if before is not None:
            path.write_bytes(before)


def test_a_day_on_which_only_raw_changes_is_no_difference(small: Shop, run, tmp_path: Path):
    small.deliver("orders_2.csv", ORDERS, "O1,C1,2025-01-01,,15.00,placed")
    run(now=TODAY)
    small.deliver("orders_2.csv", ORDERS, "O1,C1,2025-01-01,,15.000,placed")
    run(now=TOMORROW)
    assert look(small, tmp_path / "verified") == []


def test_the_next_run_writes_the_manifest_that_a_killed_run_did_not_write_to_its_folder(
        used: Shop, warm: WarmRuns):
    [folder] = (used.reports / "runs").iterdir()
    text = (folder / manifest.FILE).read_bytes()
    (folder / manifest.FILE).unlink()
    assert warm.run(used, "verify").returncode == 0
    warm.run(used)
    assert (folder / manifest.FILE).read_bytes() == text
    assert warm.run(used, "verify").returncode == 0


def test_verify_says_of_a_run_that_was_killed_that_the_next_one_completes_its_manifest(
        used: Shop, warm: WarmRuns):
    used.deliver("orders_2.csv", ORDERS, "N1,C1,2026-01-01,,5.00,placed")
    warm.run(used, fault=("data committed, watermark not", "facts"), expect=-9)
    with audit.open_audit_to_read(used.warehouse) as log:
        [killed] = records.read_open_runs(log)
    shown = warm.run(used, "verify").stdout
    assert re.search(f"^run {killed} has no manifest yet", shown, re.M)
    warm.run(used)
    assert "no manifest yet" not in warm.run(used, "verify").stdout
