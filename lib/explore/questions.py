"""The questions that people ask every day: each is a file of SQL in `questions`, which begins with comments.

The comments say in YAML what the question is called, what it answers and of which database, what may be given
to it, and what those of its columns mean that no table has.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import takewhile

from lib.clock import is_day
from lib.declarations import Place, read_declaration
from lib.errors import UsageError, closest
from lib.explore.readonly import Selection
from lib.steps import PROJECT

QUESTIONS = PROJECT / "questions"
COMMENT = "--"


# How the values of parameters are written, by their names.
DAY = (is_day, "a day such as 2025-12-30")
WRITTEN = {"day": DAY, "first": DAY, "last": DAY, "today": DAY,
           "month": (lambda value: is_day(f"{value}-01"), "a month such as 2025-12"),
           "periods": (re.compile(r"[1-9]\d{0,4}(,[1-9]\d{0,4})*").fullmatch, "days such as 1,7,28")}


@dataclass(frozen=True)
class Question:
    """A question: `sql` is a SELECT, and `parameters` say what each `:name` in it stands for.

    A parameter that is not given is an empty text: the SELECT says what it then means.
    """

    name: str
    sql: str
    title: str
    about: str
    database: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)

    def selection(self, given: Mapping[str, str]) -> Selection:
        """Return its SELECT with the values of all parameters.

        Raises UsageError for a parameter that it does not have, and for one that is no day or month.
        """
        for name, value in given.items():
            if name not in self.parameters:
                hint = closest(name, self.parameters) or f"; it has {', '.join(self.parameters) or 'none'}"
                raise UsageError(f"the question {self.name} has no parameter {name!r}{hint}")
            if value and name in WRITTEN:
                is_written, example = WRITTEN[name]
                if not is_written(value):
                    raise UsageError(f"{name} is {value!r}. Write {example}.")
        return Selection(self.name, self.sql, parameters=dict.fromkeys(self.parameters, "") | given)


@cache
def questions() -> dict[str, Question]:
    """Return all questions by name. Raises DeclarationError, with file and line, for a wrong comment."""
    found = {}
    for path in sorted(QUESTIONS.glob("*.sql")):
        lines = Place(path).read().splitlines()
        about = list(takewhile(lambda line: line.startswith(COMMENT), lines))
        text = "\n".join(line.removeprefix(COMMENT).removeprefix(" ") for line in about)
        found[path.stem] = read_declaration(path, Question, text, name=path.stem,
                                            sql="\n".join(lines[len(about):]))
    return found


def question_named(name: str) -> Question:
    """Return a question. Raises UsageError, with the closest name, if there is none."""
    if name not in questions():
        raise UsageError(f"there is no question {name!r}{closest(name, questions())}. "
                         "`query --ask` lists all of them.")
    return questions()[name]
