"""One setting gives chapters their buttons; without it no page names another site's service."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from execute import BOOK

SERVICES = ("mybinder.org", "colab.research.google.com", "github.com")
ADDRESSES = {
    "": [],
    "https://github.com/owner/name": [
        "https://mybinder.org/v2/gh/owner/name/main?urlpath=lab/tree/book/01_one.ipynb",
        "https://colab.research.google.com/github/owner/name/blob/main/book/01_one.ipynb",
        'href="https://github.com/owner/name"',
    ],
}


@pytest.mark.parametrize("url", ADDRESSES, ids=["unset", "set"])
def test_buttons_follow_the_repository(url, tmp_path):
    config = yaml.safe_load((BOOK.parent / "_config.yml").read_text())
    config["sphinx"]["local_extensions"] = {"plain_docstrings": str(BOOK / "api")}
    if url:
        config["repository"] = {"url": url, "path_to_book": "book", "branch": "main"}
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False))
    book = tmp_path / "book"
    book.mkdir()
    (book / "references.bib").touch()
    (book / "_toc.yml").write_text("format: jb-book\nroot: 01_one\n")
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    cells = [new_markdown_cell("# 1. One"), new_code_cell("1 + 1", execution_count=1)]
    chapter = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(chapter, book / "01_one.ipynb")

    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    options = ["--config", tmp_path / "_config.yml", "--path-output", tmp_path, "-W", "-n"]
    done = subprocess.run(
        [jupyter_book, "build", book, *options], cwd=BOOK.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    page = (tmp_path / "_build" / "html" / "01_one.html").read_text()
    assert [address for address in ADDRESSES[url] if address not in page] == []
    if not url:
        assert [service for service in SERVICES if service in page] == []


def test_one_place_names_the_services():
    found = (p for suffix in ("md", "py", "yml", "ipynb") for p in BOOK.rglob(f"*.{suffix}"))
    files = [*found, BOOK.parent / "README.md", BOOK.parent / "_config.yml"]
    named = {f.name for f in files if any(s in f.read_text() for s in SERVICES[:2])}
    assert named == {"launch_buttons.py"}
