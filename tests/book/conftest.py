"""What the tests of the book share: its chapters and one strict build of its pages."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from execute import BOOK


@dataclass(frozen=True)
class Build:
    """A build of the book: exit status, everything it printed, and its pages."""

    status: int
    log: str
    html: Path

    @property
    def pages(self) -> list[Path]:
        """Pages with an article, those of the API too; not search, indexes and old addresses."""
        apart = {self.html / name for name in ("index.html", "search.html", "genindex.html")}
        found = (page for page in sorted(self.html.rglob("*.html")) if page not in apart)
        return [page for page in found if "_static" not in page.parts and article(page)]


def article(page: Path) -> bool:
    """Whether a page is one to read, and not an old address."""
    return 'http-equiv="refresh"' not in page.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def build(tmp_path_factory) -> Build:
    """The stored chapters, built as `make html` builds them, once for all workers of a session."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    target = folder / "html"
    done = target / "done.json"
    with FileLock(folder / "html.lock"):
        if not done.exists():
            done.write_text(json.dumps(_build(target)))
    return Build(*json.loads(done.read_text()), target / "_build" / "html")


def _build(target: Path) -> tuple[int, str]:
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    options = ["-W", "-n", "--keep-going", "--path-output", target]
    command = [jupyter_book, "build", "book", "--config", "_config.yml", *options]
    target.mkdir()
    done = subprocess.run(command, cwd=BOOK.parent, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr
