"""Chapters executed: at the small size, in order, sharing their runs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import execute
from execute import BOOK

CHAPTERS = sorted(path.stem for path in BOOK.glob("*.ipynb"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A fresh cache of runs and a folder for executed chapters, the same for all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSPS_HOME", str(tmp_path_factory.mktemp("home")))
        yield tmp_path_factory.mktemp("run") / "book"


def notebook_with(*sources):
    """A chapter with one parameter and one code cell for each source."""
    parameters = new_code_cell("seed: int = 1  # seed of every draw")
    parameters.metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    return new_notebook(cells=[parameters, *map(new_code_cell, sources)], metadata=kernel)


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of one chapter that prints its seed, in the place of ours."""
    folder = tmp_path / "book"
    folder.mkdir()
    monkeypatch.setattr(execute, "BOOK", folder)
    nbformat.write(notebook_with("print(f'seed {seed}')"), folder / "01_one.ipynb")
    return folder


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapter_runs_at_the_small_size(chapter, shared, capfd):
    arguments = ["--preset", "smoke", "--chapters", chapter, "--output", str(shared)]
    status = execute.main(arguments)
    assert status == 0, capfd.readouterr().err
    cells = nbformat.read(shared / f"{chapter}.ipynb", as_version=4).cells
    injected = [c for c in cells if "injected-parameters" in c.metadata.get("tags", [])]
    has = "preset" in execute.declared(BOOK / f"{chapter}.ipynb")
    assert ['preset = "smoke"' in cell.source for cell in injected] == [True] * has


def test_plain_papermill_refuses_an_unknown_parameter(tmp_path):
    chapter, out = BOOK / f"{CHAPTERS[0]}.ipynb", tmp_path / "out.ipynb"
    papermill = Path(sys.executable).with_name("papermill")
    command = [papermill, chapter, out, "-p", "preset", "smoke", "-p", "sead", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert "unknown parameter 'sead': this chapter has preset" in done.stderr


def test_plain_papermill_from_another_folder_twice_at_once_under_another_kernel(tmp_path):
    kernel = tmp_path / "jupyter" / "kernels" / "another"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Another", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    home = {"JUPYTER_PATH": str(tmp_path / "jupyter"), "SSPS_HOME": str(tmp_path / "home")}
    papermill = Path(sys.executable).with_name("papermill")
    command = [papermill, BOOK / f"{CHAPTERS[0]}.ipynb", "-k", "another", "-p", "preset", "smoke"]
    started = [
        subprocess.Popen(
            [*command[:2], f"{seed}.ipynb", *command[2:], "-p", "seed", seed], cwd=tmp_path,
            env=os.environ | home, stderr=subprocess.PIPE, text=True,
        )
        for seed in ("1", "2")
    ]  # fmt: skip
    for process, seed in zip(started, ("1", "2"), strict=True):
        errors = process.communicate()[1]
        assert process.returncode == 0, errors
        cells = nbformat.read(tmp_path / f"{seed}.ipynb", as_version=4).cells
        assert any(cell.source.endswith(f"seed = {seed}\n") for cell in cells)


def test_unknown_parameter_is_refused_before_anything_runs(book, tmp_path, capsys):
    out = tmp_path / "out"
    assert execute.main(["-p", "sead", "2", "--output", str(out)]) == 1
    message = "error: unknown parameter sead: 01_one declares seed"
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_in_place_keeps_the_default_parameters(book):
    assert execute.main([]) == 0
    cells = nbformat.read(book / "01_one.ipynb", as_version=4).cells
    assert [cell.execution_count for cell in cells] == [1, 2]
    assert cells[1].outputs[0].text == "seed 1\n"
    assert execute.problems(nbformat.read(book / "01_one.ipynb", as_version=4)) == []


def test_a_copy_shows_the_given_parameters_and_leaves_the_book_alone(book, tmp_path):
    before = (book / "01_one.ipynb").read_bytes()
    assert execute.main(["--seed", "7", "--output", str(tmp_path / "out")]) == 0
    cells = nbformat.read(tmp_path / "out" / "01_one.ipynb", as_version=4).cells
    assert [cell.execution_count for cell in cells] == [1, 2, 3]
    assert "seed = 7" in cells[1].source
    assert cells[2].outputs[0].text == "seed 7\n"
    assert (book / "01_one.ipynb").read_bytes() == before


def executed(*arguments, **environment):
    """`execute.py` in a process of its own, on a book of one chapter that takes a while."""
    script = "import sys, pathlib, execute; execute.BOOK = pathlib.Path(sys.argv.pop(1))\n"
    command = [sys.executable, "-c", f"{script}sys.exit(execute.main())", *map(str, arguments)]
    variables = os.environ | {"PYTHONPATH": str(BOOK)} | environment
    return subprocess.run(command, env=variables, capture_output=True, text=True)


def test_each_chapter_has_one_line_and_nothing_else_is_printed(book):
    nbformat.write(notebook_with("print(seed)"), book / "02_two.ipynb")
    done = executed(book)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [re.sub(r"[\d.]+ s$", "N s", line).split() for line in done.stdout.splitlines()]
    assert lines == [["1", "of", "2", "01_one", "N", "s"], ["2", "of", "2", "02_two", "N", "s"]]


def test_a_kernel_of_another_python_is_not_taken(book, tmp_path):
    """One that is found first and would fail; and no kernel is left on a port."""
    foreign = tmp_path / "jupyter" / "kernels" / "python3"
    foreign.mkdir(parents=True)
    spec = {"argv": ["false", "{connection_file}"], "display_name": "x", "language": "python"}
    (foreign / "kernel.json").write_text(json.dumps(spec))
    shown = f"import sys\nprint(sys.executable == {sys.executable!r})"
    nbformat.write(notebook_with(shown), book / "01_one.ipynb")
    done = executed(book, JUPYTER_PATH=str(tmp_path / "jupyter"))
    assert done.returncode == 0, done.stderr
    stored = nbformat.read(book / "01_one.ipynb", as_version=4)
    assert stored.cells[1].outputs[0].text == "True\n"
    assert stored.metadata.kernelspec.name == "python3"


def test_a_failing_chapter_is_told_in_one_line_and_stays_as_it_was(book, capfd):
    failing = book / "02_two.ipynb"
    nbformat.write(notebook_with("print(1)", "raise ValueError('K is 9, at most 4')"), failing)
    before = failing.read_bytes()
    assert execute.main(["--chapters", "02"]) == 1
    assert "error: 02_two.ipynb: ValueError: K is 9, at most 4\n" in capfd.readouterr().err
    assert failing.read_bytes() == before


def test_an_unsound_result_is_not_stored(book, capfd):
    unsound = book / "02_two.ipynb"
    nbformat.write(notebook_with("print('/home/ann/run')"), unsound)
    before = unsound.read_bytes()
    assert execute.main(["--chapters", "02"]) == 1
    assert "is not fit to store: cell 2: a path of one machine" in capfd.readouterr().err
    assert unsound.read_bytes() == before


def test_unknown_chapter_and_output_inside_the_book_are_refused(book, capsys):
    assert execute.main(["--chapters", "09"]) == 1
    assert "no chapter is called '09'; there are 01_one" in capsys.readouterr().err
    assert execute.main(["--output", str(book / "copy")]) == 1
    assert "lies inside the book" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("1e-3", 1e-3), ("True", True), ("None", None), ("[1]", "[1]"), ("007", "007")],
)
def test_values_are_read_as_papermill_reads_them(text, value):
    assert execute._value(text) == value
