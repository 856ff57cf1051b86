"""What the tests of the book share: its chapters and one strict build of its pages."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from execute import BOOK


@dataclass(frozen=True)
class Build:
    """A build of the book: exit status, everything it printed, and its pages."""

    status: int
    log: str
    html: Path

    @property
    def pages(self) -> list[Path]:
        """The pages with an article, those of the API too; not the search and the two indexes."""
        apart = {self.html / name for name in ("index.html", "search.html", "genindex.html")}
        found = (page for page in sorted(self.html.rglob("*.html")) if page not in apart)
        return [page for page in found if "_static" not in page.parts]


@pytest.fixture(scope="session")
def build(tmp_path_factory) -> Build:
    """The stored chapters, built as `make html` builds them but into a temporary folder."""
    target = tmp_path_factory.mktemp("html")
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    options = ["-W", "-n", "--keep-going", "--path-output", str(target)]
    command = [str(jupyter_book), "build", "book", "--config", "_config.yml", *options]
    done = subprocess.run(command, cwd=BOOK.parent, capture_output=True, text=True)
    return Build(done.returncode, done.stdout + done.stderr, target / "_build" / "html")
