"""The tables of raw: rows exactly as delivered, appended where they differ from what is known.

Rows keep their text as delivered. Keys are compared without surrounding spaces, as the next steps read them.
"""

from collections.abc import Iterable, Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lib.contract import SOURCES, Source
from lib.errors import PipelineError
from lib.ingest.deliveries import Delivery
from lib.step.frames import trim
from lib.steps import PLACE, SERIAL
from lib.storage import commits, digest
from lib.storage.layer import Layer
from lib.storage.lookup import DELIVERED, KnownDelivery, as_known
from lib.storage.sql import literal, quote, quoted, trimmed

BY_FILE, TRIMMED = "by file", "trimmed key"  # no delivered column's name has a space, so none is the same
PROVENANCE = tuple(name for name in PLACE["raw"] if name != SERIAL)
MANIFEST = pa.schema([
    ("source_name", pa.string()), ("source_filename", pa.string()), ("size_bytes", pa.int64()),
    ("content_sha256", pa.string()), ("batch_id", pa.string()), ("ingestion_timestamp", pa.string()),
    ("rows", pa.int64()), ("appended", pa.int64()), ("unchanged", pa.int64()), ("duplicates", pa.int64()),
    ("quarantined", pa.int64()), ("deleted", pa.int64()), ("is_snapshot", pa.int64()), ("notes", pa.string()),
    ("source_system", pa.string()), ("reading", pa.string()), ("table_name", pa.string()),
])
# Of the keys that a file first delivered as they were known already: the row that held the same.
LAST_SEEN = pa.schema([
    ("source_name", pa.string()), ("source_filename", pa.string()), ("record_key", pa.string()),
    ("row_id", pa.int64())])
DISAGREEMENTS = pa.schema([("file", pa.string()), ("keys", pa.int64()), ("key", pa.string())])


def check_columns(delivery: Delivery, names: Iterable[str]) -> None:
    """Raise PipelineError when a delivery has a column of the same name as one of raw's own."""
    taken = sorted({name.lower() for name in names} & {SERIAL, *PROVENANCE})
    if taken:
        raise PipelineError(f"{delivery.name}: column {', '.join(taken)} has the name of one of the raw "
                            "layer's own. Rename it in the file.")


def columns_of(source: Source) -> pa.Schema:
    """Return the columns of a source's table in raw, without the number of the row."""
    types = {"source_row": pa.int64()}
    return pa.schema([(name, types.get(name, pa.string())) for name in (*source.column_names, *PROVENANCE)])


def create_raw_tables(layer: Layer) -> None:
    """Create raw's tables when missing: delivered text, deliveries, and what files held last."""
    for source in SOURCES.values():
        layer.create_table(source.name, columns_of(source), serial=SERIAL)
    layer.create_table("deliveries", MANIFEST, serial="delivery_id")
    layer.create_table("confirmations", LAST_SEEN, serial="confirmation_id")
    layer.index("confirmations", "record_key", is_trimmed=True)
    for table, key in [("confirmations", "record_key"), *((name, SOURCES[name].key) for name in SOURCES)]:
        layer.execute(f"drop index if exists {quote(f'{table}_{key}')}")  # of an earlier release


def known_deliveries(layer: Layer) -> list[KnownDelivery]:
    """Return the manifest, oldest first; empty when nothing was ever delivered."""
    if layer.schema("deliveries") is None:
        return []
    rows = layer.read("deliveries", DELIVERED, "order by delivery_id").to_pylist()
    return [as_known([*row.values()]) for row in rows]


def without_blank_keys(rows: pa.Table, key: str) -> pa.Table:
    """Return rows with null in place of keys that have only spaces: they are no keys."""
    keys = pc.if_else(pc.is_null(trim(rows[key])), None, rows[key])
    return rows.set_column(rows.column_names.index(key), key, keys)


def find_new_versions(layer: Layer, work: duckdb.DuckDBPyConnection, change: commits.TableChange,
                      delivery: Delivery, rows: pa.Table) -> pa.Table:
    """Return those of a delivery's rows that are a new version of their key.

    A row is a new version when it differs, in any delivered column, from the one that the file of that name
    held last; where that file never had the key, from the key's current version. Spaces around the key do
    not count. `rows` holds each key once.
    """
    source = SOURCES[delivery.source]
    columns = [name for name in rows.column_names if name != "source_row"]
    layer.create_table(source.name, pa.schema([(name, pa.string()) for name in columns]))
    if change.was_empty:
        return rows
    layer.index(source.name, source.key, is_trimmed=True)
    keys = trim(rows[source.key])
    last_seen = _last_seen(layer, source, delivery.name, keys)
    new_rows, seen_first = _compare(work, source, rows.append_column(TRIMMED, keys), last_seen)
    layer.insert("confirmations", seen_first, {"source_name": source.name, "source_filename": delivery.name})
    return new_rows


def deletions(source: Source, keys: pa.ChunkedArray) -> pa.Table:
    """Return a deletion (a row with only a key, without `source_row`) for each key."""
    return pa.table({source.key: keys.cast(pa.string()), "source_row": pa.nulls(len(keys), pa.int64())})


def live_keys(layer: Layer, source: Source, *more: str) -> pa.Table:
    """Return the keys of a source whose latest row is not a deletion: the key, more columns and TRIMMED."""
    latest = f"select max({SERIAL}) from {quote(source.name)} group by {trimmed(quote(source.key))}"
    rows = layer.read(source.name, [source.key, *more],
                      f"where {SERIAL} in ({latest}) and source_row is not null")
    rows = rows.append_column(TRIMMED, trim(rows[source.key]))
    return rows.filter(pc.is_valid(rows[TRIMMED]))


def find_left_out(layer: Layer, work: duckdb.DuckDBPyConnection, source: Source, system: str, keys: pa.Array,
                  orders: pa.Array) -> pa.ChunkedArray:
    """Return the keys of a source's rows that a system has delivered, that belong to one of some orders and
    are not among some keys.

    This reads the keys of all of the source's rows.
    """
    live = live_keys(layer, source, "order_id", "source_system")
    live = live.set_column(1, "order_id", trim(live["order_id"]))
    tables = {"live": live, "held": pa.table({"key": trim(pa.chunked_array([keys]))}),
              "orders": pa.table({"order_id": trim(pa.chunked_array([orders]))})}
    for name, table in tables.items():
        work.register(name, table)
    try:
        return work.execute(f"""
            select {quote(source.key)} from live
            where source_system = ? and order_id in (select order_id from orders where order_id is not null)
                and {quote(TRIMMED)} not in (select key from held where key is not null)
            order by 1""", [system]).to_arrow_table().column(0)
    finally:
        for name in tables:
            work.unregister(name)


def find_disagreements(layer: Layer, change: commits.TableChange, source: Source, keys: pa.ChunkedArray,
                       files: Sequence[str], first_confirmation: int) -> list[dict]:
    """Return which of the keys some files delivered, or only confirmed, earlier in this run.

    The result has a row per file: its name, how many keys, and one of them.
    """
    key, few = trimmed(quote(source.key)), ", ".join(map(literal, files))
    layer.put_keys(trim(keys))
    return layer.query(f"""
        with earlier as (
            select w.key, coalesce(
                (select t.source_filename from {quote(source.name)} as t
                    where {key} = +w.key and t.row_id >= {change.first_row_id}
                    order by t.row_id desc limit 1),
                (select c.source_filename from confirmations as c
                    where {trimmed("c.record_key")} = +w.key and c.source_name = {literal(source.name)}
                    and c.confirmation_id >= {first_confirmation}
                    order by c.confirmation_id desc limit 1)) as file
            from temp.wanted as w
        )
        select file, count(*) as keys, min(key) as key from earlier where file in ({few}) group by file
        """, DISAGREEMENTS).to_pylist()


def append(layer: Layer, change: commits.TableChange, delivery: Delivery, rows: pa.Table,
           stamp: dict[str, str]) -> int:
    """Append rows of a delivery, or deletions, to its source's table; return how many."""
    def write() -> None:
        written = layer.insert(change.table, rows, {
            **stamp, "source_system": delivery.system, "source_filename": delivery.name})
        change.digest = digest.add(change.digest, written)

    if rows.num_rows:
        change.added += rows.num_rows
        layer.submit(write)
    return rows.num_rows


def _last_seen(layer: Layer, source: Source, filename: str, keys: pa.ChunkedArray) -> pa.Table:
    """Return, for each of the trimmed keys that raw knows, the row to compare with, with the key as TRIMMED;
    BY_FILE is 1 if this file held it."""
    table, file = quote(source.name), literal(filename)
    key, confirmed = trimmed(f"t.{quote(source.key)}"), trimmed("c.record_key")
    names = layer.schema(source.name).names
    more = [pa.field(BY_FILE, pa.int64()), pa.field(TRIMMED, pa.string())]
    layer.put_keys(keys)
    # With +, a key of `wanted` has no type that SQLite would convert to, so it can use the index.
    return layer.query(f"""
        with versions as (
            select
                w.key as trimmed,
                (select max(row_id) from {table} as t
                    where {key} = +w.key and t.source_filename = {file}) as appended,
                (select max(row_id) from confirmations as c where {confirmed} = +w.key
                    and c.source_filename = {file} and c.source_name = {literal(source.name)}) as confirmed,
                (select max(row_id) from {table} as t where {key} = +w.key) as newest
            from temp.wanted as w
        )
        select {quoted(names, "t")}, coalesce(v.appended, v.confirmed) is not null as {quote(BY_FILE)},
            v.trimmed
        from versions as v cross join {table} as t on t.row_id = coalesce(v.appended, v.confirmed, v.newest)
        """, pa.schema([*layer.columns(source.name, names), *more]))


def _compare(work: duckdb.DuckDBPyConnection, source: Source, rows: pa.Table,
             last_seen: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the rows that differ, and (record_key, row_id) of the others that this file had not had yet."""
    others = (SERIAL, BY_FILE, TRIMMED, source.key, *PROVENANCE)
    content = [name for name in last_seen.column_names if name not in others]
    same = " and ".join(
        f"{f'i.{quote(name)}' if name in rows.column_names else 'null'} is not distinct from s.{quote(name)}"
        for name in content) + " and s.source_row is not null"  # a deletion equals no row
    key = quote(TRIMMED)
    delivered = rows.drop_columns([TRIMMED]).schema
    work.register("incoming", rows)
    work.register("last_seen", last_seen)
    try:
        new_rows = work.sql(f"select {quoted(delivered.names, 'i')} from incoming as i "
                            f"left join last_seen as s on i.{key} = s.{key} "
                            f"where s.{key} is null or not ({same}) order by i.source_row").to_arrow_table()
        seen_first = work.sql(f"select s.{key} as record_key, s.row_id from incoming as i "
                              f"join last_seen as s on i.{key} = s.{key} "
                              f"where {same} and s.{quote(BY_FILE)} = 0").to_arrow_table()
    finally:
        work.unregister("incoming")
        work.unregister("last_seen")
    return new_rows.cast(delivered), seen_first
