"""Every page in a headless browser: formulas typeset, images there, no request off the site."""

import json
import os
import re
import shutil
import subprocess
import threading
from contextlib import contextmanager
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--virtual-time-budget=8000", "--window-size=1300,20000", "--dump-dom"),
]
# A page of the book may load what its own site serves, and nothing else.
POLICY = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'"
# Writes what goes wrong into an attribute that the dumped page shows.
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
</script>"""

if BROWSER is None and not os.environ.get("SSPS_REQUIRE_BROWSER"):
    pytest.skip("no Chromium on this machine, so pages were not looked at", allow_module_level=True)


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, with the policy and the witness added to each page."""

    def do_GET(self) -> None:
        if not self.path.endswith(".html"):
            return super().do_GET()
        page = Path(self.translate_path(self.path)).read_text(encoding="utf-8")
        body = page.replace("<head>", "<head>" + WITNESS, 1).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        """Say nothing."""


@contextmanager
def served(folder):
    """The address of a folder, for as long as the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def seen(address: str, profile) -> str:
    """The page as the browser has it after running its scripts."""
    assert BROWSER, "SSPS_REQUIRE_BROWSER is set and there is no Chromium: install it"
    command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", address]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def faults(source: str, dumped: str) -> list[str]:
    """What a reader would miss on a page, given its source and what the browser made of it."""
    article = re.search(r"<article.*?</article>", dumped, re.S)
    if article is None:
        return ["has no article"]
    article, found = article[0], []
    formulas = len(re.findall(r'class="[^"]*\bmath notranslate', source))
    typeset = article.count("<mjx-container")
    if formulas != typeset:
        found.append(f"{typeset} of {formulas} formulas are typeset")
    found += [f"formula error: {m}" for m in re.findall(r'data-mjx-error="([^"]*)"', article)]
    if re.search(r'fill="red"|color: red', article):
        found.append("a formula uses an undefined macro")
    noted = re.search(r'data-faults="([^"]*)"', dumped)
    return found + (json.loads(unescape(noted[1])) if noted else [])


def test_every_page_is_as_it_should_be(build, tmp_path):
    found = {}
    with served(build.html) as site:
        for page in build.pages:
            name = page.relative_to(build.html).as_posix()
            dumped = seen(f"{site}/{name}", tmp_path / "profile")
            found[name] = faults(page.read_text(encoding="utf-8"), dumped)
    assert found
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_each_fault_is_seen(build, tmp_path):
    """A real page of the book, spoilt in five ways."""
    page = build.pages[0]
    spoilt = page.with_name("spoilt.html")
    formulas = [r"\(\left( x\)", r"\(\nosuch\)", r"\({x\)"]
    spans = "".join(f'<span class="math notranslate nohighlight">{f}</span>' for f in formulas)
    assets = '<img src="gone.png"><img src="http://other.example/a.png">'
    html = page.read_text(encoding="utf-8").replace("</article>", f"{spans}{assets}</article>", 1)
    spoilt.write_text(html, encoding="utf-8")
    try:
        with served(build.html) as site:
            wrong = "; ".join(faults(html, seen(f"{site}/spoilt.html", tmp_path / "profile")))
    finally:
        spoilt.unlink()
    assert "formulas are typeset" in wrong
    assert "formula error" in wrong
    assert "undefined macro" in wrong
    assert "gone.png" in wrong
    assert "asks for http://other.example/a.png" in wrong
