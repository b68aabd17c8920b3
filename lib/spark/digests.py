"""The digest of a frame, computed on the executors by the function that computes all digests."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame

from lib.spark.sql import column
from lib.storage import digest


def of_frame(frame: DataFrame, columns: Sequence[str]) -> tuple[int, str]:
    """Return how many rows a frame has, and their digest over `columns` (see lib.storage.digest)."""
    def sums(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = pa.Table.from_batches([batch]).rename_columns(list(columns))
            yield pa.RecordBatch.from_pydict({"rows": [rows.num_rows],
                                              "digest": [digest.of_rows(rows, columns)]})

    # Columns are numbered, as mapInArrow takes no name with a dot.
    numbered = frame.select(*(column(name).alias(f"column_{number}") for number, name in enumerate(columns)))
    parts = numbered.mapInArrow(sums, "rows long, digest string").collect()  # one row for each batch of rows
    rows, total = 0, digest.EMPTY
    for count, part in parts:
        rows, total = rows + count, digest.add(total, part)
    return rows, total
