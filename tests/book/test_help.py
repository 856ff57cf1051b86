"""What a chapter can be asked: papermill explains every parameter, and refuses what is none."""

import subprocess
import sys
from pathlib import Path

import pytest

import execute
from execute import BOOK

CHAPTERS = sorted(BOOK.glob(execute.CHAPTERS))
TYPES = {"str", "int", "float", "bool"}


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_every_parameter_has_type_default_and_help(chapter):
    """What `papermill --help-notebook` prints is made from these."""
    known = execute.declared(chapter)
    assert {"preset", "seed"} <= set(known)
    for name, parameter in known.items():
        assert parameter["inferred_type_name"] in TYPES, name
        assert parameter["default"], name
        assert len(parameter["help"].split()) >= 3, f"{name}: {parameter['help']!r}"


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
