"""What a preview says is, row by row and cent by cent, what the run that follows does."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import in_process
import pytest
from commands import copy_with_environment
from conftest import CUSTOMERS, ORDERS, PROJECT, Shop
from histories import BROKEN, runs, write
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lib.errors import DIFFERENT, PipelineError
from lib.preview.build import Preview, make_preview
from lib.preview.examples import Tried
from lib.preview.show import describe, write_preview
from lib.steps import PLACE, STEPS, Options
from lib.storage.lock import run_lock

NO_EXAMPLES = Tried(0, [])
LENIENT = {"quarantine_limit": 1.0, "may_lack_deliveries": True}
TABLES = [(step.writes, table) for step in STEPS.values() if step.reads != "source" for table in step.outputs]
Content = dict[str, dict[str, dict]]  # by table and key

EDITS = {  # by file: what a person may change, and into what
    "notebooks/2_dimensions.ipynb": [(r'\"email\"].str.lower()', r'\"email\"].str.upper()'),
                                     (r'\"segment\"].str.upper()', r'\"segment\"]')],
    "notebooks/3_facts.ipynb": [(r'\"discount_amount\"].fillna(0)', r'\"discount_amount\"].fillna(1)'),
                                (r'\"status\"].str.upper()', r'\"status\"].str.lower()')],
    "notebooks/4_gold.ipynb": [(">= 500 then 'SILVER'", ">= 50 then 'SILVER'"),
                               ("('CANCELLED', 'CANCELED')", "('SHIPPED')"),
                               ("<= 30 then 'LOW'", "<= 3000 then 'LOW'")],
    "gx/expectations/fact_order_lines.json": [('"min_value": 0', '"min_value": 100'),
                                              ('"quarantine"', '"warn"')],
    "gx/expectations/fact_orders.json": [('"warn"', '"quarantine"'), ('"PLACED",', "")],
    "gx/expectations/fact_payments.json": [('"warn"', '"quarantine"')],
}
edits = st.lists(st.sampled_from([(file, old, new) for file, pairs in EDITS.items() for old, new in pairs]),
                 min_size=1, max_size=3, unique=True)


@contextmanager
def rules_in(copy: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the runs of this process use the notebooks, suites and contract of a copy."""
    for name in ("notebooks", "gx", "data/contract"):
        shutil.copytree(PROJECT / name, copy / name, dirs_exist_ok=True)
    shutil.copy(PROJECT / "requirements.txt", copy)
    patch.setattr(in_process, "PROJECT", copy)
    for module in ("lib.step.fingerprint", "lib.storage.manifest", "lib.preview.rules"):
        for name, path in {"NOTEBOOKS": copy / "notebooks", "SUITES": copy / "gx" / "expectations",
                           "CONTRACT": copy / "data" / "contract", "PROJECT": copy}.items():
            if hasattr(sys.modules[module], name):
                patch.setattr(f"{module}.{name}", path)
    patch.setattr("lib.step.gate.PROJECT", copy)
    in_process.cells.cache_clear()
    yield
    in_process.cells.cache_clear()


def edit(copy: Path, file: str, old: str, new: str) -> bool:
    text = (copy / file).read_text(encoding="utf-8")
    (copy / file).write_text(text.replace(old, new), encoding="utf-8")
    in_process.cells.cache_clear()
    return old in text


def preview_of(shop: Shop, patch: pytest.MonkeyPatch, **how) -> Preview:
    """Return the preview, which leaves no trace."""
    in_process.keep_in_process(patch)
    with_new = how.pop("with_new", False)
    options = Options(shop.source, shop.warehouse, shop.reports, settled_seconds=0, quarantine_limit=1.0,
                      **how)
    before, files = shop.state(), sorted(shop.folder.rglob("*"))
    with tempfile.TemporaryDirectory() as folder:
        preview = make_preview(options, Path(folder), with_new=with_new)
    assert shop.state() == before
    assert sorted(path for path in shop.folder.rglob("*") if path.suffix not in (".db-wal", ".db-shm")) == [
        path for path in files if path.suffix not in (".db-wal", ".db-shm")]
    return preview


def content(shop: Shop) -> Content:
    found = {}
    for layer, table in TABLES:
        names = [name for (name,) in shop.query(layer, f"select name from pragma_table_info('{table}')")
                 if name not in PLACE[layer]]
        rows = shop.query(layer, f"select {', '.join(names)} from {table}") if names else []
        found[table] = {str(row[0]): dict(zip(names, row, strict=True)) for row in rows}
    return found


def set_aside(shop: Shop) -> set[tuple]:
    return {(layer, *row) for layer in ("raw", "curated") for row in shop.query(
        layer, "select table_name, rule, source_filename, source_row from quarantine "
               "where resolved_batch_id is null")}


def assert_said(preview: Preview, before: Content, after: Content) -> None:
    """The preview has every difference between two states of the tables, and no other."""
    said = {table.table: table for table in preview.tables}
    for _, table in TABLES:
        old, new = before[table], after[table]
        both = old.keys() & new.keys()
        counts = (len(new.keys() - old.keys()), len(old.keys() - new.keys()),
                  sum(old[key] != new[key] for key in both))
        assert (table in said) == any(counts), table
        if table not in said:
            continue
        one = said[table]
        assert (one.added, one.removed, one.changed) == counts, table
        assert (one.rows_before, one.rows_after) == (len(old), len(new))
        assert set(one.added_keys) <= new.keys() - old.keys()
        assert set(one.removed_keys) <= old.keys() - new.keys()
        names = {name for key in both for name in new[key] if old[key].get(name) != new[key][name]}
        assert {column.name: column.rows for column in one.columns} == {
            name: sum(old[key].get(name) != new[key][name] for key in both) for name in names}
        for column in one.columns:
            for key, was, becomes in column.sample:
                assert (was, becomes) == (old[key][column.name], new[key][column.name])


@pytest.mark.whole_run
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(history=st.lists(runs, min_size=1, max_size=3), changes=edits)
def test_what_a_preview_says_of_changed_rules_is_what_the_next_run_does(history: list[dict], changes: list):
    with (tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch,
          rules_in(Path(folder) / "project", patch)):
        shop = Shop(Path(folder) / "shop")
        for one in history:
            for _, name, text in one["deliveries"]:
                if not text.startswith(BROKEN):
                    write(shop.source / name, text)
        write(shop.source / "orders_0.csv", f"{ORDERS}\nO0,C1,2025-01-01,,60.00,placed\n".encode())
        in_process.run(shop, patch, now="2025-02-01 00:00:00.000000", **LENIENT)
        files = {file for file, old, new in changes if edit(Path(folder) / "project", file, old, new)}
        preview = preview_of(shop, patch)
        assert preview.error == ""
        assert {change.file for change in preview.rules} == files
        before, aside = content(shop), set_aside(shop)
        in_process.run(shop, patch, now="2025-02-01 00:00:00.000000", **LENIENT)
        assert_said(preview, before, content(shop))
        now = set_aside(shop)
        assert sum(group.added for group in preview.set_aside) == len(now - aside)
        assert sum(group.let_in for group in preview.set_aside) == len(aside - now)
        again = preview_of(shop, patch)
        assert (again.rules, again.tables, again.set_aside, again.is_different) == ((), (), (), False)


@pytest.fixture
def copy(tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """A copy of the rules, which the runs of this process use."""
    with rules_in(tmp_path / "project", monkeypatch):
        yield tmp_path / "project"


@pytest.fixture
def recorded(small: Shop, copy: Path, run) -> Shop:
    """The small shop after its run by the copy's rules, on the second day of the year."""
    run(now="2025-01-03 00:00:00.000000", full_refresh=True)
    return small


def test_a_preview_without_a_changed_rule_is_empty(recorded: Shop, monkeypatch):
    preview = preview_of(recorded, monkeypatch)
    assert (preview.rules, preview.rebuilt, preview.tables, preview.totals) == ((), (), (), ())
    assert not preview.is_different and describe(preview, NO_EXAMPLES)[-1] == "nothing would become different"


def test_a_changed_cell_is_shown_with_its_text_before_and_after(recorded: Shop, copy: Path, monkeypatch):
    edit(copy, "notebooks/4_gold.ipynb", ">= 500 then 'SILVER'", ">= 12 then 'SILVER'")
    preview = preview_of(recorded, monkeypatch)
    [change] = preview.rules
    assert (change.step, change.file) == ("gold", "notebooks/4_gold.ipynb")
    assert [line.strip("+- ") for line in change.lines if line[0] in "+-"] == [
        "when lifetime_value >= 500 then 'SILVER' else 'BRONZE' end as value_tier,",
        "when lifetime_value >= 12 then 'SILVER' else 'BRONZE' end as value_tier,"]
    assert preview.rebuilt == ("gold",)


def test_a_comment_is_no_rule(recorded: Shop, copy: Path, monkeypatch):
    edit(copy, "notebooks/2_dimensions.ipynb", "def clean_customers(rows):",
         "def clean_customers(rows):  # all")
    assert preview_of(recorded, monkeypatch).rules == ()


def test_a_changed_expectation_is_named_with_the_values_that_differ(recorded: Shop, copy: Path, monkeypatch):
    edit(copy, "gx/expectations/fact_order_lines.json", '"min_value": 0', '"min_value": 5')
    preview = preview_of(recorded, monkeypatch)
    [change] = preview.rules
    assert change.place == "expect_column_values_to_be_between(unit_price)"
    assert [line for line in change.lines if line[0] in "+-"] == ["-min_value 0", "+min_value 5"]
    [group] = preview.set_aside
    assert (group.table, group.rule, group.added, group.let_in) == (
        "fact_order_lines", change.place, 1, 0)
    assert group.sample[0].startswith("order_lines.csv line 2: ")


def test_a_changed_rule_of_raw_is_said_to_apply_from_now_on(recorded: Shop, copy: Path, monkeypatch):
    edit(copy, "gx/expectations/raw_orders.json", '"max_value": 200', '"max_value": 100')
    preview = preview_of(recorded, monkeypatch)
    assert not preview.is_different
    [line] = [line for line in describe(preview, NO_EXAMPLES) if "raw_orders.json" in line]
    assert line.endswith("(step raw: applies to deliveries that are read from now on)")


def test_rules_of_an_earlier_release_are_named_without_their_text(recorded: Shop, copy: Path, monkeypatch):
    with closing(sqlite3.connect(recorded.warehouse / "audit.db")) as log, log:
        for name, in log.execute("select name from sqlite_schema where type = 'trigger'").fetchall():
            log.execute(f"drop trigger {name}")
        log.execute("update pipeline_manifest "
                    "set manifest = json_remove(manifest, '$.rules', '$.rule_texts')")
    edit(copy, "notebooks/4_gold.ipynb", ">= 500 then 'SILVER'", ">= 12 then 'SILVER'")
    preview = preview_of(recorded, monkeypatch)
    [change] = preview.rules
    assert (change.file, change.place, change.before) == ("notebooks/4_gold.ipynb", "", None)
    assert preview.is_different
    assert any("not on record" in line for line in describe(preview, NO_EXAMPLES))


def test_sums_by_month_and_control_totals_are_shown_before_and_after(recorded: Shop, copy: Path, monkeypatch):
    edit(copy, "notebooks/4_gold.ipynb", "'CANCELLED', 'CANCELED'", "'CANCELLED', 'PLACED'")
    sums = "select substr(order_date, 1, 7), round(sum(net_sales), 2) from sales_summary_daily group by 1"
    before = dict(recorded.query("gold", sums))
    preview = preview_of(recorded, monkeypatch)
    in_process.run(recorded, monkeypatch, now="2025-01-03 00:00:00.000000")
    after = dict(recorded.query("gold", sums))
    said = {total.month: (float(total.before), float(total.after))
            for total in preview.totals if total.name == "net_sales"}
    assert before == {"2025-01": 24.0} and said == {month: (before[month], after[month]) for month in before}
    totals = {total.name: (total.before, total.after) for total in preview.totals if not total.month}
    assert totals["net sales"] == ("24.00", "0.00")


def test_an_observed_expectation_is_tried_on_all_of_history(recorded: Shop, copy: Path, monkeypatch):
    path = copy / "gx" / "expectations" / "fact_order_lines.json"
    suite = json.loads(path.read_text(encoding="utf-8"))
    suite["expectations"].append({
        "type": "expect_column_values_to_be_between", "kwargs": {"column": "unit_price", "min_value": 5},
        "meta": {"on_failure": "observe"}, "notes": "Is anything cheaper than 5?"})
    path.write_text(json.dumps(suite), encoding="utf-8")
    preview = preview_of(recorded, monkeypatch)
    assert (preview.rules, preview.is_different, preview.rebuilt) == ((), False, ("facts", "gold"))
    [one] = preview.observed
    assert (one.suite, one.failed, one.checked) == ("fact_order_lines", 1, 3)
    assert any("1 of 3 rows do not meet" in line for line in describe(preview, NO_EXAMPLES))
    assert in_process.run(recorded, monkeypatch, now="2025-01-03 00:00:00.000000").verdict == "nothing new"


def test_a_gate_that_would_stop_fails_the_preview_with_its_message(recorded: Shop, copy: Path, monkeypatch):
    edit(copy, "gx/expectations/fact_orders.json", '"column": "order_id"', '"column": "channel"')
    edit(copy, "gx/expectations/fact_orders.json", '"quarantine"', '"fail"')
    preview = preview_of(recorded, monkeypatch)
    assert "gate fact_orders: expect_column_values_to_not_be_null(channel) failed on 2 of 2" in preview.error
    lines = describe(preview, NO_EXAMPLES)
    assert lines[1] == "rebuilt in a copy: nothing, as the run failed"
    assert lines[-1].startswith("a run would fail: ")


def test_new_deliveries_are_read_only_when_asked_for(recorded: Shop, monkeypatch):
    recorded.deliver("orders_2.csv", ORDERS, "O3,C1,2025-01-02,,7.00,placed")
    assert not preview_of(recorded, monkeypatch).is_different
    with_new = preview_of(recorded, monkeypatch, with_new=True, now="2025-01-04 00:00:00.000000")
    assert with_new.deliveries == ("orders_2.csv",)
    assert {table.table: table.added for table in with_new.tables if table.added} == {
        "orders": 1, "fact_orders": 1}
    before = content(recorded)
    in_process.run(recorded, monkeypatch, now="2025-01-04 00:00:00.000000")
    assert_said(with_new, before, content(recorded))


def test_a_column_that_is_new_or_no_more_is_named(recorded: Shop, copy: Path, monkeypatch):
    edit(copy, "notebooks/2_dimensions.ipynb", r'\"segment\"]\n', r'\"segment\", \"wide\"]\n')
    edit(copy, "notebooks/2_dimensions.ipynb", "segment=rows", "wide=rows['last_name'] * 2, segment=rows")
    preview = preview_of(recorded, monkeypatch)
    [table] = [table for table in preview.tables if table.table == "dim_customers"]
    assert (table.columns_added, table.columns_removed) == (("wide",), ())


def test_what_cannot_be_compared_says_so(tmp_path: Path, monkeypatch):
    shop = Shop(tmp_path)
    shop.source.mkdir()
    with pytest.raises(PipelineError, match="there is nothing to compare with in "):
        make_preview(Options(shop.source, shop.warehouse, shop.reports), tmp_path / "into", with_new=True)


def test_the_page_of_a_preview_names_every_difference(
        recorded: Shop, copy: Path, monkeypatch, tmp_path: Path):
    edit(copy, "notebooks/4_gold.ipynb", ">= 500 then 'SILVER'", ">= 12 then 'SILVER'")
    recorded.deliver("customers_2.csv", CUSTOMERS, "C1,<b>Ann</b>,A,,,,,,vip")
    preview = preview_of(recorded, monkeypatch, with_new=True, now="2025-01-03 00:00:00.000000")
    page = write_preview(preview, NO_EXAMPLES, tmp_path / "reports").read_text(encoding="utf-8")
    assert "BRONZE" in page and "SILVER" in page and "cell gold-19" in page
    assert "&lt;b&gt;Ann&lt;/b&gt;" in page and "<b>" not in page
    for table in preview.tables:
        assert f">{table.table}<" in page


@pytest.mark.whole_run
def test_the_command_exits_by_what_it_found(used: Shop, tmp_path: Path):
    project = tmp_path / "project"
    copy_with_environment(PROJECT, project)

    def preview(*words: str, expect: int) -> subprocess.CompletedProcess:
        folders = [f"--{name}={used.folder / name}" for name in ("source", "warehouse", "reports")]
        done = subprocess.run([project / ".venv" / "bin" / "python", project / "run_pipeline.py", "preview",
                               *folders, *words], capture_output=True, text=True, timeout=300)
        assert done.returncode == expect, done.stdout + done.stderr
        assert done.stderr == "" or expect in (2, 3)
        return done

    before = used.state()
    assert "nothing would become different" in preview(expect=0).stdout
    edit(project, "notebooks/4_gold.ipynb", ">= 500 then 'SILVER'", ">= 600 then 'SILVER'")
    assert "cell gold-19 of 4_gold.ipynb" in preview(expect=1).stdout  # which an example is about
    for old, new in (("500.00", "600.00"), ("lifetime_value: 500,", "lifetime_value: 600,"),
                     ("499.99", "599.99")):
        edit(project, "notebooks/examples.yaml", old, new)
    said = json.loads(preview("--json", expect=DIFFERENT).stdout)
    [table] = said["tables"]
    [(expected,)] = used.query("gold", "select count(*) from reporting_customer_stats "
                                       "where lifetime_value >= 500 and lifetime_value < 600")
    assert (table["table"], table["changed"], said["is_different"]) == (
        "reporting_customer_stats", expected, True)
    assert (used.reports / "preview" / "index.html").samefile(said["page"])
    edit(project, "data/contract/customers.yaml", 'missingValues: [""', 'missingValues: ["", "Kim"')
    said = json.loads(preview("--json", expect=DIFFERENT).stdout)
    assert {change["file"] for change in said["rules"]} >= {
        "notebooks/4_gold.ipynb", "data/contract/customers.yaml"}
    [emptied] = used.query("raw", "select count(*) from customers where trim(last_name) = 'Kim'")
    [names] = [column for one in said["tables"] if one["table"] == "dim_customers"
               for column in one["columns"]]
    assert (names["name"], names["rows"]) == ("last_name", *emptied)
    with run_lock(used.warehouse):
        assert "another run" in preview(expect=3).stderr
    (project / "gx" / "expectations" / "orphans.json").write_text("[]", encoding="utf-8")
    assert "gx/expectations/orphans.json" in preview(expect=2).stderr
    assert used.state() == before


@pytest.mark.whole_run
def test_a_killed_preview_leaves_nothing_and_the_next_run_clears_its_files(used: Shop, tmp_path: Path):
    before, temporary = used.state(), tmp_path / "temporary"
    temporary.mkdir()
    files = sorted(used.folder.rglob("*"))
    for _ in range(3):
        done = subprocess.Popen(used.command("preview", "--with-new", "--now", "2030-01-01"),
                                env={**os.environ, "TMPDIR": str(temporary)}, stdout=subprocess.DEVNULL)
        try:
            done.wait(random.Random(len(files)).uniform(0.5, 4))
        except subprocess.TimeoutExpired:
            done.kill()
            done.wait()
        assert used.state() == before
    assert [path for path in used.folder.rglob("*") if path not in files
            and not path.name.endswith(("-wal", "-shm")) and "preview" not in path.parts] == []
    used.run(env={**os.environ, "TMPDIR": str(temporary)})
    assert list(temporary.iterdir()) == []
