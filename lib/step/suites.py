"""Check the suites before the first step runs: what is wrong in one must not come out when half is published.

GX would find most of it when a gate opens its suite, and the catalog the rest at the end. Importing GX takes
seconds, so this reads what GX is installed with: the names of its expectations and the schemas of their
parameters.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lib.contract import SOURCES
from lib.errors import UsageError, closest
from lib.steps import NOTEBOOKS, SUITES
from lib.storage import lookup

ON_FAILURE = ("fail", "quarantine", "warn", "observe")
COLUMN_KEYS = ("column", "column_A", "column_B", "column_list")  # where an expectation names what it is about
DERIVED = ("_unreadable", "_zoned", "_day")  # ends of the columns that lib.step.parse adds to typed ones
TABLE_COLUMNS = "select name from pragma_table_info(?)"


def check_suites(warehouse: Path, read_only: bool = False) -> None:
    """Raise UsageError with everything that is wrong in the suites, a line each."""
    problems = [f"gx/expectations/{path.name}{problem}" for path in sorted(SUITES.glob("*.json"))
                for problem in _check_suite(path, warehouse, read_only)]
    if problems:
        raise UsageError("\n  ".join([f"{problems[0]} Nothing was started.", *problems[1:]]))


def describe(expectation: str, kwargs: dict[str, Any]) -> str:
    """Return an expectation as one line: its type and what it is about."""
    about = [str(kwargs[name]) for name in COLUMN_KEYS if name in kwargs]
    return f"{expectation}({', '.join(about)})"


def count_rows(failed: int, checked: int) -> str:
    """Return how many rows failed, and of how many if that is known."""
    if checked:
        return f"{failed:,} of {checked:,} rows"
    return f"{failed:,} rows" if failed > 1 else "1 row"


def _check_suite(path: Path, warehouse: Path, read_only: bool) -> Iterator[str]:
    try:
        expectations = json.loads(path.read_text(encoding="utf-8"))["expectations"]
        found = [(one["type"], one["kwargs"], one) for one in expectations]
        names = [describe(type_, kwargs) for type_, kwargs, _ in found]
    except ValueError as error:
        yield f" is no JSON ({error}). Correct it, or restore it from git."
    except (LookupError, TypeError, AttributeError):
        yield (": it must have a list of expectations, each with type and kwargs. Correct it, or restore it "
               "from git.")
    else:
        known = _known_columns(path.stem, warehouse, read_only)
        for number, (name, (type_, kwargs, about)) in enumerate(zip(names, found, strict=True), 1):
            for problem in _check_expectation(type_, kwargs, about, known):
                yield f", expectation {number}, {name}: {problem}"


def _check_expectation(type_: str, kwargs: dict[str, Any], about: dict[str, Any],
                       known: set[str]) -> Iterator[str]:
    on_failure, notes = (about.get("meta") or {}).get("on_failure"), about.get("notes")
    if on_failure not in ON_FAILURE:
        yield f"meta.on_failure is {on_failure!r}. Set it to one of {', '.join(ON_FAILURE)}."
    if not notes or not "".join(notes).strip():
        yield "it has no notes. Write there why it matters: reports and catalog show that."
    if type_ not in (types := _types()):
        yield f"GX has no such expectation{closest(type_, types)}. Correct its type."
    elif validate := _validator(type_):
        try:
            validate(kwargs | {name: about[name] for name in about if name not in ("type", "kwargs")})
        except ValueError as error:
            yield f"{str(error).replace('data.', '').replace('data ', 'it ')}. Correct its parameters."
    for column in [column for key in COLUMN_KEYS for column in _as_list(kwargs.get(key))]:
        if known and column not in known:
            yield f"there is no column {column!r}{closest(str(column), known)}. Correct its name."


def _as_list(value: Any) -> list:
    return value if isinstance(value, list) else [value] if isinstance(value, str) else []


def _known_columns(suite: str, warehouse: Path, read_only: bool) -> set[str]:
    """Return the columns that the rows of a suite may have; empty where that is not known.

    Raw's rows also have columns that are not in the contract, which its tables show. The rows of the other
    steps have what the notebooks write and what the contract declares.
    """
    source = SOURCES.get(suite.removeprefix("raw_"))
    if suite.startswith("raw_") and source:
        stored = lookup.query(warehouse, "raw", source.name, TABLE_COLUMNS, source.name,
                              read_only=read_only) if (warehouse / "raw.db").exists() else []
        return {*source.column_names, *(name for name, in stored)} if stored else set()
    written = _words().union(*(source.column_names for source in SOURCES.values()))
    return written | {f"{name}{end}" for name in written for end in DERIVED}


def _words() -> set[str]:
    """Return all names and words in the code of the notebooks."""
    words: set[str] = set()
    for path in NOTEBOOKS.glob("*.ipynb"):
        try:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            for cell in cells:
                words.update(re.findall(r"\w+", "".join(cell["source"])))
        except (OSError, ValueError, LookupError, TypeError):
            continue  # it cannot be executed: its step says so
    return words


def _core() -> Path:
    package = find_spec("great_expectations")
    return Path(package.submodule_search_locations[0], "expectations", "core") if package else Path()


@cache
def _types() -> set[str]:
    return {path.stem for path in _core().glob("*expect*.py")}


@cache
def _validator(type_: str) -> Callable[[dict], Any] | None:
    """Return what checks an expectation's parameters and fields, None where GX has no schema of it."""
    import fastjsonschema  # here, not above: only a run that has something to do needs it

    wanted = type_.replace("_", "")
    for path in (_core() / "schemas").glob("*.json"):
        if path.stem.lower() == wanted:
            return fastjsonschema.compile(json.loads(path.read_text(encoding="utf-8")))
    return None
