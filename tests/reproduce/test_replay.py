"""A past run can be replayed and gives the same tables to the byte; verify names what was changed by hand."""

import gzip
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import in_process
import pytest
from conftest import CUSTOMERS, LINES, ORDERS, PROJECT, Shop
from documents import shown
from histories import runs, write
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from same_run import find_differences
from warm_runs import WarmRuns

from lib.errors import PipelineError, UsageError
from lib.ingest.archive import archived_path
from lib.reproduce import records
from lib.reproduce.replay import replay
from lib.reproduce.verify import verify
from lib.step.base import Step
from lib.steps import STEPS, Options
from lib.storage import audit, manifest

HISTORIES = 3 * int(os.environ.get("SOAK", "1"))
HISTORY = st.lists(st.tuples(runs, st.sampled_from([None] * 4 + list(STEPS))), min_size=1, max_size=5)
LAYERS = ("raw", "curated", "gold")


def options(shop: Shop, **given) -> Options:
    return Options(shop.source, shop.warehouse, shop.reports, **given)


def batches(shop: Shop) -> list[str]:
    sql = "select batch_id from pipeline_manifest order by manifest_id"
    return [batch for (batch,) in shop.query("audit", sql)]


def canonical(warehouse: Path) -> dict[str, str]:
    """Return the sha256 of what VACUUM INTO makes of each layer that exists."""
    hashes = {}
    for path in (warehouse / f"{layer}.db" for layer in LAYERS):
        if path.exists():
            with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(path)) as connection:
                connection.execute("vacuum into ?", [f"{folder}/canonical.db"])
                hashes[path.stem] = hashlib.sha256(Path(folder, "canonical.db").read_bytes()).hexdigest()
    return hashes


def replayed(shop: Shop, batch_id: str, into: Path) -> list[str]:
    """Replay a run and return the lines that it shows, whose last one must agree with the result."""
    lines: list[str] = []
    is_same = replay(options(shop), batch_id, into, lines.append)
    assert lines[-1].endswith("left them") == is_same
    return lines


def problems_of(shop: Shop, into: Path) -> list[str]:
    """Verify a warehouse and return the problems that it shows, which must agree with the result."""
    lines: list[str] = []
    is_well = verify(options(shop), into, lines.append)
    problems = [line.strip() for line in lines if line.startswith("  ")]
    assert is_well == (not problems)
    return problems


def change(shop: Shop, layer: str, sql: str) -> None:
    """Change one row of a database by hand, even if triggers forbid it."""
    with closing(sqlite3.connect(shop.warehouse / f"{layer}.db")) as connection, connection:
        triggers = connection.execute("select name from sqlite_schema where type = 'trigger'").fetchall()
        for (trigger,) in triggers:
            connection.execute(f"drop trigger {trigger}")
        assert connection.execute(sql).rowcount == 1


@settings(max_examples=HISTORIES, deadline=None, suppress_health_check=list(HealthCheck),
          phases=[Phase.generate])
@given(history=HISTORY, data=st.data())
def test_every_run_of_every_history_is_replayed_to_the_byte(history: list, data):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("lib.step.base.Step.check", lambda step, suite, rows: rows)
        shop, left = Shop(Path(folder) / "shop"), {}
        shop.source.mkdir(parents=True)
        for one, dies in history:
            for _, name, content in one["deliveries"]:
                write(shop.source / name, content)
            if any(shop.source.rglob("*.csv*")):
                run_or_die(shop, patch, one, dies)
                left[batches(shop)[-1]] = canonical(shop.warehouse)
        for batch_id in data.draw(st.permutations(list(left))):
            into = Path(folder) / batch_id
            lines = replayed(shop, batch_id, into)
            assert lines[-1].endswith("left them"), "\n".join(lines)
            assert canonical(into / "warehouse") == left[batch_id]
            shutil.rmtree(into, ignore_errors=True)  # nothing is there if no run wrote anything
        if left:
            assert problems_of(shop, Path(folder) / "verified") == []


def run_or_die(shop: Shop, patch: pytest.MonkeyPatch, one: dict, dies: str | None) -> None:
    """Run once; the step `dies` fails when its rows are committed and its watermark is not."""
    def record(step: Step) -> dict:
        if step.spec.name == dies:
            raise PipelineError("a fault")
        return original(step)

    original = Step.record
    given = {name: one[name] for name in ("full_refresh", "steps", "snapshot")}
    with pytest.MonkeyPatch.context() as fault:
        fault.setattr(Step, "record", record)
        try:
            in_process.run(shop, patch, snapshot_limit=1.0, quarantine_limit=1.0,
                           may_lack_deliveries=True, **given)
        except AssertionError as error:
            assert "a fault" in str(error)


def test_a_manifest_records_what_a_run_was_given_and_what_it_left(loaded: Shop):
    [folder] = (loaded.reports / "runs").iterdir()
    left = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    customers = next(delivery for delivery in left["deliveries"] if delivery["name"] == "customers.csv")
    assert customers["rows"] == 500
    assert customers["sha256"] == hashlib.sha256((loaded.source / "customers.csv").read_bytes()).hexdigest()
    assert left["parameters"] == {"full_refresh": False, "steps": list(STEPS), "snapshot": [],
                                  "snapshot_limit": 0.2, "quarantine_limit": 0.1, "as_of": ""}
    assert list(left["notebooks"]) == ["1_raw.ipynb", "2_dimensions.ipynb", "3_facts.ipynb", "4_gold.ipynb"]
    assert {"python", "sqlite", "duckdb", "pandas", "great-expectations"} <= left["versions"].keys()
    assert left["watermarks_before"] == {}
    assert list(left["watermarks_after"]) == ["dimensions", "facts", "gold", "raw"]
    assert left["checksums"]["gold"]["sales_summary_daily"][0] == 60
    assert {"run.json", "index.html", "4_gold.ipynb", "4_gold.html", "data_docs"} <= left["files"].keys()
    digests = left["digests"].values()
    assert [len(tables) for tables in digests] == [5, 5, 3]
    logged = loaded.query("audit", "select table_digests from pipeline_execution_log")
    assert {table: digest for (text,) in logged for table, digest in json.loads(text).items()} == {
        table: digest for tables in digests for table, digest in tables.items()}


def test_each_content_is_archived_once(small: Shop, run):
    content = (small.source / "orders.csv").read_bytes()
    kept = archived_path(small.warehouse, hashlib.sha256(content).hexdigest())
    code = ("import sys, pyarrow; "
            f"sys.stdout.buffer.write(pyarrow.input_stream({str(kept)!r}, compression='zstd').read())")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == content
    (small.source / "orders_copy.csv").write_bytes(content)
    run()
    assert len(list((small.warehouse / "archive").rglob("*.zst"))) == 5


def test_a_compressed_delivery_is_replayed_from_its_own_bytes(small: Shop, run, tmp_path: Path):
    content = f"{CUSTOMERS}\nC1,Anna,A,,,,,,vip\n".encode()
    (small.source / "customers.csv.gz").write_bytes(gzip.compress(content))
    run()
    assert replayed(small, batches(small)[-1], tmp_path / "again")[-1].endswith("left them")


def test_a_run_at_a_given_time_counts_everything_from_it(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O3,C2,2029-12-31,,5.00,placed")
    run(now="2030-01-31 06:00:00.000000")
    assert batches(small)[-1] == "20300131T060000.000000"
    for layer, table, column in (("raw", "orders", "ingestion_timestamp"),
                                 ("curated", "fact_orders", "transformation_timestamp"),
                                 ("gold", "reporting_customer_stats", "aggregation_timestamp")):
        [(last,)] = small.query(layer, f"select max({column}) from {table}")
        assert last.startswith("2030-01-31 06:00:00")
    sql = "select days_since_last_order from reporting_customer_stats where customer_id = 'C2'"
    assert small.query("gold", sql) == [(31,)]
    run(now="2030-01-31 06:00:00.000000")
    assert batches(small)[-1] == "20300131T060000.000001"  # no two runs have the same id


def test_a_row_that_differs_in_the_replay_is_named_with_the_likely_cause(small: Shop, tmp_path, monkeypatch):
    notebooks = tmp_path / "notebooks"
    shutil.copytree(PROJECT / "notebooks", notebooks)
    gold = notebooks / "4_gold.ipynb"
    code = gold.read_text(encoding="utf-8").replace("lifetime_value >= 5000", "lifetime_value >= 12")
    gold.write_text(code, encoding="utf-8")
    now = manifest.describe_code()
    now["notebooks"] |= {"4_gold.ipynb": "another"}
    monkeypatch.setattr(in_process, "PROJECT", tmp_path)
    monkeypatch.setattr("lib.storage.manifest.describe_code", lambda *_: now)
    in_process.cells.cache_clear()
    text = "\n".join(replayed(small, batches(small)[0], tmp_path / "again"))
    in_process.cells.cache_clear()
    assert f"run {batches(small)[0]} differs: gold.reporting_customer_stats" in text
    assert re.search("reporting_customer_stats, customer_id C1: value_tier .*'BRONZE'.*'PLATINUM'", text)
    assert "customer_id C2" not in text
    assert "changed since: notebook 4_gold.ipynb" in text


def test_a_notebook_that_was_run_by_hand_is_replayed_like_a_run(small: Shop, run, tmp_path: Path):
    small.deliver("orders_2.csv", ORDERS, "O1,C2,2025-01-03,,14.00,placed")
    run(steps=("raw",))
    folders = {"source": str(small.source), "warehouse": str(small.warehouse), "reports": str(small.reports)}
    in_process.execute(STEPS["facts"], tmp_path, folders, None)
    run()
    by_hand = batches(small)[2]
    assert replayed(small, by_hand, tmp_path / "again")[-1] == f"all 13 tables are as run {by_hand} left them"
    assert problems_of(small, tmp_path / "verified") == []


def test_gold_that_was_run_by_hand_for_another_day_is_replayed_and_verified_for_that_day(
        small: Shop, run, tmp_path: Path):
    small.deliver("orders_2.csv", ORDERS, "O1,C2,2025-01-03,,14.00,placed")
    run(steps=("raw", "dimensions", "facts"))
    folders = {"warehouse": str(small.warehouse), "reports": str(small.reports), "as_of": "2025-03-01"}
    in_process.execute(STEPS["gold"], tmp_path, folders, None)
    run(steps=("raw",))
    days = small.query("gold", "select distinct as_of_date from reporting_customer_stats")
    assert days == [("2025-03-01",)]
    by_hand = batches(small)[2]
    assert replayed(small, by_hand, tmp_path / "again")[-1] == f"all 13 tables are as run {by_hand} left them"
    assert problems_of(small, tmp_path / "verified") == []


def test_an_unknown_run_and_a_folder_in_use_are_refused(small: Shop, tmp_path: Path):
    [batch_id] = batches(small)
    with pytest.raises(UsageError, match=f"did you mean {batch_id}"):
        replay(options(small), batch_id[:-1] + "x", tmp_path / "again", print)
    with pytest.raises(UsageError, match="is not empty"):
        replay(options(small), batch_id, small.source, print)


def test_a_warehouse_as_its_runs_left_it_has_no_problems(small: Shop, run, tmp_path: Path):
    small.deliver("orders_2.csv", ORDERS, "O1,C2,2025-01-03,,14.00,placed", ",C1,2025-01-01,,1.00,")
    run()
    small.deliver("orders_all.csv", ORDERS, "O1,C2,2025-01-03,,14.00,placed", "O3,C1,2025-01-01,,1.00,placed")
    run(snapshot=("orders",), snapshot_limit=0.5)
    assert problems_of(small, tmp_path / "verified") == []


@pytest.mark.parametrize("changes", [[
    ("audit", "update pipeline_execution_log set rows_processed = rows_processed + 1 "
              "where process_name = 'facts'", r"rows in pipeline_execution_log \(execution_id 1 to 4\)"),
    ("audit", "update pipeline_manifest set manifest = replace(manifest, 'orders.csv', 'order5.csv')",
     "run .* manifest in audit.db was changed"),
    ("audit", "update pipeline_watermark set last_processed_timestamp = '2001-01-01' "
              "where process_name = 'gold'", "step gold: .* 2001-01-01 .* commit"),
    ("raw", "update deliveries set rows = rows + 1 where source_name = 'orders'",
     r"orders\.csv in run .* 3 rows .* 2 appended \+ 0 unchanged"),
    ("curated", "update layer_commits set added = 9 where table_name = 'dim_products'",
     r"curated\.dim_products: .*commit of .* add up"),
], [
    ("raw", "delete from payments", r"raw\.payments .* 0 rows instead of 1"),
    ("curated", "update fact_orders set total_amount = 14.01 where order_id = 'O1'",
     r"fact_orders, order_id O1: total_amount is 14\.01 .* 14\.0 "),
    ("gold", "delete from sales_summary_daily where order_date = '2025-01-02'",
     "sales_summary_daily, order_date 2025-01-02: only in the rebuilt table"),
]], ids=["records", "rows"])
def test_what_was_changed_by_hand_is_named(changes: list[tuple[str, str, str]], small: Shop, tmp_path: Path):
    for layer, sql, _ in changes:
        change(small, layer, sql)
    problems = "\n".join(problems_of(small, tmp_path / "verified"))
    for _, sql, pattern in changes:
        assert re.search(pattern, problems), sql


def test_a_run_that_was_removed_from_the_chain_is_missed(small: Shop, run, tmp_path: Path):
    run()
    change(small, "audit", "delete from pipeline_manifest where manifest_id = 1")
    problems = "\n".join(problems_of(small, tmp_path / "verified"))
    assert re.search(f"run {batches(small)[0]}: the manifest before it .*removed", problems)


def test_a_delivery_that_was_changed_in_the_archive_is_named(small: Shop, tmp_path: Path):
    contents = [(small.source / name).read_bytes() for name in ("orders.csv", "products.csv")]
    orders, products = (archived_path(small.warehouse, hashlib.sha256(content).hexdigest())
                        for content in contents)
    shutil.copy(products, orders)
    with pytest.raises(PipelineError, match=r"delivery orders\.csv was changed in the archive"):
        replayed(small, batches(small)[0], tmp_path / "again")
    with pytest.raises(PipelineError, match=r"delivery orders\.csv was changed in the archive"):
        problems_of(small, tmp_path / "verified")
    content = bytearray(products.read_bytes())
    content[len(content) // 2] ^= 1
    orders.write_bytes(content)
    with pytest.raises(PipelineError, match=r"delivery orders\.csv .*archive"):
        replayed(small, batches(small)[0], tmp_path / "damaged")


def test_what_the_archive_has_deleted_cannot_be_replayed_and_is_reported(small: Shop, run, tmp_path: Path):
    first, now = batches(small)[0], "2040-01-01 00:00:00.000000"
    small.deliver("order_lines_2.csv", LINES, "L4,O2,P1,1,2.00,")
    *_, warning = run(now=now, keep_archive=30).warnings()
    assert re.match(f"archive: 5 deliveries .* 2039-12-02 .* {first}.*no longer be replayed", warning)
    with pytest.raises(PipelineError, match=r"delivery customers\.csv is not in the archive"):
        replayed(small, first, tmp_path / "again")
    small.deliver("order_lines_3.csv", LINES, "L5,O2,P1,1,2.00,")
    later = run(now="2040-01-02 00:00:00.000000", keep_archive=30)
    assert not any("archive" in warning for warning in later.warnings())
    assert len(list((small.warehouse / "archive").rglob("*.zst"))) == 2


def test_the_next_run_completes_the_manifest_of_a_run_that_was_killed(warm: WarmRuns, used: Shop):
    used.deliver("orders_2.csv", ORDERS, "N1,C1,2026-01-01,,5.00,placed")
    warm.run(used, fault=("data committed, watermark not", "facts"), expect=-9)
    assert used.query("audit", "select count(*) from pipeline_manifest where manifest is null") == [(1,)]
    warm.run(used)
    with audit.open_audit_to_read(used.warehouse) as log:
        killed = manifest.read_manifests(log)[1]
        assert list(records.check_chain(log)) == []
    assert {name: (step["status"], step["has_run"]) for name, step in killed["steps"].items()} == {
        "raw": ("SUCCESS", True), "dimensions": ("SUCCESS", False), "facts": ("DIED", True)}
    in_folder = (used.reports / "runs" / killed["batch_id"] / "manifest.json").read_text()
    assert json.loads(in_folder) == killed


def test_a_replay_elsewhere_gives_the_same_bytes_and_the_same_notebooks(used: Shop, warm: WarmRuns, tmp_path):
    """Replay here, and in another clone with another time zone, locale and hash seed, with kernels and GX."""
    generate = [sys.executable, PROJECT / "data" / "generate.py", used.source, "--day", "2"]
    subprocess.run(generate, check=True, capture_output=True)
    warm.run(used)
    before, last = canonical(used.warehouse), batches(used)[-1]
    first, second = tmp_path / "first", tmp_path / "a second one"
    here = warm.run(used, "replay", last, "--into", str(first))
    elsewhere = replay_in_a_clone(used, last, second, tmp_path / "another clone")
    transcript = shown("python run_pipeline.py replay 20260106T051500.530114")
    for done, into in ((here, first), (elsewhere, second)):
        assert done.returncode == 0, done.stdout + done.stderr
        assert without_run_ids(done.stdout.splitlines()) == without_run_ids(transcript)
        assert done.stdout.rstrip().endswith(f"as run {last} left them")
        assert canonical(into / "warehouse") == before
    folders = [into / "reports" / "runs" / last for into in (first, second)]
    assert find_differences(*folders) == []
    gold = folders[1] / "4_gold.ipynb"
    gold.write_text(gold.read_text(encoding="utf-8").replace("PLATINUM", "PLATINA", 1), encoding="utf-8")
    [difference] = find_differences(*folders)
    assert difference.startswith("4_gold.ipynb, cell ")
    assert warm.run(used, "verify").stdout.splitlines() == shown("python run_pipeline.py verify")
    asked = subprocess.run(
        [*used.command("query"), "--as-of", batches(used)[0], "gold", "--format", "csv",
         "--sql", "select max(order_date) as day from sales_summary_daily"],
        cwd=PROJECT, capture_output=True, text=True, timeout=300)
    assert (asked.stdout.split(), asked.stderr) == (["day", "2025-12-30"], "")


def replay_in_a_clone(shop: Shop, batch_id: str, into: Path, clone: Path) -> subprocess.CompletedProcess:
    left_out = shutil.ignore_patterns(".git", "warehouse", "reports", "node_modules", "tests", ".*")
    shutil.copytree(PROJECT, clone, ignore=left_out)
    arguments = shop.command("replay", batch_id, "--into", str(into))[2:]
    environment = {**os.environ, "TZ": "Asia/Tokyo", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "7"}
    return subprocess.run([sys.executable, clone / "run_pipeline.py", *arguments], env=environment,
                          capture_output=True, text=True, timeout=300)


def without_run_ids(lines: list[str]) -> list[str]:
    return [re.sub(r"\d+T\d+\.\d+", "RUN", line) for line in lines]


def test_the_manifest_names_the_commit_and_whether_files_were_changed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("lib.storage.manifest.PROJECT", tmp_path)
    shutil.copy(PROJECT / "requirements.txt", tmp_path)
    assert manifest.describe_code()["git"] is None  # no repository
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=A", "-c", "user.email=a@example.com",
                                                 "commit", "-qm", "all"]):
        subprocess.run(["git", "-C", tmp_path, *words], check=True)
    git = manifest.describe_code()["git"]
    assert re.fullmatch("[0-9a-f]{40}", git["commit"]) and git["is_clean"]
    (tmp_path / "requirements.txt").write_text("changed")
    assert manifest.describe_code()["git"] == git | {"is_clean": False}
