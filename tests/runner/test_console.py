"""A run shows its progress: live on a terminal, as dated lines elsewhere, as JSON, or not at all."""

import json
import re
from pathlib import Path

import pytest
from conftest import LINES, ORDERS, PAYMENTS, Shop, new_shop
from pytest import approx
from terminal import on_terminal, seen
from warm_runs import WarmRuns

from lib.runner import console
from lib.step.progress import FILE, Progress, follow
from lib.steps import STEPS

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def deliver_orders(shop: Shop, count: int) -> None:
    shop.deliver("orders_2.csv", ORDERS, *(f"N{n},00001,2026-01-05,web,1.00,placed" for n in range(count)))


# On a terminal

def test_a_terminal_shows_the_progress_of_each_step_and_clears_it_away(loaded: Shop):
    written = (loaded.folder / "terminal.txt").read_bytes().decode()
    for number, step in enumerate(STEPS, 1):
        assert re.search(rf"[⠀-⣿]\S* {number}/4 {step} .*━", written), f"no live line about {step}"
    assert "writing the report" in written
    assert re.search(r"orders, batch 1: 1,000 rows", written) and re.search(r"rows/s", written)
    screen = seen(written)
    assert "━" not in screen and "batch" not in screen and "writing" not in screen
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")  # the cursor is back


def test_ctrl_c_on_a_terminal_stops_the_run_and_leaves_the_terminal_as_it_was(tmp_path: Path):
    shop = new_shop(tmp_path)
    terminal = on_terminal(shop.command())
    terminal.expect("1/4 raw")
    terminal.sendintr()
    rest = terminal.read()
    terminal.close()
    assert terminal.exitstatus == 130
    assert re.search("stopped: .*run again", seen(rest))
    assert "2/4" not in rest and "Traceback" not in rest
    assert rest.rindex("\x1b[?25h") > rest.rfind("\x1b[?25l")


# Elsewhere

def test_in_a_file_each_line_has_its_time_and_there_is_nothing_that_moves(used: Shop, warm: WarmRuns):
    deliver_orders(used, 3)
    lines = warm.run(used).stdout.splitlines()
    assert all(re.match(rf"{TIME} \S", line) for line in lines), lines
    texts = [line.partition(" ")[2] for line in lines]
    assert [text[:14].rstrip() for text in texts if re.match(r"\d/4", text) and "batch" not in text] == [
        "1/4 raw", "2/4 dimensions", "3/4 facts", "4/4 gold"]
    [gold] = [number for number, text in enumerate(texts) if text.startswith("4/4") and "done" in text]
    assert re.fullmatch(r"success in \d+\.\d s; writing the report", texts[gold + 1])
    assert "sales_summary_daily                 1          0" in "\n".join(texts)
    assert re.fullmatch(f"success in .*; report: {re.escape(str(used.reports / 'index.html'))}", texts[-1])


def test_json_is_one_object_per_event_with_its_time_and_all_that_happened(used: Shop, warm: WarmRuns):
    deliver_orders(used, 3)
    events = [json.loads(line) for line in warm.run(used, "--log-format", "json").stdout.splitlines()]
    assert all(re.fullmatch(TIME, event["time"]) for event in events)
    assert [event["event"] for event in events if event["event"] != "step_progress"] == [
        "run_started", "step_started", "step_ended", "step_ended", "step_started", "step_ended",
        "step_started", "step_ended", "report_started", "run_ended"]
    assert events[0]["deliveries"] == [
        {"name": "orders_2.csv", "size": (used.source / "orders_2.csv").stat().st_size}]
    last = [event for event in events if event["event"] == "step_progress" and event["step"] == "raw"][-1]
    assert (last["at"], last["batch"], last["rows"], last["share"]) == ("orders_2.csv", 1, 3, 1.0)
    ended = {event["step"]: event for event in events if event["event"] == "step_ended"}
    assert [ended[step]["has_run"] for step in STEPS] == [True, False, True, True]
    facts = ended["facts"]
    assert (facts["rows_read"], facts["added"], facts["status"]) == (3, 3, "SUCCESS")
    assert facts["watermark_before"] < facts["watermark_after"]
    end = events[-1]
    assert (end["verdict"], end["exit_code"], end["error"]) == ("success", 0, None)
    assert {"layer": "gold", "table": "sales_summary_daily", "added": 1, "changed": 0, "removed": 0,
            "rows_now": 61} in end["tables"]


def test_quiet_is_silent_when_there_is_nothing_to_report(used: Shop, warm: WarmRuns):
    deliver_orders(used, 3)
    done = warm.run(used, "--quiet")
    assert (done.stdout, done.stderr) == ("", "")
    used.deliver("orders_3.csv", "a,b", "1,2")
    done = warm.run(used, "--quiet", expect=1)
    assert done.stdout == ""
    assert re.match("error: .*orders_3.csv, line 1: ", done.stderr)


def test_quiet_reports_what_was_not_loaded_on_stderr(used: Shop, warm: WarmRuns):
    used.deliver("ordres.csv", ORDERS, "N1,00001,2026-01-05,web,1.00,placed")
    used.deliver("orders_2.csv", ORDERS, *(f"N{n},00001,2026-01-05,web,1.00,placed" for n in range(20)),
                 "N99,00001,2026-02-30,web,1.00,placed")
    done = warm.run(used, "--quiet")
    stray, quarantined = done.stderr.splitlines()
    assert stray.startswith("warning: ordres.csv: did you mean orders.csv? To read it as it is: ")
    assert re.match("warning: fact_orders: 1 of 21 rows, such as '2026-02-30'", quarantined)
    assert done.stdout == ""
    again = warm.run(used, "--quiet")  # the file is still there, and the row was reported
    assert (again.stdout, again.stderr) == ("", f"{stray}\n")


def test_quiet_reports_each_warning_of_a_run_once(capsys):
    show = console.Quiet()
    for _ in range(2):  # as in a watch
        show("run_started")
        show("warning", message="the clock is strange")
        show("died", step="gold")
        show("run_ended", warnings=["the clock is strange", "a.csv: no source has such a name"])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == 2 * [
        "warning: the clock is strange", "warning: an earlier run died in step gold: this run does its work",
        "warning: a.csv: no source has such a name"]


def test_a_long_step_reports_its_progress_in_a_file_every_ten_seconds(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("lib.runner.console.time.monotonic", lambda: now[0])
    show = console.Lines()
    about = {"step": "facts", "number": 3, "of": 4}
    show("step_started", **about, why="orders: newer in raw.db than 2025-01-01", is_full=False)
    for second in range(1, 25):
        now[0] = float(second)
        show("step_progress", **about, at="orders", batch=second, rows=second * 1000, rows_per_second=1000,
             share=0.5, seconds_left=7.0)
    lines = [re.sub(TIME, "…", line) for line in capsys.readouterr().out.splitlines()]
    assert lines == ["… 3/4 facts       orders, batch 10: 10,000 rows, 1,000 rows/s, 7 s left",
                     "… 3/4 facts       orders, batch 20: 20,000 rows, 1,000 rows/s, 7 s left"]


# The progress of a step

@pytest.fixture
def run_in_batches(small: Shop, monkeypatch):
    """Run the pipeline on the small shop, in batches of two rows, and return the progress of its steps."""
    import in_process

    reported: list[dict] = []

    def listen(event: str, **about) -> None:
        if event == "step_progress":
            reported.append(about)

    def run() -> list[dict]:
        monkeypatch.setattr("lib.runner.run.notebook_parameters", lambda options, result, step, is_full: {
            "source": str(small.source), "warehouse": str(small.warehouse), "reports": str(small.reports),
            "batch_id": result.batch_id, "full_refresh": False, "batch_rows": 2})
        in_process.run(small, monkeypatch, tell=listen)
        return reported

    return run


def test_each_batch_of_each_step_reports_where_it_is_and_how_much_is_left(small: Shop, run_in_batches):
    small.deliver("order_lines_2.csv", LINES, *(f"N{n},O1,P1,1,1.00," for n in range(5)))
    small.deliver("payments_2.csv", PAYMENTS, "Y2,O1,2025-01-01,card,SUCCESS,1.00")
    reported = run_in_batches()
    lines, payments = (small.source / "order_lines_2.csv", small.source / "payments_2.csv")
    share = lines.stat().st_size / (lines.stat().st_size + payments.stat().st_size)
    raw = [about for about in reported if about["step"] == "raw"]
    assert [(about["at"], about["batch"], about["rows"]) for about in raw] == [
        *(("order_lines_2.csv", batch, rows) for batch, rows in enumerate((0, 2, 4, 5))),
        ("payments_2.csv", 0, 0), ("payments_2.csv", 1, 1)]
    shares = [share * rows / 5 for rows in (0, 2, 4, 5)]
    assert [about["share"] for about in raw] == approx([*shares, share, 1])
    facts = [about for about in reported if about["step"] == "facts"][-6:]
    assert [(about["at"], about["rows"]) for about in facts] == [
        ("order_lines", 0), ("order_lines", 2), ("order_lines", 4), ("order_lines", 5),
        ("payments", 0), ("payments", 1)]
    assert [about["share"] for about in facts] == approx([rows / 6 for rows in (0, 2, 4, 5, 5, 6)])
    wide = [about for about in reported if about["at"] == "reporting_sales_wide"]
    assert [(about["rows"], about["share"]) for about in wide] == [
        (rows, rows / 7) for rows in (0, 2, 4, 6, 7)]
    assert all(about["seconds_left"] == 0 for about in reported if about["share"] == 1)
    assert not list(small.reports.rglob(FILE))


def test_time_left_follows_the_share_of_the_work_that_is_done(tmp_path: Path, monkeypatch):
    now, reported = [100.0], []
    monkeypatch.setattr("lib.step.progress.time.monotonic", lambda: now[0])
    with follow(tmp_path, lambda **about: reported.append(about)):
        progress = Progress(tmp_path)
        for seconds, rows, share in ((0, 0, 0.0), (10, 1000, 0.25), (20, 2000, 0.5)):
            now[0] = 100.0 + seconds
            progress.say("orders", rows, share)
        progress.say("fact_orders", 0)
    assert [(about["batch"], about["rows_per_second"], about["seconds_left"]) for about in reported] == [
        (0, None, None), (1, 100, 30.0), (2, 100, 20.0), (0, None, None)]


def test_a_step_by_hand_and_one_on_a_full_disk_report_no_progress(tmp_path: Path):
    Progress(tmp_path / "nowhere").say("orders", 1, 0.5)
    Progress(tmp_path).say("orders", 1, 0.5)
    assert list(tmp_path.iterdir()) == []
