"""The charts of the index, drawn at the end of a run that had something to do: runs in time, and what gold shows by day."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from lib.report.charts import columns, line
from lib.report.run_records import CHARTS, STOPPED, describe, read_runs

TREND = 30  # runs in a chart
FEWEST = 12  # it has room for
WIDE, NARROW = (11, 2.6), (3.6, 2.2)  # inches
FIGURES = {"seconds": "Duration in seconds", "delivered": "Rows delivered", "quarantined": "Rows quarantined",
           "failed_expectations": "Expectations not met"}


def draw_trends(reports: Path, folder: Path, run: dict[str, Any]) -> None:
    """Leave `charts.json` in a run's folder: the charts of the runs up to this one, which ends now, with text for each.

    Runs that found nothing new are left out of them: they say nothing about the work.
    """
    before, _ = read_runs(reports, 3 * TREND)
    runs = [describe(run, folder), *(other for other in before if other["name"] != folder.name)]
    worked = [run for run in runs if run["verdict"] not in ("damaged", "nothing new")][:TREND][::-1]
    latest = next((run["series"] for run in reversed(worked) if run["series"] and run["series"]["values"]), None)
    charts = [_draw_series(latest)] if latest else []
    charts += [_draw_trend(title, [run[figure] for run in worked], [run["verdict"] in STOPPED for run in worked])
               for figure, title in FIGURES.items()]
    (folder / CHARTS).write_text(json.dumps(charts), encoding="utf-8")


def _draw_series(series: dict[str, Any]) -> dict[str, Any]:
    values = pd.Series(series["values"], dtype="float64")
    *_, (day, last) = values.items()
    wide, narrow = (line(values.to_frame(), series["title"], size).data for size in (WIDE, NARROW))
    return {"title": series["title"], "said": f"latest: {day} with {last:,.2f}", "svg": wide, "narrow": narrow}


def _draw_trend(title: str, values: list[float], stopped: list[bool]) -> dict[str, Any]:
    number = "{:,.1f}" if isinstance(values[-1], float) else "{:,}"
    return {"title": title, "said": f"latest {number.format(values[-1])}, most {number.format(max(values))}",
            "svg": columns(pd.Series(values), title, hollow=stopped, places=max(len(values), FEWEST)).data, "narrow": None}
