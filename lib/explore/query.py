"""Answer a question about the databases: which tables there are, a table's rows, or the rows of a SELECT."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from lib.errors import DONE, INTERRUPTED, PipelineError
from lib.explore import export, table
from lib.explore.questions import Question, questions
from lib.explore.readonly import (
    DATABASES,
    Rows,
    Selection,
    count_rows,
    find_table,
    open_database,
    select,
)


@dataclass(frozen=True)
class Request:
    """What is asked, and how it is to be answered. The fields are the options of `query`; None: not given."""

    warehouse: Path
    database: str | None = None
    table: str | None = None
    sql: str | None = None
    question: Question | None = None
    values: Mapping[str, str] = field(default_factory=dict)  # of the question's parameters
    lists_questions: bool = False
    limit: int | None = None
    format: str | None = None
    export: Path | None = None
    excel: bool = False
    as_of: str | None = None


def answer(request: Request) -> int:
    """Print or export the answer, and return the exit code. Raises PipelineError where there is none."""
    sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character shows a question mark
    try:
        if request.as_of:
            with _replayed(request.warehouse, request.as_of) as warehouse:
                _answer(replace(request, warehouse=warehouse))
        else:
            _answer(request)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    return DONE


@contextmanager
def _replayed(warehouse: Path, batch_id: str) -> Iterator[Path]:
    """Yield a warehouse as a run left it. Raises PipelineError when it cannot be rebuilt as it was."""
    import tempfile

    from lib.reproduce.replay import replay
    from lib.steps import Options
    from lib.storage.temporary import use_temporary_folder

    messages: list[str] = []
    use_temporary_folder()
    with tempfile.TemporaryDirectory(prefix="pipeline-") as folder:
        if not replay(Options(warehouse=warehouse.resolve()), batch_id, Path(folder), messages.append):
            raise PipelineError("\n".join([
                f"run {batch_id} cannot be shown as it was. Check out the code that ran then.", *messages]))
        yield Path(folder) / "warehouse"


def _answer(request: Request) -> None:
    is_asked = request.database or request.format or request.limit is not None
    if request.table or request.question or request.sql is not None:
        _show_rows(request)
    elif request.lists_questions:
        rows = [(one.name, one.database, one.title, ", ".join(one.parameters))
                for one in questions().values()]
        _write(Rows(["question", "database", "title", "parameters"], iter(rows)), request, {})
    elif request.export:
        with open_database(request.warehouse, request.database) as database:
            found = export.export_tables(database, request.export, request.limit)
        print(f"{found} in {request.export}")
    elif not is_asked and sys.stdin.isatty() and sys.stdout.isatty():
        from lib.explore.menu import ask

        ask(request.warehouse)
    else:
        _show_tables(request)


def _show_rows(request: Request) -> None:
    """Print, or export, the rows of a table, of a question or of a SELECT."""
    asked = request.question
    with open_database(request.warehouse, asked.database if asked else request.database) as database:
        selection = (asked.selection(request.values) if asked else
                     find_table(database, request.table).rows if request.table else
                     Selection("selected", request.sql))
        if request.export:
            count = export.export(database, selection, request.export, request.limit,
                                  for_excel=request.excel)
            print(f"{count:,} rows in {request.export}")
            return
        rows = select(database, selection.sql, selection.parameters)
        _write(Rows(rows.columns, islice(rows.rows, request.limit)), request, selection.types)
        if request.format in (None, "table") and next(rows.rows, None) is not None:
            print(f"… the first {request.limit:,} rows; there are more")


def _show_tables(request: Request) -> None:
    """Print the tables of one database, or of all that exist, and how many rows each has."""
    there = [name for name in DATABASES if (request.warehouse / f"{name}.db").exists()]
    found = []
    for name in [request.database] if request.database else there or DATABASES[:1]:
        with open_database(request.warehouse, name) as database:
            found += [(name, each.name, count_rows(database, each)) for each in database.tables.values()]
    _write(Rows(["database", "table", "rows"], islice(found, request.limit)), request, {})


def _write(rows: Rows, request: Request, types: Mapping[str, str]) -> None:
    writers = {"csv": export.write_csv, "json": export.write_json, "md": export.write_markdown}
    if request.excel:
        sys.stdout.reconfigure(encoding="utf-8-sig")
    if request.format in writers:
        writers[request.format](rows, sys.stdout)
    else:
        table.show(rows, types)
