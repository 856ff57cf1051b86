"""Real voices, where they are at hand: from a folder over simulated sessions to a trained run."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from ssps_lib import scorer
from ssps_lib.corpora import open_corpus
from ssps_lib.corpora.audio import read_audio
from ssps_lib.corpora.layouts import read_splits
from ssps_lib.training import RunConfig, run

DATA = Path(__file__).parents[3] / "shared" / "data"
SPEECH, LIBRISPEECH = DATA / "speechocean762", DATA / "librispeech-mini"
OPTIONS = {"sessions": "simulated", "channel": 0.5}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSPS_HOME", str(folder))
        patch.setenv("SSPS_RECORDS", str(folder / "records"))
        yield folder


@pytest.fixture(scope="module")
def speakers(home):
    """Links to 16 training and 4 test speakers, with the corpus's own lists cut down to them."""
    if not SPEECH.is_dir():
        pytest.skip(f"real speech is not at {SPEECH}")
    root = home / "speech"
    root.mkdir()
    for name, count in (("train", 16), ("test", 4)):
        head, *rows = (SPEECH / f"{name}.csv").read_text().splitlines()
        chosen = sorted({row.split(",")[1] for row in rows})[:count]
        rows = [row for row in rows if row.split(",")[1] in chosen]
        rows = [row for i, row in enumerate(rows) if i % 5 == 0]  # one of each block
        (root / f"{name}.csv").write_text("\n".join([head, *rows]))
        for speaker in chosen:
            os.symlink(SPEECH / speaker, root / speaker)
    return root


def test_twenty_speakers_with_simulated_sessions(speakers):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        splits = open_corpus(str(speakers), **OPTIONS)
    tested = (speakers / "test.csv").read_text().splitlines()[1:]
    assert {key.split("/")[0] for key in splits.test.keys} == {r.split(",")[1] for r in tested}
    assert len(splits.train) + len(splits.dev) == 64 and len(splits.test) == 16
    assert splits.train.lengths.min() >= 1.5 * 16_000
    assert len(set(splits.test.recordings.tolist())) == 16
    level = np.sqrt(np.mean((splits.train.samples.astype(float) / 32768) ** 2))
    assert 0.1 < level < 0.25  # the loudness that `record` gives


def test_a_few_steps_of_training_on_them(speakers):
    """SSL, then SSPS, and the score that the record holds is that of the trained encoder."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ssl = RunConfig(
        corpus=str(speakers), corpus_options=OPTIONS, crop=0.7, reference_crop=1.0, epochs=1,
        encoder_options={"channels": 16, "dim": 16, "attention": 8, "se": 8}, batch_size=16,
        augmentation="none", average_last=1,
    )  # fmt: skip
    chosen = {"positives": "ssps-clustering", "clusters": 12, "window": 1}
    found = run(ssl.with_(**chosen, start_from=ssl))
    splits = open_corpus(str(speakers), **OPTIONS)
    embeddings = scorer.embed(found.encoder(), splits.test)
    scores = scorer.score(embeddings, splits.test_trials)
    torch.set_num_threads(threads)
    assert found.eer == pytest.approx(scorer.eer(scores, splits.test_trials.labels), abs=1e-3)
    assert 0 <= found.metrics["speaker_accuracy"][-1] <= 1
    steps = len(splits.train) // 16
    assert steps == 3 and np.isfinite(found.metrics["loss"]).all()


@pytest.mark.skipif(not LIBRISPEECH.is_dir(), reason=f"real speech is not at {LIBRISPEECH}")
def test_chapters_of_librispeech_are_recordings():
    """A cut of LibriSpeech with lists: 281 speakers, whose target trials all cross chapters."""
    table = read_splits(LIBRISPEECH)
    assert not table.faults and not table.misplaced
    assert len(table.entries) == 2_644 and len({entry.speaker for entry in table.entries}) == 281
    (rows,) = table.lists.values()
    assert len(rows) == 3_200
    for label, first, second in rows:
        a, b = table.entries[first], table.entries[second]
        assert label == (a.speaker == b.speaker) and a.split == b.split == "test"
        assert not label or a.recording != b.recording
        assert f"{a.speaker}-{a.recording}-" in a.file
    for entry in table.entries[:: len(table.entries) // 3]:
        samples = read_audio(LIBRISPEECH / entry.file)
        assert 0.01 < np.sqrt(np.mean(samples**2)) < 0.5
