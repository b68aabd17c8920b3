"""The raw step: reads deliveries and appends the rows that differ from what is known."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa

from lib.contract import SOURCES, Source
from lib.errors import DeliveryError, PipelineError, StepError, UsageError
from lib.ingest import archive, total_row
from lib.ingest.declared import Opened, forget, open_rows
from lib.ingest.deliveries import Delivery, find_deliveries, is_list, may_lack, read_found
from lib.ingest.header import SOURCE_ROW, Header
from lib.ingest.names import is_order_clear
from lib.ingest.reader import Batch
from lib.step import drift, raw_tables, repeated_keys
from lib.step.base import Step
from lib.step.counts import Count
from lib.step.frames import ROW_TEXT, as_text, locate, name_rows, to_arrow
from lib.step.phases import timed
from lib.step.prefetch import prefetch
from lib.step.quarantine import KEYS_ARE_KNOWN, NO_ROWS
from lib.step.raw_tables import SERIAL, TRIMMED
from lib.storage import manifest
from lib.storage.sql import quote
from lib.systems import LAST_WINS, system_named

ORDER = "order_id"
KEPT_BYTES = 128 << 20  # a delivery with more is read twice, its keys first, instead of being kept in memory


FindHeld = Callable[[], tuple[pa.Array, pa.Array]]


@dataclass(frozen=True)
class Reading:
    """A delivery that is being read, and its table's columns and its source's counts before it."""

    delivery: Delivery
    path: Path
    header: Header
    describe: Callable[[], list[str]]  # what to report of its rows
    find_held: FindHeld | None  # see lib.ingest.declared.Opened
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
            self.output.schema(name)  # is known from now on, without waiting for the layer's worker
            self.count(name)
        found = read_found(self.run_folder)
        self.found = found if found is not None else find_deliveries(
            self.source, raw_tables.known_deliveries(self.output), self.parameters.settled_seconds)
        self._results: dict[tuple[str, str], dict[str, int]] = {}  # of each delivery read: its rows' fate
        last = self.output.scalar("select max(confirmation_id) from confirmations")
        self._first_confirmation = (last or 0) + 1
        self._reader = stack.enter_context(ThreadPoolExecutor(1))
        # By delivery: what the reader is parsing.
        self._parsing: dict[tuple[str, str], Future[list[Batch]]] = {}
        self._stamp = {"batch_id": self.batch_id, "ingestion_timestamp": self.timestamp}

    def deliveries(self) -> list[Delivery]:
        """Return the deliveries to read, in the order in which they are applied."""
        return [delivery for delivery in self.found if delivery.is_to_read]

    @contextmanager
    def loading(self, delivery: Delivery) -> Iterator[None]:
        """Load a delivery in this context; if that fails, undo what was written of it and go on without it.

        Only an error that a delivery can cause is caught. `publish` decides what becomes of the others.
        """
        self._submit_indexes()  # of the previous delivery, which this one must not undo
        warnings, reached = len(self.warnings), self.reached
        kept = deepcopy((self.counts, self.table_changes, self.quarantine.entries,
                         self._gate.tallies if self._gate else {}))
        try:
            with self._savepoint():
                yield
        except (StepError, UsageError):
            raise
        except PipelineError as error:
            self.counts, self.table_changes, self.quarantine.entries, tallies = kept
            if self._gate:
                self._gate.undo_delivery(tallies)
            del self.warnings[warnings:]
            self.reached = reached
            self._indexes.clear()
            self._results.pop(delivery.key, None)
            self._parsing.pop(delivery.key, None)
            is_alone = sum(other.name == delivery.name for other in self.deliveries()) == 1
            self.not_loaded[delivery.key] = str(error) if is_alone else f"{delivery.source} of {error}"

    def _savepoint(self) -> AbstractContextManager:
        """Return what undoes a failed delivery; with one delivery, the step fails and undoes all anyway."""
        return self.output.savepoint() if len(self.deliveries()) > 1 else nullcontext()

    def publish(self) -> dict:
        """Commit as every step does, unless no delivery could be loaded, or one and all were asked for."""
        errors = list(self.not_loaded.values())
        if errors and not self._results:
            raise DeliveryError("\n".join([
                *errors, "Nothing was written: there is no other new file. Every run tries "
                f"{'it again until it is' if len(errors) == 1 else 'these again until they are'} corrected "
                "or moved out of the source folder."]))
        if errors and self.parameters.all_or_nothing:
            raise DeliveryError("\n".join([
                *errors, "Nothing was written, because of --all-or-nothing. To let the other files through, "
                f"move {'this one' if len(errors) == 1 else 'these'} out of the source folder, or run "
                "without that option."]))
        forget()
        return super().publish()

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
        repeats, rows_in_all = self._find_repeats(delivery, source, kept)
        self._report_progress(delivery, 0, rows_in_all)
        for batch in kept or prefetch(self._batches(delivery)):
            count.read += batch.rows.num_rows + batch.rejected.num_rows
            reading.profile.add(batch.rows)
            self._reject(batch.rejected.to_pandas())
            rows = raw_tables.without_blank_keys(batch.rows, source.key).to_pandas()
            if repeats is not None:
                rows = self._take_out_repeats(rows, repeats, source)
            yield rows
            self._report_progress(delivery, count.read - reading.before["read"], rows_in_all)
        archived.result() if archived else self._archive(reading)
        self._end_delivery(reading)

    def _batches(self, delivery: Delivery, only: str | None = None) -> Iterator[Batch]:
        read = partial(self._opened(delivery).read, self.parameters.batch_rows)
        if only:
            return read(only=only)
        return total_row.set_total_aside(read(), SOURCES[delivery.source], lambda name: read(only=name))

    def _opened(self, delivery: Delivery) -> Opened:
        return open_rows(delivery.path(self.source), delivery.table, system_named(delivery.system),
                         delivery.source, sha256=delivery.sha256, may_lack=may_lack(delivery, self.source))

    def _parsed(self, delivery: Delivery) -> list[Batch]:
        """Return a delivery's batches if memory can keep them, else []: it is then read twice, keys first."""
        parsing = self._parsing.pop(delivery.key, None) or self._reader.submit(self._parse_once, delivery)
        return parsing.result()

    def _parse_next(self, delivery: Delivery) -> None:
        """Have the next delivery parsed while this one's rows are checked and written."""
        to_read = self.deliveries()
        for following in to_read[to_read.index(delivery) + 1:][:1]:
            self._parsing[following.key] = self._reader.submit(self._parse_once, following)

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
            raise PipelineError(f"{name} changed while it was read. Nothing of it was written; run again.")

    def _begin_delivery(self, delivery: Delivery) -> Reading:
        source, opened = SOURCES[delivery.source], self._opened(delivery)
        raw_tables.check_columns(delivery, opened.header.names)
        # Submitted, so that this delivery is parsed and checked while the indexes of the last one are made.
        self.output.submit_small(partial(
            self.output.update, "quarantine", "resolved_batch_id", self.batch_id,
            "where source_filename = ? and source_name = ? and resolved_batch_id is null", delivery.key))
        self._delivery, self._unknown_keys, self._repeats = delivery, 0, repeated_keys.Repeats(0, 0)
        self._disagreements: dict[str, list] = {}  # by earlier delivery: how many keys, and one of them
        self._in_doubt = [  # the order of a list needs no names
            other.name for other in self.deliveries()
            if other.key in self._results and other.source == delivery.source and not is_list(self.source)
            and not is_order_clear(other.name, delivery.name)]
        self._rejected: dict[str, tuple[int, str]] = {}  # by rule: how many lines, and the first of them
        change = self.table_changes[delivery.source]
        change.was_empty = change.rows_after == 0  # earlier files of this run count, too
        return Reading(delivery, delivery.path(self.source), opened.header, opened.describe, opened.find_held,
                       drift.Profile(source, system_named(delivery.system)),
                       self.output.schema(source.name).names, asdict(self.count(delivery.source)))

    def _end_delivery(self, reading: Reading) -> None:
        delivery, header, count = reading.delivery, reading.header, self.count(reading.delivery.source)
        done = Count(**{name: value - reading.before[name] for name, value in asdict(count).items()})
        done.verify(delivery.name)
        no_rows = sum(self._rejected.get(rule, (0, ""))[0] for rule in NO_ROWS)
        broken, rows = done.quarantined - no_rows, done.read - no_rows
        self.warnings += self.quarantine.check_share(
            delivery.name, broken, rows, partial(self._accepted_limit, delivery),
            "Nothing of it was written. Correct the file and deliver it again"
            + ("; or raise --quarantine-limit to load the other rows." if broken < rows else "."))
        deleted = (self._apply_snapshot(delivery) if self._is_snapshot(delivery)
                   else self._complete_orders(delivery, reading.find_held))
        count.removed += deleted
        result = self._results[delivery.key] = {
            "rows": done.read, "appended": done.added, "unchanged": done.unchanged,
            "duplicates": done.duplicates, "quarantined": done.quarantined, "deleted": deleted}
        self.output.insert("deliveries", pa.Table.from_pylist([dict(
            source_name=delivery.source, source_filename=delivery.name, size_bytes=delivery.size,
            content_sha256=delivery.sha256, source_system=delivery.system, reading=delivery.reading,
            table_name=delivery.table, **self._stamp, **result,
            is_snapshot=int(self._is_snapshot(delivery)), notes="; ".join(header.notes))],
            schema=raw_tables.MANIFEST))
        self.index_later(delivery.source, SOURCES[delivery.source].key)
        self.reached = self.timestamp
        self.warnings += [f"{delivery.name}: {note}" for note in (*header.notes, *reading.describe())]
        self.warnings += self._repeats.warnings(delivery.name, SOURCES[delivery.source].key)
        self.warnings += self._describe_disagreements(delivery)
        self.warnings += [f"{delivery.name}: {count:,} set aside by {rule}, such as {shown}"
                          for rule, (count, shown) in self._rejected.items()]
        for name, cell in zip(header.names, header.delivered, strict=True):
            if name in header.extra:
                new = "" if name in reading.known_columns else "new, and "
                renamed = f", as {name}" if name != cell else ""
                self.warnings.append(f"{delivery.name}: column {cell[:drift.NAMED_TEXT] or 'without a name'} "
                                     f"is {new}not in the contract; kept in raw only{renamed}")
        self.warnings += drift.compare(self.output, delivery.name, reading.profile, self.batch_id)

    def _accepted_limit(self, delivery: Delivery) -> float:
        return manifest.accepted_limit(self._log, "raw", delivery.sha256)

    def _find_repeats(self, delivery: Delivery, source: Source,
                      kept: list[Batch]) -> tuple[pd.DataFrame | None, int]:
        """Return the rows of a file whose key a later row repeats, None if there are none, and how many rows
        it has. Raises PipelineError when too many of them differ.

        A snapshot's keys are kept in the working database, where `_delete_missing` looks for them.
        """
        rows = 0

        def keys() -> Iterator[pa.Table]:
            nonlocal rows
            rows = 0
            for batch in kept or self._batches(delivery, only=source.key):
                rows += batch.rows.num_rows
                yield batch.rows.select([source.key, SOURCE_ROW])

        if not self._is_snapshot(delivery) and not repeated_keys.may_repeat(self.work, keys(), source.key):
            return None, rows
        repeated_keys.put_delivered_keys(self.work, keys(), source.key)
        if not repeated_keys.find_repeats(self.work):
            return None, rows
        batches = (batch.rows for batch in kept or self._batches(delivery))
        repeats = repeated_keys.compare_repeats(self.work, batches, source)
        if system_named(delivery.system).repeated_keys == LAST_WINS:
            repeats = repeats.assign(differs=False, differs_elsewhere=False)
        self._check_repeats(repeated_keys.summarize(repeats), rows)
        return repeats, rows

    def _check_repeats(self, repeats: repeated_keys.Repeats, rows: int) -> None:
        self._repeats, delivery = repeats, self._delivery
        accepted = partial(self._accepted_limit, delivery)
        if self.quarantine.find_limit(repeats.differing, rows, accepted) is None:
            key = SOURCES[delivery.source].key
            raise PipelineError(repeats.explain_too_many(delivery.name, key, rows))

    def _take_out_repeats(self, rows: pd.DataFrame, repeats: pd.DataFrame, source: Source) -> pd.DataFrame:
        """Return the rows without those whose key a later row repeats: duplicates, or set aside."""
        is_repeated = rows["source_row"].isin(repeats.index)
        differing = rows[rows["source_row"].isin(repeats.index[repeats["differs"]])]
        self.count(source.name).duplicates += int(is_repeated.sum()) - len(differing)
        if len(differing):
            texts = as_text(differing.drop(columns="source_row"))
            self._set_aside(repeated_keys.as_quarantined(differing, repeats, texts, source.key))
        return rows[~is_repeated]

    @timed("write")
    def append(self, delivery: Delivery, rows: pd.DataFrame) -> None:
        """Append those of the rows that differ from what is known (see lib.step.raw_tables)."""
        count, table = self.count(delivery.source), to_arrow(rows)
        change, key = self.table_changes[delivery.source], SOURCES[delivery.source].key
        new_rows = raw_tables.find_new_versions(self.output, self.comparing, change, delivery, table)
        self._note_disagreements(delivery, new_rows[key])
        appended = raw_tables.append(self.output, change, delivery, new_rows, self._stamp)
        count.added += appended
        count.unchanged += table.num_rows - appended

    def _note_disagreements(self, delivery: Delivery, keys: pa.ChunkedArray) -> None:
        """Note which keys that a delivery is about to change came earlier in this run from another one, if
        the names of the two do not say which one is newer."""
        if self._in_doubt:
            for found in self._find_disagreements(delivery, keys):
                self._disagreements.setdefault(found["file"], [0, found["key"]])[0] += found["keys"]

    def _find_disagreements(self, delivery: Delivery, keys: pa.ChunkedArray) -> list[dict]:
        return raw_tables.find_disagreements(
            self.output, self.table_changes[delivery.source], SOURCES[delivery.source], keys, self._in_doubt,
            self._first_confirmation)

    def _describe_disagreements(self, delivery: Delivery) -> list[str]:
        return [
            f"{delivery.name} and {file} disagree about {keys:,} {delivery.source}, such as {key!r}, and "
            f"their names do not say which is newer: {delivery.name} was applied last and counts. Give files "
            f"a number or a date that grows, such as {delivery.source}_2026-01-31.csv."
            for file, (keys, key) in self._disagreements.items()]

    def describe_rows(self, rows: pd.DataFrame) -> list[str]:
        text = as_text(rows.drop(columns="source_row"))
        return locate([self._delivery.name] * len(rows), rows["source_row"], text)

    def name_rows(self, rows: pd.DataFrame) -> list[str]:
        names = [self._delivery.name] * len(rows)
        return name_rows(names, rows["source_row"], rows[SOURCES[self._delivery.source].key])

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
            asdict(delivery) | {"rows": None} | self._results.get(delivery.key, {}) | self._note(delivery)
            for delivery in self.found]}

    def _note(self, delivery: Delivery) -> dict[str, str]:
        error = self.not_loaded.get(delivery.key)
        return {"note": f"not loaded: {error}"} if error else {}

    def _reject(self, lines: pd.DataFrame) -> None:
        """Quarantine lines that are no rows, and note them for a warning: no gate reports them."""
        self._set_aside(lines)
        for rule, group in lines.groupby("rule", sort=False):
            first = group.iloc[0]
            shown = f"line {first['source_row']}, {first['raw_text'][:ROW_TEXT]!r}: {first['reason']}"
            count, shown = self._rejected.get(rule, (0, shown))
            self._rejected[rule] = count + len(group), shown

    def _set_aside(self, rows: pd.DataFrame) -> None:
        self._unknown_keys += int((~rows["rule"].isin(KEYS_ARE_KNOWN)).sum())
        self.set_aside(self._delivery.source, rows.assign(
            source_name=self._delivery.source, source_filename=self._delivery.name))

    def _report_progress(self, delivery: Delivery, rows: int, rows_in_all: int) -> None:
        """Report progress by size, which is known of every delivery, and by rows within one."""
        to_read = self.deliveries()
        before = sum(other.size for other in to_read[:to_read.index(delivery)])
        done = min(rows / rows_in_all, 1.0) if rows_in_all else 0.0  # rejected lines are not in rows_in_all
        share = (before + delivery.size * done) / max(1, sum(other.size for other in to_read))
        self.progress.say(delivery.name, rows, share)

    def _make_indexes(self, indexes: list[tuple[str, str, bool]]) -> None:
        for table, column, _ in indexes:
            self.output.index(table, column, is_trimmed=True)

    def _is_snapshot(self, delivery: Delivery) -> bool:
        return delivery.is_snapshot or delivery.source in self.parameters.snapshots

    def _apply_snapshot(self, delivery: Delivery) -> int:
        if self._unknown_keys:
            self.warnings.append(f"{delivery.name}: {self._unknown_keys} rows could not be read, so what is "
                                 "missing from this snapshot is not known: nothing was deleted")
            return 0
        return self._delete_missing(delivery)

    def _delete_missing(self, delivery: Delivery) -> int:
        """Append a deletion for each key that a snapshot lacks; return how many."""
        source = SOURCES[delivery.source]
        self.comparing.register("live", raw_tables.live_keys(self.output, source))
        missing = self.comparing.sql(
            f"select {quote(source.key)} from live anti join delivered_keys "
            f"on {quote(TRIMMED)} = record_key order by 1").to_arrow_table().column(0)
        live = self.comparing.execute("select count(*) from live").fetchall()[0][0]
        self.comparing.unregister("live")
        self._check_snapshot(delivery, len(missing), live)
        self._note_disagreements(delivery, missing)
        return raw_tables.append(self.output, self.table_changes[source.name], delivery,
                                 raw_tables.deletions(source, missing), self._stamp)

    def _complete_orders(self, delivery: Delivery, find_held: FindHeld | None) -> int:
        """Append a deletion for each row of an order that the file holds whole, but without it; return how
        many."""
        source = SOURCES[delivery.source]
        if find_held is None or ORDER not in source.column_names[1:]:
            return 0
        missing = raw_tables.find_left_out(self.output, self.comparing, source, delivery.system,
                                           *find_held())
        self._note_disagreements(delivery, missing)
        return raw_tables.append(self.output, self.table_changes[source.name], delivery,
                                 raw_tables.deletions(source, missing), self._stamp)

    def _check_snapshot(self, delivery: Delivery, missing: int, live: int) -> None:
        limit = self.parameters.snapshot_limit
        if missing > limit * live:
            raise PipelineError(
                f"{delivery.name}: as a snapshot it would delete {missing:,} of {live:,} {delivery.source}, "
                f"more than {limit:.0%}. Nothing of it was written. If the file is complete, raise "
                "--snapshot-limit.")
