"""The same random histories on both engines: after every run, the digests of all tables are the same."""

import tempfile
from contextlib import nullcontext
from pathlib import Path

import in_process
import pytest
from conftest import CUSTOMERS, LINES, PRODUCTS, Shop
from histories import content_of, runs, write
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from lib.runner.run import RunResult
from lib.spark import digests as on_cluster
from lib.spark.tables import Tables
from lib.steps import STEPS
from lib.storage.digest import content_columns
from lib.storage.layer import open_layer

from .spark_shop import SparkShop, digests

HISTORIES = 3


class Killed(BaseException):
    """Stands for the end of the driver."""


def run(shop: Shop, patch: pytest.MonkeyPatch, number: int, **options) -> RunResult:
    """Run the pipeline within the test's process; on a cluster, in the session that the tests have."""
    if isinstance(shop, SparkShop):
        options |= {"engine": "spark", "master": shop.master, "tables": shop.tables}
    now = f"2026-01-05 {number // 60:02d}:{number % 60:02d}:00.000000"
    return in_process.run(shop, patch, now=now, may_lack_deliveries=True, **options)


@pytest.fixture
def one_session(spark: SparkSession, monkeypatch) -> pytest.MonkeyPatch:
    """One session for all steps."""
    def session(*_: str) -> nullcontext[SparkSession]:
        spark.catalog.clearCache()
        return nullcontext(spark)

    monkeypatch.setattr("lib.spark.base.open_session", session)
    return monkeypatch


@pytest.fixture
def patched(one_session: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No gates, which have their tests: all values are good."""
    one_session.setattr("lib.step.base.Step.check", lambda step, suite, rows: rows)
    one_session.setattr("lib.spark.base.SparkStep.check", lambda step, suite, rows: rows)
    return one_session


def new_shops(folder: Path, spark: SparkSession) -> tuple[Shop, SparkShop]:
    """Return two shops with one source folder."""
    (folder / "lite" / "source").mkdir(parents=True)
    (folder / "spark").mkdir()
    (folder / "spark" / "source").symlink_to(folder / "lite" / "source")
    return Shop(folder / "lite"), SparkShop(folder / "spark", spark.sparkContext.master)


def in_tables(shop: SparkShop, spark: SparkSession) -> dict[str, tuple[int, str]]:
    """Return rows and digest of what is in each table of the warehouse."""
    found = {}
    for step in STEPS.values():
        if (shop.warehouse / f"{step.writes}.db").exists():
            with open_layer(shop.warehouse, step.writes) as catalog:
                for table in step.outputs:
                    if catalog.schema(table):
                        rows = Tables(spark, shop.tables, catalog).read(table)
                        columns = content_columns(step.writes, catalog.schema(table).names)
                        found[f"{step.writes}.{table}"] = on_cluster.of_frame(rows, columns)
    return found


@seed(7)
@settings(max_examples=HISTORIES, deadline=None, suppress_health_check=list(HealthCheck),
          phases=[Phase.generate])
@given(history=st.lists(runs, min_size=2, max_size=3))
def test_every_history_gives_the_same_on_both_engines(spark, patched, history):
    with tempfile.TemporaryDirectory() as folder:
        lite, shop = new_shops(Path(folder), spark)
        for number, one in enumerate(history):
            for _, name, content in one["deliveries"]:
                write(lite.source / name, content)
            if any(lite.source.rglob("*.csv*")):
                for each in (lite, shop):
                    given = {key: one[key] for key in ("full_refresh", "steps", "snapshot")}
                    run(each, patched, number, snapshot_limit=1.0, quarantine_limit=1.0, **given)
                assert digests(shop) == digests(lite)
        if (shop.warehouse / "raw.db").exists():
            for each in (lite, shop):
                run(each, patched, len(history), quarantine_limit=1.0)  # whatever an earlier run left undone
            assert digests(shop) == digests(lite)
            recorded = {table: found for table, found in digests(shop).items() if found[0]}
            assert {table: found for table, found in in_tables(shop, spark).items() if found[0]} == recorded


def test_a_driver_that_dies_between_the_two_commits_has_published_nothing(spark, patched, tmp_path):
    lite, shop = new_shops(tmp_path, spark)
    customer = {"customer_id": "C1", "first_name": "Ann"}
    others = dict.fromkeys(["last_name", "email", "phone", "city", "state", "country", "segment"], "")
    write(lite.source / "customers.csv", content_of("customers", [customer | others]))
    for each in (lite, shop):
        run(each, patched, 0)
    before = digests(shop), in_tables(shop, spark)
    write(lite.source / "customers.csv", content_of("customers", [customer | others | {"first_name": "Bo"}]))
    with pytest.MonkeyPatch.context() as patch:
        commit = Tables.commit

        def commit_and_die(tables: Tables, *what) -> None:
            commit(tables, *what)
            raise Killed

        patch.setattr(Tables, "commit", commit_and_die)
        with pytest.raises(Killed):
            run(shop, patched, 1)
    assert (digests(shop), in_tables(shop, spark)) == before
    run(lite, patched, 2)
    run(shop, patched, 2)
    assert digests(shop) == digests(lite) != before[0]


def test_text_is_cleaned_and_reported_alike(spark, one_session, tmp_path):
    lite, shop = new_shops(tmp_path, spark)
    lite.deliver("customers.csv", CUSTOMERS, r"C1,NULL,MCDONALD,\N,,ST. JOHN'S,Goa,br,",
                 "C2,Ann,NULL,,,,,,vip", "NULL,Bo,VAN DER BERG III,,,İSTANBUL,,,")
    lite.deliver("products.csv", PRODUCTS, "P1,Mug,KITCHEN  ware,usb,bmw,N/A,")
    lite.deliver("order_lines.csv", LINES, "L1,O1,P1,2-,1.00,", "L2,O1,P1,,1.00,", r"L3,O1,P1,3,1.00,\N")
    results = [run(each, one_session, 0, steps=("raw", "dimensions", "facts"), quarantine_limit=1.0)
               for each in (lite, shop)]
    assert digests(shop) == digests(lite)
    here, there = (sorted(result.warnings()) for result in results)
    assert here == there
    assert len([warning for warning in there if " was read as an empty cell: " in warning]) == 4
    places = "select record_key, source_row, rule, reason from quarantine order by 1, 2"
    assert shop.query("curated", places) == lite.query("curated", places)
    assert len(lite.query("curated", places)) == 3
