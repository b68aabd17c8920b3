"""What the CSV reader makes of a file's bytes: rows, rejected lines, notes or an error."""

import csv
import gzip
import io
import itertools
import re
import zipfile
import zlib

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lib.contract import Column, Source
from lib.errors import PipelineError
from lib.ingest import reader, records
from lib.ingest.header import read_header
from lib.ingest.reader import read_batches
from lib.ingest.records import Shape, parse_carefully, parse_fast
from lib.ingest.text import wide_encoding

LINE_END = r"\r\n|\r|\n"
MATCHED_LOOSELY = "header names matched ignoring case, spaces and hyphens"
NOT_IN_A_ROW = "opens a quote that is never closed, or not within a row of 2 fields"


def people(*columns, encoding=""):
    """Return a source with these columns of text; one whose name ends in `?` may be empty."""
    return Source("people", tuple(Column(name.rstrip("?"), "text", name.endswith("?")) for name in columns),
                  encoding)


def read(path, content, columns=("id", "name"), **sizes):
    """Write the file; return its header, rows as (source_row, field, ...) and rejected lines as tuples."""
    path.write_bytes(content)
    header = read_header(path, people(*columns))
    batches = list(read_batches(path, header, **sizes))
    rows = [(row["source_row"], *(row[name] for name in header.names))
            for batch in batches for row in batch.rows.to_pylist()]
    rejected = [tuple(line.values()) for batch in batches for line in batch.rejected.to_pylist()]
    return header, rows, rejected


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """One path that every example of a property overwrites."""
    return tmp_path_factory.mktemp("deliveries") / "any.csv"


# What comes after the header line "id,name", and the rows it holds.
ACCEPTED = {
    "a row is its line number and its fields": (b"1,Ann\n2,Bo\n", [(2, "1", "Ann"), (3, "2", "Bo")]),
    "the last line needs no end": (b"1,Ann", [(2, "1", "Ann")]),
    "header only": (b"", []),
    "line ends may be CRLF": (b"1,Ann\r\n2,Bo\r\n", [(2, "1", "Ann"), (3, "2", "Bo")]),
    "line ends may be CR": (b"1,Ann\r2,Bo\r", [(2, "1", "Ann"), (3, "2", "Bo")]),
    "line ends may be mixed": (b"1,a\r\n2,b\r3,c\n4,d",
                               [(2, "1", "a"), (3, "2", "b"), (4, "3", "c"), (5, "4", "d")]),
    "blank lines are counted, not read": (b"\n1,Ann\n\r\n\r\n2,Bo\n\n", [(3, "1", "Ann"), (6, "2", "Bo")]),
    "only an empty field is missing": (b'1,\n2,""\n,x\n3,NA\n4,null\n5,None\n6, \n',
                                       [(2, "1", None), (3, "2", None), (4, None, "x"), (5, "3", "NA"),
                                        (6, "4", "null"), (7, "5", "None"), (8, "6", " ")]),
    "a line without a value is blank": (b'1,a\n,\n"",""\n,""\r\n,,,,\n""\n2,b\n,\n',
                                        [(2, "1", "a"), (8, "2", "b")]),
    "so it is in well-formed text": (b'1,a\n,\n"",""\n,""\r\n2,b\n,\n', [(2, "1", "a"), (6, "2", "b")]),
    "text stays as delivered": (b" 007 ,\tx \n1e5,\xc3\xa9\n", [(2, " 007 ", "\tx "), (3, "1e5", "é")]),
    "quotes hide delimiters and quotes": (b'"1","a,b"\n2,"say ""hi"""\n',
                                          [(2, "1", "a,b"), (3, "2", 'say "hi"')]),
    "quotes hide line ends": (b'1,"a\nb\r\n\rc"\n2,x\n', [(2, "1", "a\nb\r\n\rc"), (6, "2", "x")]),
    "blank lines within quotes": (b'1,"\n\n"\n\n2,x\n', [(2, "1", "\n\n"), (6, "2", "x")]),
    "a quote within a plain field is text": (b'1,24" x 36"\n2,a"b\n',
                                             [(2, "1", '24" x 36"'), (3, "2", 'a"b')]),
    "only LF and CR end lines": ("1,a\u2028b\x0b\x0c\x85c\n".encode(), [(2, "1", "a\u2028b\x0b\x0c\x85c")]),
    "a byte-order mark within the file is text": ("\ufeff1,\ufeff\n".encode(), [(2, "\ufeff1", "\ufeff")]),
}


@pytest.mark.parametrize(("body", "rows"), ACCEPTED.values(), ids=ACCEPTED)
def test_rows(tmp_path, body, rows):
    assert read(tmp_path / "people.csv", b"id,name\n" + body)[1:] == (rows, [])


# What comes after the header line "id,name", the ids of the rows, and the rejected (line, raw text, rule,
# reason).
REJECTED = {
    "too few fields": (b"1\n2,x\n", ["2"], [(2, "1", "field_count", "1 field, expected 2")]),
    "too many fields": (b"1,x,y\n2,x\n", ["2"], [(2, "1,x,y", "field_count", "3 fields, expected 2")]),
    "delimiters within quotes do not count": (b'1,"x,y",z\n', [],
                                              [(2, '1,"x,y",z', "field_count", "3 fields, expected 2")]),
    "a line of spaces is not blank": (b"  \n2,x\n", ["2"], [(2, "  ", "field_count", "1 field, expected 2")]),
    "a NUL byte": (b"1,x\0\n2,x\n", ["2"], [(2, "1,x\0", "nul_byte", "the line holds a NUL byte")]),
    "a NUL byte within quotes over lines": (b'1,"x\ny\0"\n2,x\n', ["2"], [
        (2, '1,"x', "quote", f"field 2 {NOT_IN_A_ROW}"),
        (3, 'y\0"', "nul_byte", "the line holds a NUL byte")]),
    "text behind a closing quote": (b'1,"x"y\n2,x\n', ["2"],
                                    [(2, '1,"x"y', "quote", "field 2 has text after its closing quote")]),
    "a space behind a closing quote": (b'"1" ,x\n2,x\n', ["2"],
                                       [(2, '"1" ,x', "quote", "field 1 has text after its closing quote")]),
    "an unclosed quote costs its line": (b'1,"x\n2,x\n3,x\n', ["2", "3"],
                                         [(2, '1,"x', "quote", f"field 2 {NOT_IN_A_ROW}")]),
    "an unclosed quote before a quoted row": (b'1,"x\n2,"y"\n3,x\n', ["2", "3"],
                                              [(2, '1,"x', "quote", f"field 2 {NOT_IN_A_ROW}")]),
    "an unclosed quote at the very end": (b'1,x\n"', ["1"], [(3, '"', "quote", f"field 1 {NOT_IN_A_ROW}")]),
    "too many fields over lines": (b'"1\n1",x,y\n2,x\n', ["2"], [
        (2, '"1', "quote", f"field 1 {NOT_IN_A_ROW}"), (3, '1",x,y', "field_count", "3 fields, expected 2")]),
    "raw text has no line end": (b"1\r\n2\r3\n", [], [
        (2, "1", "field_count", "1 field, expected 2"), (3, "2", "field_count", "1 field, expected 2"),
        (4, "3", "field_count", "1 field, expected 2")]),
}


@pytest.mark.parametrize(("body", "ids", "rejected"), REJECTED.values(), ids=REJECTED)
def test_rejected_lines(tmp_path, body, ids, rejected):
    _, rows, found = read(tmp_path / "people.csv", b"id,name\n" + body)
    assert ([row[1] for row in rows], found) == (ids, rejected)


# A whole file whose one row is 1, Zoë; its name; the notes.
ROW = "id,name\n1,Zoë\n"
CP1252 = ("read as cp1252, because byte 12 is not UTF-8: values look like 'Zoë' now. If that is wrong, "
          "deliver the file again as UTF-8, and declare the encoding of later files: `encoding: …` in "
          "data/contract/people.yaml")
DETECTED = {
    "UTF-8": (ROW.encode(), "a.csv", ()),
    "UTF-8 with a byte-order mark": (ROW.encode("utf-8-sig"), "a.csv", ()),
    "UTF-16 with a mark": (ROW.encode("utf-16"), "a.csv", ("read as UTF-16",)),
    "UTF-16, big-endian, with a mark": (b"\xfe\xff" + ROW.encode("utf-16-be"), "a.csv", ("read as UTF-16",)),
    "UTF-16 without a mark": (ROW.encode("utf-16-le"), "a.csv", ("read as UTF-16-LE",)),
    "UTF-16, big-endian, without a mark": (ROW.encode("utf-16-be"), "a.csv", ("read as UTF-16-BE",)),
    "UTF-32": (ROW.encode("utf-32"), "a.csv", ("read as UTF-32",)),
    "cp1252": (ROW.encode("cp1252"), "a.csv", (CP1252,)),
    "gzip": (gzip.compress(ROW.encode()), "a.csv.gz", ()),
    "gzip in two members": (gzip.compress(ROW[:9].encode()) + gzip.compress(ROW[9:].encode()), "a.csv.gz",
                            ()),
    "gzip not named so": (gzip.compress(ROW.encode()), "a.csv", ("gunzipped, though not named .gz",)),
    "plain, named gzip": (ROW.encode(), "a.csv.gz", ("read as plain text, though named .gz",)),
    "semicolons": (ROW.replace(",", ";").encode(), "a.csv", ("delimiter ';'",)),
    "tabs": (ROW.replace(",", "\t").encode(), "a.csv", (r"delimiter '\t'",)),
    "bars": (ROW.replace(",", "|").encode(), "a.csv", ("delimiter '|'",)),
    "several at once": (gzip.compress(ROW.replace(",", ";").encode("cp1252")), "a.csv",
                        ("gunzipped, though not named .gz", CP1252, "delimiter ';'")),
}


@pytest.mark.parametrize(("content", "name", "notes"), DETECTED.values(), ids=DETECTED)
def test_what_is_detected_is_read_and_noted(tmp_path, content, name, notes):
    header, rows, rejected = read(tmp_path / name, content)
    assert (header.notes, rows, rejected) == (notes, [(2, "1", "Zoë")], [])


# A header line, the names, those that are not in the contract (order_id, status), and the notes.
HEADERS = {
    "as in the contract": ("order_id,status", ("order_id", "status"), (), ()),
    "in any order": ("status,order_id", ("status", "order_id"), (), ()),
    "quoted": ('"order_id","status"', ("order_id", "status"), (), ()),
    "loosely written": (
        " Order-ID ,STATUS", ("order_id", "status"), (),
        (f"{MATCHED_LOOSELY}: ' Order-ID ' as order_id, 'STATUS' as status",)),
    "over two lines": ('"order\nid",status', ("order_id", "status"), (),
                       (rf"{MATCHED_LOOSELY}: 'order\nid' as order_id",)),
    "with extra columns": ("order_id,Gift Wrap,status,", ("order_id", "gift_wrap", "status", "column_4"),
                           ("gift_wrap", "column_4"), ()),  # its row has four fields
    "below blank lines": ("\n  \r\norder_id,status", ("order_id", "status"), (), ()),
    "below Excel's separator line": (
        "sep=,\norder_id,status", ("order_id", "status"), (),
        ("the first line is 'sep=,', which names the delimiter",)),
    "below titles": (
        "Orders of 2026,\n\n,\n\"all, paid\"\norder_id,status", ("order_id", "status"), (),
        ("the header is in line 5; left out above it: 'Orders of 2026', 'all, paid'",)),
    "with delimiters behind it": (
        "order_id,status,,", ("order_id", "status"), (),
        ("the header ends in 2 more delimiters than the rows: left out",)),
}


@pytest.mark.parametrize(("line", "names", "extra", "notes"), HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_header(tmp_path, line, names, extra, notes, encoding):
    values = tuple(map(str, range(len(names))))
    body = "\n" + ",".join(values) + "\n"
    header, rows, _ = read(tmp_path / "a.csv", (line + body).encode(encoding), columns=("order_id", "status"))
    assert (header.names, header.extra) == (names, extra)
    assert header.notes == (() if encoding == "utf-8-sig" else ("read as UTF-16",)) + notes
    assert rows == [(1 + len(re.findall(LINE_END, line + "\n")), *values)]


def zip_bytes():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("orders.csv", "order_id,status\n")
    return buffer.getvalue()


GOOD = b"order_id,status\n" + b"1,x\n" * 1000
# A file that is refused, and what the message names besides the file and the remedy.
REFUSED = {
    "no bytes": (b"", "empty"),
    "blank lines only": (b"\n \r\n\n", "empty"),
    "a byte-order mark only": (b"\xef\xbb\xbf", "empty"),
    "gzip of nothing": (gzip.compress(b""), "empty"),
    "ZIP": (zip_bytes(), r"ZIP .*not CSV.*\.csv"),
    "PDF": (b"%PDF-1.7\n", "PDF, not CSV"),
    "SQLite": (b"SQLite format 3\0\x10\0", "SQLite .*not CSV"),
    "Parquet": (b"PAR1\x15\x04", "Parquet .*not CSV"),
    "gzip of gzip": (gzip.compress(gzip.compress(GOOD)), "compressed twice"),
    "HTML": (b"\n<!DOCTYPE html>\n<html>", "web page"),
    "HTML in UTF-16": ("<html>\n".encode("utf-16"), "web page"),
    "XML": (b'<?xml version="1.0"?>\n', "XML, not CSV"),
    "gzip cut short": (gzip.compress(GOOD)[:-9], "cut short"),
    "gzip cut within its header": (b"\x1f\x8b\x08", "cut short"),
    "gzip with a wrong checksum": (gzip.compress(GOOD)[:-8] + bytes(8), f"corrupt.*{zlib.crc32(GOOD):#x}"),
    "UTF-16 cut short": ("order_id,status\n".encode("utf-16")[:-1], "UTF-16.*byte 32"),
    "UTF-8 with a byte that is not": (
        "order_id,status\n1,Zoë\n2,Zoë\n".encode() + b"3,\xeb\n", "UTF-8 except for byte 32.*UTF-8"),
    "neither UTF-8 nor cp1252": (
        b"order_id,status\n1,\xeb\n2,\x81\n", r"not UTF-8 \(byte 18, line 2\).*cp1252.* byte 22, in line 3"),
    "a column missing": (
        b"order_id,Statuss\n1,x\n",
        "line 1: .*lacks 'status' .*nearest: 'Statuss'.* has 'order_id', 'Statuss'"),
    "two columns missing": (b"\n1,2\n", "line 2: .*lacks 'order_id', 'status' .* has '1', '2'"),
    "a name twice": (b"order_id,status,Order ID\n", "line 1: .*'order_id' 2 times: 'order_id', 'Order ID'"),
    "our own name": (b"order_id,status,source_row\n", "line 1: .*'source_row'"),
    "an unclosed quote": (b'order_id,"status\n1,x\n', "line 1: .*breaks off after ''.*quote"),
    "a NUL byte": (b"order_id,sta\0tus\n1,x\n", "line 1: .*breaks off after 'sta'.*NUL byte"),
    "one endless line": (b"order_id,status," * 70_000, "no line end in its first MB"),
    "a header below what may be rows": (
        b"1,x\n2,y\norder_id,status\n3,z\n", "line 3: .*looks like the header.*first line"),
    "the header of another table": (
        b"order_id,status\n1,x\nStatus,Order ID\ny,2\n", "line 3: another header.*'Status', 'Order ID'"),
    "the header with one more column": (
        b"order_id,status\n1,x\norder_id,status,note\n2,y,\n", "line 3: another header.*'note'"),
    "too many columns": (b"order_id,status" + b"," * 2000 + b"\n", "line 1: .*2002 columns, more than 1900"),
}


@pytest.mark.parametrize(("content", "words"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_cannot_be_read_is_refused_with_the_remedy(tmp_path, content, words):
    path = tmp_path / "orders.csv"
    with pytest.raises(PipelineError, match=words) as refused:
        read(path, content, columns=("order_id", "status"))
    remedy = "(Deliver|Declare|Correct|Rename|Check)"
    name = re.escape(str(path))
    assert re.match(rf"{name}\b.* {remedy} .*(\.|adopt {name})$", str(refused.value))


# What comes after the header "order_id,status", a row "1,x" in line 2, and where the header is again.
REPEATED = {
    "as it was": ("order_id,status\n", 3),
    "in another case, with spaces": (" ORDER-ID ,Status\n", 3),
    "quoted, below a blank line": ('\n"order_id","status"\n', 4),
    "with a byte-order mark": ("\ufefforder_id,status\n", 3),
    "quoted, with a byte-order mark": ('\ufeff"order_id","status"\n', 3),
}


@pytest.mark.parametrize(("lines", "number"), REPEATED.values(), ids=REPEATED)
@pytest.mark.parametrize("block_bytes", [16, 1 << 20])
def test_the_header_again_is_no_row(tmp_path, lines, number, block_bytes):
    content = f"order_id,status\n1,x\n{lines}2,y\n".encode()
    _, rows, rejected = read(tmp_path / "a.csv", content, columns=("order_id", "status"),
                             block_bytes=block_bytes)
    assert rows == [(2, "1", "x"), (number + 1, "2", "y")]
    text = lines.strip("\n")
    [(*line, reason)] = rejected
    assert line == [number, text, "repeated_header"] and "header again" in reason


def test_the_header_again_is_found_when_only_keys_are_read_or_a_name_is_missing(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b",order_id,status\n0,1,x\n,order_id,status\n1,2,y\n")
    header = read_header(path, people("order_id", "status"))
    for only in (None, "order_id"):
        [batch] = read_batches(path, header, only=only)
        assert batch.rows["order_id"].to_pylist() == ["1", "2"]
        assert batch.rejected["source_row"].to_pylist() == [3]


def test_a_row_that_names_a_column_is_a_row(tmp_path):
    content = b"order_id,status,note\nstatus,x,\norder_id,y,z\n"
    _, rows, rejected = read(tmp_path / "a.csv", content, columns=("order_id", "status", "note"))
    assert ([row[1] for row in rows], rejected) == (["status", "order_id"], [])


def test_a_column_that_may_be_empty_may_be_absent(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,name\n1,Ann\n")
    header = read_header(path, people("id", "name", "city?", "email?"))
    assert header.absent == ("city", "email")
    assert header.notes == ("the file has no column city, email: empty in all of its rows",)
    [batch] = read_batches(path, header)
    assert batch.rows.to_pylist() == [
        {"id": "1", "name": "Ann", "source_row": 2, "city": None, "email": None}]


@pytest.mark.parametrize(("line", "words"), [
    (b"id,cty\n", "lacks 'city' .*nearest: 'cty'"),
    (b"id,note\n", "lacks 'name', .*'city'|lacks 'name' .*'city' .*'email'"),
    (b"city,email\n", "lacks 'id'"),
], ids=["misspelled", "most are absent", "the key"])
def test_a_header_that_is_most_likely_wrong_is_refused(tmp_path, line, words):
    path = tmp_path / "a.csv"
    path.write_bytes(line + b"1,x\n")
    with pytest.raises(PipelineError, match=f"line 1: .*{words}"):
        read_header(path, people("id", "name?", "city?", "email?") if b"cty" not in line
                    else people("id", "city?"))


def test_of_several_lines_the_one_that_looks_most_like_a_header_is_named(tmp_path):
    with pytest.raises(PipelineError, match=r"line 2: .*lacks 'status' .*nearest: 'statuss'"):
        read(tmp_path / "a.csv", b"Orders\norder_id,statuss,date\n1,x,\n", ("order_id", "status", "date"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PipelineError, match=r"none\.csv .*No such file .*Check"):
        read_header(tmp_path / "none.csv", people("id"))


@pytest.mark.parametrize(("before", "after"), [
    (b"id,name\n1,x\n", b"id,name\n1,\xff\n"),
    (b"id,name\n1,x\n", gzip.compress(GOOD)[:-9]),
    ("id,name\n1,x\n".encode("utf-16"), "id,name\n1,x\n".encode("utf-16")[:-1]),
    ("id,name\n1,x\n".encode("utf-16"), "id,name\n1,x\n".encode("utf-16-le")),
], ids=["no longer UTF-8", "cut short", "UTF-16 cut short", "UTF-16 without its mark"])
def test_a_file_that_changes_while_it_is_read_is_named(tmp_path, before, after):
    path = tmp_path / "people.csv"
    header, _, _ = read(path, before)
    path.write_bytes(after)
    with pytest.raises(PipelineError, match=r"people\.csv (changed while it was read|is cut short)"):
        list(read_batches(path, header))


def test_batches_hold_batch_rows_in_order(tmp_path):
    path = tmp_path / "people.csv"
    read(path, b"id,name\n" + b"".join(b"%d,x\n" % number for number in range(10)) + b"bad\n" * 13)
    header = read_header(path, people("id"))
    batches = list(read_batches(path, header, batch_rows=4))
    assert [batch.rows["id"].to_pylist() for batch in batches] == [list("0123"), list("4567"), list("89"), []]
    assert [batch.rejected.num_rows for batch in batches] == [4, 4, 4, 1]
    with pytest.raises(ValueError, match="batch_rows is 0"):
        next(read_batches(path, header, batch_rows=0))


def test_a_huge_field_is_a_field(tmp_path):
    plain, broken = "x" * 130_000, ("y" * 100 + "\n") * 999
    _, rows, rejected = read(tmp_path / "people.csv", f'id,name\n1,{plain}\n2,"{broken}"\n3,z\n'.encode())
    assert rows == [(2, "1", plain), (3, "2", broken), (1003, "3", "z")]
    assert rejected == []


@pytest.mark.parametrize(("breaks", "rejected"), [(999, 0), (1000, 1001)])
def test_a_row_spans_at_most_1000_lines(tmp_path, breaks, rejected):
    content = b'id,name\n1,"' + b"\n".join([b"x"] * (breaks + 1)) + b'"\n2,y\n'
    _, rows, found = read(tmp_path / "people.csv", content)
    assert (rows[-1], len(rows), len(found)) == ((breaks + 3, "2", "y"), 1 + (not rejected), rejected)


@pytest.mark.parametrize("block_bytes", [16, 2500, 9999])
def test_a_row_over_lines_has_at_most_max_record_bytes(tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", 2000)
    content = b'id,name\n1,"' + b"x" * 1500 + b'"\n2,"' + b"y" * 1500 + b"\n" + b"y" * 600 + b'"\n3,z\n'
    _, rows, rejected = read(tmp_path / "people.csv", content, block_bytes=block_bytes)
    assert ([row[0] for row in rows], [line[0] for line in rejected]) == ([2, 5], [3, 4])


LONG = records.MAX_RECORD_BYTES - len('2,\n')  # of a name, whose row is as long as one may be


@pytest.mark.parametrize("block_bytes", [5000, 100_000, 4 << 20])
@pytest.mark.parametrize("line", [
    '2,{}', '2,"{}"', '{}', '2,"{}', '2,"a\n{}"'],
    ids=["row", "quoted", "one field", "open quote", "in quotes"])
def test_a_line_that_is_too_long_is_refused_with_its_number(tmp_path, line, block_bytes):
    content = f"id,name\n1,x\n{line.format('x' * (LONG + 3))}\n3,z\n"
    number = 3 + line.count("\n")
    with pytest.raises(PipelineError, match=rf"people\.csv, line {number}: .*longer than 128 kB"):
        read(tmp_path / "people.csv", content.encode(), block_bytes=block_bytes)


@pytest.mark.parametrize("block_bytes", [5000, 4 << 20])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_line_that_is_as_long_as_it_may_be_is_a_row(tmp_path, quote, block_bytes):
    name = "x" * (LONG - 2 * len(quote))
    _, rows, rejected = read(tmp_path / "people.csv", f"id,name\n2,{quote}{name}{quote}\n3,z\n".encode(),
                             block_bytes=block_bytes)
    assert (rows, rejected) == ([(2, "2", name), (3, "3", "z")], [])


@pytest.mark.parametrize("line", ["{},{}\n", "{}{}\n"], ids=["rows", "rejected lines"])
def test_a_batch_is_full_by_its_bytes(tmp_path, monkeypatch, line):
    monkeypatch.setattr(reader, "BATCH_BYTES", 10_000)
    path = tmp_path / "people.csv"
    path.write_text("id,name\n" + "".join(line.format(f"i{i}", "x" * 1000) for i in range(50)))
    batches = list(read_batches(path, read_header(path, people("id", "name")), block_bytes=4096))
    lines = [number for batch in batches for lines in (batch.rows, batch.rejected)
             for number in lines["source_row"].to_pylist()]
    assert sorted(lines) == list(range(2, 52))
    assert max(batch.rows.nbytes + batch.rejected.nbytes for batch in batches) < 10_000 + 2 * 4096


@pytest.mark.parametrize(("text", "bytes_used"), [
    (b'a,"b\n', 0),
    (b'a,"b\nc"d,e\n', 11),
    (b'a,b,"c\n', 7),
    (b'"a\n' + b"b\n" * 999, 0),
    (b'"a\n' + b"b\n" * 1000, 2003),
], ids=["may go on", "has gone wrong", "has too many fields", "is in reach", "is out of reach"])
def test_only_what_may_become_a_row_waits_for_more_text(text, bytes_used):
    parsed = parse_carefully(text, Shape(("id", "name"), b","), first_line=2, is_last=False)
    assert parsed.bytes_used == bytes_used


def test_quotes_that_reopen_for_ever_take_linear_time(tmp_path):
    """Each line ends a quoted field and begins another. Trying every line to the end would take hours."""
    _, rows, rejected = read(tmp_path / "people.csv", b"id,name\n" + b'x","y\n' * 100_000)
    assert (len(rows), len(rejected)) == (0, 100_000)


def test_well_formed_text_is_parsed_fast(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "parse_carefully", None)
    content = b'id,name\n1,x\r\n\r\n"2","a,""b""\r\nc"\n3,\n'
    _, rows, _ = read(tmp_path / "people.csv", content, block_bytes=64)
    assert rows == [(2, "1", "x"), (4, "2", 'a,"b"\r\nc'), (6, "3", None)]


PIECES = [b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"\0", b" ", b"a", b"b,c\n", b'"d","e"\n', b'"f\ng",h\n',
          b";", "é".encode(), b"\xe9", b"\xef\xbb\xbf", b"\xff\xfe", b"\x81"]
body_bytes = st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)
text_bytes = st.lists(st.sampled_from(PIECES[:-4]), max_size=40).map(b"".join)


def damaged(body, position, byte):
    """Return a gzip file with another byte at a position, or cut there if the byte is -1."""
    content = gzip.compress(b"id,name\n" + body, mtime=0)
    return content[:position] if byte < 0 else content[:position] + bytes([byte]) + content[position + 1:]


any_file = st.one_of(st.binary(), body_bytes, body_bytes.map(b"id,name\n".__add__),
                     body_bytes.map(lambda body: gzip.compress(b"id,name\n" + body)),
                     text_bytes.map(lambda body: ("id,name\n" + body.decode()).encode("utf-16")),
                     st.builds(damaged, body_bytes, st.integers(0, 200), st.integers(-1, 255)))


@settings(deadline=None, max_examples=250)
@given(content=any_file, block_bytes=st.integers(1, 50))
def test_any_bytes_are_refused_or_every_line_appears_once(file, content, block_bytes):
    try:
        header, rows, rejected = read(file, content, block_bytes=block_bytes)
    except PipelineError as error:
        assert str(error).startswith(str(file))
        return
    content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    check_conservation(header, rows, rejected, content.decode(header.encoding).removeprefix("\ufeff"))


@settings(deadline=None, max_examples=250)
@given(body=text_bytes, block_bytes=st.integers(1, 50))
def test_every_line_appears_once(file, body, block_bytes):
    content = b"id,name\n" + body
    assume(not wide_encoding(content))
    check_conservation(*read(file, content, block_bytes=block_bytes), content.decode())


def check_conservation(header, rows, rejected, text):
    """Check that each line below the header is blank, rejected, or part of a row that `csv` reads the same
    way."""
    lines = re.findall(rf"[^\r\n]*(?:{LINE_END})|[^\r\n]+$", text)
    seen = list(range(1, header.body_line))
    for first, *fields in rows:
        last = first + sum(len(re.findall(LINE_END, field or "")) for field in fields)
        seen += range(first, last + 1)
        text_of_row = "".join(lines[first - 1:last])
        assert read_with_csv(text_of_row, header.delimiter) == [[field or "" for field in fields]]
    for number, raw_text, _, _ in rejected:
        seen.append(number)
        assert raw_text == lines[number - 1].rstrip("\r\n")
        on_its_own = read_with_csv(raw_text, header.delimiter)
        assert "\0" in raw_text or on_its_own is None or len(on_its_own[0]) != len(header.names)
    not_blank = {number for number, line in enumerate(lines, start=1)
                 if line.replace('""', "").strip(f"\r\n{header.delimiter}")}
    assert len(seen) == len(set(seen))
    assert not_blank <= set(seen)
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)


def read_with_csv(text, delimiter):
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        return None


any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
value = any_text | st.sampled_from(["", '"', '""', ",", ";", "\n", "\r", "\r\n", "NA", "a,\nb", " "])


@settings(deadline=None, max_examples=200)
@given(data=st.data(), width=st.integers(1, 3), block_bytes=st.integers(1, 200),
       delimiter=st.sampled_from(",;\t|"), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
       encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be"]))
def test_any_table_comes_back(file, data, width, block_bytes, delimiter, quoting, encoding):
    table = data.draw(st.lists(st.tuples(*[value] * width), max_size=8))
    names = ("order_id", "status", "note")[:width]
    written = io.StringIO()
    delimiter = delimiter if width > 1 else ","  # a single column does not show its delimiter
    csv.writer(written, delimiter=delimiter, quoting=quoting).writerows([names, *table])
    content = written.getvalue().encode(encoding)
    header, rows, rejected = read(file, content, columns=names, block_bytes=block_bytes)
    assert header.delimiter == delimiter
    assert [row[1:] for row in rows] == [tuple(field or None for field in row) for row in table if any(row)]
    assert rejected == []


@settings(deadline=None, max_examples=400)
@given(text=text_bytes.map(lambda text: text + b"\n"), width=st.integers(1, 3))
def test_fast_equals_careful(text, width):
    check_fast_equals_careful(text, width)


def check_fast_equals_careful(text, width):
    """Return what the fast parser returns, None for a text that it leaves alone."""
    shape = Shape(("order_id", "status", "note")[:width], b",")
    fast = parse_fast(text, shape, first_line=2)
    if fast:
        assert fast == parse_carefully(text[:fast.bytes_used], shape, first_line=2, is_last=True)
    return fast


@pytest.mark.parametrize("width", [1, 2])
def test_fast_equals_careful_on_all_short_texts(width):
    texts = [b"".join(pieces) + b"\n" for pieces in itertools.product([b'"', b",", b"a", b"\n"], repeat=5)]
    assert sum(check_fast_equals_careful(text, width) is not None for text in texts) > 50


@settings(deadline=None, max_examples=200)
@given(body=text_bytes, batch_rows=st.integers(1, 9), block_bytes=st.integers(1, 60),
       careful_bytes=st.integers(1, 60))
def test_sizes_change_nothing(file, body, batch_rows, block_bytes, careful_bytes):
    content = b"id,name\n" + body
    assume(not wide_encoding(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "CAREFUL_BYTES", careful_bytes)
        in_pieces = read(file, content, batch_rows=batch_rows, block_bytes=block_bytes)
    assert in_pieces == read(file, content)
