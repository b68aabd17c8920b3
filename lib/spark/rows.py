"""Rows on a cluster, as a notebook handles them: it selects columns and looks at the first rows, and never holds them all."""

from collections.abc import Sequence

import pandas as pd
from pyspark.sql import DataFrame


class Rows:
    """A Spark frame whose `hidden` columns (where a row came from) stay with the rows whatever columns are selected."""

    def __init__(self, frame: DataFrame, hidden: Sequence[str] = ()):
        self.frame, self.hidden = frame, tuple(hidden)

    @property
    def columns(self) -> list[str]:
        return [name for name in self.frame.columns if name not in self.hidden]

    def __getitem__(self, names: list[str]) -> "Rows":
        return Rows(self.frame.select(*names, *self.hidden), self.hidden)

    def head(self, n: int = 5) -> pd.DataFrame:
        """Return the first rows."""
        return self.frame.select(*self.columns).limit(n).toPandas()
