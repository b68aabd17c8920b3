"""Datasette over the loaded warehouse: what it shows, where its links lead, who may ask, and how much."""

import csv
import json
import os
import pickle
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from html import unescape
from http.cookiejar import CookieJar
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, urljoin
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, OpenerDirector, Request, build_opener

import pexpect
import pytest
from chromium import CHROMIUM, needed
from conftest import LAYERS, PROJECT, Shop
from ruamel.yaml import YAML
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait
from terminal import on_terminal

from lib.cli.main import main
from lib.explore import worker
from lib.explore.questions import questions
from lib.storage.sql import file_uri

METADATA = YAML(typ="safe").load(PROJECT / "browse" / "metadata.yml")["databases"]
QUERIES = [(question.database, question.name) for question in questions().values()]


@dataclass(frozen=True)
class Site:
    """What is served, its shop, the address that was printed, and a user who has opened it."""

    opening: str
    shop: Shop
    user: OpenerDirector

    @property
    def address(self) -> str:
        return self.opening.partition("/?")[0]

    @property
    def token(self) -> str:
        return self.opening.partition("?")[2]

    def get(self, path: str, **headers: str) -> str:
        with self.user.open(Request(urljoin(self.address, path), headers=headers), timeout=100) as answer:
            return answer.read().decode()

    def json(self, path: str) -> dict:
        return json.loads(self.get(path))

    def rows(self, path: str) -> list[dict]:
        return self.json(f"{path}{'&' if '?' in path else '?'}_shape=objects")["rows"]

    def links(self, path: str) -> dict[str, str]:
        """Return the links of a page, by their text."""
        found = re.findall(r'<a href="([^"]+)"[^>]*>([^<]+)</a>', self.get(path))
        return {unescape(text): unescape(target) for target, text in found}


@contextmanager
def served(shop: Shop) -> Iterator[Site]:
    """Serve a shop, as `make browse` does but for folders and port."""
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
            user = build_opener(HTTPCookieProcessor(CookieJar()))
            user.open(found[1]).close()
            yield Site(found[1], shop, user)
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def site(loaded: Shop, tmp_path_factory) -> Iterator[Site]:
    """The server on a copy of the sample."""
    shop = Shop(tmp_path_factory.mktemp("browsed") / "a shop")
    shutil.copytree(loaded.folder, shop.folder)
    with served(shop) as site:
        yield site


def test_the_first_page_leads_to_the_databases_the_reports_and_the_daily_questions(site: Site):
    links = site.links("/")
    assert {links[layer] for layer in LAYERS} == {f"/{layer}" for layer in LAYERS}
    for text in ("Yesterday's sales", "best customers", "Last failures", "open quarantine", "orphans"):
        assert "<table" in site.get(links[text]) or "0 results" in site.get(links[text])


def test_the_first_link_is_the_report_and_without_one_the_index(site: Site):
    report, index = site.shop.reports / "report.html", site.shop.reports / "index.html"
    [first, *_] = re.findall(r'<li><a href="([^"]+)"', site.get("/"))
    assert first == site.links("/")["The report"]
    assert site.get(first) == site.get("/reports") == report.read_text()
    hidden = report.rename(report.with_suffix(".hidden"))
    assert site.get(first) == site.get("/reports") == index.read_text()
    hidden.rename(report)


def test_every_table_is_shown_with_its_rows(site: Site):
    for layer in LAYERS:
        shown = {table["name"]: table["count"] for table in site.json(f"/{layer}.json")["tables"]}
        tables = [table for (table,) in site.shop.query(
            layer, "select name from sqlite_schema where type = 'table' and name not like 'sqlite%'")]
        assert shown == dict(zip(tables, site.shop.counts(layer, *tables), strict=True))


def test_bookkeeping_is_hidden_and_can_be_reached(site: Site):
    hidden = {layer: {table["name"] for table in site.json(f"/{layer}.json")["tables"] if table["hidden"]}
              for layer in LAYERS}
    assert hidden["gold"] == {"layer_commits", "checksums", "balances"}
    assert {"layer_commits", "confirmations"} < hidden["raw"] and "deliveries" not in hidden["raw"]
    assert hidden["audit"] == {"pipeline_manifest"}
    assert "layer_commits" not in site.get("/gold") and "balances" in site.get("/gold?_show_hidden=1")
    assert site.rows("/gold/layer_commits.json")


def test_a_table_says_what_its_rows_and_its_columns_mean(site: Site):
    catalog = json.loads((site.shop.reports / "catalog.json").read_text())
    shown = [table for table in catalog["tables"] if (table["layer"], table["name"]) in {
        ("gold", "reporting_sales_wide"), ("curated", "dim_customers"), ("raw", "payments")}]
    for table in shown:
        page = unescape(site.get(f"/{table['layer']}/{table['name']}?_size=1"))
        assert table["grain"] in page
        for column in table["columns"]:
            name, meaning = column["name"], column["meaning"]
            assert f"<dt>{name}</dt><dd>{meaning}</dd>" in page
            assert f'data-column-description="{meaning}" class="col-{name}"' in page or name == "row_id"
    assert len(shown) == 3


@pytest.mark.parametrize("database, name", QUERIES)
def test_every_question_is_answered(database: str, name: str, site: Site):
    answer = site.json(f"/{database}/{name}.json?_shape=objects&order_id=0000001")
    assert answer["ok"] and answer["columns"]
    finds_nothing_in_the_sample = name in ("open_quarantine", "orphans", "last_failures", "unreadable_lines")
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


def test_money_is_shown_with_its_cents_counts_with_commas_and_hostile_text_as_text(site: Site):
    sql = ("select 5.0 as price, 2.0 as quantity, 12345 as orders, 12345 as row_id, "
           "char(60) || 1 as customer_id, char(60) || 2 as batch_id")
    page = f"/gold?sql={quote(sql)}"
    numbers = [re.sub("<.*?>", "", cell(site, page, name))
               for name in ("price", "quantity", "orders", "row_id")]
    assert numbers == ["5.00", "2", "12,345", "12345"]
    assert ">&lt;1</a>" in cell(site, page, "customer_id") and ">&lt;2</a>" in cell(site, page, "batch_id")


# Only reading, only from here

def refusal(site: Site, path: str, user: OpenerDirector | None = None, **headers: str) -> tuple[int, str]:
    """Return the status and the words with which a request is refused."""
    with pytest.raises(HTTPError) as error:
        (user or site.user).open(Request(urljoin(site.address, path), headers=headers), timeout=100).close()
    with error.value as answer:
        return answer.code, re.sub("(?s)<style.*?</style>|<[^>]+>", "", answer.read().decode())


def refused(site: Site, path: str, **how) -> int:
    return refusal(site, path, **how)[0]


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
    assert refused(site, "/gold.json", Host="shop.example:8001") == 403
    assert refused(site, site.opening, Host="shop.example:8001") == 403
    assert site.json("/gold.json")["tables"]
    assert json.loads(site.get("/gold.json", Host="localhost:8001"))["tables"]


EVERYWHERE = ["/", "/gold.json", "/gold.csv?sql=select+1", "/curated/fact_orders", "/reports/index.html",
              "/-/static/app.css", "/favicon.ico", "/nothing"]


@pytest.mark.parametrize("path", EVERYWHERE)
def test_nothing_is_answered_without_the_token(path: str, site: Site):
    stranger = build_opener(HTTPCookieProcessor(CookieJar()))
    assert refusal(site, path, stranger) == refusal(site, "/?token=1", stranger)
    status, words = refusal(site, path, stranger, Cookie=f"browse-{site.address.rpartition(':')[2]}=x")
    assert (status, words.count("\n")) == (403, 0)
    assert "open the address that `browse` printed" in words


@pytest.mark.parametrize("path", EVERYWHERE)
@pytest.mark.parametrize("page", ["cross-site", "same-site"])
def test_another_sites_page_is_refused_even_with_the_cookie(path: str, page: str, site: Site):
    status, words = refusal(site, path, **{"Sec-Fetch-Site": page})
    assert (status, words.count("\n")) == (403, 0)
    assert "the address that `browse` printed" in words


def test_the_address_bar_and_the_pages_themselves_are_answered(site: Site):
    for page in ("none", "same-origin"):
        assert site.get("/gold", **{"Sec-Fetch-Site": page})


class Unfollowed(HTTPRedirectHandler):
    """Takes a redirect as the answer."""

    def http_error_302(self, _request, answer, *_):
        return answer


def test_the_printed_address_gives_a_cookie_that_neither_scripts_nor_other_sites_have(site: Site):
    with build_opener(Unfollowed()).open(f"{site.address}/gold?{site.token}&a=1") as answer:
        cookie, target = answer.headers["Set-Cookie"], answer.headers["Location"]
    assert target == "/gold?a=1"
    assert {"HttpOnly", "SameSite=strict", "Path=/"} == set(cookie.split("; ")[1:])


def test_every_server_has_a_token_of_its_own(site: Site):
    with served(site.shop) as other:
        assert len(other.token) > 30 and other.token != site.token
        assert refused(other, "/gold.json", user=site.user) == 403
        assert refused(other, f"/?{site.token}", user=site.user) == 403
        assert other.json("/gold.json") and site.json("/gold.json")  # the second cookie left the first


def test_on_a_terminal_it_opens_the_address_and_ends_by_ctrl_c(loaded: Shop, tmp_path: Path, monkeypatch):
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    terminal = on_terminal(loaded.command("browse", "--port", "0"))
    terminal.expect(r"running on (http://\S+)")
    address = terminal.match[1]
    while not opened.exists():
        terminal.expect(pexpect.TIMEOUT, timeout=0.1)
    ticket = opened.read_text()  # other users of the machine can see it, but it works only once
    assert ticket.partition("=")[0] == address.partition("=")[0] and ticket != address
    for once in (ticket, address):
        with build_opener(HTTPCookieProcessor()).open(once) as page:
            assert b"The shop&#39;s databases" in page.read()
    with pytest.raises(HTTPError, match="403"):
        build_opener(HTTPCookieProcessor()).open(ticket)
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert (terminal.exitstatus, terminal.before.count("Traceback")) == (0, 0)


ATTACK = """<!doctype html><link rel="icon" href="data:,"><title>trying</title>
<iframe name="a" src="SITE/gold"></iframe><iframe name="b"></iframe><iframe name="c"></iframe>
<form id="ask" action="SITE/gold" target="b"><input name="sql" value="select 1"></form>
<form id="write" action="SITE/gold/sales_summary_daily" method="post" target="c"><input name="a"></form>
<script>
const got = [], tries = [];
const attempt = (what, promise) =>
    tries.push(promise.then(it => { if (it) got.push(what + ": " + it); }, () => {}));
const element = (tag, address) => new Promise((loaded, failed) => {
  const it = Object.assign(document.createElement(tag), {onload: () => loaded("loaded"), onerror: failed});
  if (tag == "link") it.rel = "stylesheet";
  it[tag == "link" ? "href" : "src"] = address;
  document.body.append(it);
});
const read = options => fetch("SITE/gold.json", options).then(answer => answer.text());
addEventListener("load", () => {
  attempt("fetch", read());
  attempt("fetch with cookie", read({credentials: "include"}));
  attempt("fetch without cors", read({mode: "no-cors", credentials: "include"}));
  attempt("post", read({method: "POST", mode: "no-cors", credentials: "include", body: "a=1"}));
  attempt("image", element("img", "SITE/favicon.ico?not=cached"));
  attempt("style", element("link", "SITE/-/static/app.css?not=cached"));
  attempt("script", element("script", "SITE/-/static/table.js?not=cached"));
  attempt("socket", new Promise((opened, failed) => Object.assign(
    new WebSocket("SITE/gold".replace("http", "ws")), {onopen: () => opened("opened"), onerror: failed})));
  for (let count = 0; count < 3; count++)
    for (const sql of HEAVY)
      attempt("heavy", element("script", "SITE/gold.json?sql=" + encodeURIComponent(sql) + "&a=" + count));
  ask.submit();
  write.submit();
  Promise.all(tries).then(() => { document.title = "done"; });
});
</script>"""
HEAVY = ["trim(hex(zeroblob(200000)), replace(hex(zeroblob(100000)), '0', '1') || '0')",
         "instr(hex(zeroblob(450000)), hex(zeroblob(225000)) || '1')",
         "hex(zeroblob(200000)) like '%' || hex(zeroblob(24000)) || '1'"]
MANY = "with recursive n(i) as (select 1 union all select i + 1 from n)"
DOUBLED = ", ".join(["with n0(x) as (select 1)",
                     *(f"n{number}(x) as (select x + x from n{number - 1})" for number in range(1, 60))])
LARGE = ["length(hex(zeroblob(300000000)))", ", ".join(["zeroblob(100000000)"] * 100),
         f"* from ({MANY} select hex(zeroblob(8000000)) from n)",
         f"* from ({MANY} select {', '.join(['i'] * 500)} from n)",
         f"* from ({DOUBLED} select x from n59)"]


HOSTS = "MAP elsewhere.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


class Elsewhere(BaseHTTPRequestHandler):
    """Serves a page that tries what a page elsewhere can try; `/null` has the origin "null"."""

    def do_GET(self):
        self.send_response(200)
        if self.path == "/null":
            self.send_header("Content-Security-Policy", "sandbox allow-scripts allow-forms")
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        heavy = json.dumps([f"select {sql}" for sql in [*HEAVY, LARGE[0]]])
        self.wfile.write(ATTACK.replace("SITE", self.server.target).replace("HEAVY", heavy).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """A browser for which elsewhere.example is this machine, as a page's owner could arrange it."""
    options = webdriver.ChromeOptions()
    options.binary_location = needed(*CHROMIUM)
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage",
                     "disable-background-networking", f"user-data-dir={tmp_path / 'profile'}",
                     f"host-resolver-rules={HOSTS}"):
        options.add_argument(f"--{argument}")
    driver = webdriver.Chrome(options, webdriver.ChromeService(needed("chromedriver")))
    yield driver
    driver.quit()


@pytest.mark.parametrize("page, text, number", [
    ("/gold/reporting_customer_stats?_size=3", "last_name", "lifetime_value"),
    ("/gold/reporting_customer_stats?_size=3", "value_tier", "orders"),
    ("/gold/best_customers", "last_name", "orders"),
    ("/curated/fact_orders/1", "status", "total_amount")])
def test_numbers_stand_to_the_right_and_text_to_the_left(page: str, text: str, number: str, site: Site,
                                                         browser: webdriver.Chrome):
    browser.get(site.opening)
    browser.get(urljoin(site.address, page))

    def alignment(column: str) -> str:
        return browser.find_element(By.CSS_SELECTOR, f"td.col-{column}").value_of_css_property("text-align")

    assert (alignment(text), alignment(number)) == ("left", "right")


def test_a_column_is_explained_on_hover_and_all_behind_a_click(site: Site, browser: webdriver.Chrome):
    browser.get(site.opening)
    browser.get(f"{site.address}/gold/sales_summary_daily?_size=3")
    header = browser.find_element(By.CSS_SELECTOR, "th.col-units")
    assert header.get_attribute("title").startswith("Units on the lines of orders that were not cancelled")
    meanings = browser.find_element(By.CSS_SELECTOR, "dl.column-descriptions")
    assert not meanings.is_displayed()
    browser.find_element(By.XPATH, "//summary[.='What the columns mean']").click()
    assert meanings.is_displayed() and header.get_attribute("title") in meanings.text


@pytest.mark.parametrize("host, path", [
    ("elsewhere.example", "/"), ("127.0.0.1", "/"), ("127.0.0.1", "/null")])
def test_a_page_elsewhere_gets_nothing_and_stops_nothing(host: str, path: str, site: Site,
                                                         browser: webdriver.Chrome):
    before = site.shop.state()
    browser.get(site.opening)
    assert browser.current_url == f"{site.address}/" and browser.title.startswith("The shop's databases")
    browser.find_element(By.LINK_TEXT, "best customers").click()
    browser.refresh()
    assert "value_tier" in browser.page_source
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as elsewhere:
        elsewhere.target = site.address
        threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
        browser.get(f"http://{host}:{elsewhere.server_port}{path}")
        WebDriverWait(browser, 100).until(lambda _: browser.title == "done")
        elsewhere.shutdown()
    assert browser.execute_script("return [origin == 'null', got]") == [path == "/null", []]
    for frame in "abc":
        browser.switch_to.frame(frame)
        WebDriverWait(browser, 100).until(lambda _: "403: another page" in browser.page_source)
        browser.switch_to.default_content()
    browser.get(f"{site.address}/gold")
    assert "sales_summary_daily" in browser.page_source  # the user's own page is there
    assert site.shop.state() == before


# Only so much

@pytest.mark.parametrize("sql", HEAVY)
def test_a_single_step_that_takes_too_long_is_stopped(sql: str, site: Site):
    for page in ("/gold.json?", "/gold.csv?", "/gold?"):
        status, words = refusal(site, f"{page}_timelimit=100&sql={quote(f'select {sql}')}")
        assert status == 400 and re.search("too long.*stopped.*run_pipeline.py query", words)
    assert refused(site, f"/gold/sales_summary_daily?_timelimit=100&_where={quote(sql)}") == 400


@pytest.mark.parametrize("sql", LARGE)
def test_an_answer_that_is_too_large_is_refused(sql: str, site: Site):
    for page in ("/gold.json?", "/gold.csv?"):
        status, words = refusal(site, f"{page}sql={quote(f'select {sql}')}")
        assert status == 400 and re.search("too big|too much memory|longer than", words)


@pytest.mark.parametrize("sql", LARGE)
def test_no_select_takes_more_memory_than_its_limit(sql: str, site: Site):
    uri = file_uri(site.shop.warehouse / "gold.db", "mode=ro")
    with subprocess.Popen([sys.executable, worker.__file__], stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL) as process:
        pickle.dump((uri, f"select {sql}", {}, 1001, 60), process.stdin)
        process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    assert usage.ru_maxrss << 10 < 2 * worker.MEMORY  # SQLite's, and a copy in Python


ASK = """
import sys

sys.path.insert(0, sys.argv[1])
from lib.explore.limited import Workers

Workers().ask(*sys.argv[2:], {}, 1, 10_000)
"""


def test_a_select_ends_with_the_server_even_if_that_is_killed(site: Site):
    uri = file_uri(site.shop.warehouse / "gold.db", "mode=ro")
    with subprocess.Popen([sys.executable, "-c", ASK, PROJECT, uri, f"select {HEAVY[0]}"]) as server:
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
        while not (found := children.read_text().split()):
            assert server.poll() is None
        server.kill()
    with suppress(FileNotFoundError, ProcessLookupError):
        while "Z (zombie)" not in Path(f"/proc/{found[0]}/status").read_text():
            pass


def test_pages_are_answered_while_selects_take_long(site: Site):
    answered = []
    heavy = f"/gold.json?sql={quote(f'select {HEAVY[0]}')}"
    with served(site.shop) as own:
        asking = [threading.Thread(target=lambda: answered.append(refused(own, heavy))) for _ in range(12)]
        for thread in asking:
            thread.start()
        for path in ("/", "/gold", "/gold/best_customers", "/curated/fact_orders", "/reports/index.html"):
            assert own.get(path)
        assert answered == []
    for thread in asking:  # the server's end ends them
        thread.join()
    assert set(answered) <= {400, 503} and len(answered) == len(asking)


def test_a_run_goes_on_while_it_is_browsed_and_is_seen_at_once(site: Site, warm):
    before = len(site.rows("/audit/last_runs.json"))
    header = (site.shop.source / "customers.csv").read_text().splitlines()[0]
    site.shop.deliver("customers_late.csv", header, "late-1,Ann,Lee" + "," * (header.count(",") - 2))
    warm.run(site.shop)
    assert len(site.rows("/audit/last_runs.json")) == before + 1
    [row] = site.rows("/curated/dim_customers.json?customer_id__exact=late-1")
    assert row["first_name"] == "Ann"


# CSV and errors

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


@pytest.mark.parametrize("page", [
    "/gold/best_customers", "/gold/sales_summary_daily", "/curated/fact_orders/1",
    "/gold?sql=select+'a'+as+a,+'%3D2'+as+b"])
def test_a_page_as_csv_is_its_rows(page: str, site: Site):
    path, _, question = page.partition("?")
    rows = site.rows(f"{path}.json?{question}")
    for asked in (f"{path}?_format=csv&", f"{path}/?_format=csv&", f"{path}.csv?"):
        header, *lines = csv.reader(site.get(asked + question).splitlines())
        assert header == list(rows[0])
        assert [line[0] for line in lines] == [str(row[header[0]]) for row in rows]


@pytest.mark.parametrize("asked, status, words", [
    ("/gold?_format=csv", 400, "a table can be CSV"),
    ("/gold.csv", 400, "a table can be CSV"),
    ("/?_format=csv", 400, "a table can be CSV"),
    ("/gold?_format=csv&sql=select+nope", 400, "no such column: nope"),
    ("/gold.csv?_header=off&sql=select+nope", 400, "no such column: nope"),
    ("/gold.csv?sql=select+1;select+2", 400, "one statement"),
    ("/gold/sales_summary_daily?_format=csv&_where=nope", 400, "no such column: nope"),
    ("/gold/nothing?_format=csv", 404, "not found")])
def test_what_cannot_be_csv_is_an_error(asked: str, status: int, words: str, site: Site):
    found, said = refusal(site, asked)
    assert found == status and words in said


def test_what_is_not_csv_is_passed_on_as_it_is(site: Site):
    page = site.get("/reports/index.html")
    assert site.get("/reports/index.html?_format=csv") == page
    assert site.json("/gold.json?_format=csv")["tables"] == site.json("/gold.json")["tables"]
    assert "<textarea" in site.get("/gold/sales_summary_daily.csv?_trace=1")


def test_a_damaged_database_is_reported_before_anything_is_served(used: Shop, capsys):
    (used.warehouse / "gold.db").write_bytes(b"no database at all" * 100)
    folders = ["--warehouse", str(used.warehouse), "--reports", str(used.reports)]
    assert main(["browse", *folders, "--port", "0"]) == 1
    assert re.match(r"error: gold.db: .*damaged", capsys.readouterr().err)


def test_a_very_long_line_in_quarantine_is_shown_by_its_beginning(site: Site):
    """A refused line may be as long as a delivery: beside it, the other rows must be seen."""
    sql = "insert into quarantine (rule, reason, raw_text) values (?, ?, ?)"
    with closing(sqlite3.connect(site.shop.warehouse / "raw.db")) as connection, connection:
        connection.executemany(sql, [("quote", "short", "ä"), *[("quote", "long", "x" * (20 << 20))] * 3])
    rows = site.rows("/raw/quarantine.json?_nofacet=1")
    assert [row["reason"] for row in rows] == ["long", "long", "long", "short"]
    assert rows[3]["raw_text"] == "ä"
    text, note = rows[0]["raw_text"].split("…")
    assert (set(text), len(text)) == ({"x"}, worker.SHOWN) and "20,971,520 bytes" in note
    assert "short" in site.get("/raw/unreadable_lines")
    assert site.rows("/raw.json?sql=select+max(length(raw_text))+as+longest+from+quarantine") == [
        {"longest": 20 << 20}]
