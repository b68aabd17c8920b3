"""What the catalog says about one table and its columns: meaning, type, lineage and rules."""

from collections.abc import Iterator
from typing import Any

from lib.contract import SOURCES
from lib.report.lineage import CLEANED, Column, Origin
from lib.step.raw_tables import PROVENANCE, SERIAL
from lib.steps import STEPS

EVERYWHERE = "every table"  # in meanings.toml: what the columns mean that the tables of a layer share
DERIVED = "_replaced"  # ends the name of a table that keeps the replaced rows of another one
TYPE_NAMES = {"string": "text", "int64": "integer", "double": "real"}


def describe_table(layer: str, name: str, columns: dict[str, str], meanings: dict, synonyms: dict,
                   origins: dict[Column, Origin], rules: dict[str, list[dict]],
                   examples: dict[Column, list[dict]]) -> dict[str, Any]:
    """Return what the catalog says about a table; `rules` are the expectations of every suite."""
    suite = f"raw_{name}" if layer == "raw" else name
    of_table = rules.get(suite, [])
    is_written = any((layer, name, column) in origins for column in columns)
    return {
        "layer": layer, "name": name, "grain": _written_meaning(layer, name, "grain", meanings),
        "suite": suite if of_table else None, "is_data": is_written or (layer == "raw" and name in SOURCES),
        "rules": [rule for rule in of_table if not _columns_of(rule, columns)],
        "columns": [{
            "name": column, "type": _type(layer, name, column, type_),
            "meaning": _meaning((layer, name, column), meanings, origins),
            "also": synonyms.get(layer, {}).get(name, {}).get(column),
            "rules": [rule for rule in of_table if column in _columns_of(rule, columns)],
            "examples": examples.get((layer, name, column), []),
            **_describe_origin((layer, name, column), origins)} for column, type_ in columns.items()]}


def _describe_origin(column: Column, origins: dict[Column, Origin]) -> dict[str, Any]:
    origin = origins.get(column, Origin(()))
    sources = {source for _, source, _ in origin.columns}
    readers = [spec.notebook for spec in STEPS.values() if not sources.isdisjoint(spec.inputs)]
    steps = [f"typed or cleaned by {readers[0]}" if step == CLEANED else step for step in origin.steps]
    delivered = {source[1:] for source in _find_delivered(column, origins)} if column[0] != "raw" else set()
    return {"from": [list(source) for source in sorted(origin.columns)], "how": steps,
            "delivered": sorted(delivered)}


def _find_delivered(column: Column, origins: dict[Column, Origin]) -> Iterator[Column]:
    """Yield the columns of the deliveries that a column is computed from in the end."""
    for origin in origins.get(column, Origin(())).columns:
        yield from [origin] if origin[0] == "source" else _find_delivered(origin, origins)


def _written_meaning(layer: str, table: str, name: str, meanings: dict) -> str | None:
    return meanings.get(layer, {}).get(table, {}).get(name) or meanings["any"].get(table, {}).get(name)


def _meaning(column: Column, meanings: dict, origins: dict[Column, Origin]) -> str | None:
    """Return what a column means: as written for it or, if it was handed on, for its origin."""
    layer, table, name = column
    if meaning := _written_meaning(layer, table, name, meanings):
        return meaning
    related = [origin for origin in origins.get(column, Origin(())).columns
               if origin[2] == name and origin[0] != "source"]
    related += [(layer, table.removesuffix(DERIVED), name)] if table.endswith(DERIVED) else []
    for other in related:
        if meaning := _meaning(other, meanings, origins):
            return meaning
    if _is_extra_column(layer, table, name):
        return "Not in the contract: kept as it was delivered."
    return _written_meaning(layer, EVERYWHERE, name, meanings)


def _is_extra_column(layer: str, table: str, name: str) -> bool:
    return (layer == "raw" and table in SOURCES
            and name not in (SERIAL, *PROVENANCE, *SOURCES[table].column_names))


def _type(layer: str, table: str, column: str, stored: str) -> str:
    """Return a column's type in its database and, in raw, what the contract reads its text as."""
    stored = TYPE_NAMES.get(stored, stored)
    in_contract = SOURCES[table].columns if layer == "raw" and table in SOURCES else ()
    declared = {other.name: other for other in in_contract}.get(column)
    parts = [stored]
    if declared and declared.type != stored:
        parts.append(f"a {declared.type}")
    if declared and declared.optional:
        parts.append("may be empty")
    return ", ".join(parts)


def _columns_of(rule: dict[str, Any], columns: dict[str, str]) -> set[str]:
    """Return the columns that a rule is about: a rule about `order_date_unreadable` is about `order_date`."""
    found = (max((column for column in columns if name == column or name.startswith(f"{column}_")),
                 key=len, default="") for name in rule["columns"])
    return set(found) - {""}
