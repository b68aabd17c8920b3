"""The raw step: reads deliveries and appends the rows that differ from what is known."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa

from lib.contract import SOURCES, Source
from lib.errors import PipelineError
from lib.ingest import archive, repeated_header, total_row
from lib.ingest.deliveries import Delivery, find_deliveries, read_found
from lib.ingest.header import SOURCE_ROW, Header, read_header
from lib.ingest.reader import Batch, read_batches
from lib.step import drift, raw_tables
from lib.step.base import Step
from lib.step.counts import Count
from lib.step.frames import ROW_TEXT, as_text, locate, to_arrow
from lib.step.phases import timed
from lib.step.prefetch import prefetch
from lib.step.raw_tables import SERIAL
from lib.storage.sql import quote

NO_ROWS = (repeated_header.RULE, total_row.RULE)  # rules of lines that hide no key and spoil no export
KEPT_BYTES = 128 << 20  # a delivery with more is read twice, its keys first, instead of being kept in memory


@dataclass(frozen=True)
class Reading:
    """A delivery that is being read, and its table's columns and its source's counts before it."""

    delivery: Delivery
    path: Path
    header: Header
    profile: drift.Profile
    known_columns: list[str]
    before: dict[str, int]


class RawStep(Step):
    """The raw step: reads deliveries and appends their rows where they differ from what is known."""

    @timed("open")
    def begin(self, stack: ExitStack) -> None:
        super().begin(stack)
        raw_tables.create_raw_tables(self.output)
        drift.create_tables(self.output)
        for name in SOURCES:
            self.begin_change(name, SERIAL)
            self.count(name)
        found = read_found(self.run_folder)
        self.found = found if found is not None else find_deliveries(
            self.source, raw_tables.known_deliveries(self.output), self.parameters.settled_seconds)
        self._results: dict[str, dict[str, int]] = {}  # of each delivery read: what became of its rows
        self._reader = stack.enter_context(ThreadPoolExecutor(1))
        self._parsing: dict[str, Future[list[Batch]]] = {}  # by delivery: what the reader is parsing
        self._stamp = {"batch_id": self.batch_id, "ingestion_timestamp": self.timestamp}

    def deliveries(self) -> list[Delivery]:
        """Return the deliveries to read, in the order in which they are applied."""
        return [delivery for delivery in self.found if delivery.is_to_read]

    @timed("read")
    def read(self, delivery: Delivery) -> Iterator[pd.DataFrame]:
        """Yield a delivery's rows in batches of text, each key once; then record the delivery.

        Lines that are no rows go to the quarantine. Raises PipelineError when the file lacks a column, is no
        CSV, or changed while it was read.
        """
        reading = self._begin_delivery(delivery)
        source, count = SOURCES[delivery.source], self.count(delivery.source)
        kept = self._parsed(delivery)
        archived = self._reader.submit(self._archive, reading) if kept else None  # all of it has been read
        self._parse_next(delivery)
        superseded, rows_in_all = self._superseded(
            delivery, source, lambda: kept or self._batches(delivery, only=source.key))
        self._submit_indexes()  # of the previous delivery
        self._report_progress(delivery, 0, rows_in_all)
        for batch in kept or prefetch(self._batches(delivery)):
            count.read += batch.rows.num_rows + batch.rejected.num_rows
            reading.profile.add(batch.rows)
            self._reject(batch.rejected.to_pandas())
            rows = batch.rows.to_pandas()
            if len(superseded):
                is_superseded = rows["source_row"].isin(superseded)
                count.duplicates += int(is_superseded.sum())
                rows = rows[~is_superseded]
            yield rows
            self._report_progress(delivery, count.read - reading.before["read"], rows_in_all)
        archived.result() if archived else self._archive(reading)
        self._end_delivery(reading)

    def _batches(self, delivery: Delivery, only: str | None = None) -> Iterator[Batch]:
        read = partial(read_batches, delivery.path(self.source), self._header(delivery),
                       self.parameters.batch_rows)
        if only:
            return read(only=only)
        return total_row.set_total_aside(read(), SOURCES[delivery.source], lambda name: read(only=name))

    def _header(self, delivery: Delivery) -> Header:
        return read_header(delivery.path(self.source), SOURCES[delivery.source])

    def _parsed(self, delivery: Delivery) -> list[Batch]:
        """Return a delivery's batches if memory can keep them, else []: it is then read twice, keys first."""
        parsing = self._parsing.pop(delivery.name, None) or self._reader.submit(self._parse_once, delivery)
        return parsing.result()

    def _parse_next(self, delivery: Delivery) -> None:
        """Have the next delivery parsed while this one's rows are checked and written."""
        to_read = self.deliveries()
        for following in to_read[to_read.index(delivery) + 1:][:1]:
            self._parsing[following.name] = self._reader.submit(self._parse_once, following)

    def _parse_once(self, delivery: Delivery) -> list[Batch]:
        kept, size = [], 0
        if delivery.size <= KEPT_BYTES:
            for batch in self._batches(delivery):
                kept.append(batch)
                size += batch.rows.nbytes
                if size > KEPT_BYTES:  # the file is compressed, so its own size did not tell
                    return []
        return kept

    def _archive(self, reading: Reading) -> None:
        if not archive.keep(self.warehouse, reading.path, reading.delivery.sha256):
            name = reading.delivery.name
            raise PipelineError(f"{name} changed while it was read. Nothing was written; run again.")

    def _begin_delivery(self, delivery: Delivery) -> Reading:
        source, header = SOURCES[delivery.source], self._header(delivery)
        raw_tables.check_columns(delivery, header.names)
        self.output.execute("update quarantine set resolved_batch_id = ? where source_filename = ? "
                            "and resolved_batch_id is null", (self.batch_id, delivery.name))
        self._delivery = delivery
        self._rejected: dict[str, tuple[int, str]] = {}  # by rule: how many lines, and the first of them
        change = self.table_changes[delivery.source]
        change.was_empty = change.rows_after == 0  # earlier files of this run count, too
        return Reading(delivery, delivery.path(self.source), header, drift.Profile(source),
                       self.output.schema(source.name).names, asdict(self.count(delivery.source)))

    def _end_delivery(self, reading: Reading) -> None:
        delivery, header, count = reading.delivery, reading.header, self.count(reading.delivery.source)
        done = Count(**{name: value - reading.before[name] for name, value in asdict(count).items()})
        done.verify(delivery.name)
        doubtful = done.quarantined - sum(self._rejected.get(rule, (0, ""))[0] for rule in NO_ROWS)
        self.quarantine.check_share(delivery.name, doubtful, done.read)
        deleted = self._apply_snapshot(delivery, doubtful) if self._is_snapshot(delivery) else 0
        count.removed += deleted
        result = self._results[delivery.name] = {
            "rows": done.read, "appended": done.added, "unchanged": done.unchanged,
            "duplicates": done.duplicates, "quarantined": done.quarantined, "deleted": deleted}
        self.output.insert("deliveries", pa.Table.from_pylist([dict(
            source_name=delivery.source, source_filename=delivery.name, size_bytes=delivery.size,
            content_sha256=delivery.sha256, **self._stamp, **result,
            is_snapshot=int(self._is_snapshot(delivery)), notes="; ".join(header.notes))],
            schema=raw_tables.MANIFEST))
        self.index_later(delivery.source, SOURCES[delivery.source].key)
        self.reached = self.timestamp
        self.warnings += [f"{delivery.name}: {note}" for note in header.notes]
        self.warnings += [f"{delivery.name}: {count:,} set aside by {rule}, such as {shown}"
                          for rule, (count, shown) in self._rejected.items()]
        for name in header.extra:
            new = "" if name in reading.known_columns else "new, and "
            self.warnings.append(f"{delivery.name}: column {name} is {new}not in the contract; "
                                 "kept in raw only")
        self.warnings += drift.compare(self.output, delivery.name, reading.profile, self.batch_id)

    def _superseded(self, delivery: Delivery, source: Source,
                    parse: Callable[[], Iterable[Batch]]) -> tuple[pd.Index, int]:
        """Return the `source_row` numbers of a file whose key a later row repeats, and how many rows it has.

        A snapshot's keys are kept in the working database, where `_delete_missing` looks for them.
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
        """Append those of the rows that differ from what is known (see lib.step.raw_tables)."""
        count, table = self.count(delivery.source), to_arrow(rows)
        appended = raw_tables.append_new_versions(
            self.output, self.comparing, self.table_changes[delivery.source], delivery, table, self._stamp)
        count.added += appended
        count.unchanged += table.num_rows - appended

    def describe_rows(self, rows: pd.DataFrame) -> list[str]:
        text = as_text(rows.drop(columns="source_row"))
        return locate([self._delivery.name] * len(rows), rows["source_row"], text)

    def refuse(self, suite: str, rows: pd.DataFrame, refused: pd.DataFrame) -> None:
        text = as_text(rows.drop(columns="source_row"))
        self._set_aside(pd.DataFrame({
            "source_row": rows["source_row"], "raw_text": text, "rule": refused["rule"],
            "reason": refused["reason"]}))

    def manifest(self) -> pd.DataFrame:
        """Return what was found in the source folder, one row per file, for a notebook to show."""
        found = [(delivery.name, delivery.status, delivery.size, delivery.note) for delivery in self.found]
        return pd.DataFrame(found, columns=["delivery", "status", "bytes", "note"])

    def record(self) -> dict:
        return super().record() | {"deliveries": [
            asdict(delivery) | {"rows": None} | self._results.get(delivery.name, {})
            for delivery in self.found]}

    def _reject(self, lines: pd.DataFrame) -> None:
        """Quarantine lines that are no rows, and note them for a warning: no gate reports them."""
        self._set_aside(lines)
        for rule, group in lines.groupby("rule", sort=False):
            first = group.iloc[0]
            shown = f"line {first['source_row']}, {first['raw_text'][:ROW_TEXT]!r}: {first['reason']}"
            count, shown = self._rejected.get(rule, (0, shown))
            self._rejected[rule] = count + len(group), shown

    def _set_aside(self, rows: pd.DataFrame) -> None:
        self.set_aside(self._delivery.source, rows.assign(
            source_name=self._delivery.source, source_filename=self._delivery.name))

    def _report_progress(self, delivery: Delivery, rows: int, rows_in_all: int) -> None:
        """Report progress by size, which is known of every delivery, and by rows within one."""
        to_read = self.deliveries()
        before = sum(other.size for other in to_read[:to_read.index(delivery)])
        done = min(rows / rows_in_all, 1.0) if rows_in_all else 0.0  # rejected lines are not in rows_in_all
        share = (before + delivery.size * done) / max(1, sum(other.size for other in to_read))
        self.progress.say(delivery.name, rows, share)

    def _is_snapshot(self, delivery: Delivery) -> bool:
        return delivery.is_snapshot or delivery.source in self.parameters.snapshots

    def _apply_snapshot(self, delivery: Delivery, doubtful: int) -> int:
        if doubtful:
            self.warnings.append(f"{delivery.name}: {doubtful} rows could not be read, so what is "
                                 "missing from this snapshot is not known: nothing was deleted")
            return 0
        return self._delete_missing(delivery)

    def _delete_missing(self, delivery: Delivery) -> int:
        """Append a deletion for each key that a snapshot lacks; return how many."""
        source = SOURCES[delivery.source]
        self.comparing.register("live", raw_tables.live_keys(self.output, source))
        missing = self.comparing.sql(
            f"select {quote(source.key)} from live anti join delivered_keys "
            f"on {quote(source.key)} = record_key order by 1").to_arrow_table().column(0)
        live = self.comparing.execute("select count(*) from live").fetchall()[0][0]
        self.comparing.unregister("live")
        self._check_snapshot(delivery, len(missing), live)
        return raw_tables.append_deletions(
            self.output, self.table_changes[source.name], delivery, missing, self._stamp)

    def _check_snapshot(self, delivery: Delivery, missing: int, live: int) -> None:
        limit = self.parameters.snapshot_limit
        if missing > limit * live:
            raise PipelineError(
                f"{delivery.name}: as a snapshot it would delete {missing:,} of {live:,} {delivery.source}, "
                f"more than {limit:.0%}. Nothing was written. If the file is complete, raise "
                "--snapshot-limit.")
