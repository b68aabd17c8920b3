"""The catalog: every table and column with its meaning, type, rules and lineage, and when it is rebuilt."""

import json
import re
import shutil
import tomllib
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from conftest import LAYERS, PROJECT, Shop
from page import Page

from lib.contract import CONTRACT, SOURCES
from lib.report import catalog, expectation_text, lineage
from lib.report.descriptions import EVERYWHERE
from lib.report.examples import read_examples
from lib.report.expectation_text import as_sentence, find_words

NOTEBOOKS = PROJECT / "notebooks"
STAMPS = {"row_id", "is_deleted", "batch_id", "process_name",
          "transformation_timestamp", "aggregation_timestamp"}
NO_TABLES = {layer: {} for layer in LAYERS}
TABLES = "select name from sqlite_schema where type = 'table' and name not like 'sqlite%'"


@pytest.fixture(scope="module")
def tables(loaded: Shop) -> dict[str, dict]:
    """The catalog's tables after the first run, by layer.table, their columns by name."""
    model = json.loads((loaded.reports / catalog.MODEL).read_text(encoding="utf-8"))
    assert model["problem"] is None
    return {f"{table['layer']}.{table['name']}": table | {"columns": by_name(table["columns"])}
            for table in model["tables"]}


def by_name(columns: list[dict]) -> dict[str, dict]:
    return {column["name"]: column for column in columns}


@pytest.fixture(scope="module")
def origins() -> dict[lineage.Column, lineage.Origin]:
    return lineage.find_origins()


def schemas_of(shop: Shop) -> dict[str, dict[str, str]]:
    """Return the columns and types of every table, by layer.table."""
    columns = "select name, lower(type) from pragma_table_info(?)"
    return {f"{layer}.{table}": dict(shop.query(layer, columns, table))
            for layer in LAYERS for (table,) in shop.query(layer, TABLES)}


def test_every_table_and_column_of_the_databases_is_listed_with_meaning_and_type(loaded: Shop, tables):
    schemas = schemas_of(loaded)
    assert {name: list(table["columns"]) for name, table in tables.items()} == {
        name: list(columns) for name, columns in schemas.items()}
    for name, table in tables.items():
        assert table["grain"], name
        for column in table["columns"].values():
            missing = f"neither the contract nor notebooks/meanings.toml says what {name}.{column['name']} is"
            assert (column["meaning"] or "").endswith("."), missing
            assert column["type"].partition(",")[0] == schemas[name][column["name"]]


def test_no_meaning_is_about_a_column_that_does_not_exist(loaded: Shop):
    schemas = schemas_of(loaded)
    more = {"replaced_timestamp": "text", "replaced_row_id": "integer"}
    replaced = {f"{name}_replaced": columns | more for name, columns in schemas.items()
                if name.startswith(("curated.dim_", "curated.fact_"))}
    on_spark = {"raw.table_versions": ["version_id", "table_name", "version", "next_row_id", "batch_id"]}
    columns_of = {name: {"grain", *columns} for name, columns in (schemas | replaced | on_spark).items()}
    for layer, of_layer in tomllib.loads((NOTEBOOKS / "meanings.toml").read_text(encoding="utf-8")).items():
        for table, meanings in of_layer.items():
            names = [name for name in columns_of if layer in ("any", name.partition(".")[0])
                     and table in (EVERYWHERE, name.partition(".")[2])]
            assert names, f"{layer}.{table}"
            assert meanings.keys() <= set().union(*(columns_of[name] for name in names)), f"{layer}.{table}"


def test_every_column_of_curated_and_gold_comes_from_a_delivered_one(tables):
    for name, table in tables.items():
        if table["is_data"] and table["layer"] in ("curated", "gold"):
            for column in table["columns"].values():
                is_count = any(not counted for _, _, counted in column["from"])
                is_stamp, is_day_of_run = column["name"] in STAMPS, column["name"] == "as_of_date"
                assert column["delivered"] or is_count or is_stamp or is_day_of_run, (name, column)
                assert not (column["delivered"] and is_stamp)


def test_lineage_goes_from_gold_to_the_delivery(tables):
    net_sales = tables["gold.sales_summary_daily"]["columns"]["net_sales"]
    lines = ["discount_amount", "quantity", "unit_price"]
    assert net_sales["from"] == [["curated", "fact_order_lines", name] for name in lines]
    assert net_sales["delivered"] == [["order_lines", name] for name in lines]
    assert net_sales["how"][1:3] == ["SUM(lines.net_amount)", "gross.gross_amount - gross.discount"]
    timestamp = tables["curated.fact_orders"]["columns"]["order_timestamp"]
    assert timestamp["from"] == [["raw", "orders", "order_date"]]
    assert timestamp["how"] == ["typed or cleaned by 3_facts.ipynb"]
    assert tables["raw.orders"]["columns"]["order_date"]["from"] == [["source", "orders", "order_date"]]
    assert tables["gold.sales_summary_daily"]["columns"]["orders"]["from"] == [["curated", "fact_orders", ""]]
    assert tables["curated.dim_products"]["columns"]["product_name"]["how"] == []


def test_a_copied_column_has_the_meaning_of_its_origin_unless_it_has_its_own(tables):
    raw, curated, gold = (tables[name]["columns"]["discount_amount"]["meaning"] for name in (
        "raw.order_lines", "curated.fact_order_lines", "gold.reporting_sales_wide"))
    assert raw != curated == gold


def edited(folder: Path, name: str, before: str, after: str) -> Path:
    """Return a copy of the notebooks with a change in one of them."""
    shutil.copytree(NOTEBOOKS, folder / "notebooks")
    path = folder / "notebooks" / name
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, after), encoding="utf-8")
    return path.parent


def test_a_cleaning_function_that_reads_another_column_changes_the_lineage(origins, tmp_path: Path):
    column = ("curated", "dim_customers", "segment")
    notebooks = edited(tmp_path, "2_dimensions.ipynb", 'segment=rows[\\"segment\\"]',
                       'segment=rows[\\"city\\"]')
    assert origins[column].columns == (("raw", "customers", "segment"),)
    assert lineage.find_origins(notebooks)[column].columns == (("raw", "customers", "city"),)


def test_sql_that_sums_another_column_changes_the_lineage(origins, tmp_path: Path):
    column = ("gold", "sales_summary_daily", "units")
    notebooks = edited(tmp_path, "4_gold.ipynb", "cast(lines.quantity as decimal(18, 3))", "lines.unit_price")
    assert origins[column].columns == (("curated", "fact_order_lines", "quantity"),)
    assert lineage.find_origins(notebooks)[column].columns == (("curated", "fact_order_lines", "unit_price"),)


def test_every_rule_of_every_suite_is_listed(loaded: Shop):
    text = Page(loaded.reports / "catalog.html").text
    for path in (PROJECT / "gx" / "expectations").glob("*.json"):
        for expectation in json.loads(path.read_text(encoding="utf-8"))["expectations"]:
            assert " ".join(expectation["notes"].split()) in text, path.name


def test_a_rule_is_listed_at_its_column_even_if_it_is_about_unreadable_text(tables):
    price = tables["curated.dim_products"]["columns"]["unit_price"]
    assert [rule["what"] for rule in price["rules"]] == [
        "unit_price must be readable", "unit_price must be at least 0"]
    columns = tables["curated.fact_orders"]["columns"]
    assert "order_date must be readable" in [rule["what"] for rule in columns["order_date"]["rules"]]
    assert tables["curated.fact_orders"]["rules"] == []


def test_an_example_is_listed_at_the_columns_that_it_explains(loaded: Shop, tables):
    def cases(table: str, column: str) -> list[list[str]]:
        return [case for example in tables[table]["columns"][column]["examples"] for case in example["cases"]]

    assert ["MCDONALD", "McDonald"] in cases("curated.dim_customers", "last_name")
    assert ["31.12.2025", "set aside"] in cases("curated.fact_orders", "order_date")
    assert ["   ", "set aside"] in cases("raw.customers", "customer_id")
    assert "GOLD" in {becomes for _, becomes in cases("gold.reporting_customer_stats", "value_tier")}
    assert ["orders: total_amount 10.00; payments: payment_amount 12.00", "-2"] in cases(
        "gold.sales_summary_daily", "open_amount")
    assert "31.12.2025 → set aside" in Page(loaded.reports / "catalog.html").text


def test_a_wrong_file_of_examples_costs_only_the_examples(origins, monkeypatch, tmp_path: Path):
    (tmp_path / "examples.yaml").write_text("today: 2025-12-31\nbas: {}", encoding="utf-8")
    monkeypatch.setattr(catalog, "find_origins", lambda: origins)
    monkeypatch.setattr(catalog, "read_examples", lambda: read_examples(tmp_path / "examples.yaml"))
    model = catalog.build_catalog(NO_TABLES | {"curated": {"dim_customers": {"last_name": "string"}}})
    assert re.match(r"The examples could not be read: .*examples.yaml, line 2: .*'bas' \(did you mean base",
                    model["problem"])
    [column] = model["tables"][0]["columns"]
    assert (column["name"], column["examples"]) == ("last_name", [])


PAIR = {"column_A": "x", "column_B": "y"}


@pytest.mark.parametrize(("expectation", "parameters", "sentence"), [
    ("column_values_to_be_between", {"column": "x", "min_value": 1, "max_value": 9},
     "x must be at least 1 and at most 9"),
    ("column_values_to_be_between", {"column": "x", "min_value": 0}, "x must be at least 0"),
    ("column_values_to_be_in_set", {"column": "x", "value_set": ["A", "B"]}, "x must be one of A, B"),
    ("column_values_to_match_regex", {"column": "x", "regex": "^{a}$"}, "x must match ^{a}$"),
    ("column_values_to_not_be_null", {"column": "x"}, "x must not be empty"),
    ("column_values_to_be_null", {"column": "x"}, "x must be empty"),
    ("column_values_to_be_null", {"column": "x_y_unreadable"}, "x_y must be readable"),
    ("column_values_to_be_null", {"column": "order_date_zoned"}, "order_date must have no offset from UTC"),
    ("column_values_to_be_null", {"column": "payment_without_order"}, "every payment must have its order"),
    ("column_values_to_be_null", {"column": "returned_without_line"},
     "every returned order must have its line"),
    ("column_values_to_be_between", {"column": "x", "max_value": 1e6}, "x must be at most 1,000,000"),
    ("column_pair_values_a_to_be_greater_than_b", PAIR | {"or_equal": True}, "x must not be less than y"),
    ("column_pair_values_a_to_be_greater_than_b", PAIR, "x must be greater than y"),
    ("column_pair_values_to_be_equal", PAIR, "x must equal y"),
    ("table_columns_to_match_set", {"column_set": ["x", "y"]}, "there must be the columns x, y"),
    ("column_value_lengths_to_be_between", {"column": "x", "max_value": 9},
     "x must be at most 9 characters long"),
    ("column_values_to_be_of_type", {"column": "x", "type_": "str"}, "x must be of type (type : str)"),
    ("table_row_count_to_equal", {"value": 9}, "table row count to equal (value: 9)"),
])
def test_an_expectation_reads_as_a_sentence(expectation: str, parameters: dict, sentence: str):
    assert as_sentence(f"expect_{expectation}", parameters) == sentence


def test_a_rule_is_found_in_words_by_its_technical_name(monkeypatch, tmp_path: Path):
    columns = "expect_table_columns_to_match_set()"  # of five suites, each with other columns
    assert find_words(columns) == "" and "payment_id" in find_words(columns, "payments")
    churn_risk = "expect_column_values_to_be_in_set(churn_risk)"
    assert find_words(churn_risk) == "churn_risk must be one of LOW, MEDIUM, HIGH"
    assert find_words("a rule of nobody") == ""
    monkeypatch.setattr(expectation_text, "SUITES", tmp_path)
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    assert find_words(columns, "payments") == ""


def test_the_lineage_of_tables_is_drawn(loaded: Shop):
    page = Page(loaded.reports / "catalog.html")
    edges = page.text.partition("From the deliveries to the tables that people read ")[2]
    assert edges.startswith("curated.dim_customers to gold.reporting_customer_stats; ")
    for edge in ("source.orders to raw.orders", "raw.orders to curated.fact_orders",
                 "curated.fact_orders to gold.sales_summary_daily"):
        assert edge in edges
    assert {"href": "#gold.sales_summary_daily"} in page.all("a")


def test_without_lineage_there_is_no_graph():
    assert catalog.draw_lineage(catalog.build_catalog(NO_TABLES)["tables"]) == ""


def test_a_column_that_is_not_in_the_contract_is_listed_as_kept(origins, monkeypatch):
    monkeypatch.setattr(catalog, "find_origins", lambda: origins)
    schemas = NO_TABLES | {"raw": {"orders": {"order_id": "string", "note": "string"}}}
    orders, = catalog.build_catalog(schemas)["tables"]
    order_id, note = orders["columns"]
    assert order_id["type"] == note["type"] == "text"
    assert "Not in the contract" in note["meaning"] and "Not in the contract" not in order_id["meaning"]


def test_a_notebook_that_cannot_be_followed_costs_only_the_lineage(tmp_path: Path, monkeypatch):
    notebooks = edited(tmp_path, "4_gold.ipynb", "sum(cast(lines.quantity as", "sum((cast(lines.quantity as")
    monkeypatch.setattr(catalog, "find_origins", lambda: lineage.find_origins(notebooks))
    model = catalog.build_catalog(NO_TABLES | {"raw": {"orders": {"order_id": "string"}}})
    assert re.match("The lineage of columns .* ParseError: ", model["problem"])
    assert model["tables"][0]["columns"][0]["meaning"]


def test_it_is_rebuilt_only_when_something_has_changed(used: Shop, origins, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(catalog, "find_origins", lambda: origins)
    folder = next((used.reports / "runs").iterdir())
    before = (used.reports / catalog.MODEL).read_text(encoding="utf-8")
    with monkeypatch.context() as same:
        same.setattr(catalog, "build_catalog", lambda _: pytest.fail("nothing has changed"))
        catalog.write_catalog(used.reports, folder, used.warehouse)
    assert (used.reports / catalog.MODEL).read_text(encoding="utf-8") == before
    used.query("gold", "alter table sales_summary_daily add column tips real")
    page = catalog.write_catalog(used.reports, folder, used.warehouse)
    assert "tips" in page.read_text(encoding="utf-8")
    shutil.copytree(PROJECT / "data" / "contract", tmp_path / "contract")
    (tmp_path / "contract" / "orders.yaml").write_text("fields: []", encoding="utf-8")
    made_from = [(tmp_path / "contract" if where == CONTRACT else where, names)
                 for where, names in catalog.MADE_FROM]
    monkeypatch.setattr(catalog, "MADE_FROM", made_from)
    rebuilt = {"tables": [], "problem": "rebuilt", "checks": []}
    monkeypatch.setattr(catalog, "build_catalog", lambda _: rebuilt)
    page = catalog.write_catalog(used.reports, folder, used.warehouse)
    assert "rebuilt" in page.read_text(encoding="utf-8")


def test_what_is_delivered_has_its_meaning_from_the_contract(tables):
    orders = tables["raw.orders"]
    assert orders["grain"] == SOURCES["orders"].meaning == "A version of an order, as delivered."
    for column in SOURCES["orders"].columns:
        assert orders["columns"][column.name]["meaning"] == column.meaning != ""
    assert tables["curated.fact_orders"]["columns"]["channel"]["meaning"] == "Where the order was placed."


def test_databases_are_found_in_a_folder_of_any_name(used: Shop, tmp_path: Path):
    shutil.copytree(used.warehouse, tmp_path / "é#?%")
    schemas = catalog.read_schemas(tmp_path / "é#?%")
    assert {f"{layer}.{table}" for layer in LAYERS for table in schemas[layer]} == schemas_of(used).keys()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("é")] == ["é#?%"]


def test_every_link_of_the_catalog_works(loaded: Shop):
    page = Page(loaded.reports / "catalog.html")
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = [link["href"] for link in page.all("a")]
    assert len(links) > len(SOURCES)
    for link in links:
        assert link[1:] in ids if link.startswith("#") else (loaded.reports / link).exists(), link


def test_its_policy_allows_its_own_script_and_no_other(loaded: Shop):
    text = (loaded.reports / "catalog.html").read_text(encoding="utf-8")
    script = text.partition("<script>")[2].partition("</script>")[0]
    allowed = b64encode(sha256(script.encode()).digest()).decode()
    assert re.search("content=\"default-src 'none'; .*; script-src 'sha256-(.*)'\"", text)[1] == allowed
    assert text.count("<script") == 1
