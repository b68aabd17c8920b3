"""The one place that reads the clock. Everything else is given the time."""

from datetime import UTC, datetime, timedelta

FORMAT = "%Y-%m-%d %H:%M:%S.%f"
NAME = "%Y%m%dT%H%M%S.%f"  # the same, fit for a folder


def utc_now() -> str:
    """Return the time as ISO 8601 text in UTC with microseconds, which sorts as it counts."""
    return datetime.now(UTC).strftime(FORMAT)


def read_time(text: str) -> str:
    """Return an ISO 8601 date or time, in UTC unless it says otherwise, as `utc_now` writes it. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).strftime(FORMAT)


def as_name(timestamp: str) -> str:
    """Return a timestamp as a name that is fit for a folder and sorts as it counts."""
    return datetime.strptime(timestamp, FORMAT).strftime(NAME)


def of_name(name: str) -> str:
    """Return the timestamp that `as_name` made a name of."""
    return datetime.strptime(name, NAME).strftime(FORMAT)


def later_than(timestamp: str | None, now: str) -> str:
    """Return `now`, or the first microsecond after `timestamp` when the clock has not got past it.

    Timestamps only move forward, even if the clock does not.
    """
    if timestamp is None or now > timestamp:
        return now
    return (datetime.strptime(timestamp, FORMAT) + timedelta(microseconds=1)).strftime(FORMAT)


def days_before(timestamp: str, days: int) -> str:
    """Return the timestamp of so many days earlier."""
    return (datetime.strptime(timestamp, FORMAT) - timedelta(days=days)).strftime(FORMAT)


def duration(span: timedelta) -> str:
    """Return a span of time in words, in the largest unit that fits it."""
    hours = span / timedelta(hours=1)
    return f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} hours" if hours >= 2 else f"{hours * 60:.0f} minutes"
