"""The tables of raw: rows exactly as delivered, appended where they differ from what is known."""

from collections.abc import Iterable

import duckdb
import numpy as np
import pyarrow as pa

from lib.contract import SOURCES, Source
from lib.errors import PipelineError
from lib.ingest.deliveries import Delivery
from lib.storage import commits, digest
from lib.storage.layer import Layer
from lib.storage.lookup import KnownDelivery
from lib.storage.sql import literal, quote, quoted

SERIAL = "row_id"
SOURCE_SYSTEM = "shop_csv"
BY_FILE = "by file"  # no delivered column's name has a space, so none can be the same
PROVENANCE = ("batch_id", "source_system", "source_filename", "source_row", "ingestion_timestamp")
MANIFEST = pa.schema([
    ("source_name", pa.string()), ("source_filename", pa.string()), ("size_bytes", pa.int64()),
    ("content_sha256", pa.string()), ("batch_id", pa.string()), ("ingestion_timestamp", pa.string()),
    ("rows", pa.int64()), ("appended", pa.int64()), ("unchanged", pa.int64()), ("duplicates", pa.int64()),
    ("quarantined", pa.int64()), ("deleted", pa.int64()), ("is_snapshot", pa.int64()), ("notes", pa.string()),
])
# Of the keys that a file first delivered as they were known already: the row that held the same.
LAST_SEEN = pa.schema([
    ("source_name", pa.string()), ("source_filename", pa.string()), ("record_key", pa.string()),
    ("row_id", pa.int64())])


def check_columns(delivery: Delivery, names: Iterable[str]) -> None:
    """Raise PipelineError when a delivery has a column of the same name as one of raw's own."""
    taken = sorted({name.lower() for name in names} & {SERIAL, *PROVENANCE})
    if taken:
        raise PipelineError(f"{delivery.name}: column {', '.join(taken)} has the name of one of the raw "
                            "layer's own. Rename it in the file.")


def create_raw_tables(layer: Layer) -> None:
    """Create raw's tables when missing: delivered text, deliveries, and what files held last."""
    types = {"source_row": pa.int64()}
    for source in SOURCES.values():
        columns = [(name, types.get(name, pa.string())) for name in (*source.column_names, *PROVENANCE)]
        layer.create_table(source.name, pa.schema(columns), serial=SERIAL)
    layer.create_table("deliveries", MANIFEST, serial="delivery_id")
    layer.create_table("confirmations", LAST_SEEN, serial="confirmation_id")
    layer.index("confirmations", "record_key")


def known_deliveries(layer: Layer) -> list[KnownDelivery]:
    """Return the manifest, oldest first; empty when nothing was ever delivered."""
    if layer.schema("deliveries") is None:
        return []
    columns = ["source_filename", "content_sha256", "source_name", "ingestion_timestamp"]
    rows = layer.read("deliveries", columns, "order by delivery_id").to_pylist()
    return [KnownDelivery(*row.values()) for row in rows]


def may_repeat(work: duckdb.DuckDBPyConnection, batches: Iterable[pa.Table], key: str) -> bool:
    """Return whether a file may have a key twice. It never misses one, and is hardly ever wrong.

    It compares hashes of eight bytes, which takes a tenth of the time that comparing the keys takes.
    """
    hashes = [np.empty(0, np.uint64)]
    for rows in batches:
        work.register("incoming", rows)
        hashes.append(work.execute(f"select hash({quote(key)}) as hash from incoming").fetchnumpy()["hash"])
        work.unregister("incoming")
    ordered = np.sort(np.concatenate(hashes))
    return bool((ordered[1:] == ordered[:-1]).any())


def put_delivered_keys(work: duckdb.DuckDBPyConnection, batches: Iterable[pa.Table], key: str) -> None:
    """Fill the working table `delivered_keys(record_key, source_row)` with the keys of a file."""
    work.execute("create or replace table delivered_keys (record_key varchar, source_row bigint)")
    for rows in batches:
        work.register("incoming", rows)
        work.execute(f"insert into delivered_keys select {quote(key)}, source_row from incoming")
        work.unregister("incoming")


def superseded_rows(work: duckdb.DuckDBPyConnection) -> np.ndarray:
    """Return the `source_row` of each row in `delivered_keys` whose key a later row repeats."""
    found = work.execute(
        "select source_row from delivered_keys where record_key in "
        "(select record_key from delivered_keys group by record_key having count(*) > 1) "
        "qualify row_number() over (partition by record_key order by source_row desc) > 1")
    return found.fetchnumpy()["source_row"]


def append_new_versions(layer: Layer, work: duckdb.DuckDBPyConnection, change: commits.TableChange,
                        delivery: Delivery, rows: pa.Table, stamp: dict[str, str]) -> int:
    """Append those of a delivery's rows that are a new version of their key, and return how many are.

    A row is a new version when it differs, in any delivered column, from the one that the file of that name
    held last; where that file never had the key, from the key's current version. `rows` holds each key once.
    """
    source = SOURCES[delivery.source]
    columns = [name for name in rows.column_names if name != "source_row"]
    layer.create_table(source.name, pa.schema([(name, pa.string()) for name in columns]))
    new_rows = rows
    if not change.was_empty:
        layer.index(source.name, source.key)
        last_seen = _last_seen(layer, source, delivery.name, rows[source.key])
        new_rows, seen_first = _compare(work, source, rows, last_seen)
        layer.insert("confirmations", seen_first,
                     {"source_name": source.name, "source_filename": delivery.name})
    _append(layer, change, delivery, new_rows, stamp)
    return new_rows.num_rows


def append_deletions(layer: Layer, change: commits.TableChange, delivery: Delivery,
                     keys: pa.Array, stamp: dict[str, str]) -> int:
    """Append a deletion (a row with only a key, without `source_row`) for each key; return how many."""
    key, no_row = SOURCES[delivery.source].key, pa.nulls(len(keys), pa.int64())
    rows = pa.table({key: keys.cast(pa.string()), "source_row": no_row})
    _append(layer, change, delivery, rows, stamp)
    return rows.num_rows


def live_keys(layer: Layer, source: Source) -> pa.Table:
    """Return the keys of a source whose latest row is not a deletion, as a table with one column, the key."""
    key = quote(source.key)
    latest = f"select max({SERIAL}) from {quote(source.name)} group by {key}"
    return layer.read(source.name, [source.key], f"where {SERIAL} in ({latest}) and source_row is not null")


def _append(layer: Layer, change: commits.TableChange, delivery: Delivery, rows: pa.Table,
            stamp: dict[str, str]) -> None:
    content = [name for name in rows.column_names if name != "source_row"]

    def write() -> None:
        digested = digest.worker().submit(digest.of_rows, rows, content)
        layer.insert(change.table, commits.numbered(change, SERIAL, rows),
                     {**stamp, "source_system": SOURCE_SYSTEM, "source_filename": delivery.name})
        change.digest = digest.add(change.digest, digested.result())

    if rows.num_rows:
        change.added += rows.num_rows
        layer.submit(write)


def _last_seen(layer: Layer, source: Source, filename: str, keys: pa.ChunkedArray) -> pa.Table:
    """Return, for each key that raw knows, the row to compare with; BY_FILE is 1 if this file held it."""
    table, key, file = quote(source.name), quote(source.key), literal(filename)
    names = layer.schema(source.name).names
    layer.put_keys(keys)
    return layer.query(f"""
        with versions as (
            select
                (select max(row_id) from {table} as t
                    where t.{key} = w.key and t.source_filename = {file}) as appended,
                (select max(row_id) from confirmations as c where c.record_key = w.key
                    and c.source_filename = {file} and c.source_name = {literal(source.name)}) as confirmed,
                (select max(row_id) from {table} as t where t.{key} = w.key) as newest
            from temp.wanted as w
        )
        select {quoted(names, "t")}, coalesce(v.appended, v.confirmed) is not null as {quote(BY_FILE)}
        from versions as v cross join {table} as t on t.row_id = coalesce(v.appended, v.confirmed, v.newest)
        """, layer.columns(source.name, names).append(pa.field(BY_FILE, pa.int64())))


def _compare(work: duckdb.DuckDBPyConnection, source: Source, rows: pa.Table,
             last_seen: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the rows that differ, and (record_key, row_id) of the others that this file had not had yet."""
    content = [name for name in last_seen.column_names if name not in (SERIAL, BY_FILE, *PROVENANCE)]
    same = " and ".join(
        f"{f'i.{quote(name)}' if name in rows.column_names else 'null'} is not distinct from s.{quote(name)}"
        for name in content) + " and s.source_row is not null"  # a deletion equals no row
    key = quote(source.key)
    work.register("incoming", rows)
    work.register("last_seen", last_seen)
    try:
        new_rows = work.sql(f"select i.* from incoming as i left join last_seen as s on i.{key} = s.{key} "
                            f"where s.{key} is null or not ({same}) order by i.source_row").to_arrow_table()
        seen_first = work.sql(f"select s.{key} as record_key, s.row_id from incoming as i "
                              f"join last_seen as s on i.{key} = s.{key} "
                              f"where {same} and s.{quote(BY_FILE)} = 0").to_arrow_table()
    finally:
        work.unregister("incoming")
        work.unregister("last_seen")
    return new_rows.cast(rows.schema), seen_first
