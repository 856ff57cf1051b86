"""Frames belong to (seed, epoch, utterance): neither batch nor process changes them."""

import numpy as np
import pytest
import torch

from ssps_lib import draws
from ssps_lib.augmentation import COLUMNS, Augmentation, Bank
from ssps_lib.corpora import Corpus
from ssps_lib.positives import PositiveSampler
from ssps_lib.training import data as room
from ssps_lib.training.data import DISTORTIONS, REFERENCE, VIEWS, Data

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


class Fixed(PositiveSampler):
    """pos(i) by a table."""

    def __init__(self, table):
        self.table = torch.tensor(table)

    def sample(self, index, queue=None, uniform=None):
        return self.table[index]


def data_of(corpus, policy="none", seed=0, batch_size=2, **changes):
    generator = torch.Generator().manual_seed(0)
    noises = torch.randn(6, 2000, generator=generator)
    kinds = {"speech": (0, 2), "music": (2, 4), "noise": (4, 6)}
    bank = Bank(torch.rand(3, 50, generator=generator), noises, kinds)
    seconds = SAMPLES / 16_000
    augmentation = Augmentation(bank, policy)
    crops = (seconds, seconds / 2)
    return Data(corpus, crops, 0.1, augmentation, batch_size, seed, **changes)


@pytest.mark.parametrize("policy", ["none", "reverb+noise", "dino"])
def test_frames_do_not_depend_on_their_batch(corpus, policy):
    data = data_of(corpus, policy)
    together = data.batch(3, np.array([2, 0, 3])).views
    alone = data.batch(3, np.array([3])).views
    for both, one in zip(together, alone, strict=True):
        torch.testing.assert_close(both[2:], one)


def test_frames_are_cut_where_the_draw_says(corpus):
    index = np.array([3, 1])
    view = data_of(corpus).batch(5, index).views[0]
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
    first, other, third = (
        data_of(corpus, seed=seed).batch(epoch, index).views[0]
        for epoch, seed in ((0, 0), (1, 0), (0, 1))
    )
    assert not torch.equal(first, other) and not torch.equal(first, third)


def test_supervised_positives_are_cut_from_the_other_utterance(corpus):
    data = data_of(corpus, partner=Fixed([3, -1, 0, 0]))
    views = data.batch(0, np.array([0, 1])).views
    numbers = [(view * 32768).round().long() // 1000 for view in views]
    assert [set(row.tolist()) for row in numbers[0]] == [{0}, {1}]
    assert [set(row.tolist()) for row in numbers[1]] == [{3}, {1}]  # pos(1) is empty


def test_references_are_longer_and_clean(corpus):
    reference = data_of(corpus, "reverb+noise").batch(2, np.array([3, 2])).reference
    assert reference.shape == (2, 1600)
    start = int(draws.uniform(0, 2, np.array([3]), 1, REFERENCE)[0, 0] * (2000 - 1600 + 1))
    np.testing.assert_array_equal(
        np.round(reference[0].numpy() * 32768), corpus.audio(3)[start : start + 1600]
    )
    repeated = np.resize(corpus.audio(2), 1600)  # 700 samples are too few
    np.testing.assert_array_equal(np.round(reference[1].numpy() * 32768), repeated)


def test_references_are_distorted_where_they_are_asked_to_be(corpus):
    data = data_of(corpus, "reverb+noise", distorted_reference=True)
    batch, clean = (d.batch(2, np.array([3, 2])) for d in (data, data_of(corpus, "reverb+noise")))
    uniform = draws.uniform(0, 2, np.array([3, 2]), COLUMNS, DISTORTIONS + REFERENCE)
    expected = data.augmentation(clean.reference, torch.from_numpy(uniform))
    assert torch.equal(batch.reference, expected)
    assert not torch.equal(batch.reference, clean.reference)
    assert all(map(torch.equal, batch.views, clean.views))


def test_choices_are_uniform_numbers_of_the_utterance(corpus):
    data = data_of(corpus)
    assert torch.equal(data.choices(1, np.array([1, 2]))[1:], data.choices(1, np.array([2])))
    assert data.choices(1, np.array([1, 2])).shape == (2, 2)


def assert_same(one, other):
    assert torch.equal(one.index, other.index) and torch.equal(one.uniform, other.uniform)
    for a, b in zip([*one.views, one.reference], [*other.views, other.reference], strict=True):
        assert torch.equal(a, b)


def test_an_epoch_goes_on_at_any_mini_batch(corpus):
    data = data_of(corpus, "reverb+noise", batch_size=1)
    state = torch.get_rng_state()
    whole = list(data.batches(7))
    assert [batch.index.item() for batch in whole] == draws.permutation(0, 7, 4).tolist()
    for one, other in zip(whole[2:], data.batches(7, first=2), strict=True):
        assert_same(one, other)
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's draws change


def test_the_last_incomplete_mini_batch_is_left_out(corpus):
    assert [len(batch) for batch in data_of(corpus, batch_size=3).order(0)] == [3]


def test_workers_cut_the_same_frames(corpus, monkeypatch):
    data = data_of(corpus, "reverb+noise", partner=Fixed([3, 2, 0, 0]))
    alone = list(data.batches(1))
    loader = room.DataLoader

    def busy(*arguments, **options):
        return loader(*arguments, **options | {"num_workers": 2})

    monkeypatch.setattr(room, "DataLoader", busy)
    for one, other in zip(alone, data.batches(1), strict=True):
        assert_same(one, other)


def test_each_process_has_its_share_of_the_frames(corpus, monkeypatch):
    data = data_of(corpus, "reverb+noise", batch_size=4)
    (whole,) = data.batches(2)
    for rank in (0, 1):
        monkeypatch.setattr(
            room, "own_share", lambda n, r=rank: slice(r * n // 2, (r + 1) * n // 2)
        )
        (own,) = data.batches(2)
        rows = slice(2 * rank, 2 * rank + 2)
        assert torch.equal(own.index, whole.index) and torch.equal(own.own, whole.index[rows])
        for mine, every in zip(own.views, whole.views, strict=True):
            torch.testing.assert_close(mine, every[rows])
