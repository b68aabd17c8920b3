"""The data docs: what they say, that they request nothing, and that text from data stays text in them."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from conftest import PROJECT, Shop
from page import IMAGE, SCRIPT, Page

from lib.errors import PipelineError
from lib.report import data_docs
from lib.step import gate

SUITES = {path.stem: json.loads(path.read_text(encoding="utf-8"))
          for path in sorted((PROJECT / "gx" / "expectations").glob("*.json"))}


@pytest.fixture(scope="module")
def folder(loaded: Shop) -> Path:
    """The folder of the first run."""
    run, = (loaded.reports / "runs").iterdir()
    return run


def suite_page(folder: Path, suite: str) -> Page:
    return Page(folder / data_docs.DOCS / "expectations" / f"{suite}.html")


def result_page(folder: Path, suite: str) -> Page:
    page, = (folder / data_docs.DOCS / "validations" / suite).rglob("*.html")
    return Page(page)


def test_every_expectation_has_its_note_in_its_suite_and_beside_its_result(folder: Path):
    steps = json.loads((folder / "run.json").read_text())["steps"]
    checked = {gate["suite"] for step in steps for gate in step["record"]["gates"]}
    assert {path.name for path in (folder / data_docs.DOCS / "validations").iterdir()} == checked
    assert checked >= SUITES.keys() - {"orphans"}  # the sample has no orphans to check
    for suite, content in SUITES.items():
        pages = [suite_page(folder, suite), *([result_page(folder, suite)] if suite in checked else [])]
        for expectation in content["expectations"]:
            assert all(expectation["notes"] in page.text for page in pages), suite


def test_a_result_says_in_words_what_may_not_be_empty_or_must_be_readable(folder: Path):
    text = result_page(folder, "fact_orders").text
    assert "order_date must not be empty." in text and "order_date must be readable." in text
    assert "null." not in text
    assert "status must" not in text and "must belong to this set" in text  # the others are GX's own words


def test_the_title_of_a_page_says_what_it_is(folder: Path):
    for suite in SUITES:
        assert suite == "orphans" or result_page(folder, suite).text.startswith(f"{suite}: results")
        assert suite_page(folder, suite).text.startswith(f"{suite}: expectations")
    assert Page(folder / data_docs.DOCS / "index.html").text.startswith("Data docs")


def test_they_load_nothing_and_link_only_to_great_expectations(folder: Path):
    pages = sorted((folder / data_docs.DOCS).rglob("*.html"))
    assert len(pages) >= 2 * len(SUITES)
    for path in pages:
        page, text = Page(path), path.read_text(encoding="utf-8")
        assert not {"script", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}, path
        assert not re.search("@import|url\\(", text), path
        loaded = [attributes for tag, attributes in page.tags
                  if tag != "a" and {"src", "href", "srcset"} & attributes.keys()]
        assert loaded == [{"rel": "icon", "href": "data:,"}], path
        outside = [link["href"] for link in page.all("a") if ":" in link["href"]]
        assert outside == ["https://greatexpectations.io"], path
        assert "default-src 'none'" in text, path
    assert [path.name for path in (folder / data_docs.DOCS).iterdir() if path.is_dir()].count("static") == 0


def test_every_link_works_and_each_page_links_back_to_our_pages(folder: Path):
    ours = {folder.parents[1] / "index.html", folder.parents[1] / "catalog.html", folder / "index.html"}
    anchors = {path: set(re.findall(' id="([^"]+)"', path.read_text(encoding="utf-8"))) for path in ours}
    for path in (folder / data_docs.DOCS).rglob("*.html"):
        targets = [link["href"].partition("#") for link in Page(path).all("a") if ":" not in link["href"]]
        reached = {(path.parent / target).resolve(): part for target, _, part in targets if target}
        assert all(target.is_file() for target in reached), path
        assert ours <= reached.keys(), path
        assert all(reached[target] in anchors[target] for target in ours if reached[target]), path


def test_our_pages_link_to_all_of_them(folder: Path, loaded: Shop):
    ours = folder / "index.html", loaded.reports / "catalog.html"
    linked = {(page.parent / link["href"].partition("#")[0]).resolve()
              for page in ours for link in Page(page).all("a")}
    assert set((folder / data_docs.DOCS).rglob("*.html")) <= linked


def test_text_from_data_stays_text(tmp_path: Path):
    hostile = [SCRIPT, IMAGE, "<form action=//x><b>bold", "</td></tr></table><h1>x",
               "$PARAMETER ${x} {{ 7 * 7 }}"]
    columns = {expectation["kwargs"]["column"] for expectation in SUITES["fact_orders"]["expectations"]}
    rows = pd.DataFrame({name: pd.Series(hostile) for name in columns})
    checker = gate.Gate(tmp_path, "20260101T000000.000000")
    checker.check("fact_orders", rows.assign(total_amount=1.0), lambda rows: [])
    with pytest.raises(PipelineError, match="gate reporting_customer_stats"):
        checker.check("reporting_customer_stats", pd.DataFrame({
            "customer_id": hostile * 2, "orders": 1, "first_order_date": "a", "last_order_date": hostile * 2,
            "churn_risk": hostile * 2, "value_tier": hostile * 2}), lambda rows: [])
    data_docs.build_docs(tmp_path)
    for suite in ("fact_orders", "reporting_customer_stats"):
        page = result_page(tmp_path, suite)
        assert not {"script", "form", "img", "b"} & {tag for tag, _ in page.tags}
        assert len(page.all("h1")) == 1
        for text in hostile:
            assert text in page.text, (suite, text)
