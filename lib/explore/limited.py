"""Datasette's databases, with SELECTs that can be ended at any moment, and few of a user's own at once."""

import asyncio
import os
import pickle
import re
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from datasette.app import Datasette
from datasette.database import Database, QueryInterrupted, Results
from datasette.views.base import DatasetteError

from lib.explore import worker
from lib.explore.readonly import is_technical
from lib.steps import PROJECT
from lib.storage.sql import file_uri, quote

OWN_SQL = {"sql", "_where"}  # the parameters of an address in which a user writes SQL
OWN_AT_ONCE = 2
START = ("import sys; sys.path.append(sys.argv[1]); import lib.runner.die_with_parent, lib.explore.worker; "
         "lib.explore.worker.main()")
# Whether an answer cannot say that a SELECT failed, as CSV cannot: then the error is the whole answer.
IS_CSV: ContextVar[bool] = ContextVar("IS_CSV", default=False)
SETTINGS = {
    "sql_time_limit_ms": 10_000, "facet_time_limit_ms": 1000, "suggest_facets": False,
    "allow_csv_stream": False,
    "num_sql_threads": 8,  # a table with facets takes up to three at once: two are left for other pages
}


class Stopped(QueryInterrupted, sqlite3.OperationalError):
    """A SELECT was stopped. Datasette expects the one kind of error in some places, the other in others."""

    def __str__(self) -> str:
        return f"it took too long or too much memory, and was stopped; {worker.INSTEAD}"


class Workers:
    """Processes that answer one SELECT at a time: as many as were needed at once."""

    def __init__(self) -> None:
        self._idle: list[subprocess.Popen] = []
        self._busy: set[subprocess.Popen] = set()
        self._is_closed = False

    def ask(self, *question: Any) -> tuple[list[str], list[tuple]]:
        """Return what a process answers. Raises its error, or EOFError when the process had to end."""
        if self._is_closed:
            raise DatasetteError("browse is ending", status=503)
        try:
            process = self._idle.pop()
        except IndexError:
            # Not in the terminal's group, where Ctrl-C would end it.
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", START, str(PROJECT)], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, start_new_session=True,
                env={**os.environ, "PIPELINE_RUNNER": str(os.getpid())})  # for lib.runner.die_with_parent
        self._busy.add(process)
        try:
            process.stdin.write(pickle.dumps(question))
            process.stdin.flush()
            answer = pickle.load(process.stdout)
        except (EOFError, OSError) as error:
            with suppress(OSError), process:
                process.kill()
            raise EOFError from error
        finally:
            self._busy.discard(process)
        self._idle.append(process)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End all SELECTs; no other begins."""
        self._is_closed = True
        for process in (*self._busy, *self._idle):
            process.kill()


class LimitedDatabase(Database):
    """A database whose SELECTs have limits of time, memory and size that hold.

    What `execute_fn` runs is Datasette's own look at the schema, which needs none.
    """

    def __init__(self, datasette, path: Path, workers: Workers) -> None:
        super().__init__(datasette, str(path))
        self._uri = file_uri(path, "mode=ro")
        self._workers = workers

    async def hidden_table_names(self) -> list[str]:
        return list(filter(is_technical, await self.table_names()))

    async def execute(self, sql, params=None, truncate=False, custom_time_limit=None, page_size=None,
                      log_sql_errors=True) -> Results:
        milliseconds = min(custom_time_limit or self.ds.sql_time_limit_ms, self.ds.sql_time_limit_ms)
        most = self.ds.max_returned_rows
        if most == (page_size or self.ds.page_size):
            most += 1
        try:
            columns, rows = await asyncio.get_running_loop().run_in_executor(
                self.ds.executor, self._workers.ask, self._uri, sql, _plain(sql, params),
                most + 1 if truncate else None, max(milliseconds, 0) / 1000)
        except (EOFError, sqlite3.DatabaseError) as error:
            if isinstance(error, EOFError) or error.args == ("interrupted",):
                error = Stopped(error, sql, params)
            if IS_CSV.get():
                raise DatasetteError(str(error), title="Invalid SQL", status=400) from error
            raise error
        is_cut = truncate and len(rows) > most
        cursor = _cursor(columns)
        return Results([sqlite3.Row(cursor, row) for row in (rows[:most] if is_cut else rows)], is_cut,
                       cursor.description)


def limited_datasette(databases: list[Path], workers: Workers, **how: Any) -> Datasette:
    """Return Datasette with these databases and no other, not even one in memory."""
    from datasette import handle_exception  # imported before Datasette, it would handle none

    handle_exception.rich = None  # it would print a traceback for every mistake in a SELECT
    datasette = Datasette([], settings=SETTINGS, **how)
    datasette.remove_database("_memory")
    for path in databases:
        datasette.add_database(LimitedDatabase(datasette, path, workers))
    return datasette


def _plain(sql: str, parameters: Any) -> Any:
    """Return parameters that another process understands: Datasette computes some when they are asked for."""
    if not isinstance(parameters, Mapping):
        return parameters or ()
    plain = dict(parameters)
    for name in re.findall(r":(_\w+)", sql):
        with suppress(KeyError):
            plain[name] = parameters[name]
    return plain


def _cursor(columns: list[str]) -> sqlite3.Cursor:
    """Return a cursor with these columns, from which rows take their names."""
    sql = "select " + ", ".join(f"null as {quote(name)}" for name in columns or ["nothing"])
    return sqlite3.connect(":memory:").execute(sql)


def own_sql_waits(app):
    """Wrap an ASGI app: requests with SQL of the user's own wait for each other, others go ahead."""
    gate = asyncio.Semaphore(OWN_AT_ONCE)

    async def waiting(scope, receive, send):
        question = scope.get("query_string", b"").decode("latin-1")
        if OWN_SQL.isdisjoint(name for name, _ in parse_qsl(question)):
            await app(scope, receive, send)
        else:
            async with gate:
                await app(scope, receive, send)
    return waiting
