"""Timestamps as text in UTC. Only this file reads the clock for them. All other code is passed the time."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

FORMAT = "%Y-%m-%d %H:%M:%S.%f"
# A step that has never run has the watermark 1900-01-01, and times must be able to move forward.
EARLIEST, LATEST = "1900-01-02", "9998-12-31"
NAME = "%Y%m%dT%H%M%S.%f"  # of a folder: without characters that a path cannot have


def utc_now() -> str:
    """Return the current time as ISO 8601 text in UTC with microseconds; the text sorts as the times do."""
    return datetime.now(UTC).strftime(FORMAT)


def read_time(text: str) -> str:
    """Return an ISO 8601 date or time (UTC if it names no zone) as `utc_now` writes it.

    Raises ValueError for any other text, OverflowError for a time before EARLIEST or after LATEST.
    """
    moment = datetime.fromisoformat(text)
    moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    if not EARLIEST <= moment.isoformat()[:10] <= LATEST:
        raise OverflowError
    return moment.strftime(FORMAT)


def as_name(timestamp: str) -> str:
    """Return a timestamp as the name of a folder; the names sort as the times do."""
    return datetime.strptime(timestamp, FORMAT).strftime(NAME)


def of_name(name: str) -> str:
    """Return the timestamp from which `as_name` made a name."""
    return datetime.strptime(name, NAME).strftime(FORMAT)


def later_than(timestamp: str | None, now: str) -> str:
    """Return `now`, or the first microsecond after `timestamp` if `now` is not later than that.

    So timestamps only move forward, even when the clock is set back. Raises OverflowError when none is later.
    """
    if timestamp is None or now > timestamp:
        return now
    return (datetime.strptime(timestamp, FORMAT) + timedelta(microseconds=1)).strftime(FORMAT)


def days_before(timestamp: str, days: int) -> str:
    """Return the timestamp that many days earlier; "" when no time is so early."""
    try:
        return (datetime.strptime(timestamp, FORMAT) - timedelta(days=days)).isoformat(" ", "microseconds")
    except OverflowError:
        return ""


def day_in(zone: str, timestamp: str) -> str:
    """Return the day, `YYYY-MM-DD`, that it is in a time zone at a timestamp."""
    moment = datetime.strptime(timestamp, FORMAT).replace(tzinfo=UTC)
    return moment.astimezone(ZoneInfo(zone)).date().isoformat()


def is_day(text: str) -> bool:
    """Return whether a text is a day as ISO 8601 writes it, such as 2025-12-30."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def duration(span: timedelta) -> str:
    """Return a time span in words, in the largest unit that fits it."""
    hours = span / timedelta(hours=1)
    if hours >= 48:
        return f"{hours / 24:.0f} days"
    return f"{hours:.0f} hours" if hours >= 2 else f"{hours * 60:.0f} minutes"
