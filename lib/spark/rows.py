"""Rows on a cluster, as a notebook uses them: it selects columns and reads the first rows, never all rows."""

from collections.abc import Iterator, Sequence
from itertools import islice

import pandas as pd
from pyspark.sql import DataFrame

from lib.spark.sql import column

CHUNK = 10_000  # rows that are fetched at once where all of a frame is wanted, however long it is


class Rows:
    """A Spark frame. `key` names the column that tells its rows apart, as a pandas frame's index does.

    `hidden` columns stay with the rows whatever columns are selected.
    """

    def __init__(self, frame: DataFrame, key: str = "", hidden: Sequence[str] = ()):
        self.frame, self.key, self.hidden = frame, key, tuple(hidden)

    @property
    def columns(self) -> list[str]:
        return [name for name in self.frame.columns if name not in self.hidden]

    def __getitem__(self, names: list[str]) -> "Rows":
        return self.of(self.frame.select(*map(column, [*names, *self.hidden])))

    def of(self, frame: DataFrame) -> "Rows":
        """Return a frame made of these rows' one, as rows."""
        return Rows(frame, self.key, self.hidden)

    def head(self, n: int = 5) -> pd.DataFrame:
        """Return the first rows."""
        return self.frame.select(*map(column, self.columns)).limit(n).toPandas()


def in_chunks(frame: DataFrame) -> Iterator[pd.DataFrame]:
    """Yield a frame's rows, so many at once that they fit: at least one chunk, empty when there are no rows."""
    rows = frame.toLocalIterator()
    chunk = list(islice(rows, CHUNK))
    while True:
        yield pd.DataFrame(chunk, columns=frame.columns)
        chunk = list(islice(rows, CHUNK))
        if not chunk:
            return
