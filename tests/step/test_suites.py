"""What is wrong in a suite is reported before anything is written, with file, expectation and remedy."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import ORDERS, PROJECT, Shop

import lib.cli.watch
import lib.runner.run
from lib.errors import UsageError
from lib.runner.kernels import KernelQueue
from lib.runner.plan import make_plan
from lib.step.suites import check_suites
from lib.steps import Options
from lib.storage import audit
from lib.storage.lock import run_lock


@pytest.fixture
def suites(tmp_path: Path, monkeypatch) -> Path:
    """A copy of the suites, which are then checked."""
    copy = tmp_path / "expectations"
    shutil.copytree(PROJECT / "gx" / "expectations", copy)
    monkeypatch.setattr("lib.step.suites.SUITES", copy)
    return copy


def change(suites: Path, suite: str, number: int, edit: Callable[[dict], object]) -> None:
    """Change an expectation of a suite, counted from 1."""
    path = suites / f"{suite}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content["expectations"][number - 1])
    path.write_text(json.dumps(content), encoding="utf-8")


def test_the_suites_of_the_project_are_sound(suites: Path, loaded: Shop, tmp_path: Path):
    check_suites(loaded.warehouse)
    check_suites(tmp_path)


WRONG = {  # a change of fact_payments' fifth expectation (payment_status is in a set), and what is said of it
    "no notes": (lambda one: one.pop("notes"), "no notes.* Write"),
    "empty notes": (lambda one: one.update(notes=[" "]), "no notes.* Write"),
    "no meta": (lambda one: one.pop("meta"), r"meta\.on_failure is None.* fail, quarantine, warn, observe"),
    "a wrong consequence": (lambda one: one["meta"].update(on_failure="stop"), "on_failure is 'stop'"),
    "an unknown severity": (lambda one: one.update(severity="high"), "severity .*critical.*Correct"),
    "an unknown type": (lambda one: one.update(type="expect_column_values_to_be_inset"),
                        r"no such expectation \(did you mean expect_column_values_to_be_in_set\?\)"),
    "a parameter that is missing": (lambda one: one["kwargs"].pop("value_set"), "value_set.*Correct"),
    "a parameter that is unknown": (lambda one: one["kwargs"].update(valueset=[]), "valueset.*Correct"),
    "a parameter of a wrong type": (lambda one: one["kwargs"].update(mostly="most"), "mostly.*Correct"),
    "an unknown field": (lambda one: one.update(note="Why"), "note.*Correct"),
    "a column that is not there": (
        lambda one: one["kwargs"].update(column="payment_statos"),
        r"no column 'payment_statos' \(did you mean payment_status\?\).* Correct"),
}


@pytest.mark.parametrize(("edit", "message"), WRONG.values(), ids=WRONG)
def test_a_malformed_expectation_is_named_with_its_file_and_what_to_do(
        edit: Callable, message: str, suites: Path, tmp_path: Path):
    change(suites, "fact_payments", 5, edit)
    with pytest.raises(UsageError) as raised:
        check_suites(tmp_path)
    [line] = str(raised.value).splitlines()
    about = r"gx/expectations/fact_payments\.json, expectation 5, expect_column_values_to_be_in_?set\(.*\): "
    assert re.match(f"{about}.*{message}", line), line


@pytest.mark.parametrize(("text", "message"), [
    ('{"expectations": [', "is no JSON"), ("[]", "list of expectations"), ('{"name": "x"}', "list of"),
    ('{"expectations": [{"type": "expect_column_values_to_be_null"}]}', "type and kwargs")])
def test_a_file_that_is_no_suite_is_named(text: str, message: str, suites: Path, tmp_path: Path):
    (suites / "dim_customers.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=rf"^gx/expectations/dim_customers\.json.*{message}.*restore it"):
        check_suites(tmp_path)


def test_everything_that_is_wrong_is_reported_at_once(suites: Path, tmp_path: Path):
    change(suites, "orphans", 2, lambda one: (one.pop("notes"), one["meta"].clear()))
    change(suites, "reconciliation", 1, lambda one: one["kwargs"].update(column_A="golt"))
    with pytest.raises(UsageError) as raised:
        check_suites(tmp_path)
    assert [re.search(r"(\w+)\.json, expectation (\d)", line).groups()
            for line in str(raised.value).splitlines()] == [
        ("orphans", "2"), ("orphans", "2"), ("reconciliation", "1")]


def test_a_suite_of_raw_may_name_a_column_that_was_delivered_beside_the_contract(
        suites: Path, small: Shop, run):
    small.deliver("orders_2.csv", f"{ORDERS},coupon", "O8,C1,2025-01-08,,5.00,,X")
    change(suites, "raw_orders", 2, lambda one: one["kwargs"].update(column="coupon"))
    with pytest.raises(UsageError, match="no column 'coupon'"):
        check_suites(small.warehouse)
    run(steps=("raw",))
    check_suites(small.warehouse)


def test_a_run_with_a_malformed_suite_writes_nothing_and_a_plan_finds_it(
        suites: Path, small: Shop, monkeypatch):
    change(suites, "sales_summary_daily", 1, lambda one: one.pop("notes"))
    small.deliver("orders_2.csv", ORDERS, "O8,C1,2025-01-08,,5.00,")
    before, options = small.state(), Options(small.source, small.warehouse, small.reports)
    with pytest.raises(UsageError, match=r"sales_summary_daily\.json, expectation 1, .*no notes"):
        make_plan(options)
    monkeypatch.undo()  # what keeps runs in this process would leave out the check
    monkeypatch.setattr("lib.step.suites.SUITES", suites)
    monkeypatch.setattr("lib.runner.kernels.warm_up", lambda: None)
    with (run_lock(small.warehouse), audit.open_audit(small.warehouse) as log,
          pytest.raises(UsageError, match=r"sales_summary_daily\.json, expectation 1, .*no notes")):
        lib.runner.run.run(options, log, lambda event, **about: None, KernelQueue())
    assert small.state() == before


def test_a_run_with_nothing_to_do_does_not_look_at_the_suites(suites: Path, small: Shop, run):
    (suites / "orphans.json").write_text("", encoding="utf-8")
    assert make_plan(Options(small.source, small.warehouse, small.reports)).warnings == []


def test_a_watch_does_not_begin_with_a_wrong_suite(suites: Path, shop: Shop, monkeypatch):
    monkeypatch.setattr("lib.runner.watch.watch_source", lambda *_: None)
    change(suites, "fact_payments", 5, lambda one: one.pop("notes"))
    folders = ["--source", str(shop.source), "--warehouse", str(shop.warehouse)]
    refused = CliRunner().invoke(lib.cli.watch.command, folders).exception
    assert isinstance(refused, UsageError)
    assert "Nothing was started" in str(refused)
