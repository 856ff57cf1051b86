"""Error rates by collection: the trials of each, and all of them together."""

import numpy as np
import pytest
import torch

from ssps_book import real
from ssps_lib import scorer
from ssps_lib.corpora import Corpus, Splits, Trials, make_trials


@pytest.fixture
def splits():
    """Two collections of six speakers x three recordings of noise as loud as the speaker."""
    draw = np.random.default_rng(0)
    names = [f"{name}-{i:04d}" for name in ("cv", "gsc") for i in range(6)]
    speakers = np.repeat(np.arange(12), 3)
    loud = np.repeat(draw.uniform(100, 10_000, 12), 3) * draw.uniform(0.7, 1.4, 36)
    samples = (draw.normal(size=(36, 800)) * loud[:, None]).clip(-32768, 32767).astype(np.int16)
    corpus = Corpus(
        "two collections",
        samples.ravel(),
        np.arange(37) * 800,
        speakers,
        np.arange(36),
        np.array([f"{names[s]}/p0{i % 3}/00" for i, s in enumerate(speakers)]),
    )
    half = np.arange(18)
    halves = [make_trials(speakers[rows], rows, 2, seed=0) for rows in (half, half + 18)]
    trials = Trials(
        np.concatenate([one.labels for one in halves]),
        np.concatenate([one.first + start for one, start in zip(halves, (0, 18), strict=True)]),
        np.concatenate([one.second + start for one, start in zip(halves, (0, 18), strict=True)]),
    )
    return Splits(corpus, corpus, corpus, trials, trials)


def loudness(waveform):
    level = waveform.std(dim=1).log()
    return torch.stack([level.cos(), level.sin()], dim=1)


def test_rates_are_those_of_the_trials_of_each_collection(splits):
    found = real.rates(loudness, splits)
    cosines = scorer.score(scorer.embed(loudness, splits.test), splits.test_trials)
    labels, half = splits.test_trials.labels, len(cosines) // 2
    assert list(found) == ["all", "cv", "gsc"]
    for name, rows in (("all", slice(None)), ("cv", slice(half)), ("gsc", slice(half, None))):
        assert found[name]["eer"] == scorer.eer(cosines[rows], labels[rows])
        assert found[name]["trials"] == len(labels[rows])
        assert found[name]["low"] <= found[name]["eer"] <= found[name]["high"]
    assert found["cv"]["eer"] != found["gsc"]["eer"]


def test_what_belongs_to_no_collection_is_scored_once(splits):
    splits.test.keys = np.array([key.replace("-", "_") for key in splits.test.keys])
    assert list(real.rates(loudness, splits)) == ["all"]
