"""Read one delivery on a cluster: the same rows and rejected lines as `lib.ingest.reader.read_batches` and
`lib.ingest.total_row` yield, in any order.

The workers open the file themselves, so it must have the same path on each of them as on the driver.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.types import LongType, StringType, StructField, StructType

from lib.contract import Source
from lib.errors import PipelineError
from lib.ingest.header import SOURCE_ROW, Header
from lib.ingest.reader import Batch, Unfinished, read_batches
from lib.ingest.records import REJECTED as REJECTED_LINES
from lib.ingest.total_row import (
    AMOUNT,
    EXACT,
    KEYS_COMPARED,
    MAY_BE_TOTAL,
    Sum,
    find_total,
    name_totals,
    rejected_total,
)
from lib.spark.parts import PART_BYTES, Part, Scan, can_be_cut, cut, read_part, scan, stretches
from lib.spark.sql import column

# Columns of a rejected line, null in a row. Their names have a space, which no delivered column's name has.
REJECTED = {"rejected text": "raw_text", "rejected rule": "rule", "rejected reason": "reason"}
_, RULE, REASON = REJECTED
# In place of a rule: the file must not be cut after this part, or the part cannot be read.
UNFINISHED, FAILED = "unfinished part", "failed part"
SCANNED = pa.schema([("number", pa.int64()), ("quotes", pa.int64()), ("line_ends", pa.int64()),
                     ("even_cut", pa.int64()), ("even_lines", pa.int64()), ("odd_cut", pa.int64()),
                     ("odd_lines", pa.int64()), ("error", pa.string())])


@dataclass(frozen=True)
class Delivered:
    """What a delivery contains, as frames that are read from the file only once.

    rows and rejected: as `lib.ingest.total_row.set_total_aside` yields them.
    """

    rows: DataFrame
    rejected: DataFrame
    row_count: int
    rejected_count: int
    last_row: int  # the highest `source_row`, 0 if there is none
    empty: dict[str, int]  # how many rows leave a column empty


@contextmanager
def read_delivery(spark: SparkSession, path: Path, header: Header,
                  part_bytes: int = PART_BYTES) -> Iterator[Delivered]:
    """Read a delivery and keep its rows while the context is open; the size of a part does not change them.

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
        about = [sf.col(name).alias(alias) for name, alias in REJECTED.items()]
        delivered = Delivered(
            lines.where(is_row).drop(*REJECTED), lines.where(~is_row).select(SOURCE_ROW, *about),
            found.rows, found.rejected, found.last_line or 0, found.empty)
        yield _set_total_aside(spark, delivered, header.source, found.last_row)
    finally:
        lines.unpersist()


@contextmanager
def collect_delivery(spark: SparkSession, batches: Iterable[Batch], header: Header) -> Iterator[Delivered]:
    """Give a delivery that the driver reads to the cluster, and keep its rows while the context is open."""
    names = [*_names(header), SOURCE_ROW]
    read = list(batches)
    rows = pa.concat_tables([batch.rows.select(names) for batch in read] or [_empty(names)])
    rejected = pa.concat_tables([REJECTED_LINES.empty_table(), *(batch.rejected for batch in read)])
    frame = spark.createDataFrame(rows, _struct(rows.schema)).persist()
    try:
        last = [pc.max(lines[SOURCE_ROW]).as_py() or 0 for lines in (rows, rejected)]
        yield Delivered(
            frame, spark.createDataFrame(rejected, _struct(rejected.schema)), rows.num_rows,
            rejected.num_rows, max(last), {name: rows[name].null_count for name in _names(header)})
    finally:
        frame.unpersist()


def _empty(names: Iterable[str]) -> pa.Table:
    return pa.schema([(name, pa.int64() if name == SOURCE_ROW else pa.string())
                      for name in names]).empty_table()


def find_parts(spark: SparkSession, path: Path, header: Header, part_bytes: int) -> list[Part]:
    """Return the parts in which a file may be parsed; a file of several parts is scanned on the cluster."""
    ends = stretches(path, header, part_bytes)
    if len(ends) < 2:
        return cut(header, ends, [Scan(0, 0, (None, None))])

    def scan_stretches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number in _numbers(batches):
            try:
                found = scan(path, *ends[number])
                cuts = [value for each in found.cuts for value in each or (None, None)]
                values = [number, found.quotes, found.line_ends, *cuts, None]
            except PipelineError as error:
                values = [number, *[None] * 6, str(error)]
            yield pa.RecordBatch.from_pylist([dict(zip(SCANNED.names, values, strict=True))], SCANNED)

    scanned = sorted(_each(spark, len(ends)).mapInArrow(scan_stretches, _struct(SCANNED)).collect())
    if error := next((row.error for row in scanned if row.error), None):
        raise PipelineError(error)
    return cut(header, ends, [Scan(row.quotes, row.line_ends, (
        None if row.even_cut is None else (row.even_cut, row.even_lines),
        None if row.odd_cut is None else (row.odd_cut, row.odd_lines))) for row in scanned])


def _parse(spark: SparkSession, path: Path, header: Header, parts: list[Part]) -> DataFrame:
    """Return a file's rows and rejected lines as one frame; without parts, the file is read in one piece."""
    names = [*_names(header), SOURCE_ROW, *REJECTED]
    schema = pa.schema([(name, pa.int64() if name == SOURCE_ROW else pa.string()) for name in names])

    def parse_parts(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number in _numbers(batches):
            try:
                for batch in read_part(path, header, parts[number]) if parts else read_batches(path, header):
                    yield from _lines(batch, schema)
            except Unfinished:
                yield _message(schema, UNFINISHED)
            except PipelineError as error:
                yield _message(schema, FAILED, str(error))

    return _each(spark, len(parts) or 1).mapInArrow(parse_parts, _struct(schema))


def _struct(schema: pa.Schema) -> StructType:
    return StructType([StructField(field.name, StringType() if field.type == pa.string() else LongType())
                       for field in schema])


def _lines(batch: Batch, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    rejected = batch.rejected.rename_columns([SOURCE_ROW, *REJECTED])
    for lines in (batch.rows, rejected):
        names = lines.column_names
        columns = [lines[field.name] if field.name in names else pa.nulls(len(lines), field.type)
                   for field in schema]
        yield from pa.table(columns, schema=schema).to_batches()


def _message(schema: pa.Schema, rule: str, reason: str | None = None) -> pa.RecordBatch:
    """Return a message of a part to the driver, as a rejected line: an exception would end the whole job."""
    return pa.RecordBatch.from_pylist([{RULE: rule, REASON: reason}], schema)


@dataclass(frozen=True)
class _Found:
    rows: int
    rejected: int
    last_line: int | None
    last_row: Row | None
    unfinished: int
    error: str | None
    empty: dict[str, int]


def _count(lines: DataFrame, header: Header) -> _Found:
    rule, names = sf.col(RULE), _names(header)
    found = lines.agg(
        sf.count_if(rule.isNull()), sf.count_if(rule.isNotNull()), sf.max(SOURCE_ROW),
        sf.max_by(sf.struct(*map(column, [*names, SOURCE_ROW])), sf.when(rule.isNull(), sf.col(SOURCE_ROW))),
        sf.count_if(rule == UNFINISHED), sf.max(sf.when(rule == FAILED, sf.col(REASON))),
        *(sf.count_if(rule.isNull() & column(name).isNull()) for name in names)).first()
    return _Found(*found[:6], dict(zip(names, found[6:], strict=True)))


def _names(header: Header) -> tuple[str, ...]:
    """Return the columns of a delivery's rows."""
    return (*header.names, *header.absent)


def _set_total_aside(spark: SparkSession, found: Delivered, source: Source, last: Row | None) -> Delivered:
    """Return a delivery with its totals among the rejected lines."""
    if last is None:
        return found
    fields = last.asDict()
    above = found.rows.where(sf.col(SOURCE_ROW) < fields[SOURCE_ROW])
    may_be = above.where(column(source.key).rlike(f"(?iu){MAY_BE_TOTAL}"))
    totals = name_totals([row.asDict() for row in may_be.collect()], source)
    lines = [row[SOURCE_ROW] for row, _ in totals]
    others = above.where(~sf.col(SOURCE_ROW).isin(lines)) if lines else above
    reason = find_total(fields, source, lambda name: _add_up(others, name), lambda: [
        row[0] for row in others.select(source.key).limit(KEYS_COMPARED).collect()])
    rows = others
    if reason is None:
        rows = found.rows.where(~sf.col(SOURCE_ROW).isin(lines)) if lines else found.rows
    else:
        totals.append((fields, reason))
    if not totals:
        return found
    rejected = [line for total in totals for line in rejected_total(*total).to_pylist()]
    empty = {name: count - sum(row[name] is None for row, _ in totals) for name, count in found.empty.items()}
    return Delivered(
        rows, found.rejected.unionByName(spark.createDataFrame(rejected, found.rejected.schema)),
        found.row_count - len(totals), found.rejected_count + len(totals), found.last_row, empty)


def _add_up(rows: DataFrame, name: str) -> Sum:
    text = sf.trim(column(name))
    is_amount = text.rlike(f"^{AMOUNT}$")
    amount = sf.when(is_amount, text.cast(f"decimal({EXACT.precision},{EXACT.scale})"))
    total, count, unread = rows.agg(
        sf.sum(amount), sf.count("*"), sf.count_if(column(name).isNotNull() & ~is_amount)).first()
    return Sum(total or Decimal(0), count, unread)


def _each(spark: SparkSession, tasks: int) -> DataFrame:
    """Return a frame with the numbers from 0 to `tasks` - 1, each in a task of its own."""
    return spark.range(0, tasks, 1, tasks)


def _numbers(batches: Iterator[pa.RecordBatch]) -> Iterator[int]:
    for batch in batches:
        yield from batch.column(0).to_pylist()
