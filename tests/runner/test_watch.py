"""Watch: a run whenever deliveries arrive, one for a burst of them, until it is stopped."""

import json
import os
import select
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ORDERS, PAYMENTS, Shop
from warm_runs import MARK, processes

from lib.errors import PipelineError, UsageError
from lib.runner.console import Console
from lib.runner.kernels import KernelQueue
from lib.runner.watch import QUIET, watch_source
from lib.steps import SETTLED_SECONDS
from lib.storage.lock import run_lock


class Enough(Exception):
    """Ends the watch of a test."""


@contextmanager
def later(seconds: float, act: Callable[[], object]) -> Iterator[None]:
    """Do something while the context is open."""
    timer = threading.Timer(seconds, act)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def without_kernels(monkeypatch) -> list[object]:
    """Start no processes; return the queues in which kernels would have been started."""
    started: list[object] = []
    monkeypatch.setattr("lib.runner.kernels.warm_up", lambda: None)

    def start_ahead(queue: object, kernels: int) -> None:
        assert kernels == 4
        started.append(queue)

    monkeypatch.setattr("lib.runner.kernels.KernelQueue.start_ahead", start_ahead)
    return started


@pytest.fixture
def watched(tmp_path: Path, monkeypatch) -> Callable:
    """Return a function that watches a source folder in this process and returns what it held at each run.
    Each run returns one of the answers, and the last one ends the watch."""
    started = without_kernels(monkeypatch)

    def watch(*answers: bool) -> list[list[str]]:
        seen, left = [], list(answers)

        def run_now(waiting: object, settled_seconds: float) -> bool:
            assert started[-1] is waiting  # its kernels got ready while nothing came
            assert settled_seconds == QUIET / 1000  # the files have not changed for so long
            seen.append(sorted(path.name for path in tmp_path.rglob("*.csv")))
            answer = left.pop(0)
            if not left:
                raise Enough
            return answer

        too_long = threading.Timer(30, tmp_path.rename, [tmp_path.with_name("gone")])
        too_long.start()
        with pytest.raises(Enough):
            watch_source(tmp_path, run_now, Console())
        too_long.cancel()
        return seen

    return watch


def test_a_burst_of_deliveries_is_one_run(watched, tmp_path: Path):
    def arrive() -> None:
        for number in range(10):
            (tmp_path / f"orders_{number}.csv").write_text(ORDERS)
            time.sleep(0.1)
        time.sleep(1)
        (tmp_path / "payments.csv").write_text(PAYMENTS)

    with later(0.5, arrive):
        first, second = watched(True, True)
    assert first == [f"orders_{number}.csv" for number in range(10)]
    assert second == [*first, "payments.csv"]


def test_files_that_keep_changing_have_to_settle_as_in_any_run(tmp_path: Path, monkeypatch):
    without_kernels(monkeypatch)
    monkeypatch.setattr("lib.runner.watch.LONGEST_BURST", 0.5)
    received: list[float] = []

    def run_now(_: object, settled_seconds: float) -> bool:
        received.append(settled_seconds)
        raise Enough

    def grow() -> None:
        with (tmp_path / "orders.csv").open("w") as file:
            while not received:
                file.write("more\n")
                file.flush()
                time.sleep(0.02)

    with later(0.5, grow), pytest.raises(Enough):
        watch_source(tmp_path, run_now, Console())
    assert received == [SETTLED_SECONDS]


def test_deliveries_that_are_there_already_start_a_run_and_a_refused_run_is_tried_again(
        watched, tmp_path: Path):
    (tmp_path / "orders.csv").write_text(ORDERS)
    assert watched(False, False, True) == [["orders.csv"]] * 3


def test_a_file_that_is_unfinished_or_of_no_source_starts_no_run_until_it_is_renamed(watched, tmp_path: Path):
    def arrive() -> None:
        (tmp_path / "notes.txt").write_text("hello")
        (tmp_path / ".orders.csv").write_text(ORDERS)
        (tmp_path / "orders.csv.part").write_text(ORDERS)
        time.sleep(1)
        (tmp_path / "orders.csv.part").rename(tmp_path / "orders.csv")

    with later(0.5, arrive):
        assert watched(True) == [[".orders.csv", "orders.csv"]]


def test_a_folder_of_deliveries_that_is_moved_in_starts_a_run(watched, tmp_path: Path, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "orders"
    elsewhere.mkdir()
    (elsewhere / "2026-01-01.csv").write_text(ORDERS)
    with later(0.5, lambda: elsewhere.rename(tmp_path / "orders")):
        assert watched(True) == [["2026-01-01.csv"]]


@pytest.mark.parametrize("place", ["orders/2026", "january"])
def test_a_folder_is_seen_where_it_is_read_and_where_a_run_reports_that_it_is_not(
        place: str, watched, tmp_path: Path, tmp_path_factory):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "week"
    elsewhere.mkdir()
    (elsewhere / "orders_2026-01-01.csv").write_text(ORDERS)
    with later(0.5, lambda: elsewhere.rename(tmp_path / place)):
        assert watched(True) == [["orders_2026-01-01.csv"]]


def test_a_folder_without_deliveries_starts_no_run(watched, tmp_path: Path):
    def arrive() -> None:
        (tmp_path / "notes").mkdir()
        time.sleep(1)
        (tmp_path / "orders.csv").write_text(ORDERS)

    with later(0.5, arrive):
        assert watched(True) == [["orders.csv"]]


def test_a_source_folder_that_is_missing_or_removed_ends_the_watch(tmp_path: Path, monkeypatch):
    without_kernels(monkeypatch)
    source = tmp_path / "source"
    with pytest.raises(UsageError, match="source folder"):
        watch_source(source, lambda *_: True, Console())
    source.mkdir()
    with later(0.5, source.rmdir), pytest.raises(PipelineError, match=r"removed .*Start watch again"):
        watch_source(source, lambda *_: True, Console())


def test_a_kernel_that_died_while_it_waited_is_replaced(monkeypatch):
    alive: dict[int, bool] = {}

    @contextmanager
    def kernel() -> Iterator[SimpleNamespace]:
        number = len(alive)
        alive[number] = True
        yield SimpleNamespace(number=number, forked=SimpleNamespace(is_alive=lambda: alive[number]))

    monkeypatch.setattr("lib.runner.kernels.warm_kernel", kernel)
    with KernelQueue() as queue:
        queue.start_ahead(2)
        alive[0] = False
        with queue.take(is_last=False) as first, queue.take(is_last=True) as second:
            assert [first.number, second.number] == [1, 2]


def test_watch_runs_what_arrives_survives_a_failed_run_holds_no_lock_between_and_ends_on_sigterm(used: Shop):
    mark, orders = uuid.uuid4().hex, "select orders from sales_summary_daily where order_date = '2026-01-05'"
    watch = subprocess.Popen(used.command("watch", "--log-format", "json"), stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, start_new_session=True,
                             env={**os.environ, MARK: mark})

    def until(event: str) -> list[dict]:
        """Return its events up to one of this name."""
        events: list[dict] = []
        while not events or events[-1]["event"] != event:
            assert select.select([watch.stdout], [], [], 120)[0], events
            events.append(json.loads(watch.stdout.readline()))
        return events

    try:
        assert until("waiting")[-2]["verdict"] == "nothing new"
        with run_lock(used.warehouse):
            used.deliver("orders_2.csv", ORDERS, "N1,00001,2026-01-05,web,1.00,placed")
            time.sleep(1)  # it cannot run yet
        ended = [event for event in until("waiting") if event["event"] == "step_ended"]
        assert [event["step"] for event in ended if event["has_run"]] == ["raw", "facts", "gold"]
        assert used.query("gold", orders) == [(1,)]
        with run_lock(used.warehouse):
            pass
        used.deliver("orders_3.csv", "a,b", "1,2")
        assert until("waiting")[-2]["verdict"] == "failed"
        used.deliver("orders_3.csv", ORDERS, "N2,00001,2026-01-05,web,1.00,placed")
        assert until("waiting")[-2]["verdict"] == "success"
        assert used.query("gold", orders) == [(2,)]
        watch.send_signal(signal.SIGTERM)
        _, errors = watch.communicate(timeout=60)
    finally:
        watch.kill()
        watch.wait()
    assert watch.returncode == 130
    assert "orders_3.csv, line 1: " in errors and "continue: " in errors
    assert errors.splitlines()[-1].startswith("stopped: ")
    assert processes(mark) == {}
    assert used.query("audit", "select count(distinct batch_id) from pipeline_execution_log") == [(5,)]
