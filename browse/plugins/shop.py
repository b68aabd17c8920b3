"""What Datasette cannot know: which column names a row of which table, what is money, and who may ask."""

from urllib.parse import urlencode

from datasette import Response, hookimpl
from datasette.utils.asgi import asgi_send_html
from markupsafe import Markup

from lib.contract import SOURCES
from lib.query_table import cell, places
from lib.steps import STEPS

# The current row of each source's key, by the key's name, and the other current rows that name this key.
CURRENT = {SOURCES[table.partition("_")[2]].key: table for table in STEPS["gold"].inputs}
NAMED_BY = {key: [table for table in STEPS["gold"].inputs
                  if key in SOURCES[table.partition("_")[2]].column_names and table != CURRENT[key]] for key in CURRENT}
KEYS = {table: key for key, table in CURRENT.items()}
HERE = ("127.0.0.1", "localhost")


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
    """Answer only who asks this machine by its own name: a page elsewhere cannot read along under a name that it made up."""
    def wrap(app):
        async def only_here(scope, receive, send):
            host = dict(scope.get("headers") or ()).get(b"host", b"").decode("latin-1")
            if scope["type"] == "http" and host.partition(":")[0] not in HERE:
                await asgi_send_html(send, "403: open it as http://127.0.0.1 or http://localhost", 403)
            else:
                await app(scope, receive, send)
        return only_here
    return wrap


def _rows(datasette, database, table, column, value, text=None):
    """Return a link to the rows of a table whose column has this value."""
    return _link(f"{datasette.urls.table(database, table)}?{urlencode({f'{column}__exact': value})}", text or value)


def _link(address, text):
    return Markup('<a href="{}">{}</a>').format(address, text)
