"""Gold counts up to the run's own day, and a clock that is likely to be wrong is reported first."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import CUSTOMERS, ORDERS, Shop
from warm_runs import WarmRuns

from lib.clock import FORMAT
from lib.reproduce.replay import replay
from lib.reproduce.verify import verify
from lib.runner.plan import make_plan
from lib.steps import Options

FAR = "2099-01-01 00:00:00.000000"
AS_OF = ("select distinct as_of_date, days_since_last_order, churn_risk from reporting_customer_stats "
         "where customer_id = 'C2'")


def later(**span: float) -> str:
    """Return the time that much later than now; the small shop's first run is some seconds old."""
    return (datetime.now(UTC) + timedelta(**span)).strftime(FORMAT)


def deliver(shop: Shop, number: int) -> None:
    """Deliver something new about customer C1 only."""
    shop.deliver(f"orders_{number}.csv", ORDERS, f"N{number},C1,2025-02-01,,{number}.00,placed")


@pytest.fixture
def begun(monkeypatch) -> list[tuple[str, dict]]:
    """The events of runs in the test's process, in their order."""
    return []


@pytest.fixture
def run_at(small: Shop, run, begun):
    """Run at a time with something new, and return the warnings about the clock."""
    def run_at(now: str, **options) -> list[str]:
        deliver(small, len(list(small.source.iterdir())))
        begun.clear()
        result = run(now=now, tell=lambda event, **about: begun.append((event, about)), **options)
        return [warning for warning in result.warnings() if "clock" in warning or "--now" in warning]
    return run_at


def test_after_a_run_under_a_wrong_clock_gold_follows_the_right_one(small: Shop, run_at):
    run_at(FAR)
    assert small.query("gold", AS_OF) == [("2099-01-01", 27027, "HIGH")]
    run_at("2025-01-20 06:00:00.000000")
    assert small.query("gold", AS_OF) == [("2025-01-20", 18, "LOW")]
    run_at("2025-02-20 06:00:00.000000", full_refresh=True)
    assert small.query("gold", AS_OF) == [("2025-02-20", 49, "MEDIUM")]


def test_the_times_in_the_layers_and_the_ids_of_runs_only_move_forward(small: Shop, run_at):
    for now in (FAR, "2025-01-20 06:00:00.000000", "2025-01-19 06:00:00.000000"):
        run_at(now)
    batches = small.query("audit", "select batch_id from pipeline_execution_log order by execution_id")
    assert batches == sorted(batches)
    for layer in ("raw", "curated", "gold"):
        times = small.query(layer, "select committed_timestamp from layer_commits order by commit_id")
        assert times == sorted(times)


def test_a_clock_that_is_far_ahead_is_reported_before_anything_is_written(small: Shop, run_at, begun):
    [warning] = run_at(FAR)
    assert warning.startswith("--now is 2099-01-01 00:00:00") and "--full-refresh" in warning
    events = [event for event, _ in begun]
    assert begun[events.index("warning")][1] == {"message": warning}
    assert events.index("warning") < events.index("step_started")


def test_the_machines_clock_is_compared_with_the_last_run(small: Shop, run_at, monkeypatch):
    monkeypatch.setattr("lib.storage.audit.utc_now", lambda: FAR)
    [warning] = run_at("")
    assert "2099-01-01" in warning and "2025-01-02" in warning  # and with the newest day that was delivered
    monkeypatch.undo()


def test_the_first_run_with_the_right_clock_is_told_that_the_one_before_differed_and_the_next_is_not(run_at):
    run_at(FAR)
    [warning] = run_at(later(seconds=1))
    assert "before the last run (2099-01-01 00:00:00)" in warning
    assert run_at(later(seconds=2)) == []


def test_a_clock_that_was_behind_once_makes_no_later_one_suspicious(run_at):
    [warning] = run_at("2000-01-01 00:00:00.000000")
    assert "before the last run" in warning
    assert run_at("2025-02-10 00:00:00.000000") == []  # the newest day that was delivered is near


@pytest.mark.parametrize("span", [{"minutes": 1}, {"days": 60}, {"days": 360}])
def test_a_shop_that_was_closed_is_no_reason_to_doubt_the_clock(run_at, span: dict):
    assert run_at(later(**span)) == []


def test_a_first_load_of_old_data_is_no_reason_to_doubt_the_clock(tmp_path: Path, monkeypatch):
    import in_process

    shop = Shop(tmp_path)
    shop.deliver("customers.csv", CUSTOMERS, "C1,Ann,A,,,,,,vip")
    shop.deliver("orders.csv", ORDERS, "O1,C1,1996-07-04,,14.00,placed")
    assert in_process.run(shop, monkeypatch).notes == []
    shop.deliver("orders_2.csv", ORDERS, "O2,C1,1996-07-05,,14.00,placed")
    assert in_process.run(shop, monkeypatch).notes == []


def test_plan_reports_the_clock_too(small: Shop):
    options = Options(small.source, small.warehouse, small.reports, now=FAR)
    assert any("2099-01-01" in warning for warning in make_plan(options).warnings)


def test_a_history_with_a_wrong_clock_is_replayed_and_equals_one_full_load(
        small: Shop, run, run_at, tmp_path: Path):
    run_at(FAR)
    run()  # which has nothing to do, and takes an id
    run_at("2025-01-20 06:00:00.000000")
    shown: list[str] = []
    [(batch_id,)] = small.query("audit", "select max(batch_id) from pipeline_execution_log")
    options = Options(small.source, small.warehouse, small.reports)
    assert replay(options, batch_id, tmp_path / "again", shown.append), shown
    assert verify(options, tmp_path / "verified", shown.append), shown
    times = "select ingestion_timestamp, batch_id from orders order by row_id"
    assert Shop(tmp_path / "again").query("raw", times) == small.query("raw", times)


def test_the_warning_is_on_the_terminal_in_run_json_and_on_the_page(used: Shop, warm: WarmRuns):
    used.deliver("orders_2.csv", ORDERS, "N1,00001,2026-01-05,web,1.00,placed")
    output = warm.run(used, "--now", "2099-01-01").stdout
    assert output.index("--now is 2099-01-01") < output.index("1/4 raw")
    [folder] = (used.reports / "runs").glob("2099*")
    for name in ("run.json", "index.html"):
        assert "--now is 2099-01-01" in (folder / name).read_text(encoding="utf-8")
