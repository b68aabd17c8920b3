"""What a user sees when something is wrong: one or two lines that say what, where and what to do."""

import gzip
import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import nbformat
import pytest
from commands import refused
from conftest import LOGS, PROJECT, Shop
from warm_runs import WarmRuns

from lib.cli.main import main
from lib.runner.notebooks import ParameterError, check_parameters
from lib.steps import NOTEBOOKS, STEPS
from lib.storage.lock import run_lock
from lib.storage.temporary import use_temporary_folder


def deliver_order(shop: Shop) -> None:
    """Deliver something that every layer has to show: the first order of a day."""
    shop.deliver("orders_2.csv", "order_id,customer_id,order_date,channel,total_amount,status",
                 "N1,00001,2026-01-05,web,1.00,placed")


def deliver_payment(shop: Shop, name: str) -> None:
    shop.deliver(name, "payment_id,order_id,payment_date,payment_method,payment_status,payment_amount",
                 "Y1,0000001,,,,1.00")


def shown_orders(shop: Shop) -> list[tuple]:
    return shop.query("gold", "select orders from sales_summary_daily where order_date = '2026-01-05'")


def layer_of(state: dict, layer: str) -> dict:
    return {table: rows for table, rows in state.items() if table.startswith(layer)}


def log_of(shop: Shop) -> list[tuple]:
    return shop.query("audit", "select process_name, status, error_message from pipeline_execution_log "
                               "where batch_id = (select max(batch_id) from pipeline_execution_log) "
                               "order by execution_id")


def without_the_log(state: dict) -> dict:
    return {table: rows for table, rows in state.items() if table not in LOGS}


def test_a_warehouse_whose_rows_are_spark_s_is_refused(used: Shop):
    for layer in ("raw", "curated", "gold"):
        with closing(sqlite3.connect(used.warehouse / f"{layer}.db")) as connection:
            connection.execute("create table table_versions (version_id integer primary key)")
    used.deliver("customers_2026.csv",
                 "customer_id,first_name,last_name,email,phone,city,state,country,segment\n1,a,b,,,,,,\n")
    before = without_the_log(used.state())
    refused(used.run("verify", expect=2), "Spark's tables", "replay")
    refused(used.run(expect=1), "raw.db was made with --engine spark", "--warehouse")
    assert without_the_log(used.state()) == before


@pytest.mark.parametrize("content", ["missing", "empty", "strays", "a file"])
def test_a_source_folder_that_cannot_be_one_is_named_and_nothing_is_made(content: str, tmp_path: Path):
    shop = Shop(tmp_path)
    if content == "a file":
        shop.source.write_text("order_id")
    elif content != "missing":
        shop.source.mkdir()
        (shop.source / ".gitkeep").touch()
        if content == "strays":
            shop.deliver("notes.txt", "hello")
    is_folder = content in ("empty", "strays")
    words = ["holds no delivery", "customers.csv"] if is_folder else ["there is no source folder"]
    assert str(shop.source) in refused(shop.run(expect=2), *words, "--source")
    assert not shop.warehouse.exists()
    assert not shop.reports.exists()


@pytest.mark.parametrize("is_file", [False, True], ids=["gone", "now a file"])
def test_a_source_folder_that_has_gone_changes_nothing(is_file: bool, used: Shop):
    before = used.state()
    used.source.rename(used.folder / "elsewhere")
    if is_file:
        used.source.write_text("order_id")
    refused(used.run(expect=2), "there is no source folder", str(used.source), "--source")
    assert used.state() == before


HEADER = b"order_id,customer_id,order_date,channel,total_amount,status\n"


@pytest.mark.parametrize(("name", "content", "words"), [
    ("orders_2.csv", HEADER.replace(b"order_date,", b""), ["orders_2.csv", "order_date"]),
    ("orders_2.csv", HEADER.replace(b"order_date", b"orderdate"),
     ["orders_2.csv", "order_date", "orderdate"]),
    ("orders_2.csv", b"PK\x03\x04\x14\x00\x00\x00\x08\x00\x00\x00!\x00" + bytes(range(256)),
     ["orders_2.csv", "ZIP"]),
    ("orders_2.csv", b"<!DOCTYPE html>\n<html><body>Not found</body></html>\n",
     ["orders_2.csv", "web page", "not CSV"]),
    ("orders_2.csv", b"", ["orders_2.csv", "empty"]),
    ("orders_2.csv.gz", gzip.compress(HEADER * 100)[:-20], ["orders_2.csv.gz", "cut short"]),
], ids=["missing column", "renamed column", "ZIP", "HTML", "empty", "cut short"])
def test_a_file_that_is_not_as_agreed_is_named_and_nothing_is_read(
        name: str, content: bytes, words: list[str], used: Shop, warm: WarmRuns):
    (used.source / name).write_bytes(content)
    deliver_payment(used, "payments_2.csv")
    before = used.state()
    message = refused(warm.run(used, "--all-or-nothing", expect=1), *words)
    assert without_the_log(used.state()) == without_the_log(before)
    assert [row[:2] for row in log_of(used)] == [
        ("raw", "FAILED"), ("dimensions", "SKIPPED"), ("facts", "SKIPPED"), ("gold", "SKIPPED")]
    assert log_of(used)[0][2] in message
    (used.source / name).unlink()
    warm.run(used)
    assert used.query("raw", "select count(*) from payments where payment_id = 'Y1'") == [(1,)]


@pytest.mark.parametrize("layer", ["raw", "curated", "gold"])
def test_a_database_that_another_program_writes_to_is_named_after_a_short_wait(layer: str, used: Shop,
                                                                               warm: WarmRuns):
    deliver_order(used)
    before = used.state()
    with closing(sqlite3.connect(used.warehouse / f"{layer}.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        refused(warm.run(used, expect=1), f"{layer}.db: database is locked", str(used.warehouse),
                "close it and run again")
    assert layer_of(used.state(), layer) == layer_of(before, layer)
    warm.run(used)
    assert shown_orders(used) == [(1,)]


def test_an_audit_database_that_another_program_writes_to_is_named(used: Shop, warm: WarmRuns):
    before = used.state()
    with closing(sqlite3.connect(used.warehouse / "audit.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        refused(warm.run(used, expect=1), "audit.db: database is locked", "close it and run again")
    assert used.state() == before


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "garbage":
        content[:4096] = b"not a database, " * 256
    else:
        del content[len(content) // 2 // 4096 * 4096:]
    path.write_bytes(content)


def daily_figures(shop: Shop) -> list[tuple]:
    return shop.query("gold", "select order_date, orders, total_sales, net_sales, payments_received "
                              "from sales_summary_daily where order_date < '2026' order by order_date")


@pytest.mark.parametrize("how", ["garbage", "cut short"])
@pytest.mark.parametrize("layer", ["raw", "curated", "gold", "audit"])
def test_a_damaged_database_is_named_and_what_the_message_says_repairs_it(layer: str, how: str, used: Shop,
                                                                          warm: WarmRuns):
    figures = daily_figures(used)
    damage(used.warehouse / f"{layer}.db", how)
    deliver_order(used)
    behind = {"raw": ["curated", "gold"], "curated": ["gold"], "gold": [],
              "audit": ["raw", "curated", "gold"]}[layer]
    before = [(used.warehouse / f"{name}.db").read_bytes() for name in behind]
    words = {"garbage": "file is not a database", "cut short": "database disk image is malformed"}[how]
    refused(warm.run(used, expect=1), f"{layer}.db: {words} (", "The file is damaged. Move it",
            "--full-refresh")
    assert [(used.warehouse / f"{name}.db").read_bytes() for name in behind] == before
    for path in used.warehouse.glob(f"{layer}.db*"):
        path.rename(used.folder / path.name)
    warm.run(used, "--full-refresh")
    assert shown_orders(used) == [(1,)]
    assert daily_figures(used) == figures


@pytest.mark.parametrize("layer", ["raw", "curated", "gold", "audit"])
def test_a_database_that_is_gone_is_built_again(layer: str, used: Shop, warm: WarmRuns):
    figures = daily_figures(used)
    for path in used.warehouse.glob(f"{layer}.db*"):
        path.unlink()
    warm.run(used)
    assert daily_figures(used) == figures
    assert used.counts("raw", "orders", "order_lines") == [1000, 3064]
    assert used.counts("curated", "fact_orders", "fact_order_lines") == [1000, 3064]
    assert used.counts("gold", "reporting_sales_wide", "reporting_customer_stats") == [3064, 432]
    assert used.counts("audit", "pipeline_watermark") == [4]
    assert warm.run(used).stdout.count("nothing new") == 5


def test_a_second_run_is_refused_with_the_process_that_runs_before_anything_slow_is_imported(used: Shop):
    before = used.state()
    with run_lock(used.warehouse):
        refused(used.run(expect=3), f"another run (process {os.getpid()})", str(used.warehouse), "Wait")
        again = used.run(expect=3, env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"})
    assert not re.search(r"\b(lib\.runner\.run|lib\.runner\.notebooks|papermill|pandas|great_expectations)\b",
                         again.stderr)
    assert used.state() == before


def test_a_lock_file_that_a_dead_process_left_does_not_block(used: Shop):
    dead = subprocess.run([sys.executable, "-c", (
        "import os, sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from lib.storage.lock import run_lock\n"
        "with run_lock(Path(sys.argv[2])): os.kill(os.getpid(), 9)"), PROJECT, used.warehouse])
    assert dead.returncode == -signal.SIGKILL
    assert (used.warehouse / ".lock").read_text()
    used.run()


FORBIDDEN = {
    "the warehouse folder": ("warehouse", 0o555,
                             ["audit.db: attempt to write a readonly database", "folder writable"]),
    "raw.db": ("warehouse/raw.db", 0o444, ["raw.db: attempt to write a readonly database", "Make the file"]),
    "curated.db": ("warehouse/curated.db", 0o444,
                   ["curated.db: attempt to write a readonly database", "Make the file"]),
    "gold.db": ("warehouse/gold.db", 0o000, ["gold.db: unable to open database file", "Check"]),
    "audit.db": ("warehouse/audit.db", 0o444,
                 ["audit.db: attempt to write a readonly database", "Make the file"]),
    "a delivery": ("source/orders_2.csv", 0o000, [
        "orders_2.csv cannot be read: Permission denied", "may be read"]),
    "the source folder": ("source", 0o000, [
        "error: source folder /", "/source cannot be read (Permission denied)", "permissions", "--source"]),
    "a folder of deliveries": ("source/payments", 0o000,
                               ["payments/*.csv cannot be read: Permission denied", "may be read"]),
    "the reports folder": ("reports/runs", 0o555,
                           ["reports", "cannot be written (Permission denied)", "run again"]),
}


def test_a_warehouse_that_may_not_be_made_is_named(shop: Shop, warm: WarmRuns):
    shop.folder.chmod(0o555)
    refused(warm.run(shop, expect=1, obey=True),
            f"warehouse {shop.warehouse} cannot be written (Permission denied)", "--warehouse")
    shop.folder.chmod(0o755)
    assert [path.name for path in shop.folder.iterdir() if path.is_dir()] == ["source"]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_a_user_may_not_do_is_named_and_nothing_changes(what: str, used: Shop, warm: WarmRuns):
    name, mode, words = FORBIDDEN[what]
    deliver_order(used)
    deliver_payment(used, "payments/2.csv")
    before = used.state()
    path = used.folder / name
    right = path.stat().st_mode
    path.chmod(mode)
    refused(warm.run(used, "--all-or-nothing", expect=1, obey=True), *words)
    path.chmod(right)
    after = used.state()
    untouched = {"curated.db": "curated.fact", "gold.db": "gold"}.get(what)
    assert layer_of(after, untouched or "") == (layer_of(before, untouched) if untouched else before | {
        log: after[log] for log in LOGS})
    warm.run(used, obey=True)
    assert shown_orders(used) == [(1,)]
    assert used.query("curated", "select count(*) from fact_payments where payment_id = 'Y1'") == [(1,)]


def shown(capsys) -> str:
    """Return the one line that a command in this process has printed on stderr."""
    [line] = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("now", ["0001-01-01", "0001-01-01T00:00:00+05:00", "1900-01-01",
                                 "9999-12-31T23:59:59-05:00", "9999-12-31T23:59:59.999999"])
def test_a_time_that_no_run_can_have_is_refused(now: str, small: Shop, capsys):
    assert main([*small.command()[2:], "--now", now]) == 2
    assert re.search(f"'--now': '{re.escape(now)}' is not between 1900-01-02 and 9998-12-31", shown(capsys))


def test_after_a_run_at_the_end_of_time_what_to_do_is_said(small: Shop, capsys):
    with closing(sqlite3.connect(small.warehouse / "audit.db")) as connection, connection:
        connection.execute(
            "insert into pipeline_execution_log (batch_id, process_name, layer, status, start_time) "
            "values ('99991231T235959.999999', 'raw', 'raw', 'SUCCESS', '')")
    assert main(small.command()[2:]) == 1
    assert re.match("error: run 99991231T235959.999999 .*Move the warehouse aside", shown(capsys))


def test_archived_deliveries_are_kept_for_any_number_of_days(small: Shop, capsys):
    assert main([*small.command()[2:], "--keep-archive", "999999999"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("verb", [["verify"], ["replay", "any"], []], ids=["verify", "replay", "run"])
def test_without_a_temporary_folder_a_line_names_the_variable(verb: list[str], small_loaded: Shop, capsys,
                                                              monkeypatch):
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")  # as the library does

    monkeypatch.setattr("tempfile.gettempdir", none)
    use_temporary_folder.cache_clear()
    command = small_loaded.command(*verb)[2:]
    assert main(command if verb else [*command, "--full-refresh", "--quiet"]) == 1
    assert re.match(r"error: no folder for temporary files .*\['/tmp'\].*TMPDIR", shown(capsys))


@pytest.mark.parametrize("files, verb", [(20, ""), (64, ""), (64, "verify")])
def test_too_few_open_files_are_named(files: int, verb: str, used: Shop):
    words = [verb] if verb else ["--full-refresh"]
    done = subprocess.run(used.command(*words), capture_output=True, text=True,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)))
    assert done.returncode == 1
    refused(done, "ulimit -n")


def test_too_little_memory_is_named(used: Shop):
    done = used.run("--full-refresh", "--quiet", expect=1,
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20)))
    refused(done, "memory", "run again")


def test_reports_that_are_a_file_are_named(used: Shop):
    used.reports.rename(used.folder / "elsewhere")
    used.reports.touch()
    refused(used.run("--full-refresh", expect=1), str(used.reports), "Not a directory", "--reports")


@pytest.mark.parametrize("verb", ["", "plan", "status", "verify"])
def test_an_error_that_nobody_expected_is_one_line_with_its_place(verb: str, small_loaded: Shop, capsys,
                                                                  monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(f"lib.cli.{verb or 'run'}.options_of", fail)
    assert main(small_loaded.command(*[verb] if verb else [])[2:]) == 1
    assert re.match(r"error: ZeroDivisionError: a defect \(.*lib/.*\.py, line \d+\)", shown(capsys))


HOSTILE = {"orders_\x1b[31mred.csv": r"orders_\u001b[31mred.csv", "orders_\n2.csv": r"orders_\u000a2.csv",
           "orders_\u202evsc.csv": r"orders_\u202evsc.csv"}


def test_control_characters_of_deliveries_are_shown_escaped(used: Shop, warm: WarmRuns):
    for name in HOSTILE:
        used.deliver(name, HEADER.decode().strip(), "N1,00001,2026-01-05,web,1.00,placed")
    used.deliver("orders_2.csv", HEADER.decode().strip() + ",a\x1b[2Jb",
                 "N2,00001,2026-01-05,web,1.00,placed,x")
    shown = warm.run(used).stdout
    assert not re.search("[\x1b\u202e]|orders_\n", shown)
    for name in HOSTILE.values():
        assert f"{name}: its name has characters that cannot be shown: rename it" in shown
    assert r"column a\u001b[2Jb is new" in shown
    assert used.query("raw", "select order_id from orders where order_id like 'N%'") == [("N2",)]


@pytest.mark.parametrize("verb", ["", "plan", "status"])
@pytest.mark.parametrize("character, shown_as", [("\udcff", r"\udcff"), ("\x1b", r"\u001b")])
def test_a_folder_whose_name_cannot_be_written_is_refused(character: str, shown_as: str, verb: str,
                                                          tmp_path: Path, capsys):
    shop = Shop(tmp_path / f"a{character}b")
    shop.source.mkdir(parents=True)
    assert main(shop.command(*[verb] if verb else [])[2:]) == 2
    assert re.match(rf"error: .*{re.escape(shown_as)}.*rename it", shown(capsys))
    assert not shop.warehouse.exists()


@pytest.fixture
def temporary(monkeypatch) -> Iterator[Path]:
    """A temporary folder for commands; its path is short, because it holds sockets."""
    folder = Path("/tmp") / f"t{os.getpid()}"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder)


def test_what_a_killed_run_left_in_the_temporary_folder_is_deleted_by_the_next(used: Shop, temporary: Path):
    with subprocess.Popen([*used.command(), "--full-refresh"], stdout=subprocess.DEVNULL) as killed:
        while not any(temporary.glob("medallion-*/kernel-*")):
            assert killed.poll() is None
        with subprocess.Popen([*used.command("replay", "none")], stderr=subprocess.DEVNULL):
            pass
        assert any(temporary.glob("medallion-*/kernel-*"))  # what is in use stays
        killed.kill()
    assert any(temporary.iterdir())
    used.run()
    assert not any(temporary.iterdir())


RAW_PARAMETERS = {"source": "s", "warehouse": "w", "reports": "r", "batch_id": "b", "full_refresh": False}


@pytest.mark.parametrize(("values", "message"), [
    ({"batch_row": 5}, r"1_raw\.ipynb .*batch_row \(did you mean batch_rows\?\).* parameters cell"),
    ({"batch_rows": "many"}, r"1_raw\.ipynb: parameter batch_rows is 'many', which is str, not int"),
    ({"full_refresh": 1}, r"1_raw\.ipynb: parameter full_refresh is 1, which is int, not bool"),
    ({"source": None}, r"1_raw\.ipynb: parameter source is None, which is NoneType, not str"),
])
def test_a_misspelt_or_ill_typed_parameter_is_named(values: dict, message: str):
    with pytest.raises(ParameterError, match=message):
        check_parameters(NOTEBOOKS / STEPS["raw"].notebook, RAW_PARAMETERS | values)


def test_right_parameters_pass():
    for step in STEPS.values():
        check_parameters(NOTEBOOKS / step.notebook, RAW_PARAMETERS)


def checkout_with(folder: Path, notebook: str, old: str, new: str) -> Path:
    """Return a copy of the project with a notebook's text changed."""
    checkout = folder / "project"
    shutil.copytree(PROJECT, checkout,
                    ignore=shutil.ignore_patterns(".git", ".venv", "reports", "warehouse", "tests"))
    book = nbformat.read(checkout / "notebooks" / notebook, 4)
    [cell] = [cell for cell in book.cells if cell.cell_type == "code" and old in cell.source]
    cell.source = cell.source.replace(old, new)
    nbformat.write(book, checkout / "notebooks" / notebook)
    return checkout


def run_in(checkout: Path, shop: Shop) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(checkout / "run_pipeline.py"), *shop.command()[2:]],
                          capture_output=True, text=True)


def test_a_parameter_that_a_notebook_has_not_is_an_error_before_any_kernel_starts(used: Shop, tmp_path: Path):
    checkout = checkout_with(tmp_path, "3_facts.ipynb", "full_refresh: bool", "full_refersh: bool")
    deliver_order(used)
    before = used.state()
    done = run_in(checkout, used)
    assert done.returncode == 2
    refused(done, "3_facts.ipynb has no parameter full_refresh (did you mean full_refersh?)")
    assert used.state() == before
    assert not list(max((used.reports / "runs").iterdir()).glob("*.ipynb"))


def test_a_cell_that_raises_is_named_and_its_notebook_is_saved_with_the_error(used: Shop, tmp_path: Path):
    checkout = checkout_with(tmp_path, "3_facts.ipynb", "record = step.publish()", "record = 1 / 0")
    deliver_order(used)
    before = used.state()
    done = run_in(checkout, used)
    assert done.returncode == 1
    book = nbformat.read(checkout / "notebooks" / "3_facts.ipynb", 4)
    sources = [cell.source for cell in book.cells if cell.cell_type == "code"]
    number = sources.index("record = 1 / 0\nstep.summary()") + 2
    message = refused(done, f"3_facts.ipynb, cell {number}: ZeroDivisionError: division by zero",
                      "shows the traceback")
    after = used.state()
    assert layer_of(after, "curated.fact") == layer_of(before, "curated.fact")
    assert layer_of(after, "gold") == layer_of(before, "gold")
    assert log_of(used)[2] == ("facts", "FAILED", message.removeprefix("error: ").strip())
    folder = max((used.reports / "runs").iterdir())
    saved = nbformat.read(folder / "3_facts.ipynb", 4)
    assert "An Exception was encountered" in saved.cells[0].source
    [error] = [output for cell in saved.cells for output in cell.get("outputs", [])
               if output.output_type == "error"]
    assert error.ename == "ZeroDivisionError"
    assert "ZeroDivisionError: division by zero" in (folder / "3_facts.html").read_text(encoding="utf-8")
    assert [step["status"] for step in json.loads((folder / "run.json").read_text())["steps"]] == [
        "SUCCESS", "SUCCESS", "FAILED", "SKIPPED"]
    used.run()
    assert shown_orders(used) == [(1,)]


def test_a_kernel_that_dies_is_named_and_nothing_of_its_step_is_written(used: Shop, tmp_path: Path):
    checkout = checkout_with(tmp_path, "3_facts.ipynb", "record = step.publish()",
                             "import os; os.kill(os.getpid(), 9)")
    deliver_order(used)
    before = used.state()
    done = run_in(checkout, used)
    assert done.returncode == 1
    refused(done, "3_facts.ipynb: its process died", "wrote nothing", "batch_rows")
    assert layer_of(used.state(), "curated.fact") == layer_of(before, "curated.fact")
    assert [row[:2] for row in log_of(used)[2:]] == [("facts", "FAILED"), ("gold", "SKIPPED")]


def test_a_failed_run_leaves_no_working_files(used: Shop, tmp_path: Path, temporary: Path):
    checkout = checkout_with(tmp_path, "3_facts.ipynb", "record = step.publish()", "record = 1 / 0")
    subprocess.run([sys.executable, str(checkout / "run_pipeline.py"), *used.command()[2:], "--full-refresh"],
                   capture_output=True)
    assert [row[1] for row in log_of(used)] == ["SUCCESS", "SUCCESS", "FAILED", "SKIPPED"]
    assert list(temporary.iterdir()) == []
