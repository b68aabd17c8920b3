"""A moment is read in its own time zone, also when clocks change, and counts for its day in the shop."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.ingest.moments import read_moments
from lib.systems import SHOP_CSV, System

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia",
         "Africa/Casablanca", "Asia/Kolkata", "UTC"]
FIRST, LAST = datetime(1990, 1, 1), datetime(2035, 12, 31)


def read(text: str, shop_zone: str, system: System = SHOP_CSV) -> tuple[str | None, str | None]:
    """Return a text's moment in UTC and its day in the shop; None for what cannot be read."""
    [moment], [day] = read_moments(pd.Series([text], dtype="str"), system, shop_zone)
    return None if pd.isna(moment) else moment, None if pd.isna(day) else day


@cache
def days_of_change(zone: str) -> list[datetime]:
    """Return the days on which a zone's clocks change, from noon to noon; two other days if they never do."""
    place = ZoneInfo(zone)
    noons = [(FIRST + timedelta(days=n, hours=12)).replace(tzinfo=place) for n in range((LAST - FIRST).days)]
    found = [later.replace(tzinfo=None, hour=0) for earlier, later in pairwise(noons)
             if earlier.utcoffset() != later.utcoffset()]
    return found or [FIRST, LAST]


@st.composite
def zones_and_moments(draw) -> tuple[str, list[datetime]]:
    """Draw a zone, and moments that name none: many of them near a change of its clocks."""
    zone = draw(st.sampled_from(ZONES))
    near = st.builds(lambda day, seconds: day + timedelta(seconds=seconds),
                     st.sampled_from(days_of_change(zone)), st.integers(-36 * 3600, 36 * 3600))
    moments = draw(st.lists(st.datetimes(FIRST, LAST) | near, min_size=1, max_size=20))
    return zone, [moment.replace(microsecond=0, fold=0) for moment in moments]  # a text names no second time


@given(zones_and_moments(), st.sampled_from(ZONES), st.booleans())
def test_a_moment_is_the_first_of_that_time_in_its_zone_and_counts_for_its_day_in_the_shop(
        drawn: tuple[str, list[datetime]], shop_zone: str, is_patterned: bool):
    zone, local = drawn
    system = System("any", {}, timezone=zone, dates=("%d.%m.%Y %H:%M:%S",) if is_patterned else ())
    texts = [moment.strftime("%d.%m.%Y %H:%M:%S") if is_patterned else moment.isoformat() for moment in local]
    moments, days = read_moments(pd.Series(texts, dtype="str"), system, shop_zone)
    in_utc = [moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for moment in local]
    assert moments.tolist() == [moment.strftime("%Y-%m-%d %H:%M:%S") for moment in in_utc]
    assert days.tolist() == [moment.astimezone(ZoneInfo(shop_zone)).date().isoformat() for moment in in_utc]


@given(st.dates(FIRST.date(), LAST.date()), st.sampled_from(ZONES), st.sampled_from(ZONES))
def test_a_day_without_a_time_is_that_day_in_the_shop_wherever_the_file_comes_from(
        day: date, zone: str, shop_zone: str):
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(shop_zone)).astimezone(UTC)
    assert read(day.isoformat(), shop_zone, System("any", {}, timezone=zone)) == (
        midnight.strftime("%Y-%m-%d %H:%M:%S"), day.isoformat())


@pytest.mark.parametrize(("zone", "local", "moment", "day"), [
    ("Europe/Berlin", "2026-10-25 02:30", "2026-10-25 00:30:00", "2026-10-25"),  # it comes twice
    ("Europe/Berlin", "2026-10-25 03:00", "2026-10-25 02:00:00", "2026-10-25"),
    ("Europe/Berlin", "2026-03-29 02:30", "2026-03-29 01:30:00", "2026-03-29"),  # it does not come
    ("America/New_York", "2025-11-02 01:30", "2025-11-02 05:30:00", "2025-11-02"),
    ("America/New_York", "2025-03-09 02:30", "2025-03-09 07:30:00", "2025-03-09"),
    ("Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-04 14:45:00", "2026-04-05"),  # half an hour
    ("Australia/Lord_Howe", "2025-10-05 02:15", "2025-10-04 15:45:00", "2025-10-05"),
    ("America/Sao_Paulo", "2018-11-04 00:30", "2018-11-04 03:30:00", "2018-11-04"),  # the day begins at 1:00
    ("America/Sao_Paulo", "2018-02-17 23:30", "2018-02-18 01:30:00", "2018-02-17"),
    ("Pacific/Apia", "2011-12-30 12:00", "2011-12-30 22:00:00", "2011-12-31"),  # the day does not come
    ("Africa/Casablanca", "2025-02-23 02:30", "2025-02-23 01:30:00", "2025-02-23"),  # for Ramadan
    ("Africa/Casablanca", "2025-04-06 02:30", "2025-04-06 02:30:00", "2025-04-06")])
def test_an_hour_that_comes_twice_is_the_first_and_one_that_does_not_come_is_before_the_change(
        zone: str, local: str, moment: str, day: str):
    assert read(local, zone) == (moment, day)


@pytest.mark.parametrize(("text", "moment", "day"), [
    ("2026-01-31T23:30:00-05:00", "2026-02-01 04:30:00", "2026-01-31"),
    ("2026-02-01T04:30Z", "2026-02-01 04:30:00", "2026-01-31"),
    ("2026-02-01 05:30:00 UTC", "2026-02-01 05:30:00", "2026-02-01"),
    ("20260201T043000,5+00", "2026-02-01 04:30:00", "2026-01-31"),
    ("2026-W05-6", "2026-01-31 05:00:00", "2026-01-31"),
    ("2026W056T2330", "2026-02-01 04:30:00", "2026-01-31"),
    ("2026-031", "2026-01-31 05:00:00", "2026-01-31"),
    ("2026-01-31 23:30", "2026-02-01 04:30:00", "2026-01-31")])
def test_iso_8601_is_read_in_the_shop_s_zone(text: str, moment: str, day: str):
    assert read(text, "America/New_York") == (moment, day)


@pytest.mark.parametrize("text", ["2026-02-30", "2026-W54-1", "2026-W05", "2026-366", "31.01.2026", "2026-01",
                                  "2026-01-31 14:05 Europe/Berlin", "2026-01-31T25:00", "14:05"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_what_is_no_day_and_no_moment_of_iso_8601_is_not_read(text: str, zone: str):
    assert read(text, zone) == (None, None)


@pytest.mark.parametrize(("text", "zone"), [
    ("9999-12-31T23:30-05:00", "UTC"), ("9999-12-31T23:30Z", "Asia/Kolkata"), ("0001-01-01", "Asia/Kolkata"),
    ("0001-01-01T01:00+02:00", "UTC")])
def test_a_moment_of_a_year_without_four_digits_is_not_read(text: str, zone: str):
    assert read(text, zone) == (None, None)


NAMED = System("any", {}, timezone="Europe/Berlin", dates=("%d.%m.%Y %H:%M",), zones={
    "Central": "America/Chicago", "Eastern Central": "America/New_York", "CET": "Europe/Berlin"})


@pytest.mark.parametrize(("text", "moment"), [
    ("31.01.2026 14:05 Central", "2026-01-31 20:05:00"),
    ("31.01.2026 14:05 Eastern Central", "2026-01-31 19:05:00"),  # the longest name that ends it
    ("2026-01-31 14:05:00 CET", "2026-01-31 13:05:00"), ("2026-01-31 14:05 UTC", "2026-01-31 14:05:00"),
    ("31.01.2026 14:05 GMT", "2026-01-31 14:05:00"), ("31.01.2026 14:05", "2026-01-31 13:05:00"),
    ("2026-01-31 14:05:00 Asia/Kolkata", "2026-01-31 08:35:00"),
    ("31.07.2026 14:05 America/Argentina/Buenos_Aires", "2026-07-31 17:05:00"),
    ("31.01.2026 14:05 Nowhere/Atall", None), ("31.01.2026 14:05 XYZ", None),
    ("31.01.2026 14:05 central", None)])
def test_a_name_of_a_zone_behind_a_moment_says_where_it_is(text: str, moment: str | None):
    assert read(text, "UTC", NAMED)[0] == moment


def test_texts_of_several_zones_stay_in_their_order():
    texts = ["31.01.2026 14:05 Central", "31.01.2026 14:05", "x", "2026-02-01 02:00 UTC", None,
             "31.01.2026 18:05 Central"]
    moments, days = read_moments(pd.Series(texts, dtype="str"), NAMED, "America/Chicago")
    assert moments.fillna("").tolist() == [
        "2026-01-31 20:05:00", "2026-01-31 13:05:00", "", "2026-02-01 02:00:00", "", "2026-02-01 00:05:00"]
    assert days.fillna("").tolist() == ["2026-01-31", "2026-01-31", "", "2026-01-31", "", "2026-01-31"]
