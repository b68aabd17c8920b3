"""The charts of the index, drawn at the end of a run that had something to do."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from lib.report.charts import columns, line
from lib.report.run_records import CHARTS, STOPPED, describe_run, list_folders, read_runs

TREND = 30  # runs in a chart
WIDE, NARROW = (11, 2.6), (3.6, 2.2)  # inches
FIGURES = {"seconds": "Duration in seconds", "delivered": "Rows delivered", "quarantined": "Rows quarantined",
           "failed_expectations": "Expectations not met"}


def draw_trends(reports: Path, folder: Path, run: dict[str, Any]) -> None:
    """Write `charts.json` in the folder of a run that ends now: charts of the runs up to this one.

    Runs that found nothing new are left out, because they say nothing about the work.
    """
    before = read_runs(list_folders(reports)[:3 * TREND])  # some of them found nothing new
    runs = [describe_run(run, folder), *(other for other in before if other["name"] != folder.name)]
    worked = [run for run in runs if run["verdict"] not in ("damaged", "nothing new")][:TREND][::-1]
    stopped = [run["verdict"] in STOPPED for run in worked]
    all_series = [run["series"] for run in worked if run["series"] and run["series"]["values"]]
    charts = [_draw_series(all_series[-1])] if all_series else []
    for figure, title in FIGURES.items():
        if any(values := [run[figure] for run in worked]):
            charts.append(_draw_trend(title, values, stopped))
    (folder / CHARTS).write_text(json.dumps(charts), encoding="utf-8")


def _draw_series(series: dict[str, Any]) -> dict[str, Any]:
    values = pd.Series(series["values"], dtype="float64")
    *_, (day, last) = values.items()
    wide, narrow = (line(values.to_frame(), series["title"], size).data for size in (WIDE, NARROW))
    return {"title": series["title"], "caption": f"latest: {day} with {last:,.2f}",
            "svg": wide, "narrow": narrow}


def _draw_trend(title: str, values: list[float], stopped: list[bool]) -> dict[str, Any]:
    number = "{:,.1f}" if isinstance(values[-1], float) else "{:,}"
    chart = columns(pd.Series(values), title, hollow=stopped)
    caption = f"latest {number.format(values[-1])}, most {number.format(max(values))}"
    return {"title": title, "caption": caption, "svg": chart.data, "narrow": None}
