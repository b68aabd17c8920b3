"""What a step notes of the keys that it writes to an empty table."""

import duckdb
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from lib.step.written_keys import WrittenKeys

BATCHES = st.lists(st.lists(st.text(max_size=3), min_size=1, unique=True), max_size=5)


@given(BATCHES)
def test_a_batch_may_repeat_a_key_exactly_if_an_earlier_batch_had_it(batches):
    with duckdb.connect() as work:
        written, before = WrittenKeys(work, "fact_orders"), set()
        for keys in batches:
            may_repeat = written.add(pa.chunked_array([pa.array(keys, pa.string())]))
            assert may_repeat == (not before.isdisjoint(keys))
            before.update(keys)
