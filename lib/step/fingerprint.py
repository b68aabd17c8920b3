"""The rules of a step, as hashes of its notebook, its suites, the contract and the source systems."""

import ast
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lib.contract import FIRST, SHOP, SOURCES, Shop, Source
from lib.step.parameters import NO_RULE
from lib.steps import NOTEBOOKS, SUITES, StepSpec
from lib.storage.audit import SEVERAL
from lib.systems import systems

SYSTEM, ZONE = "system ", "time zone of the shop"  # parts of a fingerprint
SQL_TOKENS = re.compile(r"""--[^\n]*|/\*.*?\*/|('(?:[^']|'')*'|"(?:[^"]|"")*"|\w+|\S)""", re.DOTALL)


def take_fingerprint(step: StepSpec) -> dict[str, str]:
    """Return hashes of a notebook's code up to publishing, of its suites, of its sources' contracts, and of
    how its sources' text is typed: of the formats that systems declare, and of the shop's time zone.

    Comments, docstrings, formatting (also of SQL), cells, markdown, notes, ids, the order of expectations and
    those that only observe change none of them. Neither does the version of Python, what a notebook imports
    from `lib`, nor a default in the parameters cell that is no rule (see lib.step.parameters). A file that
    cannot be read counts as a whole: the step will report what is wrong.
    """
    code = _read(NOTEBOOKS / step.notebook, _code)
    found = {f"notebook {step.notebook}": _hash(_plain(code))}
    for pattern in sorted({_pattern(call) for call in _calls(code, "check")}):
        for path in sorted(SUITES.glob(f"{pattern}.json")):
            found[f"suite {path.stem}"] = _hash(_read(path, _expectations))
    sources = SOURCES if step.reads == "source" else [name for name in step.inputs if name in SOURCES]
    found |= {f"contract of {name}": _hash(_contract(SOURCES[name])) for name in sources}
    return found | (_typing(sources) if step.reads == "raw" else {})


def _typing(sources: list[str]) -> dict[str, str]:
    """Return what decides how text is typed, besides the contract; not a time zone that nobody declared.

    A source that was added changes no system that lacks it. (Those of the first release count everywhere.)
    """
    found = {f"{SYSTEM}{system.name}": _hash([
        system.typing(name) for name in sources if name in FIRST or name in system.sources])
        for system in systems().values() if not system.sources.keys().isdisjoint(sources)}
    has_dates = any(column.type == "date" for name in sources for column in SOURCES[name].columns)
    return found | ({ZONE: _hash(SHOP.timezone)} if has_dates and SHOP.timezone != Shop().timezone else {})


def _contract(source: Source) -> list:
    """Return what decides how rows are read: not what columns mean, nor an encoding, which changes no row
    that was read."""
    columns = [(column.name, column.type, column.optional) for column in source.columns]
    return [source.name, columns, source.missing, ""]


def changed_parts(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return what differs between two fingerprints, except systems that are new: they have made no rows."""
    return sorted(part for part in before.keys() | now.keys() if before.get(part) != now.get(part)
                  and (part in before or not part.startswith(SYSTEM)))


def mix(before: dict[str, str], now: dict[str, str]) -> dict[str, str]:
    """Return the fingerprint of rows that were made partly by the rules `before`, partly by `now`."""
    return now | before | dict.fromkeys(changed_parts(before, now), SEVERAL)


def _read(path: Path, what: Callable[[Any], list]) -> list:
    content = path.read_bytes()
    try:
        return what(json.loads(content))
    except (ValueError, LookupError, TypeError, AttributeError):  # no JSON, or of an unexpected form
        return [repr(content)]


def _code(notebook: dict[str, Any]) -> list[ast.AST | str]:
    """Return the statements up to the cell that publishes; of a cell that is no Python, its text."""
    code: list[ast.AST | str] = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            text = "".join(cell["source"])
            try:
                statements = ast.parse(text).body
            except (SyntaxError, ValueError):  # a magic, or a slip
                statements = [text]
            is_parameters = "parameters" in cell.get("metadata", {}).get("tags", [])
            is_left_out = _sets_no_rule if is_parameters else _opens_step
            code += [one for one in statements if not is_left_out(one)]
            if _calls(statements, "publish"):
                break  # what is shown after that changes no table
    return code


def _opens_step(statement: ast.AST | str) -> bool:
    """Return whether a statement only opens the step, or imports what is needed for that from `lib`."""
    match statement:
        case ast.ImportFrom(module=str(module)):
            return module.partition(".")[0] == "lib"
        case ast.Import(names=[ast.alias(name="sys")]):
            return True
        case ast.Expr(value=ast.Call(func=function)):
            return ast.unparse(function) == "sys.path.insert"
        case ast.Assign(value=ast.Call(func=ast.Name(id="open_step"))):
            return True
    return False


def _sets_no_rule(statement: ast.AST | str) -> bool:
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return name in NO_RULE
    return False


def _calls(code: Iterable[ast.AST | str], method: str) -> list[ast.Call]:
    nodes = (node for one in code if isinstance(one, ast.AST) for node in ast.walk(one))
    calls = (node for node in nodes if isinstance(node, ast.Call))
    return [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == method]


def _pattern(call: ast.Call) -> str:
    """Return a pattern of the suites that a call may name; what is not a constant there may be anything."""
    named = call.args[:1] or [keyword.value for keyword in call.keywords if keyword.arg == "suite"]
    parts = named[0].values if named and isinstance(named[0], ast.JoinedStr) else named
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts) or "*"


def _plain(code: Any) -> Any:
    """Return code as lists, without text that does nothing and fields that are empty in some Pythons."""
    if isinstance(code, ast.JoinedStr):
        text = "".join(part.value if isinstance(part, ast.Constant) else "\0" for part in code.values)
        inserted = [_plain(part) for part in code.values if not isinstance(part, ast.Constant)]
        return ["JoinedStr", _tokens(text), inserted]
    if isinstance(code, ast.AST):
        return [type(code).__name__, {name: _plain(value) for name, value in ast.iter_fields(code)
                                      if name != "kind" and value is not None and value != []}]
    if isinstance(code, list):
        return [_plain(one) for one in code if not _is_text(one)]
    return _tokens(code) if isinstance(code, str) else repr(code)


def _is_text(code: Any) -> bool:
    return isinstance(code, ast.Expr) and isinstance(code.value, ast.Constant)


def _tokens(text: str) -> str | list[str]:
    """Return a query as its tokens, without comments; any other text as it is."""
    tokens = [token for token in SQL_TOKENS.findall(text) if token]
    words = [token.lower() for token in tokens]
    return tokens if words[:1] in (["select"], ["with"]) and "select" in words else repr(text)


def _expectations(suite: dict[str, Any]) -> list[str]:
    return sorted(json.dumps([one["type"], one["kwargs"], one["meta"].get("on_failure")], sort_keys=True)
                  for one in suite["expectations"] if one["meta"].get("on_failure") != "observe")


def _hash(what: Any) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()
