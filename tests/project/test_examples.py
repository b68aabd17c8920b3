"""Each rule has examples, all of which hold; one that does not is named with its cell."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import in_process
import pytest
from conftest import PROJECT

from lib.contract import SOURCES, Shop
from lib.declarations import DeclarationError
from lib.preview.examples import Tried, try_examples
from lib.report.example_text import explain_columns
from lib.report.examples import Examples, read_examples
from lib.report.expectation_text import read_expectations
from lib.report.lineage import find_origins
from lib.steps import SUITES

EXAMPLES = PROJECT / "notebooks" / "examples.yaml"
RUN = """
from lib.preview.examples import try_examples
from lib.report.examples import read_examples

tried = try_examples(read_examples())
print(tried.number, *tried.failed, sep="\\n")
"""
BASE = """today: 2025-12-31
base:
  customers: {customer_id: <key>, first_name: Ann, email: a@example.com}
  products: {product_id: <key>, product_name: Cup}
  orders: {order_id: <key>, customer_id: <key>, order_date: <day>, status: PLACED, total_amount: 10}
  order_lines: {order_line_id: <key>, order_id: <key>, product_id: <key>, quantity: 1, unit_price: 10}
  payments: {payment_id: <key>, order_id: <key>, payment_status: SUCCESS}
"""
NAME = """curated:
- about: A name in capitals.
  cell: names-words
  table: dim_customers
  delivered: {first_name: ANNA}
  becomes: {first_name: Anna}
"""
TIER = """gold:
- about: Who spends much.
  cell: gold-19
  delivered:
    orders: {total_amount: 5000}
  becomes:
    reporting_customer_stats: {value_tier: PLATINUM}
"""
SMALL = BASE + NAME + TIER


def read(folder: Path, text: str) -> Examples:
    path = folder / "notebooks" / "examples.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return read_examples(path)


@pytest.fixture
def try_text(tmp_path: Path, monkeypatch):
    """Run examples within the test's process."""
    in_process.keep_in_process(monkeypatch)
    return lambda text: try_examples(read(tmp_path, text))


@pytest.fixture
def change(monkeypatch):
    """Change code cells of the notebooks, by their ids, for runs within the test's process."""
    def change(edits: dict[str, tuple[str, str]]) -> None:
        unchanged = in_process.cells

        def cells(notebook: str) -> list:
            content = json.loads((PROJECT / "notebooks" / notebook).read_text(encoding="utf-8"))
            code = {f"{notebook} {cell['id']}": "".join(cell["source"]) for cell in content["cells"]
                    if cell["id"] in edits}
            for name, text in code.items():
                before, after = edits[name.partition(" ")[2]]
                assert text.count(before) == 1
                code[name] = text.replace(before, after)
            return [(compile(code[compiled.co_filename], compiled.co_filename, "exec"), is_parameters)
                    if compiled.co_filename in code else (compiled, is_parameters)
                    for compiled, is_parameters in unchanged(notebook)]
        monkeypatch.setattr(in_process, "cells", cells)
    return change


@pytest.mark.whole_run
def test_every_example_holds():
    done = subprocess.run([sys.executable, "-c", RUN], cwd=PROJECT, capture_output=True, text=True)
    number, *failed = done.stdout.splitlines()
    assert not failed and int(number) > 200, f"{done.stdout}\n{done.stderr}"


@pytest.mark.whole_run
def test_every_example_holds_in_a_shop_with_a_time_zone(try_text, monkeypatch):
    shop = Shop("Europe/Berlin")
    for module in ("lib.preview.examples", "lib.step.parse", "lib.step.base", "lib.step.fingerprint"):
        monkeypatch.setattr(f"{module}.SHOP", shop)
    text = EXAMPLES.read_text(encoding="utf-8")
    tried = try_text(text)
    assert not tried.failed, "\n".join(tried.failed)
    assert text.count("timezone: Europe/Berlin") > 1 and tried.number > 200


@pytest.mark.whole_run
def test_a_changed_rule_is_named_by_its_examples_with_the_cell_and_both_values(try_text, change):
    change({"names-words": ("mc.title()", "mc"),
            "gold-13": ("min(case when payment_status", "max(case when payment_status"),
            "gold-19": ("lifetime_value >= 5000", "lifetime_value >= 3000")})
    tried = try_text(EXAMPLES.read_text(encoding="utf-8"))
    failed = "\n".join(tried.failed)
    for named in (r"dim_customers\.last_name is 'mcDonald' instead of 'McDonald' for customers last_name "
                  r"'MCDONALD' .* See cell names-words of 2_dimensions\.ipynb",
                  r"reporting_sales_wide\.payment_method is 'VOUCHER' instead of 'CARD' .* See cell gold-13 "
                  r"of 4_gold\.ipynb",
                  r"reporting_customer_stats\.value_tier is 'PLATINUM' instead of 'GOLD' for orders "
                  r"total_amount '4999\.99' .* See cell gold-19 of 4_gold\.ipynb"):
        assert re.search(f"^notebooks/examples.yaml, line \\d+: {named}", failed, re.MULTILINE), named
    lines = {int(re.search(r"line (\d+)", line)[1]) for line in tried.failed}
    text = EXAMPLES.read_text(encoding="utf-8").splitlines()
    assert all(any(word in "".join(text[line - 1:line + 12]) for word in ("MCDONALD", "VOUCHER", "4999.99"))
               for line in lines), failed


# What is wrong with the outcome, what is written in place of what, and what is reported.
UNEXPECTED = {
    "another value later": ("{first_name: ANNA}", "{first_name: ANNA}\n  later: {first_name: BOB}",
                            "first_name is 'Bob' instead of 'Anna' for customers first_name 'ANNA'; cust"
                            "omers first_name 'BOB'"),
    "no row any more": ("  becomes:\n    rep", "  left_out: orders\n  becomes:\n    rep",
                        "reporting_customer_stats has no row with the customer_id 'example-2'"),
    "another number": ("{value_tier: PLATINUM}", "{value_tier: PLATINUM, orders: 2}",
                       "orders is 1 instead of 2 for orders total_amount '5000'"),
    "another value": ("first_name: Anna", "first_name: ANNA", "first_name is 'Anna' instead of 'ANNA'"),
    "an empty value": ("first_name: Anna", "first_name: ''", "first_name is 'Anna' instead of empty"),
    "no such column": ("becomes: {first_name", "becomes: {firstname",
                       r"dim_customers has no column 'firstname' \(did you mean first_name\?\)"),
    "no such row": ("{value_tier", "{customer_id: nobody, value_tier",
                    "reporting_customer_stats has no row with the customer_id 'nobody'"),
    "set aside": ("{total_amount: 5000}", "{total_amount: 5 000}",
                  r"total_amount '5 000' was set aside by expect_column_values_to_be_null\("
                  r"total_amount_unreadable\): total_amount must be an amount"),
    "loaded": ("  cell: names-words\n  table: dim_customers\n  delivered: {first_name: ANNA}\n"
               "  becomes: {first_name: Anna}",
               "  table: raw_customers\n  delivered: {customer_id: C1}\n"
               "  set_aside: expect_column_values_to_not_be_null(customer_id)",
               "customer_id 'C1' was loaded instead of being set aside .*gx/expectations/raw_customers.json"),
    "another rule": ("  cell: names-words\n  table: dim_customers\n  delivered: {first_name: ANNA}\n"
                     "  becomes: {first_name: Anna}",
                     "  table: dim_products\n  delivered: {unit_price: 1 000}\n"
                     "  set_aside: expect_column_values_to_be_between(unit_price)",
                     r"was set aside by expect_column_values_to_be_null\(unit_price_unreadable\)"),
    "reported": ("{first_name: ANNA}", "{first_name: ANNA, email: no}",
                 r"is reported by expect_column_values_to_match_regex\(email\), which the example does not"),
    "not reported": ("  becomes: {first_name", "  warns: expect_column_values_to_match_regex(email)\n"
                     "  becomes: {first_name",
                     r"is not reported by expect_column_values_to_match_regex\(email\)"),
}


@pytest.mark.parametrize("what", UNEXPECTED)
def test_an_example_that_does_not_hold_says_what_came_instead(what: str, try_text):
    before, after, said = UNEXPECTED[what]
    assert SMALL.count(before) == 1
    tried = try_text(SMALL.replace(before, after))
    assert tried.number == 2
    [failed] = tried.failed
    assert re.match(f"notebooks/examples.yaml, line \\d+: .*{said}", failed), failed


def test_examples_leave_nothing_and_those_of_other_time_zones_are_not_tried(try_text, tmp_path: Path):
    elsewhere = NAME.replace("curated:\n", "").replace("cell:", "timezone: Asia/Tokyo\n  cell:")
    assert try_text(BASE + NAME + elsewhere + TIER) == Tried(2, [])
    assert [path.name for path in tmp_path.iterdir()] == ["notebooks"]


def test_two_examples_with_one_key_or_one_day_are_both_named(try_text):
    twice = NAME + NAME.replace("curated:\n", "").replace("in capitals", "once more")
    with pytest.raises(DeclarationError, match=r"line 9 \(A name in capitals\.\) and line 14 \(A name "
                                               r"once more\.\) both have the customer_id 'C1'\. Give one of"):
        try_text(BASE + twice.replace("{first_name: ANNA}", "{customer_id: C1, first_name: ANNA}") + TIER)
    of_a_day = """- about: Sales of a day.
  cell: gold-17
  delivered:
    orders: {order_date: 2025-01-02}
  becomes:
    sales_summary_daily: {orders: 1}
"""
    one_day = TIER.replace("{total_amount", "{order_date: 2025-01-02T10:00, total_amount") + of_a_day
    with pytest.raises(DeclarationError, match=r"line 21 \(Sales of a day\.\) and line 15 \(Who spends "
                                               r"much\.\) both have orders on 2025-01-02"):
        try_text(BASE + NAME + one_day)


def test_a_run_that_fails_is_the_reason_for_which_examples_fail(try_text, change):
    change({"gold-17": ("sum(total) as total_sales", "sum(total) + 1 as total_sales")})
    [failed] = try_text(SMALL).failed
    assert failed.startswith("the examples cannot be loaded: gate reconciliation: ")


# What is written in place of what, and what the error says.
WRONG = {
    "an unknown property": ("about: A", "abuot: A", "there is no property 'abuot' (did you mean about?)"),
    "an unknown table": ("table: dim_customers", "table: dim_custmers", "'dim_custmers' is no table of "
                         "curated, nor suite of a source (did you mean dim_customers?)"),
    "an unknown column": ("{first_name: ANNA}", "{firstname: ANNA}", "'firstname' is no column of customers "
                          "(did you mean first_name?)"),
    "an unknown column of a base row": ("email: a@", "e_mail: a@", "'e_mail' is no column of customers (did"),
    "an unknown source": ("    orders: {total", "    order: {total", "'order' is no source (did you mean"),
    "an unknown source of a base row": ("  payments:", "  payment:", "'payment' is no source (did you mean"),
    "an unknown cell": ("cell: names-words", "cell: name-words", "'name-words' is no cell of the notebooks "
                        "of curated (did you mean names-words?)"),
    "an unknown table of gold": ("reporting_customer_stats:", "customer_stats:", "'customer_stats' is no "),
    "an unknown rule": ("becomes: {f", "warns: expect_column_values_to_match_regex(mail)\n  becomes: {f",
                        "is no rule of a suite (did you mean expect_column_values_to_match_regex(email)?)"),
    "a rule of another suite": (
        "becomes: {first_name: Anna}", "set_aside: expect_column_values_to_not_be_null(product_id)",
        "is no rule of the suite dim_customers"),
    "no cell": ("  cell: names-words\n", "", "it does not say where its rule is"),
    "no outcome": ("  becomes: {first_name: Anna}\n", "", "it does not say what becomes of the row"),
    "no outcome in gold": ("  becomes:\n    reporting_customer_stats: {value_tier: PLATINUM}\n", "",
                           "it does not say what becomes of the rows"),
    "no table": ("  table: dim_customers\n", "", "it does not say of which table it is"),
    "a table in gold": ("  cell: gold-19\n", "  cell: gold-19\n  table: x\n", "of gold has no 'table'"),
    "two outcomes": ("becomes: {first", "set_aside: repeated_key\n  becomes: {first", "becomes nothing"),
    "values without a column": ("delivered: {first_name: ANNA}\n  becomes", "values", "belong together"),
    "values that become nothing": ("delivered: {first_name: ANNA}\n  becomes: {first_name: Anna}",
                                   "column: city\n  values: [ULM]", "what the values become"),
    "an unknown column later": ("becomes: {f", "later: {citi: ULM}\n  becomes: {f", "'citi' is no column of"),
    "an unknown source left out": ("becomes: {f", "left_out: client\n  becomes: {f", "'client' is no source"),
    "more rows later": ("  becomes:\n    rep", "  later: {customers: {}}\n  becomes:\n    rep",
                        "more rows of customers come later"),
    "an unknown time zone": ("  table: dim_customers\n", "  table: dim_customers\n  timezone: Europe/Berln\n",
                             "there is no time zone 'Europe/Berln'"),
    "no day": ("today: 2025-12-31", "today: 31.12.2025", "'today' is '31.12.2025'. Write a day such as"),
    "no list": ("curated:\n- ", "curated:\n  ", "there must be a list of examples here"),
    "no YAML": ("about: A", "about: [A", "this is no YAML"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_file_is_an_error_with_its_line_and_the_closest_name(wrong: str, tmp_path: Path):
    before, after, said = WRONG[wrong]
    assert SMALL.count(before) >= 1
    text = SMALL.replace(before, after, 1)
    with pytest.raises(DeclarationError, match=re.escape(said)) as error:
        read(tmp_path, text)
    line = int(re.match(r"notebooks/examples\.yaml, line (\d+): .*\.$", str(error.value), re.DOTALL)[1])
    assert abs(line - 1 - SMALL[:SMALL.index(before)].count("\n")) <= 5


def test_the_examples_of_the_page_hold(try_text):
    page = (PROJECT / "docs" / "change.md").read_text(encoding="utf-8")
    [block] = [block for block in re.findall("```yaml\n(.*?)```", page, re.DOTALL) if "curated:" in block]
    assert try_text(BASE + block) == Tried(3, [])


@pytest.fixture(scope="module")
def examples() -> Examples:
    return read_examples()


def test_every_cell_with_a_rule_has_an_example(examples: Examples):
    cells = {cell["id"]: "".join(cell["source"]) for notebook in ("2_dimensions", "3_facts", "4_gold")
             for cell in json.loads((PROJECT / "notebooks" / f"{notebook}.ipynb").read_text("utf-8"))["cells"]
             if cell["cell_type"] == "code"}
    of_curated = {name for name, code in cells.items()
                  if any(isinstance(part, ast.FunctionDef) for part in ast.parse(code).body)}
    of_gold = {name for name, code in cells.items() if "step.define(" in code or "step.batches(" in code}
    assert len(of_curated) >= 8 and len(of_gold) >= 5
    missing = (of_curated | of_gold) - {example.cell for example in examples.examples}
    assert not missing, f"{missing} have no example in notebooks/examples.yaml"


def test_every_column_that_is_cleaned_or_computed_has_an_example(examples: Examples):
    computed = {column for column, origin in find_origins().items() if origin.steps}
    assert len(computed) > 40
    missing = computed - explain_columns(examples.examples).keys()
    assert not missing, f"{missing} have no example in notebooks/examples.yaml"


def test_every_rule_of_a_suite_that_sets_rows_aside_or_reports_them_has_an_example(examples: Examples):
    aside = {example.set_aside for example in examples.examples}
    reported = {rule for example in examples.examples for rule in example.warns}
    keys = {f"{kind}_{source.name}": f"expect_column_values_to_not_be_null({source.key})"
            for source in SOURCES.values() for kind in ("dim", "fact")}
    for path in SUITES.glob("*.json"):
        rules = {rule["rule"]: rule for rule in read_expectations(path)}
        for name, rule in rules.items():
            # Raw has set aside rows without a key, so that none gets to the suites of curated.
            is_key = name == keys.get(path.stem)
            if rule["on_failure"] == "quarantine" and not is_key:
                assert (path.stem, name) in aside, f"{name} of {path.stem} has no example"
            if rule["on_failure"] == "warn":
                assert name in reported, f"{name} of {path.stem} has no example"
