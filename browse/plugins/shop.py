"""What Datasette cannot know: which column names a row of which table, what is money, and who may ask."""

import csv
import io
import re
import sys
from urllib.parse import urlencode

from datasette import Response, hookimpl
from datasette.utils.asgi import asgi_send_html
from markupsafe import Markup

from lib.contract import SOURCES
from lib.explore.export import inert
from lib.explore.table import cell, places
from lib.steps import STEPS

# The current row of each source's key, by the key's name, and the other current rows that name this key.
CURRENT = {SOURCES[table.partition("_")[2]].key: table for table in STEPS["gold"].inputs}
NAMED_BY = {key: [table for table in STEPS["gold"].inputs
                  if key in SOURCES[table.partition("_")[2]].column_names and table != CURRENT[key]] for key in CURRENT}
KEYS = {table: key for key, table in CURRENT.items()}
HERE = ("127.0.0.1", "localhost")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?")
csv.field_size_limit(sys.maxsize)


@hookimpl
def render_cell(row, value, column, table, database, datasette):
    """Return a key, a run or a file as links, and a real with its decimals; None for all else."""
    if value is None:
        return None
    if isinstance(value, float):
        return cell(value, places(column, [value]))
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
    return Markup(" · ").join([Markup("{}").format(value), history,
                               *(_rows(datasette, database, other, column, value, other) for other in NAMED_BY[column])])


@hookimpl
def register_routes():
    """Lead from the folder of the reports to its page."""
    return [(r"^/reports/?$", lambda: Response.redirect("/reports/index.html"))]


@hookimpl
def asgi_wrapper():
    """Answer only who asks this machine by its own name: a page elsewhere cannot read along under a name that it made up.

    What is answered as CSV is made inert, as `lib.explore.query` does.
    """
    def wrap(app):
        async def only_here(scope, receive, send):
            host = dict(scope.get("headers") or ()).get(b"host", b"").decode("latin-1")
            if scope["type"] == "http" and host.partition(":")[0] not in HERE:
                await asgi_send_html(send, "403: open it as http://127.0.0.1 or http://localhost", 403)
            elif scope["type"] == "http" and (scope["path"].endswith(".csv") or b"_format=csv" in scope["query_string"]):
                await app(scope, receive, _Inert(send))
            else:
                await app(scope, receive, send)
        return only_here
    return wrap


class _Inert:
    """Sends on an answer of CSV, when it is complete, without formulas."""

    def __init__(self, send):
        self._send, self._start, self._body = send, {}, b""

    async def __call__(self, message):
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if not message.get("more_body"):
            body = _without_formulas(self._body) if self._start["status"] == 200 else self._body
            headers = [(name, value) for name, value in self._start["headers"] if name.lower() != b"content-length"]
            await self._send(self._start | {"headers": [*headers, (b"content-length", str(len(body)).encode())]})
            await self._send({"type": "http.response.body", "body": body})


def _without_formulas(text: bytes) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([cell if NUMBER.fullmatch(cell) else inert(cell) for cell in row]
                              for row in csv.reader(io.StringIO(text.decode("utf-8"), newline="")))
    return out.getvalue().encode("utf-8")


def _rows(datasette, database, table, column, value, text=None):
    """Return a link to the rows of a table whose column has this value."""
    return _link(f"{datasette.urls.table(database, table)}?{urlencode({f'{column}__exact': value})}", text or value)


def _link(address, text):
    return Markup('<a href="{}">{}</a>').format(address, text)
