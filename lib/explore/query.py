"""Answer a question about the databases: which tables there are, a table's rows, or the rows of a SELECT."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from lib.errors import DONE, INTERRUPTED, PipelineError
from lib.explore import export, table
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
class Question:
    """What is asked, and how it is to be answered. The fields are the options of `query`; None: not given."""

    warehouse: Path
    database: str | None = None
    table: str | None = None
    sql: str | None = None
    limit: int | None = None
    format: str | None = None
    export: Path | None = None
    excel: bool = False
    as_of: str | None = None


def answer(question: Question) -> int:
    """Print or export the answer, and return the exit code. Raises PipelineError where there is none."""
    sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character shows a question mark
    try:
        if question.as_of:
            with _replayed(question.warehouse, question.as_of) as warehouse:
                _answer(replace(question, warehouse=warehouse))
        else:
            _answer(question)
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


def _answer(question: Question) -> None:
    is_asked = question.database or question.format or question.limit is not None
    if question.table or question.sql is not None:
        _show_rows(question)
    elif question.export:
        with open_database(question.warehouse, question.database) as database:
            found = export.export_tables(database, question.export, question.limit)
        print(f"{found} in {question.export}")
    elif not is_asked and sys.stdin.isatty() and sys.stdout.isatty():
        from lib.explore.menu import ask

        ask(question.warehouse)
    else:
        _show_tables(question)


def _show_rows(question: Question) -> None:
    """Print, or export, a table's rows or those of a SELECT."""
    with open_database(question.warehouse, question.database) as database:
        selection = (find_table(database, question.table).rows if question.table else
                     Selection("selected", question.sql))
        if question.export:
            count = export.export(database, selection, question.export, question.limit,
                                  for_excel=question.excel)
            print(f"{count:,} rows in {question.export}")
            return
        rows = select(database, selection.sql, selection.parameters)
        _write(Rows(rows.columns, islice(rows.rows, question.limit)), question, selection.types)
        if question.format in (None, "table") and next(rows.rows, None) is not None:
            print(f"… the first {question.limit:,} rows; there are more")


def _show_tables(question: Question) -> None:
    """Print the tables of one database, or of all that exist, and how many rows each has."""
    there = [name for name in DATABASES if (question.warehouse / f"{name}.db").exists()]
    found = []
    for name in [question.database] if question.database else there or DATABASES[:1]:
        with open_database(question.warehouse, name) as database:
            found += [(name, each.name, count_rows(database, each)) for each in database.tables.values()]
    _write(Rows(["database", "table", "rows"], islice(found, question.limit)), question, {})


def _write(rows: Rows, question: Question, types: Mapping[str, str]) -> None:
    writers = {"csv": export.write_csv, "json": export.write_json, "md": export.write_markdown}
    if question.excel:
        sys.stdout.reconfigure(encoding="utf-8-sig")
    if question.format in writers:
        writers[question.format](rows, sys.stdout)
    else:
        table.show(rows, types)
