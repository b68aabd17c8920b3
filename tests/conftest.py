"""Fixtures: a warehouse to run in, and the sample's files to change. Which tests need a whole run."""

import os
import shutil
import sqlite3
import subprocess
import sys
import types
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from terminal import run_on_terminal
from warm_runs import WarmRuns

PROJECT = Path(__file__).resolve().parent.parent
CHINOOK = PROJECT.parent / "shared" / "real" / "chinook"
SOAKED: Counter[str] = Counter()  # what the soak counts
ORDERS = "order_id,customer_id,order_date,channel,total_amount,status"
LINES = "order_line_id,order_id,product_id,quantity,unit_price,discount_amount"
CUSTOMERS = "customer_id,first_name,last_name,email,phone,city,state,country,segment"
PRODUCTS = "product_id,product_name,category,sub_category,brand,unit_price,status"
PAYMENTS = "payment_id,order_id,payment_date,payment_method,payment_status,payment_amount"
LOGS = {"audit.pipeline_execution_log", "audit.pipeline_manifest"}  # what every run adds to
WHOLE_RUNS = {"shop", "loaded", "used", "warm", "server"}  # the fixtures of tests that start whole runs
LAYERS = ("raw", "curated", "gold", "audit")
FOLDERS = ("source", "warehouse", "reports")  # of a run, and of a verb that has no others
FOLDERS_OF = {"replay": ["warehouse"], "query": ["warehouse"], "verify": ["warehouse", "reports"],
              "browse": ["warehouse", "reports"]}
sys.path.insert(0, str(PROJECT))
# No deadline and no check of speed: a test must pass on a busy machine, and speed is measured in benchmarks/.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


@dataclass(frozen=True)
class Shop:
    """A source folder, a warehouse and a reports folder, and the command that works on them."""

    folder: Path

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def warehouse(self) -> Path:
        return self.folder / "warehouse"

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    def command(self, *words: str) -> list[str]:
        """Return the command, on the shop's folders, of a run or of the verb that comes first."""
        verb = [word for word in words[:1] if not word.startswith("-")]
        folders = {name: str(self.folder / name) for name in FOLDERS_OF.get("".join(verb), FOLDERS)}
        named = [word for name, folder in folders.items() for word in (f"--{name}", folder)]
        return [sys.executable, str(PROJECT / "run_pipeline.py"), *verb, *named, *words[len(verb):]]

    def run(self, *options: str, expect: int = 0, **how) -> subprocess.CompletedProcess:
        """Run the pipeline as its user would; fail the test when its exit code is not the expected one."""
        done = subprocess.run(self.command(*options), capture_output=True, text=True, timeout=300, **how)
        assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def query(self, layer: str, sql: str, *parameters) -> list[tuple]:
        with closing(sqlite3.connect(self.warehouse / f"{layer}.db")) as connection:
            return connection.execute(sql, parameters).fetchall()

    def counts(self, layer: str, *tables: str) -> list[int]:
        return [self.query(layer, f"select count(*) from {table}")[0][0] for table in tables]

    def state(self) -> dict[str, list[tuple]]:
        """Return every row of every table of every layer."""
        return {f"{layer}.{table}": sorted(self.query(layer, f'select * from "{table}"'), key=repr)
                for layer in LAYERS if (self.warehouse / f"{layer}.db").exists()
                for (table,) in self.query(layer, "select name from sqlite_schema where type = 'table'")}

    def deliver(self, name: str, *lines: str) -> Path:
        """Write a delivery, line by line, and make it old: a run would wait until a young one has settled."""
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.utime(path, (1e9, 1e9))
        return path


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop with the sample in its source folder, before its first run."""
    return new_shop(tmp_path / "a shop")


def new_shop(folder: Path) -> Shop:
    shutil.copytree(PROJECT / "data" / "source", folder / "source")
    return Shop(folder)


@pytest.fixture(scope="session")
def loaded(tmp_path_factory) -> Shop:
    """The sample after its first run, which was started on a terminal. Tests only read it."""
    shop = new_shop(tmp_path_factory.mktemp("loaded"))
    (shop.folder / "terminal.txt").write_bytes(run_on_terminal(shop.command()).encode())
    return shop


@pytest.fixture
def ask(loaded: Shop, capsys):
    """Ask the loaded warehouse as a script would; return stdout, or stderr where an error is expected."""
    def run(*arguments: str, expect: int = 0, warehouse: Path = loaded.warehouse) -> str:
        from lib.cli.main import main

        code = main(["query", *arguments, "--warehouse", str(warehouse)])
        printed = capsys.readouterr()
        assert code == expect, printed.err
        return printed.err if expect else printed.out
    return run


@pytest.fixture
def used(loaded: Shop, tmp_path: Path) -> Shop:
    """A copy of the sample after its first run, which a test may change."""
    shutil.copytree(loaded.folder, tmp_path / "used")
    return Shop(tmp_path / "used")


@pytest.fixture(scope="session")
def small_loaded(tmp_path_factory) -> Shop:
    """Two customers, two orders of two days and three lines, after their first run. Tests only read it."""
    import in_process

    shop = Shop(tmp_path_factory.mktemp("small"))
    shop.deliver("customers.csv", CUSTOMERS, "C1,Ann,A,,,,,,vip", "C2,Bob,B,,,,,,")
    shop.deliver("products.csv", PRODUCTS, "P1,Cup,Kitchen,,,2.00,", "P2,Pan,Kitchen,,,10.00,")
    shop.deliver("orders.csv", ORDERS, "O1,C1,2025-01-01,,14.00,placed", "O2,C2,2025-01-02,,10.00,placed")
    shop.deliver("order_lines.csv", LINES, "L1,O1,P1,2,2.00,", "L2,O1,P2,1,10.00,", "L3,O2,P2,1,10.00,")
    shop.deliver("payments.csv", PAYMENTS, "Y1,O1,2025-01-01,card,SUCCESS,14.00")
    with pytest.MonkeyPatch.context() as patch:
        in_process.run(shop, patch)
    return shop


@pytest.fixture
def small(small_loaded: Shop, tmp_path: Path, monkeypatch) -> Shop:
    """A copy of the small shop after its first run, for a test to change; later runs stay in this process."""
    import in_process

    in_process.keep_in_process(monkeypatch)
    shutil.copytree(small_loaded.folder, tmp_path, dirs_exist_ok=True)
    return Shop(tmp_path)


@pytest.fixture
def run(small: Shop, monkeypatch):
    """Run the pipeline on the small shop within the test's process."""
    import in_process

    return lambda **options: in_process.run(small, monkeypatch, **options)


@pytest.fixture(scope="session")
def warm() -> Iterator[WarmRuns]:
    """Runs without the seconds that imports take, for tests that need many."""
    runs = WarmRuns()
    yield runs
    runs.close()


@pytest.fixture(scope="session")
def chinook() -> Path:
    """The real shop's files, which are not part of the project."""
    if not CHINOOK.exists() and not os.environ.get("CI"):
        pytest.skip("../shared/real/chinook is not here")
    return CHINOOK


def names_in(code: types.CodeType) -> set[str]:
    """Return the names that a function refers to, also in the functions inside it."""
    inside = [names_in(part) for part in code.co_consts if isinstance(part, types.CodeType)]
    return set(code.co_names).union(*inside)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a whole run, which `make check` leaves out.

    Such a test is known by its fixtures, used directly or through others, or because it makes a new shop of
    its own. A test that takes long for another reason has the mark in its file.
    """
    for item in items:
        if WHOLE_RUNS & set(item.fixturenames) or "new_shop" in names_in(item.function.__code__):
            item.add_marker("whole_run")


def pytest_terminal_summary(terminalreporter) -> None:
    """Print the figures of `make soak` in one line."""
    if "SOAK" in os.environ:
        failed = len(terminalreporter.stats.get("failed", []))
        terminalreporter.write_line(
            f"soak: {SOAKED['histories']} histories, {SOAKED['kills']} kills, {failed} differences")
