"""Rows on a cluster as a notebook handles them: it selects columns and shows the first rows."""

from collections.abc import Iterator, Sequence
from itertools import islice

import pandas as pd
from pyspark.sql import DataFrame

from lib.spark.sql import column

CHUNK = 10_000  # rows that are fetched at a time where all of a frame is wanted


class Rows:
    """A Spark frame. `key` names the column that tells its rows apart, as a pandas frame's index does.

    `hidden` columns always stay with the rows, also when others are selected. `count` is how many rows there
    are, where that is known.
    """

    def __init__(self, frame: DataFrame, key: str = "", hidden: Sequence[str] = (),
                 count: int | None = None):
        self.frame, self.key, self.hidden = frame, key, tuple(hidden)
        self._count = count

    @property
    def columns(self) -> list[str]:
        return [name for name in self.frame.columns if name not in self.hidden]

    def count(self) -> int:
        """Return how many rows there are. Only the first call counts them, which takes a job or two."""
        if self._count is None:
            self._count = self.frame.count()
        return self._count

    def __getitem__(self, names: list[str]) -> "Rows":
        return self.of(self.frame.select(*map(column, [*names, *self.hidden])))

    def of(self, frame: DataFrame) -> "Rows":
        """Return a frame that was made from these rows, as rows."""
        return Rows(frame, self.key, self.hidden)

    def head(self, n: int = 5) -> pd.DataFrame:
        """Return the first rows."""
        return self.frame.select(*map(column, self.columns)).limit(n).toPandas()


def in_chunks(frame: DataFrame) -> Iterator[pd.DataFrame]:
    """Yield a frame's rows in chunks that fit into memory; at least one, empty when there are no rows."""
    rows = frame.toLocalIterator()
    chunk = list(islice(rows, CHUNK))
    while True:
        yield pd.DataFrame(chunk, columns=frame.columns)
        chunk = list(islice(rows, CHUNK))
        if not chunk:
            return
