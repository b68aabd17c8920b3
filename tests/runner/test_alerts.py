"""Alerts: people are told what a run means for them, once, and nobody is told an address."""

import json
import os
import re
import shutil
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from mailbox import PASSWORD, SECRETS, USER, Inbox, dead_address, free_port, mail_server, web_server
from pathlib import Path

import pytest
from commands import refused
from conftest import ORDERS, PROJECT, Shop
from warm_runs import MARK, left_after

from lib.cli.options import alerts_of
from lib.clock import FORMAT, utc_now
from lib.errors import UsageError
from lib.runner import addresses
from lib.runner.alerts import TOLD, Alerts
from lib.runner.console import Console
from lib.runner.kernels import KernelQueue
from lib.runner.once import run_once
from lib.steps import Options
from lib.storage.lock import LockTaken, run_lock

UNREADABLE = [ORDERS, *(f'N{n},C1,2025-01-03,,"1,5{n}",placed' for n in range(1, 6))]
READABLE = [ORDERS, *(f"N{n},C1,2025-01-03,,1.5{n},placed" for n in range(1, 6))]
STRAY = "ordres.csv: did you mean orders.csv?"
FIGURES = {"day": "2025-01-02", "title": "The shop's sales", "figures": [
    {"name": "Sales", "shown": "12,345.67", "note": "+4.1% on the day before"},
    {"name": "Orders", "shown": "3", "note": ""}],
    "of_the_day": [{"name": "Units", "shown": "7", "note": ""}]}


@pytest.fixture(scope="module")
def web() -> Iterator[Inbox]:
    with web_server() as inbox:
        yield inbox


@pytest.fixture(scope="module")
def mail() -> Iterator[Inbox]:
    with mail_server() as inbox:
        yield inbox


@pytest.fixture
def run(small: Shop, web: Inbox, monkeypatch) -> Callable[..., list[tuple[str, str]]]:
    """Run the small shop some hours from now, and return the alerts that arrive at the web server."""
    begun = datetime.strptime(utc_now(), FORMAT)
    known: dict[tuple[str, bool], Alerts] = {}
    web.take()

    def run(hours: float = 0, expect: int = 0, notify: str = web.address, digest: bool = False,
            **options) -> list[tuple[str, str]]:
        now = (begun + timedelta(hours=hours)).strftime(FORMAT)
        given = Options(small.source, small.warehouse, small.reports, settled_seconds=0, now=now, **options)
        if (notify, digest) not in known:
            monkeypatch.setenv(addresses.VARIABLE, notify)
            known[notify, digest] = alerts_of("", digest, given)
        assert run_once(given, Console(), None, known[notify, digest], False, KernelQueue()) == expect
        return web.take()

    return run


# What is sent

def test_a_failure_is_sent_to_every_address_once_a_day_and_so_is_its_end(small: Shop, run, mail: Inbox,
                                                                         web: Inbox):
    small.deliver("orders_2.csv", *UNREADABLE)
    both = f"{mail.address}, {web.address}"
    [(title, body)] = run(expect=1, notify=both)
    assert title.startswith("Shop pipeline failed: orders_2.csv: 5 of 5 rows cannot be loaded, more than 10%")
    assert len(title) <= 100
    first, step, go_on, _, report, warehouse = body.splitlines()
    assert first.startswith("orders_2.csv: 5 of 5 rows ") and "deliver it again" in first
    assert step.startswith("step: 3/4 facts (3_facts.ipynb")
    assert go_on.startswith(f"continue: {sys.executable} {PROJECT / 'run_pipeline.py'} --source ")
    assert report == f"report: {small.reports / 'index.html'}"
    assert warehouse == f"warehouse: {small.warehouse}"
    assert "1,51" not in body  # no row of a delivery
    [(subject, text)] = mail.take()
    assert subject == title
    assert " ".join(text.split()) == " ".join(body.split())
    assert run(expect=1) == []
    [(again, _)] = run(hours=24, expect=1)
    assert again == title
    small.deliver("orders_2.csv", *READABLE)
    [(title, body)] = run(hours=25)
    assert title == "Shop pipeline works again"
    assert "The failure before it: orders_2.csv: 5 of 5 rows cannot be loaded, more than 10%" in body
    assert run(hours=26) == []
    assert "apprise" not in sys.modules  # a process of its own has sent all this


def test_an_incomplete_run_names_what_is_missing(small: Shop, run):
    small.deliver("orders_2.csv", "a,b", "secret of Ann,2")
    small.deliver("orders_3.csv", *READABLE)
    [(title, body)] = run(expect=1)
    assert title == "Shop pipeline is incomplete: 1 of 2 deliveries could not be loaded"
    assert re.search(r"(?m)^- .*orders_2.csv, line 1: the header lacks 'order_id'", body)
    assert "Ann" not in body


def test_a_warning_is_sent_once_and_again_only_after_it_was_gone(small: Shop, run):
    stray = small.deliver("ordres.csv", ORDERS)
    [(title, body)] = run()
    assert title.startswith(f"Shop pipeline: {STRAY}")
    assert f"\n- {STRAY}" in body and "`status`" in body
    assert run() == []
    small.deliver("paymets.csv", ORDERS)
    [(title, body)] = run()
    assert "paymets.csv" in title and STRAY not in body
    stray.unlink()
    assert run() == []
    small.deliver("ordres.csv", ORDERS)
    [(title, _)] = run()
    assert title.startswith(f"Shop pipeline: {STRAY}")


def test_what_a_step_has_said_about_rows_is_not_new_because_the_step_had_nothing_to_do(small: Shop, run):
    rows = [f"N{n},C1,2025-01-03,,1.00,placed" for n in range(1, 20)]
    small.deliver("orders_2.csv", ORDERS, *rows, "N20,C1,2025-02-30,,1.00,placed")
    [(_, body)] = run()
    assert "fact_orders: 1 of 20 rows, such as '2025-02-30'" in body
    told = json.loads((small.warehouse / TOLD).read_text())["warnings"]["facts"]
    assert run() == []
    assert json.loads((small.warehouse / TOLD).read_text())["warnings"]["facts"] == told != []


def test_many_new_warnings_are_one_short_message(small: Shop, run, monkeypatch):
    monkeypatch.setattr("lib.runner.run.describe_new", lambda *_: [f"{n}.csv: whose?" for n in range(500)])
    [(title, body)] = run()
    assert title == "Shop pipeline: 500 new warnings"
    assert body.count("whose?") == 10 and "and 490 more: see the report" in body
    assert run() == []


def test_an_overdue_source_is_told_once_per_silence(small: Shop, run):
    for number in range(4):
        small.deliver(f"orders_{number}.csv", ORDERS, f"N{number},C1,2025-01-03,,1.00,")
        run(steps=("raw",))
    [(title, _)] = run(hours=3, steps=("raw",))
    assert title.startswith("Shop pipeline: orders: nothing new for 3 hours")
    assert run(hours=4, steps=("raw",)) == []  # of 4 hours by now
    small.deliver("orders_5.csv", ORDERS, "N5,C1,2025-01-03,,1.00,")
    assert run(hours=5, steps=("raw",)) == []
    [(title, _)] = run(hours=20, steps=("raw",))
    assert title.startswith("Shop pipeline: orders: nothing new for 15 hours")


def test_the_digest_is_sent_by_the_first_run_of_a_day_that_changed_gold(small: Shop, run):
    run = partial(run, digest=True)
    assert run() == []  # there is no report
    small.reports.mkdir(exist_ok=True)
    (small.reports / "report.json").write_text(json.dumps(FIGURES))
    [(title, body)] = run()
    assert title == "The shop's sales"
    assert body == ("Sales: 12,345.67 (+4.1% on the day before)\nOrders: 3\nUnits: 7\n\n"
                    f"report: {small.reports / 'report.html'}")
    assert run() == []
    assert run(hours=24) == []  # nothing has changed: a later run of this day may have more to say
    small.deliver("orders_2.csv", *READABLE)
    [(title, _)] = run(hours=24)
    assert title == "The shop's sales"
    assert run(hours=24) == []
    assert run(hours=48) == []
    [(title, _)] = run(hours=72)  # after a day without a change
    assert title == "The shop's sales"


def test_the_digest_has_the_figures_of_the_report_that_a_run_has_left(small: Shop, loaded: Shop, run):
    small.reports.mkdir(exist_ok=True)
    shutil.copy(loaded.reports / "report.json", small.reports)
    [(title, body)] = run(digest=True)
    assert title == "Net sales up to Tuesday, 30 December 2025"
    names = [line.partition(":")[0] for line in body.splitlines()]
    assert names[:5] == ["The day", "Last 7 days", "Last 28 days", "Month so far", "Orders"]
    assert "Returning customers" in names


def test_the_figures_are_only_sent_on_request_and_not_after_a_failure(small: Shop, run):
    small.reports.mkdir(exist_ok=True)
    (small.reports / "report.json").write_text(json.dumps(FIGURES))
    small.deliver("orders_2.csv", *UNREADABLE)
    [(title, _)] = run(expect=1, digest=True)
    assert title.startswith("Shop pipeline failed")
    small.deliver("orders_2.csv", *READABLE)
    [(title, _)] = run()
    assert title == "Shop pipeline works again"


def test_a_run_that_could_not_begin_is_a_failure_unless_another_run_has_the_lock(small: Shop, run,
                                                                                web: Inbox):
    small.source.rename(small.folder / "elsewhere")
    with run_lock(small.warehouse), pytest.raises(LockTaken):
        run()
    assert web.take() == []
    with pytest.raises(UsageError, match="there is no source folder"):
        run()
    [(title, body)] = web.take()
    assert title.startswith("Shop pipeline failed: there is no source folder")
    assert "Create it, or name another with --source." in body and "\ncontinue: " in body
    (small.folder / "elsewhere").rename(small.source)
    [(title, _)] = run()
    assert title == "Shop pipeline works again"


def test_a_watch_that_ends_with_an_error_says_so(tmp_path: Path, web: Inbox):
    shop = Shop(tmp_path)
    shop.warehouse.mkdir()
    web.take()
    done = shop.run("watch", "--notify", expect=2, env={**os.environ, addresses.VARIABLE: web.address})
    refused(done, "there is no source folder")
    [(title, _)] = web.take()
    assert title.startswith("Shop pipeline failed: there is no source folder")


# What cannot be sent

def test_a_dead_server_is_a_warning_that_changes_nothing_and_the_next_run_tries_again(small: Shop, run,
                                                                                      capsys):
    small.deliver("orders_2.csv", *UNREADABLE)
    assert run(expect=1, notify=dead_address()) == []
    error, *_, go_on, warning = capsys.readouterr().err.splitlines()
    assert error.startswith("error: orders_2.csv: ") and go_on.startswith("continue: ")
    assert warning.startswith("warning: an alert could not be sent to address 1 of PIPELINE_NOTIFY (json): ")
    assert not (small.warehouse / TOLD).exists()
    [(title, _)] = run(expect=1)
    assert title.startswith("Shop pipeline failed: orders_2.csv: ")
    assert capsys.readouterr().err.count("warning: ") == 0


def test_an_address_that_works_gets_its_alert_although_another_does_not(small: Shop, run, web: Inbox, capsys):
    small.deliver("ordres.csv", ORDERS)
    [(title, _)] = run(notify=f"{dead_address()} {web.address}")
    assert title.startswith(f"Shop pipeline: {STRAY}")
    [warning] = capsys.readouterr().err.splitlines()
    assert "address 1 of" in warning
    assert run() == []


def test_a_server_that_never_answers_holds_a_run_for_a_limited_time_only(small: Shop, run, capsys,
                                                                        monkeypatch):
    monkeypatch.setattr(addresses, "SECONDS", 5)
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    small.deliver("ordres.csv", ORDERS)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert run(notify=f"json://127.0.0.1:{port}?rto=600&cto=600") == []
    [warning] = capsys.readouterr().err.splitlines()
    assert "took longer than 5 s" in warning
    assert left_after(5, mark) == []


def test_a_defect_of_the_alerts_is_a_warning_without_its_message(small: Shop, run, capsys, monkeypatch):
    def fail(*_: object) -> None:
        raise ValueError(PASSWORD)

    small.deliver("ordres.csv", ORDERS)
    monkeypatch.setattr(addresses.Addresses, "send", fail)
    assert run() == []
    [warning] = capsys.readouterr().err.splitlines()
    assert warning == "warning: alerts could not be sent (ValueError). The run is not affected"


def test_a_file_of_what_was_told_that_cannot_be_read_or_written_repeats_alerts(small: Shop, run, capsys):
    small.deliver("ordres.csv", ORDERS)
    (small.warehouse / TOLD).write_text('{"failure": nu')
    assert len(run()) == 1 and run() == []
    (small.warehouse / TOLD).unlink()
    (small.warehouse / f".{TOLD}.partial").mkdir()
    assert len(run()) == 1
    [warning] = capsys.readouterr().err.splitlines()
    assert re.match(r"warning: .*alerts\.json cannot be written \(Is a directory\)", warning)
    assert len(run()) == 1


# Addresses

GOOD = f"json://{USER}:{PASSWORD}@127.0.0.1/alerts"
WRONG = {  # what is in the variable, and what the error names
    "nothing": ("", "no address in the environment variable PIPELINE_NOTIFY"),
    "no address": (PASSWORD, "address 1 of PIPELINE_NOTIFY is no address"),
    "something before an address": (f"{PASSWORD} {GOOD}", "address 1 of PIPELINE_NOTIFY is no"),
    "something after an address": (f"mailto://{USER}:{PASSWORD}@example.org, {PASSWORD}",
                                   "address 1 of PIPELINE_NOTIFY (mailto) is no"),
    "an unknown kind": (f"{GOOD}, sesame://{PASSWORD}", "address 2 of PIPELINE_NOTIFY is no"),
    "two": (f"slack://{PASSWORD} {GOOD}\nslack://{PASSWORD}",
            "address 1 of PIPELINE_NOTIFY (slack), address 3 of PIPELINE_NOTIFY (slack) are no"),
}


@pytest.mark.parametrize(("given", "named"), WRONG.values(), ids=WRONG)
def test_a_wrong_address_is_named_by_its_number(given: str, named: str, monkeypatch):
    monkeypatch.setenv(addresses.VARIABLE, given)
    with pytest.raises(UsageError, match=re.escape(named)) as error:
        addresses.read_addresses("", Options())
    assert PASSWORD not in str(error.value)


def test_a_wrong_address_ends_a_run_before_it_begins(tmp_path: Path):
    shop = Shop(tmp_path)
    shop.deliver("orders.csv", ORDERS)
    done = shop.run("--notify", expect=2, env={**os.environ, addresses.VARIABLE: f"{GOOD} slack://{PASSWORD}"})
    assert PASSWORD not in refused(done, "address 2 of PIPELINE_NOTIFY (slack)") + done.stdout
    assert not shop.warehouse.exists() and not shop.reports.exists()


@pytest.fixture
def from_file(tmp_path: Path) -> Callable[[str], addresses.Addresses]:
    """Return a function that reads addresses from a file with this text."""
    def read(text: str | bytes, folder: str = "elsewhere") -> addresses.Addresses:
        path = tmp_path / folder / "notify.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        shop = Shop(tmp_path)
        return addresses.read_addresses(str(path), Options(shop.source, shop.warehouse, shop.reports))

    return read


def test_a_file_has_an_address_a_line_with_comments_and_tags(from_file, tmp_path: Path):
    found = from_file(f"\ufeff# to the owner\n\n  {GOOD}\r\n"
                      f"owner, night = mailto://u:{PASSWORD}@example.org\n; end")
    where = tmp_path / "elsewhere" / "notify.txt"
    assert found.names == (f"line 3 of {where} (json)", f"line 4 of {where} (mailto)")
    assert PASSWORD not in repr(found)


@pytest.mark.parametrize(("text", "named"), [
    (f"{GOOD}\n# comment\n{PASSWORD}", "line 3 of .*notify.txt is no address"),
    (f"{GOOD} sesame://{PASSWORD}", r"line 1 of .*notify.txt \(json\) is no address"),
    (f"{GOOD}\ninclude {PASSWORD}.txt", "line 2 of .*notify.txt is no address"),
    ("# nothing yet\n", "holds no address"),
    (b"\xff\xfe", "no UTF-8"),
])
def test_a_wrong_line_is_named_by_its_number(from_file, text: str | bytes, named: str):
    with pytest.raises(UsageError, match=named) as error:
        from_file(text)
    assert PASSWORD not in str(error.value)


@pytest.mark.parametrize("folder", ["source", "warehouse", "reports"])
def test_a_file_in_a_folder_of_the_run_is_refused(from_file, folder: str):
    with pytest.raises(UsageError, match=f"notify.txt is in .*{folder}, .*Keep addresses elsewhere"):
        from_file(GOOD, folder)


def test_a_file_in_the_project_an_address_and_a_missing_file_are_refused():
    for name, message in ((str(PROJECT / "README.md"), "Keep addresses elsewhere"),
                          (GOOD, "takes a file .* can read a command line"),
                          ("/no/such/file", "/no/such/file cannot be read \\(No such file")):
        with pytest.raises(UsageError, match=message) as error:
            addresses.read_addresses(name, Options())
        assert PASSWORD not in str(error.value)


def test_a_digest_needs_somebody_to_send_it_to(tmp_path: Path):
    refused(Shop(tmp_path).run("--digest", expect=2), "--digest goes with --notify")


def test_no_address_is_in_anything_that_a_run_leaves_or_prints_or_starts(used: Shop, web: Inbox):
    """The address of a server that answers, of one that refuses, and of one that is not there."""
    used.deliver("orders_2.csv", *UNREADABLE)
    refusing = web.address.replace(f"{USER}:", "nobody:")
    dead = f"mailto://{USER}:{PASSWORD}@127.0.0.1:{free_port()}?from=shop@example.org&to=owner@example.org"
    given = f"{web.address} {refusing} {dead}"
    web.take()
    hook = f"env > '{used.folder}/environment'"
    done = used.run("--notify", "--digest", "--log-format", "json", "--on-failure", hook, expect=1,
                    env={**os.environ, addresses.VARIABLE: given})
    [(title, _)] = web.take()  # which asks for the password
    assert title.startswith("Shop pipeline failed")
    assert done.stderr.count("warning: an alert could not be sent to address ") == 2
    files = [path for path in used.folder.rglob("*") if path.is_file()]
    left = [done.stdout.encode(), done.stderr.encode(), *(path.read_bytes() for path in files)]
    assert {"environment", "run.json", TOLD, "audit.db"} <= {path.name for path in files}
    assert [secret for secret in SECRETS for content in left if secret.encode() in content] == []
