"""The digest of a frame, computed where its rows are, by the function that computes all digests."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame

from lib import digest


def of_frame(frame: DataFrame, columns: Sequence[str]) -> tuple[int, str]:
    """Return how many rows a frame has, and their digest over `columns` (see lib.digest)."""
    def sums(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = pa.Table.from_batches([batch])
            yield pa.RecordBatch.from_pydict({"rows": [rows.num_rows], "digest": [digest.of_rows(rows, rows.column_names)]})

    rows, total = 0, digest.EMPTY
    # a row for each batch of rows: few enough to fetch, a partition at a time
    for count, part in frame.select(*columns).mapInArrow(sums, "rows long, digest string").toLocalIterator():
        rows, total = rows + count, digest.add(total, part)
    return rows, total
