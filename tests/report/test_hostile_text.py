"""Markup, scripts, formulas and templates in the data are shown as text, on every page that a run writes.

The pages are opened in a real browser, as they are and without the policy that forbids scripts. An alert, an
error of a script, or a request for what the data names fails the test.
"""

import json
import re
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

import nbformat
import pytest
from chromium import open_probe
from conftest import CUSTOMERS, LINES, ORDERS, PAYMENTS, PRODUCTS, Shop
from warm_runs import WarmRuns

IMAGE = '""><img src=planted onerror=alert(1)>'  # as CSV: a quote is doubled
SCRIPT = "</script><script>alert(2)</script>"
SHOUT = "<IMG SRC=PLANTED ONERROR=&#97;&#108;&#101;&#114;&#116;(3)>"  # upper case does not disarm it
LINK = "javascript:alert(4)"
FRAME = "<iframe srcdoc='<script>parent.alert(5)</script>'></iframe>"
VECTOR = "<svg/onload=alert(6)>"
TEMPLATE = "{{ 7*7 }} $column ${value} %(name)s [a](javascript:alert(7)) `<b onclick=alert(8)>`"


def deliver(shop: Shop) -> None:
    """Deliver files with hostile text in every text column, in keys, in extra columns and in file names."""
    shop.deliver("customers_<img src=planted onerror=alert(9)>.csv", f'{CUSTOMERS},"{IMAGE}",{VECTOR}',
                 f'"{IMAGE}","{IMAGE}",{SCRIPT},{LINK},{VECTOR},"{FRAME}",{SHOUT},"{TEMPLATE}",=1+1,'
                 f'"{SCRIPT}",x',
                 f'"C-{VECTOR}",{SHOUT},"{FRAME}","{IMAGE}@{SCRIPT}",,,,,,,')
    shop.deliver("products.csv", PRODUCTS,
                 f'"{IMAGE}","{IMAGE}{SCRIPT}","{FRAME}","{TEMPLATE}",{VECTOR},1.00,"{SHOUT}"')
    shop.deliver("orders.csv", ORDERS, f'"{IMAGE}","{IMAGE}",2025-01-01,"{FRAME}",1.00,"{SHOUT}"',
                 f'O2,C,"{IMAGE}{SCRIPT}",,1.00,',
                 *(f"G{number},C,2025-01-02,,1.00,{VECTOR}" for number in range(9)))
    shop.deliver("order_lines.csv", LINES, f'"{IMAGE}","{IMAGE}","{IMAGE}",1,1.00,',
                 f'"{SCRIPT}","{SHOUT}","{TEMPLATE}",2,1.00,', f'L3,G1,{VECTOR},"{IMAGE}{TEMPLATE}",1.00,')
    shop.deliver("payments.csv", PAYMENTS, f'"{IMAGE}","{SCRIPT}",,"{FRAME}","{SHOUT}",1.00', f'"{VECTOR}"')
    shop.deliver(f"{VECTOR.replace('/', ' ')}.csv", "a stray")


@pytest.fixture(scope="module")
def reports(tmp_path_factory, warm: WarmRuns) -> Path:
    """The reports of a run that loaded hostile text, and of one that a hostile header stopped."""
    shop = Shop(tmp_path_factory.mktemp("hostile"))
    deliver(shop)
    warm.run(shop)
    shop.deliver("orders_2.csv", f'order_id,"{IMAGE}",{VECTOR},{SCRIPT}', "1,2,3,4")
    warm.run(shop, expect=1)
    return shop.reports


def outputs_as_jupyter_shows_them(notebook: Path) -> str:
    """Return the outputs of a notebook as a page, uncleaned, as Jupyter shows a trusted one."""
    outputs = [output for cell in nbformat.read(notebook, 4).cells for output in cell.get("outputs", [])]
    shown = [output.get("data", {}).get(kind, "")
             for output in outputs for kind in ("text/html", "image/svg+xml")]
    return f"<html><head></head><body>{''.join(shown)}</body></html>"


PROBE = """<!doctype html><link rel="icon" href="data:,"><body><script>
const frames = %s.map(page => {
  const frame = document.body.appendChild(document.createElement("iframe"));
  return Object.assign(frame, {src: page});
});
onload = () => { document.body.innerHTML = "opened " + frames.length; };
</script>"""
HOOK = "<head><script>alert = parent.alert = text => console.error('alert was called: ' + text)</script>"


class Server(SimpleHTTPRequestHandler):
    """Serves pages, also as `/bare/…` without the policy that stops scripts, and records other requests."""

    def do_GET(self):
        pages = self.server.pages
        name = unquote(self.path)
        if self.path == "/probe":
            content = PROBE % json.dumps([prefix + quote(page) for page in pages for prefix in ("", "/bare")])
        elif name.removeprefix("/bare") in pages:
            content = pages[name.removeprefix("/bare")].replace("<head>", HOOK, 1)
            if name.startswith("/bare"):
                content = re.sub("<meta http-equiv=.*?>", "", content)
        else:
            self.server.other_requests.append(name)
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(content.encode())

    def log_message(self, *_):
        pass


def what_fires(pages: dict[str, str], profile: Path) -> list[str]:
    """Open pages in a browser that reaches no other host; return what scripts and data have done."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server))
    server.pages, server.other_requests = pages, []
    done = open_probe(server, profile)
    assert f"opened {2 * len(pages)}" in done.stdout
    events = [line for line in done.stderr.splitlines() if "alert was called" in line or "Uncaught" in line]
    return events + [name for name in server.other_requests if "planted" in name.lower()]


def test_hostile_text_is_inert_in_a_browser(reports: Path, tmp_path: Path):
    found = {f"/{path.relative_to(reports).as_posix()}": path for path in reports.rglob("*.*")}
    pages = {name: path.read_text(encoding="utf-8") for name, path in found.items() if path.suffix == ".html"}
    assert "".join(pages.values()).count("&lt;img src=planted onerror=alert(1)&gt;") >= 10  # shown as text
    notebooks = {name: path for name, path in found.items() if path.suffix == ".ipynb"}
    pages |= {name: outputs_as_jupyter_shows_them(path) for name, path in notebooks.items()}
    steps = ("1_raw", "2_dimensions", "3_facts", "4_gold")
    assert {"index.html", *(f"{step}{suffix}" for step in steps for suffix in (".html", ".ipynb"))} <= {
        path.name for path in found.values()}
    assert what_fires(pages, tmp_path) == []


def test_the_browser_reports_hostile_text_that_is_not_inert(tmp_path: Path):
    texts = "".join([IMAGE, SCRIPT, SHOUT, FRAME, VECTOR])
    fired = what_fires({"/planted.html": f"<html><head></head><body><p>{texts}</p></body></html>"}, tmp_path)
    assert set(re.findall(r"called: (\d)|(/planted)|(/PLANTED)", "\n".join(fired))) == {
        *((number, "", "") for number in "12356"), ("", "/planted", ""), ("", "", "/PLANTED")}
