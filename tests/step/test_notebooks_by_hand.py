"""A notebook that is run by hand in one process: again after a cell failed, and again after it was published.
"""

import json

import pytest
from conftest import ORDERS, PROJECT, Shop

from lib.errors import UsageError
from lib.step.open import open_step
from lib.step.parameters import Parameters, read_parameters
from lib.storage.lock import LockTaken


class Notebook:
    """The code cells of a notebook in one namespace, as a kernel keeps it. Pictures are left out."""

    def __init__(self, shop: Shop, name: str):
        cells = json.loads((PROJECT / "notebooks" / name).read_text(encoding="utf-8"))["cells"]
        self._cells = [(cell["id"], "".join(cell["source"])) for cell in cells if cell["cell_type"] == "code"]
        self._parameters = self._cells[0][0]
        self._given = {
            "source": str(shop.source), "warehouse": str(shop.warehouse), "reports": str(shop.reports)}
        self.namespace: dict = {}

    def run(self, until: str = "") -> None:
        """Run the cells from the top; the one with the id `until` fails in its middle."""
        for cell_id, source in self._cells:
            if "bars(" not in source and "line(" not in source:
                fault = "    1 / 0\n" if cell_id == until else ""
                code = source.replace("    step.upsert(", f"{fault}    step.upsert(", 1)
                exec(compile(code, cell_id, "exec"), self.namespace)
                if cell_id == self._parameters:
                    self.namespace.update(self._given)


def log(shop: Shop, process: str) -> list[tuple]:
    return shop.query(
            "audit", "select status, error_message from pipeline_execution_log where process_name = ? "
                     "order by execution_id", process)


@pytest.mark.parametrize(("name", "process", "cell"), [
    ("3_facts.ipynb", "facts", "facts-07"), ("4_gold.ipynb", "gold", "gold-15")])
def test_a_notebook_whose_cell_failed_can_be_run_again_in_the_same_kernel(
        small: Shop, run, name: str, process: str, cell: str):
    small.deliver("orders_2.csv", ORDERS, "O1,C2,2025-01-03,,14.00,placed")
    run(steps=("raw", "dimensions", "facts") if process == "gold" else ("raw",))
    notebook, before = Notebook(small, name), len(log(small, process))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            notebook.run(until=cell)
    notebook.run()
    *failed, (status, message) = log(small, process)[before:]
    assert (status, message) == ("SUCCESS", None)
    assert [status for status, _ in failed] == ["FAILED", "FAILED"]
    assert all("opened a step again" in message for _, message in failed)
    run()
    assert small.query("gold", "select order_date from sales_summary_daily order by 1") == [
        ("2025-01-02",), ("2025-01-03",)]


def test_what_an_abandoned_step_has_written_is_rolled_back(small: Shop, run):
    small.deliver("orders_2.csv", ORDERS, "O1,C2,2025-01-03,,14.00,placed")
    run(steps=("raw",))
    before = {name: rows for name, rows in small.state().items() if name.startswith("curated")}
    notebook = Notebook(small, "3_facts.ipynb")
    with pytest.raises(ZeroDivisionError):
        notebook.run(until="facts-10")  # orders are written by then
    again = open_step("dimensions", notebook.namespace)
    assert {name: rows for name, rows in small.state().items() if name.startswith("curated")} == before
    again.abandon("the test is over")


def test_a_notebook_that_was_published_can_be_run_again(small: Shop):
    notebook = Notebook(small, "3_facts.ipynb")
    notebook.run()
    notebook.run()
    assert notebook.namespace["record"]["rows_processed"] == 0
    assert log(small, "facts") == [("SUCCESS", None)] * 3


def test_a_run_by_another_process_is_not_interrupted(small: Shop):
    import fcntl

    with (small.warehouse / ".lock").open("ab+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LockTaken, match="another run"):
            Notebook(small, "3_facts.ipynb").run()


def test_parameters_are_taken_by_name_and_others_are_left_to_the_notebook():
    read = read_parameters({"batch_rows": 5, "quarantine_limit": 1, "shown_rows": 9, "sys": None})
    assert read == Parameters(batch_rows=5, quarantine_limit=1)


@pytest.mark.parametrize(("name", "value", "words"), [
    ("batch_rows", "200000", "batch_rows is '200000', which is str, not int"),
    ("full_refresh", 1, "full_refresh is 1, which is int, not bool"),
    ("engine", "sqlit", "no engine 'sqlit' \\(did you mean sqlite")])
def test_a_wrong_parameter_is_named_before_anything_is_opened(tmp_path, name: str, value: object, words: str):
    with pytest.raises(UsageError, match=words):
        open_step("facts", {"warehouse": str(tmp_path / "warehouse"), name: value})
    assert not (tmp_path / "warehouse").exists()
