"""A cluster reads the same rows, line numbers and rejected lines from a delivery as one process does."""

import csv
import gzip
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.contract import Column, Source
from lib.errors import PipelineError
from lib.ingest.header import Header, read_header
from lib.ingest.reader import Batch, Unfinished, read_batches
from lib.ingest.text import wide_encoding
from lib.ingest.total_row import set_total_aside
from lib.spark.parts import cut, read_part, scan, stretches
from lib.spark.reader import read_delivery

COLUMNS = ("id", "name")
PEOPLE = Source("people", (Column("id", "text"), Column("name", "text"), Column("amount", "money", True)))
PIECES = [b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"\0", b" ", b"a", b"b,c\n", b'"d","e"\n', b'"f\ng",h\n',
          b'1,24" x\n', b'"\n', "é".encode(), b"\xef\xbb\xbf"]
# Without those that are mostly NULs, by which a file is taken for UTF-16.
any_body = st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join).filter(
    lambda body: wide_encoding(b"id,name\n" + body) is None)
cell = st.sampled_from(["", "a", '"', ",", "x\ny", "\r\n", "é"])
well_formed = st.lists(st.lists(cell, min_size=2, max_size=2), max_size=20)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """One path that every example of a property overwrites."""
    return tmp_path_factory.mktemp("deliveries") / "people.csv"


def written(path, content) -> Header:
    path.write_bytes(content)
    return read_header(path, PEOPLE)


def lines_of(batches) -> tuple[list[tuple], list[tuple]]:
    """Return the rows and the rejected lines of batches, each in order of line."""
    found = ([], [])
    for batch in batches:
        for lines, table in zip(found, (batch.rows, batch.rejected), strict=True):
            lines += [tuple(line[name] for name in sorted(line)) for line in table.to_pylist()]
    return tuple(sorted(lines, key=repr) for lines in found)


def in_parts(path, header, part_bytes):
    """Return what is read in parts (None if the cuts turn out wrong), and the number of parts."""
    ends = stretches(path, header, part_bytes)
    parts = cut(header, ends, [scan(path, *end) for end in ends])
    try:
        return lines_of(batch for part in parts for batch in read_part(path, header, part)), len(parts)
    except Unfinished:
        return None, len(parts)


@settings(max_examples=400)
@given(body=any_body, part_bytes=st.integers(1, 60))
def test_parts_hold_what_the_whole_holds(file, body, part_bytes):
    header = written(file, b"id,name\n" + body)
    found, _ = in_parts(file, header, part_bytes)
    assert found in (None, lines_of(read_batches(file, header)))


@settings(max_examples=200)
@given(rows=well_formed, part_bytes=st.integers(1, 60), line_end=st.sampled_from(["\n", "\r\n"]))
def test_a_well_formed_file_may_always_be_cut(file, rows, part_bytes, line_end):
    text = io.StringIO()
    csv.writer(text, lineterminator=line_end).writerows([COLUMNS, *rows])
    header = written(file, text.getvalue().encode())
    found, _ = in_parts(file, header, part_bytes)
    assert found == lines_of(read_batches(file, header))


@settings(max_examples=200)
@given(body=any_body.map(lambda body: body.replace(b'"', b"")), part_bytes=st.integers(1, 60))
def test_a_file_without_quotes_may_always_be_cut(file, body, part_bytes):
    header = written(file, b"id,name\n" + body)
    found, _ = in_parts(file, header, part_bytes)
    assert found == lines_of(read_batches(file, header))


@pytest.mark.parametrize(("body", "count"), [
    (b"1,a\n" * 100, 10),
    (b'1,"a\nb"\n' * 50, 10),
    (b'1,2" x 3"\n' * 40, 10),
    (b"1,a\r" * 100, 1),
    (b"", 0),
], ids=["rows", "quoted line ends", "inches", "no line feed", "nothing"])
def test_parts_are_as_many_as_line_feeds_allow(file, body, count):
    assert in_parts(file, written(file, b"id,name\n" + body), 40)[1] == count


def test_a_quote_that_is_text_may_make_a_cut_wrong(file):
    assert in_parts(file, written(file, b'id,name\n1,2" x 3\n' + b'1,"a\nb"\n' * 50), 40)[0] is None


@settings(max_examples=100)
@given(body=any_body, part_bytes=st.integers(1, 60), block_bytes=st.integers(1, 9))
def test_blocks_change_nothing(file, body, part_bytes, block_bytes):
    header = written(file, b"id,name\n" + body)
    ends = stretches(file, header, part_bytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lib.spark.parts.BLOCK_BYTES", block_bytes)
        in_blocks = [scan(file, *end) for end in ends], in_parts(file, header, part_bytes)
    assert in_blocks == ([scan(file, *end) for end in ends], in_parts(file, header, part_bytes))


ROWS = b"".join(b'%d,"x\ny"\n%d,z\nbad\n' % (number, number) for number in range(50))
# The file's name, its content, and the size of a part.
DELIVERIES = {
    "in parts": ("a.csv", b"id,name\n" + ROWS, 100),
    "CRLF": ("a.csv", (b"id,name\n" + ROWS).replace(b"\n", b"\r\n"), 100),
    "cut wrongly": ("a.csv", b'id,name\n1,2" x 3\n' + ROWS, 100),
    "in one part": ("a.csv", b"id,name\n" + ROWS, 1 << 20),
    "an unclosed quote": ("a.csv", b'id,name\n1,"x\n' + b"2,y\n" * 50, 40),
    "gzip": ("a.csv.gz", gzip.compress(b"id,name\n" + ROWS), 100),
    "UTF-16": ("a.csv", (b"id,name\n" + ROWS).decode().encode("utf-16"), 100),
    "cp1252": ("a.csv", "id,name\n1,Zoë\n".encode("cp1252") * 20, 40),
    "odd names": ("a.csv", b"name,ID,a.b,`c`,source line,rule,_metadata\n" + b"1,2,3,4,5,6,7\n" * 20, 100),
    "header only": ("a.csv", b"id,name", 100),
    "the header again": ("a.csv", b"id,name\n" + ROWS + b"\n Name ,x\nID,Name\n" + ROWS, 100),
    "rows of delimiters": ("a.csv", b"id,name\n" + b'1,a\n,\n"",\n' * 40, 100),
    "a column is absent": ("a.csv", b"name,id\n" + b"1,a\n" * 40, 100),
    "a total": ("a.csv", b"id,name,cost,amount\n" + b"1,a,,0.10\n" * 40 + b"Total,,,4.00\n\n", 100),
    "a total that is wrong": ("a.csv", b"id,name,amount\n" + b"1,a,0.1\n1,b,x\n" * 9 + b"Sum,,1\n", 100),
    "totals among the rows": (
        "a.csv", "id,name,amount\n1,a,1\nSubtotal,,1\n2,b,2\n \u00a0SUMME,,2\nИТОГО:,,3\nTotal,,3\n".encode(),
        100),
    "a total above the rows": ("a.csv", b"id,name,amount\nSum,,1\n" + b"1,a,1\n" * 40, 100),
    "an order like the sum": ("a.csv", b"id,name,amount\n1,a,1\n2,b,2\n3,c,3\n", 100),
}


@pytest.mark.parametrize(("name", "content", "part_bytes"), DELIVERIES.values(), ids=DELIVERIES)
def test_a_cluster_reads_what_one_process_reads(spark, tmp_path, name, content, part_bytes):
    header = written(tmp_path / name, content)
    path = tmp_path / name
    rows, rejected = lines_of(set_total_aside(read_batches(path, header), PEOPLE,
                                              lambda name: read_batches(path, header, only=name)))
    with read_delivery(spark, tmp_path / name, header, part_bytes) as found:
        assert (found.row_count, found.rejected_count) == (len(rows), len(rejected))
        assert lines_of([Batch(found.rows.toArrow(), found.rejected.toArrow())]) == (rows, rejected)


@pytest.mark.parametrize("part_bytes", [100, 1 << 20])
def test_a_file_that_a_worker_cannot_read_is_named(spark, tmp_path, part_bytes):
    path = tmp_path / "people.csv"
    header = written(path, b"id,name\n" + ROWS)
    path.write_bytes(b"id,name\n" + ROWS.replace(b"z", b"\xff"))
    with (pytest.raises(PipelineError, match=r"people\.csv changed while it was read"),
          read_delivery(spark, path, header, part_bytes)):
        pass
