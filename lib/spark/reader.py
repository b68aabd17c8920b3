"""Read one delivery on a cluster: the same rows and rejected lines as `lib.ingest.reader.read_batches`, in no order.

The workers open the file themselves: it must lie in the same place for each of them, as it does for the driver.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.types import LongType, StringType, StructField, StructType

from lib.errors import PipelineError
from lib.ingest.reader import Batch, Header, Unfinished, read_batches
from lib.spark.parts import PART_BYTES, Part, Scan, can_be_cut, cut, read_part, scan, stretches
from lib.spark.sql import column

# Names with a space, which no delivered column's name has. A line that is no row has them, a row has nulls there.
REJECTED = {"rejected text": "raw_text", "rejected rule": "rule", "rejected reason": "reason"}
TEXT, RULE, REASON = REJECTED
UNFINISHED, FAILED = "unfinished part", "failed part"  # in place of a rule: the part should not have been cut so, or not be read
SCANNED = pa.schema([("number", pa.int64()), ("quotes", pa.int64()), ("line_ends", pa.int64()), ("even_cut", pa.int64()),
                     ("even_lines", pa.int64()), ("odd_cut", pa.int64()), ("odd_lines", pa.int64()), ("error", pa.string())])


@dataclass(frozen=True)
class Delivered:
    """What a delivery holds, as frames that are read from the file once.

    rows: the header's names, all text, an empty field null; and `source_row`, the physical line where the row begins.
    rejected: source_row, raw_text (a line without its end), rule (field_count, quote or nul_byte), reason.
    """

    rows: DataFrame
    rejected: DataFrame
    row_count: int
    rejected_count: int
    last_row: int  # the highest `source_row`, 0 if there is none
    empty: dict[str, int]  # how many rows leave a column empty


@contextmanager
def read_delivery(spark: SparkSession, path: Path, header: Header, part_bytes: int = PART_BYTES) -> Iterator[Delivered]:
    """Give what a delivery holds until the context is left; the size of a part changes nothing else.

    Raises PipelineError if a worker cannot read the file, or if it has a line that is too long.
    """
    parts = find_parts(spark, path, header, part_bytes) if can_be_cut(path, header) else []
    lines = _parse(spark, path, header, parts).persist()
    found = _count(lines, header)
    if found.unfinished:
        lines.unpersist()
        lines = _parse(spark, path, header, []).persist()
        found = _count(lines, header)
    try:
        if found.error:
            raise PipelineError(found.error)
        is_row = sf.col(RULE).isNull()
        yield Delivered(
            lines.where(is_row).drop(*REJECTED), lines.where(~is_row).select("source_row", *(
                sf.col(name).alias(alias) for name, alias in REJECTED.items())),
            found.rows, found.rejected, found.last_row or 0, found.empty)
    finally:
        lines.unpersist()


def find_parts(spark: SparkSession, path: Path, header: Header, part_bytes: int) -> list[Part]:
    """Return the parts in which a file may be parsed; what is in it is looked at on the cluster if they are several."""
    ends = stretches(path, header, part_bytes)
    if len(ends) < 2:
        return cut(header, ends, [Scan(0, 0, (None, None))])

    def scan_stretches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number in _numbers(batches):
            try:
                found = scan(path, *ends[number])
                cuts = [value for place in found.cuts for value in place or (None, None)]
                values = [number, found.quotes, found.line_ends, *cuts, None]
            except PipelineError as error:
                values = [number, *[None] * 6, str(error)]
            yield pa.RecordBatch.from_pylist([dict(zip(SCANNED.names, values, strict=True))], SCANNED)

    columns = [StructField(field.name, StringType() if field.type == pa.string() else LongType()) for field in SCANNED]
    scanned = sorted(_each(spark, len(ends)).mapInArrow(scan_stretches, StructType(columns)).collect())
    if error := next((row.error for row in scanned if row.error), None):
        raise PipelineError(error)
    return cut(header, ends, [Scan(row.quotes, row.line_ends, (
        None if row.even_cut is None else (row.even_cut, row.even_lines),
        None if row.odd_cut is None else (row.odd_cut, row.odd_lines))) for row in scanned])


def _parse(spark: SparkSession, path: Path, header: Header, parts: list[Part]) -> DataFrame:
    """Return the lines of a file that are rows and those that are none; without parts, it is read in one piece."""
    names = [*header.names, "source_row", *REJECTED]
    schema = pa.schema([(name, pa.int64() if name == "source_row" else pa.string()) for name in names])

    def parse_parts(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number in _numbers(batches):
            try:
                for batch in read_part(path, header, parts[number]) if parts else read_batches(path, header):
                    yield from _lines(batch, schema)
            except Unfinished:
                yield _said(schema, UNFINISHED)
            except PipelineError as error:
                yield _said(schema, FAILED, str(error))

    columns = [StructField(field.name, StringType() if field.type == pa.string() else LongType()) for field in schema]
    return _each(spark, len(parts) or 1).mapInArrow(parse_parts, StructType(columns))


def _lines(batch: Batch, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    rejected = batch.rejected.rename_columns(["source_row", *REJECTED])
    for lines in (batch.rows, rejected):
        columns = [lines[field.name] if field.name in lines.column_names else pa.nulls(lines.num_rows, field.type) for field in schema]
        yield from pa.table(columns, schema=schema).to_batches()


def _said(schema: pa.Schema, rule: str, reason: str | None = None) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{RULE: rule, REASON: reason}], schema)


@dataclass(frozen=True)
class _Found:
    rows: int
    rejected: int
    last_row: int | None
    unfinished: int
    error: str | None
    empty: dict[str, int]


def _count(lines: DataFrame, header: Header) -> _Found:
    rule = sf.col(RULE)
    found = lines.agg(
        sf.count_if(rule.isNull()), sf.count_if(rule.isNotNull()), sf.max("source_row"), sf.count_if(rule == UNFINISHED),
        sf.max(sf.when(rule == FAILED, sf.col(REASON))),
        *(sf.count_if(rule.isNull() & column(name).isNull()) for name in header.names)).first()
    return _Found(*found[:5], dict(zip(header.names, found[5:], strict=True)))


def _each(spark: SparkSession, tasks: int) -> DataFrame:
    """Return a frame of the numbers from 0 on, each in a task of its own."""
    return spark.range(0, tasks, 1, tasks)


def _numbers(batches: Iterator[pa.RecordBatch]) -> Iterator[int]:
    for batch in batches:
        yield from batch.column(0).to_pylist()
