"""What Datasette cannot know: which column is the key of which table, what is money, and what runs in CSV."""

import asyncio
import csv
import io
import re
import sys
from pathlib import Path
from urllib.parse import urlencode

from datasette import Response, hookimpl
from datasette.utils import path_with_removed_args
from datasette.utils.asgi import Request
from markupsafe import Markup

from lib.contract import SOURCES
from lib.explore.export import inert
from lib.explore.limited import IS_CSV
from lib.explore.table import cell, decimals, is_counted
from lib.steps import STEPS

SOURCE_OF = {table: SOURCES[table.partition("_")[2]] for table in STEPS["gold"].inputs}
KEYS = {table: source.key for table, source in SOURCE_OF.items()}
CURRENT = {key: table for table, key in KEYS.items()}  # the table whose rows have this key


def naming(key):
    """Return the other tables whose rows name a key."""
    return [table for table, source in SOURCE_OF.items() if key in source.column_names and KEYS[table] != key]


CSV_TYPES = (b"text/plain", b"text/csv")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?")
csv.field_size_limit(sys.maxsize)


@hookimpl
def render_cell(row, value, column, table, database, datasette):
    """Return a key, a run or a file as links, and a number as people read it; None for anything else."""
    if value is None:
        return None
    if isinstance(value, float) or (isinstance(value, int) and is_counted(column)):
        text = cell(value, decimals(column, [value])) if isinstance(value, float) else f"{value:,}"
        return Markup('<span class="number">{}</span>').format(text)
    if column.endswith("batch_id"):
        return _link(f"/reports/runs/{value}/index.html", value)
    if column == "source_filename" and table != "deliveries":
        return _rows(datasette, "raw", "deliveries", column, value)
    beside = dict(zip(row.keys(), row, strict=True))
    if column == "raw_row_id" and beside.get("source_name") in SOURCES:
        return _link(f"{datasette.urls.table('raw', beside['source_name'])}/{value}", value)
    if column == "record_key" and beside.get("table_name") in KEYS:
        return _rows(datasette, "curated", beside["table_name"], KEYS[beside["table_name"]], value)
    if column not in CURRENT:
        return None
    if table != CURRENT[column]:
        return _rows(datasette, "curated", CURRENT[column], column, value)
    history = _rows(datasette, "raw", table.partition("_")[2], column, value, "as delivered")
    others = [_rows(datasette, database, other, column, value, other) for other in naming(column)]
    return Markup(" · ").join([Markup("{}").format(value), history, *others])


@hookimpl
def register_routes():
    """Redirect from the folder of the reports to the business report or, without one, to the index."""
    def first_page(datasette):
        folder = Path(dict(datasette.static_mounts)["reports"])
        name = "report.html" if (folder / "report.html").exists() else "index.html"
        return Response.redirect(f"/reports/{name}")
    return [(r"^/reports/?$", first_page)]


@hookimpl
def asgi_wrapper():
    """Answer in CSV that runs no formula, as `lib.explore.export` writes it, or say what is wrong."""
    def wrap(app):
        async def csv_or_error(scope, receive, send):
            request = Request(scope, receive)
            path = request.path if scope["type"] == "http" else ""
            if request.args.get("_format") == "csv" and "." not in path:
                path = f"{path.rstrip('/')}.csv"
            if not path.endswith(".csv"):
                await app(scope, receive, send)
            elif path.count("/") < 2 and "sql" not in request.args:
                await Response.text("400: a table can be CSV, and what a SELECT returns, but not a list of "
                                    "tables", 400).asgi_send(send)
            elif path != request.path:
                without_format = path_with_removed_args(request, {"_format"}, path=path)
                await Response.redirect(without_format).asgi_send(send)
            else:
                IS_CSV.set(True)
                await app(scope, receive, _Inert(send))
        return csv_or_error
    return wrap


class _Inert:
    """Passes on an answer in CSV, once it is complete, without formulas; any other answer as it is."""

    def __init__(self, send):
        self._send, self._start, self._body = send, {}, bytearray()

    async def __call__(self, message):
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if not message.get("more_body"):
            headers = dict(self._start["headers"])
            is_csv = self._start["status"] == 200 and headers[b"content-type"].startswith(CSV_TYPES)
            body = await asyncio.to_thread(_without_formulas, self._body) if is_csv else bytes(self._body)
            headers[b"content-length"] = str(len(body)).encode()
            await self._send(self._start | {"headers": list(headers.items())})
            await self._send({"type": "http.response.body", "body": body})


def _without_formulas(text: bytearray) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([cell if NUMBER.fullmatch(cell) else inert(cell) for cell in row]
                              for row in csv.reader(io.StringIO(text.decode("utf-8"), newline="")))
    return out.getvalue().encode("utf-8")


def _rows(datasette, database, table, column, value, text=None):
    """Return a link to the rows of a table whose column has this value."""
    question = urlencode({f"{column}__exact": value})
    return _link(f"{datasette.urls.table(database, table)}?{question}", text or value)


def _link(address, text):
    return Markup('<a href="{}">{}</a>').format(address, text)
