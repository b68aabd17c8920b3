"""A wrong contract, shop or system is an error that names file, line and remedy, before anything is begun."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT, Shop

from lib.contract import CONTRACT, read_shop, read_source
from lib.declarations import DeclarationError
from lib.systems import SYSTEMS, read_system

NOT_COPIED = shutil.ignore_patterns(".git", ".venv*", "reports", "warehouse", "__pycache__", "tests")
CUSTOMERS = (CONTRACT / "customers.yaml").read_text(encoding="utf-8")
SHOPIFY = (SYSTEMS / "shopify.yaml").read_text(encoding="utf-8")


def line_of(text: str, part: str) -> int:
    """Return the number of the first line with a text in it."""
    return 1 + text[:text.index(part)].count("\n")


# What is written in place of what, and what the error says.
WRONG_CONTRACT = {
    "an unknown property": ("name: city", "nam: city", "there is no property 'nam' (did you mean name?)"),
    "an unknown constraint": ("required: true", "requird: true", "'requird' (did you mean required?)"),
    "no truth": ("required: true", "required: yes", "'required' must be true or false, not 'yes'"),
    "an unknown type": ("type: string", "type: text", "'customer_id' has the type 'text'. Write string"),
    "another kind of value": ("fields:", "fields: all\nmore:", "'fields' must be a list of fields"),
    "a missing name": ("- name: city\n    type", "- type", "the property 'name' is missing"),
    "a property twice": ("title: X", "", "has 'type' twice. Keep one."),
    "a field twice": ("name: phone", "name: email", "the field 'email' is there twice"),
    "no YAML": ("name: city", "\tname: city", "this is no YAML ("),
    "a control character": ("Given name", "Given\0name", "this is no YAML ("),
    "an unknown encoding": ("missingValues", "encoding: cp12512\nmissingValues", "the encoding 'cp12512'"),
    "a key that may be empty": ("    constraints: {required: true}\n", "", "is the first field"),
    "another primary key": ("primaryKey: customer_id", "primaryKey: email", "must be 'customer_id'"),
    "a number as a category": ("type: string\n    category", "type: number\n    decimals: 2\n    category",
                               "'segment' is a category, so its type must be string"),
    "dates in another form": ("type: string\n    description: City", "type: date\n    format: '%d.%m.%Y'\n"
                              "    description: City", "declare other forms in data/contract/systems"),
}


@pytest.mark.parametrize("wrong", WRONG_CONTRACT)
def test_a_wrong_source_is_named_with_its_line_and_the_remedy(wrong: str, tmp_path: Path):
    before, after, said = WRONG_CONTRACT[wrong]
    if wrong == "a property twice":
        before, after = "type: string\n    category", "type: string\n    type: string\n    category"
    assert before in CUSTOMERS
    text = CUSTOMERS.replace(before, after, 1)
    path = tmp_path / "data" / "contract" / "customers.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DeclarationError, match=re.escape(said)) as error:
        read_source(path)
    named = re.match(r"data/contract/customers\.yaml, line (\d+): .*\.$", str(error.value))
    changed = 1 + CUSTOMERS[:CUSTOMERS.index(before)].count("\n")
    assert abs(int(named[1]) - changed) <= 3, "the line is that of the field, or of the property"


def test_a_file_that_is_gone_or_not_utf8_is_named(tmp_path: Path):
    path = tmp_path / "orders.yaml"
    with pytest.raises(DeclarationError, match=r"orders\.yaml cannot be read \(No such file.*Restore it"):
        read_source(path)
    path.write_bytes("# one\ndescription: Größe\n".encode("latin-1"))
    with pytest.raises(DeclarationError, match=r"orders\.yaml, line 2: this is not UTF-8"):
        read_source(path)


@pytest.mark.parametrize(("text", "said"), [
    ("timezone: Europe/Berln", "line 1: there is no time zone 'Europe/Berln'"),
    ("\ntimezon: UTC", "line 2: there is no property 'timezon' (did you mean timezone?)"),
    ("first_month_of_fiscal_year: 13", "line 1: 'first_month_of_fiscal_year' must be a month from 1 to 12"),
    ("first_month_of_fiscal_year: May", "line 1: 'first_month_of_fiscal_year' must be a whole number"),
    ("- UTC", "line 1: a declaration must be a mapping"),
])
def test_a_wrong_shop_is_named_with_its_line(text: str, said: str, tmp_path: Path):
    path = tmp_path / "shop.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DeclarationError, match=re.escape(f"shop.yaml, {said}")):
        read_shop(path)


TOP = "complete: order"
WRONG_SYSTEM = {
    "an unknown property": (TOP, "complet: order", "complet:", "'complet' (did you mean complete?)"),
    "an unknown source": ("  orders:", "  ordres:", "  ordres:", "no such source (did you mean orders?)"),
    "an unknown column": ("customer_id: Email", "custmer_id: Email", "custmer_id",
                          "'custmer_id', which is no column of the contract (did you mean customer_id?)"),
    "a missing key": ("      order_id: Name\n      customer_id", "      customer_id", "order_date: Created",
                      "does not say where order_id comes from, which is the key"),
    "a number without an order": ("/{n}\"\n      order_id: Name", "/{n}\"", "{n}",
                                  "'order_line_id' has {n}, the number of a row within its order: it needs"),
    "a sum over single rows": ("quantity: Lineitem quantity", "quantity: {sum: Lineitem quantity}",
                               "quantity: {sum", "that needs `rows: one per key`"),
    "neither a column nor a text": ("email: Email", "email: {sum: Email, of: 1}", "email: {",
                                    "write a column's"),
    "an empty column": ("email: Email", "email:", "email:", "'email' has no value"),
    "a broken placeholder": ("email: Email", "email: '{Email'", "email:", "'{Email' is no name of a column"),
    "two date patterns that both match": (
        TOP, "dates: ['%d/%m/%Y', '%m/%d/%Y']", "dates", "'%d/%m/%Y' and '%m/%d/%Y' both match '03/02/2001'"),
    "two-digit years that both match": (
        TOP, "dates: ['%y-%m-%d', '%d-%m-%y']", "dates", "'%y-%m-%d' and '%d-%m-%y' both match"),
    "a date without a year": (TOP, "dates: '%d.%m.'", "dates", "'%d.%m.' does not say which day it is"),
    "no pattern": (TOP, "dates: '%Q'", "dates", "'%Q' is no pattern of strptime"),
    "grouping as decimal": (TOP, "decimal: ','\ngrouping: ','", "grouping", "'grouping' is ','"),
    "an unknown zone": (TOP, "zones: {CET: Europe/Pari}", "zones", "no time zone 'Europe/Pari' for 'CET'"),
    "an unknown time zone": (TOP, "timezone: Mars/Base", "timezone", "there is no time zone 'Mars/Base'"),
    "an unknown way to split": ("rows: one per key", "rows: one per order", "rows:", "'one per order'"),
}


@pytest.mark.parametrize("wrong", WRONG_SYSTEM)
def test_a_wrong_system_is_named_with_its_line_and_the_remedy(wrong: str, tmp_path: Path):
    before, after, at, said = WRONG_SYSTEM[wrong]
    assert before in SHOPIFY
    text = SHOPIFY.replace(before, after, 1)
    path = tmp_path / "data" / "contract" / "systems" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DeclarationError, match=re.escape(said)) as error:
        read_system(path)
    [line] = [line for line in str(error.value).splitlines() if said in line]
    named = re.match(r" *data/contract/systems/mine\.yaml, line (\d+): ", line)
    assert abs(int(named[1]) - line_of(text, at)) <= 2


def test_patterns_that_match_no_common_text_are_read(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    dates = "dates: ['%d.%m.%Y', '%d.%m.%y', '%d.%m.%Y %H:%M', '%b %d, %Y', '%Y/%m/%d']"
    path.write_text(SHOPIFY.replace(TOP, dates), encoding="utf-8")
    assert len(read_system(path).dates) == 5


@pytest.mark.parametrize("file", ["customers.yaml", "systems/shopify.yaml"])
def test_every_command_that_reads_files_shows_it_in_one_line_and_begins_nothing(file: str, tmp_path: Path):
    project, shop = tmp_path / "project", Shop(tmp_path / "shop")
    shutil.copytree(PROJECT, project, ignore=NOT_COPIED)
    shutil.copytree(PROJECT / "data" / "source", shop.source)
    with (project / "data" / "contract" / file).open("a", encoding="utf-8") as declaration:
        declaration.write("descripton: A typo.\n")
    for verb in ([], ["plan"], ["status"]):
        command = [sys.executable, project / "run_pipeline.py", *verb, "--source", shop.source,
                   "--warehouse", shop.warehouse, "--reports", shop.reports]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert re.fullmatch(rf"error: data/contract/{file}, line \d+: there is no property 'descripton' "
                            r"\(did you mean description\?\)\. Correct it\.\n", done.stderr)
    assert not shop.warehouse.exists() and not shop.reports.exists()
