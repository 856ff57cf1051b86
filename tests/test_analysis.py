import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import normalized_mutual_info_score

from ssps_lib import analysis
from ssps_lib.positives.kmeans import kmeans


def random_positives(seed, n=40, batch=25):
    rng = np.random.default_rng(seed)
    recordings = rng.integers(12, size=n)
    speakers = recordings // 3
    index = torch.from_numpy(rng.integers(n, size=batch))
    pos = torch.from_numpy(rng.integers(-1, n, size=batch))
    pos[rng.random(batch) < 0.3] = -1
    return speakers, recordings, index, pos


def test_observer_counts_like_a_loop_over_batches():
    speakers, recordings, *_ = random_positives(0)
    observer = analysis.PositiveObserver(speakers, recordings)
    seen, sampled, same_speaker, same_recording = 0, 0, 0, 0
    for seed in range(3):
        _, _, index, pos = random_positives(seed)
        observer.update(index, pos)
        for i, p in zip(index.tolist(), pos.tolist(), strict=True):
            seen += 1
            if p >= 0:
                sampled += 1
                same_speaker += speakers[i] == speakers[p]
                same_recording += recordings[i] == recordings[p]
    assert observer.result() == pytest.approx(
        {
            "coverage": sampled / seen,
            "speaker_accuracy": same_speaker / sampled,
            "recording_accuracy": same_recording / sampled,
        }
    )


def test_observer_sums_over_processes_before_it_divides(monkeypatch):
    speakers, recordings, *_ = random_positives(0)
    together = analysis.PositiveObserver(speakers, recordings)
    apart = [analysis.PositiveObserver(speakers, recordings) for _ in range(2)]
    for rank, observer in enumerate(apart):
        for seed in range(1 + 2 * rank):  # unequal shares
            batch = random_positives(seed + 7 * rank)[2:]
            observer.update(*batch)
            together.update(*batch)
    mean = (apart[0].sums + apart[1].sums) / 2
    monkeypatch.setattr(analysis, "all_reduce_mean", lambda _: mean)
    assert apart[0].result() == apart[1].result()
    monkeypatch.undo()
    assert apart[0].result() != together.result()
    monkeypatch.setattr(analysis, "all_reduce_mean", lambda _: mean)
    result = apart[0].result()
    monkeypatch.undo()
    assert result == pytest.approx(together.result())


def test_observer_without_positives():
    observer = analysis.PositiveObserver(np.zeros(3), np.zeros(3))
    assert np.isnan(list(observer.result().values())).all()
    observer.update(torch.tensor([0, 1]), torch.tensor([-1, -1]))
    result = observer.result()
    assert result["coverage"] == 0.0 and np.isnan(result["speaker_accuracy"])
    observer.update(torch.tensor([0]), torch.tensor([1]))
    observer.reset()
    assert np.isnan(observer.result()["coverage"])


def test_nmi_by_hand():
    u, v = np.array([0, 0, 1, 1]), torch.tensor([7, 7, 7, 3])
    h_u, h_v = np.log(2), -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    h_uv = -(0.5 * np.log(0.5) + 2 * 0.25 * np.log(0.25))
    expected = 2 * (h_u + h_v - h_uv) / (h_u + h_v)
    assert analysis.nmi(u, v) == pytest.approx(expected)
    assert analysis.nmi(v, u) == pytest.approx(expected)
    assert analysis.nmi(u, ["a", "b", "a", "b"]) == pytest.approx(0)
    assert analysis.nmi(u[:1], v[:1]) == 1


def grouped(by, scale=0.05, seed=0):
    """Representations that lie in tight groups of equal `by`."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(int(max(by)) + 1, 16, generator=generator)
    return centres[by] + scale * torch.randn(len(by), 16, generator=generator)


@pytest.mark.rounding
def test_nmi_ratio_tells_what_representations_group_by():
    recordings = torch.arange(24).repeat_interleave(5)
    speakers = recordings // 4
    generator = torch.Generator().manual_seed(0)
    by_speaker = analysis.nmi_ratio(grouped(speakers), speakers, recordings, 6, generator)
    by_recording = analysis.nmi_ratio(grouped(recordings), speakers, recordings, 24, generator)
    assert by_speaker > 1.2 > 1 > by_recording
    x = grouped(speakers, scale=1.0)
    clusters, _ = kmeans(x, 6, generator=torch.Generator().manual_seed(1))
    expected = [normalized_mutual_info_score(clusters, v) for v in (speakers, recordings)]
    ratio = analysis.nmi_ratio(x, speakers, recordings, 6, torch.Generator().manual_seed(1))
    assert ratio == pytest.approx(expected[0] / expected[1])


def cosines_by_hand(embeddings, keep):
    unit = embeddings / embeddings.norm(dim=1, keepdim=True)
    n = len(unit)
    return sorted(float(unit[a] @ unit[b]) for a in range(n) for b in range(a) if keep(a, b))


def test_similarities_equal_a_loop_over_all_pairs():
    rng = np.random.default_rng(0)
    speakers, recordings = rng.integers(5, size=30) * 10, rng.integers(9, size=30)
    speakers[0] = 70  # alone
    x = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
    cases = [
        (analysis.intra_speaker_similarity(x, speakers), lambda a, b: speakers[a] == speakers[b]),
        (
            analysis.intra_speaker_similarity(x, torch.tensor(speakers), recordings),
            lambda a, b: speakers[a] == speakers[b] and recordings[a] != recordings[b],
        ),
        (analysis.inter_speaker_similarity(x, speakers), lambda a, b: speakers[a] != speakers[b]),
    ]
    for ours, keep in cases:
        np.testing.assert_allclose(sorted(ours), cosines_by_hand(x, keep), atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6).filter(lambda s: max(s) > 1))
def test_pair_numbers_reach_every_pair_once(sizes):
    first, second = analysis._pairs(np.array(sizes), 10**6, 0)
    group = np.repeat(np.arange(len(sizes)), sizes)
    n = len(group)
    expected = {(a, b) for a in range(n) for b in range(a) if group[a] == group[b]}
    assert len(first) == len(expected)
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == expected


def test_subsamples_are_distinct_reproducible_and_representative():
    sizes = np.array([400, 1, 90])
    first, second = analysis._pairs(sizes, 5000, seed=3)
    again = analysis._pairs(sizes, 5000, seed=3)
    assert (first == again[0]).all() and (second == again[1]).all()
    assert len(set(zip(first.tolist(), second.tolist(), strict=True))) == 5000
    assert (first > second).all()
    large = 400 * 399 / (400 * 399 + 90 * 89)
    assert abs(np.mean(first < 400) - large) < 0.02
    assert abs(np.mean(first[first < 400]) - 2 / 3 * 400) < 6  # mean of the larger of two
    huge, _ = analysis._pairs(np.array([1_092_009]), 1000, seed=0)
    assert huge.max() < 1_092_009 and huge.min() >= 1


def test_there_may_be_no_pair():
    x = torch.eye(3)
    assert len(analysis.intra_speaker_similarity(x, [0, 1, 2])) == 0
    assert len(analysis.intra_speaker_similarity(x, [0, 0, 1], [4, 4, 5])) == 0
    assert len(analysis.inter_speaker_similarity(x, [1, 1, 1])) == 0


@pytest.mark.rounding
def test_tsne_keeps_speakers_together():
    speakers = torch.arange(4).repeat_interleave(8)
    x = grouped(speakers, scale=0.1)
    ours = analysis.tsne(x, seed=0)
    assert ours.shape == (32, 2) and np.isfinite(ours).all()
    distance = np.linalg.norm(ours[:, None] - ours[None], axis=2) + 1e9 * np.eye(32)
    nearest = speakers[distance.argmin(1)]
    assert (nearest == speakers).all()
    np.testing.assert_allclose(ours, analysis.tsne(x, seed=0))


def test_nmi_ratio_of_collapsed_representations_is_undefined():
    groups = np.arange(8)
    assert np.isnan(analysis.nmi_ratio(torch.ones(8, 4), groups // 4, groups // 2, 2))
