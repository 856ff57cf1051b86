import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import ssps_lib.positives.nearest_neighbors as module
from ssps_lib.positives import NearestNeighbors, Queue

pytestmark = pytest.mark.rounding


def reference(n=30, held=24, seed=0):
    generator = torch.Generator().manual_seed(seed)
    queue = Queue(n, (4,), size=held)
    index = torch.randperm(n, generator=generator)[:held]
    queue[index] = F.normalize(torch.randn(held, 4, generator=generator), dim=1)
    return queue, index


def by_hand(queue, index, i, window):
    """Eq. 6: all held utterances but i, closest first."""
    query = queue[torch.tensor([i])]
    others = [j for j in index.tolist() if j != i]
    return sorted(others, key=lambda j: -F.cosine_similarity(query, queue[torch.tensor([j])]))[
        :window
    ]


@pytest.mark.parametrize("block", [1, 3, 7, 1000])
def test_draws_each_of_the_neighbours_a_loop_finds(block, monkeypatch):
    monkeypatch.setattr(
        module, "blocks", lambda n, k, d: (slice(a, min(a + block, n)) for a in range(0, n, block))
    )
    queue, index = reference()
    sampler = NearestNeighbors(window=5)
    sampler.refresh(queue)
    uniform = torch.stack([torch.zeros(5), (torch.arange(5) + 0.5) / 5], 1)
    for i in index.tolist():
        pos = sampler.sample(torch.full((5,), i), uniform=uniform)
        assert pos.tolist() == by_hand(queue, index, i, 5)


@settings(deadline=None)
@given(st.integers(0, 100), st.integers(1, 20))
def test_never_the_anchor_and_empty_only_where_nothing_is_held(seed, window):
    queue, _ = reference(seed=seed)
    sampler = NearestNeighbors(window)
    sampler.refresh(queue)
    every = torch.arange(30)
    uniform = torch.rand(30, 2)
    pos = sampler.sample(every, uniform=uniform)
    assert not (pos == every).any()
    assert torch.equal(pos >= 0, queue.contains(every))
    assert torch.equal(pos, sampler.sample(every, uniform=uniform))


def test_falls_back_where_the_positive_queue_lacks_the_utterance():
    queue, index = reference()
    sampler, uniform = NearestNeighbors(3), torch.rand(24, 2)
    sampler.refresh(queue)
    pos = sampler.sample(index, uniform=uniform)
    positive = Queue(30, (2,))
    positive[pos[:5]] = torch.zeros(5, 2)
    restricted = sampler.sample(index, positive, uniform)
    assert torch.equal(restricted, torch.where(positive.contains(pos), pos, -1))


def test_current_representations_may_be_the_queries():
    queue, index = reference()
    sampler = NearestNeighbors(1)
    sampler.refresh(queue)
    a, b = index[:1], index[1:2]
    assert sampler.sample(a, queries=queue[b]).tolist() == b.tolist()


def test_bad_input_is_named():
    with pytest.raises(RuntimeError, match="refresh"):
        NearestNeighbors(1).sample(torch.tensor([0]))
    with pytest.raises(ValueError, match="M=24"):
        NearestNeighbors(24).refresh(reference()[0])
    with pytest.raises(ValueError, match="window"):
        NearestNeighbors(0)
    queue, index = reference()
    queue[index] = 3 * queue[index]
    with pytest.raises(ValueError, match="rows of length 3 to 3, expected 1"):
        NearestNeighbors(2).refresh(queue)
