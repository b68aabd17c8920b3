"""The pages of good, bad and damaged runs: what they say, and how they look in a browser."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pandas as pd
import pytest
from chromium import open_probe
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from page import IMAGE, SCRIPT, Page

from lib.report import notebook_pages, pages, run_records, trends

GATE_ERROR = ("gate fact_orders: expect_column_values_to_be_unique(order_id) failed on 2 of 1,003 rows, "
              f"such as 'x1{SCRIPT}'. The key.\n"
              "gate fact_orders: expect_column_values_to_not_be_null(order_date) failed on 1 of 1,003 rows. "
              "When.")
GATE_WORDS = GATE_ERROR.replace("expect_column_values_to_be_unique(order_id)", "“order_id must be unique”"
                                ).replace("expect_column_values_to_not_be_null(order_date)",
                                          "“order_date must not be empty”")
SVG = ('<svg xmlns="http://www.w3.org/2000/svg" width="576pt" height="100pt">'
       '<title>Rows &amp; &quot;more&quot;</title><text x="9" y="50">A chart</text>'
       "<script>alert(1)</script></svg>")
FRAME = f"""<div><style scoped>.dataframe tbody tr th {{ color: red }}</style>
<table border="1" class="dataframe">
<thead><tr style="text-align: right;">
<th></th><th>order_id</th><th>name</th><th>amount</th><th>note</th></tr></thead>
<tbody><tr><th>0</th><td>1001</td><td>&lt;script&gt;alert(1)&lt;/script&gt;</td><td>-12.50</td><td></td></tr>
<tr><th>1</th><td>1002</td><td>{IMAGE}{SCRIPT}</td><td>NaN</td><td></td></tr></tbody></table></div>"""
SAMPLES = {"orders": {
    "changed": [{"key": f"x1{SCRIPT}", "columns": {"status": ["PLACED", "PAID"], "channel": [None, IMAGE]}}],
    "added": [{"key": "x2", "row": {"status": "PLACED", "total_amount": 12.5}}],
    "removed": [{"key": "x3", "row": {"status": None}}]}}


def count(read=0, added=0, quarantined=0, rows_after=0):
    return {"read": read, "added": added, "changed": 0, "unchanged": read - added - quarantined,
            "quarantined": quarantined, "duplicates": 0, "removed": 0, "rows_after": rows_after}


def tally(suite, rule, on_failure="fail", failed=0, sample=()):
    return {"suite": suite, "rule": rule, "on_failure": on_failure, "notes": f"Why {IMAGE}",
            "checked": 1003, "failed": failed, "sample": list(sample)}


def step(name, status="SUCCESS", notebook=None, error=None, stopped_by=(), **record):
    nothing = {"step": name, "layer": name, "rows_processed": 0, "rows_quarantined": 0,
               "watermark_before": "1900-01-01", "watermark_after": "2026-01-31 12:00:00.000001",
               "tables": {}, "gates": [], "warnings": []}
    return {"name": name, "status": status, "seconds": 1.25, "notebook": notebook, "error": error,
            "gates": list(stopped_by), "record": nothing | record if record else None}


def delivery(name, status="new", note="", **more):
    return {"name": name, "status": status, "source": "orders", "size": 1234567, "sha256": "", "same_as": "",
            "note": note} | more


def result(batch_id, verdict="success", steps=(), deliveries=(), error=None, files=(), not_listed=0):
    day = f"{batch_id[:4]}-{batch_id[4:6]}-{batch_id[6:8]}"
    return {"batch_id": batch_id, "started": f"{day} 12:00:00.000001", "ended": "2026-01-31 12:01:05.000000",
            "source": f"/in/{IMAGE}", "warehouse": "/warehouse", "full_refresh": False, "steps": list(steps),
            "deliveries": list(deliveries), "files": list(files), "not_listed": not_listed, "overdue": [],
            "notes": [], "seconds": 65.0, "verdict": verdict,
            "error": error}


def save(reports, name, run):
    folder = reports / "runs" / name
    folder.mkdir(parents=True)
    if run is not None:
        (folder / "run.json").write_text(run if isinstance(run, str) else json.dumps(run), encoding="utf-8")
    return folder


def notebook(folder, name, *, failed=False):
    """Save a notebook as papermill leaves it, with everything that a page must cope with, and its page."""
    frame = {"text/html": FRAME, "text/plain": "frame"}
    foreign = f"<table><tr></tr></table>{IMAGE}<iframe src='//x'></iframe><a href='javascript:alert(1)'>a</a>"
    prose = f"# 1 · Raw\n\nProse with `code`, a [link](javascript:alert(1)) and {SCRIPT}{IMAGE}"
    record = {"application/json": {"rows": [1, SCRIPT]}}
    cells = [
        new_markdown_cell(prose),
        new_code_cell("rows = 1  # default", metadata={"tags": ["parameters"]}, execution_count=1),
        new_code_cell(f"rows  # {SCRIPT}", execution_count=2, outputs=[
            new_output("execute_result", data=frame, execution_count=2),
            new_output("stream", name="stdout", text=SCRIPT + IMAGE),
            new_output("display_data", data={"image/svg+xml": SVG, "text/plain": "svg"}),
            new_output("display_data", data={"application/javascript": "alert(1)", "text/plain": IMAGE}),
            new_output("display_data", data={"text/html": foreign})]),
        new_code_cell("JSON(record)", execution_count=None if failed else 3, outputs=[] if failed else [
            new_output("execute_result", data=record, execution_count=3)]),
    ]
    if failed:
        marker = {"tags": ["papermill-error-cell-tag"]}
        cells.insert(0, new_markdown_cell("<span>An Exception was encountered</span>", metadata=marker))
        cells[3].outputs.append(new_output("error", ename="PipelineError", evalue=GATE_ERROR,
                                           traceback=[f"\x1b[0;31mline {SCRIPT}\x1b[0m"]))
    book = new_notebook(cells=cells, metadata={"language_info": {"name": "python"}, "papermill": {
        "exception": failed or None, "start_time": "2026-01-31T12:00:00.5+00:00", "duration": 3.25}})
    nbformat.write(book, folder / name)
    return notebook_pages.export_notebook(folder / name)


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Reports of one run of every kind, with their pages."""
    reports = tmp_path_factory.mktemp("reports é#?% folder")
    not_null = "expect_column_values_to_not_be_null(order_id)"
    gates = [tally("raw_orders", not_null, "quarantine", 2, [SCRIPT, "'x'"]),
             tally("raw_orders", "expect_table_columns_to_match_set()")]
    sample = {"source_filename": f"{SCRIPT}.csv", "source_row": 7, "raw_text": f"1,{SCRIPT}"}
    raw = step("raw", notebook="1_raw.ipynb", rows_processed=12345, rows_quarantined=2, gates=gates,
               warnings=[f"column {SCRIPT}"],
               tables={"orders": count(12345, 12343, 2, 4000000), SCRIPT: count()},
               deliveries=[delivery("orders.csv", rows=12345)], samples=SAMPLES, series={
                   "title": f"Sales {IMAGE}", "values": {"2026-01-30": 12.5, "2026-01-31": 1234.5}},
               quarantine=[{"table": "orders", "rule": "a rule", "reason": f"Why {IMAGE}", "rows": 1234,
                            "samples": [sample]}])
    found = [delivery("orders.csv"), delivery(f"{SCRIPT}.csv", "stray", f"did you mean {IMAGE}"),
             delivery("old.csv", "known")]
    files = [f"{SCRIPT}.csv: did you mean {IMAGE}"]
    first = result("20260101", steps=[raw], deliveries=found, files=files, not_listed=9)
    folder = save(reports, "20260101T120000.000000", first)
    notebook(folder, "1_raw.ipynb")
    (folder / "data_docs").mkdir()
    (folder / "data_docs" / "index.html").write_text("<title>docs</title>")
    idle = [step(name) for name in run_records.STEPS]
    save(reports, "20260102T120000.000000", result("20260102", "nothing new", idle))
    stopped_by = [tally("fact_orders", "expect_column_values_to_be_unique(order_id)", "fail", 2, [SCRIPT]),
                  tally("fact_orders", "expect_column_values_to_not_be_null(order_date)", "fail", 1),
                  tally("fact_orders", "expect_column_values_to_not_be_null(order_id)", "quarantine")]
    failed = [raw, step("facts", "FAILED", "3_facts.ipynb", GATE_ERROR, stopped_by),
              step("gold", "SKIPPED", error="not run: step facts failed")]
    folder = save(reports, "20260103T120000.000000", result("20260103", "failed", failed, found, GATE_ERROR))
    notebook(folder, "3_facts.ipynb", failed=True)
    stopped = result("20260104", "interrupted", [raw], found, "stopped by Ctrl-C")
    save(reports, "20260104T120000.000000", stopped)
    save(reports, "20260105T120000.000000", '{"verdict": "succ')
    save(reports, "20260106T120000.000000", None)
    save(reports, "20260107T120000.000000", json.dumps(result("20260107", steps=[{"name": SCRIPT}])))
    save(reports, "20260108T120000 é#?%", result("20260108", steps=[raw]))
    for run in (reports / "runs").iterdir():
        pages.write_run_page(run)
    latest = reports / "runs" / "20260108T120000 é#?%"
    trends.draw_trends(reports, latest, json.loads((latest / "run.json").read_text()))
    pages.write_index(reports)
    return reports


def our_pages(reports):
    return [page for page in sorted(reports.rglob("*.html")) if "data_docs" not in page.parts]


def test_text_from_data_stays_text(reports):
    for path in our_pages(reports):
        page = Page(path)
        used = Counter(tag for tag, _ in page.tags)
        assert not used.keys() & {"script", "iframe", "object", "embed", "form", "base"}, path
        for tag, attributes in page.tags:
            assert not [name for name in attributes if name.startswith("on")], (path, tag)
            assert attributes.get("src", "data:image/").startswith("data:image/"), (path, tag)
            link = attributes.get("href", "").lower()
            assert not link.startswith(("javascript", "http", "//")), (path, tag)
    page = Page(reports / "runs" / "20260103T120000.000000" / "index.html")
    assert SCRIPT in page.text and IMAGE in page.text


def test_every_link_works(reports):
    for path in our_pages(reports):
        for link in filter(None, Page(path).all("a")):
            target, _, part = link["href"].partition("#")
            if target:
                assert (path.parent / unquote(target)).exists(), (path, link)
            else:
                assert f'id="{part}"' in path.read_text(), (path, link)


def test_pages_are_semantic(reports):
    for path in our_pages(reports):
        page = Page(path)
        assert page.all("html") == [{"lang": "en"}]
        assert [len(page.all(tag)) for tag in ("h1", "main")] == [1, 1], path
        assert re.search("<title>.+</title>\n<style>", path.read_text(encoding="utf-8")), path
        assert all(header.get("scope") in ("col", "row") for header in page.all("th")), path
        assert all(image.get("alt") for image in page.all("img")), path
        assert "default-src 'none'" in page.all("meta")[2]["content"]
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(ids) == len(set(ids)), path


def test_a_run_page_shows_the_result_of_every_step(reports):
    text = Page(reports / "runs" / "20260101T120000.000000" / "index.html").text
    assert "Run of 2026-01-01 12:00:00 UTC success 1 min 5 s · 12,345 rows delivered · 2 quarantined" in text
    assert "1 raw success 12,345 12,343 2 1.2 s 1900-01-01 → 2026-01-31 12:00:00" in text
    assert "orders raw 12,345 12,343 2 4,000,000" in text
    assert "order_id must not be empty quarantine 2 1,003 Why" in text
    assert "raw_orders raw 1,003 2 1 1" in text
    assert "orders.csv new 1.2 MB 12,345" in text
    assert "11 skipped or waiting" in text and "old.csv known" in text and "9 more are not listed" in text
    assert f"{SCRIPT}.csv: did you mean {IMAGE} column {SCRIPT}" in text


def test_a_failed_run_shows_its_whole_error_first(reports):
    text = Page(reports / "runs" / "20260103T120000.000000" / "index.html").text
    assert " ".join(GATE_WORDS.split()) in text[:900]
    assert "3 facts failed – – – 1.2 s – nothing was written: see the error above" in text
    assert "4 gold skipped – – – 1.2 s – not run: step facts failed" in text
    assert "2 expectations of fact_orders stopped the run" in text
    assert "fact_orders order_id must be unique fail 2 1,003 Why" in text
    assert "fact_orders order_date must not be empty fail 1 1,003 Why" in text
    assert "fact_orders facts 1,003 3 1 0 2" in text


def test_the_index_lists_the_newest_run_first_and_damaged_ones_too(reports):
    text = Page(reports / "index.html").text
    listed = re.findall(r"20260\d{3}T120000|2026-01-0\d 12:00:00", text.partition("Data docs")[2])
    assert listed == ["2026-01-08 12:00:00", "20260107T120000", "20260106T120000", "20260105T120000",
                      "2026-01-04 12:00:00", "2026-01-03 12:00:00", "2026-01-02 12:00:00",
                      "2026-01-01 12:00:00"]
    assert re.search(r"20260107T120000 damaged run\.json is not .*\(KeyError", text)
    assert "20260106T120000 damaged there is no run.json" in text
    assert re.search(r"20260105T120000 damaged run\.json is not .*\(JSONDecodeError", text)
    assert "2026-01-04 12:00:00 interrupted 1 min 5 s 12,345 2 2 1 not met – –" in text
    assert "2026-01-03 12:00:00 failed 1 min 5 s 12,345 2 2 2 failed 1 not met facts –" in text
    assert "2026-01-02 12:00:00 nothing new 1 min 5 s 0 0 0 – – –" in text
    assert "2026-01-01 12:00:00 success 1 min 5 s 12,345 2 3 1 not met raw data docs" in text
    idle = Page(reports / "runs" / "20260102T120000.000000" / "index.html")
    assert "1 raw nothing new 1.2 s 2 dimensions" in idle.text


def test_the_index_shows_the_latest_days_and_what_the_last_runs_did(reports):
    page = Page(reports / "index.html")
    assert [image["alt"] for image in page.all("img")] == [
        f"Sales {IMAGE}: latest: 2026-01-31 with 1,234.50", "Duration in seconds: latest 65.0, most 65.0",
        "Rows delivered: latest 12,345, most 12,345", "Rows quarantined: latest 2, most 2",
        "Expectations not met: latest 1, most 3"]
    assert len(page.all("source")) == 1
    duration = base64.b64decode(page.all("img")[1]["src"].partition(",")[2]).decode()
    full, hollow = (duration.count(f'style="{colour}')
                    for colour in ("fill: #3b82c4; stroke", "fill: none; stroke: #c8504f"))
    assert (full, hollow) == (2, 2), "a hollow bar for a run that failed or stopped, none for an idle one"


def test_the_index_keeps_its_charts_when_the_latest_run_has_drawn_none(reports, tmp_path):
    shutil.copytree(reports, tmp_path / "reports")
    save(tmp_path / "reports", "20260109T120000.000000", result("20260109", "nothing new"))
    assert len(Page(pages.write_index(tmp_path / "reports")).all("img")) == 5


def test_a_run_page_shows_rows_before_and_after_and_what_was_set_aside(reports):
    text = Page(reports / "runs" / "20260101T120000.000000" / "index.html").text
    assert "Some rows of orders , before → after Key Change Values" in text
    assert f"x1{SCRIPT} changed status PLACED → PAID channel empty → {IMAGE}" in text
    assert "x3 removed status empty x2 added status PLACED total_amount 12.5" in text
    assert f"orders 1,234 a rule Why {IMAGE} {SCRIPT}.csv, line 7: 1,{SCRIPT}" in text


def test_a_suite_on_a_run_page_links_to_its_results(tmp_path):
    gates = [tally(suite, "expect_x()", "warn", 1) for suite in ("several", "one", "none")]
    run = result("20260101", steps=[step("facts", gates=gates)])
    folder = save(tmp_path, "20260101T000000.000000", run)
    for name in ("several/r/t/a b.html", "several/r/t/c.html", "one/r/t/a#b.html"):
        (folder / "data_docs" / "validations" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data_docs" / "validations" / name).touch()
    links = [link["href"] for link in Page(pages.write_run_page(folder)).all("a")]
    results = ["data_docs/index.html#result-several", "data_docs/validations/one/r/t/a%23b.html"]
    assert links == ["../../index.html", "#gates", *results, *results]


def test_what_is_only_observed_is_shown_and_is_no_warning(tmp_path):
    run = result("20260101", steps=[step("facts", gates=[tally("fact_orders", "expect_x()", "observe", 7)])])
    folder = save(tmp_path, "20260101T000000.000000", run)
    assert "Warnings None." in Page(pages.write_run_page(folder)).text
    text = Page(folder / "index.html").text
    assert "fact_orders expect_x() observe 7 1,003" in text
    assert "Rows Expectations Observed fact_orders facts 1,003 1 1" in text
    pages.write_index(tmp_path)
    assert "1 observed" in Page(tmp_path / "index.html").text


@pytest.mark.parametrize("run", ["", "[]", "null", '"text"', "{}", "[" * 100_000,
                                 '{"verdict": "success", "steps": 3}'])
def test_a_run_json_that_is_not_the_record_of_a_run_is_damaged(tmp_path, run):
    folder = save(tmp_path, "20260101T000000.000000", run)
    pages.write_run_page(folder)
    pages.write_index(tmp_path)
    assert "damaged" in Page(folder / "index.html").text
    assert "damaged" in Page(tmp_path / "index.html").text


def test_an_index_without_runs_says_how_to_start_one(tmp_path):
    assert "python run_pipeline.py" in Page(pages.write_index(tmp_path)).text


def test_a_file_name_that_is_not_text_does_not_stop_the_pages(tmp_path):
    name = os.fsdecode(b"orders_\xff.csv")
    folder = save(tmp_path, "20260101T000000.000000", result("20260101", deliveries=[delivery(name)]))
    assert "orders_?.csv" in Page(pages.write_run_page(folder)).text


def test_the_headline_of_the_index_is_about_the_last_run_that_had_something_to_do(tmp_path):
    error = "orders.csv, line 3: no number\n  details"
    save(tmp_path, "20260101T000000.000000", result("20260101", "failed", error=error))
    for number in range(pages.LISTED):
        save(tmp_path, f"20260102T{number:06}.000000", result("20260102", "nothing new"))
    text = Page(pages.write_index(tmp_path)).text
    head = text.partition("All runs")[0]
    assert "failed latest run that had something to do , 2026-01-01 12:00:00 UTC" in head
    assert "orders.csv, line 3: no number details" in head
    assert "The latest run , 2026-01-02 12:00:00 UTC, found nothing new and nothing left to do." in head
    save(tmp_path, "20260103T000000.000000", result("20260103", "success"))
    head = Page(pages.write_index(tmp_path)).text.partition("All runs")[0]
    assert "success latest run , 2026-01-03 12:00:00 UTC" in head and "nothing new" not in head


def test_the_index_shows_the_first_line_of_reason_and_warnings_of_each_run(tmp_path):
    files = [f"{number}.csv: did you mean orders.csv?\nmore" for number in range(5)]
    failed = result("20260101", "failed", error="Disk full\nmore", files=files)
    save(tmp_path, "20260101T000000.000000", failed)
    row = Page(pages.write_index(tmp_path)).text.partition("All runs")[2]
    assert "Disk full 0.csv: did you mean orders.csv? 1.csv: did" in row and "more 0.csv" not in row
    assert "2.csv: did you mean orders.csv? and 2 more warnings, on the page of the run" in row


@pytest.mark.parametrize("verdict", ["failed", "incomplete", "interrupted", "died"])
def test_only_a_run_that_reached_its_end_has_passed_all_checks(tmp_path, verdict):
    passed = step("raw", gates=[tally("raw_orders", "expect_x()")])
    save(tmp_path, "20260101T000000.000000", result("20260101", verdict, [passed]))
    assert f"{verdict} 1 min 5 s not all ran" in Page(pages.write_index(tmp_path)).text
    save(tmp_path, "20260102T000000.000000", result("20260102", "success", [passed]))
    assert "success 1 min 5 s all passed" in Page(pages.write_index(tmp_path)).text


def test_a_count_of_rows_is_left_out_where_only_failing_rows_were_looked_at(tmp_path):
    orphans = tally("orphans", "expect_x()", "warn", 5) | {"checked": 0}
    run = result("20260101", steps=[step("gold", gates=[orphans])])
    folder = save(tmp_path, "20260101T000000.000000", run)
    text = Page(pages.write_run_page(folder)).text
    assert "orphans expect_x() warn 5 Why" in text and "orphans gold 1 1 " in text


def test_only_the_runs_that_the_index_lists_are_read_and_each_is_read_once(tmp_path, monkeypatch):
    for number in range(pages.LISTED + 30):
        save(tmp_path, f"20260101T{number:06}.000000", result("20260101"))
    opened, read_text = Counter(), Path.read_text

    def count_and_read(path, **how):
        opened[path] += 1
        return read_text(path, **how)

    with monkeypatch.context() as counting:
        counting.setattr(Path, "read_text", count_and_read)
        index = pages.write_index(tmp_path)
    listed = [tmp_path / "runs" / f"20260101T{number + 30:06}.000000" for number in range(pages.LISTED)]
    assert opened == Counter([tmp_path / "report.json", *(
        folder / name for folder in listed for name in ("run.json", run_records.CHARTS))])
    assert Page(index).text.count("2026-01-01 12:00:00 success") == pages.LISTED
    assert "30 older runs are not listed" in Page(index).text


def test_a_page_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    folder = save(tmp_path, "20260101T000000.000000", result("20260101"))
    before = pages.write_run_page(folder).read_text()
    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", lambda *names: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            pages.write_run_page(folder)
    assert (folder / "index.html").read_text() == before
    pages.write_run_page(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "run.json"]


def test_a_notebook_page_shows_prose_and_outputs_and_folds_code(reports):
    path = reports / "runs" / "20260101T120000.000000" / "1_raw.html"
    page = Page(path)
    assert page.text.startswith("raw: success ← All runs Run 20260101T120000.000000 1_raw.ipynb "
                                "success step raw · 2026-01-31 12:00:00 · 3.2 s 1 · Raw")
    assert "color: red" not in page.text and "alert(1)" in page.text
    folded = re.findall(r"<summary>(.*?)</summary>", path.read_text(encoding="utf-8"))
    assert folded == ["Parameters and their defaults", "Code", "Code", "Record (JSON)"]
    assert '"rows": [ 1,' in page.text
    assert "Rows & \"more\"" in [image["alt"] for image in page.all("img")]


def test_a_notebook_page_arranges_tables(reports):
    html = (reports / "runs" / "20260101T120000.000000" / "1_raw.html").read_text()
    head = re.search(r"(?s)<thead><tr>(.*?)</tr>", html)[1]
    assert head.strip() == ('<th scope="col">order_id</th><th scope="col">name</th>'
                            '<th class="number" scope="col">amount</th>')
    assert ('<td>1001</td><td>&lt;script&gt;alert(1)&lt;/script&gt;</td>'
            '<td class="number">-12.50</td></tr>') in html
    assert "Not shown, as they are 0 or empty in every row: note." in html


def page_of_frame(folder: Path, frame: pd.DataFrame) -> str:
    """Return the HTML of the page of a notebook that shows a frame."""
    shown = new_output("execute_result", data={"text/html": frame.to_html()}, execution_count=1)
    cell = new_code_cell("frame", execution_count=1, outputs=[shown])
    nbformat.write(new_notebook(cells=[cell]), folder / "4_gold.ipynb")
    return notebook_pages.export_notebook(folder / "4_gold.ipynb").read_text(encoding="utf-8")


def test_numbers_on_a_notebook_page_are_as_on_the_other_pages(tmp_path):
    frame = pd.DataFrame({"rows": [3136, 5], "quantity": ["2.00", "1,234.50"], "amount": ["-0.50", "1234.00"],
                          "customer_id": ["10001", "10002"]})
    html = page_of_frame(tmp_path, frame)
    cells = re.findall("<td.*?>(.*?)</td>", html)
    assert cells == ["3,136", "2", "-0.50", "10001", "5", "1,234.5", "1,234.00", "10002"]


def test_a_table_without_rows_says_none_and_a_rule_in_a_table_stands_in_words(tmp_path):
    assert '<p class="none">None.</p>' in page_of_frame(tmp_path, pd.DataFrame({"suite": [], "rule": []}))
    assert '<p class="none">None.</p>' in page_of_frame(tmp_path, pd.DataFrame())
    rule = "expect_column_values_to_be_null(order_date_unreadable)"
    html = page_of_frame(tmp_path, pd.DataFrame({"suite": ["fact_orders"], "rule": [rule], "rows": [2]}))
    assert f'<span class="named" title="{rule}">order_date must be readable</span>' in html


def test_a_notebook_page_shows_results_first_the_last_one_on_top_and_then_how_they_came(tmp_path):
    tagged = {"tags": ["result"]}
    book = new_notebook(cells=[
        new_markdown_cell("# Title"), new_code_cell("open", execution_count=1),
        new_markdown_cell("## Rules"), new_code_cell("rules", execution_count=2),
        new_markdown_cell("## Gates", metadata=tagged), new_code_cell("gates", execution_count=3),
        new_markdown_cell("## Chart", metadata=tagged), new_code_cell("chart", execution_count=4),
        new_markdown_cell("## Record"), new_code_cell("record", execution_count=5)])
    path = tmp_path / "4_gold.ipynb"

    def headings():
        nbformat.write(book, path)
        html = notebook_pages.export_notebook(path).read_text(encoding="utf-8")
        return re.findall("<(h[123])[^>]*>(.*?)</h", html)

    assert headings() == [("h1", "Title"), ("h2", "Chart"), ("h2", "Gates"), ("h2", "How it was computed"),
                          ("h3", "Rules"), ("h3", "Record")]
    book.cells[-1].execution_count = None  # it was interrupted: in the order in which it ran
    assert [text for _, text in headings()] == ["Title", "Rules", "Gates", "Chart", "Record"]


def test_a_rule_of_the_quarantine_stands_in_words(tmp_path):
    group = {"table": "orders", "reason": "Why", "rows": 1, "samples": []}
    rules = ("repeated_key", "expect_column_values_to_not_be_null(order_id)", "of_my_own")
    raw = step("raw", rows_quarantined=3, quarantine=[group | {"rule": rule} for rule in rules])
    folder = save(tmp_path, "20260101T000000.000000", result("20260101", steps=[raw]))
    page = Page(pages.write_run_page(folder))
    assert ("orders 1 one key on several rows that differ Why orders 1 order_id must not be empty Why "
            "orders 1 of_my_own Why") in page.text
    assert [named["title"] for named in page.all("span") if "title" in named] == list(rules[:2])


def test_a_run_page_draws_its_steps_with_their_tables(reports):
    page = Page(reports / "runs" / "20260103T120000.000000" / "index.html")
    title = "The steps of this run and their tables raw to facts; facts to gold"
    assert f"{title} 1 raw success orders +12,343 → 4,000,000 {SCRIPT} 0 3 facts failed 4 gold" in page.text
    assert len([path for path in page.all("path") if path["class"] == "edge"]) == 2
    assert "3_facts.html" in [link["href"] for link in page.all("a")]


def test_a_page_shows_none_of_what_is_not_there(tmp_path):
    folder = save(tmp_path, "20260101T000000.000000", result("20260101", steps=[step("raw")]))
    text = Page(pages.write_run_page(folder)).text
    for words in ("Warnings None.", "What changed No table changed.", "No rows were set aside.",
                  "There was nothing new to read.", "Step Verdict Duration 1 raw"):
        assert words in text


@pytest.mark.parametrize(("value", "column", "text"), [
    (3136, "orders", "3,136"), (12.5, "total_amount", "12.50"), (1234.0, "net_sales", "1,234.00"),
    (2.0, "quantity", "2"), (1234.5, "units", "1,234.5"), (0.004, "unit_price", "0.004"),
    ("0012", "postcode", "0012"), (float("inf"), "total_amount", "inf")])
def test_a_value_looks_alike_everywhere(value, column, text):
    assert pages.format_value(value, column) == text


def test_a_failed_notebook_shows_its_error_at_the_top_and_in_place(reports):
    page = Page(reports / "runs" / "20260103T120000.000000" / "3_facts.html")
    message = " ".join(f"PipelineError: {GATE_WORDS}".split())
    assert page.text.index(message) < page.text.index("1 · Raw")
    assert page.text.count(message) == 2
    assert "An Exception was encountered" not in page.text and "\x1b" not in page.text
    assert "The cells below did not run." in page.text


def test_a_notebook_that_was_stopped_is_interrupted(tmp_path):
    folder = save(tmp_path, "20260101T000000.000000", None)
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), folder / "1_raw.ipynb")
    assert "interrupted step raw" in Page(notebook_pages.export_notebook(folder / "1_raw.ipynb")).text


def test_the_pages_of_a_run_import_little():
    code = "import sys, lib.report.pages; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=pages.TEMPLATES.parents[2], check=True,
                          capture_output=True, text=True)
    assert not {"nbconvert", "nbformat", "pandas", "bs4", "IPython"} & set(done.stdout.split())


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_have_contrast(theme):
    css = (pages.TEMPLATES / "style.css").read_text()
    variables = css.split("@media (prefers-color-scheme: dark)")[theme].split("* {")[0]
    colours = dict(re.findall(r"--(\w+): #(\w{6})", variables))
    for text in ("ink", "soft", "link", "good", "bad", "warn"):
        for ground in ("page", "card"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def contrast(*colours):
    """Return the WCAG contrast ratio of two colours."""
    lights = []
    for colour in colours:
        parts = [int(colour[place:place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        weights = 0.2126, 0.7152, 0.0722
        lights.append(sum(weight * part for weight, part in zip(weights, linear, strict=True)))
    return (max(lights) + 0.05) / (min(lights) + 0.05)


PROBE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><body><script>
const frames = %s.map(([page, width]) => {
  const frame = document.body.appendChild(document.createElement("iframe"));
  Object.assign(frame, {src: page, height: 900}).style.width = width + "px";
  return [page, width, frame];
});
onload = () => { document.body.innerHTML = JSON.stringify(frames.map(([page, width, frame]) => {
  const root = frame.contentDocument.documentElement;
  const style = frame.contentWindow.getComputedStyle(frame.contentDocument.body);
  const images = [...frame.contentDocument.images];
  return [page, width, root.scrollWidth, style.maxWidth, images.every(image => image.naturalWidth > 0)];
})); };
</script>"""
HOOK = "<head><script>alert = () => console.error('alert was called')</script>"


class Server(SimpleHTTPRequestHandler):
    """Serves a folder and a probe, and records all requests; `/bare/…` is a page without its policy."""

    def do_GET(self):
        self.server.requests.add(self.path)
        name = self.path.removeprefix("/bare")
        if self.path == "/probe":
            content = self.server.probe
        else:
            content = (Path(self.directory) / unquote(name).lstrip("/")).read_text(encoding="utf-8")
            if name != self.path:
                content = re.sub("<meta http-equiv=.*?>", "", content).replace("<head>", HOOK)
        body = content.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_pages_in_a_browser(reports, tmp_path):
    names = ["/" + pages.quote(path.relative_to(reports).as_posix()) for path in our_pages(reports)]
    wanted = [(prefix + name, width) for name in names for width in (1280, 375) for prefix in ("", "/bare")]
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=str(reports)))
    server.requests, server.probe = set(), PROBE % json.dumps(wanted)
    done = open_probe(server, tmp_path / "profile", "--window-size=1400,1000")
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert server.requests == {"/probe", *(page for page, _ in wanted)}
    seen = json.loads(re.search(r"\[\[.*\]\]", done.stdout)[0])
    assert [(page, width) for page, width, *_ in seen] == wanted
    for page, width, needed, styled, drawn in seen:
        assert needed <= width, f"{page} is {needed} px wide at {width} px"
        assert styled == "1216px" and drawn, f"{page} is without its style or images"
