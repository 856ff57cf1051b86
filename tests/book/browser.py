"""A headless browser for the tests: it walks through pages of a folder and tells what it saw."""

import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
REQUIRED = bool(os.environ.get("SSPS_REQUIRE_BROWSER"))
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-background-timer-throttling", "--disable-renderer-backgrounding"),
    *("--window-size=1300,2000", "--remote-debugging-port=0"),
]
WALK = Path(__file__).with_name("walk.js")
# A page of the book may load what its own site serves, and nothing else.
POLICY = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'"
# As if the reader had switched scripts off: none on the page runs.
NO_SCRIPTS = "default-src 'self' data: 'unsafe-inline'; script-src 'none'"
# Writes what goes wrong into an attribute of the page.
WITNESS = """<script>
const seen = [];
const note = (text) => {
  seen.push(text);
  document.documentElement.setAttribute("data-faults", JSON.stringify(seen));
};
addEventListener("securitypolicyviolation", (e) => note("asks for " + e.blockedURI));
const failed = (e) => note("fails on " + (e.target.src || e.target.href || e.message));
addEventListener("error", failed, true);
addEventListener("unhandledrejection", (e) => note("rejects " + e.reason));
const complain = console.error;
console.error = (...words) => { note("console: " + words.join(" ")); complain(...words); };
</script>"""


def axe() -> Path | None:
    """axe-core's script, from the package that carries it; None if that is not installed."""
    found = find_spec("axe_core_python")
    return Path(found.origin).with_name("axe.min.js") if found else None


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, adds policy and witness to each page, and takes the walk's reports."""

    def __init__(self, *arguments, steps: list, reports: queue.Queue, **options) -> None:
        self.steps, self.reports = steps, reports
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/walk":
            script = f"const STEPS = {json.dumps(self.steps)};\n{WALK.read_text()}"
            return self._send(f"<!doctype html><body><script>{script}</script>".encode())
        if path == "/axe.js" and axe():
            return self._send(axe().read_bytes(), "text/javascript")
        if not path.endswith(".html") or not Path(self.translate_path(path)).is_file():
            return super().do_GET()
        page = Path(self.translate_path(path)).read_text(encoding="utf-8")
        policy = NO_SCRIPTS if "no-scripts" in query else POLICY
        self._send(page.replace("<head>", "<head>" + WITNESS, 1).encode(), policy=policy)

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.reports.put(json.loads(self.rfile.read(length)))
        self._send(b"")

    def _send(self, body: bytes, kind: str = "text/html; charset=utf-8", policy: str = "") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if policy:
            self.send_header("Content-Security-Policy", policy)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path, steps: list) -> Iterator[tuple[str, queue.Queue]]:
    """The address of a folder and the reports of a walk, for as long as the block lasts."""
    reports: queue.Queue = queue.Queue()
    handler = partial(Handler, directory=str(folder), steps=steps, reports=reports)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", reports
    finally:
        server.shutdown()
        server.server_close()


def walk(folder: Path, steps: list[dict], profile: Path, patience: float = 120) -> list[dict]:
    """What the browser reports of each step, in order.

    Args:
        folder: the site.
        steps: each has a `page`, relative to the folder and with a query if wanted, and `do`, the
            body of an asynchronous function of `view` in JavaScript that returns the report.
        profile: an empty folder for the browser.
        patience: seconds to wait for one step.

    Raises:
        AssertionError: a step failed, with its page and the error, or nothing came.
    """
    assert BROWSER, "SSPS_REQUIRE_BROWSER is set and there is no Chromium: install it"
    with served(folder, steps) as (site, reports):
        command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", f"{site}/walk"]
        log = profile.with_suffix(".log").open("w")
        started = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            found = [_report(reports, step, patience) for step in steps]
        finally:
            started.terminate()
            started.wait(30)
            log.close()
    return found


def _report(reports: queue.Queue, step: dict, patience: float) -> dict:
    try:
        report = reports.get(timeout=patience)
    except queue.Empty:
        raise AssertionError(f"no report of {step['page']} within {patience:g} seconds") from None
    assert "failed" not in report, f"{step['page']}: {report['failed']}"
    return report["result"]
