"""The steps from raw to curated: changes in batches, cleaned, checked and upserted by key."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lib.contract import SOURCES
from lib.step.base import as_text, in_deliveries, to_arrow
from lib.step.phases import timed
from lib.step.prefetch import prefetch
from lib.step.raw_tables import SERIAL
from lib.step.upserts import WritingStep
from lib.storage import audit, commits
from lib.storage.sql import quote

DELETED = "is_deleted"
REPLACED_SERIAL = "replaced_row_id"  # of a before-image: the number that the row had
RUN_COLUMNS = ("batch_id", "process_name", "transformation_timestamp")


class CuratedStep(WritingStep):
    """A step from raw to curated: changes in batches, cleaned, checked and upserted by key."""

    serial = SERIAL

    def begin(self, stack: ExitStack) -> None:
        super().begin(stack)
        for source, new in self._new.items():
            if new:  # these rows are judged now, perhaps again: after a crash, or in a full refresh
                self.output.execute("delete from quarantine where source_name = ? and raw_row_id >= ?",
                                    (source, 1 if self.is_full else new.first_row_id))
        self._quarantined = commits.quarantined_tables(self.output)
        self._to_read = {source: 0 if not (self.is_full or new) else commits.count_new_rows(
            self.input, source, 1 if self.is_full else new.first_row_id) for source, new in self._new.items()}
        self.stamp = dict(zip(RUN_COLUMNS, (self.batch_id, self.spec.name, self.timestamp), strict=True))

    @timed("read")
    def changes(self, source: str, clean: Callable[[pd.DataFrame], pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """Yield the rows of a source that are newer than the watermark, in batches in order of arrival, as `clean` makes them.

        `clean` is given rows as delivered, whose index tells them apart: it keeps that. It is called at least once, with no rows
        when there is nothing new. Keys that a snapshot left out are not rows: `upsert` marks them deleted.
        """
        self._source, self._batch, new = source, None, self._new[source]
        in_raw = self.input.schema(source).names
        delivered = [name for name in SOURCES[source].column_names if name in in_raw]
        never_delivered = [name for name in SOURCES[source].column_names if name not in in_raw]  # new in the contract
        names = [SERIAL, "source_filename", "source_row", *delivered]
        first_row_id, done = 1 if self.is_full else new.first_row_id if new else None, 0
        self._say_how_far(source, done)
        for rows in prefetch(self._read(source, names, first_row_id)):
            frame = rows.to_pandas().set_index(SERIAL).assign(**dict.fromkeys(never_delivered, pd.Series(dtype="str")))
            gone = frame["source_row"].isna()
            self._deletions = dict(zip(frame.loc[gone, SOURCES[source].key].str.strip(), frame.index[gone], strict=True))
            self._batch = frame[~gone].astype({"source_row": "int64"})
            with self.phases.phase("clean"):
                cleaned = clean(self._batch.drop(columns=["source_filename", "source_row"]))
            yield cleaned
            done += rows.num_rows
            self._say_how_far(source, done)

    def _read(self, source: str, names: list[str], next_id: int | None) -> Iterator[pa.Table]:
        is_first = True
        while is_first or next_id is not None:
            rows = self.input.read(source, names, f"where {SERIAL} >= ? order by {SERIAL} limit ?",
                                   (next_id, self.batch_rows) if next_id is not None else (1, 0))
            next_id, is_first = rows[SERIAL][-1].as_py() + 1 if rows.num_rows == self.batch_rows else None, False
            yield rows

    def waiting(self) -> pd.DataFrame:
        """Return how many rows of each source this step is about to read, for a notebook to show."""
        since = "everything (full load)" if self.is_full else self.watermark.timestamp
        return pd.DataFrame({"source": self._to_read.keys(), "rows to read": self._to_read.values(), "newer than": since})

    @timed("write")
    def upsert(self, table: str, rows: pd.DataFrame, *, key: str, indexes: Sequence[str] = ()) -> None:
        """Write a batch's rows by key: the latest version of each wins, and only what differs is written.

        Grain: one current row per key; `is_deleted` is 1 where a snapshot left the key out. Rows that are replaced are
        kept in `<table>_replaced` until the next rebuild: the steps behind need the days and customers they stood for.
        """
        count = self.count(table)
        count.read += len(self._batch)
        passed = rows.sort_index()
        kept = passed[~passed[key].duplicated(keep="last")]
        count.duplicates += len(passed) - len(kept)
        before = count.added + count.changed
        self._write(table, to_arrow(kept.assign(**{DELETED: 0})), key)
        count.unchanged += len(kept) - (count.added + count.changed - before)
        if self._deletions or table in self._quarantined or count.quarantined:
            last_said = dict(zip(kept[key], kept.index, strict=True))
            commits.resolve_quarantined(self.output, table, last_said, self.batch_id)
            gone = [name for name, row_id in self._deletions.items() if last_said.get(name, 0) < row_id]
            if gone:
                self._mark_deleted(table, key, pa.array(gone, pa.string()))
        self._indexes += [(table, column, False) for column in indexes]

    def describe_rows(self, rows: pd.DataFrame) -> list[str]:
        delivered = self._batch.loc[rows.index]
        text = as_text(delivered.drop(columns=["source_filename", "source_row"]))
        return in_deliveries(delivered["source_filename"], delivered["source_row"], text)

    def quarantine(self, suite: str, rows: pd.DataFrame, refused: pd.DataFrame) -> None:
        source = SOURCES[self._source]
        delivered = self._batch.loc[rows.index]
        text = as_text(delivered.drop(columns=["source_filename", "source_row"]))
        self.put_into_quarantine(suite, pd.DataFrame({
            "source_name": source.name, "source_filename": delivered["source_filename"], "source_row": delivered["source_row"],
            "record_key": rows[source.key], "rule": refused["rule"], "reason": refused["reason"], "raw_text": text,
            "raw_row_id": rows.index}, index=rows.index))

    def publish(self) -> dict:
        """Commit as every step does, unless too large a share of a delivery was refused and not mended by a later row."""
        refused = self.output.read(
            "quarantine", ["source_name", "source_filename"], "where batch_id = ? and resolved_batch_id is null", (self.batch_id,))
        since = audit.INITIAL if self.is_full else self.watermark.timestamp
        for (source, filename), rows in refused.to_pandas().groupby(["source_name", "source_filename"]):
            if source in self.spec.inputs:
                delivered = self.input.scalar("select sum(rows) from deliveries where source_filename = ? "
                                              "and ingestion_timestamp > ?", (filename, since))
                self.check_share(filename, len(rows), delivered)
        return super().publish()

    def _say_how_far(self, source: str, rows: int) -> None:
        sources = list(self._to_read)
        before = sum(self._to_read[other] for other in sources[:sources.index(source)])
        self.progress.say(source, rows, (before + rows) / max(1, sum(self._to_read.values())))

    def _mark_deleted(self, table: str, key: str, keys: pa.Array) -> None:
        names = [name for name in self.output.schema(table).names if name not in (*self.stamp, SERIAL)]
        rows = self.output.matching(table, names, key, keys)
        rows = rows.filter(pc.equal(rows[DELETED], 0))
        count, before = self.count(table), self.count(table).changed
        deleted = pa.array([1] * rows.num_rows, pa.int64())
        self._write(table, rows.set_column(rows.schema.get_field_index(DELETED), DELETED, deleted), key, is_deletion=True)
        count.removed += rows.num_rows
        count.changed = before  # a deletion is no row that was read

    def _replace(self, change: commits.TableChange, replaced: pa.Table, key: str) -> None:
        super()._replace(change, replaced, key)
        if replaced.num_rows:
            history = f"{change.table}_replaced"
            rows = replaced.rename_columns({SERIAL: REPLACED_SERIAL})
            if history not in self._changes:
                self.output.create_table(history, rows.schema.append(pa.field("replaced_timestamp", pa.string())), serial=SERIAL)
                self._changes[history] = self._begin_change(history, SERIAL)
            self._changes[history].added += rows.num_rows
            self.output.insert(history, commits.numbered(self._changes[history], SERIAL, rows), {"replaced_timestamp": self.timestamp})

    def _clear(self, table: str) -> None:
        super()._clear(table)
        if self.output.schema(f"{table}_replaced") is not None:
            self.output.execute(f"delete from {quote(f'{table}_replaced')}")
