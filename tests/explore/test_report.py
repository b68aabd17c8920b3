"""Every figure of the business report is what plain Python computes from the CSV files, exactly."""

import json
import re
import shutil
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import in_process
import nbformat
import oracle
import pytest
from conftest import CUSTOMERS, LINES, ORDERS, PAYMENTS, PRODUCTS, PROJECT, Shop

from data.generate import generate
from lib.errors import UsageError
from lib.explore.report import Report, open_report
from lib.runner.business_report import is_outdated
from lib.steps import NOTEBOOKS, Options

Span = tuple[str, str]


def back(day: str, days: int) -> str:
    return (date.fromisoformat(day) - timedelta(days=days)).isoformat()


def sources_of(folder: Path) -> dict[str, dict[str, dict]]:
    return {source: oracle.latest_rows(sorted(folder.glob(f"{source}*.csv")), source)
            for source in oracle.KEYS}


class Expected:
    """What the files of a shop say, by the oracle's gold."""

    def __init__(self, folder: Path, as_of: str):
        self.sources = sources_of(folder)
        gold = oracle.gold(self.sources, as_of)
        self.daily, self.stats = gold["sales_summary_daily"], gold["reporting_customer_stats"]
        self.wide = gold["reporting_sales_wide"].values()
        self.opened, self.newest = min(self.daily), max(self.daily)

    def days(self, span: Span) -> list[dict]:
        return [day for name, day in self.daily.items() if span[0] <= name <= span[1]]

    def lines(self, span: Span) -> list[dict]:
        return [line for line in self.wide if line["order_date"] and span[0] <= line["order_date"] <= span[1]]

    def net_by(self, span: Span, of) -> dict[str, Decimal]:
        found = defaultdict(Decimal)
        for line in self.lines(span):
            if line["is_sale"]:
                found[of(line)] += line["net_amount"]
        return found

    def key_figures(self, span: Span) -> dict[str, Decimal | int | None]:
        def total(name: str):
            return sum((day[name] for day in self.days(span)), Decimal(0))

        def share(part: Decimal, whole: Decimal):
            return part / whole if whole else None

        net, returned, cancelled = total("net_sales"), total("returned_amount"), total("cancelled_amount")
        kept = total("orders") - total("cancelled_orders")
        buyers = {line["customer_id"] for line in self.lines(span)} - {None}
        return {
            "net_sales": net, "orders": total("orders"),
            "average_order": oracle.cents(net / kept) if kept else None,
            "units": total("units"), "discounts": total("discounts"),
            "discount_share": share(total("discounts"), total("gross_sales")),
            "returned_amount": returned, "returned_share": share(returned, net + returned),
            "cancelled_orders": total("cancelled_orders"), "cancelled_amount": cancelled,
            "cancelled_share": share(cancelled, net + cancelled),
            "new_customers": sum(span[0] <= one["first_order_date"] <= span[1]
                                 for one in self.stats.values()),
            "returning_customers": sum(self.stats[one]["first_order_date"] < span[0] for one in buyers),
            "total_sales": total("total_sales"), "payments_received": total("payments_received")}


def month_before(day: str, months: int) -> Span:
    """Return the same days of the month so many months before, as far as it has them."""
    at = date.fromisoformat(day)
    number = at.year * 12 + at.month - 1 - months
    first = date(number // 12, number % 12 + 1, 1)
    end = date((number + 1) // 12, (number + 1) % 12 + 1, 1) - timedelta(days=1)
    return first.isoformat(), min(first + timedelta(days=at.day - 1), end).isoformat()


def spans_of(day: str) -> dict[tuple[str, str], Span]:
    spans = {}
    for days, name in ((1, "the day"), (7, "last 7 days"), (28, "last 28 days")):
        for compared, ago in (("now", 0), ("before", days), ("a year before", 364)):
            spans[name, compared] = back(day, days - 1 + ago), back(day, ago)
    spans["the day", "a week before"] = back(day, 7), back(day, 7)
    for compared, months in (("now", 0), ("before", 1), ("a year before", 12)):
        spans["month so far", compared] = month_before(day, months)
    return spans


@pytest.fixture(scope="module")
def two_years(tmp_path_factory) -> Shop:
    """A generated shop with two years of orders."""
    shop = Shop(tmp_path_factory.mktemp("two_years"))
    generate(shop.source, orders=5100, seed=11)
    with pytest.MonkeyPatch.context() as patch:
        in_process.run(shop, patch, now="2025-12-31 06:00:00.000000")
    return shop


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Shop:
    """Guests, returns, cancelled orders, an order without lines, a line without its order, a day ahead."""
    shop = Shop(tmp_path_factory.mktemp("odd"))
    shop.deliver("customers.csv", CUSTOMERS, "C1,Ann,A,,,,,,vip")
    shop.deliver("products.csv", PRODUCTS, "P1,Cup,Kitchen,,,2.00,")
    shop.deliver("orders.csv", ORDERS, "O1,C1,2024-02-29,web,10.00,placed", "O2,,2025-03-31,,5.05,placed",
                 "O3,C1,2025-03-31,WEB,7.00,cancelled", "O4,C2,2025-03-30,web,1.00,placed",
                 "O5,C1,2025-03-04,store,-2.00,returned", "O6,C3,2025-05-01,web,9.00,placed")
    shop.deliver("order_lines.csv", LINES, "L1,O1,P1,1,10.00,", "L2,O2,P1,1.5,3.37,0.01", "L3,O3,P2,1,7.00,",
                 "L4,O5,P1,-1,2.00,", "L5,O9,P1,1,1.00,", "L6,O6,P3,3,3.00,")
    shop.deliver("payments.csv", PAYMENTS, "Y1,O1,2024-02-29,card,SUCCESS,10.00",
                 "Y2,O2,2025-03-31,card,FAILED,5.05")
    with pytest.MonkeyPatch.context() as patch:
        in_process.run(shop, patch, now="2025-04-01 06:00:00.000000")
    return shop


@pytest.fixture(scope="module")
def real(chinook: Path, tmp_path_factory) -> Shop:
    """The real shop of chinook."""
    shop = Shop(tmp_path_factory.mktemp("real"))
    for path in chinook.glob("*.csv"):
        shop.deliver(path.name, *path.read_text(encoding="utf-8").splitlines())
    with pytest.MonkeyPatch.context() as patch:
        in_process.run(shop, patch, now="2025-12-23 06:00:00.000000")
    return shop


SHOPS = pytest.mark.parametrize(("name", "as_of"), [
    ("loaded", "2025-12-31"), ("two_years", "2025-12-31"), ("odd", "2025-04-01"), ("real", "2025-12-23")])


@pytest.fixture
def asked(request, name: str, as_of: str) -> tuple[Report, Expected]:
    shop = request.getfixturevalue(name)
    return open_report(str(shop.warehouse), as_of=as_of), Expected(shop.source, as_of)


@SHOPS
def test_every_key_figure_of_every_period_is_that_of_the_files(asked, as_of: str):
    report, expected = asked
    assert report.day == back(as_of, 1)
    answer = report.ask("key_figures", day=report.day, periods="1,7,28")
    found = {(row["period"], row["compared"]): row for row in answer.astype(object).to_dict("records")}
    spans = {key: span for key, span in spans_of(report.day).items()
             if key[1] == "now" or span[0] >= expected.opened}
    assert found.keys() == spans.keys()
    for key, span in spans.items():
        assert (found[key]["first_day"], found[key]["last_day"]) == span
        for figure, value in expected.key_figures(span).items():
            assert same(found[key][figure], value), (key, figure)


def same(found, expected) -> bool:
    """Whether a figure is the expected one: amounts to the cent, shares to what a double holds."""
    if expected is None:
        return found is None or found != found
    return abs(Decimal(repr(found)) - expected) < Decimal("1e-9")


@SHOPS
def test_sales_by_category_channel_and_country_are_those_of_the_files(asked):
    report, expected = asked
    span = back(report.day, 27), report.day
    earlier = back(span[0], 28), back(span[0], 1)
    orders, sources = expected.sources["orders"], expected.sources

    def channel(line: dict) -> str:
        return orders[line["order_id"]]["channel"] or "(no channel)"

    def country(line: dict) -> str:
        return sources["customers"].get(line["customer_id"], {}).get("country") or "(no country)"

    def category(line: dict) -> str:
        return sources["products"].get(line["product_id"], {}).get("category") or "(no category)"

    for question, of in (("category", category), ("channel", channel), ("country", country)):
        answer = report.ask(f"sales_by_{question}", first=span[0], last=span[1])
        now, before = (expected.net_by(when, lambda line, of=of: of(line).lower())
                       for when in (span, earlier))
        found = {row[question].lower(): row for row in answer.to_dict("records")}
        assert now.keys() | before.keys() <= found.keys()
        is_comparable = earlier[0] >= expected.opened
        for name, row in found.items():
            assert same(row["net_sales"], now[name]), (question, name)
            assert same(row["before"], before[name] if is_comparable else None), (question, name)
            assert same(row["change"], now[name] - before[name] if is_comparable else None), (question, name)


@SHOPS
def test_the_products_and_customers_that_moved_most_are_those_of_the_files(asked):
    report, expected = asked
    span = back(report.day, 27), report.day
    earlier = back(span[0], 28), back(span[0], 1)
    for question, key in (("products_that_moved", "product_id"), ("customers_that_moved", "customer_id")):
        now = expected.net_by(span, lambda line, key=key: line[key])
        before = expected.net_by(earlier, lambda line, key=key: line[key])
        changes = {name: now[name] - before[name] for name in {*now, *before} - {None}}
        ranked = sorted(changes, key=lambda name: (-changes[name], name))
        fallen = sorted(changes, key=lambda name: (changes[name], name))
        wanted = {name for name in ranked[:10] if changes[name] > 0}
        wanted |= {name for name in fallen[:10] if changes[name] < 0}
        wanted = wanted if earlier[0] >= expected.opened else set()
        answer = report.ask(question, first=span[0], last=span[1])
        assert set(answer[key]) == wanted
        for row in answer.to_dict("records"):
            assert same(row["change"], changes[row[key]])


@SHOPS
def test_days_and_months_are_those_of_the_files_also_the_days_without_an_order(asked):
    report, expected = asked
    first = max(back(report.day, 90), expected.opened)
    days = [back(report.day, ago) for ago in range(91)][::-1]
    net = {day: expected.daily.get(day, {}).get("net_sales", Decimal(0)) for day in days}
    found = report.ask("sales_by_day", first=back(report.day, 90), last=report.day).to_dict("records")
    assert [row["order_date"] for row in found] == [day for day in days if day >= first]
    assert all(same(row["net_sales"], net[row["order_date"]]) for row in found)
    week = [expected.daily.get(back(report.day, ago), {}).get("net_sales", Decimal(0)) for ago in range(7)]
    if back(report.day, 6) >= expected.opened:
        assert same(found[-1]["weekly_average"], oracle.cents(sum(week, Decimal(0)) / 7))
    months = defaultdict(Decimal)
    for day, figures in expected.daily.items():
        months[day[:7]] += figures["net_sales"]
    for row in report.ask("sales_by_month").to_dict("records"):
        assert same(row["net_sales"], months[row["month"]])
    received = report.ask("received_and_sold")
    for name in ("total_sales", "payments_received", "open_amount"):
        assert same(round(float(received[name].sum()), 2),
                    sum((day[name] for day in expected.daily.values()), Decimal(0)))


def made_by_hand(warehouse: Path, **parameters) -> dict:
    """Run the cells of the report's notebook here; return what they leave."""
    names: dict = {}
    for cell in nbformat.read(NOTEBOOKS / "report.ipynb", 4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, cell.id, "exec"), names)
            if "parameters" in cell.metadata.get("tags", []):
                names |= {"warehouse": str(warehouse), **parameters}
    return names


@pytest.mark.parametrize("days", [
    [], ["2025-03-31"], ["2015-04-01", "2025-03-31"], ["0001-01-01"], ["9999-12-31"],
    ["0001-01-01", "2025-03-20", "9999-12-31"]])
def test_a_shop_of_any_days_has_a_report_also_one_without_orders(days: list[str], small: Shop, monkeypatch):
    for path in (*small.source.iterdir(), *small.warehouse.glob("*.db*")):
        path.unlink()
    small.deliver("orders.csv", ORDERS, *(f"O{number},C1,{day},,{number}.00,placed"
                                          for number, day in enumerate(days, start=1)))
    in_process.run(small, monkeypatch, now="2025-04-01 06:00:00.000000", may_lack_deliveries=True)
    names = made_by_hand(small.warehouse, as_of="2025-04-01")
    report, found = names["report"], names["key_figures"]
    about = {(): "2025-03-31", ("2015-04-01", "2025-03-31"): "2025-03-31",
             ("0001-01-01", "2025-03-20", "9999-12-31"): "2025-03-20"}
    assert report.day == about.get(tuple(days), days[:1] and days[0])
    now = found[found["compared"] == "now"]
    assert next(iter(now["orders"])) == (report.day in days)
    title = report.title().data
    assert ("There are no orders yet" in title) == (not days)
    assert (f"The first order is of {min(days, default='')}" in title) == bool(days)


def test_the_report_is_made_by_hand_for_any_day_and_periods(two_years: Shop):
    names = made_by_hand(two_years.warehouse, day="2025-06-15", periods=[3, 10])
    found = names["key_figures"]
    expected = Expected(two_years.source, "2025-12-31")
    assert list(dict.fromkeys(found["period"])) == ["last 3 days", "last 10 days", "month so far"]
    for row in found.to_dict("records"):
        figures = expected.key_figures((row["first_day"], row["last_day"]))
        assert same(row["net_sales"], figures["net_sales"])
    assert names["report"].trust("", 0, []).data.count("made by hand") == 1


@pytest.mark.parametrize(("name", "text"), [
    ("day", "31.12.2025"), ("day", "20251231"), ("as_of", "yesterday")])
def test_a_report_of_what_is_no_day_says_how_to_write_one(loaded: Shop, name: str, text: str):
    with pytest.raises(UsageError, match=f"{name} is '{text}'. Write a day such as"):
        open_report(str(loaded.warehouse), **{name: text})


def test_the_report_is_outdated_when_a_question_or_the_gold_of_its_warehouse_has_changed(
        loaded: Shop, tmp_path: Path, monkeypatch):
    options = Options(loaded.source, loaded.warehouse, tmp_path)
    assert is_outdated(options)
    shutil.copy(loaded.reports / "report.json", tmp_path)  # of another warehouse, seen from there
    assert not is_outdated(options)
    options = Options(loaded.source, loaded.warehouse, loaded.reports)
    assert not is_outdated(options)
    monkeypatch.setattr("lib.storage.lookup.last_timestamp", lambda *_: "2030-01-01")
    assert is_outdated(options)
    monkeypatch.undo()
    for name in ("notebooks", "questions"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    monkeypatch.setattr("lib.runner.business_report.PROJECT", tmp_path)
    assert not is_outdated(options)
    with (tmp_path / "questions" / "sales_by_day.sql").open("a") as question:
        question.write("-- changed")
    assert is_outdated(options)


def test_the_report_says_what_its_run_has_reported(loaded: Shop):
    report = open_report(str(loaded.warehouse), as_of="2025-12-31")
    told = report.trust("20251231T060000.000000", 3, ["payments: no delivery for <b>9 days</b>"]).data
    assert "3 rows are set aside" in told and "no delivery for &lt;b&gt;9 days&lt;/b&gt;" in told
    assert "No delivered row is left out" in report.trust("20251231T060000.000000", 0, []).data


def test_the_index_begins_with_the_figures_of_the_report(loaded: Shop):
    index = (loaded.reports / "index.html").read_text(encoding="utf-8")
    report = json.loads((loaded.reports / "report.json").read_text(encoding="utf-8"))
    assert index.index('href="report.html"') < index.index("<h1")
    assert [figure["name"] for figure in report["figures"]] == [
        "The day", "Last 7 days", "Last 28 days", "Month so far"]
    places = [index.index(f">{figure['shown']}<") for figure in report["figures"]]
    assert places == sorted(places) and places[-1] < index.index("Pipeline runs</h")


def test_the_report_of_a_run_shows_these_figures(loaded: Shop):
    """The run is of today: the sample's last order is so long ago that the report is about its day."""
    page = (loaded.reports / "report.html").read_text(encoding="utf-8")
    expected = Expected(loaded.source, "2025-12-31")
    assert expected.newest == "2025-12-30"
    assert "Sales up to Tuesday, 30 December 2025" in page and "The last order is of 2025-12-30, " in page
    for (_, compared), span in spans_of("2025-12-30").items():
        if compared == "now":
            figures = expected.key_figures(span)
            assert f">{figures['net_sales']:,.2f}<" in page and f">{figures['orders']:,}<" in page
    assert "<script" not in page and not re.search(r"(src|href)=.http", page)
