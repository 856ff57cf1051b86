"""Verification: embeddings of whole utterances, cosine trials, EER and minDCF (Section IV-E).

An operating point accepts a trial when its score is at least the threshold. Equal scores cannot be
told apart by any threshold, so they are accepted or rejected together ("ties grouped").

One convention holds for every EER of the book: miss and false-alarm rate are straight lines between
neighbouring operating points, and the EER is where they cross. The published code instead takes
max(FPR, FNR) at the point with the smallest |FNR - FPR| (`convention="published"`, here with ties
grouped); on small trial lists that is larger by up to one step of a rate.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral, Real
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssps_lib.corpora import SAMPLE_RATE, Corpus, Trials

Scores: TypeAlias = np.ndarray | Tensor | Sequence[float]
CONVENTIONS = ("interpolated", "published")
BLOCK = 8192  # trials scored at a time: 2 gathered blocks of 16 MB at D = 512


def _array(x: Scores) -> np.ndarray:
    if isinstance(x, Tensor):
        x = x.detach().cpu()
        x = (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    return np.asarray(x)


def _checked(scores: Scores, labels: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Scores (T,) and boolean labels (T,), or the reason why they cannot be evaluated."""
    scores, labels = _array(scores), _array(labels)
    if scores.dtype.kind not in "fiu" or labels.dtype.kind not in "fiub":
        raise ValueError(
            f"scores are {scores.dtype} and labels {labels.dtype}, expected numbers: were they "
            "read from a file as text?"
        )
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
    return scores, target


def _split(scores: Scores, labels: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Sorted scores of the targets and of the non-targets: all that error rates depend on."""
    scores, target = _checked(scores, labels)
    return np.sort(scores[target]), np.sort(scores[~target])


def _rates(targets: np.ndarray, others: np.ndarray, threshold) -> tuple:
    """(FPR, FNR) of accepting scores >= threshold, of the shape of `threshold`."""
    misses = np.searchsorted(targets, threshold)
    false_alarms = len(others) - np.searchsorted(others, threshold)
    return false_alarms / len(others), misses / len(targets)


def _first(values: np.ndarray, reached: Callable[[float], bool]) -> float:
    """The smallest of the sorted values at which a monotone condition holds, else infinity."""
    position = bisect_left(range(len(values)), True, key=lambda i: reached(values[i]))
    return values[position] if position < len(values) else np.inf


def _between(before: tuple, after: tuple, convention: str) -> float:
    """EER in percent from the operating points (FPR, FNR) on both sides of the crossing."""
    gaps = [fnr - fpr for fpr, fnr in (before, after)]  # below zero, zero or above
    if convention == "published":
        return 100.0 * float(max(before if -gaps[0] <= gaps[1] else after))
    weight = gaps[0] / (gaps[0] - gaps[1])
    return 100.0 * float((1 - weight) * before[1] + weight * after[1])


def _check_convention(convention: str) -> None:
    if convention not in CONVENTIONS:
        raise ValueError(f"EER convention '{convention}' is unknown, expected one of {CONVENTIONS}")


def _eer(targets: np.ndarray, others: np.ndarray, convention: str) -> float:
    def reached(threshold: float) -> bool:
        fpr, fnr = _rates(targets, others, threshold)
        return bool(fnr >= fpr)

    after = min(_first(targets, reached), _first(others, reached))
    before = max(x[i - 1] for x in (targets, others) if (i := np.searchsorted(x, after)))
    return _between(_rates(targets, others, before), _rates(targets, others, after), convention)


def _min_dcf(targets: np.ndarray, others: np.ndarray, miss: float, false_alarm: float) -> float:
    """`miss` and `false_alarm`: what each costs, weighted by its prior."""
    bound = min(miss, false_alarm)  # reject all, or accept all
    # The best threshold of a given FPR lies just above a non-target; an FPR that alone costs more
    # than the bound cannot win, which leaves few non-targets to look at.
    keep = min(len(others), int(bound / false_alarm * len(others)) + 1)
    above = others[len(others) - keep :]
    fnr = np.searchsorted(targets, above, side="right") / len(targets)
    fpr = (len(others) - np.searchsorted(others, above, side="right")) / len(others)
    return min(1.0, float((miss * fnr + false_alarm * fpr).min() / bound))


def _costs(p_target: float, c_miss: float, c_fa: float) -> tuple[float, float]:
    numbers = all(isinstance(value, Real) for value in (p_target, c_miss, c_fa))
    if not (numbers and 0 < p_target < 1 and c_miss > 0 and c_fa > 0):
        raise ValueError(
            f"p_target = {p_target!r}, c_miss = {c_miss!r}, c_fa = {c_fa!r}: expected a "
            "probability strictly between 0 and 1 (not percent) and positive costs"
        )
    return c_miss * p_target, c_fa * (1 - p_target)


def eer(scores: Scores, labels: Scores, convention: str = "interpolated") -> float:
    """Equal error rate in percent (Section IV-E).

    Args:
        scores: (T,) similarities, higher for the same speaker.
        labels: (T,) 1 for targets, 0 for non-targets.
        convention: "interpolated" (the book's) or "published"; see the module.

    Raises:
        ValueError: NaN, no trial, one class only, unequal lengths, unknown convention.

    >>> eer([0.9, 0.8, 0.3, 0.1], [1, 1, 0, 0]), eer([0.5, 0.5, 0.5], [1, 0, 0])
    (0.0, 50.0)
    """
    _check_convention(convention)
    return _eer(*_split(scores, labels), convention)


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
    return _min_dcf(*_split(scores, labels), *_costs(p_target, c_miss, c_fa))


def error_rates(scores: Scores, labels: Scores) -> dict[str, float]:
    """`eer` (percent) and `min_dcf` (P_target 0.01) from a single sort of the scores."""
    targets, others = _split(scores, labels)
    return {
        "eer": _eer(targets, others, "interpolated"),
        "min_dcf": _min_dcf(targets, others, *_costs(0.01, 1.0, 1.0)),
    }


def det_curve(scores: Scores, labels: Scores) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All operating points, from accepting every trial to rejecting every trial.

    Returns:
        (fpr, fnr, thresholds), each (P,): the distinct scores ascending and infinity, and the
        rates, as fractions, of accepting scores >= threshold.

    >>> [x.tolist() for x in det_curve([0.1, 0.6, 0.6, 0.9], [0, 0, 1, 1])]
    [[1.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 1.0], [0.1, 0.6, 0.9, inf]]
    """
    targets, others = _split(scores, labels)
    thresholds = np.append(np.unique(np.concatenate([targets, others])), np.inf)
    return *_rates(targets, others, thresholds), thresholds


def _weighted_eer(
    order: np.ndarray, ends: np.ndarray, target: np.ndarray, weights: np.ndarray
) -> float:
    """EER where trial t counts `weights[t]` times; NaN if a class has no weight left.

    `order` sorts the scores, `ends` are the last positions of each tie, `target` (T,) is sorted.
    """
    weights = weights[order]
    misses = np.cumsum(weights * target)[ends]
    rejections = np.cumsum(weights * ~target)[ends]
    if not misses[-1] or not rejections[-1]:
        return np.nan
    fnr = np.append(0.0, misses / misses[-1])
    fpr = np.append(1.0, 1 - rejections / rejections[-1])
    after = int(np.argmax(fnr >= fpr))
    before, at = ((fpr[i], fnr[i]) for i in (after - 1, after))
    return _between(before, at, "interpolated")


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
        ValueError: as `eer`; fewer than 2 speakers or resamples; labels of another length.
    """
    scores, target = _checked(scores, labels)
    names, speaker = np.unique(np.stack([first_speaker, second_speaker]), return_inverse=True)
    speaker = speaker.reshape(2, -1)
    if speaker.shape[1] != len(scores):
        raise ValueError(
            f"{speaker.shape[1]} speaker labels for {len(scores)} trials: one for each is expected"
        )
    numbers = isinstance(resamples, Integral) and isinstance(confidence, Real)
    if not (numbers and len(names) >= 2 and resamples >= 2 and 0 < confidence < 1):
        raise ValueError(
            f"{len(names)} speakers, {resamples!r} resamples, confidence {confidence!r}: expected "
            "at least 2 speakers, 2 resamples and a confidence between 0 and 1"
        )
    order = np.argsort(scores)
    ends = np.flatnonzero(np.append(np.diff(scores[order]) > 0, True))
    rng = np.random.default_rng(seed)
    values = np.empty(resamples)
    for r in range(resamples):
        drawn = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        a, b = drawn[speaker]
        weights = np.where(target, a, a * b)
        values[r] = _weighted_eer(order, ends, target[order], weights)
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
    if not isinstance(trials, Trials):
        raise ValueError(f"trials are {trials!r:.60}, expected a Trials: see corpora.read_trials")
    embeddings = torch.as_tensor(embeddings)
    if embeddings.ndim not in (2, 3):
        raise ValueError(
            f"embeddings have shape {tuple(embeddings.shape)}, expected (N, D), or (N, C, D) for "
            "C crops each"
        )
    norms = embeddings.float().norm(dim=-1)
    if not (torch.isfinite(norms) & (norms > 0)).all():
        bad = int((~torch.isfinite(norms) | (norms == 0)).sum())
        raise ValueError(
            f"{bad} of {norms.numel()} embeddings are zero or not finite: "
            "the encoder collapsed or diverged"
        )
    first, second = (torch.as_tensor(x) for x in (trials.first, trials.second))
    if first.shape != second.shape:
        raise ValueError(
            f"trials have {len(first)} first and {len(second)} second utterances: a trial has one "
            "of each"
        )
    named = torch.cat([first, second])
    if len(named) and named.is_floating_point():
        raise ValueError(
            f"trials name utterances by {named.dtype}, expected whole numbers: are they scores?"
        )
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
    padded and a representation does not depend on its batch.

    Args:
        encoder: waveforms (B, T) in [-1, 1] -> (B, D); its mode is restored afterwards.
        batch_seconds: audio in a batch, which bounds the memory.
        crops: if given, that many evenly spaced crops of `crop_seconds` of each utterance instead
            (shorter utterances are repeated).

    Returns:
        (N, D) or (N, crops, D) float32 on `device`, in the order of the corpus.
    """
    if crops is not None and not (isinstance(crops, Integral) and crops >= 1):
        raise ValueError(f"crops = {crops!r}: expected None (whole utterances) or at least 1")
    if not all(isinstance(s, Real) and s > 0 for s in (crop_seconds, batch_seconds)):
        raise ValueError(
            f"crop_seconds = {crop_seconds!r} and batch_seconds = {batch_seconds!r}: expected "
            "durations above 0"
        )
    if not len(corpus):
        raise ValueError(f"corpus '{corpus.name}' has no utterance to embed")
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
    for index in _equal_lengths(corpus.lengths, budget):
        audio = np.stack([corpus.audio(int(i)) for i in index])
        yield index, encoder(_waveform(audio, device)).float()


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
        ValueError: nothing to average, or keys or shapes that differ.

    >>> pair = [{"w": torch.tensor([0.0]), "n": torch.tensor(1)},
    ...         {"w": torch.tensor([3.0]), "n": torch.tensor(2)}]
    >>> average_weights(pair)
    {'w': tensor([1.5000]), 'n': tensor(2)}
    """
    if not state_dicts:
        raise ValueError("no weights to average: the run has not finished an epoch")
    last = state_dicts[-1]
    for state in state_dicts:
        if not isinstance(state, dict):
            raise ValueError(f"weights to average are {state!r:.60}, expected a state_dict of each")
        differing = set(state) ^ set(last) or {k for k in last if state[k].shape != last[k].shape}
        if differing:
            raise ValueError(
                f"'{min(differing)}' and {len(differing) - 1} other entries differ between the "
                "weights: they belong to different architectures"
            )

    def mean(key: str) -> Tensor:
        if not last[key].is_floating_point():
            return last[key].clone()
        total = sum(state[key].double() for state in state_dicts)
        return (total / len(state_dicts)).to(last[key].dtype)

    return {key: mean(key) for key in last}
