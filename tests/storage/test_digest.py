"""A digest depends on the content of a table, not on the order of its rows or on how they were written."""

import json

import pyarrow as pa
from conftest import Shop
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.storage import digest
from lib.storage.layer import open_layer

RUN_COLUMNS = {"row_id", "batch_id", "process_name", "transformation_timestamp", "aggregation_timestamp",
               "source_system", "source_filename", "source_row", "ingestion_timestamp"}
SCHEMA = pa.schema([("key", pa.string()), ("amount", pa.float64()), ("count", pa.int64())])
rows = st.lists(st.fixed_dictionaries({
    "key": st.one_of(st.none(), st.text("ab;=\x1f€", max_size=3)),
    "amount": st.one_of(st.none(), st.integers(-999, 999).map(lambda n: n / 100)),
    "count": st.one_of(st.none(), st.integers(-9, 9))}), max_size=5)


def of(content: list[dict]) -> str:
    return digest.of_rows(pa.Table.from_pylist(content, schema=SCHEMA), SCHEMA.names)


@settings(deadline=None, max_examples=60)
@given(rows, rows, st.randoms())
def test_a_digest_adds_up_in_any_order(some: list[dict], others: list[dict], chance):
    together = some + others
    chance.shuffle(together)
    assert of(together) == digest.add(of(some), of(others))
    assert digest.subtract(of(together), of(others)) == of(some)


@settings(deadline=None, max_examples=60)
@given(rows, rows)
def test_different_content_has_another_digest(some: list[dict], others: list[dict]):
    as_bag = [sorted(repr(sorted(row.items())) for row in content) for content in (some, others)]
    same = as_bag[0] == as_bag[1]
    assert (of(some) == of(others)) == same


def test_a_new_column_that_is_empty_changes_no_digest():
    table = pa.table({"key": ["a", "b"]})
    wider = table.append_column("note", pa.nulls(2, pa.string()))
    assert digest.of_rows(wider, wider.column_names) == digest.of_rows(table, table.column_names)


def test_the_log_records_the_digest_of_every_table_a_step_wrote(loaded: Shop):
    recorded = {}
    for (text,) in loaded.query(
            "audit", "select table_digests from pipeline_execution_log order by execution_id"):
        recorded |= json.loads(text)
    assert len(recorded) == 13
    for layer in ("raw", "curated", "gold"):
        with open_layer(loaded.warehouse, layer) as file:
            for table in recorded:
                schema = file.schema(table)
                if schema is not None:
                    names = [name for name in schema.names if name not in RUN_COLUMNS]
                    assert digest.of_rows(file.read(table, names), names) == recorded[table], table
