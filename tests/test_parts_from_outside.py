"""An encoder, a framework and a sampler that are no part of the library, as the book shows them."""

import re
from pathlib import Path

import pytest

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


@pytest.fixture
def parts():
    """The definitions of the page, known by their names during one test."""
    tables = (encoders.ENCODERS, frameworks.FRAMEWORKS, positives.SAMPLERS)
    before = [dict(table) for table in tables]
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    defined = {}
    exec(block, defined)
    yield defined
    for table, content in zip(tables, before, strict=True):
        table.clear()
        table.update(content)


def test_parts_from_outside_train_and_are_loaded_again(parts, tmp_path, monkeypatch):
    monkeypatch.setenv("SSPS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SSPS_RECORDS", str(tmp_path / "records"))
    own = {"encoder": "moments", "framework": "plain-vicreg", "positives": "ssps-blind"}
    config = training.RunConfig(**TINY, **own, encoder_options={"dim": 8})
    run = training.run(config)
    assert run.config.name.startswith("plain-vicreg-ssps-blind-")
    assert isinstance(run.encoder(), parts["Moments"]) and run.encoder().dim == 8
    assert run.metrics["coverage"].tolist() == [1.0, 1.0]
    # A blind choice among 32 utterances of 8 speakers: one in 8, not the accuracy of a sampler.
    assert run.metrics["speaker_accuracy"].mean() < 0.4
    assert 0 <= run.eer <= 100
    assert training.run(config).record == run.record


def test_nothing_is_left_behind():
    assert "moments" not in encoders.ENCODERS and "ssps-blind" not in positives.SAMPLERS
