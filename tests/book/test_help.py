"""What a chapter can be asked: papermill explains every parameter, and refuses what is none."""

import ast
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import execute
from execute import BOOK

CHAPTERS = sorted(BOOK.glob(execute.CHAPTERS))
TYPES = {"str", "int", "float", "bool"}
SAME = {  # what these names mean wherever they stand
    "preset": "str, smoke, mini or paper",
    "corpus": "str, simulated, or a folder of recordings",
    "seed": "int, seed of every draw",
    "seeds": "int, runs with consecutive seeds; 0 for those of the preset",
    "num_processes": "int, data-parallel training processes",
}


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_every_parameter_has_type_default_and_help(chapter):
    """What `papermill --help-notebook` prints is made from these."""
    for name, parameter in execute.declared(chapter).items():
        assert parameter["inferred_type_name"] in TYPES, name
        assert parameter["default"], name
        assert len(parameter["help"].split()) >= 3, f"{name}: {parameter['help']!r}"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_parameter_means_the_same_in_every_chapter_and_is_used(chapter):
    code = [c for c in nbformat.read(chapter, as_version=4).cells if c.cell_type == "code"]
    names = {node.id for cell in code for node in ast.walk(ast.parse(cell.source))
             if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}  # fmt: skip
    for name, parameter in execute.declared(chapter).items():
        assert name in names, f"{name} is declared and not used"
        told = f"{parameter['inferred_type_name']}, {parameter['help']}"
        assert told == SAME.get(name, told)


def test_help_notebook_prints_them():
    papermill = Path(sys.executable).with_name("papermill")
    command = [papermill, "--help-notebook", CHAPTERS[0]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]
    text = " ".join(done.stdout.split())
    for name, parameter in execute.declared(CHAPTERS[0]).items():
        assert f"{name}: {parameter['inferred_type_name']}" in text
        assert parameter["help"] in text


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_parameter_that_a_chapter_lacks_is_named_with_those_it_has(chapter, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--chapters", chapter.stem, "-p", "clutsers", "100", "--output", str(out)]
    assert execute.main(arguments) == 1
    message = capsys.readouterr().err
    assert f"unknown parameter clutsers: {chapter.stem} declares" in message
    assert all(name in message for name in execute.declared(chapter))
    assert not out.exists()
