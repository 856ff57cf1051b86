"""EER and minDCF of a million trials, and the cosines of a long trial list.

The obvious error rates walk through the sorted scores in Python; the obvious cosines take one trial
at a time. scikit-learn and torchmetrics give the operating points, from which both rates follow.
"""

from collections.abc import Iterator

import measuring
import numpy as np
import torch
import torch.nn.functional as F
from measuring import compare, library, main, row
from torch import Tensor

from ssps_lib import scorer
from ssps_lib.corpora import Trials

D = 512
TRIALS = (10_000, 100_000, 1_000_000)
LISTS = ((4_874, 37_720), (145_000, 580_000))  # utterances and trials, as VoxCeleb1-O and -E


def drawn_scores(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of targets and non-targets, half each, about 10 % EER."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, n)
    return (rng.standard_normal(n) + 2.56 * labels).astype(np.float32), labels


def loop_rates(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """EER and minDCF, one threshold after another."""
    order = np.argsort(scores)
    targets = int(labels.sum())
    others = len(labels) - targets
    misses, accepted, eer, cost = 0, others, (1.0, 1.0), 1.0
    for i in order:
        fnr, fpr = misses / targets, accepted / others
        if abs(fnr - fpr) < eer[0]:
            eer = abs(fnr - fpr), (fnr + fpr) / 2
        cost = min(cost, (0.01 * fnr + 0.99 * fpr) / 0.01)
        if labels[i]:
            misses += 1
        else:
            accepted -= 1
    return eer[1], cost


def from_points(fpr: np.ndarray, tpr: np.ndarray) -> tuple[float, float]:
    """EER and minDCF of operating points."""
    fnr = 1 - tpr
    place = np.argmin(np.abs(fnr - fpr))
    return float(fnr[place] + fpr[place]) / 2, float((fnr + 99 * fpr).min())


def measure_rates(n: int, quick: bool) -> dict:
    """EER and minDCF of n trials."""
    scores, labels = drawn_scores(n)
    works = {
        "ours": lambda: scorer.error_rates(scores, labels),
        "one at a time": lambda: loop_rates(scores, labels),
    }
    sklearn, torchmetrics = library("sklearn.metrics"), library("torchmetrics")
    if sklearn:
        works["scikit-learn"] = lambda: from_points(*sklearn.roc_curve(labels, scores)[:2])
    if torchmetrics:
        roc = torchmetrics.functional.classification.binary_roc
        s, t = torch.from_numpy(scores), torch.from_numpy(labels)
        works["torchmetrics"] = lambda: from_points(*(x.numpy() for x in roc(s, t)[:2]))
    taken = compare(works, 1 if quick else 9, items=n, slow={"one at a time": 2})
    return row({"trials": n}, taken, "ours")


def measure_scores(n: int, trials: int, quick: bool) -> dict:
    """Cosines of `trials` trials over n embeddings."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(n, D, generator=generator).to(measuring.device)
    first, second = torch.randint(n, (2, trials), generator=generator).numpy()
    chosen = Trials(np.zeros(trials, np.int64), first, second)
    count = min(trials, 5_000)

    def loop() -> list[float]:
        return [
            F.cosine_similarity(embeddings[a], embeddings[b], dim=0).item()
            for a, b in zip(first[:count].tolist(), second[:count].tolist(), strict=True)
        ]

    def whole() -> Tensor:
        return F.cosine_similarity(embeddings[first], embeddings[second])

    works = {"ours": lambda: scorer.score(embeddings, chosen), "all at once": whole}
    works["one at a time"] = loop
    taken = compare(
        works, 1 if quick else 3, items=trials, shares={"one at a time": count / trials}
    )
    # The unit vectors are written once; each trial then reads two of them.
    return row(
        {"utterances": n, "trials": trials}, taken, "ours", bytes=4 * D * (2 * n + 2 * trials)
    )


def measure(quick: bool) -> Iterator[tuple[str, dict]]:
    """All sizes."""
    trials, lists = ((2_000,), ((100, 500),)) if quick else (TRIALS, LISTS)
    for n in trials:
        yield "error rates", measure_rates(n, quick)
    for n, t in lists:
        yield "cosines", measure_scores(n, t, quick)


if __name__ == "__main__":
    main("scoring", measure, __doc__)
