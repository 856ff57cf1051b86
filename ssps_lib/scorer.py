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
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssps_lib.corpora import SAMPLE_RATE, Corpus, Trials

Scores: TypeAlias = np.ndarray | Tensor | Sequence[float]
LONGEST = 300.0  # seconds that are embedded at once; VoxCeleb's longest utterance has 220
BATCH = 120.0  # seconds of audio in a batch
BLOCK = 8192  # trials scored at a time: 2 gathered blocks of 16 MB at D = 512


class Ranked(NamedTuple):
    """Trials sorted by score, which is all that error rates depend on."""

    order: np.ndarray  # (T,) sorts the scores
    target: np.ndarray  # (T,) whether a trial is a target, sorted
    ends: np.ndarray  # (P - 1,) the last trial of each distinct score
    thresholds: np.ndarray  # (P,) the distinct scores ascending, and infinity

    def curve(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(FPR, FNR), each (P,), of accepting scores >= each threshold.

        `weights` (T,): how often each trial counts. A class without weight has NaN as rate.
        """
        counts = 1 if weights is None else weights[self.order]
        misses, rejections = (
            np.append(0, np.cumsum(of_class * counts)[self.ends])
            for of_class in (self.target, ~self.target)
        )
        with np.errstate(invalid="ignore"):
            return (rejections[-1] - rejections) / rejections[-1], misses / misses[-1]


def _array(x: Scores) -> np.ndarray:
    if isinstance(x, Tensor):
        x = x.detach().cpu()
        x = x.float() if x.dtype == torch.bfloat16 else x
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
    if len(other := labels[~target & (labels != 0)]):
        raise ValueError(
            f"labels must be 1 (target) or 0 (non-target), got {other[0]}: are they speaker labels?"
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


def _eer(fpr: np.ndarray, fnr: np.ndarray) -> float:
    """EER in percent of a curve whose FPR falls and whose FNR rises; NaN where a rate is NaN."""
    after = int(np.argmax(fnr >= fpr))
    before, gap = (fnr - fpr)[[after - 1, after]]  # below zero, zero or above
    weight = before / (before - gap)
    return 100.0 * float((1 - weight) * fnr[after - 1] + weight * fnr[after])


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
    fpr, fnr = _ranked(scores, labels).curve()
    if convention == "published":
        return 100.0 * float(np.maximum(fpr, fnr)[np.abs(fnr - fpr).argmin()])
    if convention != "interpolated":
        raise ValueError(f"convention is {convention!r}, expected 'interpolated' or 'published'")
    return _eer(fpr, fnr)


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
    return {"eer": _eer(*curve), "min_dcf": _min_dcf(*curve, 0.01, 0.99)}


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
        ValueError: as `eer`.
    """
    ranked, target = _ranked(scores, labels), _array(labels) == 1
    names, speaker = np.unique(np.stack([first_speaker, second_speaker]), return_inverse=True)
    a, b = speaker.reshape(2, len(target))
    rng, values = np.random.default_rng(seed), np.empty(resamples)
    for r in range(resamples):
        drawn = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        weights = np.where(target, drawn[a], drawn[a] * drawn[b])
        values[r] = _eer(*ranked.curve(weights))
    tail = 50.0 * (1 - confidence)
    low, high = np.nanpercentile(values, [tail, 100.0 - tail])
    return float(low), float(high)


def score(embeddings: Tensor, trials: Trials) -> np.ndarray:
    """Cosine of each trial, (T,) float32, of embeddings (N, D), one for each utterance.

    Raises:
        ValueError: non-finite or zero embeddings.
    """
    norms = embeddings.float().norm(dim=-1)
    if bad := int((~torch.isfinite(norms) | (norms == 0)).sum()):
        raise ValueError(
            f"{bad} of {norms.numel()} embeddings are zero or not finite: "
            "the encoder collapsed or diverged"
        )
    return cosines(embeddings, trials.first, trials.second)


def cosines(embeddings: Tensor, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosines (P,) float32 of the pairs (first, second) of rows (N, D), `BLOCK` at a time."""
    unit = F.normalize(embeddings.float(), dim=1)
    sides = (torch.as_tensor(x).to(unit.device).split(BLOCK) for x in (first, second))
    parts = [torch.linalg.vecdot(unit[a], unit[b]) for a, b in zip(*sides, strict=True)]
    return torch.cat(parts).cpu().numpy()


def _batches(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Indices of utterances of equal length, at most `BATCH` seconds together, longest first."""
    order = np.argsort(-lengths, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        rows = max(1, int(BATCH * SAMPLE_RATE) // max(1, int(lengths[group[0]])))
        yield from np.split(group, range(rows, len(group), rows))


@torch.no_grad()
def embed(
    encoder: Callable[[Tensor], Tensor], corpus: Corpus, device: torch.device | str = "cpu"
) -> Tensor:
    """Representations of all utterances of a corpus by an encoder in evaluation mode.

    Whole utterances (Section IV-E) are batched only with others of the same length, so nothing is
    padded and a representation does not depend on its batch. Of an utterance above `LONGEST`
    seconds, which would fill the memory, it is the mean over equal windows, and a warning says so.

    Args:
        encoder: waveforms (B, T) in [-1, 1] -> (B, D); its mode is restored afterwards.

    Returns:
        (N, D) float32 on `device`, in the order of the corpus.
    """
    longest = int(LONGEST * SAMPLE_RATE)
    if long := int((corpus.lengths > longest).sum()):
        warnings.warn(
            f"{corpus.name}: what lasts more than {LONGEST:g} s ({long} of {len(corpus)}) is taken "
            "as the mean over equal windows of it",
            stacklevel=3,
        )
    training = getattr(encoder, "training", False)
    if isinstance(encoder, nn.Module):
        encoder.eval()
    order, y = [], []
    try:
        for index in _batches(corpus.lengths):
            audio = np.stack([corpus.audio(int(i)) for i in index])
            windows = max(1, -(-audio.shape[1] // longest))
            audio = audio[:, : audio.shape[1] // windows * windows]
            parts = np.split(audio, windows, axis=1)
            rows = [encoder(torch.from_numpy(x).to(device).float() / 32768) for x in parts]
            order.append(index)
            y.append(torch.stack(rows).float().mean(0))
    finally:
        if training:
            encoder.train()  # type: ignore[union-attr]
    return torch.cat(y)[torch.from_numpy(np.concatenate(order).argsort())]


def average_weights(state_dicts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Mean of the weights of several epochs, the last given being the newest (Section IV-E).

    Float parameters and statistics are averaged in float64 and keep their dtype; integers
    (counters, pointers) come from the last one. Pass the weights of encoders: a framework's queues
    are floats too, and their mean is meaningless.

    >>> pair = [{"w": torch.tensor([0.0]), "n": torch.tensor(1)},
    ...         {"w": torch.tensor([3.0]), "n": torch.tensor(2)}]
    >>> average_weights(pair)
    {'w': tensor([1.5000]), 'n': tensor(2)}
    """

    def mean(key: str, last: Tensor) -> Tensor:
        if not last.is_floating_point():
            return last.clone()
        return torch.stack([state[key].double() for state in state_dicts]).mean(0).to(last.dtype)

    return {key: mean(key, last) for key, last in state_dicts[-1].items()}
