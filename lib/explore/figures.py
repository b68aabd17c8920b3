"""The figures of the business report as text and as tables: amounts, counts, shares, and their changes."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from lib.report.pages import format_value

NONE = "–"
SHARE = "share"  # ends the name of a column of shares, which are shown as percentages
SINCE = {"before": "before", "a year before": "last year"}  # in the changes of key figures


def in_words(name: str) -> str:
    """Return the name of a column in words: "Net sales" for net_sales."""
    words = name.replace("_", " ").removesuffix(" id")
    return words[:1].upper() + words[1:]


def shown(name: str, value: Any) -> str:
    """Return a figure as people read it: 12,345.67, 1,234 or 12.3 %; a dash for one that is not there."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if name.endswith(SHARE):
        return f"{100 * value:,.1f} %"
    return format_value(value, name)


def changed(name: str, value: Any, before: Any) -> str:
    """Return how a figure differs from an earlier one: "▲ 4.1 %"; of shares, in percentage points."""
    if NONE in (shown(name, value), shown(name, before)):
        return NONE
    difference = value - before
    sign = "▲ " if difference > 0 else "▼ " if difference < 0 else "= "
    if name.endswith(SHARE):
        return f"{sign}{abs(100 * difference):,.1f} points"
    if not difference:
        return "= 0.0 %"
    return f"{sign}{abs(100 * difference / before):,.1f} %" if before else f"{sign}from 0"


def in_short(name: str, values: pd.Series) -> dict[str, str]:
    """Return a figure of one period with its change; `values` are those of the period and those before."""
    change = changed(str(values.name), values["now"], values.get("before"))
    return {"name": name, "shown": shown(str(values.name), values["now"]),
            "note": "" if change == NONE else f"{change} vs. before"}


def key_figures(frame: pd.DataFrame, names: Sequence[str], definitions: Mapping[str, str]) -> str:
    """Return a table in HTML: a row for each figure with its definition, a column for each period.

    `frame` is the answer to the question key_figures. Below each figure stands its change since the period
    before and, where the shop is old enough, since the year before.
    """
    periods = {period: rows.set_index("compared").to_dict("index")
               for period, rows in frame.groupby("period", sort=False)}
    heads = "".join(f"<th>{escape(in_words(period))}<div class='soft'>{_days(rows['now'])}</div></th>"
                    for period, rows in periods.items())
    lines = []
    for name in names:
        cells = "".join(f"<td class='number'>{_compared(name, rows)}</td>" for rows in periods.values())
        about = f"<div class='soft definition'>{escape(definitions.get(name, ''))}</div>"
        lines.append(f"<tr><th>{in_words(name)}{about}</th>{cells}</tr>")
    return f"<table><thead><tr><th>Figure</th>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def table(frame: pd.DataFrame, definitions: Mapping[str, str]) -> str:
    """Return rows as a table in HTML whose headers are words, with the definitions on hover."""
    if frame.empty:
        return "<div class='none'>None.</div>"
    kinds = {name: " class='number'" if pd.api.types.is_numeric_dtype(frame[name]) else "" for name in frame}
    heads = "".join(f"<th title='{escape(definitions.get(name, ''))}'{kind}>{escape(in_words(name))}</th>"
                    for name, kind in kinds.items())
    lines = ["".join(f"<td{kinds[name]}>{escape(shown(name, value))}</td>" for name, value in row.items())
             for row in frame.astype(object).to_dict("records")]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _days(row: Mapping[str, Any]) -> str:
    first, last = row["first_day"], row["last_day"]
    return last if first == last else f"{first} to {last}"


def _compared(name: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    now = rows["now"][name]
    changes = {earlier: changed(name, now, rows[earlier][name]) for earlier in rows if earlier != "now"}
    return shown(name, now) + "".join(f"<div class='soft'>{change} vs. {SINCE[earlier]}</div>"
                                      for earlier, change in changes.items() if change != NONE)
