"""Fixtures: a cluster, and a session on it."""

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from lib.spark.session import open_session

from .cluster import Cluster, started_cluster


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
