"""The keys that a step has written to a table which was empty: whether a batch may have one of them again."""

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lib.storage.sql import quote


class WrittenKeys:
    """The keys of one table, as hashes of eight bytes in the step's working database.

    A search of the table itself needs an index. If keys come in no order, each row that is written after that
    updates another page of it: so the payments of 10 M order lines took 15 s, in which nothing else was done.
    """

    def __init__(self, work: duckdb.DuckDBPyConnection, table: str):
        self._work, self._hashes = work, quote(f"hashes of {table}")
        self._highest: str | None = None
        work.execute(f"create table {self._hashes} (hash ubigint)")

    def add(self, keys: pa.ChunkedArray) -> bool:
        """Add a batch's keys; return whether one may have been there. It misses none, and is hardly ever
        wrong."""
        least, most = pc.min_max(keys).as_py().values()
        is_beyond = self._highest is None or least > self._highest
        self._highest = max(most, self._highest or most)
        self._work.register("incoming", pa.table({"key": keys}))
        try:
            may_repeat = not is_beyond and self._work.execute(
                f"select 1 from {self._hashes} where hash in (select hash(key) from incoming) limit 1"
            ).fetchone()
            self._work.execute(f"insert into {self._hashes} select hash(key) from incoming")
        finally:
            self._work.unregister("incoming")
        return bool(may_repeat)
