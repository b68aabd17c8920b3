"""Moments of a time zone in UTC, and back: all at once, and one by one on days when the clocks change."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd

ALMOST_A_DAY = timedelta(days=1, microseconds=-1)


def to_utc(local: pd.Series, zone: str) -> pd.Series:
    """Return moments of a time zone in UTC; both are datetimes that name no time zone.

    A moment that comes twice, when the clocks go back, is the first of the two. One that does not come, when
    they go forward, is read with the offset before the change (as PEP 495 reads both).
    """
    place = ZoneInfo(zone)
    return local - _offsets(local, lambda moment: moment.replace(tzinfo=place).utcoffset())


def to_local(utc: pd.Series, zone: str) -> pd.Series:
    """Return moments in UTC as those of a time zone; both are datetimes that name no time zone."""
    place = ZoneInfo(zone)

    def offset(moment: datetime) -> timedelta:
        try:
            return moment.replace(tzinfo=UTC).astimezone(place).utcoffset()
        except OverflowError:  # it is in the year 0 or 10000 there
            return moment.replace(tzinfo=place).utcoffset()

    return utc + _offsets(utc, offset)


def _offsets(moments: pd.Series, find: Callable[[datetime], timedelta]) -> pd.Series:
    """Return each moment's offset. Where that at the end of its day is the one at its start, it is the day's.
    """
    places, days = pd.factorize(moments.dt.floor("D"))
    days = [day.to_pydatetime() for day in days]
    at_start = [find(day) for day in days]
    is_change = [find(day + ALMOST_A_DAY) != offset for day, offset in zip(days, at_start, strict=True)]
    offsets = pd.Series(pd.array(at_start, dtype="timedelta64[us]").take(places, allow_fill=True),
                        moments.index)
    if any(is_change):
        on_change = moments[pd.array(is_change, dtype="bool").take(places, allow_fill=True, fill_value=False)]
        offsets.loc[on_change.index] = pd.array([find(moment.to_pydatetime()) for moment in on_change],
                                                dtype="timedelta64[us]")
    return offsets
