"""The steps from raw to curated: changes in batches, cleaned, checked and upserted by key."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lib.contract import SOURCES
from lib.ingest.reader import BATCH_BYTES
from lib.step.base import Step
from lib.step.frames import as_text, locate, name_rows, to_arrow
from lib.step.markers import Markers
from lib.step.parse import SYSTEM
from lib.step.phases import timed
from lib.step.prefetch import prefetch
from lib.step.raw_tables import SERIAL, columns_of
from lib.step.writer import Writer
from lib.storage import commits, manifest
from lib.storage.spool import spooled
from lib.storage.sql import quote, quoted

DELETED = "is_deleted"
PLACE = ["source_filename", "source_row"]
RUN_COLUMNS = ("batch_id", "process_name", "transformation_timestamp")


class CuratedStep(Step):
    """A step from raw to curated: changes in batches, cleaned, checked and upserted by key."""

    def begin(self, stack: ExitStack) -> None:
        super().begin(stack)
        self._first_row_ids = {source: 1 if self.is_full else new.first_row_id if new else None
                               for source, new in self.new.items()}
        for source, new in self.new.items():
            if new:  # these rows are checked now, perhaps again: after a crash, or in a full refresh
                self.output.delete("quarantine", "where source_name = ? and raw_row_id >= ?",
                                   (source, self._first_row_ids[source]))
        self._open_quarantines = commits.quarantined_tables(self.output)
        self._to_read = {source: 0 if first is None else commits.count_new_rows(self.input, source, first)
                         for source, first in self._first_row_ids.items()}
        self._markers = Markers()
        self._stamp = dict(zip(RUN_COLUMNS, (self.batch_id, self.spec.name, self.timestamp), strict=True))
        self.writer = Writer(self, self._stamp, keeps_replaced=True)

    def waiting(self) -> pd.DataFrame:
        """Return how many rows of each source this step is about to read, for a notebook to show."""
        since = "everything (full load)" if self.is_full else self.watermark.timestamp
        return pd.DataFrame({
            "source": self._to_read.keys(), "rows to read": self._to_read.values(), "newer than": since})

    @timed("read")
    def changes(self, source: str, clean: Callable[[pd.DataFrame], pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """Yield the rows of a source that are newer than the watermark, cleaned, in batches as they arrived.

        `clean` is given rows as delivered, with the `source_system` that says how to read them, and must keep
        their index. It is called at least once, with no rows when there is nothing new. Keys that a snapshot
        left out are not among the rows: `upsert` marks them as deleted.
        """
        self._source, done = source, 0
        in_raw, no_values = self._in_raw(source).names, pd.Series(dtype="str")
        delivered = [name for name in SOURCES[source].column_names if name in in_raw]
        missing = [name for name in SOURCES[source].column_names if name not in in_raw]  # new in the contract
        names = [SERIAL, *PLACE, *delivered, SYSTEM]
        self._report_progress(source, done)
        for rows in prefetch(self._read(source, names, self._first_row_ids[source])):
            frame = rows.to_pandas().set_index(SERIAL).assign(**dict.fromkeys(missing, no_values))
            is_deletion = frame["source_row"].isna()
            deleted_keys = frame.loc[is_deletion, SOURCES[source].key].str.strip()
            self._deletions = dict(zip(deleted_keys, frame.index[is_deletion], strict=True))
            self._batch = frame[~is_deletion].astype({"source_row": "int64"})
            with self.phases.phase("clean"):
                cleaned = clean(self._batch.drop(columns=PLACE))
            self._note_markers(cleaned)
            yield cleaned
            done += rows.num_rows
            self._report_progress(source, done)

    def _read(self, source: str, names: list[str], next_id: int | None) -> Iterator[pa.Table]:
        """Yield the rows from a row_id on, in batches of so many rows or, where rows are long, of so many
        bytes. Without one, yield an empty batch."""
        limit = self.parameters.batch_rows
        schema = pa.schema([self._in_raw(source).field(name) for name in names])
        if next_id is None or self.input.schema(source) is None:
            yield schema.empty_table()
            return
        for rows in _of_length(spooled(self.input, source, names, next_id) or (), limit):
            if rows.nbytes > BATCH_BYTES // 2:
                break  # as the layer is read, a batch may end earlier: what is replaced depends on that
            next_id = rows[SERIAL][-1].as_py() + 1 if rows.num_rows == limit else None
            yield rows
        sql = f"select {quoted(names)} from {quote(source)} where {SERIAL} >= ? order by {SERIAL} limit ?"
        while next_id is not None:
            with closing(self.input.batches(sql, schema, (next_id, limit))) as parts:
                rows, is_cut = _until_full(parts, schema)
            next_id = rows[SERIAL][-1].as_py() + 1 if is_cut or rows.num_rows == limit else None
            yield rows

    def _in_raw(self, source: str) -> pa.Schema:
        """Return the columns of a source in raw, which has no table of it before its first delivery."""
        return self.input.schema(source) or columns_of(SOURCES[source]).append(pa.field(SERIAL, pa.int64()))

    def _note_markers(self, cleaned: pd.DataFrame) -> None:
        found = cleaned["missing_markers"].dropna()
        if len(found):
            for cells, row_ids in found.index.to_series().groupby(found.array):
                self._markers.note(self._source, cells, len(row_ids), row_ids.min())

    def _place_of(self, source: str, row_id: int) -> tuple[str, int]:
        place = self.input.read(source, ["source_filename", "source_row"], f"where {SERIAL} = ?", (row_id,))
        return tuple(place.to_pylist()[0].values())

    @timed("write")
    def upsert(self, table: str, rows: pd.DataFrame, *, key: str, indexes: Sequence[str] = ()) -> None:
        """Write a batch's rows by key: the latest row of each key wins, and only what differs is written.

        Grain: one current row per key; `is_deleted` is 1 where a snapshot left the key out. Rows that are
        replaced are kept in `<table>_replaced` until the next rebuild: gold needs to know the days and
        customers they counted for.
        """
        count = self.count(table)
        count.read += len(self._batch)
        passed = rows.sort_index()
        kept = passed[~passed[key].duplicated(keep="last")]
        count.duplicates += len(passed) - len(kept)
        written = self.writer.write(table, to_arrow(kept.assign(**{DELETED: 0})), key)
        count.add(written, len(kept))
        if self._deletions or table in self._open_quarantines or count.quarantined:
            loaded = dict(zip(kept[key], kept.index, strict=True))
            commits.resolve_quarantined(self.output, table, loaded, self.batch_id)
            deleted = [name for name, row_id in self._deletions.items() if loaded.get(name, 0) < row_id]
            if deleted:
                self._mark_deleted(table, key, pa.array(deleted, pa.string()))
        self.index_later(table, *indexes)

    def describe_rows(self, rows: pd.DataFrame) -> list[str]:
        delivered = self._batch.loc[rows.index]
        return locate(delivered["source_filename"], delivered["source_row"], self._text_of(delivered))

    def name_rows(self, rows: pd.DataFrame) -> list[str]:
        delivered = self._batch.loc[rows.index]
        keys = rows[SOURCES[self._source].key]
        return name_rows(delivered["source_filename"], delivered["source_row"], keys)

    def refuse(self, suite: str, rows: pd.DataFrame, refused: pd.DataFrame) -> None:
        source, delivered = SOURCES[self._source], self._batch.loc[rows.index]
        self.set_aside(suite, pd.DataFrame({
            "source_name": source.name, "source_filename": delivered["source_filename"],
            "source_row": delivered["source_row"], "record_key": rows[source.key], "rule": refused["rule"],
            "reason": refused["reason"], "raw_text": self._text_of(delivered), "raw_row_id": rows.index},
            index=rows.index))

    def publish(self) -> dict:
        """Commit as every step does, unless too many rows of a delivery stayed refused."""
        self.warnings += self._markers.warnings(self._place_of)
        refused = self.output.read("quarantine", ["source_name", "source_filename", "raw_row_id"],
                                   "where batch_id = ? and resolved_batch_id is null", (self.batch_id,))
        for source, rows in refused.to_pandas().groupby("source_name"):
            if source in self.spec.inputs:
                for key, of_delivery in rows.groupby(["source_filename", self._delivered_at(source, rows)]):
                    self._check_delivery(source, *key, len(of_delivery))
        return super().publish()

    def _delivered_at(self, source: str, rows: pd.DataFrame) -> np.ndarray:
        """Return when raw has committed each row: a file of one name may have been delivered often."""
        commits = self.input.read("layer_commits", ["first_row_id", "committed_timestamp"],
                                  "where table_name = ? order by first_row_id", (source,)).to_pandas()
        place = np.searchsorted(commits["first_row_id"], rows["raw_row_id"], side="right") - 1
        return commits["committed_timestamp"].to_numpy()[place]

    def _check_delivery(self, source: str, filename: str, delivered_at: str, refused: int) -> None:
        found = self.input.read("deliveries", ["rows", "appended", "content_sha256"],
                                "where source_name = ? and source_filename = ? and ingestion_timestamp = ?",
                                (source, filename, delivered_at)).to_pandas()
        sha256 = found["content_sha256"].iloc[-1]
        accepted = partial(manifest.accepted_limit, self._log, self.spec.name, sha256)
        rest = "load the other rows" if refused < found["appended"].sum() else "set them aside and go on"
        self.warnings += self.quarantine.check_share(
            filename, refused, found["rows"].sum(), accepted,
            "The step has written nothing, not even of other files. Raw has read the file, so moving it away "
            "does not help: correct it and deliver it again; or raise --quarantine-limit to "
            f"{rest}.")

    def record(self) -> dict:
        return super().record() | {"samples": self.writer.samples.tables}

    def _text_of(self, delivered: pd.DataFrame) -> list[str]:
        return as_text(delivered.drop(columns=[*PLACE, SYSTEM]))

    def _report_progress(self, source: str, rows: int) -> None:
        sources = list(self._to_read)
        before = sum(self._to_read[other] for other in sources[:sources.index(source)])
        self.progress.say(source, rows, (before + rows) / max(1, sum(self._to_read.values())))

    def _mark_deleted(self, table: str, key: str, keys: pa.Array) -> None:
        names = [name for name in self.output.schema(table).names if name not in (SERIAL, *RUN_COLUMNS)]
        rows = self.output.matching(table, names, key, keys)
        rows = rows.filter(pc.equal(rows[DELETED], 0))
        deleted = pa.array([1] * rows.num_rows, pa.int64())
        rows = rows.set_column(rows.schema.get_field_index(DELETED), DELETED, deleted)
        # A deletion is no row that was read, so it counts as removed only.
        self.count(table).removed += self.writer.write(table, rows, key, is_deletion=True).changed


def _of_length(batches: Iterable[pa.RecordBatch], length: int) -> Iterator[pa.Table]:
    """Yield the rows of batches in tables of that length, and then those that are left."""
    kept: list[pa.RecordBatch] = []
    for batch in batches:
        done = 0
        while done < batch.num_rows:
            kept.append(batch.slice(done, length - sum(map(len, kept))))
            done += len(kept[-1])
            if sum(map(len, kept)) == length:
                yield pa.Table.from_batches(kept)
                kept = []
    if kept:
        yield pa.Table.from_batches(kept)


def _until_full(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> tuple[pa.Table, bool]:
    """Return rows up to the batch in which they reach BATCH_BYTES, and whether they have reached them."""
    kept, size = [], 0
    for batch in filter(len, batches):
        kept.append(batch)
        size += batch.nbytes
        if size >= BATCH_BYTES:
            return pa.Table.from_batches(kept, schema), True
    return pa.Table.from_batches(kept, schema), False
