"""Verification: embeddings of whole utterances, cosine trials, EER and minDCF (Section IV-E).

An operating point accepts a trial when its score is at least the threshold. Equal scores cannot be
told apart by any threshold, so they are accepted or rejected together ("ties grouped").

One convention holds for every EER of the book: miss and false-alarm rate are straight lines between
neighbouring operating points, and the EER is where they cross. The published code instead takes
max(FPR, FNR) at the point with the smallest |FNR - FPR| (`convention="published"`, here with ties
grouped); on small trial lists that is larger by up to one step of a rate.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssps_lib.corpora import SAMPLE_RATE, Corpus, Trials

Scores: TypeAlias = np.ndarray | Tensor | Sequence[float]
BLOCK = 8192  # trials scored at a time: 2 gathered blocks of 16 MB at D = 512
LONGEST = 300.0  # seconds that are embedded at once; VoxCeleb's longest utterance has 220


@dataclass(frozen=True)
class Ranked:
    """Trials sorted by score: all that error rates depend on.

    Attributes:
        order: (T,) the permutation that sorts the scores.
        target: (T,) whether a trial is a target, sorted.
        ends: (P - 1,) the last position of each distinct score.
        thresholds: (P,) the distinct scores ascending, and infinity.
    """

    order: np.ndarray
    target: np.ndarray
    ends: np.ndarray
    thresholds: np.ndarray

    def curve(self, weights: np.ndarray | int = 1) -> tuple[np.ndarray, np.ndarray]:
        """(FPR, FNR), each (P,), of accepting scores >= each threshold.

        Args:
            weights: how often each trial counts, (T,) in the order given to `_ranked`. A class
                without weight has NaN as rate.
        """
        weights = weights[self.order] if isinstance(weights, np.ndarray) else weights
        misses = np.append(0, np.cumsum(self.target * weights)[self.ends])
        rejections = np.append(0, np.cumsum(~self.target * weights)[self.ends])
        with np.errstate(invalid="ignore"):
            return (rejections[-1] - rejections) / rejections[-1], misses / misses[-1]


def _array(x: Scores) -> np.ndarray:
    if isinstance(x, Tensor):
        x = x.detach().cpu()
        x = (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    return np.asarray(x)


def _ranked(scores: Scores, labels: Scores) -> Ranked:
    """The trials sorted, or the reason why they cannot be evaluated."""
    scores, labels = _array(scores), _array(labels)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(
            f"scores {scores.shape} and labels {labels.shape} must be vectors of one length: "
            "were the scores computed from another trial list?"
        )
    if not len(scores):
        raise ValueError("there is no trial to evaluate: the trial list is empty")
    if np.isnan(scores).any():
        raise ValueError(
            f"{int(np.isnan(scores).sum())} of {len(scores)} scores are NaN: "
            "an embedding is not finite, training may have diverged"
        )
    target = labels == 1
    if not (target | (labels == 0)).all():
        other = labels[~(target | (labels == 0))][0]
        raise ValueError(
            f"labels must be 1 (target) or 0 (non-target), got {other}: are they speaker labels?"
        )
    if target.all() or not target.any():
        raise ValueError(
            f"all {len(labels)} trials are {'targets' if target.all() else 'non-targets'}: "
            "error rates need trials of both classes"
        )
    order = np.argsort(scores)
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    return Ranked(order, target[order], ends, np.append(ranked[ends], np.inf))


def _eer(
    fpr: np.ndarray, fnr: np.ndarray, convention: Literal["interpolated", "published"]
) -> float:
    """EER in percent of a curve whose FPR falls and whose FNR rises; NaN where a rate is NaN."""
    after = int(np.argmax(fnr >= fpr))
    points = (fpr[after - 1], fnr[after - 1]), (fpr[after], fnr[after])
    gaps = [y - x for x, y in points]  # below zero, zero or above
    if convention == "published":
        return 100.0 * float(max(points[0] if -gaps[0] <= gaps[1] else points[1]))
    if convention != "interpolated":
        raise ValueError(f"convention is {convention!r}, expected 'interpolated' or 'published'")
    weight = gaps[0] / (gaps[0] - gaps[1])
    return 100.0 * float((1 - weight) * points[0][1] + weight * points[1][1])


def _min_dcf(fpr: np.ndarray, fnr: np.ndarray, miss: float, false_alarm: float) -> float:
    """`miss` and `false_alarm`: what each costs, weighted by its prior."""
    return float((miss * fnr + false_alarm * fpr).min() / min(miss, false_alarm))


def eer(
    scores: Scores,
    labels: Scores,
    convention: Literal["interpolated", "published"] = "interpolated",
) -> float:
    """Equal error rate in percent (Section IV-E).

    Args:
        scores: (T,) similarities, higher for the same speaker; infinite ones may be among them.
        labels: (T,) 1 for targets, 0 for non-targets.
        convention: "interpolated" (the book's) or "published"; see the module.

    Raises:
        ValueError: NaN, no trial, one class only, unequal lengths, unknown convention.

    >>> eer([0.9, 0.8, 0.3, 0.1], [1, 1, 0, 0]), eer([0.5, 0.5, 0.5], [1, 0, 0])
    (0.0, 50.0)
    """
    return _eer(*_ranked(scores, labels).curve(), convention)


def min_dcf(
    scores: Scores,
    labels: Scores,
    p_target: float = 0.01,
    c_miss: float = 1.0,
    c_fa: float = 1.0,
) -> float:
    """Minimum detection cost over all thresholds, relative to the better of accepting or rejecting
    every trial (Section IV-E: P_target 0.01, both costs 1). Between 0 and 1, not percent.

    Raises:
        ValueError: as `eer`; a prior outside (0, 1) or a cost that is not positive.

    >>> min_dcf([0.9, 0.2, 0.3, 0.1], [1, 1, 0, 0])
    0.5
    """
    if not (0 < p_target < 1 and c_miss > 0 and c_fa > 0):
        raise ValueError(
            f"p_target = {p_target}, c_miss = {c_miss}, c_fa = {c_fa}: expected a probability "
            "strictly between 0 and 1 (not percent) and positive costs"
        )
    return _min_dcf(*_ranked(scores, labels).curve(), c_miss * p_target, c_fa * (1 - p_target))


def error_rates(scores: Scores, labels: Scores) -> dict[str, float]:
    """`eer` (percent) and `min_dcf` (P_target 0.01) from a single sort of the scores."""
    curve = _ranked(scores, labels).curve()
    return {"eer": _eer(*curve, "interpolated"), "min_dcf": _min_dcf(*curve, 0.01, 0.99)}


def det_curve(scores: Scores, labels: Scores) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All operating points, from accepting every trial to rejecting every trial.

    Returns:
        (fpr, fnr, thresholds), each (P,): the distinct scores ascending and infinity, and the
        rates, as fractions, of accepting scores >= threshold (the last rejects infinite ones too).

    >>> [x.tolist() for x in det_curve([0.1, 0.6, 0.6, 0.9], [0, 0, 1, 1])]
    [[1.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 1.0], [0.1, 0.6, 0.9, inf]]
    """
    ranked = _ranked(scores, labels)
    return *ranked.curve(), ranked.thresholds


def bootstrap_eer(
    scores: Scores,
    labels: Scores,
    first_speaker: np.ndarray,
    second_speaker: np.ndarray,
    resamples: int = 200,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of the EER over *speakers*, the unit that a new test set would redraw.

    Trials share speakers, so drawing trials would make the interval too narrow. Each resample draws
    the test speakers with replacement; a target trial counts as often as its speaker was drawn, a
    non-target as often as the pair was.

    Args:
        first_speaker, second_speaker: (T,) speaker labels of both utterances of each trial.

    Returns:
        (low, high) in percent.

    Raises:
        ValueError: as `eer`; fewer than 2 speakers.
    """
    ranked, target = _ranked(scores, labels), _array(labels) == 1
    names, speaker = np.unique(np.stack([first_speaker, second_speaker]), return_inverse=True)
    if len(names) < 2:
        raise ValueError("all trials are of one speaker: an interval over speakers needs several")
    a, b = speaker.reshape(2, len(target))
    rng, values = np.random.default_rng(seed), np.empty(resamples)
    for r in range(resamples):
        drawn = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        weights = np.where(target, drawn[a], drawn[a] * drawn[b])
        values[r] = _eer(*ranked.curve(weights), "interpolated")
    tail = 50.0 * (1 - confidence)
    low, high = np.nanpercentile(values, [tail, 100.0 - tail])
    return float(low), float(high)


def score(embeddings: Tensor, trials: Trials, block: int = BLOCK) -> np.ndarray:
    """Cosine of each trial, (T,) float32, by gathered products of `block` trials at a time.

    Args:
        embeddings: (N, D), one for each utterance; or (N, C, D), C crops each, whose C x C cosines
            are averaged (the mean cosine is the product of the mean unit vectors).

    Raises:
        ValueError: non-finite or zero embeddings, a trial outside the N utterances.
    """
    embeddings = torch.as_tensor(embeddings)
    norms = embeddings.float().norm(dim=-1)
    if bad := int((~torch.isfinite(norms) | (norms == 0)).sum()):
        raise ValueError(
            f"{bad} of {norms.numel()} embeddings are zero or not finite: "
            "the encoder collapsed or diverged"
        )
    first, second = (torch.as_tensor(x) for x in (trials.first, trials.second))
    named = torch.cat([first, second])
    outside = named[(named < 0) | (named >= len(embeddings))]
    if len(outside):
        raise ValueError(
            f"a trial names utterance {int(outside.max())}, but there are {len(embeddings)} "
            "embeddings: the trial list belongs to another corpus"
        )
    unit = F.normalize(embeddings.float(), dim=-1)
    unit = unit.mean(dim=1) if unit.dim() == 3 else unit
    out = torch.empty(len(first))
    for begin in range(0, len(first), block):
        rows = slice(begin, begin + block)
        a, b = (unit[x[rows].to(unit.device)] for x in (first, second))
        out[rows] = torch.linalg.vecdot(a, b).cpu()
    return out.numpy()


def _equal_lengths(lengths: np.ndarray, samples: int) -> Iterator[np.ndarray]:
    """Indices of utterances of equal length, at most `samples` samples together, longest first."""
    order = np.argsort(-lengths, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        rows = max(1, samples // max(1, int(lengths[group[0]])))
        yield from np.split(group, range(rows, len(group), rows))


@torch.no_grad()
def embed(
    encoder: Callable[[Tensor], Tensor],
    corpus: Corpus,
    device: torch.device | str = "cpu",
    batch_seconds: float = 120.0,
    crops: int | None = None,
    crop_seconds: float = 4.0,
) -> Tensor:
    """Representations of all utterances of a corpus by an encoder in evaluation mode.

    Whole utterances (Section IV-E) are batched only with others of the same length, so nothing is
    padded and a representation does not depend on its batch. Of an utterance above `LONGEST`
    seconds, which would fill the memory, it is the mean over equal windows, and a warning says so.

    Args:
        encoder: waveforms (B, T) in [-1, 1] -> (B, D); its mode is restored afterwards.
        batch_seconds: audio in a batch, which bounds the memory.
        crops: if given, that many evenly spaced crops of `crop_seconds` of each utterance instead
            (shorter utterances are repeated).

    Returns:
        (N, D) or (N, crops, D) float32 on `device`, in the order of the corpus.
    """
    budget = int(batch_seconds * SAMPLE_RATE)
    training = getattr(encoder, "training", False)
    if isinstance(encoder, nn.Module):
        encoder.eval()
    try:
        if crops is None:
            parts = _whole(encoder, corpus, device, budget)
        else:
            parts = _cropped(encoder, corpus, device, budget, crops, crop_seconds)
        index, rows = zip(*parts, strict=True)
    finally:
        if training:
            encoder.train()  # type: ignore[union-attr]
    rows = torch.cat(rows)
    out = torch.empty_like(rows)
    out[torch.as_tensor(np.concatenate(index), device=rows.device)] = rows
    return out


def _waveform(audio: np.ndarray, device: torch.device | str) -> Tensor:
    """int16 -> float32 in [-1, 1), converted on the device."""
    return torch.from_numpy(audio).to(device).float() / 32768


def _whole(encoder, corpus: Corpus, device, budget: int) -> Iterator[tuple[np.ndarray, Tensor]]:
    longest = int(LONGEST * SAMPLE_RATE)
    if long := int((corpus.lengths > longest).sum()):
        warnings.warn(
            f"{corpus.name}: what lasts more than {LONGEST:g} s ({long} of {len(corpus)}) is taken "
            "as the mean over equal windows of it",
            stacklevel=3,
        )
    for index in _equal_lengths(corpus.lengths, budget):
        audio = np.stack([corpus.audio(int(i)) for i in index])
        windows = max(1, -(-audio.shape[1] // longest))
        audio = audio[:, : audio.shape[1] // windows * windows]
        parts = [encoder(_waveform(x, device)).float() for x in np.split(audio, windows, axis=1)]
        yield index, torch.stack(parts).mean(0)


def _cropped(
    encoder, corpus: Corpus, device, budget: int, crops: int, seconds: float
) -> Iterator[tuple[np.ndarray, Tensor]]:
    samples = int(seconds * SAMPLE_RATE)
    places = np.linspace(0.0, 1.0 - 1e-9, crops)
    rows = max(1, budget // (samples * crops))
    for begin in range(0, len(corpus), rows):
        index = np.arange(begin, min(begin + rows, len(corpus)))
        audio = corpus.crops(index.repeat(crops), np.tile(places, len(index)), samples)
        yield index, encoder(_waveform(audio, device)).float().unflatten(0, (len(index), crops))


def average_weights(state_dicts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Mean of the weights of several epochs, the last given being the newest (Section IV-E).

    Float parameters and statistics are averaged in float64 and keep their dtype; integers
    (counters, pointers) come from the last one. Pass the weights of encoders: a framework's queues
    are floats too, and their mean is meaningless.

    Raises:
        ValueError: keys that differ.

    >>> pair = [{"w": torch.tensor([0.0]), "n": torch.tensor(1)},
    ...         {"w": torch.tensor([3.0]), "n": torch.tensor(2)}]
    >>> average_weights(pair)
    {'w': tensor([1.5000]), 'n': tensor(2)}
    """
    last = state_dicts[-1]
    for state in state_dicts:
        if differing := state.keys() ^ last.keys():
            raise ValueError(
                f"'{min(differing)}' and {len(differing) - 1} other entries are not in all of the "
                "weights: they belong to different architectures"
            )

    def mean(key: str) -> Tensor:
        if not last[key].is_floating_point():
            return last[key].clone()
        total = sum(state[key].double() for state in state_dicts)
        return (total / len(state_dicts)).to(last[key].dtype)

    return {key: mean(key) for key in last}
