"""The catalog: every table and column with its meaning, its lineage and the rules that it must meet.

Tables and types are read from the databases, rules from the suites, lineage from the notebooks (see
lib.report.lineage), and meanings from the contract for what is delivered, and from `notebooks/meanings.toml`.
"""

import hashlib
import json
import sqlite3
from base64 import b64encode
from contextlib import closing
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lib.contract import CONTRACT
from lib.errors import PipelineError
from lib.report.descriptions import describe_table
from lib.report.example_text import explain_columns
from lib.report.examples import read_examples
from lib.report.expectation_text import read_expectations
from lib.report.graph import Box, draw_graph
from lib.report.lineage import Column, Origin, find_origins
from lib.report.meanings import read_meanings, read_synonyms
from lib.report.pages import TEMPLATES, write_page
from lib.report.run_records import DOCS
from lib.steps import NOTEBOOKS, PROJECT, SUITES
from lib.storage.files import write_whole
from lib.storage.layer import open_layer
from lib.storage.sql import file_uri

MADE_FROM = (NOTEBOOKS, "*"), (SUITES, "*.json"), (CONTRACT, "*.yaml"), (PROJECT / "lib", "**/*.py")
MODEL = "catalog.json"  # in the reports folder: the catalog as data, and the hash of what it was made from
LAYERS = ("gold", "curated", "raw", "audit")  # people read gold first
AUDIT_COLUMNS = """
select tables.name, columns.name, lower(columns.type)
from sqlite_schema as tables, pragma_table_info(tables.name) as columns
where tables.type = 'table' and tables.name not like 'sqlite%'
order by tables.name, columns.cid
"""
Schemas = dict[str, dict[str, dict[str, str]]]  # layer, table, column: type


def write_catalog(reports: Path, folder: Path, warehouse: Path) -> Path:
    """Write `catalog.html` to the reports folder, with links to the data docs of the run in `folder`.

    The catalog is rebuilt only if the databases' tables, the notebooks, the suites or the code have changed:
    to follow the lineage takes seconds. Returns the page.
    """
    schemas = read_schemas(warehouse)
    made_from = _hash_what_it_is_made_from(schemas)
    model = read_catalog(reports)
    if model.get("made_from") != made_from:
        model = {"made_from": made_from, **build_catalog(schemas)}
        write_whole(reports / MODEL, json.dumps(model, indent=1, ensure_ascii=False))
    script = (TEMPLATES / "search.js").read_text(encoding="utf-8")
    return write_page(reports / "catalog.html", "catalog.html", model | {
        "graph": draw_lineage(model["tables"]), "docs": f"runs/{folder.name}/{DOCS}",
        "has_report": (reports / "report.html").exists(), "script": script,
        "script_hash": b64encode(hashlib.sha256(script.encode()).digest()).decode()})


def read_catalog(reports: Path) -> dict[str, Any]:
    """Return the catalog as data, as the last run left it in the reports folder; empty where none did."""
    try:
        return json.loads((reports / MODEL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def read_schemas(warehouse: Path) -> Schemas:
    """Return the columns and types of every table of the databases that exist."""
    schemas: Schemas = {layer: {} for layer in LAYERS}
    for layer in LAYERS[:-1]:
        if (warehouse / f"{layer}.db").exists():
            with open_layer(warehouse, layer) as database:
                names = database.scalar("select json_group_array(name) from sqlite_schema "
                                        "where type = 'table' and name not like 'sqlite%'")
                for table in json.loads(names):
                    schemas[layer][table] = {field.name: str(field.type) for field in database.schema(table)}
    with closing(sqlite3.connect(file_uri(warehouse / "audit.db", "mode=ro"), uri=True)) as audit:
        for table, column, type_ in audit.execute(AUDIT_COLUMNS):
            schemas["audit"].setdefault(table, {})[column] = type_
    return schemas


def build_catalog(schemas: Schemas) -> dict[str, Any]:
    """Return the catalog as data: its tables, the checks across tables, and what of it could not be found.

    Where the code of a notebook cannot be followed, the catalog has no lineage, and the run still succeeds.
    Where the file of examples is wrong, it has no examples.
    """
    meanings, synonyms = read_meanings(), read_synonyms()
    try:
        origins, problem = find_origins(), None
    except Exception as error:  # the notebooks' own code may raise anything
        origins, problem = {}, f"The lineage of columns could not be found: {type(error).__name__}: {error}"
    try:
        examples = explain_columns(read_examples().examples)
    except PipelineError as error:
        examples = {}
        problem = " ".join(filter(None, [problem, f"The examples could not be read: {error}"]))
    rules = {path.stem: read_expectations(path) for path in sorted(SUITES.glob("*.json"))}
    tables = [describe_table(layer, table, schemas[layer][table], meanings, synonyms, origins, rules,
                             examples)
              for layer in LAYERS for table in _order_tables(layer, schemas[layer], origins)]
    covered = {table["suite"] for table in tables}
    checks = [{"suite": suite, "rules": rules[suite]} for suite in rules if suite not in covered]
    return {"tables": tables, "problem": problem, "checks": checks}


def draw_lineage(tables: list[dict[str, Any]]) -> Markup:
    """Return a graph of the tables with data, from the deliveries to gold; empty if nobody knows the lineage.

    `tables` are those of the catalog. An edge says that a column of one table is computed from the other.
    """
    names = {f"{table['layer']}.{table['name']}": table for table in tables if table["is_data"]}
    edges = sorted({(f"{layer}.{origin}", name) for name, table in names.items()
                    for column in table["columns"] for layer, origin, _ in column["from"]})
    if not edges:
        return Markup("")
    delivered = [Box(f"source.{table['name']}", (f"{table['name']}.csv", ""))
                 for name, table in names.items() if (f"source.{table['name']}", name) in edges]
    layers = [[Box(name, (table["name"], ""), link=f"#{name}") for name, table in names.items()
               if table["layer"] == layer] for layer in ("raw", "curated", "gold")]
    return draw_graph("lineage-graph", "From the deliveries to the tables that people read",
                      [delivered, *layers], edges, ("delivered", "raw.db", "curated.db", "gold.db"))


def _order_tables(layer: str, tables: dict[str, Any], origins: dict[Column, Origin]) -> list[str]:
    """Return a layer's tables: those with data first, in the order in which they are written."""
    written = list(dict.fromkeys(table for of, table, _ in origins if of == layer))
    return [table for table in written if table in tables] + sorted(tables.keys() - set(written))


def _hash_what_it_is_made_from(schemas: Schemas) -> str:
    content = hashlib.sha256(json.dumps(schemas).encode())
    for folder, pattern in MADE_FROM:
        for path in sorted(path for path in folder.glob(pattern) if path.is_file()):
            content.update(path.name.encode() + b"\0" + path.read_bytes())
    return content.hexdigest()
