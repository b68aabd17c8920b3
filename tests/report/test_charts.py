"""Charts: labels differ and are whole if the values are, and what is 0 everywhere is not drawn."""

import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.report import charts

COUNTS = pd.DataFrame({"added": [1, 0], "changed": [0, 0], "quarantined": [1, 0]}, index=["orders", "lines"])


def texts_of(chart) -> list[str]:
    return re.findall("<text[^>]*>(.*?)</text>", chart.data)


def labels(chart, axis: int) -> list[str]:
    """Return the labels of an axis: of x (1), or of y (2)."""
    part = chart.data.partition(f'id="matplotlib.axis_{axis}"')[2].partition('id="patch_')[0]
    return re.findall("<text[^>]*>(.*?)</text>", part.partition('id="matplotlib.axis_')[0])


def test_bars_of_small_counts_have_whole_numbers_and_no_legend_for_what_is_always_0():
    chart = charts.bars(COUNTS, "Rows")
    assert labels(chart, 1) == ["0", "1", "2"]
    assert "added" in texts_of(chart) and "quarantined" in texts_of(chart)
    assert "changed" not in texts_of(chart)


def test_the_legend_of_bars_is_below_their_title():
    chart = charts.bars(COUNTS, "Rows read in this run, by what became of them")
    heights = {text: float(y) for y, text in re.findall(
        r'<text[^>]*(?: y="|translate\([-\d.]+ )([\d.]+)[^>]*>(.*?)</text>', chart.data)}
    assert heights["Rows read in this run, by what became of them"] < heights["added"] - 9 < heights["orders"]


def test_bars_without_any_rows_are_a_note():
    assert texts_of(charts.bars(COUNTS * 0, "Rows")) == ["Rows", "None."]


VALUES = st.one_of(st.integers(0, 7), st.floats(0.001, 1), st.integers(0, 10**7))


@given(st.lists(VALUES, min_size=1, max_size=9))
def test_no_label_of_a_small_chart_is_there_twice(values: list[float]):
    chart = charts.columns(pd.Series(values, dtype="float64"), "Rows", hollow=[False] * len(values))
    shown = labels(chart, 2)
    assert len(shown) == len(set(shown)) > 0
    if all(float(value).is_integer() for value in values):
        assert not [label for label in shown if "." in label]


@pytest.mark.parametrize("days", [1, 2, 3, 4, 7, 30, 61, 90, 400, 4000])
@pytest.mark.parametrize("inches", [3.6, 11])
def test_no_label_of_a_line_is_there_twice(days: int, inches: float):
    index = pd.date_range("2025-11-01", periods=days).strftime("%Y-%m-%d")
    chart = charts.line(pd.DataFrame({"sales": range(days)}, index=index), "Sales", (inches, 2.2))
    for axis in (1, 2):
        shown = labels(chart, axis)
        assert len(shown) == len(set(shown)) > 0
    assert not [label for label in labels(chart, 1) if ":" in label]  # no times of day
