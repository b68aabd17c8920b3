"""Add a source to the project: its contract, suites, meanings, and the cells that clean and load it.

What is written is a beginning for a person to go on with: types are those of one file, and what columns mean
nobody knows.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.adopt.declaration import scalar
from lib.adopt.profile import FEW, Profile, profile
from lib.adopt.tables import read_tables
from lib.contract import SOURCES, TYPES
from lib.errors import UsageError, closest
from lib.steps import PLACE, PROJECT, STEPS

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
WIDTH = 109  # of a line of code
DECIMALS = re.compile(r"[.,](\d*)\D*$")
HEADER = """\
# What a file of {name} must have, as a Table Schema (https://specs.frictionlessdata.io/table-schema/).
# The first field is the key. A column that is not required may be empty in any row, and absent from a file.
"""
READABLE = {
    "date": "a day or moment that exists, with the year first, such as 2026-01-31, 20260131 or "
            "2026-01-31T14:05:00+02:00",
    "money": "an amount with at most two decimals",
    "number": "a number with at most three decimals",
    "price": "a number with at most six decimals"}
UNREADABLE = "{name} must be {readable}: the pipeline does not guess what other text means."
ZONED = ("{name} with an offset from UTC is converted to UTC and may fall on another day: declare the shop's "
         "time zone in data/contract/shop.yaml if its days are to count.")


NULL, NOT_NULL = "expect_column_values_to_be_null", "expect_column_values_to_not_be_null"


@dataclass(frozen=True)
class Field:
    """A column of the new source; `of` is the source whose key it is, "" for others."""

    name: str
    type: str
    is_required: bool
    of: str = ""


@dataclass(frozen=True)
class Addition:
    """The files of the project that change, with their new content, and what a person is told."""

    files: dict[Path, str]
    lines: list[str]


def add_source(name: str, key: str, file: Path, project: Path = PROJECT) -> Addition:
    """Return what adds a source to the project, as its file shows it. Nothing is written.

    Raises UsageError for a name or column that cannot be used, or that is there already, and PipelineError
    for a file that cannot be read.
    """
    table = f"fact_{name}"
    _check_name(name, table)
    rows = _read_rows(file, key)
    profiles = [profile(rows[column]) for column in [key, *(one for one in rows if one != key)]]
    if not profiles[0].is_unique and len(rows) > 1:
        raise UsageError(f"{file.name}: {key} is empty in some row, or the same in several, so it cannot be "
                         "the key. Name another column with --key.")
    fields = [_field(held, is_key=held.name == key) for held in profiles]
    one = _one_of(name)
    written = {
        f"data/contract/{name}.yaml": _contract(name, one, fields),
        f"gx/expectations/raw_{name}.json": _suite(_raw_rules(fields)),
        f"gx/expectations/{table}.json": _suite(_rules(one, fields))}
    changed = {
        "notebooks/3_facts.ipynb": lambda text: _with_cells(text, name, one, table, fields),
        "notebooks/meanings.toml": lambda text: _with_meanings(text, one, table),
        "notebooks/examples.yaml": lambda text: _with_examples(text, name, one, fields, rows.iloc[0]),
        "docs/tables.md": lambda text: _with_tables(text, name, one, table, key),
        "docs/your-files.md": lambda text: _with_columns(text, name, fields)}
    files = {project / path: text for path, text in written.items()}
    if there := [path for path in files if path.exists()]:
        raise UsageError(f"{there[0].relative_to(project)} exists already. Choose another name, or move it "
                         "away.")
    for path, change in changed.items():
        files[project / path] = change((project / path).read_text(encoding="utf-8"))
    return Addition(files, _describe(name, table, file, files, project, fields))


def save(addition: Addition) -> None:
    """Write all files, or none if one cannot be written: then its OSError is raised."""
    partial = {path: path.with_name(f".{path.name}.partial") for path in addition.files}
    try:
        for path, text in addition.files.items():
            partial[path].write_text(text, encoding="utf-8")
        for path in addition.files:
            partial[path].replace(path)
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)


def _check_name(name: str, table: str) -> None:
    known = {*SOURCES, *(table for step in STEPS.values() for table in step.outputs)}
    if not NAME.fullmatch(name) or name == "shop":
        raise UsageError(f"{name!r} cannot name a source: write small letters, digits and _, beginning with "
                         "a letter, such as shipments.")
    if found := known & {name, table}:
        raise UsageError(f"there is {min(found)} already. Choose another name.")


def _read_rows(file: Path, key: str) -> Any:
    """Return the rows of a file in the contract's own form, all text."""
    if not file.is_file():
        raise UsageError(f"there is no file {file}. Correct the path.")
    table, *others = read_tables(file)
    rows, names = table.rows, list(table.rows.columns)
    if others:
        raise UsageError(f"{file.name} has {1 + len(others)} tables. Name a file with one.")
    taken = {place for layer in PLACE.values() for place in layer}
    for column in names:
        if not NAME.fullmatch(column) or column in taken:
            raise UsageError(f"{file.name}: {column!r} cannot name a column of the contract: write small "
                             "letters, digits and _, beginning with a letter, in the header of a copy of it. "
                             "How the shop's own files name their columns is declared afterwards: see "
                             "docs/your-files.md.")
    if key not in names:
        raise UsageError(f"{file.name} has no column {key!r}{closest(key, names)}. Correct --key.")
    if rows.empty:
        raise UsageError(f"{file.name} has no rows, from which types could be seen. Name another file.")
    return rows


def _field(held: Profile, is_key: bool) -> Field:
    of = next((source.name for source in SOURCES.values() if source.key == held.name), "")
    if is_key or of:
        return Field(held.name, "text", is_key or not held.empty, "" if is_key else of)
    if held.type == "date" and held.dates and held.dates.is_iso:
        return Field(held.name, "date", False)
    if held.is_number and not held.numbers.signs and _is_quantity(held):
        decimals = max(len(match[1]) if (match := DECIMALS.search(text)) else 0 for text in held.values.index)
        most = "number" if held.numbers.is_whole or decimals == 3 else "money" if decimals < 3 else "price"
        return Field(held.name, most, False)
    is_category = held.type == "text" and held.distinct <= min(FEW, held.rows // 2)
    return Field(held.name, "category" if is_category else "text", False)


def _is_quantity(held: Profile) -> bool:
    """Return whether numbers count something: those with zeros in front, or named an id, are names."""
    return not held.name.endswith(("_id", "_number", "_code")) and not any(
        re.match("0[0-9]", text) for text in held.values.index)


def _one_of(name: str) -> str:
    words = name.replace("_", " ")
    return re.sub("ies$", "y", words) if words.endswith("ies") else words.removesuffix("s")


def _contract(name: str, one: str, fields: list[Field]) -> str:
    written = {kind: (type_, decimals) for (type_, decimals), kind in TYPES.items() if type_ != "date"}
    lines = [f"description: A version of {_a(one)}, as delivered.", "fields:"]
    for field in fields:
        type_, decimals = written.get(field.type, ("string", ""))
        meaning = (f"The shop's number of the {one}." if field == fields[0] else
                   f"The {_one_of(field.of)} that the {one} belongs to." if field.of else
                   f"What {field.name} says, as delivered.")
        lines += [f"  - name: {field.name}", f"    type: {type_}",
                  *(["    format: any"] if field.type == "date" else []),
                  *([f"    decimals: {decimals}"] if decimals else []),
                  *(["    category: true"] if field.type == "category" else []),
                  f"    description: {scalar(meaning)}",
                  *(["    constraints: {required: true}"] if field.is_required else [])]
    return HEADER.format(name=name) + "\n".join([*lines, 'missingValues: [""]',
                                                 f"primaryKey: {fields[0].name}", ""])


def _a(one: str) -> str:
    return f"{'an' if one[0] in 'aeiou' else 'a'} {one}"


def _rule(type_: str, on_failure: str, notes: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": type_, "kwargs": kwargs, "meta": {"on_failure": on_failure}, "notes": notes}


def _raw_rules(fields: list[Field]) -> Iterator[dict[str, Any]]:
    key = fields[0].name
    yield _rule("expect_table_columns_to_match_set", "fail",
                "The notebooks need every column of the contract; further columns are kept, but only in raw.",
                column_set=[field.name for field in fields], exact_match=False)
    yield _rule(NOT_NULL, "quarantine",
                f"A row without a {key} cannot be told apart from other rows, so it cannot be loaded.",
                column=key)
    yield _rule("expect_column_value_lengths_to_be_between", "quarantine",
                f"A {key} of more than 200 characters is a broken or shifted row, not an identifier.",
                column=key, min_value=1, max_value=200)
    yield _rule("expect_column_values_to_be_unique", "fail",
                "Earlier rows with the same key were set aside before this check, so a repeated key is an "
                "error in the pipeline.", column=key)


def _rules(one: str, fields: list[Field]) -> Iterator[dict[str, Any]]:
    key = fields[0].name
    yield _rule(NOT_NULL, "quarantine",
                "A row without a key cannot be found again or updated, and a key of nothing but spaces "
                "counts as no key.", column=key)
    for field in fields:
        if field.type in READABLE:
            notes = UNREADABLE.format(name=field.name, readable=READABLE[field.type])
            yield _rule(NULL, "quarantine", notes,
                        column=f"{field.name}_unreadable")
    for field in fields[1:]:
        if field.is_required:
            yield _rule(NOT_NULL, "quarantine",
                        f"{_a(one).capitalize()} that names no {_one_of(field.of)} cannot be set against "
                        "anything.", column=field.name)
    for field in fields:
        if field.type == "date":
            yield _rule(NULL, "warn", ZONED.format(name=field.name),
                        column=f"{field.name}_zoned")


def _suite(rules: Iterator[dict[str, Any]]) -> str:
    return json.dumps({"expectations": list(rules)}, indent=2, ensure_ascii=False) + "\n"


def _with_cells(text: str, name: str, one: str, table: str, fields: list[Field]) -> str:
    """Return a notebook with the cells of a source, before those that show results."""
    book, columns, key = json.loads(text), name.upper(), fields[0].name
    title = name.replace("_", " ").capitalize()
    prose = [f"## {title}", "", f"{_a(one).capitalize()} is typed as the contract says."]
    clean = [f"def clean_{name}(rows):", f'    return read_columns("{name}", rows)']
    load = [*_listed(columns, [field.name for field in fields]), "",
            f'for rows in step.changes("{name}", clean_{name}):',
            f'    kept = step.check("{table}", rows)',
            f'    step.upsert("{table}", kept[{columns}], key="{key}"{_indexes(fields)})']
    cells = [{"cell_type": "markdown", "id": f"{name}-text", "metadata": {}, "source": _source(prose)}]
    cells += [{"cell_type": "code", "execution_count": None, "id": f"{name}-{what}", "metadata": {},
               "outputs": [], "source": _source(lines)} for what, lines in (("clean", clean), ("load", load))]
    place = next(number for number, cell in enumerate(book["cells"])
                 if "result" in cell["metadata"].get("tags", []))
    book["cells"][place:place] = cells
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def _indexes(fields: list[Field]) -> str:
    columns = [field.name for field in fields if field.of]
    return f", indexes={json.dumps(columns)}" if columns else ""


def _listed(name: str, columns: list[str]) -> list[str]:
    """Return the list of a table's columns as lines of code."""
    lines = [f"{name} = ["]
    for number, column in enumerate(columns):
        word = f'"{column}"' + ("]" if number == len(columns) - 1 else ", ")
        if len(lines[-1]) + len(word.rstrip()) > WIDTH:
            lines[-1] = lines[-1].rstrip()
            lines.append(" " * (len(name) + 4))
        lines[-1] += word
    return lines


def _source(lines: list[str]) -> list[str]:
    return [f"{line}\n" for line in lines[:-1]] + lines[-1:]


def _with_meanings(text: str, one: str, table: str) -> str:
    whose = _a(one).capitalize()
    added = (f'[curated.{table}]\ngrain = "{whose}, as last delivered."\n\n'
             f'[curated.{table}_replaced]\ngrain = "{whose}\'s row that a later one replaced."\n\n')
    return _before(text, '[gold."every table"]', added)


def _with_examples(text: str, name: str, one: str, fields: list[Field], first: Any) -> str:
    """Return the examples with a valid row of the source, its first one, and an example of each rule."""
    key, table, anyone = fields[0].name, f"fact_{name}", _a(one).capitalize()
    row = {field.name: first[field.name] or "" for field in fields}
    row |= {field.name: "<key>" for field in fields if field == fields[0] or field.of}
    base = ", ".join(f"{column}: {value if value == '<key>' else json.dumps(value, ensure_ascii=False)}"
                     for column, value in row.items())
    added = [f"""\
- about: {anyone} is typed as the contract says.
  cell: {name}-clean
  table: {table}
  delivered: {{{key}: <key>}}
  becomes: {{{key}: <key>}}
""", *(_refused(*refused) for refused in (
        (f"{anyone} without an id cannot be told apart from others.", f"raw_{name}", key, "''",
         f"{NOT_NULL}({key})"),
        (f"{anyone} id of more than 200 characters is a broken or shifted row.", f"raw_{name}", key, "*long",
         f"expect_column_value_lengths_to_be_between({key})"),
        *((f"{field.name} that cannot be read is not guessed.", table, field.name, "'?'",
           f"{NULL}({field.name}_unreadable)") for field in fields if field.type in READABLE),
        *((f"{anyone} that names no {_one_of(field.of)} cannot be set against anything.", table, field.name,
           "''", f"{NOT_NULL}({field.name})") for field in fields[1:] if field.is_required)))]
    added += [f"""\
- about: A time with an offset from UTC is reported while the shop has no time zone.
  table: {table}
  delivered: {{{field.name}: "2024-03-01T00:30:00+02:00"}}
  becomes: {{{field.name}: "2024-02-29 22:30:00"}}
  warns: {NULL}({field.name}_zoned)
  timezone: UTC
""" for field in fields if field.type == "date"]
    text = _before(text, "\ncurated:\n", f"  {name}: {{{base}}}\n")
    return _before(text, "gold:\n", "\n".join([*added, ""]))


def _refused(about: str, table: str, column: str, text: str, rule: str) -> str:
    return f"""\
- about: {about}
  table: {table}
  delivered: {{{column}: {text}}}
  set_aside: {rule}
"""


def _with_tables(text: str, name: str, one: str, table: str, key: str) -> str:
    words, version = name.replace("_", " "), f"version of {_a(one)} that was delivered"
    text = _before(text, "| `raw.db` | `deliveries` |", f"| `raw.db` | `{name}` | {version} | `row_id` | "
                   f"every version of the {words}, with file and line |\n")
    return _before(text, "| `curated.db` | `quarantine` |",
                   f"| `curated.db` | `{table}` | {one}, as last delivered | `{key}` | {words}, typed |\n"
                   f"| `curated.db` | `{table}_replaced` | row that a later one replaced | `row_id` | as for "
                   "the other tables |\n")


def _with_columns(text: str, name: str, fields: list[Field]) -> str:
    columns = ", ".join(f"`{field.name}{'' if field.type == 'text' else f':{field.type}'}"
                        f"{'' if field.is_required else '?'}`" for field in fields)
    return _before(text, "\n`?` marks a column that may be empty", f"| `{name}` | {columns} |\n")


def _before(text: str, place: str, added: str) -> str:
    """Return a text with an addition before a place; at its end if the place is gone."""
    before, found, after = text.partition(place)
    return f"{before}{added}{found}{after}"


def _describe(name: str, table: str, file: Path, files: dict[Path, str], project: Path,
              fields: list[Field]) -> list[str]:
    kinds = ", ".join(f"{field.name} ({field.type}{', required' if field.is_required else ''})"
                      for field in fields)
    return [f"{file.name}: {kinds}",
            *(f"wrote {path.relative_to(project)}" for path in files),
            "what is left to do:",
            f"- In data/contract/{name}.yaml, say what the columns mean, and correct their types.",
            f"- In notebooks/3_facts.ipynb, clean what needs it, in clean_{name}.",
            f"- In gx/expectations/{table}.json, add the rules that a row must meet.",
            "- In notebooks/4_gold.ipynb, load and join what people are to see: see docs/change.md.",
            f"- Deliver files named {name}.csv or {name}_….csv, and run."]
