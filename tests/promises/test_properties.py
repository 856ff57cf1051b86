"""Whatever is valid keeps the invariants, and whatever is not never gives a number.

Comparisons with loops by hand are beside the rooms: `test_scorer`, `positives/`, `corpora/`.
"""

from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssps_lib import scorer
from ssps_lib.corpora import Corpus, Trials, read_packed, write_packed
from ssps_lib.positives import Clustering, NearestNeighbors, Queue, Supervised
from ssps_lib.positives.kmeans import kmeans

quick = settings(max_examples=25, deadline=None)
N = 24


def random_rows(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# -- scorer -----------------------------------------------------------------------------------


@st.composite
def trials(draw):
    """Scores with ties and labels of both classes."""
    labels = draw(st.lists(st.sampled_from([0, 1]), min_size=2, max_size=20))
    labels[:2] = [0, 1]
    scores = draw(st.lists(st.integers(-8, 8), min_size=len(labels), max_size=len(labels)))
    return np.array(scores) / 8, np.array(labels)


@quick
@given(trials())
def test_rates_lie_where_rates_can_lie(given_trials):
    scores, labels = given_trials
    rates = scorer.error_rates(scores, labels)
    assert 0 <= rates["eer"] <= 100 and 0 <= rates["min_dcf"] <= 1
    assert scorer.eer(scores, labels, "published") >= rates["eer"] - 1e-9
    fpr, fnr, _ = scorer.det_curve(scores, labels)
    assert (np.diff(fpr) <= 0).all() and (np.diff(fnr) >= 0).all()


SPOILT = {
    "NaN": lambda s, y: (np.append(s[1:], np.nan), y),
    "too short": lambda s, y: (s[1:], y),
    "of one class": lambda s, y: (s, np.ones_like(y)),
    "of speakers": lambda s, y: (s, y + 2),
    "in a matrix": lambda s, y: (s[None], y[None]),
    "empty": lambda s, y: (s[:0], y[:0]),
}


@quick
@given(trials(), st.sampled_from(sorted(SPOILT)))
def test_no_rate_of_spoilt_trials(given_trials, how):
    spoilt = SPOILT[how](*given_trials)
    for rate in (scorer.eer, scorer.min_dcf, scorer.det_curve, scorer.error_rates):
        with pytest.raises(ValueError):
            rate(*spoilt)


@quick
@given(st.integers(0, 999), st.integers(1, 6), st.integers(1, 7))
def test_scores_are_cosines_whatever_the_block(seed, dim, block):
    z = random_rows(seed, 8, dim) + 0.1
    pairs = random_rows(seed + 1, 20, 2).mul(100).long() % 8
    first, second = pairs.T.numpy()
    with mock.patch.object(scorer, "BLOCK", block):
        ours = scorer.score(z, Trials(np.zeros(20, int), first, second))
    norms = z.norm(dim=1)
    for t, (a, b) in enumerate(pairs.tolist()):
        assert ours[t] == pytest.approx(float(z[a] @ z[b] / norms[a] / norms[b]), abs=1e-5)
    back = scorer.score(z, Trials(np.zeros(20, int), second, first))
    np.testing.assert_allclose(back, ours, atol=1e-6)


# -- k-means and samplers ---------------------------------------------------------------------


@pytest.mark.rounding
@quick
@given(st.integers(0, 999), st.integers(1, 6), st.floats(0.01, 100), st.integers(0, 4))
def test_kmeans_knows_directions_only(seed, k, factor, iterations):
    x = random_rows(seed, N, 3)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(seed))
    whole, centroids = kmeans(x, k, iterations, initial=x[:k])
    assert whole.shape == (N,) and whole.min() >= 0 and whole.max() < k
    scaled, same = kmeans(x * factor, k, iterations, initial=x[:k])
    torch.testing.assert_close(same, centroids, rtol=0, atol=1e-3)
    shuffled, _ = kmeans(x[order], k, iterations, initial=x[:k])
    for other in (scaled, shuffled[order.argsort()]):  # but for ties within rounding
        near = [torch.nn.functional.normalize(x, dim=1) * centroids[a] for a in (whole, other)]
        torch.testing.assert_close(near[0].sum(1), near[1].sum(1), rtol=0, atol=1e-3)


@quick
@given(st.integers(0, 999), st.integers(0, N - 1), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_kmeans_of_a_spoilt_row_is_refused(seed, row, value):
    x = random_rows(seed, N, 3)
    x[row, seed % 3] = value
    for iterations in (1, 5):
        with pytest.raises(ValueError, match="not finite"):
            kmeans(x, 4, iterations, generator=torch.Generator().manual_seed(seed))


@st.composite
def samplers(draw):
    """A sampler that has seen its references, its Q' of any size, and a seed of draws."""
    seed = draw(st.integers(0, 999))
    held = draw(st.integers(12, N))
    reference, positives = Queue(N, (3,)), Queue(N, (3,), size=draw(st.integers(1, N)))
    generator = torch.Generator().manual_seed(seed)
    reference[torch.randperm(N, generator=generator)[:held]] = torch.nn.functional.normalize(
        random_rows(seed, held, 3), dim=1
    )
    positives[torch.randperm(N, generator=generator)] = random_rows(seed, N, 3)
    kind = draw(st.sampled_from(["nn", "queue", "cluster", "labels"]))
    if kind == "nn":
        sampler = NearestNeighbors(draw(st.integers(1, 11)))
    elif kind == "labels":
        sampler = Supervised(np.arange(N) % 4, np.arange(N) % 12)
    else:
        sampler = Clustering(draw(st.integers(4, 12)), draw(st.integers(0, 3)), candidates=kind)
    sampler.refresh(reference, generator)
    return sampler, reference, positives, seed


@quick
@given(samplers())
def test_pseudo_positives_are_others_that_are_held(drawn):
    sampler, reference, queue, seed = drawn
    generator = torch.Generator().manual_seed(seed)
    every, uniform = torch.arange(N), torch.rand(N, 2, generator=generator)
    pos = sampler.sample(every, queue, uniform)
    assert pos.shape == (N,) and pos.dtype == torch.int64
    assert (pos >= -1).all() and (pos < N).all() and (pos != every).all()
    assert queue.contains(pos)[pos >= 0].all()
    order = torch.randperm(
        N, generator=generator
    )  # the batch does not matter, only the utterance and its numbers
    assert torch.equal(sampler.sample(every[order], queue, uniform[order]), pos[order])
    again = type(sampler)(**fresh(sampler))
    again.load_state_dict(sampler.state_dict(), reference)
    assert torch.equal(again.sample(every, queue, uniform), pos)


def fresh(sampler) -> dict:
    """What the constructor of such a sampler was given."""
    if isinstance(sampler, Supervised):
        return {"speakers": np.arange(N) % 4, "recordings": np.arange(N) % 12}
    names = ("window",) if isinstance(sampler, NearestNeighbors) else ("clusters", "window")
    given_values = {name: getattr(sampler, name) for name in names}
    return given_values | ({"candidates": sampler.candidates} if "clusters" in names else {})


# -- queues -----------------------------------------------------------------------------------


@quick
@given(
    st.integers(1, 8),
    st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=9), max_size=6),
    st.sampled_from(["index", "shape"]),
)
def test_a_queue_survives_its_disk_and_refuses_whole_batches(size, batches, fault):
    queue, other = Queue(8, (2,), size=size), Queue(8, (2,), size=size)
    for step, batch in enumerate(batches):
        queue[torch.tensor(batch)] = torch.full((len(batch), 2), float(step))
    held = queue.indices[queue.indices >= 0]
    assert len(held.unique()) == len(held) == len(queue) <= size
    other.load_state_dict({name: value.clone() for name, value in queue.state_dict().items()})
    every = torch.arange(8)
    assert torch.equal(other.contains(every), queue.contains(every))
    assert torch.equal(other[held], queue[held])
    before = {name: value.clone() for name, value in queue.state_dict().items()}
    index = torch.tensor([0, 8 if fault == "index" else 1])
    with pytest.raises((ValueError, RuntimeError)):
        queue[index] = torch.zeros(2, 3 if fault == "shape" else 2)
    for name, value in queue.state_dict().items():
        assert torch.equal(value, before[name])


# -- crops and packing ------------------------------------------------------------------------


@quick
@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=6),
    st.integers(1, 80),
    st.lists(st.floats(0, 1, exclude_max=True, width=32), min_size=1, max_size=8),
)
def test_a_crop_never_leaves_its_utterance(lengths, samples, places):
    numbers = [np.full(n, i, np.int16) for i, n in enumerate(lengths)]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    zeros = np.zeros(len(lengths), np.int64)
    keys = np.array(["k"] * len(lengths))
    corpus = Corpus("c", np.concatenate(numbers), ends, zeros, zeros, keys)
    index = np.arange(len(places)) % len(lengths)
    crops = corpus.crops(index, np.array(places), samples)
    assert (crops == index[:, None]).all()


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.lists(st.integers(-32768, 32767), min_size=1, max_size=30), min_size=1, max_size=5),
    st.integers(1, 60),
)
def test_what_is_packed_is_read_back_and_nothing_less(tmp_path_factory, audio, missing):
    folder = tmp_path_factory.mktemp("packed") / "p"
    utterances = [np.array(samples, np.int16) for samples in audio]
    keys = [f"s{i % 2}/r{i}/u" for i in range(len(audio))]
    write_packed(folder, "p", [utterances], keys)
    packed = read_packed(folder)
    assert [packed.audio(i).tolist() for i in range(len(packed))] == audio
    assert packed.keys.tolist() == keys and len(set(packed.recordings)) == len(audio)
    content = (folder / "audio.int16").read_bytes()
    for damaged in (content[: max(0, len(content) - missing)], content + bytes(missing)):
        (folder / "audio.int16").write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{len(damaged)} bytes, {len(content)} were expected"):
            read_packed(folder)
