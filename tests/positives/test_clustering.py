import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from ssps_lib.positives import Clustering, ClusteringCentroid, Queue
from ssps_lib.positives.clustering import nearest_clusters

pytestmark = pytest.mark.rounding

N = 40


def reference(held=N, seed=0):
    generator = torch.Generator().manual_seed(seed)
    queue = Queue(N, (4,))
    index = torch.randperm(N, generator=generator)[:held]
    queue[index] = torch.randn(held, 4, generator=generator)
    return queue


def holding(indices, shape=(4,), size=None):
    queue = Queue(N, shape, size=size)
    queue[torch.as_tensor(indices)] = torch.randn(len(indices), *shape)
    return queue


def fitted(clusters=8, window=1, held=N, seed=0, kind=Clustering, **options):
    sampler = kind(clusters, window, **options)
    sampler.refresh(reference(held, seed), generator=torch.Generator().manual_seed(seed))
    return sampler


def chosen_by_hand(sampler, i, u):
    """Eq. 8-10 for one utterance, M of the window."""
    own = int(sampler.assignments[i])
    if sampler.window == 0:
        return own
    m = sampler.centroids
    others = [k for k in sampler.assignments.unique().tolist() if k not in (-1, own)]
    ranked = sorted(others, key=lambda k: -float(m[own] @ m[k]))[: sampler.window]
    return ranked[int(u * len(ranked))]


def pos_by_hand(sampler, i, u, queue):
    """Eq. 11-12 for one utterance."""
    cluster = chosen_by_hand(sampler, i, float(u[0]))
    if queue is None:
        order = range(N)
    elif sampler.candidates == "queue":
        order = [j for j in queue.indices.tolist() if j >= 0]
    else:
        order = range(N)
    s_k = [j for j in order if sampler.assignments[j] == cluster]
    if not sampler.allow_self:
        s_k = [j for j in s_k if j != i]
    if not s_k:
        return -1
    j = s_k[int(float(u[1]) * len(s_k))]
    return j if queue is None or queue.contains(torch.tensor([j])) else -1


@pytest.mark.parametrize("window", [0, 1, 3])
@pytest.mark.parametrize("candidates", ["queue", "cluster"])
@pytest.mark.parametrize("allow_self", [False, True])
@pytest.mark.parametrize("size", [None, 12])
def test_agrees_with_a_loop(window, candidates, allow_self, size):
    sampler = fitted(window=window, candidates=candidates, allow_self=allow_self)
    queue = holding(torch.randperm(N)[:30], size=size)
    every, uniform = torch.arange(N), torch.rand(N, 2)
    for q in (queue, None):
        expected = [pos_by_hand(sampler, i, uniform[i], q) for i in range(N)]
        assert sampler.sample(every, q, uniform).tolist() == expected


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 1000),
    window=st.integers(0, 5),
    clusters=st.integers(6, 20),
    held=st.integers(20, N),
    candidates=st.sampled_from(["queue", "cluster"]),
)
def test_invariants(seed, window, clusters, held, candidates):
    sampler = fitted(clusters, window, held, seed, candidates=candidates)
    torch.manual_seed(seed)
    every, uniform = torch.arange(N), torch.rand(N, 2)
    queue = holding(torch.randperm(N)[:15])
    pos = sampler.sample(every, queue, uniform)
    assert torch.equal(pos, sampler.sample(every, queue, uniform))
    found = pos >= 0
    assert not (pos == every).any()
    assert queue.contains(pos[found]).all()
    own, other = sampler.assignments[every[found]], sampler.assignments[pos[found]]
    assert (own >= 0).all() and (other >= 0).all()
    if window == 0:
        assert torch.equal(own, other)
    else:
        assert (sampler.neighbors[own] == other[:, None]).any(1).all()
        assert (sampler.neighbors != torch.arange(clusters)[:, None]).all()
    if candidates == "queue":  # empty only where no candidate is held
        cluster = sampler.choose_clusters(every, uniform[:, 0])
        for i in every[~found].tolist():
            members = (sampler.assignments == cluster[i]) & queue.contains(every)
            members[i] = False
            assert cluster[i] == -1 or not members.any()


def test_unfilled_rows_have_no_cluster_and_no_positive():
    sampler, queue = fitted(held=25), reference(25)
    absent = (queue.indices < 0).nonzero().squeeze(1)
    assert (sampler.assignments[absent] == -1).all()
    assert (sampler.sample(absent) == -1).all()
    assert (sampler.sample(torch.arange(N)) >= 0).sum() > 0
    everything = sampler.sample(torch.arange(N).repeat(20))
    assert not torch.isin(everything, absent).any()


def test_same_cluster_draws_are_uniform_over_the_others():
    sampler = fitted(clusters=3, window=0)
    i = int(sampler.assignments.bincount().argmax() == sampler.assignments.argmax())
    members = (sampler.assignments == sampler.assignments[i]).nonzero().squeeze(1).tolist()
    others = [j for j in members if j != i]
    uniform = (torch.arange(len(others)) + 0.5)[:, None].expand(-1, 2) / len(others)
    pos = sampler.sample(torch.full((len(others),), i), uniform=uniform)
    assert pos.tolist() == others


@pytest.mark.parametrize("window", [1, 3, 9])
def test_nearest_clusters_agree_with_a_loop(window):
    m = F.normalize(torch.randn(9, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    occupied = torch.tensor([True] * 7 + [False, True])
    for k, row in enumerate(nearest_clusters(m, occupied, window).tolist()):
        others = [j for j in range(9) if j != k and occupied[j]]
        assert row == sorted(others, key=lambda j: -float(m[k] @ m[j]))[: min(window, 7)]


def test_collapsed_representations_leave_every_anchor_alone():
    queue = Queue(N, (4,))
    queue[torch.arange(N)] = torch.ones(N, 4)
    sampler = Clustering(5, 1)
    sampler.refresh(queue)
    assert (sampler.sample(torch.arange(N)) == -1).all()


def test_centroids_are_retrieved():
    sampler = fitted(window=2, kind=ClusteringCentroid)
    every, uniform = torch.arange(N), torch.rand(N, 2)
    pos = sampler.sample(every, holding([0]), uniform)
    assert (pos >= 0).all()  # whatever Q' holds
    rows = sampler.retrieve(pos, holding([0]))
    for i in range(N):
        torch.testing.assert_close(
            rows[i], sampler.centroids[chosen_by_hand(sampler, i, float(uniform[i, 0]))]
        )
    keys = sampler.retrieve(pos, holding([0], shape=(2, 4)))  # MoCo's two of an utterance
    assert torch.equal(keys, rows[:, None].expand(-1, 2, -1))


def test_embeddings_are_retrieved():
    sampler, queue = fitted(), holding(range(N))
    pos = sampler.sample(torch.arange(N), queue)
    assert torch.equal(sampler.retrieve(pos, queue), queue[pos])


def test_the_generator_decides():
    a, b = fitted(seed=5), fitted(seed=5)
    assert torch.equal(a.assignments, b.assignments) and torch.equal(a.neighbors, b.neighbors)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"M=5 is not below .* K=5"):
        Clustering(5, 5)
    with pytest.raises(RuntimeError, match="refresh"):
        Clustering(3).sample(torch.tensor([0]))
    with pytest.raises(ValueError, match=r"K=30.*holds 20"):
        fitted(clusters=30, held=20)
