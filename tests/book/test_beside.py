"""A chapter executed again and the stored one: two pages that build together and differ."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import beside
import execute
from execute import BOOK

TEXT = """(sec-{0})=
# {0}. A chapter

$$x = {0}$$ (eq-{0})

Equation {{eq}}`eq-{0}`, {{numref}}`fig-{0}` and {{ref}}`sec-{0}`; also {{eq}}`eq-2`.
"""
# One pixel.
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
DRAW = "import matplotlib.pyplot as plt\nprint(f'seed {seed}')\nplt.plot([seed]);"


def chapter(number):
    """A chapter with a labelled heading, equation and figure; it prints its seed."""
    parameters = new_code_cell("seed: int = 1  # seed of every draw", execution_count=1)
    parameters.metadata["tags"] = ["parameters"]
    image = new_output("display_data", {"image/png": DOT})
    outputs = [new_output("stream", text="seed 1\n"), image]
    drawn = new_code_cell(DRAW, execution_count=2, outputs=outputs)
    figure = {"name": f"fig-{number}", "caption": f"By {{eq}}`eq-{number}`, as seen."}
    drawn.metadata["mystnb"] = {"figure": figure}
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    cells = [new_markdown_cell(TEXT.format(number)), parameters, drawn]
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A book of two chapters in the place of ours, the second executed again in a copy of it."""
    folder = tmp_path_factory.mktemp("beside")
    book = folder / "book"
    book.mkdir()
    for number, name in ((1, "01_one"), (2, "02_two")):
        nbformat.write(chapter(number), book / f"{name}.ipynb")
    (book / "_toc.yml").write_text(
        "format: jb-book\nroot: 01_one\nchapters:\n- file: 02_two\n- file: end\n"
    )
    (book / "end.md").write_text("# The end\n\nSee {eq}`eq-2` and {numref}`fig-2`.\n")
    (book / "references.bib").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "BOOK", book)
        assert execute.main(["-p", "seed", "7", "--output", str(folder / "copy")]) == 0
        untouched = yaml.safe_load((folder / "copy" / "_toc.yml").read_text())
        assert untouched["chapters"] == [{"file": "02_two"}, {"file": "end"}]
        chosen = ["--chapters", "02", "-p", "seed", "7", "--output", str(folder / "copy")]
        assert execute.main(chosen) == 0
    return folder / "copy"


def test_the_stored_chapter_follows_the_executed_one(copy):
    contents = yaml.safe_load((copy / "_toc.yml").read_text())
    names = ["02_two", "02_two_stored", "end"]
    assert [entry["file"] for entry in contents["chapters"]] == names


def test_each_page_has_its_own_outputs_and_leads_to_the_other(copy):
    new, old = (
        nbformat.read(copy / f"{name}.ipynb", as_version=4) for name in ("02_two", "02_two_stored")
    )
    assert new.cells[-1].outputs[0].text == "seed 7\n"
    assert old.cells[-1].outputs[0].text == "seed 1\n"
    assert "# 2. A chapter, as stored\n" in old.cells[0].source
    assert "Executed again, with `seed = 7`" in new.cells[0].source
    assert "(02_two_stored.ipynb)" in new.cells[0].source
    assert "(02_two.ipynb)" in old.cells[0].source


def test_labels_of_the_stored_page_are_its_own(copy):
    old = nbformat.read(copy / "02_two_stored.ipynb", as_version=4)
    assert beside.labels(old) == {"sec-2-stored", "eq-2-stored", "fig-2-stored"}
    assert "{eq}`eq-2-stored`, {numref}`fig-2-stored`" in old.cells[0].source
    assert old.cells[-1].metadata.mystnb.figure.caption == "By {eq}`eq-2-stored`, as seen."


def test_the_copy_builds_without_a_warning(copy):
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    command = [jupyter_book, "build", copy, "--config", "_config.yml", "--path-output", copy.parent]
    done = subprocess.run(
        [*command, "-W", "-n", "--keep-going"], cwd=BOOK.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    html = copy.parent / "_build" / "html"
    assert 'href="02_two_stored.html"' in (html / "02_two.html").read_text()
    assert "seed 7" in (html / "02_two.html").read_text()
    assert "seed 1" in (html / "02_two_stored.html").read_text()
    assert 'href="02_two.html#eq-2"' in (html / "end.html").read_text().replace("equation-", "")


@pytest.mark.parametrize("path", sorted(BOOK.glob(execute.CHAPTERS)), ids=lambda p: p.stem)
def test_every_chapter_can_be_placed_beside_itself(path, tmp_path):
    target = tmp_path / path.name
    target.write_bytes(path.read_bytes())
    (tmp_path / "_toc.yml").write_bytes((BOOK / "_toc.yml").read_bytes())
    old = nbformat.read(beside.place(path, target, {}), as_version=4)
    new = nbformat.read(target, as_version=4)
    assert beside.labels(new) == beside.labels(nbformat.read(path, as_version=4))
    assert beside.labels(old) == {f"{name}-stored" for name in beside.labels(new)}
    assert [c.get("outputs") for c in old.cells] == [c.get("outputs") for c in new.cells]
