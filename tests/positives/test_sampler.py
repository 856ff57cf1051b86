import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssps_lib import positives
from ssps_lib.positives import Queue, SameUtterance, Supervised
from ssps_lib.positives.sampler import pick

SPEAKERS = np.array([7, 7, 7, 7, 3, 3, 3, 9, 9, 7])
RECORDINGS = np.array([0, 0, 1, 2, 0, 5, 5, 4, 4, 0])


def test_same_utterance_leaves_every_anchor_its_own_positive():
    assert SameUtterance().sample(torch.tensor([2, 0])).tolist() == [-1, -1]


@pytest.mark.parametrize("across", [True, False])
def test_supervised_draws_uniformly_from_what_a_loop_allows(across):
    sampler = Supervised(SPEAKERS, RECORDINGS if across else None)
    for i in range(len(SPEAKERS)):
        own = RECORDINGS[i] == RECORDINGS if across else np.arange(len(SPEAKERS)) == i
        allowed = np.flatnonzero((SPEAKERS[i] == SPEAKERS) & ~own).tolist()
        draws = max(1, len(allowed))
        uniform = torch.stack([torch.zeros(draws), (torch.arange(draws) + 0.5) / draws], 1)
        pos = sampler.sample(torch.full((draws,), i), uniform=uniform)
        assert sorted(pos.tolist()) == (allowed or [-1])


def test_supervised_respects_the_queue():
    queue = Queue(10, (1,))
    queue[torch.tensor([4])] = torch.zeros(1, 1)
    sampler = Supervised(SPEAKERS, RECORDINGS)
    assert sampler.sample(torch.tensor([5, 0]), queue).tolist() == [4, -1]


@given(st.floats(0, 1, exclude_max=True, width=32), st.integers(0, 10**7))
def test_pick_stays_below_the_count(uniform, count):
    assert 0 <= pick(torch.tensor([uniform]), count).item() <= max(0, count - 1)


def test_build_knows_all_names_and_names_them():
    assert isinstance(positives.build("ssl"), SameUtterance)
    assert positives.build("ssps-nn", window=3).window == 3
    assert positives.build("ssps-clustering-c", clusters=9).clusters == 9
    with pytest.raises(ValueError, match=r"'knn'.*ssps-clustering-c"):
        positives.build("knn")
