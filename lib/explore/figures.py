"""The figures of the business report as text and as tables: amounts, counts, shares, and their changes."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from lib.report.pages import format_value

NONE = "–"
CHANGE = "change"  # the name of a column of differences, which are shown with an arrow
SHARE = "share"  # ends the name of a column of shares, which are shown as percentages
# How the periods of key figures are named that stand beside one.
SINCE = {"before": "before", "a week before": "a week before", "a year before": "last year"}


def heading(name: str) -> str:
    """Return the name of a column in words: "Net sales" for net_sales."""
    words = name.replace("_", " ").removesuffix(" id")
    return words[:1].upper() + words[1:]


def shown(name: str, value: Any) -> str:
    """Return a figure as people read it: 12,345.67, 1,234 or 12.3 %; a dash for one that is not there."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if name.endswith(SHARE):
        return f"{100 * value:,.1f} %"
    if name == CHANGE:
        return f"{_sign(value)}{format_value(abs(value), name)}"
    return format_value(value, name)


def changed(name: str, value: Any, before: Any) -> str:
    """Return how a figure differs from an earlier one: "▲ 4.1 %"; of shares, in percentage points."""
    if NONE in (shown(name, value), shown(name, before)):
        return NONE
    difference = value - before
    if name.endswith(SHARE):
        points = round(100 * difference, 1)
        return f"{_sign(points)}{abs(points):,.1f} points"
    if not before:
        return "= 0.0 %" if not difference else f"{_sign(difference)}from 0"
    percent = round(100 * difference / abs(before), 1)
    return f"{_sign(percent)}{abs(percent):,.1f} %"


def _sign(difference: float) -> str:
    return "▲ " if difference > 0 else "▼ " if difference < 0 else "= "


def in_short(name: str, values: pd.Series) -> dict[str, str]:
    """Return a figure of one period with its change; `values` are those of the period and those before."""
    return {"name": name, "shown": shown(str(values.name), values["now"]),
            "note": next(iter(_changes(str(values.name), values.to_dict())), "")}


def key_figures(frame: pd.DataFrame, names: Sequence[str], definitions: Mapping[str, str]) -> str:
    """Return a table in HTML: a row for each figure with its definition, a column for each period.

    `frame` is the answer to the question key_figures. Below each figure stands its change since the period
    before and, where the shop is old enough, since the year before.
    """
    periods = {period: rows.set_index("compared").to_dict("index")
               for period, rows in frame.groupby("period", sort=False)}
    heads = "".join(f"<th class='number'>{escape(heading(period))}"
                    f"<div class='soft'>{_days(rows['now'])}</div></th>" for period, rows in periods.items())
    lines = []
    for name in names:
        cells = "".join(f"<td class='number' data-label='{escape(heading(period))}'>"
                        f"{_compared(name, rows)}</td>" for period, rows in periods.items())
        about = f"<div class='soft definition'>{escape(definitions.get(name, ''))}</div>"
        lines.append(f"<tr><th>{heading(name)}{about}</th>{cells}</tr>")
    return (f"<table class='key'><thead><tr><th>Figure</th>{heads}</tr></thead>"
            f"<tbody>{''.join(lines)}</tbody></table>")


def table(frame: pd.DataFrame, definitions: Mapping[str, str]) -> str:
    """Return rows as a table in HTML whose headers are words, with the definitions on hover."""
    if frame.empty:
        return "<div class='none'>None.</div>"
    kinds = {name: " class='number'" if pd.api.types.is_numeric_dtype(frame[name]) else "" for name in frame}
    heads = "".join(f"<th title='{escape(definitions.get(name, ''))}'{kind}>{escape(heading(name))}</th>"
                    for name, kind in kinds.items())
    lines = ["".join(f"<td{kinds[name]}>{escape(shown(name, value))}</td>" for name, value in row.items())
             for row in frame.astype(object).to_dict("records")]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _days(row: Mapping[str, Any]) -> str:
    first, last = row["first_day"], row["last_day"]
    return last if first == last else f"{first} to {last}"


def _compared(name: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    values = {compared: row[name] for compared, row in rows.items()}
    return "".join(f"<div{kind}>{text}</div>" for kind, text in [
        ("", shown(name, values["now"])), *((" class='soft'", change) for change in _changes(name, values))])


def _changes(name: str, values: Mapping[str, Any]) -> list[str]:
    """Return how a figure differs from those of the periods that stand beside it, and what those were."""
    changes = {earlier: changed(name, values["now"], values[earlier])
               for earlier in SINCE if earlier in values}
    return [f"{change} vs. {shown(name, values[earlier])} {SINCE[earlier]}"
            for earlier, change in changes.items() if change != NONE]
