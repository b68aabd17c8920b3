"""Decide what there is to do: look at the source folder, and say why a step would run. Run, plan and status
share this code, so they cannot disagree. Nothing here writes.
"""

import sqlite3
from datetime import datetime, timedelta

from lib.clock import FORMAT, duration, utc_now
from lib.ingest.deliveries import Delivery, find_deliveries, overdue
from lib.step.fingerprint import changed_parts, take_fingerprint
from lib.steps import Options, StepSpec
from lib.storage import audit, lookup, manifest
from lib.storage.lookup import KnownDelivery

# The longest pause between two runs that is no reason to doubt the clock: some shops open once a year.
LONGEST_PAUSE = timedelta(days=366)
# A clock that is set right goes back by seconds, and the clocks of two machines differ by minutes.
SET_BACK = timedelta(hours=1)
CLOCK_ADVICE = ("Gold counts days up to this one. If it is wrong, run again with the right clock, and with "
                "--full-refresh if nothing is new: gold follows it.")


def check_clock(options: Options, log: sqlite3.Connection, now: str, read_only: bool = False) -> str:
    """Return what is strange about the clock of a run that begins; "" if nothing is.

    It is strange when it is much later than the last run and than everything that was delivered, or earlier
    than the last run. The time given with --now is also compared with the machine's clock. A first run has
    nothing else to compare with: it may load data of any age.
    """
    (last, _), clock = manifest.read_clock(log), "--now" if options.now else "the clock"
    machine = utc_now() if options.now else ""
    if last and _between(now, last) > SET_BACK:
        return (f"{clock} is {now[:19]}, {duration(_between(now, last))} before the last run ({last[:19]}): "
                f"one of the two is wrong. {CLOCK_ADVICE}")
    if machine and _between(machine, now) > LONGEST_PAUSE:
        return (f"{clock} is {now[:19]}, {duration(_between(machine, now))} after the clock of this machine "
                f"({machine[:19]}). {CLOCK_ADVICE}")
    if last and _between(last, now) > LONGEST_PAUSE:
        newest = lookup.newest_day(options.warehouse, now, read_only)
        if not newest or now[:10] > f"{int(newest[:4]) + 1:04}{newest[4:]}":
            data = f" and after the newest day that was delivered ({newest})" if newest else ""
            return (f"{clock} is {now[:19]}, {duration(_between(last, now))} after the last run "
                    f"({last[:19]}){data}. {CLOCK_ADVICE}")
    return ""


def _between(earlier: str, later: str) -> timedelta:
    return datetime.strptime(later, FORMAT) - datetime.strptime(earlier, FORMAT)


def look_at_source(options: Options, known: list[KnownDelivery],
                   now: str) -> tuple[list[Delivery], list[str]]:
    """Return the files in the source folder, by what earlier runs have read, and the overdue sources."""
    deliveries = find_deliveries(options.source, known, options.settled_seconds)
    arrived = {delivery.source for delivery in deliveries if delivery.is_to_read}
    return deliveries, overdue([entry for entry in known if entry.source not in arrived], now)


def find_changed_rules(log: sqlite3.Connection, step: StepSpec) -> str:
    """Return which rules of a step have changed since they made all of its rows; "" if none have."""
    rules, since = audit.read_rules(log, step.name)
    changed = changed_parts(rules, take_fingerprint(step)) if rules else []
    return f"{', '.join(changed)} changed since {since[:19]}" if changed else ""


def is_rebuild(options: Options, step: StepSpec, changed: str) -> bool:
    """Return whether a step rebuilds its tables; `changed` is from `find_changed_rules`.

    Raw never does: it keeps what was delivered, and the other layers are rebuilt from it.
    """
    return step.reads != "source" and (options.full_refresh or bool(changed and not options.no_rebuild))


def explain_changed_rules(step: StepSpec, changed: str, is_full: bool) -> str:
    """Return what the change of a step's rules means for its tables."""
    return f"step {step.name}: {changed}: " + (
        "this applies to deliveries that are read from now on; the rows in raw stay as they are"
        if step.reads == "source" else
        "its tables and those made from them are rebuilt" if is_full else
        "the rows made before stay as they are, because of --no-rebuild")


def why_run(options: Options, step: StepSpec, to_read: int, watermark: audit.Watermark, changed: str,
            read_only: bool = False) -> str:
    """Return why a step has something to do: deliveries to read, or input that is newer than its watermark;
    "" if nothing.

    A step that never succeeded has something to do even if its input is empty: it creates its tables. So has
    a step whose database is missing (it was moved aside), and raw when a run died between committing its rows
    and its watermark.
    """
    if not (options.warehouse / f"{step.writes}.db").exists():
        return f"{step.writes}.db does not exist yet"
    last = lookup.last_timestamp(options.warehouse, step.writes, step.name, read_only)
    if step.reads == "source":
        died = "a run died before it could set the watermark" if last > watermark.timestamp else ""
        return f"{to_read} deliveries to read" if to_read > 1 else "one delivery to read" if to_read else died
    if changed and not options.no_rebuild:
        return f"{changed}: its tables are rebuilt"
    if options.full_refresh:
        return "its tables are rebuilt from raw"
    if watermark == audit.Watermark() or not last:
        return f"it has never succeeded with this {step.writes}.db"
    newer = lookup.newer_tables(options.warehouse, step.reads, step.inputs, watermark.timestamp, read_only)
    return f"{', '.join(newer)}: newer in {step.reads}.db than {watermark.timestamp}" if newer else ""
