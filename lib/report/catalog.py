"""The catalog: every table and column of the four databases, what it means, where it comes from and what it must meet.

Tables and types are read from the databases, rules from the suites, lineage from the notebooks (see lib.report.lineage), and
meanings from `notebooks/meanings.toml`, the one place where they are written down.
"""

import hashlib
import json
import sqlite3
import tomllib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from lib.contract import SOURCES
from lib.report.expectation_text import read_rules
from lib.report.lineage import CLEANED, Column, Origin, find_origins
from lib.report.pages import TEMPLATES, write_page
from lib.report.run_records import DOCS
from lib.step.raw_tables import PROVENANCE, SERIAL
from lib.steps import NOTEBOOKS, PROJECT, STEPS, SUITES
from lib.storage.files import write_whole
from lib.storage.layer import open_layer
from lib.storage.sql import file_uri

MADE_FROM = (NOTEBOOKS, "*"), (SUITES, "*.json"), (PROJECT / "lib", "**/*.py")
MODEL = "catalog.json"  # in the reports: the catalog as data, and what it was made from
LAYERS = ("gold", "curated", "raw", "audit")  # the one that people read first
EVERYWHERE = "every table"
DERIVED = "_replaced"
Schemas = dict[str, dict[str, dict[str, str]]]  # layer, table, column: type


def write_catalog(reports: Path, folder: Path, warehouse: Path) -> Path:
    """Write `catalog.html` of the reports folder, with links to the data docs of the run in `folder`; return the page.

    What it says is made anew only if the databases' tables, the notebooks, the suites or the code have changed.
    """
    schemas = read_schemas(warehouse)
    made_from = _digest(schemas)
    try:
        model = json.loads((reports / MODEL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        model = {}
    if model.get("made_from") != made_from:
        model = {"made_from": made_from, **build_catalog(schemas)}
        write_whole(reports / MODEL, json.dumps(model, indent=1, ensure_ascii=False))
    script = (TEMPLATES / "search.js").read_text(encoding="utf-8")
    return write_page(reports / "catalog.html", "catalog.html", model | {
        "docs": f"runs/{folder.name}/{DOCS}", "script": script,
        "script_hash": b64encode(hashlib.sha256(script.encode()).digest()).decode()})


def read_schemas(warehouse: Path) -> Schemas:
    """Return the columns and types of every table of the databases that are there."""
    schemas: Schemas = {layer: {} for layer in LAYERS}
    for layer in LAYERS[:-1]:
        if (warehouse / f"{layer}.db").exists():
            with open_layer(warehouse, layer) as database:
                names = database.scalar(
                    "select json_group_array(name) from sqlite_schema where type = 'table' and name not like 'sqlite%'")
                for table in json.loads(names):
                    schemas[layer][table] = {field.name: str(field.type) for field in database.schema(table)}
    with closing(sqlite3.connect(file_uri(warehouse / "audit.db", "mode=ro"), uri=True)) as audit:
        for table, column, type_ in audit.execute(
                "select t.name, c.name, lower(c.type) from sqlite_schema as t, pragma_table_info(t.name) as c "
                "where t.type = 'table' and t.name not like 'sqlite%' order by t.name, c.cid"):
            schemas["audit"].setdefault(table, {})[column] = type_
    return schemas


def build_catalog(schemas: Schemas) -> dict[str, Any]:
    """Return the catalog as data: its tables, the checks that are about no single table, and what went wrong with lineage.

    A notebook whose code cannot be followed costs the catalog its lineage, not the run its success.
    """
    meanings = tomllib.loads((NOTEBOOKS / "meanings.toml").read_text(encoding="utf-8"))
    try:
        origins, problem = find_origins(), None
    except Exception as error:  # the notebooks' own code may raise anything
        origins, problem = {}, f"Where columns come from could not be found out: {type(error).__name__}: {error}"
    rules = {path.stem: read_rules(path) for path in sorted(SUITES.glob("*.json"))}
    tables = [_table(layer, table, schemas[layer][table], meanings, origins, rules)
              for layer in LAYERS for table in _in_order(layer, schemas[layer], origins)]
    covered = {table["suite"] for table in tables}
    return {"tables": tables, "problem": problem,
            "checks": [{"suite": suite, "rules": told} for suite, told in rules.items() if suite not in covered]}


def _table(layer: str, name: str, columns: dict[str, str], meanings: dict, origins: dict[Column, Origin],
           rules: dict[str, list[dict]]) -> dict[str, Any]:
    suite = f"raw_{name}" if layer == "raw" else name
    told = rules.get(suite, [])
    is_data = (layer == "raw" and name in SOURCES) or any((layer, name, column) in origins for column in columns)
    return {
        "layer": layer, "name": name, "grain": _own(layer, name, "grain", meanings), "suite": suite if told else None,
        "is_data": is_data, "rules": [rule for rule in told if not _about(rule, columns)],
        "columns": [{
            "name": column, "type": _type(layer, name, column, type_),
            "meaning": _meaning((layer, name, column), meanings, origins),
            "rules": [rule for rule in told if column in _about(rule, columns)],
            **_origin(layer, name, column, origins)} for column, type_ in columns.items()]}


def _origin(layer: str, table: str, column: str, origins: dict[Column, Origin]) -> dict[str, Any]:
    origin = origins.get((layer, table, column), Origin(()))
    readers = [spec.notebook for spec in STEPS.values() if any(source in spec.inputs for _, source, _ in origin.columns)]
    steps = [f"typed or cleaned by {readers[0]}" if step == CLEANED else step for step in origin.steps]
    delivered = sorted({source[1:] for source in _delivered((layer, table, column), origins)}) if layer != "raw" else []
    return {"from": [list(source) for source in sorted(origin.columns)], "how": steps, "delivered": delivered}


def _delivered(column: Column, origins: dict[Column, Origin]) -> Iterator[Column]:
    """Yield the columns of the deliveries that a column comes from in the end."""
    for origin in origins.get(column, Origin(())).columns:
        yield from [origin] if origin[0] == "source" else _delivered(origin, origins)


def _own(layer: str, table: str, name: str, meanings: dict) -> str | None:
    return meanings.get(layer, {}).get(table, {}).get(name) or meanings["any"].get(table, {}).get(name)


def _meaning(column: Column, meanings: dict, origins: dict[Column, Origin]) -> str | None:
    """Return what a column means: what is written of it or, where it is handed on under its name, of the one it comes from."""
    layer, table, name = column
    if said := _own(layer, table, name, meanings):
        return said
    for origin in origins.get(column, Origin(())).columns:
        if origin[2] == name and origin[0] != "source" and (said := _meaning(origin, meanings, origins)):
            return said
    if table.endswith(DERIVED) and (said := _meaning((layer, table.removesuffix(DERIVED), name), meanings, origins)):
        return said
    if layer == "raw" and table in SOURCES and name not in (SERIAL, *PROVENANCE, *SOURCES[table].column_names):
        return "Not in the contract: kept as it was delivered."
    return _own(layer, EVERYWHERE, name, meanings)


def _type(layer: str, table: str, column: str, stored: str) -> str:
    """Return a column's type in its database and, in raw, what the contract reads its text as."""
    stored = {"string": "text", "int64": "integer", "double": "real"}.get(stored, stored)
    declared = {c.name: c for c in SOURCES[table].columns}.get(column) if layer == "raw" and table in SOURCES else None
    if declared is None:
        return stored
    return f"{stored}{f', a {declared.type}' if declared.type != stored else ''}{', may be empty' if declared.optional else ''}"


def _about(rule: dict[str, Any], columns: dict[str, str]) -> set[str]:
    """Return the columns of a table that a rule is about: `order_date` also where it looks at `order_date_unreadable`."""
    named = set(rule["columns"])
    return {max((column for column in columns if name == column or name.startswith(f"{column}_")), key=len, default="")
            for name in named} - {""}


def _in_order(layer: str, tables: dict[str, Any], origins: dict[Column, Origin]) -> list[str]:
    """Return a layer's tables: those with data first, in the order in which they are written."""
    written = list(dict.fromkeys(table for of, table, _ in origins if of == layer))
    return [table for table in written if table in tables] + sorted(tables.keys() - set(written))


def _digest(schemas: Schemas) -> str:
    content = hashlib.sha256(json.dumps(schemas).encode())
    for folder, pattern in MADE_FROM:
        for path in sorted(path for path in folder.glob(pattern) if path.is_file()):
            content.update(path.name.encode() + b"\0" + path.read_bytes())
    return content.hexdigest()
