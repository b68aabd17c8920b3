"""What Datasette cannot know: which column is the key of which table, what is money, and who may ask."""

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
from lib.explore.table import cell, decimals
from lib.steps import STEPS

SOURCE_OF = {table: SOURCES[table.partition("_")[2]] for table in STEPS["gold"].inputs}
KEYS = {table: source.key for table, source in SOURCE_OF.items()}
CURRENT = {key: table for table, key in KEYS.items()}  # the table whose rows have this key


def naming(key):
    """Return the other tables whose rows name a key."""
    return [table for table, source in SOURCE_OF.items() if key in source.column_names and KEYS[table] != key]


HERE = ("127.0.0.1", "localhost")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?")
csv.field_size_limit(sys.maxsize)


@hookimpl
def render_cell(row, value, column, table, database, datasette):
    """Return a key, a run or a file as links, and a real with its decimals; None for anything else."""
    if value is None:
        return None
    if isinstance(value, float):
        return cell(value, decimals(column, [value]))
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
    """Redirect from the folder of the reports to its page."""
    return [(r"^/reports/?$", lambda: Response.redirect("/reports/index.html"))]


@hookimpl
def asgi_wrapper():
    """Answer only requests that call this machine by its own name.

    A page elsewhere could make up a name for this address, and read along. Answers in CSV are made inert, as
    `lib.explore.export` does.
    """
    def wrap(app):
        async def only_here(scope, receive, send):
            host = dict(scope.get("headers") or ()).get(b"host", b"").decode("latin-1")
            path, question = scope.get("path", ""), scope.get("query_string", b"")
            if scope["type"] == "http" and host.partition(":")[0] not in HERE:
                await asgi_send_html(send, "403: open it as http://127.0.0.1 or http://localhost", 403)
            elif scope["type"] == "http" and (path.endswith(".csv") or b"_format=csv" in question):
                await app(scope, receive, _Inert(send))
            else:
                await app(scope, receive, send)
        return only_here
    return wrap


class _Inert:
    """Passes on an answer in CSV, once it is complete, without formulas."""

    def __init__(self, send):
        self._send, self._start, self._body = send, {}, b""

    async def __call__(self, message):
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if not message.get("more_body"):
            body = _without_formulas(self._body) if self._start["status"] == 200 else self._body
            headers = [header for header in self._start["headers"] if header[0].lower() != b"content-length"]
            headers.append((b"content-length", str(len(body)).encode()))
            await self._send(self._start | {"headers": headers})
            await self._send({"type": "http.response.body", "body": body})


def _without_formulas(text: bytes) -> bytes:
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
