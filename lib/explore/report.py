"""What the notebook of the business report calls: it asks gold, which it only reads, and shows answers."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML, Markdown

from lib.clock import day_in, is_day, utc_now
from lib.contract import SHOP
from lib.errors import UsageError
from lib.explore import figures
from lib.explore.questions import question_named
from lib.explore.readonly import open_database, select
from lib.report.meanings import read_meanings
from lib.report.pages import in_words, used

STALE_DAYS = 7  # without an order, after which the report is about the last day that has one
ABOUT_DAYS = """
    select min(order_date), max(order_date), coalesce(max(iif(order_date <= :today, order_date, null)),
        max(order_date)) from sales_summary_daily"""
LAST_COMMIT = "select max(committed_timestamp) from layer_commits"


@dataclass(frozen=True)
class Report:
    """A report about gold up to a day. `today` is the day of the run, `first` the first with an order."""

    warehouse: Path
    day: str
    today: str
    first: str
    newest: str  # the last day that has an order
    committed: str
    definitions: dict[str, str] = field(repr=False)

    def ask(self, question: str, **given: Any) -> pd.DataFrame:
        """Return the answer to a question in `questions` as a frame. Raises UsageError for a wrong one."""
        asked = question_named(question)
        selection = asked.selection({name: str(value) for name, value in given.items()})
        with open_database(self.warehouse, asked.database) as database:
            rows = select(database, selection.sql, selection.parameters)
            answer = pd.DataFrame.from_records(list(rows.rows), columns=rows.columns)
        answer.attrs["definitions"] = {**self.definitions, **asked.columns}
        return answer

    def back(self, days: int) -> str:
        """Return the day that is so many days before the report's; no earlier than the first of all."""
        day = date.fromisoformat(self.day)
        return (day - min(timedelta(days), day - date.min)).isoformat()

    def title(self) -> Markdown:
        """Return the title, and what a reader must know before the first figure."""
        if not self.newest:
            return Markdown("# Sales\n\nThere are no orders yet.")
        late = _days_between(self.day, self.today)
        return Markdown("\n".join([
            f"# Sales up to {_written_out(self.day)}", "",
            f"All amounts are in {SHOP.currency}." if SHOP.currency else "",
            f"Days are those of the shop, in the time zone {SHOP.timezone}.",
            f"The first order is of {self.first}: nothing is compared with what was before it, and customers "
            "from before it count as new.",
            f"**The last order is of {self.newest}, {late} days before this report was made, so it is about "
            "that day and not about yesterday. Only customers at risk are counted up to the day of the run.**"
            if late > STALE_DAYS else ""]))

    def key_figures(self, answer: pd.DataFrame, names: list[str]) -> HTML:
        """Return figures, each with its definition, for each period beside the earlier ones."""
        return HTML(figures.key_figures(answer, names, answer.attrs["definitions"]))

    def table(self, answer: pd.DataFrame) -> HTML:
        """Return an answer as a table; columns that are 0 or empty in all rows are left out."""
        rows = answer.astype(object).where(answer.notna(), None).to_dict("records")
        return HTML(figures.table(answer[used(answer, rows)], answer.attrs["definitions"]))

    def trust(self, batch_id: str, set_aside: int, warnings: list[str]) -> HTML:
        """Return what a reader has to know about the data behind the figures; no `batch_id`: made by hand."""
        recent = self.ask("sales_by_day", first=self.back(27), last=self.day)
        quiet = list(recent.loc[recent["orders"] == 0, "order_date"])
        facts = [f"The figures were last updated on {self.committed.partition('.')[0]} UTC.",
                 f"The last order is of {self.newest}." if self.newest else "There are no orders yet."]
        if quiet:
            facts.append(f"{len(quiet)} of the last {len(recent)} days have no order: {', '.join(quiet[-5:])}"
                         f"{' and others' if len(quiet) > 5 else ''}.")
        if batch_id:
            facts.append(f"{set_aside:,} rows are set aside, and not in these figures, until a corrected "
                         "file replaces them." if set_aside else "No delivered row is left out.")
            facts += warnings or ["The run that made this report had no warnings."]
        else:
            facts.append("This report was made by hand. python run_pipeline.py status says whether rows are "
                         "set aside or deliveries are overdue.")
        return HTML(f"<ul>{''.join(f'<li>{in_words(fact)}</li>' for fact in facts)}</ul>")

    def record(self, answer: pd.DataFrame, names: list[str]) -> dict[str, Any]:
        """Return the report in short, for the index of the reports and for alerts.

        `figures` has the first of the names for each period, and `of_the_day` all others for the first one.
        """
        first, *others = names
        periods = {period: rows.set_index("compared")
                   for period, rows in answer.groupby("period", sort=False)}
        day = next(iter(periods.values()))
        title = f"{figures.heading(first)} up to {_written_out(self.day)}"
        return {"step": "report", "day": self.day,
                "title": f"{title}, in {SHOP.currency}" if SHOP.currency else title,
                "figures": [figures.in_short(figures.heading(period), rows[first])
                            for period, rows in periods.items()],
                "of_the_day": [figures.in_short(figures.heading(name), day[name]) for name in others]}


def open_report(warehouse: str, day: str = "", as_of: str = "") -> Report:
    """Return a report about a day: by default the day before `as_of`, which by default is today in the shop.

    If there was no order for a week, the report is about the last day that has one. Raises UsageError when
    there is no gold, and for what is not a day.
    """
    for name, given in {"day": day, "as_of": as_of}.items():
        if given and not is_day(given):
            raise UsageError(f"{name} is {given!r}. Write a day such as 2025-12-30, or leave it empty.")
    today = as_of or day_in(SHOP.timezone, utc_now())
    with open_database(Path(warehouse).resolve(), "gold") as database:
        first, newest, latest = next(select(database, ABOUT_DAYS, {"today": today}).rows)
        [committed] = next(select(database, LAST_COMMIT).rows)
    yesterday = (date.fromisoformat(today) - timedelta(days=1)).isoformat()
    is_stale = latest and (latest > yesterday or _days_between(latest, yesterday) >= STALE_DAYS)
    return Report(Path(warehouse).resolve(), day or (latest if is_stale else yesterday), today, first or "",
                  newest or "", committed or "", _definitions())


def _definitions() -> dict[str, str]:
    """Return what the columns of gold mean, by name: of the daily sums first, which most figures are."""
    of_gold = read_meanings()["gold"]
    tables = ("reporting_sales_wide", "reporting_customer_stats", "sales_summary_daily")
    return {name: text for table in tables for name, text in of_gold[table].items()}


def _days_between(first: str, last: str) -> int:
    return (date.fromisoformat(last) - date.fromisoformat(first)).days


def _written_out(day: str) -> str:
    return f"{date.fromisoformat(day):%A, %-d %B %Y}"
