"""Chromium for tests of pages: what must be installed, and what a page leaves when it is opened."""

import os
import shutil
import subprocess
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def needed(*names: str) -> str:
    """Return the path of the first of these programs; without any, skip the test, except in CI."""
    path = next(filter(None, map(shutil.which, names)), None)
    if not path and not os.environ.get("CI"):
        pytest.skip(f"{names[0]} is not installed")
    assert path, f"{names[0]} is not installed"
    return path


def open_probe(server: ThreadingHTTPServer, profile: Path, *options: str) -> subprocess.CompletedProcess:
    """Open /probe of a server in a Chromium that reaches no other host; return its page and its log."""
    with server:
        chromium = needed(*CHROMIUM)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            return subprocess.run(
                [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                 "--disable-sync", "--disable-background-networking", "--disable-component-update",
                 "--disable-dev-shm-usage", "--enable-logging=stderr",
                 "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"--user-data-dir={profile}",
                 "--virtual-time-budget=20000", *options, "--dump-dom",
                 f"http://127.0.0.1:{server.server_port}/probe"],
                capture_output=True, text=True, timeout=120)
        finally:
            server.shutdown()
