"""Frames belong to (seed, epoch, utterance): neither batch nor process changes them."""

import numpy as np
import pytest
import torch

from ssps_lib import draws
from ssps_lib.augmentation import Augmentation, Bank
from ssps_lib.corpora import Corpus
from ssps_lib.training.feeder import REFERENCE, VIEWS, Feeder

LENGTHS = [900, 1200, 700, 2000]
SAMPLES = 800


@pytest.fixture
def corpus():
    """Four utterances whose samples tell utterance and position."""
    audio = [1000 * i + np.arange(n) % 1000 for i, n in enumerate(LENGTHS)]
    labels = np.arange(len(LENGTHS))
    offsets = np.concatenate([[0], np.cumsum(LENGTHS)])
    samples = np.concatenate(audio).astype(np.int16)
    return Corpus("count", samples, offsets, labels, labels, labels.astype(str))


def feeder_of(corpus, policy="none", seed=0):
    generator = torch.Generator().manual_seed(0)
    noises = torch.randn(6, 2000, generator=generator)
    kinds = {"speech": (0, 2), "music": (2, 4), "noise": (4, 6)}
    bank = Bank(torch.rand(3, 50, generator=generator), noises, kinds)
    seconds = SAMPLES / 16_000
    augmentation = Augmentation(bank, policy)
    return Feeder(corpus, (seconds, seconds / 2), 0.1, augmentation, seed, torch.device("cpu"))


@pytest.mark.parametrize("policy", ["none", "reverb+noise", "dino"])
def test_frames_do_not_depend_on_their_batch(corpus, policy):
    feeder = feeder_of(corpus, policy)
    together = feeder.views(3, np.array([2, 0, 3]))
    alone = feeder.views(3, np.array([3]))
    for both, one in zip(together, alone, strict=True):
        torch.testing.assert_close(both[2:], one)


def test_frames_are_cut_where_the_draw_says(corpus):
    index = np.array([3, 1])
    view = feeder_of(corpus).views(5, index)[0]
    assert view.shape == (2, SAMPLES)
    place = draws.uniform(0, 5, index, 1, VIEWS)[:, 0]
    for row, i, u in zip(view, index, place, strict=True):
        start = int(u * (LENGTHS[i] - SAMPLES + 1))
        expected = corpus.audio(i)[start : start + SAMPLES]
        np.testing.assert_array_equal(np.round(row.numpy() * 32768), expected)


def test_the_two_views_of_an_utterance_are_different_frames(corpus):
    index = np.full(1, 3)
    places = [draws.uniform(0, epoch, index, 1, VIEWS + v) for epoch in range(3) for v in (0, 1)]
    assert len(np.unique(places)) == 6


def test_seed_and_epoch_change_the_frames(corpus):
    index = np.array([3])
    first = feeder_of(corpus).views(0, index)[0]
    assert not torch.equal(first, feeder_of(corpus).views(1, index)[0])
    assert not torch.equal(first, feeder_of(corpus, seed=1).views(0, index)[0])


def test_supervised_positives_are_cut_from_the_other_utterance(corpus):
    index, positive = np.array([0, 1]), np.array([3, 2])
    anchors, positives = feeder_of(corpus).views(0, index, positive)
    numbers = [(view * 32768).round().long() // 1000 for view in (anchors, positives)]
    assert [set(row.tolist()) for row in numbers[0]] == [{0}, {1}]
    assert [set(row.tolist()) for row in numbers[1]] == [{3}, {2}]


def test_references_are_longer_and_clean(corpus):
    feeder = feeder_of(corpus, "reverb+noise")
    reference = feeder.reference(2, np.array([3, 2]))
    assert reference.shape == (2, 1600)
    start = int(draws.uniform(0, 2, np.array([3]), 1, REFERENCE)[0, 0] * (2000 - 1600 + 1))
    np.testing.assert_array_equal(
        np.round(reference[0].numpy() * 32768), corpus.audio(3)[start : start + 1600]
    )
    repeated = np.resize(corpus.audio(2), 1600)  # 700 samples are too few
    np.testing.assert_array_equal(np.round(reference[1].numpy() * 32768), repeated)


def test_choices_are_uniform_numbers_of_the_utterance(corpus):
    feeder = feeder_of(corpus)
    assert torch.equal(feeder.choices(1, np.array([1, 2]))[1:], feeder.choices(1, np.array([2])))
    assert feeder.choices(1, np.array([1, 2])).shape == (2, 2)


@pytest.mark.parametrize("threads", [1, 3])
def test_frames_cut_ahead_are_the_same(corpus, threads):
    index, other = np.array([2, 0, 3]), np.array([1, 3])
    feeder, plain = feeder_of(corpus, "reverb+noise"), feeder_of(corpus, "reverb+noise")
    feeder.cutter.threads = threads
    feeder.ahead(3, index, reference=True)
    feeder.ahead(3, other, reference=False)
    assert len(feeder.cutter.begun) == 5
    for batch in (index, other):
        for both in zip(feeder.views(3, batch), plain.views(3, batch), strict=True):
            assert torch.equal(*both)
        assert torch.equal(feeder.reference(3, batch), plain.reference(3, batch))
    assert not feeder.cutter.begun  # all of them were used


def test_frames_begun_for_another_epoch_or_utterance_are_not_taken(corpus):
    feeder, plain = feeder_of(corpus), feeder_of(corpus)
    for epoch in range(20):
        feeder.ahead(epoch, np.array([3]), reference=True)
    assert len(feeder.cutter.begun) == feeder.cutter.kept
    positive = np.array([1])
    for both in zip(*(f.views(30, np.array([3]), positive) for f in (feeder, plain)), strict=True):
        assert torch.equal(*both)


def test_positives_cut_ahead_are_used(corpus):
    index, positive = np.array([2, 0]), np.array([3, 1])
    feeder, plain = feeder_of(corpus), feeder_of(corpus)
    feeder.ahead(3, index, reference=False, positive=positive)
    for both in zip(*(f.views(3, index, positive) for f in (feeder, plain)), strict=True):
        assert torch.equal(*both)
    assert not feeder.cutter.begun
