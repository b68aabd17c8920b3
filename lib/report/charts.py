"""Charts for notebooks and pages: matplotlib drawn to SVG, readable on a light and on a dark page.

A chart that cannot be drawn is a note in its place: a picture must not fail the run that it shows.
"""

import io
import textwrap
from collections.abc import Callable, Sequence
from functools import wraps
from html import escape

import pandas as pd
from IPython.display import SVG
from matplotlib import rc_context
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure

from lib.errors import first_line

INK = "#6f747c"  # enough contrast on white and on black
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
    lines = [title, *textwrap.wrap(text, 90)]
    rows = "".join(f'<text x="4" y="{18 * number}">{escape(line)}</text>'
                   for number, line in enumerate(lines, start=1))
    style = f'font-family="sans-serif" font-size="12" fill="{INK}"'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="576" height="{18 * len(lines) + 10}" {style}>'
            f"<title>{escape(title)}</title>{rows}</svg>")


@_or_note
def bars(values: pd.DataFrame, title: str) -> SVG:
    """Return horizontal stacked bars, one per row of the frame, one colour per column."""
    names = values.index.astype(str)
    with rc_context(STYLE):
        height = 0.8 + 0.42 * len(values)
        figure = Figure(figsize=(8, height))
        # Margins by the length of the names. A layout that measures them draws twice, and each step waits.
        figure.subplots_adjust(left=(0.2 + 0.07 * max(map(len, names), default=0)) / 8, right=0.99,
                               bottom=0.32 / height, top=1 - 0.32 / height)
        axes = figure.add_subplot()
        left = pd.Series(0.0, index=values.index)
        for column, color in zip(values.columns, COLORS, strict=False):
            widths = values[column].astype(float)
            axes.barh(names, widths, left=left, color=color, label=column, height=0.62)
            left += widths
        axes.invert_yaxis()
        for position, total in enumerate(left):
            axes.annotate(f" {total:,.0f}", (total, position), va="center")
        axes.margins(x=0.1)
        axes.legend(frameon=False, ncols=4, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)
        return _finish(figure, axes, title)


@_or_note
def line(values: pd.DataFrame, title: str, size: tuple[float, float] = (8, 2.6)) -> SVG:
    """Return one line per column over the frame's index of ISO dates. `size` is in inches."""
    with rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        for column, color in zip(values.columns, COLORS, strict=False):
            axes.plot(pd.to_datetime(values.index), values[column].astype(float), color=color, linewidth=1.4,
                      marker="o", markersize=2)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        return _finish(figure, axes, title)


@_or_note
def columns(values: pd.Series, title: str, *, hollow: Sequence[bool], places: int) -> SVG:
    """Return a small chart of upright bars, the latest on the right, with room for `places` bars.

    `hollow` says for each bar whether it is drawn as an outline.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(3.4, 1.2), layout="constrained")
        axes = figure.add_subplot()
        positions = range(places - len(values), places)
        axes.bar(positions, values, width=0.75, color=["none" if mark else COLORS[0] for mark in hollow],
                 edgecolor=[COLORS[3] if mark else COLORS[0] for mark in hollow])
        axes.set_xlim(-0.6, places - 0.4)
        axes.set_ylim(0, max(values.max(), 1) * 1.05)
        axes.set_xticks([])
        axes.locator_params(axis="y", nbins=3)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        return _finish(figure, axes, title)


def _finish(figure: Figure, axes, title: str) -> SVG:
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", alpha=0.15)
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Title": title})
    return SVG(file.getvalue())
