"""Files that are not read are reported in a few lines, however many there are."""

import shutil

from conftest import Shop

from lib.clock import utc_now
from lib.ingest.deliveries import Delivery
from lib.runner.found_files import describe_files
from lib.runner.plan import describe, make_plan
from lib.runner.status import read_status
from lib.steps import Options


def test_many_files_that_no_source_claims_are_a_few_lines(small: Shop, run):
    options = Options(small.source, small.warehouse, small.reports)
    for number in range(300):
        small.deliver(f"export_{number:03}.txt", "x")
        small.deliver(f".hidden_{number:03}", "x")
    lines = ["300 files, such as .hidden_000, .hidden_001, .hidden_002: hidden or unfinished by its name",
             "300 files, such as export_000.txt, export_001.txt, export_002.txt: no source has such a name. "
             f"To read it as it is: python run_pipeline.py adopt {small.source}"]
    result = run()
    assert result.warnings() == lines
    assert (len(result.deliveries), result.not_listed) == (5 + 2 * 20, 560)
    assert read_status(options, utc_now())["warnings"] == lines
    shown = describe(make_plan(options))
    assert [line.strip() for line in shown if "export" in line or ".hidden" in line] == lines
    assert "  skipped  300 of no source" in shown


def test_files_that_are_left_for_many_reasons_are_a_few_lines_too():
    left = [Delivery(f"{number}.csv", "stray", note=f"did you mean {number}.csv?") for number in range(100)]
    assert describe_files([*left, Delivery("a", "known")]) == [
        *(f"{number}.csv: did you mean {number}.csv?" for number in range(5)),
        "95 more files are of no source"]
    assert describe_files(Delivery(f"orders ({n}).csv", "new", note="read as orders") for n in range(3)) == [
        f"orders ({n}).csv: read as orders" for n in range(3)]


def test_a_copy_of_another_file_is_mentioned_once(small: Shop, run):
    shutil.copy(small.source / "orders.csv", small.source / "orders_copy.csv")
    assert run().warnings() == ["orders_copy.csv: same bytes as orders.csv"]
    assert run().warnings() == []
