"""A failed run ends with where it stopped, its report and how to continue, and it calls the hook."""

import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ORDERS, PROJECT, Shop
from documents import ALL_PAGES, blocks
from warm_runs import WarmRuns

from lib.runner import hook
from lib.runner.failure import command
from lib.steps import Options

UNREADABLE = [ORDERS, *(f'N{n},00001,2026-01-0{n},web,"1,5{n}",placed' for n in range(1, 6)),
              "N9,00001,2026-01-09,web,2.00,placed"]


@pytest.fixture(scope="module")
def failed(loaded: Shop, tmp_path_factory, warm: WarmRuns) -> tuple[Shop, subprocess.CompletedProcess]:
    """The sample with a delivery whose amounts cannot be read, and the run that fails on it."""
    import shutil

    folder = tmp_path_factory.mktemp("failed") / "a shop"
    shutil.copytree(loaded.folder, folder)
    shop = Shop(folder)
    shop.deliver("orders_2.csv", *UNREADABLE)
    hook = f"cat > {shlex.quote(str(folder / 'summary.json'))}"
    return shop, warm.run(shop, "--on-failure", hook, "--log-format", "json", expect=1)


def test_the_last_lines_name_the_rows_the_cell_the_report_and_the_command_that_continues(failed):
    shop, done = failed
    run = max((shop.reports / "runs").iterdir())
    first, *rows, step, report, go_on = done.stderr.splitlines()
    assert re.match(r"error: orders_2\.csv: 5 of 6 rows .*10%", first)
    assert len(rows) == 3
    for number, row in enumerate(rows, 1):
        assert row.startswith(f'  orders_2.csv, line {number + 1}: {{"order_id":"N{number}"')
        assert f'"total_amount":"1,5{number}"' in row
        assert row.endswith("(expect_column_values_to_be_null(total_amount_unreadable))")
    book = json.loads((run / "3_facts.ipynb").read_text())
    [cell] = [cell["execution_count"] for cell in book["cells"]
              if any(output["output_type"] == "error" for output in cell.get("outputs", []))]
    assert step == f"step: 3/4 facts (3_facts.ipynb, cell {cell})"
    assert report == f"report: {run / 'index.html'}" and (run / "index.html").exists()
    assert go_on == f"continue: {sys.executable} {PROJECT / 'run_pipeline.py'} " + shlex.join(
        ["--source", str(shop.source), "--warehouse", str(shop.warehouse), "--reports", str(shop.reports)])


def test_the_last_lines_in_the_readme_are_these(failed):
    shop, done = failed
    [block] = [block for block in blocks(ALL_PAGES, "text") if "\nerror: orders_2.csv" in block]
    lines = done.stderr
    for path, shown in ((shop.reports, "…/reports"), (sys.executable, "…/python"), (PROJECT, "…")):
        lines = lines.replace(str(path), shown)
    lines = re.sub(r"runs/[\dT.]+/", "runs/BATCH/", re.sub(r"(line [34]): .*", r"\1: …", lines))
    lines = re.sub(r"--source .*", "--source …/source", lines)
    assert re.sub(r"runs/[\dT.]+/", "runs/BATCH/", block) == "$ python run_pipeline.py\n" + lines


def test_the_hook_gets_the_runs_summary(failed):
    shop, done = failed
    summary = json.loads((shop.folder / "summary.json").read_text())
    assert (summary["verdict"], summary["exit_code"]) == ("failed", 1)
    assert [(step["name"], step["status"]) for step in summary["steps"]] == [
        ("raw", "SUCCESS"), ("dimensions", "SUCCESS"), ("facts", "FAILED"), ("gold", "SKIPPED")]
    assert summary["steps"][2]["cell"] > 0
    assert f"error: {summary['error']}\n" in done.stderr
    assert f"report: {summary['report']}\ncontinue: {summary['command']}\n" in done.stderr


def test_json_ends_with_the_verdict_of_a_failed_run(failed):
    _, done = failed
    end = json.loads(done.stdout.splitlines()[-1])
    assert (end["event"], end["verdict"], end["exit_code"]) == ("run_ended", "failed", 1)
    assert end["error"].startswith("orders_2.csv: 5 of 6 rows")


def test_the_command_of_the_last_line_continues_where_the_run_stopped(failed):
    shop, done = failed
    shop.deliver("orders_2.csv", *(line.replace('"1,5', "1.5").replace('"', "") for line in UNREADABLE))
    go_on = done.stderr.splitlines()[-1].removeprefix("continue: ")
    again = subprocess.run(go_on, shell=True, cwd="/", capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "2/4 dimensions  nothing new" in again.stdout
    orders = "select sum(orders) from sales_summary_daily where order_date >= '2026'"
    assert shop.query("gold", orders) == [(6,)]


def test_a_fail_rule_names_the_rows_that_broke_it_with_file_and_line(small: Shop, run, monkeypatch):
    meanings = {"quarantine": "fail"}
    import lib.step.gate

    count = lib.step.gate.Gate._count

    def strict(self, *arguments):
        tally = count(self, *arguments)
        tally.on_failure = meanings.get(tally.on_failure, tally.on_failure)
        return tally

    monkeypatch.setattr(lib.step.gate.Gate, "_count", strict)
    small.deliver("orders_2.csv", *UNREADABLE)
    with pytest.raises(AssertionError) as error:
        run()
    first, *rows = str(error.value).partition("\nassert")[0].splitlines()
    assert re.match(r"gate fact_orders: .*\(total_amount_unreadable\) .*5 of 6 rows", first)
    assert [row.partition(': {"order_id"')[0] for row in rows] == [
        "  orders_2.csv, line 2", "  orders_2.csv, line 3", "  orders_2.csv, line 4"]


def test_the_command_that_continues_has_the_options_that_were_given_and_no_others():
    assert command(Options()) == shlex.join([sys.executable, str(PROJECT / "run_pipeline.py")])
    options = Options(source=Path("/a b"), full_refresh=True, steps=("facts", "gold"), snapshot=("orders",),
                      quarantine_limit=0.5)
    assert command(options).removeprefix(command(Options())) == (
        " --source '/a b' --full-refresh --steps facts,gold --snapshot orders --quarantine-limit 0.5")


def test_the_hook_is_called_for_a_run_that_cannot_begin_but_not_while_another_run_has_the_lock(
        tmp_path: Path):
    from lib.storage.lock import run_lock

    shop, received = Shop(tmp_path), tmp_path / "received.json"
    hook = f"cat > {shlex.quote(str(received))}"
    done = shop.run("--on-failure", hook, "--log-format", "json", expect=2)
    summary = json.loads(received.read_text())
    assert (summary["verdict"], summary["exit_code"]) == ("failed", 2)
    assert done.stderr == f"error: {summary['error']}\n"
    event = json.loads(done.stdout)
    assert (event["event"], event["exit_code"], event["error"]) == ("run_refused", 2, summary["error"])
    received.unlink()
    shop.deliver("orders.csv", ORDERS)
    with run_lock(shop.warehouse):
        shop.run("--on-failure", hook, expect=3)
    assert not received.exists()


def test_a_hook_that_fails_is_reported_and_the_exit_code_stays(tmp_path: Path):
    done = Shop(tmp_path).run("--on-failure", "echo called; exit 7", expect=2)
    assert done.stdout == ""
    called, warning, error = done.stderr.splitlines()
    assert called == "called"
    assert re.match("warning: .*--on-failure .* 7: echo called; exit 7", warning)
    assert error.startswith("error: ")


def test_a_hook_that_hangs_is_killed_with_the_processes_that_it_started(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(hook, "SECONDS", 0.5)
    command = f"sleep 60 & echo $! > {shlex.quote(str(tmp_path / 'child'))}; sleep 60"
    assert re.search(f"longer than 0.5 s .*: {re.escape(command)}", hook.call_hook(command, {}))
    child = (tmp_path / "child").read_text().strip()
    state, until = Path(f"/proc/{child}/stat"), time.monotonic() + 20
    while state.exists() and state.read_text().split()[2] != "Z":  # a zombie is as dead
        assert time.monotonic() < until, "it was not killed"


def test_a_hook_that_reads_nothing_is_no_failure():
    assert hook.call_hook("true", {"error": "x" * 1_000_000}) == ""
