"""The pages of real runs in a real browser: accessible, without errors and without requests elsewhere."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import CHROMIUM, needed
from conftest import LINES, ORDERS, PROJECT, Shop
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from warm_runs import WarmRuns

AXE = "axe.run({resultTypes: ['violations']}).then(arguments[arguments.length - 1])"
IMAGES_ARE_DRAWN = "return [...document.images].every(image => image.complete && image.naturalWidth > 0)"
TOP = "return document.getElementById(arguments[0]).getBoundingClientRect().top"


@pytest.fixture(scope="module")
def axe(tmp_path_factory) -> str:
    """The accessibility check axe-core, in the version of its lock file."""
    folder = tmp_path_factory.mktemp("axe")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PROJECT / "tests" / "axe" / name, folder)
    command = [needed("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = needed(*CHROMIUM)
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage",
                     "disable-background-networking", f"user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(needed("chromedriver")))
    driver.get("about:blank")
    requested_addresses(driver)  # forget those of its own start page
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def shop(loaded: Shop, warm: WarmRuns, tmp_path_factory) -> Shop:
    """The sample after a successful run, one that set a row aside, and one that failed."""
    shop = Shop(tmp_path_factory.mktemp("browser") / "a shop é#?%")
    shutil.copytree(loaded.folder, shop.folder)
    shop.deliver("order_lines_2.csv", LINES, "L1,0000001,SKU-0001,1,2.50,", 'L2,0000001,SKU-0001,"1,5",2.50,')
    shop.deliver("orders_2.csv", ORDERS, "0000001,00001,2025-11-02,WEB,99.00,PAID")
    warm.run(shop)
    shop.deliver("orders_3.csv", "order_id,customer_id", "1,1")
    warm.run(shop, expect=1)
    return shop


@pytest.fixture(scope="module")
def pages(shop: Shop) -> list[Path]:
    """One page of every kind, of the run with the most to show."""
    _, run, failed = sorted((shop.reports / "runs").iterdir())
    docs = run / "data_docs"
    result, = (docs / "validations" / "fact_order_lines").rglob("*.html")
    return [shop.reports / "report.html", shop.reports / "index.html", shop.reports / "catalog.html",
            run / "index.html", run / "4_gold.html", failed / "index.html", failed / "1_raw.html",
            docs / "index.html", docs / "expectations" / "fact_orders.html", result]


def show(browser: webdriver.Chrome, page: Path, width: int, theme: str) -> None:
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500})
    scheme = {"name": "prefers-color-scheme", "value": theme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get(page.as_uri())


def unfold(browser: webdriver.Chrome) -> None:
    browser.execute_script("document.querySelectorAll('details').forEach(details => details.open = true)")


def requested_addresses(browser: webdriver.Chrome) -> set[str]:
    """Return what the browser has requested since the last call."""
    events = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    return {event["params"]["request"]["url"]
            for event in events if event["method"] == "Network.requestWillBeSent"}


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (1280, "dark"), (375, "light"), (375, "dark")])
def test_every_kind_of_page_is_accessible_and_loads_nothing_else(browser, pages, axe, shop, width, theme):
    for page in pages:
        show(browser, page, width, theme)
        unfold(browser)
        browser.execute_script(axe)
        problems = browser.execute_async_script(AXE)["violations"]
        assert not [(problem["id"], node["html"]) for problem in problems for node in problem["nodes"]], page
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, page
        assert browser.execute_script(IMAGES_ARE_DRAWN), page
        assert browser.get_log("browser") == [], page
        ours = (shop.reports.as_uri(), "data:")
        assert [url for url in requested_addresses(browser) if not url.startswith(ours)] == [], page


def found(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.ID, "found").text


def shown_columns(browser: webdriver.Chrome) -> list[str]:
    return browser.execute_script("return [...document.querySelectorAll('.stacked > tbody > tr')]"
                                  ".filter(row => row.checkVisibility()).map(row => row.id)")


def test_the_catalog_is_searched_by_keyboard(browser, shop):
    show(browser, shop.reports / "catalog.html", 375, "light")
    everything = shown_columns(browser)
    box = browser.find_element(By.ID, "search")
    for _ in range(10):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        if browser.switch_to.active_element == box:
            break
    box.send_keys("Gold lifetime")
    assert shown_columns(browser) == [f"gold.reporting_customer_stats.{name}" for name in (
        "lifetime_value", "average_order_value", "value_tier")]
    assert found(browser) == "3 found in 1 table"
    assert not browser.find_elements(By.CSS_SELECTOR, "details.examples[open]")
    box.send_keys(" no such thing")
    assert (shown_columns(browser), found(browser)) == ([], "0 found in 0 tables")
    box.clear()
    box.send_keys("is_rebuild")  # in folded tables, which the search unfolds
    assert shown_columns(browser) == [
        f"{layer}.layer_commits.is_rebuild" for layer in ("gold", "curated", "raw")]
    box.clear()
    box.send_keys("orphans line_without")  # checks, not columns, also by their technical names
    assert (shown_columns(browser), found(browser)) == ([], "2 found in 1 table")
    box.send_keys(Keys.CONTROL, "a", Keys.DELETE)
    assert shown_columns(browser) == everything


@pytest.mark.parametrize(("word", "column"), [
    ("revenue", "sales_summary_daily.net_sales"), ("Turnover", "sales_summary_daily.net_sales"),
    ("receivables", "sales_summary_daily.open_amount"),
    ("AOV", "reporting_customer_stats.average_order_value")])
def test_the_catalog_is_searched_by_the_words_that_people_use(browser, shop, word: str, column: str):
    show(browser, shop.reports / "catalog.html", 1280, "light")
    browser.find_element(By.ID, "search").send_keys(word)
    assert f"gold.{column}" in shown_columns(browser) and len(shown_columns(browser)) < 3


def test_a_link_in_the_catalog_shows_a_column_that_the_search_had_hidden(browser, shop):
    show(browser, shop.reports / "catalog.html", 1280, "light")
    browser.find_element(By.ID, "search").send_keys("gold net_sales")
    link = browser.find_element(By.CSS_SELECTOR, "[id='gold.sales_summary_daily.net_sales'] a")
    target = link.get_attribute("href").partition("#")[2]
    link.send_keys(Keys.ENTER)
    WebDriverWait(browser, 10).until(lambda _: target in shown_columns(browser))
    assert 0 <= browser.execute_script(TOP, target) < 900
