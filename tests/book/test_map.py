"""The map of chapter 1: each part of the paper has one home, on a page that exists."""

import re

import nbformat
import pytest

import beside
import execute
import results
from execute import BOOK

ROOT = BOOK.parent
ROMAN = ("I", "II", "III", "IV", "V")
PARTS = {
    *("I", "II", "VI"),
    *(f"II-{letter}" for letter in "ABCDE"),
    *(f"III-{letter}" for letter in "ABCDE"),
    *(f"IV-{letter}" for letter in "ABCDE"),
    *(f"V-{letter}" for letter in "ABCDEF"),
    *(f"Algorithm {number}" for number in (1, 2)),
    *(f"Table {number}" for number in ROMAN),
    *(f"Figure {number}" for number in range(1, 9)),
}
ROW = re.compile(r"^\| (.+?) \| .+? \| \{ref\}`chapter (\d+) <([\w-]+)>` \|$", re.M)


@pytest.fixture(scope="module")
def rows():
    """Parts of the paper, number of the chapter, and label, for each line of the map."""
    cells = nbformat.read(BOOK / "01_introduction.ipynb", as_version=4).cells
    (text,) = [c.source for c in cells if c.source.startswith("(sec-map)=")]
    return [(parts.split(", "), int(number), label) for parts, number, label in ROW.findall(text)]


def test_each_part_of_the_paper_has_one_home(rows):
    assert sorted(part for parts, _, _ in rows for part in parts) == sorted(PARTS)


def test_each_home_is_on_the_page_that_the_map_names(rows):
    pages = {page.stem[:2]: page for page in BOOK.glob(execute.CHAPTERS)}
    for parts, number, label in rows:
        page = nbformat.read(pages[f"{number:02d}"], as_version=4)
        assert label in beside.labels(page), f"{parts}: chapter {number} has no {label}"


def test_the_readme_leads_to_every_chapter_and_shows_the_stored_figure():
    text = (ROOT / "README.md").read_text()
    pages = {page.name for page in BOOK.glob(execute.CHAPTERS)}
    assert pages == set(re.findall(r"\(book/([0-9A]\d_\w+\.ipynb)\)", text))
    assert results.TARGET.read_text() == results.figure(), "python book/results.py"
