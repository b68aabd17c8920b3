"""The whole command on a cluster: the sample, with a worker and a driver killed, and credentials planted."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import PROJECT, Shop

from .cluster import DEFAULTS, Cluster
from .spark_shop import SECONDS, SparkShop, digests, new_spark_shop

# As the README shows them.
ROWS = {"raw.customers": 500, "raw.products": 100, "raw.orders": 1000, "raw.order_lines": 3064,
        "raw.payments": 1000, "curated.dim_customers": 500, "curated.dim_products": 100,
        "curated.fact_orders": 1000, "curated.fact_order_lines": 3064,
        "curated.fact_payments": 1000, "gold.reporting_sales_wide": 3064, "gold.sales_summary_daily": 60,
        "gold.reporting_customer_stats": 432}
TIMES = [f"2026-01-05T0{hour}:00:00" for hour in range(4)]  # of one run after the other, on one day
SECRETS = {"AWS_ACCESS_KEY_ID": "AKIAPLANTEDINTHETEST",
           "AWS_SECRET_ACCESS_KEY": "plantedInTheEnvironmentAndNowhereElse"}
IN_CONF = "plantedInTheConfigurationOfTheCluster"


@pytest.fixture(scope="module")
def lite(tmp_path_factory) -> Shop:
    """The sample after its first run on the default engine."""
    shop = Shop(tmp_path_factory.mktemp("lite"))
    shutil.copytree(PROJECT / "data" / "source", shop.source)
    shop.run("--now", TIMES[0])
    return shop


@pytest.fixture(scope="module")
def shop(cluster: Cluster, tmp_path_factory) -> SparkShop:
    """The sample after its first run on the cluster, with credentials and one worker killed in mid-run."""
    shop = new_spark_shop(tmp_path_factory.mktemp("shop") / "a shop", cluster.master)
    conf = tmp_path_factory.mktemp("conf")
    (conf / "spark-defaults.conf").write_text(
        f"{DEFAULTS}spark.hadoop.fs.s3a.secret.key {IN_CONF}\n", encoding="utf-8")
    worker = cluster.add_worker()
    running = start(shop, TIMES[0], {**os.environ, **SECRETS, "SPARK_CONF_DIR": str(conf)})
    wait_for(shop, "facts", running)
    cluster.kill(worker)
    said, _ = running.communicate(timeout=SECONDS)
    assert running.returncode == 0, said
    return shop


def start(shop: SparkShop, now: str, environment: dict[str, str] | None = None) -> subprocess.Popen:
    return subprocess.Popen(shop.command("--now", now), env=environment, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


def wait_for(shop: SparkShop, step: str, running: subprocess.Popen) -> None:
    """Wait until a step of a run is at work on the cluster."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and running.poll() is None:
        try:
            if shop.query("audit", "select 1 from pipeline_execution_log "
                                   "where process_name = ? and status = 'RUNNING'", step):
                time.sleep(10)  # a session takes that long to open
                return
        except sqlite3.OperationalError:
            pass  # there is no log yet
        time.sleep(0.1)
    raise AssertionError(f"{step} did not begin")


def test_the_sample_gives_what_the_readme_shows(shop: SparkShop):
    assert {table: rows for table, (rows, _) in digests(shop).items()} == ROWS


def test_both_engines_give_the_same_digests(shop: SparkShop, lite: Shop):
    assert digests(shop) == digests(lite)


def test_all_steps_of_a_run_share_one_jvm(shop: SparkShop):
    first, *_ = sorted((shop.reports / "runs").glob("*/spark.log"))
    assert first.read_text(encoding="utf-8").count("incubator modules") == 1  # Java says so when it starts


def test_credentials_are_in_no_file_that_a_run_leaves(shop: SparkShop):
    texts = [text.encode() for text in (*SECRETS.values(), IN_CONF)]
    files = [path for path in shop.folder.rglob("*") if path.is_file()]
    assert len(files) > 50
    assert [path for path in files if any(text in path.read_bytes() for text in texts)] == []


def test_a_warehouse_with_credentials_in_its_address_is_refused(shop: SparkShop):
    done = subprocess.run([*shop.command(), "--warehouse", "s3a://key:secretword@bucket/tables"],
                          capture_output=True, text=True)
    assert done.returncode == 2
    assert "holds credentials" in done.stderr
    assert "secretword" not in done.stderr + done.stdout


def test_a_run_after_a_killed_driver_finishes_the_work(shop: SparkShop, lite: Shop, tmp_path: Path):
    subprocess.run([sys.executable, PROJECT / "data" / "generate.py", tmp_path, "--day", "2"], check=True,
                   capture_output=True)
    for each in (shop, lite):
        shutil.copytree(tmp_path, each.source, dirs_exist_ok=True)
    lite.run("--now", TIMES[1])
    running = start(shop, TIMES[1])
    wait_for(shop, "facts", running)
    before = digests(shop)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)  # when all of the driver has ended: it would hold the cluster's cores
    assert digests(shop) == before
    said = shop.run("--now", TIMES[2]).stdout
    assert "an earlier run died in step facts" in said
    assert digests(shop) == digests(lite)


def test_a_master_that_cannot_be_reached_is_named(shop: SparkShop, tmp_path: Path):
    alone = new_spark_shop(tmp_path, "spark://127.0.0.1:1")
    done = alone.run(expect=1)
    assert re.search(r"Spark master spark://127\.0\.0\.1:1 cannot be reached .*Start", done.stderr)
    assert digests(alone) == {}


def test_a_warehouse_of_sqlite_moves_over_and_goes_on(cluster: Cluster, lite: Shop, tmp_path: Path):
    moved = SparkShop(tmp_path, cluster.master)
    shutil.copytree(lite.source, moved.source)
    said = moved.run("import", str(lite.warehouse)).stdout
    assert f"raw.order_lines: {lite.counts('raw', 'order_lines')[0]:,} rows, the same" in said
    assert digests(moved) == digests(lite)
    assert moved.counts("raw", "order_lines", "deliveries") == [0, *lite.counts("raw", "deliveries")]
    assert "nothing new" in moved.run("--now", TIMES[3]).stdout
    again = moved.run("import", str(lite.warehouse), expect=2)
    assert "audit.db, archive already. Name a new folder with --audit." in again.stderr
