"""Make mutants: copies of a file with one small slip each. Nothing here runs a test.

Python is changed by Cosmic Ray's operators, in modules and in the cells of notebooks. What it does not know
is changed here: the SQL that is text in Python, and the limits of suites, which are JSON.
"""

import ast
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import unified_diff
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.provider import OperatorProvider

# One slip at each place: other operators there would be noticed as soon.
BINARY = ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Div", "Mod_Mul", "Pow_Mul", "BitOr_BitAnd",
          "BitAnd_BitOr", "LShift_RShift", "RShift_LShift")
COMPARISONS = ("Eq_NotEq", "NotEq_Eq", "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Is_IsNot", "IsNot_Is")
OPERATORS = ("AddNot", "ExceptionReplacer", "NumberReplacer", "RemoveDecorator", "ReplaceAndWithOr",
             "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ReplaceFalseWithTrue",
             "ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceUnaryOperator_Delete_Not",
             "ReplaceUnaryOperator_USub_UAdd", "ZeroIterationForLoop",
             *(f"ReplaceBinaryOperator_{pair}" for pair in BINARY),
             *(f"ReplaceComparisonOperator_{pair}" for pair in COMPARISONS))
# In SQL: what is found, and what stands there in the mutant.
SQL = [(re.compile(pattern), slip) for pattern, slip in [
    (r" <= ", " < "), (r" >= ", " > "), (r" < ", " <= "), (r" > ", " >= "),
    (r" = (?!\?,|excluded|full|wal|memory)", " <> "),
    (r" <> ", " = "), (r" \+ ", " - "), (r" - ", " + "), (r"\band\b", "or"), (r"\bor\b(?! )", "and"),
    (r"\bmin\(", "max("), (r"\bmax\(", "min("), (r"\bsum\(", "max("), (r" desc\b", " asc"),
    (r"\bleft join\b", "join"), (r"\banti join\b", "semi join"), (r"\bsemi join\b", "anti join"),
    (r"\bis null\b", "is not null"), (r"\bis not null\b", "is null"), (r"\bnot in\b", "in"),
    (r"\bnot exists\b", "exists"), (r"\bis not distinct\b", "is distinct"), (r"\bunion all\b", "union"),
    (r"\bis distinct\b", "is not distinct"), (r"\bdistinct (?!from)", ""), (r"\bnot \(", "("),
    (r"\bselect raise\(.*?\);", "select 1;"), (r"\bsynchronous = full\b", "synchronous = off"),
    (r"\bbegin immediate\b", "begin"),
    (r"(?<![\w.'])(?<!select )\d+(?![\w.'])", lambda found: str(int(found[0]) + 1)),
    (r"(?<![\w.'])(?<!select )[1-9]\d*(?![\w.'])", lambda found: str(int(found[0]) - 1)),
]]
SQL_WORDS = re.compile(r"\b(select|update|delete|insert|create|pragma|begin|where|order by|case|from|join|and"
                       r"|on)\b")
ENGLISH = re.compile(r"\b(the|of|a|was|this|cannot|are|its|it)\b|[.,:;] [A-Z]|\.$")
SHOWN = ("bars(", "line(", ".show(")  # in cells that only show what is there

Make = Callable[[], str | None]  # makes a mutant's text; None where there is none


@dataclass(frozen=True)
class Mutant:
    """A file of the project with one slip in it."""

    file: str
    line: int
    old: str  # the lines that differ, stripped and joined
    new: str
    content: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}\n  - {self.old}\n  + {self.new}"


def mutants_of(project: Path, file: str, wanted: int, seed: str) -> tuple[list[Mutant], int]:
    """Return a sample of a file's mutants, the same one for a seed, and of how many places it was drawn."""
    text = (project / file).read_text(encoding="utf-8")
    places = list({".py": of_module, ".ipynb": of_notebook, ".json": of_suite}[Path(file).suffix](text))
    mutants: dict[str, Mutant] = {}
    for make in random.Random(f"{seed} {file}").sample(places, len(places)):
        if len(mutants) == wanted:
            break
        content = make()
        if content and content != text:
            mutants[content] = as_mutant(file, text, content)
    return list(mutants.values()), len(places)


def as_mutant(file: str, text: str, content: str) -> Mutant:
    """Return a mutant of a file, with what differs from its text."""
    _, _, at, *lines = unified_diff(text.splitlines(), content.splitlines(), lineterm="", n=0)
    number = int(re.search(r"-(\d+)", at)[1])
    old, new = (" ".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
    return Mutant(file, number, old, new, content)


def of_module(text: str) -> Iterator[Make]:
    """Yield what makes each mutant of Python text."""
    nodes = list(ast_nodes(get_ast(text)))
    for name in OPERATORS:
        operator = OperatorProvider()[name]()
        count = sum(1 for node in nodes for _ in operator.mutation_positions(node))
        yield from (partial(_mutate, text, name, number) for number in range(count))
    yield from _of_sql(text)


def _mutate(text: str, operator: str, number: int) -> str | None:
    try:
        content = mutate_code(text, OperatorProvider()[operator](), number)
    except AttributeError:  # Cosmic Ray cannot replace a dotted name among the exceptions of one clause
        return None
    return content if content and _what_runs(content) not in ("", _what_runs(text)) else None


def _what_runs(text: str) -> str:
    """Return Python text without annotations, as a slip in one changes nothing; "" if it is no Python."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.dump(tree)


def _of_sql(text: str) -> Iterator[Make]:
    starts = [0, *accumulate(map(len, text.splitlines(keepends=True)))]
    leaf = get_ast(text).get_first_leaf()
    while leaf:
        is_docstring = leaf.parent.type == "simple_stmt"
        is_text = leaf.type in ("string", "fstring_string") and not is_docstring
        start = starts[leaf.start_pos[0] - 1] + leaf.start_pos[1]
        for line in leaf.value.splitlines(keepends=True) if is_text and SQL_WORDS.search(leaf.value) else ():
            for pattern, slip in SQL if not ENGLISH.search(line) else ():
                for found in pattern.finditer(line):
                    yield partial(_replaced, text, start + found.start(), start + found.end(),
                                  slip if isinstance(slip, str) else slip(found))
            start += len(line)
        leaf = leaf.get_next_leaf()


def _replaced(text: str, start: int, end: int, slip: str) -> str:
    return text[:start] + slip + text[end:]


def of_notebook(text: str) -> Iterator[Make]:
    """Yield what makes each mutant of a notebook, in the cells that are rules."""
    for number, cell in enumerate(json.loads(text)["cells"]):
        source = "".join(cell["source"])
        is_rule = cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", [])
        if is_rule and not any(name in source for name in SHOWN):
            yield from (partial(_with_cell, text, number, make) for make in of_module(source))


def _with_cell(text: str, number: int, make: Make) -> str | None:
    notebook, source = json.loads(text), make()
    if source:
        notebook["cells"][number]["source"] = source.splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n" if source else None


def of_suite(text: str) -> Iterator[Make]:
    """Yield what makes each mutant of a suite: without an expectation, or with another limit or meaning."""
    for number, expectation in enumerate(json.loads(text)["expectations"]):
        yield partial(_with_expectation, text, number, None)
        for name, value in expectation["kwargs"].items():
            for slip in _other_limits(value):
                yield partial(_with_expectation, text, number, expectation | {
                    "kwargs": expectation["kwargs"] | {name: slip}})


def _other_limits(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, (int, float)):
        return [value + 1, value - 1, value * 1000 or 1000]
    return [[one for one in value if one != other] for other in value] if isinstance(value, list) else []


def _with_expectation(text: str, number: int, expectation: dict[str, Any] | None) -> str:
    suite = json.loads(text)
    suite["expectations"][number:number + 1] = [expectation] if expectation else []
    return json.dumps(suite, indent=2, ensure_ascii=False) + "\n"
