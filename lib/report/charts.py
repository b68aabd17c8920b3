"""Charts for notebooks and pages: matplotlib drawn to SVG, readable on a light and on a dark page.

A chart that cannot be drawn is a note in its place: a picture must not fail the run that it shows.
"""

import io
import textwrap
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import wraps
from html import escape
from typing import Any

import pandas as pd
from IPython.display import SVG
from matplotlib import rc_context
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.errors import first_line

INK = "#6f747c"  # enough contrast on white and on black
WIDTH = 10.5  # inches of a chart that fills a page
FEWEST = 12  # bars that fill a small chart; if there are less, they are not wider but farther apart
DAY = "%-d %b %Y"
# The labels of years, months, days and less; and of a year's first month, a month's first day, and so on.
DATES, FIRST_DATES = ["%Y", "%b %Y", "%-d %b", *[DAY] * 3], ["%Y", "%b %Y", "%b %Y", *[DAY] * 3]
COLORS = ("#3b82c4", "#e08a2e", "#8a8f98", "#c8504f")
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "pipeline",  # the same values give the same bytes
         "font.family": "sans-serif", "font.size": 9, "text.color": INK, "axes.labelcolor": INK,
         "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.titlelocation": "left"}


def _or_note(draw: Callable[..., SVG]) -> Callable[..., SVG]:
    """Let a function return a note with the reason in place of a chart that it cannot draw."""
    @wraps(draw)
    def drawn(values: pd.DataFrame | pd.Series, title: str, *arguments, **named) -> SVG:
        try:
            return draw(values, title, *arguments, **named)
        except Exception as error:  # matplotlib raises many kinds, such as for days that are millennia apart
            why = f"{type(error).__name__}: {first_line(error).rstrip('.')}"
            return SVG(_note(title, f"This chart cannot be drawn ({why}). Its figures are complete."))
    return drawn


def _note(title: str, text: str) -> str:
    lines = [title, *textwrap.wrap(text, 130)]
    rows = "".join(f'<text x="4" y="{14 * number}">{escape(line)}</text>'
                   for number, line in enumerate(lines, start=1))
    style = f'font-family="sans-serif" font-size="{STYLE["font.size"]}" fill="{INK}"'
    size = f'width="{72 * WIDTH:.0f}pt" height="{14 * len(lines) + 8}pt"'
    view = f'viewBox="0 0 {72 * WIDTH:.0f} {14 * len(lines) + 8}"'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} {style}>'
            f"<title>{escape(title)}</title>{rows}</svg>")


def every_day(values: pd.DataFrame) -> pd.DataFrame:
    """Return rows of days with zeros for the days between that have none; days that span more than a year as
    they are."""
    days = sorted(map(date.fromisoformat, values.index))
    if not days or days[-1] - days[0] > timedelta(366):
        return values
    every = [(days[0] + timedelta(number)).isoformat() for number in range((days[-1] - days[0]).days + 1)]
    return values.reindex(pd.Index(every, name=values.index.name), fill_value=0.0)


@_or_note
def bars(values: pd.DataFrame, title: str) -> SVG:
    """Return horizontal stacked bars, one per row of the frame, one colour per column.

    A column that is 0 in every row is left out; if all are, the chart is a note.
    """
    names = values.index.astype(str)
    used = [column for column in values if values[column].any()]
    if not used:
        return SVG(_note(title, "None."))
    with rc_context(STYLE):
        height = 1.0 + 0.42 * len(values)
        figure = Figure(figsize=(WIDTH, height))
        # Margins by the length of the names. A layout that measures them draws twice, and each step waits.
        figure.subplots_adjust(left=(0.2 + 0.07 * max(map(len, names), default=0)) / WIDTH, right=0.99,
                               bottom=0.32 / height, top=1 - 0.54 / height)
        axes = figure.add_subplot()
        left = pd.Series(0.0, index=values.index)
        for column, color in zip(values.columns, COLORS, strict=False):
            if column in used:
                widths = values[column].astype(float)
                axes.barh(names, widths, left=left, color=color, label=column, height=0.62)
                left += widths
        axes.invert_yaxis()
        for position, total in enumerate(left):
            axes.annotate(f"{total:,.0f}", (total, position), (4, 0), textcoords="offset points", va="center")
        axes.set_xlim(0, left.max() * 1.08)
        axes.legend(frameon=False, ncols=len(used), loc="lower left", bbox_to_anchor=(0, 1), borderpad=0.2,
                    borderaxespad=0, handlelength=1, columnspacing=1.5)
        _label(axes.xaxis, left)
        return _finish(figure, axes, title, pad=22)


@_or_note
def line(values: pd.DataFrame, title: str, size: tuple[float, float] = (WIDTH, 2.6)) -> SVG:
    """Return one line per column over the frame's index of ISO dates. `size` is in inches."""
    days = pd.to_datetime(values.index)
    with rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        for column, color in zip(values.columns, COLORS, strict=False):
            axes.plot(days, values[column].astype(float), color=color, linewidth=1.4,
                      marker="o", markersize=2)
        if len(days) <= 3:
            axes.set_xticks(days, [day.strftime(DAY) for day in days])
        else:
            dates = AutoDateLocator(minticks=3, maxticks=round(size[0]))  # an inch for each label
            axes.xaxis.set_major_locator(dates)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(
                dates, formats=DATES, zero_formats=FIRST_DATES, show_offset=False))
        _label(axes.yaxis, values)
        low, high = axes.get_ylim()
        axes.set_ylim(min(0, low), high if values.to_numpy().any() else 1)
        return _finish(figure, axes, title)


@_or_note
def columns(values: pd.Series, title: str, *, hollow: Sequence[bool]) -> SVG:
    """Return a small chart of upright bars, the latest on the right.

    `hollow` says for each bar whether it is drawn as an outline.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(3.4, 1.2), layout="constrained")
        axes = figure.add_subplot()
        width = 0.75 * min(1, len(values) / FEWEST)
        axes.bar(range(len(values)), values, width=width,
                 color=["none" if mark else COLORS[0] for mark in hollow],
                 edgecolor=[COLORS[3] if mark else COLORS[0] for mark in hollow])
        axes.set_xlim(-0.6, len(values) - 0.4)
        axes.set_ylim(0, (values.max() or 1) * 1.05)
        axes.set_xticks([])
        _label(axes.yaxis, values, most=3)
        return _finish(figure, axes, title)


def _label(axis: Any, values: pd.DataFrame | pd.Series, most: int = 6) -> None:
    """Give an axis labels that differ: whole numbers if all values are whole."""
    is_whole = bool((values == values.round()).to_numpy().all())
    axis.set_major_locator(MaxNLocator(most, integer=is_whole, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(lambda value, _: f"{value:,.6f}".rstrip("0").rstrip("."))


def _finish(figure: Figure, axes: Any, title: str, pad: float = 6) -> SVG:
    axes.set_title(title, fontsize=10, pad=pad)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", alpha=0.15)
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Title": title})
    return SVG(file.getvalue())
