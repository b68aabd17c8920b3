"""Any past run can be made again and gives the same tables, to the byte; what was changed behind its back is found and named."""

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
from histories import content_of, runs, write
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from same_run import differences
from warm_runs import WarmRuns

from lib.errors import PipelineError, UsageError
from lib.ingest.archive import archived_path
from lib.reproduce.replay import replay
from lib.reproduce.verify import verify
from lib.step.base import Step
from lib.steps import STEPS, Options
from lib.storage import audit, manifest

HISTORIES = 3 * int(os.environ.get("SOAK", "1"))
LAYERS = ("raw", "curated", "gold")


def options(shop: Shop, **given) -> Options:
    return Options(shop.source, shop.warehouse, shop.reports, **given)


def batches(shop: Shop) -> list[str]:
    return [batch for (batch,) in shop.query("audit", "select batch_id from pipeline_manifest order by manifest_id")]


def canonical(warehouse: Path) -> dict[str, str]:
    """Return the sha256 of what VACUUM INTO makes of each layer that is there."""
    hashes = {}
    for layer in LAYERS:
        if (warehouse / f"{layer}.db").exists():
            with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(warehouse / f"{layer}.db")) as connection:
                connection.execute("vacuum into ?", [f"{folder}/canonical.db"])
                hashes[layer] = hashlib.sha256(Path(folder, "canonical.db").read_bytes()).hexdigest()
    return hashes


def made_again(shop: Shop, batch_id: str, into: Path) -> list[str]:
    """Make a run again; return what was said, after checking that the verdict is the last line's."""
    said: list[str] = []
    is_same = replay(options(shop), batch_id, into, said.append)
    assert said[-1].endswith("left them") == is_same
    return said


def verified(shop: Shop, into: Path) -> list[str]:
    """Verify a warehouse and return what is wrong with it."""
    said: list[str] = []
    is_well = verify(options(shop), into, said.append)
    trouble = [line.strip() for line in said if line.startswith("  ")]
    assert is_well == (not trouble)
    return trouble


def change(shop: Shop, layer: str, sql: str) -> None:
    """Change a database as nobody may: behind its triggers, if it has some."""
    with closing(sqlite3.connect(shop.warehouse / f"{layer}.db")) as connection, connection:
        for (trigger,) in connection.execute("select name from sqlite_schema where type = 'trigger'").fetchall():
            connection.execute(f"drop trigger {trigger}")
        assert connection.execute(sql).rowcount == 1


@settings(max_examples=HISTORIES, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(history=st.lists(st.tuples(runs, st.sampled_from([None] * 4 + list(STEPS))), min_size=1, max_size=5), data=st.data())
def test_every_run_of_every_history_is_made_again_to_the_byte(history: list, data):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("lib.step.base.Step.check", lambda step, suite, rows: rows)
        shop, left = Shop(Path(folder) / "shop"), {}
        shop.source.mkdir(parents=True)
        for one, dies in history:
            for source, name, rows in one["deliveries"]:
                write(shop.source / name, content_of(source, rows))
            if any(shop.source.rglob("*.csv*")):
                with pytest.MonkeyPatch.context() as fault:
                    if dies:  # once its rows are committed, before its watermark is
                        fault.setattr(Step, "record", dying(dies, Step.record))
                    try:
                        in_process.run(shop, patch, snapshot_limit=1.0, **{name: one[name] for name in (
                            "full_refresh", "steps", "snapshot")})
                    except AssertionError as error:
                        assert "a fault" in str(error)
                left[batches(shop)[-1]] = canonical(shop.warehouse)
        for batch_id in data.draw(st.permutations(list(left))):
            into = Path(folder) / batch_id
            said = made_again(shop, batch_id, into)
            assert said[-1].endswith("left them"), "\n".join(said)
            made = canonical(into / "warehouse")
            assert made == left[batch_id]
            shutil.rmtree(into)
        if left:
            assert verified(shop, Path(folder) / "verified") == []


def dying(name: str, record):
    def fail(step: Step) -> dict:
        if step.spec.name == name:
            raise PipelineError("a fault")
        return record(step)
    return fail


def test_a_run_leaves_a_manifest_of_what_it_was_given_and_what_came_of_it(loaded: Shop):
    [folder] = (loaded.reports / "runs").iterdir()
    left = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    customers = next(delivery for delivery in left["deliveries"] if delivery["name"] == "customers.csv")
    assert (customers["rows"], customers["sha256"]) == (
        500, hashlib.sha256((loaded.source / "customers.csv").read_bytes()).hexdigest())
    assert left["parameters"] == {"full_refresh": False, "steps": list(STEPS), "snapshot": [], "snapshot_limit": 0.2,
                                  "quarantine_limit": 0.1}
    assert list(left["notebooks"]) == ["1_raw.ipynb", "2_dimensions.ipynb", "3_facts.ipynb", "4_gold.ipynb"]
    assert {"python", "sqlite", "duckdb", "pandas", "great-expectations"} <= left["versions"].keys()
    assert left["watermarks_before"] == {} and list(left["watermarks_after"]) == ["dimensions", "facts", "gold", "raw"]
    assert {layer: len(tables) for layer, tables in left["digests"].items()} == {"raw": 5, "curated": 5, "gold": 3}
    logged = [json.loads(text) for (text,) in loaded.query("audit", "select table_digests from pipeline_execution_log")]
    assert {table: digest for tables in logged for table, digest in tables.items()} == {
        table: digest for tables in left["digests"].values() for table, digest in tables.items()}


def test_deliveries_are_archived_once_by_content(small: Shop, run):
    content = (small.source / "orders.csv").read_bytes()
    kept = archived_path(small.warehouse, hashlib.sha256(content).hexdigest())
    assert subprocess.run([sys.executable, "-c", "import sys, pyarrow; sys.stdout.buffer.write(pyarrow.input_stream("
                           f"{str(kept)!r}, compression='zstd').read())"], capture_output=True, check=True).stdout == content
    (small.source / "orders_copy.csv").write_bytes(content)
    run()
    assert len(list((small.warehouse / "archive").rglob("*.zst"))) == 5


def test_a_compressed_delivery_is_made_again_from_its_own_bytes(small: Shop, run, tmp_path: Path):
    (small.source / "customers.csv.gz").write_bytes(gzip.compress(f"{CUSTOMERS}\nC1,Anna,A,,,,,,vip\n".encode()))
    run()
    assert made_again(small, batches(small)[-1], tmp_path / "again")[-1].endswith("left them")


def test_a_run_at_a_given_time_counts_everything_from_it(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O3,C2,2029-12-31,,5.00,placed")
    run(now="2030-01-31 06:00:00.000000")
    assert batches(small)[-1] == "20300131T060000.000000"
    stamps = [small.query(layer, f"select max({column}) from {table}")[0][0][:19] for layer, table, column in (
        ("raw", "orders", "ingestion_timestamp"), ("curated", "fact_orders", "transformation_timestamp"),
        ("gold", "reporting_customer_stats", "aggregation_timestamp"))]
    assert stamps == ["2030-01-31 06:00:00"] * 3
    assert small.query("gold", "select days_since_last_order from reporting_customer_stats where customer_id = 'C2'") == [(31,)]
    with pytest.raises(UsageError, match="is not later than the last run"):
        run(now="2030-01-31 06:00:00.000000")


def test_a_row_that_comes_out_otherwise_is_named_with_the_likely_cause(small: Shop, tmp_path: Path, monkeypatch):
    notebooks = tmp_path / "notebooks"
    shutil.copytree(PROJECT / "notebooks", notebooks)
    gold = notebooks / "4_gold.ipynb"
    gold.write_text(gold.read_text(encoding="utf-8").replace("lifetime_value >= 5000", "lifetime_value >= 12"), encoding="utf-8")
    before = manifest.describe_code()
    after = before | {"notebooks": before["notebooks"] | {"4_gold.ipynb": "another"}}
    monkeypatch.setattr(in_process, "PROJECT", tmp_path)
    monkeypatch.setattr("lib.storage.manifest.describe_code", lambda *_: after)
    in_process.cells.cache_clear()
    said = "\n".join(made_again(small, batches(small)[0], tmp_path / "again"))
    in_process.cells.cache_clear()
    assert "comes out otherwise: gold.reporting_customer_stats" in said
    assert ("reporting_customer_stats, customer_id C1: value_tier is 'BRONZE' in the warehouse, 'PLATINUM' rebuilt") in said
    assert "customer_id C2" not in said
    assert "changed since: notebook 4_gold.ipynb" in said


def test_a_notebook_that_was_run_by_hand_is_made_again_like_a_run(small: Shop, run, tmp_path: Path):
    small.deliver("orders_2.csv", ORDERS, "O1,C2,2025-01-03,,14.00,placed")
    run(steps=("raw",))
    in_process.execute(STEPS["facts"], tmp_path, {"source": str(small.source), "warehouse": str(small.warehouse),
                                                  "reports": str(small.reports)}, None)
    run()
    by_hand = batches(small)[2]
    assert made_again(small, by_hand, tmp_path / "again")[-1] == f"all 13 tables are as run {by_hand} left them"
    assert verified(small, tmp_path / "verified") == []


def test_a_run_that_is_not_known_and_a_folder_that_is_used_are_refused(small: Shop, tmp_path: Path):
    [batch_id] = batches(small)
    with pytest.raises(UsageError, match=f"did you mean {batch_id}"):
        replay(options(small), batch_id[:-1] + "x", tmp_path / "again", print)
    with pytest.raises(UsageError, match="is not empty"):
        replay(options(small), batch_id, small.source, print)


def test_a_warehouse_as_its_runs_left_it_is_verified(small: Shop, run, tmp_path: Path):
    small.deliver("orders_2.csv", ORDERS, "O1,C2,2025-01-03,,14.00,placed", ",C1,2025-01-01,,1.00,")
    run()
    small.deliver("orders_all.csv", ORDERS, "O1,C2,2025-01-03,,14.00,placed", "O3,C1,2025-01-01,,1.00,placed")
    run(snapshot=("orders",), snapshot_limit=0.5)
    assert verified(small, tmp_path / "verified") == []


@pytest.mark.parametrize(("layer", "sql", "words"), [
    ("audit", "update pipeline_execution_log set rows_processed = rows_processed + 1 where process_name = 'facts'",
     "its rows in pipeline_execution_log (execution_id 1 to 4) were changed"),
    ("audit", "update pipeline_manifest set manifest = replace(manifest, 'orders.csv', 'order5.csv')",
     "its manifest in audit.db was changed"),
    ("audit", "update pipeline_watermark set last_processed_timestamp = '2001-01-01' where process_name = 'gold'",
     "step gold: 2001-01-01 is no commit of its input"),
    ("raw", "update deliveries set rows = rows + 1 where source_name = 'orders'",
     "3 rows were read, but 2 appended, 0 unchanged, 0 duplicates, 0 quarantined"),
    ("raw", "delete from payments", "raw.payments: 1 rows were appended, 0 are there"),
    ("curated", "update fact_orders set total_amount = 14.01 where order_id = 'O1'",
     "fact_orders, order_id O1: total_amount is 14.01 in the warehouse, 14.0 rebuilt"),
    ("curated", "update layer_commits set added = 9 where table_name = 'dim_products'",
     "curated.dim_products: the rows of the commit of"),
    ("gold", "delete from sales_summary_daily where order_date = '2025-01-02'",
     "sales_summary_daily, order_date 2025-01-02: only rebuilt"),
])
def test_what_was_changed_by_hand_is_found_and_named(layer: str, sql: str, words: str, small: Shop, tmp_path: Path):
    change(small, layer, sql)
    assert words in "\n".join(verified(small, tmp_path / "verified"))


def test_a_run_that_was_taken_out_of_the_chain_is_missed(small: Shop, run, tmp_path: Path):
    run()
    change(small, "audit", "delete from pipeline_manifest where manifest_id = 1")
    assert f"run {batches(small)[0]}: the manifest before it was changed or removed" in verified(small, tmp_path / "verified")


def test_a_manifest_or_a_notebook_that_was_changed_in_its_folder_is_named(used: Shop):
    [folder] = (used.reports / "runs").iterdir()
    for name, old, new in (("manifest.json", b"orders.csv", b"order5.csv"), ("4_gold.ipynb", b"PLATINUM", b"PLATINUN")):
        (folder / name).write_bytes((folder / name).read_bytes().replace(old, new, 1))
    with audit.open_audit_to_read(used.warehouse) as log:
        assert manifest.check_chain(log, used.reports) == [
            f"run {folder.name}: manifest.json in its folder is not the one in audit.db",
            f"run {folder.name}: the executed 4_gold.ipynb was changed or removed"]


def test_a_delivery_that_was_changed_in_the_archive_is_named(small: Shop, tmp_path: Path):
    kept = archived_path(small.warehouse, hashlib.sha256((small.source / "orders.csv").read_bytes()).hexdigest())
    other = archived_path(small.warehouse, hashlib.sha256((small.source / "products.csv").read_bytes()).hexdigest())
    shutil.copy(other, kept)
    for again in (lambda into: made_again(small, batches(small)[0], into), lambda into: verified(small, into)):
        with pytest.raises(PipelineError, match=r"delivery orders\.csv was changed in the archive"):
            again(tmp_path / f"again {again}")
    content = bytearray(other.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    with pytest.raises(PipelineError, match=r"delivery orders\.csv (was changed|cannot be read from) the archive|in the archive"):
        made_again(small, batches(small)[0], tmp_path / "again")


def test_what_the_archive_forgets_can_no_longer_be_replayed_and_the_run_says_so(small: Shop, run, tmp_path: Path):
    first, now = batches(small)[0], "2040-01-01 00:00:00.000000"
    small.deliver("order_lines_2.csv", LINES, "L4,O2,P1,1,2.00,")
    result = run(now=now, keep_archive=30)
    [warning] = result.warnings()
    assert re.search(rf"archive: 5 deliveries .* 2039-12-02 .* {first}", warning)
    with pytest.raises(PipelineError, match=r"delivery customers\.csv is not in the archive"):
        made_again(small, first, tmp_path / "again")
    small.deliver("order_lines_3.csv", LINES, "L5,O2,P1,1,2.00,")
    assert run(now="2040-01-02 00:00:00.000000", keep_archive=30).warnings() == []
    assert len(list((small.warehouse / "archive").rglob("*.zst"))) == 2


def test_a_run_that_was_killed_has_its_manifest_completed_by_the_next_and_is_made_again(tmp_path: Path, warm: WarmRuns, used: Shop):
    used.deliver("orders_2.csv", ORDERS, "N1,C1,2026-01-01,,5.00,placed")
    warm.run(used, fault=("data committed, watermark not", "facts"), expect=-9)
    assert used.query("audit", "select count(*) from pipeline_manifest where manifest is null") == [(1,)]
    warm.run(used)
    with audit.open_audit_to_read(used.warehouse) as log:
        killed = manifest.read_manifests(log)[1]
        assert manifest.check_chain(log, used.reports) == []
    assert {name: (step["status"], step["has_run"]) for name, step in killed["steps"].items()} == {
        "raw": ("SUCCESS", True), "dimensions": ("SUCCESS", False), "facts": ("DIED", True)}
    assert json.loads((used.reports / "runs" / killed["batch_id"] / "manifest.json").read_text()) == killed


def test_a_replay_elsewhere_gives_the_same_bytes_and_the_same_notebooks(used: Shop, tmp_path: Path):
    """Another folder and clone, another time zone, locale and hash seed; kernels and GX as in any run."""
    subprocess.run([sys.executable, PROJECT / "data" / "generate.py", used.source, "--day", "2"], check=True, capture_output=True)
    used.run()
    before, last = canonical(used.warehouse), batches(used)[-1]
    clone = tmp_path / "another clone"
    shutil.copytree(PROJECT, clone, ignore=shutil.ignore_patterns(".git", "warehouse", "reports", "node_modules", "tests", ".*"))
    folders = [tmp_path / "first", tmp_path / "a second one"]
    for into, project, environment in zip(folders, (PROJECT, clone), (
            {}, {"TZ": "Asia/Tokyo", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "7"}), strict=True):
        done = subprocess.run([sys.executable, project / "run_pipeline.py", *used.command()[2:], "--replay", last, "--into", into],
                              capture_output=True, text=True, timeout=300, env={**os.environ, **environment})
        assert done.returncode == 0, done.stdout + done.stderr
        assert without_runs(done.stdout) == without_runs("\n".join(shown("python run_pipeline.py --replay 20260106T051500.530114")))
        assert done.stdout.rstrip().endswith(f"as run {last} left them")
        assert canonical(into / "warehouse") == before
    first, second = (into / "reports" / "runs" / last for into in folders)
    assert differences(first, second) == []
    gold = second / "4_gold.ipynb"
    gold.write_text(gold.read_text(encoding="utf-8").replace("PLATINUM", "PLATINA", 1), encoding="utf-8")
    [difference] = differences(first, second)
    assert difference.startswith("4_gold.ipynb, cell ")
    assert used.run("--verify").stdout.splitlines() == shown("python run_pipeline.py --verify")
    asked = subprocess.run([sys.executable, "-m", "lib.explore.query", "--warehouse", used.warehouse, "--as-of", batches(used)[0], "gold",
                            "--sql", "select max(order_date) as day from sales_summary_daily", "--format", "csv"],
                           cwd=PROJECT, capture_output=True, text=True, timeout=300)
    assert (asked.stdout.split(), asked.stderr) == (["day", "2025-12-30"], "")


def without_runs(text: str) -> list[str]:
    return re.sub(r"\d+T\d+\.\d+", "RUN", text).splitlines()
