"""Datasette over the loaded warehouse: what it shows, where its links lead, and who may ask."""

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, urljoin
from urllib.request import Request, urlopen

import pytest
from conftest import LAYERS, PROJECT, Shop
from ruamel.yaml import YAML

from lib.cli.main import main

METADATA = YAML(typ="safe").load(PROJECT / "browse" / "metadata.yml")["databases"]
QUERIES = [(database, name) for database, shown in METADATA.items() for name in shown["queries"]]


@dataclass(frozen=True)
class Site:
    """What is served, and the shop that it is of."""

    address: str
    shop: Shop

    def get(self, path: str, host: str | None = None) -> str:
        with urlopen(Request(urljoin(self.address, path), headers={"Host": host} if host else {}),
                     timeout=30) as answer:
            return answer.read().decode()

    def json(self, path: str) -> dict:
        return json.loads(self.get(path))

    def rows(self, path: str) -> list[dict]:
        return self.json(f"{path}{'&' if '?' in path else '?'}_shape=objects")["rows"]

    def links(self, path: str) -> dict[str, str]:
        """Return the links of a page, by their text."""
        found = re.findall(r'<a href="([^"]+)"[^>]*>([^<]+)</a>', self.get(path))
        return {unescape(text): unescape(target) for target, text in found}


@pytest.fixture(scope="module")
def site(loaded: Shop, tmp_path_factory) -> Iterator[Site]:
    """The server on a copy of the sample, started as `make browse` starts it but for folders and port."""
    shop = Shop(tmp_path_factory.mktemp("browsed") / "a shop")
    shutil.copytree(loaded.folder, shop.folder)
    command = shop.command("browse", "--port", "0")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        try:
            messages = ""
            for line in server.stderr:
                messages += line
                if found := re.search(r"running on (http://\S+)", line):
                    break
            else:
                raise AssertionError(messages)
            yield Site(found[1], shop)
        finally:
            server.terminate()


def test_the_first_page_leads_to_the_databases_the_reports_and_the_daily_questions(site: Site):
    links = site.links("/")
    assert {links[layer] for layer in LAYERS} == {f"/{layer}" for layer in LAYERS}
    for text in ("Yesterday's sales", "best customers", "Last failures", "open quarantine", "orphans"):
        assert "<table" in site.get(links[text]) or "0 results" in site.get(links[text])


def test_every_table_is_shown_with_its_rows(site: Site):
    for layer in LAYERS:
        shown = {table["name"]: table["count"] for table in site.json(f"/{layer}.json")["tables"]}
        tables = [table for (table,) in site.shop.query(
            layer, "select name from sqlite_schema where type = 'table' and name not like 'sqlite%'")]
        assert shown == dict(zip(tables, site.shop.counts(layer, *tables), strict=True))


@pytest.mark.parametrize("database, name", QUERIES)
def test_every_question_is_answered(database: str, name: str, site: Site):
    answer = site.json(f"/{database}/{name}.json?_shape=objects&order_id=0000001")
    assert answer["ok"] and answer["columns"]
    finds_nothing_in_the_sample = name in ("open_quarantine", "orphans", "last_failures")
    assert answer["rows"] or finds_nothing_in_the_sample


def test_the_best_customers_and_yesterdays_sales_are_those(site: Site):
    best = [row["customer_id"] for row in site.rows("/gold/best_customers.json")]
    assert [(customer,) for customer in best] == site.shop.query(
        "gold", "select customer_id from reporting_customer_stats "
                "order by lifetime_value desc, customer_id limit 50")
    assert site.rows("/gold/yesterdays_sales.json")[0]["order_date"] == site.shop.query(
        "gold", "select max(order_date) from sales_summary_daily where order_date < date('now')")[0][0]


def test_facets_are_set_up_where_they_help(site: Site):
    for database, shown in METADATA.items():
        for table, settings in shown["tables"].items():
            facets = site.json(f"/{database}/{table}.json?_size=0")["facet_results"]
            assert set(facets) == set(settings.get("facets", ())), table
    tiers = site.json("/gold/reporting_customer_stats.json?_size=0")["facet_results"]["value_tier"]["results"]
    assert sum(tier["count"] for tier in tiers) == 432


# Links

FOLLOWED = [
    ("/gold/reporting_sales_wide?_size=1", "order_id", "/curated/fact_orders"),
    ("/gold/reporting_sales_wide?_size=1", "product_id", "/curated/dim_products"),
    ("/gold/best_customers", "customer_id", "/curated/dim_customers"),
    ("/curated/fact_order_lines?_size=1", "order_id", "/curated/fact_orders"),
    ("/curated/fact_orders?_size=1", "customer_id", "/curated/dim_customers"),
    ("/raw/payments?_size=1", "order_id", "/curated/fact_orders"),
    ("/raw/payments?_size=1", "source_filename", "/raw/deliveries"),
]


def cell(site: Site, page: str, column: str) -> str:
    return re.search(rf'<td class="col-{column}(?: [^"]*)?">(.*?)</td>', site.get(page), re.S)[1].strip()


@pytest.mark.parametrize("page, column, target", FOLLOWED)
def test_a_key_leads_to_the_one_row_that_it_names(page: str, column: str, target: str, site: Site):
    address, value = re.fullmatch(r'<a href="([^"]+)">([^<]+)</a>', cell(site, page, column)).groups()
    path, _, question = address.partition("?")
    assert path == target
    (row,) = site.rows(f"{path}.json?{question}")
    assert row[column] == value


def test_a_row_leads_to_the_rows_that_name_it_and_to_what_was_delivered(site: Site):
    links = dict(re.findall(r'<a href="([^"]+)">([^<]+)</a>',
                            cell(site, "/curated/fact_orders/1", "order_id")))
    assert list(links.values()) == ["as delivered", "fact_order_lines", "fact_payments"]
    (order,) = site.shop.query("curated", "select order_id from fact_orders where row_id = 1")
    for address, text in links.items():
        path, _, question = address.partition("?")
        found = site.rows(f"{path}.json?{question}")
        layer, table = ("raw", "orders") if text == "as delivered" else ("curated", text)
        sql = f"select count(*) from {table} where order_id = ?"
        assert len(found) == site.shop.query(layer, sql, *order)[0][0] > 0


def test_a_quarantined_row_leads_to_its_line_and_to_the_row_that_is_current(site: Site):
    sql = ("select 'dim_customers' as table_name, 'customers' as source_name, 7 as raw_row_id, "
           "'00007' as record_key")
    page = f"/curated?sql={quote(sql)}"
    assert 'href="/raw/customers/7"' in cell(site, page, "raw_row_id")
    assert site.rows("/raw/customers/7.json")
    assert 'href="/curated/dim_customers?customer_id__exact=00007"' in cell(site, page, "record_key")
    elsewhere = f"/curated?sql={quote('select 1 as raw_row_id, 2 as record_key')}"
    assert cell(site, elsewhere, "record_key") == "2"


def test_a_run_leads_to_its_page_and_from_there_to_notebooks_and_data_docs(site: Site):
    address = re.search(r'href="([^"]+)"', cell(site, "/gold/sales_summary_daily?_size=1", "batch_id"))[1]
    page = site.get(address)
    linked = {urljoin(address, target.partition("#")[0]) for target in re.findall(r'href="([^"]+)"', page)
              if ":" not in target}
    assert {Path(target).name for target in linked} >= {"4_gold.html", "1_raw.html"}
    assert any("data_docs/index.html" in target for target in linked)
    for target in linked:
        assert site.get(target)
    assert site.get("/reports") == site.get("/reports/") == (site.shop.reports / "index.html").read_text()


def test_money_is_shown_with_its_cents_and_hostile_text_as_text(site: Site):
    sql = "select 5.0 as price, 2.0 as quantity, char(60) || 1 as customer_id, char(60) || 2 as batch_id"
    page = f"/gold?sql={quote(sql)}"
    assert (cell(site, page, "price"), cell(site, page, "quantity")) == ("5.00", "2")
    assert ">&lt;1</a>" in cell(site, page, "customer_id") and ">&lt;2</a>" in cell(site, page, "batch_id")


# Only reading, only from here

def refused(site: Site, path: str, **how) -> int:
    with pytest.raises(HTTPError) as error:
        site.get(path, **how)
    error.value.close()
    return error.value.code


@pytest.mark.parametrize("sql", [
    "delete from sales_summary_daily", "with a as (select 1) delete from sales_summary_daily",
    "attach '/tmp/x' as x", "pragma query_only = 0"])
def test_what_is_no_select_changes_nothing(sql: str, site: Site):
    assert refused(site, f"/gold.json?sql={quote(sql)}") == 400
    assert site.shop.counts("gold", "sales_summary_daily") == [60]


def test_nothing_outside_the_reports_is_served(site: Site):
    for path in ("/reports/%2e%2e/warehouse/gold.db", "/reports/%2e%2e/source/orders.csv",
                 "/reports//etc/passwd", "/gold.db"):
        assert refused(site, path) in (400, 403, 404)


def test_it_listens_on_this_machines_own_address_only(site: Site):
    port = int(site.address.rpartition(":")[2])
    listening = [line.split()[1] for table in ("tcp", "tcp6")
                 for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
                 if line.split()[3] == "0A"]
    assert [place for place in listening if place.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_a_page_elsewhere_cannot_read_along_under_a_name_of_its_own(site: Site):
    assert refused(site, "/gold.json", host="shop.example:8001") == 403
    assert site.json("/gold.json")["tables"]
    assert json.loads(site.get("/gold.json", host="localhost:8001"))["tables"]


def test_a_run_goes_on_while_it_is_browsed_and_is_seen_at_once(site: Site, warm):
    before = len(site.rows("/audit/last_runs.json"))
    header = (site.shop.source / "customers.csv").read_text().splitlines()[0]
    site.shop.deliver("customers_late.csv", header, "late-1,Ann,Lee" + "," * (header.count(",") - 2))
    warm.run(site.shop)
    assert len(site.rows("/audit/last_runs.json")) == before + 1
    [row] = site.rows("/curated/dim_customers.json?customer_id__exact=late-1")
    assert row["first_name"] == "Ann"


# Errors

def test_without_databases_reports_or_port_it_says_what_to_do(loaded: Shop, tmp_path: Path, capsys):
    there = ["--warehouse", str(loaded.warehouse), "--reports", str(loaded.reports)]
    with socket.create_server(("127.0.0.1", 0)) as other:
        for arguments, words in ((["--warehouse", str(tmp_path)], f"{tmp_path}.*--warehouse"),
                                 ([*there[:3], str(tmp_path / "none")], f"{tmp_path}/none.*--reports"),
                                 ([*there, "--port", str(other.getsockname()[1])], r"port \d+.*--port")):
            assert main(["browse", *arguments]) == 2
            error = capsys.readouterr().err
            assert re.match(f"error: .*{words}", error) and error.count("\n") == 1


@pytest.mark.parametrize("path", ["/gold.csv?sql=", "/gold.csv?_dl=1&sql="])
def test_csv_runs_no_formula_in_a_spreadsheet_and_keeps_numbers(path: str, site: Site):
    sql = """select '=1+1' as a, -2.5 as b, '@x' as c, 'y
=z' as d, '-' as e"""
    assert site.get(path + quote(sql)).replace("\r\n", "\n") == 'a,b,c,d,e\n\'=1+1,-2.5,\'@x,"y\n=z",\'-\n'
