"""Reads a label in headless Chromium, through zarrita, as web viewers do.

Shards are read in ranges of bytes, which Python's own handler does not serve.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

HERE = Path(__file__).parent / "browser"
BUNDLE = HERE / "out" / "reader.js"
WAIT_S = 60


class _Handler(SimpleHTTPRequestHandler):
    """Serves a folder, the page and the job; keeps what the page reports."""

    def __init__(self, *args, job, report, done, folder, ranges, **kwargs):
        self.job, self.report, self.done, self.ranges = job, report, done, ranges
        super().__init__(*args, directory=str(folder), **kwargs)

    def do_GET(self):
        pages = {"/": HERE / "index.html", "/reader.js": BUNDLE}
        if self.path in pages:
            kind = "text/javascript" if self.path.endswith("js") else "text/html"
            self._send(pages[self.path].read_bytes(), kind)
        elif self.path == "/job.json":
            self._send(json.dumps(self.job).encode(), "application/json")
        else:
            self.path = self.path.removeprefix("/data")
            if "Range" in self.headers:
                self._send_range(self.headers["Range"])
            else:
                super().do_GET()

    def do_HEAD(self):
        self.path = self.path.removeprefix("/data")
        super().do_HEAD()

    def do_POST(self):
        self.report.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._send(b"", "text/plain")
        self.done.set()

    def _send_range(self, asked):
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        self.ranges.append(asked)
        content = path.read_bytes()
        first, last = re.fullmatch(r"bytes=(\d*)-(\d*)", asked).groups()
        start = int(first) if first else len(content) - int(last)
        stop = int(last) + 1 if first and last else len(content)
        part = content[start:stop]
        said = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        self._send(part, "application/octet-stream", 206, {"Content-Range": said})

    def _send(self, content, kind, status=200, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


def require_browser() -> str:
    """Return the browser, or skip the test saying what is missing."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs chromium; scripts/install-viewers brings it")
    if not BUNDLE.exists():
        pytest.skip("needs the bundled reader; scripts/install-viewers makes it")
    return browser


def read_in_browser(folder: Path, store: str, label: str, places: list) -> dict:
    """Return what a browser finds of a label at places (y, x) in µm, level by level.

    Under ``ranges`` is how many ranges of bytes it asked for.
    """
    return _reported({"store": store, "label": label, "places": list(map(list, places))}, folder)


def images_in_browser(folder: Path, urls: list[str]) -> list[list[dict]]:
    """Return the shape and SHA-256 of each level of images at these addresses."""
    return _reported({"images": urls}, folder)["images"]


def _reported(job: dict, folder: Path) -> dict:
    """Return what the page reports of a job, for which it may ask for the files of a folder."""
    browser = require_browser()
    report, done, ranges = {}, threading.Event(), []
    handler = partial(_Handler, job=job, report=report, done=done, folder=folder, ranges=ranges)
    with _serving(handler) as port, _profile() as profile:
        child = subprocess.Popen(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--no-first-run", "--disable-background-networking", "--disable-sync",
                "--disable-component-update", f"--user-data-dir={profile}",
                "--remote-debugging-port=0", f"http://127.0.0.1:{port}/",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            assert done.wait(WAIT_S), "the browser reported nothing"
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    assert "error" not in report, report
    return report | {"ranges": len(ranges)}


def _profile() -> TemporaryDirectory:
    """Return a folder for the browser, whose last helpers may still write as it is removed."""
    return TemporaryDirectory(ignore_cleanup_errors=True)


@contextmanager
def _serving(handler):
    """Serve on a free port of the loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
