"""What decides what a step makes of its input: its notebook, its suites and the contract, as hashes that prose does not change."""

import ast
import hashlib
import json
from dataclasses import astuple
from typing import Any

from lib.contract import SOURCES
from lib.steps import NOTEBOOKS, PROJECT, StepSpec

SUITES = PROJECT / "gx" / "expectations"


def take_fingerprint(step: StepSpec) -> dict[str, str]:
    """Return a hash by what it is of: the notebook's code up to where it publishes, each suite it checks, each source's contract.

    Comments, docstrings, formatting, markdown, notes, ids and the order of expectations change none of them.
    """
    notebook = json.loads((NOTEBOOKS / step.notebook).read_text(encoding="utf-8"))
    trees = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            trees.append(ast.parse("".join(cell["source"])))
            if _calls(trees[-1], "publish"):
                break  # what is shown behind that changes no table
    found = {f"notebook {step.notebook}": _hash([ast.dump(_without_docstrings(tree)) for tree in trees])}
    for pattern in sorted({_pattern(call.args[0]) for tree in trees for call in _calls(tree, "check")}):
        found |= {f"suite {path.stem}": _hash(_expectations(json.loads(path.read_text(encoding="utf-8"))))
                  for path in sorted(SUITES.glob(f"{pattern}.json"))}
    sources = SOURCES if step.reads == "source" else [name for name in step.inputs if name in SOURCES]
    return found | {f"contract of {name}": _hash(astuple(SOURCES[name])) for name in sources}


def changed_parts(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return what differs between two fingerprints."""
    return sorted(part for part in before.keys() | now.keys() if before.get(part) != now.get(part))


def _calls(tree: ast.AST, method: str) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            and node.func.attr == method]


def _pattern(name: ast.expr) -> str:
    """Return which suites an argument may name: what is not spelt out may be anything."""
    if isinstance(name, ast.JoinedStr):
        return "".join(_pattern(part) for part in name.values)
    return str(name.value) if isinstance(name, ast.Constant) else "*"


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _expectations(suite: dict[str, Any]) -> list[str]:
    return sorted(json.dumps([one["type"], one["kwargs"], one["meta"].get("on_failure")], sort_keys=True)
                  for one in suite["expectations"])


def _hash(what: Any) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()
