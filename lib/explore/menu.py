"""The menu of `query`: questions, databases, tables, rows, the user's own SELECT, files.

Every answer opens the database again, so the menu holds no database open while it waits.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.shortcuts import choice, prompt

from lib.errors import PipelineError
from lib.explore.export import export, export_tables
from lib.explore.questions import Question, question_named, questions
from lib.explore.readonly import (
    DATABASES,
    Database,
    Selection,
    count_rows,
    is_technical,
    open_database,
    select,
)
from lib.explore.table import show

BACK = ""
QUESTIONS = "questions"
FILES = {"csv": "write them to a CSV file", "parquet": "write them to a Parquet file",
         "xlsx": "write them to an Excel file"}
KEYWORDS = ("select", "from", "where", "group by", "order by", "having", "limit", "join", "left join", "on",
            "and", "or", "not", "in", "is null", "is not null", "between", "like", "distinct", "count(*)",
            "sum(", "avg(", "min(", "max(", "round(", "as", "desc", "case when", "then", "else", "end",
            "with")


def ask(warehouse: Path) -> None:
    """Ask which database, table and rows to show until the user leaves, be it with Ctrl-C.

    Raises PipelineError when there is no database at all.
    """
    there = [name for name in DATABASES if (warehouse / f"{name}.db").exists()]
    if not there:
        with open_database(warehouse, DATABASES[0]):  # raises the error that says what is missing
            return
    typed: PromptSession[str] = PromptSession()
    print("Nothing that you do here changes the databases. Enter chooses, Escape goes back.")
    with suppress(EOFError):
        name = BACK
        options = [(QUESTIONS, "questions that people ask every day"),
                   *((name, f"{name}.db") for name in there)]
        while name := _choose("What do you want to see?", options, "leave", name):
            if name == QUESTIONS:
                _try(lambda: _ask_question(warehouse, typed))
            else:
                _try(lambda name=name: _ask_table(warehouse, name, typed))


def _ask_question(warehouse: Path, typed: PromptSession[str]) -> None:
    """Ask which question, and for the values of its parameters; show the answer."""
    chosen = BACK
    options = [(question.name, question.title) for question in questions().values()]
    while chosen := _choose("Questions", options, "back", chosen):
        question = question_named(chosen)
        print(question.about)
        values = {name: prompt(f"{name} ({about}): ").strip() for name, about in question.parameters.items()}

        def answer(question: Question = question, values: dict[str, str] = values) -> None:
            selection = question.selection(values)
            _show(warehouse, question.database, selection)
            _ask_rows(warehouse, question.database, selection, typed)

        _try(answer)


def _ask_table(warehouse: Path, name: str, typed: PromptSession[str]) -> None:
    chosen = BACK
    while True:
        with open_database(warehouse, name) as database:
            tables = dict(sorted(database.tables.items(), key=lambda table: is_technical(table[0])))
            width = max(map(len, tables), default=0)
            options = [(table.name, f"{table.name:<{width}}  {count_rows(database, table):>11,} rows")
                       for table in tables.values()]
        options += [("select", "write a SELECT"), ("xlsx", "write all tables to an Excel file")]
        chosen = _choose(f"{name}.db", options, "back", chosen)
        if chosen == BACK:
            return
        if chosen in tables:
            _ask_rows(warehouse, name, tables[chosen].rows, typed)
        elif chosen == "xlsx":
            _try(lambda: _export(warehouse, name, f"{name}.xlsx", export_tables))
        else:
            _ask_select(warehouse, name, Selection("selected", ""), typed)


def _ask_rows(warehouse: Path, name: str, selection: Selection, typed: PromptSession[str]) -> None:
    """Show the rows of a SELECT, write them to a file that is named by the title, or change the SELECT."""
    options = [("show", "show the rows"), *FILES.items(), ("select", "change the SELECT")]
    chosen = BACK
    while chosen := _choose(selection.sql, options, "back", chosen):
        if chosen == "show":
            _try(lambda: _show(warehouse, name, selection))
        elif chosen == "select":
            return _ask_select(warehouse, name, selection, typed)
        else:
            _try(lambda chosen=chosen: _export(
                warehouse, name, f"{selection.title}.{chosen}",
                lambda database, path: f"{export(database, selection, path):,} rows"))


def _ask_select(warehouse: Path, name: str, selection: Selection, typed: PromptSession[str]) -> None:
    """Take a SELECT, show its rows, and go on with it; one with a mistake can be corrected."""
    while True:
        with open_database(warehouse, name) as database:
            words = WordCompleter(_words(database), ignore_case=True)
        try:
            sql = typed.prompt(f"{name}.db> ", default=selection.sql, completer=words,
                               complete_while_typing=True)
        except (KeyboardInterrupt, EOFError):
            return
        sql = sql.strip()
        if not sql:
            return
        selection = replace(selection, title="selected", sql=sql, types={})
        if _try(lambda selection=selection: _show(warehouse, name, selection)):
            return _ask_rows(warehouse, name, selection, typed)


def _show(warehouse: Path, name: str, selection: Selection) -> None:
    with open_database(warehouse, name) as database:
        show(select(database, selection.sql, selection.parameters), selection.types)


def _export(warehouse: Path, name: str, file: str, write: Callable[[Database, Path], str]) -> None:
    """Ask for the name of the file, and print what `write` says that it has written."""
    file = prompt("File: ", default=file).strip()
    if file:
        with open_database(warehouse, name) as database:
            print(f"{write(database, Path(file).expanduser())} in {file}")


def _try(act: Callable[[], None]) -> bool:
    """Do something and return whether it worked; print what was wrong, or that Ctrl-C stopped it."""
    try:
        act()
    except PipelineError as error:
        print(f"error: {error}")
        return False
    except KeyboardInterrupt:
        print("stopped")
        return False
    return True


def _choose(title: str, options: Sequence[tuple[str, str]], leave: str, last: str) -> str:
    """Return what was chosen, BACK for nothing; the cursor begins at `last`.

    Raises EOFError for Ctrl-C: the user leaves.
    """
    keys = KeyBindings()

    @keys.add("escape", eager=True)
    @keys.add("c-d")
    def _(event) -> None:
        event.app.exit(result=BACK)

    return choice(title, options=[*options, (BACK, leave)], default=last or options[0][0], key_bindings=keys,
                  interrupt_exception=EOFError)


def _words(database: Database) -> list[str]:
    columns = {column for table in database.tables.values() for column in table.columns}
    return [*KEYWORDS, *database.tables, *sorted(columns)]
