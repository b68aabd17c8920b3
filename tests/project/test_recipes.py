"""The recipes of `docs/change.md` and of the README, done as they are written, in a copy of the project.

After each of them the pipeline runs on a warehouse from before it, loads another delivery, verifies all,
repeats the run before the change (which differs only if a measure has changed), and loads everything anew.
Then the copy's own tests of what is declared pass.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CUSTOMERS, LINES, ORDERS, PROJECT, Shop
from documents import PAGES, README, blocks

CHANGE = PAGES["docs/change.md"]
SHIPMENTS = "shipment_id,order_id,shipped_at,carrier"
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
# Tests that a change of rules can break: of notebooks, suites, contract, meanings, examples and pages. What
# they look at is read from the files, so they are also right after a change.
QUICK = ["tests/project/test_steps.py", "tests/project/test_table_schemas.py", "tests/step/test_suites.py",
         "tests/report/test_catalog.py", "tests/explore/test_questions.py", "tests/step/test_gates.py",
         "tests/project/test_docs.py", "tests/project/test_examples.py", "-k",
         "test_steps or test_table_schemas or sound or test_catalog or test_questions or every_expectation "
         "or suite_per_table or inventory or contract or links or names or has_an_example "
         "or every_example_holds and not time_zone"]

BLOCK = re.compile(r"`([\w/.]+\.(?:ipynb|json|yaml|toml))`|^( *)```diff\n(.*?)^ *```$", re.M | re.S)


class Copy:
    """A copy of the project in which a test does what a recipe says."""

    def __init__(self, folder: Path, shop: Shop):
        self.folder, self.shop = folder, shop
        ignored = shutil.ignore_patterns(".git", ".venv*", "reports", "warehouse", "__pycache__", ".*_cache")
        shutil.copytree(PROJECT, folder, ignore=ignored)

    def run(self, *words: str, expect: int = 0) -> str:
        """Run the copy's command on the shop's folders, and return what it prints."""
        command = [sys.executable, self.folder / "run_pipeline.py", *self.shop.command(*words)[2:]]
        return self.call(command, expect)

    def call(self, command: list, expect: int = 0) -> str:
        done = subprocess.run(list(map(str, command)), cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def follow(self, recipe: str) -> None:
        """Do what the blocks of a recipe say: each changes the file that was named last before it."""
        for match in BLOCK.finditer(recipe):
            if match[1]:
                named = self.folder / match[1]
            else:
                self.change(named, re.sub(rf"(?m)^{match[2]}", "", match[3]))

    def change(self, path: Path, diff: str) -> None:
        """Change a file as a diff says; the lines before it must be there once. A notebook is its cells."""
        lines = diff.splitlines()
        before = "\n".join(line[1:] for line in lines if line[:1] != "+")
        after = "\n".join(line[1:] for line in lines if line[:1] != "-")
        text = path.read_text(encoding="utf-8")
        if path.suffix != ".ipynb":
            assert text.count(before) == 1, f"{path.name} has not once:\n{before}"
            path.write_text(text.replace(before, after), encoding="utf-8")
            return
        book = json.loads(text)
        [cell] = [cell for cell in book["cells"] if before in "".join(cell["source"])]
        assert "".join(cell["source"]).count(before) == 1
        cell["source"] = "".join(cell["source"]).replace(before, after).splitlines(keepends=True)
        path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@pytest.fixture
def copy(used: Shop, tmp_path: Path) -> Copy:
    return Copy(tmp_path / "project", used)


def section(page: str, heading: str) -> str:
    """Return what stands below a heading, up to the next one that is not below it."""
    level = heading.count("#")
    [found] = re.findall(rf"(?ms)^{heading}\n(.*?)(?=^#{{1,{level}}} |\Z)", page)
    return found


def a_rule(copy: Copy) -> None:
    copy.follow(section(CHANGE, "### What a failing row means"))


def a_measure(copy: Copy) -> None:
    path, before, after = re.search(r"Open `(.*?)` .*?change `(.*?)` to\s+`(.*?)`",
                                    section(README, "## Change a rule"), re.DOTALL).groups()
    copy.change(copy.folder / path, f"-{before}\n+{after}")
    examples = copy.folder / "notebooks" / "examples.yaml"
    text = examples.read_text(encoding="utf-8")
    examples.write_text(re.sub(r"\b5000\b", "3000", text.replace("4999.99", "2999.99")), encoding="utf-8")


def a_column(copy: Copy) -> None:
    copy.follow(section(CHANGE, "## A column"))


def a_source(copy: Copy) -> None:
    recipe = section(CHANGE, "## A source")
    copy.shop.folder.joinpath("home").mkdir()
    (copy.shop.folder / "home" / "shipments.csv").write_text("\n".join([
        SHIPMENTS, "S1,0000001,2025-11-02T10:00:00,DHL", "S2,0000002,,UPS", "S3,0000003,2025-11-03,DHL",
        "S4,0000001,2025-11-09,DHL"]) + "\n", encoding="utf-8")
    [command] = blocks(recipe, "sh")
    words = command.replace("~", str(copy.shop.folder / "home")).split()
    assert words.pop(0) == "python"
    copy.call([sys.executable, *words])
    copy.follow(recipe)


# What is delivered after the change, and what must then be in a database.
RECIPES = {
    "a rule": (a_rule, ("order_lines_2.csv", LINES, "N1,0000001,,1,2.00,"),
               "gold", "select product_id from reporting_sales_wide where order_line_id = 'N1'", (None,)),
    "a measure": (a_measure, ("orders_2.csv", ORDERS, "N1,00001,2025-12-30,web,1.00,placed"),
                  "gold", "select count(*) from reporting_customer_stats where value_tier = 'PLATINUM'",
                  (12,)),
    "a column": (a_column, ("customers_2.csv", f"{CUSTOMERS},loyalty_points", "00001,Ann,A,,,,,,vip,7.5"),
                 "gold", "select distinct loyalty_points from reporting_sales_wide "
                         "where customer_id = '00001'", (7.5,)),
    "a source": (a_source, ("shipments.csv", SHIPMENTS, "S1,0000001,2025-11-02T10:00:00,DHL",
                            "S4,0000001,2025-11-09,DHL"),
                 "gold", "select distinct first_shipped_at from reporting_sales_wide "
                         "where order_id = '0000001'", ("2025-11-02 10:00:00",)),
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_that_is_followed_as_it_is_written_breaks_nothing(recipe: str, copy: Copy, tmp_path: Path):
    follow, delivery, layer, sql, expected = RECIPES[recipe]
    shop, before = copy.shop, [folder.name for folder in (copy.shop.reports / "runs").iterdir()]
    follow(copy)
    copy.run()
    shop.deliver(*delivery)
    copy.run()
    assert shop.query(layer, sql) == [expected]
    copy.run("verify")
    again = copy.run("replay", *before, expect=1 if recipe == "a measure" else 0)
    assert recipe != "a measure" or "changed since: notebook 4_gold.ipynb" in again  # which explains it
    fresh = Shop(tmp_path / "fresh")
    shutil.copytree(shop.source, fresh.source)
    copy.shop = fresh
    copy.run()
    assert fresh.query(layer, sql) == [expected]
    copy.call([*PYTEST, *QUICK])


def test_the_question_of_the_page_is_asked_by_its_name(copy: Copy):
    recipe = section(CHANGE, "## A question")
    [name] = re.findall(r"Save it in `questions`, as `(.*?)`", recipe)
    (copy.folder / "questions" / name).write_text(blocks(recipe, "sql")[0], encoding="utf-8")
    asked = copy.run("query", "--ask", name.removesuffix(".sql"), "--month", "2025-12", "--format", "csv")
    expected = copy.shop.query("gold", "select order_date, returned_amount from sales_summary_daily "
                                       "where returned_amount > 0 and order_date like '2025-12%'")
    assert len(asked.splitlines()) == len(expected) + 1 > 10
    copy.call([*PYTEST, "tests/explore/test_questions.py"])
