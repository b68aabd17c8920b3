"""Fixtures: a cluster, and a session on it."""

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from lib.spark.session import open_session

from .cluster import DEFAULTS, Cluster, started_cluster


@pytest.fixture(scope="session", autouse=True)
def configured(tmp_path_factory) -> Iterator[None]:
    """The configuration of all sessions, in this process and in others."""
    conf = tmp_path_factory.mktemp("conf")
    (conf / "spark-defaults.conf").write_text(DEFAULTS, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_CONF_DIR", str(conf))
        yield


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    """One master and two workers."""
    with started_cluster(tmp_path_factory.mktemp("cluster"), workers=2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def spark(cluster: Cluster) -> Iterator[SparkSession]:
    """A session on the cluster. While it lasts, it has all cores."""
    with open_session(cluster.master, "tests") as spark:
        yield spark
