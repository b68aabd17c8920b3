"""The raw step: deliveries in, rows that say something new appended."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from lib.contract import SOURCES, Source
from lib.errors import PipelineError
from lib.ingest import archive
from lib.ingest.deliveries import SETTLED_SECONDS, Delivery, find_deliveries, read_found
from lib.ingest.reader import SOURCE_ROW, Batch, Header, read_batches, read_header
from lib.step import drift, raw_tables
from lib.step.base import Count, Step, as_text, in_deliveries, to_arrow
from lib.step.phases import timed
from lib.step.prefetch import prefetch
from lib.step.raw_tables import SERIAL
from lib.storage.sql import quote

KEPT_BYTES = 128 << 20  # of a delivery's rows, that are kept while its keys are looked at


@dataclass(frozen=True)
class Reading:
    """A delivery that is being read, and what there was before it: the columns of its table, and the counts of its source."""

    delivery: Delivery
    path: Path
    header: Header
    profile: drift.Profile
    known_columns: list[str]
    before: dict[str, int]


class RawStep(Step):
    """The raw step: deliveries in, rows that say something new appended."""

    snapshots: set[str] = frozenset()
    snapshot_limit = 0.2
    settled_seconds = SETTLED_SECONDS

    @timed("open")
    def begin(self, stack: ExitStack) -> None:
        super().begin(stack)
        raw_tables.create_raw_tables(self.output)
        drift.create_tables(self.output)
        self._changes = {name: self._begin_change(name, SERIAL) for name in SOURCES}
        for name in SOURCES:
            self.count(name)
        found = read_found(self.reports / "runs" / self.batch_id)
        self.found = found if found is not None else find_deliveries(
            self.source, raw_tables.known_deliveries(self.output), self.settled_seconds)
        self._became: dict[str, dict[str, int]] = {}  # of each delivery read: what became of its rows
        self._beside = stack.enter_context(ThreadPoolExecutor(1))
        self._parsing: dict[str, Future[list[Batch]]] = {}  # by delivery: what `_beside` was given to parse
        self._stamp = {"batch_id": self.batch_id, "ingestion_timestamp": self.timestamp}

    def deliveries(self) -> list[Delivery]:
        """Return the deliveries to read, in the order in which they are applied."""
        return [delivery for delivery in self.found if delivery.is_to_read]

    @timed("read")
    def read(self, delivery: Delivery) -> Iterator[pd.DataFrame]:
        """Yield a delivery's rows in batches of text, each key once; then record the delivery in the manifest.

        Lines that are no rows go to the quarantine. Raises PipelineError when the file lacks a column, is no CSV, or
        changed while it was read.
        """
        reading = self._begin_delivery(delivery)
        source, count = SOURCES[delivery.source], self.count(delivery.source)
        kept = self._parsed(delivery)
        archived = self._beside.submit(self._archive, reading) if kept else None  # all of it has been read
        self._parse_next(delivery)
        superseded, rows_in_all = self._superseded(delivery, source, lambda: kept or self._batches(delivery, only=source.key))
        self._put_off_indexes()  # of the delivery before
        self._say_how_far(delivery, 0, rows_in_all)
        for batch in kept or prefetch(self._batches(delivery)):
            count.read += batch.rows.num_rows + batch.rejected.num_rows
            reading.profile.add(batch.rows)
            self._set_aside(batch.rejected.to_pandas())
            rows = batch.rows.to_pandas()
            if len(superseded):
                late = rows["source_row"].isin(superseded)
                count.duplicates += int(late.sum())
                rows = rows[~late]
            yield rows
            self._say_how_far(delivery, count.read - reading.before["read"], rows_in_all)
        archived.result() if archived else self._archive(reading)
        self._end_delivery(reading)

    def _batches(self, delivery: Delivery, only: str | None = None) -> Iterator[Batch]:
        return read_batches(delivery.path(self.source), self._header(delivery), self.batch_rows, only=only)

    def _header(self, delivery: Delivery) -> Header:
        names = SOURCES[delivery.source].column_names
        return read_header(delivery.path(self.source), names, names)

    def _parsed(self, delivery: Delivery) -> list[Batch]:
        """Return all of a delivery's batches if they can be kept; [] if not: it is then read twice, its keys first."""
        parsing = self._parsing.pop(delivery.name, None) or self._beside.submit(self._parse_once, delivery)
        return parsing.result()

    def _parse_next(self, delivery: Delivery) -> None:
        """Have the delivery that comes behind this one parsed while this one's rows are judged and written."""
        to_read = self.deliveries()
        for coming in to_read[to_read.index(delivery) + 1:][:1]:
            self._parsing[coming.name] = self._beside.submit(self._parse_once, coming)

    def _parse_once(self, delivery: Delivery) -> list[Batch]:
        kept, size = [], 0
        if delivery.size <= KEPT_BYTES:
            for batch in self._batches(delivery):
                kept.append(batch)
                size += batch.rows.nbytes
                if size > KEPT_BYTES:  # it was compressed
                    return []
        return kept

    def _archive(self, reading: Reading) -> None:
        if not archive.keep(self.warehouse, reading.path, reading.delivery.sha256):
            raise PipelineError(f"{reading.delivery.name} changed while it was read. Nothing was written; run again.")

    def _begin_delivery(self, delivery: Delivery) -> Reading:
        source, header = SOURCES[delivery.source], self._header(delivery)
        raw_tables.check_columns(delivery, header.names)
        self.output.execute("update quarantine set resolved_batch_id = ? where source_filename = ? "
                            "and resolved_batch_id is null", (self.batch_id, delivery.name))
        self._delivery = delivery
        change = self._changes[delivery.source]
        change.was_empty = change.rows_after == 0  # the files before this one count, those of this run too
        return Reading(delivery, delivery.path(self.source), header, drift.Profile(source), self.output.schema(source.name).names,
                       asdict(self.count(delivery.source)))

    def _end_delivery(self, reading: Reading) -> None:
        delivery, header, count = reading.delivery, reading.header, self.count(reading.delivery.source)
        done = Count(**{name: value - reading.before[name] for name, value in asdict(count).items()})
        done.verify(delivery.name)
        self.check_share(delivery.name, done.quarantined, done.read)
        deleted = self._apply_snapshot(delivery, done) if self._is_snapshot(delivery) else 0
        count.removed += deleted
        self._became[delivery.name] = {"rows": done.read, "appended": done.added, "unchanged": done.unchanged,
                                       "duplicates": done.duplicates, "quarantined": done.quarantined, "deleted": deleted}
        self.output.insert("deliveries", pa.Table.from_pylist([dict(
            source_name=delivery.source, source_filename=delivery.name, size_bytes=delivery.size,
            content_sha256=delivery.sha256, **self._stamp, **self._became[delivery.name],
            is_snapshot=int(self._is_snapshot(delivery)), notes="; ".join(header.notes))], schema=raw_tables.MANIFEST))
        self._indexes.append((delivery.source, SOURCES[delivery.source].key, False))
        self.reached = self.timestamp
        self.warnings += [f"{delivery.name}: {note}" for note in header.notes]
        for name in header.extra:
            is_known = name in reading.known_columns
            self.warnings.append(f"{delivery.name}: column {name} is {'' if is_known else 'new, and '}not in the contract; "
                                 "kept in raw only")
        self.warnings += drift.compare(self.output, delivery.name, reading.profile, self.batch_id)

    def _superseded(self, delivery: Delivery, source: Source, parse: Callable[[], Iterable[Batch]]) -> tuple[pd.Index, int]:
        """Return the `source_row` numbers of a file whose key a later row repeats, and how many rows it has.

        A snapshot's keys are put aside, too.
        """
        rows = 0

        def keys() -> Iterator[pa.Table]:
            nonlocal rows
            rows = 0
            for batch in parse():
                rows += batch.rows.num_rows
                yield batch.rows.select([source.key, SOURCE_ROW])

        if not self._is_snapshot(delivery) and not raw_tables.may_repeat(self.work, keys(), source.key):
            return pd.Index([]), rows
        raw_tables.put_delivered_keys(self.work, keys(), source.key)
        return pd.Index(raw_tables.superseded_rows(self.work)), rows

    @timed("write")
    def append(self, delivery: Delivery, rows: pd.DataFrame) -> None:
        """Append those of the rows that say something new (see lib.step.raw_tables)."""
        count, source = self.count(delivery.source), SOURCES[delivery.source]
        table = to_arrow(rows)
        appended = raw_tables.append_new_versions(self.output, self._compare, self._changes[source.name], delivery, table, self._stamp)
        count.added += appended
        count.unchanged += table.num_rows - appended

    def describe_rows(self, rows: pd.DataFrame) -> list[str]:
        return in_deliveries([self._delivery.name] * len(rows), rows["source_row"], as_text(rows.drop(columns="source_row")))

    def quarantine(self, suite: str, rows: pd.DataFrame, refused: pd.DataFrame) -> None:
        text = as_text(rows.drop(columns="source_row"))
        self._set_aside(pd.DataFrame({"source_row": rows["source_row"], "raw_text": text, "rule": refused["rule"],
                                      "reason": refused["reason"]}))

    def manifest(self) -> pd.DataFrame:
        """Return what was found in the source folder, one row per file, for a notebook to show."""
        return pd.DataFrame([{"delivery": d.name, "status": d.status, "bytes": d.size, "note": d.note} for d in self.found],
                            columns=["delivery", "status", "bytes", "note"])

    def record(self) -> dict:
        return super().record() | {"deliveries": [
            asdict(delivery) | {"rows": None} | self._became.get(delivery.name, {}) for delivery in self.found]}

    def _set_aside(self, bad: pd.DataFrame) -> None:
        self.put_into_quarantine(self._delivery.source, bad.assign(
            source_name=self._delivery.source, source_filename=self._delivery.name))

    def _say_how_far(self, delivery: Delivery, rows: int, rows_in_all: int) -> None:
        """Count by size, which is known beforehand of every delivery, and within one by its rows."""
        to_read = self.deliveries()
        before = sum(other.size for other in to_read[:to_read.index(delivery)])
        done = min(rows / rows_in_all, 1.0) if rows_in_all else 0.0  # rejected lines are not among all rows
        self.progress.say(delivery.name, rows, (before + delivery.size * done) / max(1, sum(other.size for other in to_read)))

    def _is_snapshot(self, delivery: Delivery) -> bool:
        return delivery.is_snapshot or delivery.source in self.snapshots

    def _apply_snapshot(self, delivery: Delivery, done: Count) -> int:
        if done.quarantined:
            self.warnings.append(f"{delivery.name}: {done.quarantined} rows could not be read, so what is missing from this "
                                 "snapshot is not known: nothing was deleted")
            return 0
        return self._delete_missing(delivery)

    def _delete_missing(self, delivery: Delivery) -> int:
        """Append a deletion for each key that a snapshot lacks; return how many."""
        source = SOURCES[delivery.source]
        self._compare.register("live", raw_tables.live_keys(self.output, source))
        missing = self._compare.sql(
            f"select {quote(source.key)} from live anti join delivered_keys on {quote(source.key)} = record_key "
            "order by 1").to_arrow_table().column(0)
        live = self._compare.execute("select count(*) from live").fetchall()[0][0]
        self._compare.unregister("live")
        self._check_snapshot(delivery, len(missing), live)
        return raw_tables.append_deletions(self.output, self._changes[source.name], delivery, missing, self._stamp)

    def _check_snapshot(self, delivery: Delivery, missing: int, live: int) -> None:
        if missing > self.snapshot_limit * live:
            raise PipelineError(
                f"{delivery.name}: as a snapshot it would delete {missing:,} of {live:,} {delivery.source}, more than "
                f"{self.snapshot_limit:.0%}. Nothing was written. If the file is complete, raise --snapshot-limit.")
