"""The stored chapters: complete, clean, and listed."""

import re

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook, new_output

from checks import problems
from execute import BOOK
from execute import CHAPTERS as CHAPTERS_PATTERN
from ssps_book import paper

ROOT = BOOK.parent
CHAPTERS = sorted(BOOK.glob("*.ipynb"))


def stored(**changes):
    """A sound chapter of two cells, with changes to its second."""
    parameters = new_code_cell("seed: int = 1  # seed of every draw", execution_count=1)
    parameters.metadata["tags"] = ["parameters"]
    fields = {"source": "print(seed)", "execution_count": 2} | changes
    fields.setdefault("outputs", [new_output("stream", text="1\n")])
    return new_notebook(cells=[parameters, new_code_cell(**fields)])


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_stored_chapter_is_sound(chapter):
    notebook = nbformat.read(chapter, as_version=4)
    nbformat.validate(notebook)
    assert problems(notebook) == []


def test_table_of_contents_lists_every_chapter_in_order():
    contents = yaml.safe_load((BOOK / "_toc.yml").read_text())
    parts = [[entry["file"] for entry in part["chapters"]] for part in contents["parts"]]
    listed = [contents["root"], *(name for part in parts for name in part)]
    assert [name for name in listed if name[1].isdigit()] == [c.stem for c in CHAPTERS]
    assert sorted(BOOK.glob(CHAPTERS_PATTERN)) == CHAPTERS, "execute.py does not find them all"
    assert all(part["caption"] for part in contents["parts"])


def test_configuration_has_only_keys_that_jupyter_book_reads():
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    known = {"title", "author", "copyright", "only_build_toc_files", "execute", "bibtex_bibfiles"}
    assert set(config) <= known | {"parse", "html", "sphinx", "repository", "launch_buttons"}


def test_bibliography_holds_what_the_published_tables_cite():
    keys = set(re.findall(r"^@\w+\{([^,]+),", (BOOK / "references.bib").read_text(), re.M))
    assert {row.citation for row in paper.TABLE_4 if row.citation} <= keys


def test_a_sound_chapter_has_no_problem():
    assert problems(stored()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"execution_count": 3}, "not executed once each"),
        ({"outputs": []}, "no output"),
        ({"source": "x = 1  # " + 80 * "-"}, "columns where 78 fit"),
        ({"outputs": [new_output("error", ename="KeyError", evalue="7")]}, "KeyError: 7"),
        ({"outputs": [new_output("stream", text="saved /home/ann/x.pt")]}, "'/home/ann'"),
        (
            {"outputs": [new_output("display_data", {"text/html": '<img src="//a.org/b.png">'})]},
            "from another site",
        ),
        ({"metadata": {"tags": ["injected-parameters"]}}, "injected-parameters"),
        ({"metadata": {"tags": ["papermill-error-cell-tag"]}}, "error banner"),
        ({"metadata": {"papermill": {"duration": 1.0}}}, "papermill metadata"),
        ({"metadata": {"tags": ["parameters"]}}, "2 cells tagged parameters"),
    ],
)
def test_each_fault_is_found(change, message):
    assert message in "; ".join(problems(stored(**change)))


@pytest.mark.parametrize("line", ["seed = 1  # a seed", "seed: int = 1", "seed: int = 1  #"])
def test_parameter_needs_type_and_help(line):
    notebook = stored()
    notebook.cells[0].source = line
    assert "lacks a type or a help comment" in problems(notebook)[0]


def test_encoded_images_and_links_are_no_fault():
    html = '<a href="https://a.org">a</a><img src="data:image/png;base64,/home/ab/tmp/xyz=">'
    data = {"image/png": "/home/ann/AAAA", "text/html": html}
    assert problems(stored(outputs=[new_output("display_data", data)])) == []
