"""Spark within the test's process, for tests that need no cluster."""

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession


@pytest.fixture(scope="module")  # a process has one session at a time
def local() -> Iterator[SparkSession]:
    from lib.spark.session import open_session

    with open_session("local[2]", "tests") as session:
        session.conf.set("spark.sql.shuffle.partitions", 2)
        yield session
