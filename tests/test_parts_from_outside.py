"""An encoder, a loss, a framework and a sampler from outside, as the book shows them; a chapter."""

import math
import re
from pathlib import Path

import pytest
import torch

import ssps_lib
from ssps_lib import encoders, frameworks, positives, training

PAGE = Path(ssps_lib.__file__).parents[1] / "book" / "api" / "index.md"
TINY = {
    "corpus_options": {
        "speakers": 8, "recordings": 2, "utterances": 2, "seconds": 1.0,
        "dev_speakers": 3, "test_speakers": 4, "test_recordings": 2,
    },
    "crop": 0.5, "reference_crop": 0.8, "batch_size": 8, "epochs": 2, "average_last": 1,
    "augmentation": "none",
}  # fmt: skip


def definitions() -> str:
    """The code of the page."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    return block


@pytest.fixture
def parts():
    """The definitions of the page, known by their names during one test."""
    tables = (encoders.ENCODERS, frameworks.FRAMEWORKS, positives.SAMPLERS)
    before = [dict(table) for table in tables]
    defined = {}
    exec(definitions(), defined)
    yield defined
    for table, content in zip(tables, before, strict=True):
        table.clear()
        table.update(content)


def test_parts_from_outside_train_and_are_loaded_again(parts, tmp_path, monkeypatch):
    monkeypatch.setenv("SSPS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SSPS_RECORDS", str(tmp_path / "records"))
    own = {"encoder": "moments", "framework": "apart", "positives": "ssps-blind"}
    config = training.RunConfig(**TINY, **own, encoder_options={"dim": 8})
    run = training.run(config)
    assert run.config.name.startswith("apart-ssps-blind-")
    assert isinstance(run.encoder(), parts["Moments"]) and run.encoder().dim == 8
    assert run.metrics["coverage"].tolist() == [1.0, 1.0]
    # A blind choice among 32 utterances of 8 speakers: one in 8, not the accuracy of a sampler.
    assert run.metrics["speaker_accuracy"].mean() < 0.4
    assert 0 <= run.eer <= 100
    assert training.run(config).record == run.record


def test_the_loss_is_that_of_a_loop_by_hand(parts):
    angles, turned = torch.tensor([0.0, 1.0, 2.5]), torch.tensor([0.2, 1.3, 2.4])
    z, z_pos = (3 * torch.stack([a.cos(), a.sin()], dim=1) for a in (angles, turned))
    alignment = sum(2 - 2 * math.cos(a - b) for a, b in ((0, 0.2), (1, 1.3), (2.5, 2.4))) / 3
    pairs = [(0, 1), (0, 2.5), (1, 2.5)]
    spread = math.log(sum(math.exp(-2 * (2 - 2 * math.cos(a - b))) for a, b in pairs) / 3)
    assert float(parts["apart"](z, z_pos)) == pytest.approx(alignment + spread, rel=1e-5)


def test_a_chapter_is_one_notebook_and_one_line(tmp_path, monkeypatch):
    """It has the parts of the page in a cell, trains with them, and is fit to be stored."""
    execute = pytest.importorskip("execute")
    nbformat = pytest.importorskip("nbformat")
    code = [
        "seed: int = 1  # seed of every draw",
        "from ssps_book import notebook\nfrom ssps_lib import training\n\n"
        "notebook.check(globals())",
        definitions(),
        f"config = training.RunConfig(\n    **{TINY},\n".replace(", '", ",\n    '")
        + '    encoder="moments", framework="apart", positives="ssps-blind", seed=seed,\n)\n'
        "print(training.run(config).config.name[:17])",
    ]
    cells = [nbformat.v4.new_code_cell(source) for source in code]
    cells[0].metadata["tags"] = ["parameters"]
    heading = nbformat.v4.new_markdown_cell("# 1. A chapter from outside")
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    chapter = nbformat.v4.new_notebook(cells=[heading, *cells], metadata={"kernelspec": kernel})
    nbformat.write(chapter, tmp_path / "01_outside.ipynb")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: 01_outside\nchapters: []\n")
    monkeypatch.setenv("SSPS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(execute, "BOOK", tmp_path)
    assert execute.main([]) == 0
    stored = nbformat.read(tmp_path / "01_outside.ipynb", as_version=4)
    assert stored.cells[-1].outputs[0].text == "apart-ssps-blind-\n"


def test_nothing_is_left_behind():
    assert "moments" not in encoders.ENCODERS and "ssps-blind" not in positives.SAMPLERS
