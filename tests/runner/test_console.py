"""What a run says while it goes: live on a terminal, dated lines elsewhere, JSON for machines, or nothing."""

import json
import re
import time
from pathlib import Path

import pytest
from conftest import LINES, ORDERS, PAYMENTS, Shop, new_shop
from terminal import on_terminal, seen
from warm_runs import WarmRuns

from lib.runner import console
from lib.step.progress import FILE, Progress, follow
from lib.steps import STEPS

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def deliver_orders(shop: Shop, count: int) -> None:
    shop.deliver("orders_2.csv", ORDERS, *(f"N{n},00001,2026-01-05,web,1.00,placed" for n in range(count)))


# On a terminal

def test_a_terminal_shows_how_far_each_step_is_and_clears_it_away(loaded: Shop):
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
    begun = time.monotonic()
    rest = terminal.read()
    assert time.monotonic() - begun < 2
    terminal.close()
    assert terminal.exitstatus == 130
    assert "stopped: what was published stays" in seen(rest)
    assert "Traceback" not in rest
    assert rest.rindex("\x1b[?25h") > rest.rfind("\x1b[?25l")


# Elsewhere

def test_in_a_file_each_line_has_its_time_and_there_is_nothing_that_moves(used: Shop, warm: WarmRuns):
    deliver_orders(used, 3)
    lines = warm.run(used).stdout.splitlines()
    assert all(re.match(rf"{TIME} \S", line) for line in lines), lines
    said = [line.partition(" ")[2] for line in lines]
    assert [line[:14].rstrip() for line in said if re.match(r"\d/4", line) and "batch" not in line] == [
        "1/4 raw", "2/4 dimensions", "3/4 facts", "4/4 gold"]
    assert "sales_summary_daily                 1          0" in "\n".join(said)
    assert said[-1].startswith("success in ") and said[-1].endswith(f"report: {used.reports / 'index.html'}")


def test_json_is_one_object_per_event_with_its_time_and_all_that_happened(used: Shop, warm: WarmRuns):
    deliver_orders(used, 3)
    events = [json.loads(line) for line in warm.run(used, "--log-format", "json").stdout.splitlines()]
    assert all(re.fullmatch(TIME, event["time"]) for event in events)
    assert [event["event"] for event in events if event["event"] != "step_progress"] == [
        "run_started", "step_started", "step_ended", "step_ended", "step_started", "step_ended", "step_started", "step_ended",
        "report_started", "run_ended"]
    assert events[0]["deliveries"] == [{"name": "orders_2.csv", "size": (used.source / "orders_2.csv").stat().st_size}]
    last = [event for event in events if event["event"] == "step_progress" and event["step"] == "raw"][-1]
    assert (last["at"], last["batch"], last["rows"], last["share"]) == ("orders_2.csv", 1, 3, 1.0)
    ended = {event["step"]: event for event in events if event["event"] == "step_ended"}
    assert [ended[step]["has_run"] for step in STEPS] == [True, False, True, True]
    assert (ended["facts"]["rows_read"], ended["facts"]["added"], ended["facts"]["status"]) == (3, 3, "SUCCESS")
    assert ended["facts"]["watermark_before"] < ended["facts"]["watermark_after"]
    end = events[-1]
    assert (end["verdict"], end["exit_code"], end["error"]) == ("success", 0, None)
    assert {"layer": "gold", "table": "sales_summary_daily", "added": 1, "changed": 0, "removed": 0, "rows_now": 61} in end["tables"]


def test_quiet_says_nothing_but_errors(used: Shop, warm: WarmRuns):
    deliver_orders(used, 3)
    done = warm.run(used, "--quiet")
    assert (done.stdout, done.stderr) == ("", "")
    used.deliver("orders_3.csv", "a,b", "1,2")
    done = warm.run(used, "--quiet", expect=1)
    assert done.stdout == ""
    assert re.match("error: .*orders_3.csv, line 1: ", done.stderr)


def test_a_long_step_is_heard_of_in_a_file_too_but_not_at_every_batch(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("lib.runner.console.time.monotonic", lambda: now[0])
    say = console.Lines()
    about = {"step": "facts", "number": 3, "of": 4}
    say("step_started", **about, why="orders: newer in raw.db than 2025-01-01", is_full=False)
    for second in range(1, 25):
        now[0] = float(second)
        say("step_progress", **about, at="orders", batch=second, rows=second * 1000, rows_per_second=1000, share=0.5, seconds_left=7.0)
    said = [re.sub(TIME, "…", line) for line in capsys.readouterr().out.splitlines()]
    assert said == ["… 3/4 facts       orders, batch 10: 10,000 rows, 1,000 rows/s, 7 s left",
                    "… 3/4 facts       orders, batch 20: 20,000 rows, 1,000 rows/s, 7 s left"]


# How far a step is

@pytest.fixture
def heard(small: Shop, monkeypatch):
    """Run the pipeline on the small shop, in batches of two rows, and return what its steps said of how far they are."""
    import in_process

    said: list[dict] = []

    def listen(event: str, **about) -> None:
        if event == "step_progress":
            said.append(about)

    def run() -> list[dict]:
        monkeypatch.setattr("lib.runner.run.notebook_parameters", lambda options, result, step, is_full: {
            "source": str(small.source), "warehouse": str(small.warehouse), "reports": str(small.reports), "batch_id": result.batch_id,
            "full_refresh": False, "batch_rows": 2})
        in_process.run(small, monkeypatch, tell=listen)
        return said

    return run


def test_each_batch_of_each_step_says_where_it_is_and_how_much_is_left(small: Shop, heard):
    small.deliver("order_lines_2.csv", LINES, *(f"N{n},O1,P1,1,1.00," for n in range(5)))
    small.deliver("payments_2.csv", PAYMENTS, "Y2,O1,2025-01-01,card,SUCCESS,1.00")
    said = heard()
    lines, payments = ((small.source / name).stat().st_size for name in ("order_lines_2.csv", "payments_2.csv"))
    share = lines / (lines + payments)
    raw = [(about["at"], about["batch"], about["rows"], round(about["share"], 6)) for about in said if about["step"] == "raw"]
    assert raw == [("order_lines_2.csv", 0, 0, 0.0), *(("order_lines_2.csv", n, rows, round(share * rows / 5, 6))
                                                       for n, rows in ((1, 2), (2, 4), (3, 5))),
                   ("payments_2.csv", 0, 0, round(share, 6)), ("payments_2.csv", 1, 1, 1.0)]
    facts = [(about["at"], about["rows"], round(about["share"], 6)) for about in said if about["step"] == "facts"]
    assert facts[-6:] == [("order_lines", 0, 0.0), ("order_lines", 2, round(2 / 6, 6)), ("order_lines", 4, round(4 / 6, 6)),
                          ("order_lines", 5, round(5 / 6, 6)), ("payments", 0, round(5 / 6, 6)), ("payments", 1, 1.0)]
    gold = [(about["at"], about["rows"], about["share"]) for about in said if about["step"] == "gold"]
    assert [entry for entry in gold if entry[0] == "reporting_sales_wide"] == [
        ("reporting_sales_wide", 0, 0.0), *(("reporting_sales_wide", rows, rows / 7) for rows in (2, 4, 6, 7))]
    assert all(about["seconds_left"] == 0 for about in said if about["share"] == 1)
    assert not list(small.reports.rglob(FILE))


def test_time_left_follows_the_share_of_the_work_that_is_done(tmp_path: Path, monkeypatch):
    now, said = [100.0], []
    monkeypatch.setattr("lib.step.progress.time.monotonic", lambda: now[0])
    with follow(tmp_path, lambda **about: said.append(about)):
        progress = Progress(tmp_path)
        for seconds, rows, share in ((0, 0, 0.0), (10, 1000, 0.25), (20, 2000, 0.5)):
            now[0] = 100.0 + seconds
            progress.say("orders", rows, share)
        progress.say("fact_orders", 0)
    assert [(about["batch"], about["rows_per_second"], about["seconds_left"]) for about in said] == [
        (0, None, None), (1, 100, 30.0), (2, 100, 20.0), (0, None, None)]


def test_a_step_by_hand_and_one_on_a_full_disk_say_nothing_of_how_far_they_are(tmp_path: Path):
    Progress(tmp_path / "nowhere").say("orders", 1, 0.5)
    Progress(tmp_path).say("orders", 1, 0.5)
    assert list(tmp_path.iterdir()) == []
