from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve
from torch import nn

from ssps_lib import scorer
from ssps_lib.corpora import Corpus, Trials


def points_by_hand(scores, labels):
    """(fpr, fnr) of every threshold, one trial at a time."""
    out = []
    for threshold in [*sorted(set(scores)), float("inf")]:
        misses = sum(s < threshold for s, y in zip(scores, labels, strict=True) if y)
        alarms = sum(s >= threshold for s, y in zip(scores, labels, strict=True) if not y)
        out.append((alarms / labels.count(0), misses / labels.count(1)))
    return out


def eer_by_hand(scores, labels):
    points = points_by_hand(scores, labels)
    for (fpr0, fnr0), (fpr1, fnr1) in pairwise(points):
        if fnr0 <= fpr0 and fnr1 >= fpr1:
            t = (fpr0 - fnr0) / ((fpr0 - fnr0) + (fnr1 - fpr1))
            return 100 * (fnr0 + t * (fnr1 - fnr0))
    raise AssertionError("no crossing")


def published_by_hand(scores, labels):
    closest = min(points_by_hand(scores, labels), key=lambda p: abs(p[0] - p[1]))
    return 100 * max(closest)


def dcf_by_hand(scores, labels, p, miss, alarm):
    costs = [miss * p * fnr + alarm * (1 - p) * fpr for fpr, fnr in points_by_hand(scores, labels)]
    return min(costs) / min(miss * p, alarm * (1 - p))


@st.composite
def trial_scores(draw):
    """Scores with many ties, at least one trial of each class."""
    n = draw(st.integers(2, 40))
    scores = draw(st.lists(st.integers(-6, 6), min_size=n, max_size=n))
    labels = draw(st.lists(st.integers(0, 1), min_size=n - 2, max_size=n - 2))
    return [s / 4 for s in scores], [0, 1, *labels]


@settings(max_examples=60, deadline=None)
@given(trial_scores())
def test_eer_and_dcf_equal_a_loop_over_thresholds(trials):
    scores, labels = trials
    assert scorer.eer(scores, labels) == pytest.approx(eer_by_hand(scores, labels))
    published = scorer.eer(scores, labels, convention="published")
    assert published == pytest.approx(published_by_hand(scores, labels))
    for p, miss, alarm in [(0.01, 1.0, 1.0), (0.5, 1.0, 1.0), (0.9, 2.0, 10.0), (0.2, 10.0, 1.0)]:
        ours = scorer.min_dcf(scores, labels, p, miss, alarm)
        assert ours == pytest.approx(dcf_by_hand(scores, labels, p, miss, alarm))


@settings(max_examples=60, deadline=None)
@given(trial_scores())
def test_det_curve_equals_a_loop_and_sklearn(trials):
    scores, labels = trials
    fpr, fnr, thresholds = scorer.det_curve(scores, labels)
    assert thresholds.tolist() == [*sorted(set(scores)), np.inf]
    np.testing.assert_allclose(np.stack([fpr, fnr], 1), points_by_hand(scores, labels))
    other_fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(fpr[::-1], other_fpr)
    np.testing.assert_allclose(fnr[::-1], 1 - tpr)


@settings(max_examples=60, deadline=None)
@given(trial_scores(), st.randoms(use_true_random=False))
def test_only_the_order_of_scores_matters(trials, random):
    scores, labels = trials
    expected = scorer.error_rates(scores, labels)
    stretched = [np.exp(s) * 3 - 7 for s in scores]
    assert scorer.error_rates(stretched, labels) == pytest.approx(expected)
    order = random.sample(range(len(scores)), len(scores))
    shuffled = [scores[i] for i in order], [labels[i] for i in order]
    assert scorer.error_rates(*shuffled) == pytest.approx(expected)
    flipped = scorer.eer([-s for s in scores], [1 - y for y in labels])
    assert flipped == pytest.approx(expected["eer"])
    reversed_ = scorer.eer([-s for s in scores], labels)
    assert reversed_ == pytest.approx(100 - expected["eer"])


def test_large_lists_agree_with_sklearn():
    rng = np.random.default_rng(0)
    labels = (rng.random(20_000) < 0.3).astype(int)
    scores = (rng.normal(size=20_000) + 2 * labels).round(3)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    crossing = np.argmax(fpr >= 1 - tpr)
    expected = np.interp(0, (fpr + tpr - 1)[crossing - 1 : crossing + 1], fpr[crossing - 1 :][:2])
    assert scorer.eer(scores, labels) == pytest.approx(100 * expected)
    cost = (0.01 * (1 - tpr) + 0.99 * fpr).min() / 0.01
    assert scorer.min_dcf(scores, labels) == pytest.approx(cost)
    assert scorer.error_rates(torch.tensor(scores), torch.tensor(labels)) == {
        "eer": scorer.eer(scores, labels),
        "min_dcf": scorer.min_dcf(scores, labels),
    }


def test_limits():
    labels = [1, 0, 1, 0, 0]
    for order in (labels, labels[::-1]):
        assert scorer.eer([0.3] * 5, order) == 50.0
        assert scorer.min_dcf([0.3] * 5, order) == 1.0
    assert scorer.eer([2, 1, 2, 1, 1], labels) == 0.0
    assert scorer.min_dcf([2, 1, 2, 1, 1], labels) == 0.0
    assert scorer.eer([0, 1, 0, 1, 1], labels) == 100.0
    assert scorer.eer(torch.tensor([2.0, 1.0], dtype=torch.bfloat16), torch.tensor([1, 0])) == 0.0


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("scores", "labels", "eer"),
    [
        ([INF, 1, 0, -INF], [1, 1, 0, 0], 0.0),
        ([INF, -INF], [0, 1], 100.0),
        ([INF, INF, -INF, -INF], [1, 0, 1, 0], 50.0),
        ([INF, INF], [1, 0], 50.0),
        ([INF, 0.5, 0.5, -INF, -INF], [1, 1, 0, 0, 0], 100 / 5),
    ],
)
def test_infinite_scores_are_ranks_as_any_other(scores, labels, eer):
    finite = [max(-9.0, min(9.0, s)) for s in scores]
    assert scorer.eer(scores, labels) == scorer.eer(finite, labels) == pytest.approx(eer)
    assert scorer.min_dcf(scores, labels) == scorer.min_dcf(finite, labels)
    (fpr, fnr, _), expected = scorer.det_curve(scores, labels), scorer.det_curve(finite, labels)
    assert fpr.tolist() == expected[0].tolist() and fnr.tolist() == expected[1].tolist()
    assert (fpr[0], fnr[0], fpr[-1], fnr[-1]) == (1, 0, 0, 1)
    assert scorer.bootstrap_eer(scores, labels, labels, [2] * len(labels), 9) == (
        scorer.bootstrap_eer(finite, labels, labels, [2] * len(labels), 9)
    )


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([], [], "no trial to evaluate: the trial list is empty"),
        ([0.1, 0.2], [1], r"scores \(2,\) and labels \(1,\) must be vectors of one length"),
        ([[0.1, 0.2]], [[0, 1]], r"\(1, 2\).* must be vectors of one length"),
        ([0.1, NAN, NAN], [0, 1, 1], "2 of 3 scores are NaN: .* may have diverged"),
        ([0.1, 0.2], [1, 1], "all 2 trials are targets"),
        ([0.1, 0.2], [0, 0], "all 2 trials are non-targets"),
        ([0.1, 0.2], [0, 7], "got 7: are they speaker labels"),
        ([0.1, 0.2], [1, -1], r"1 \(target\) or 0 \(non-target\), got -1"),
        ([0.1, 0.2], [1, NAN], "got nan"),
    ],
)
@pytest.mark.parametrize("function", [scorer.eer, scorer.min_dcf, scorer.det_curve])
def test_refused_scores(function, scores, labels, message):
    with pytest.raises(ValueError, match=message):
        function(scores, labels)


def test_refused_options():
    with pytest.raises(ValueError, match="convention is 'exact', expected 'interpolated' or"):
        scorer.eer([0, 1], [0, 1], convention="exact")
    for option in ({"p_target": 5}, {"c_fa": 0}, {"c_miss": NAN}):
        with pytest.raises(ValueError, match=r"= (5|0|nan)\b.*not percent\) and positive costs"):
            scorer.min_dcf([0, 1], [0, 1], **option)


def speakers_and_scores(speakers=30, trials=600, seed=0):
    rng = np.random.default_rng(seed)
    first, second = rng.integers(speakers, size=(2, trials))
    first[: trials // 2] = second[: trials // 2]
    labels = (first == second).astype(int)
    voices = rng.normal(size=speakers)
    scores = 2 * labels + rng.normal(size=trials) + voices[first] + voices[second]
    return scores, labels, first, second


def test_bootstrap_counts_speakers_not_trials():
    scores, labels, first, second = speakers_and_scores()
    low, high = scorer.bootstrap_eer(scores, labels, first, second, 50, seed=1)
    assert (low, high) == scorer.bootstrap_eer(scores, labels, first, second, 50, seed=1)
    assert low < scorer.eer(scores, labels) < high
    # one resample by hand: repeat trials as often as their speakers were drawn
    drawn = np.random.default_rng(3).integers(30, size=30)
    repeated = []
    for t in range(len(scores)):
        count = np.sum(drawn == first[t]) * (1 if labels[t] else np.sum(drawn == second[t]))
        repeated += [t] * int(count)
    low, high = scorer.bootstrap_eer(scores, labels, first, second, 1, seed=3)
    assert low == high == pytest.approx(scorer.eer(scores[repeated], labels[repeated]))


def test_bootstrap_groups_ties_and_narrows_with_confidence():
    scores, labels, first, second = speakers_and_scores()
    assert scorer.bootstrap_eer(0 * scores, labels, first, second, 5) == (50.0, 50.0)
    wide = scorer.bootstrap_eer(scores, labels, first, second, 50, confidence=0.95)
    narrow = scorer.bootstrap_eer(scores, labels, first, second, 50, confidence=0.5)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_score_is_the_cosine_whatever_the_block(monkeypatch):
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(20, 8)).astype(np.float32)
    trials = Trials(np.zeros(33, int), *rng.integers(20, size=(2, 33)))
    expected = [
        a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        for a, b in zip(embeddings[trials.first], embeddings[trials.second], strict=True)
    ]
    for block in (1, 10, 100):
        monkeypatch.setattr(scorer, "BLOCK", block)
        ours = scorer.score(torch.from_numpy(embeddings), trials)
        np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_score_refuses_broken_embeddings():
    trials = Trials(np.array([1]), np.array([0]), np.array([5]))
    for value in (NAN, INF, 0.0):
        embeddings = torch.ones(6, 2)
        embeddings[2] = value
        with pytest.raises(ValueError, match="1 of 6 embeddings"):
            scorer.score(embeddings, trials)


def small_corpus(lengths=(900, 400, 900, 900, 123)):
    rng = np.random.default_rng(0)
    samples = rng.integers(-(2**15), 2**15, sum(lengths)).astype(np.int16)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    labels = np.arange(len(lengths))
    keys = np.array([f"s{i}/r/u" for i in labels])
    return Corpus("small", samples, offsets, labels, labels, keys)


class Statistics(nn.Module):
    """An encoder that would see padding, and that remembers how it was called."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def forward(self, waveform):
        assert not self.training
        self.shapes.append(tuple(waveform.shape))
        peak = waveform.abs().amax(1)
        return torch.stack([waveform.mean(1), waveform.std(1), waveform[:, 0], peak], 1)


def test_embed_reads_whole_utterances_without_padding(monkeypatch):
    monkeypatch.setattr(scorer, "BATCH", 1800 / 16_000)
    corpus, encoder = small_corpus(), Statistics().train()
    out = scorer.embed(encoder, corpus)
    assert encoder.training
    assert encoder.shapes == [(2, 900), (1, 900), (1, 400), (1, 123)]
    for i in range(5):
        audio = torch.from_numpy(corpus.audio(i).astype(np.float32) / 32768)[None]
        torch.testing.assert_close(out[i : i + 1], Statistics().eval()(audio))
    monkeypatch.setattr(scorer, "BATCH", 1e-4)
    torch.testing.assert_close(out, scorer.embed(encoder, corpus))


def test_long_utterances_are_the_mean_over_windows(monkeypatch):
    monkeypatch.setattr(scorer, "LONGEST", 250 / 16_000)
    corpus, encoder = small_corpus(lengths=(249, 250, 251, 999, 1003)), Statistics()
    with pytest.warns(UserWarning, match=r"small: what lasts more than 0\.015625 s \(3 of 5\)"):
        out = scorer.embed(encoder, corpus)
    assert max(shape[1] for shape in encoder.shapes) <= 250
    for i, (windows, length) in enumerate([(1, 249), (1, 250), (2, 125), (4, 249), (5, 200)]):
        audio = torch.from_numpy(corpus.audio(i).astype(np.float32) / 32768)
        parts = [audio[w * length :][:length] for w in range(windows)]
        expected = torch.stack([Statistics().eval()(part[None])[0] for part in parts]).mean(0)
        torch.testing.assert_close(out[i], expected)


def test_average_weights():
    torch.manual_seed(0)
    states = []
    for epoch in range(3):
        layer = nn.BatchNorm1d(4)
        nn.init.normal_(layer.weight)
        for _ in range(epoch + 1):
            layer(torch.randn(6, 4))
        states.append(layer.state_dict())
    average = scorer.average_weights(states)
    for key in ("weight", "bias", "running_mean", "running_var"):
        expected = (states[0][key] + states[1][key] + states[2][key]) / 3
        torch.testing.assert_close(average[key], expected)
    assert average["num_batches_tracked"] == 3
    assert average["num_batches_tracked"].dtype == torch.int64
    nn.BatchNorm1d(4).load_state_dict(average)
    half = [{"w": torch.full((1,), 60000.0, dtype=torch.float16)}] * 2
    assert scorer.average_weights(half)["w"].tolist() == [60000.0]
