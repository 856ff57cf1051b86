"""What representations know: accuracy of pseudo-positives, NMI, similarities, t-SNE (Section V-E).

Observers read speaker and recording labels, which no sampler and no self-supervised loss ever does.
"""

import math
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssps_lib.distributed import all_reduce_mean
from ssps_lib.positives.kmeans import kmeans
from ssps_lib.scorer import cosines

Labels: TypeAlias = np.ndarray | Tensor


class PositiveObserver:
    """How often pos(i) has the anchor's speaker and recording (Section IV-D, Figure 4).

    The sums stay on the device of the positives and are read once, in `result`.

    Args:
        speakers, recordings: (N,) labels by training index.

    >>> observer = PositiveObserver(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 2]))
    >>> observer.update(torch.tensor([0, 0, 0, 3]), torch.tensor([1, 2, 3, -1]))
    >>> {name: round(value, 2) for name, value in observer.result().items()}
    {'coverage': 0.75, 'speaker_accuracy': 0.67, 'recording_accuracy': 0.33}
    """

    def __init__(self, speakers: Labels, recordings: Labels):
        labels = [torch.as_tensor(x).long() for x in (speakers, recordings)]
        self.labels = torch.stack(labels, dim=1)  # (N, 2): both of an utterance in one read
        self.reset()

    def reset(self) -> None:
        """Forget everything seen, at the start of an epoch."""
        self.sums = torch.zeros(4, dtype=torch.float64)

    def update(self, index: Tensor, pos: Tensor) -> None:
        """Add a batch of this process.

        Args:
            index: (B,) training indices of the anchors.
            pos: (B,) training indices of the pseudo-positives on the same device, -1 where empty.
        """
        self.labels, self.sums = self.labels.to(pos.device), self.sums.to(pos.device)
        found = pos >= 0
        own = self.labels.index_select(0, index.to(pos.device))
        same = (own == self.labels.index_select(0, pos.clamp(min=0))) & found[:, None]
        self.sums[0] += len(pos)
        self.sums[1] += found.sum()
        self.sums[2:] += same.sum(0)

    def result(self) -> dict[str, float]:
        """Fractions over all processes: `coverage` (anchors with a pseudo-positive), and among
        those `speaker_accuracy` and `recording_accuracy` (NaN if there is none)."""
        seen, found, speaker, recording = all_reduce_mean(self.sums).tolist()
        return {
            "coverage": found / seen if seen else float("nan"),
            "speaker_accuracy": speaker / found if found else float("nan"),
            "recording_accuracy": recording / found if found else float("nan"),
        }


def _integers(labels: Labels) -> np.ndarray:
    """Labels as 0, 1, ... (N,)."""
    labels = labels.cpu() if isinstance(labels, Tensor) else labels
    return np.unique(labels, return_inverse=True)[1]


def nmi(u: Labels, v: Labels) -> float:
    """Normalised mutual information of two labellings, 0 (independent) to 1 (equal) (Eq. 13).

    Two labellings with a single label each have nothing to tell apart and get 1.

    >>> nmi(np.array([0, 0, 1, 1]), np.array([5, 5, 3, 3]))
    1.0
    """
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(_integers(u), _integers(v)))


def nmi_ratio(
    representations: Tensor,
    speakers: Labels,
    recordings: Labels,
    clusters: int,
    generator: torch.Generator | None = None,
) -> float:
    """NMI of k-means clusters with speakers over their NMI with recordings (Figure 7).

    It rises as representations forget the recording; 1 is no border, since a recording tells its
    speaker. The paper takes reference representations and K = 6,000, about one for each speaker.
    NaN where the clusters tell nothing of the recordings, as when all representations are equal.

    Args:
        representations: (N, D).
        speakers, recordings: (N,) labels.
        clusters: K.
    """
    assignments, _ = kmeans(representations, clusters, generator=generator)
    of_recordings = nmi(assignments, recordings)
    return nmi(assignments, speakers) / of_recordings if of_recordings > 0 else math.nan


def _pairs(sizes: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `count` distinct pairs of positions within groups of consecutive positions.

    All pairs of all groups are numbered; a subset is drawn when there are more than `count`.
    """
    ends = np.cumsum(sizes * (sizes - 1) // 2)
    total = int(ends[-1])
    if total <= count:
        number = np.arange(total)
    else:
        rng = np.random.default_rng(seed)
        number = np.sort(rng.choice(total, count, replace=False, shuffle=False))
    group = np.searchsorted(ends, number, side="right")
    number = number - (ends - sizes * (sizes - 1) // 2)[group]
    # pair number n of a group is (a, b) with n = a (a - 1) / 2 + b and b < a
    a = ((1 + np.sqrt(8 * number + 1)) // 2).astype(np.int64)
    a -= a * (a - 1) // 2 > number
    a += (a + 1) * a // 2 <= number
    start = (np.cumsum(sizes) - sizes)[group]
    return start + a, start + number - a * (a - 1) // 2


def intra_speaker_similarity(
    embeddings: Tensor,
    speakers: Labels,
    recordings: Labels | None = None,
    pairs: int = 20_000,
    seed: int = 0,
) -> np.ndarray:
    """Cosines of pairs of utterances of the same speaker (Figure 5), (P,) with P <= `pairs`.

    Args:
        embeddings: (N, D).
        speakers: (N,) labels.
        recordings: (N,) labels; if given, only pairs of two recordings count.
        pairs: drawn without replacement, the same ones for one seed, where there are more.
    """
    speakers = _integers(speakers)
    order = np.argsort(speakers, kind="stable")
    first, second = (order[x] for x in _pairs(np.bincount(speakers), pairs, seed))
    if recordings is not None:
        recordings = _integers(recordings)
        across = recordings[first] != recordings[second]
        first, second = first[across], second[across]
    return cosines(embeddings, first, second)


def inter_speaker_similarity(
    embeddings: Tensor, speakers: Labels, pairs: int = 20_000, seed: int = 0
) -> np.ndarray:
    """Cosines of pairs of utterances of different speakers, (P,) with P <= `pairs`."""
    speakers = _integers(speakers)
    first, second = _pairs(np.array([len(speakers)]), pairs, seed)
    across = speakers[first] != speakers[second]
    return cosines(embeddings, first[across], second[across])


def tsne(embeddings: Tensor, seed: int = 0, perplexity: float = 30.0) -> np.ndarray:
    """Map of embeddings by cosine distance, (N, 2) (Figure 6).

    Distances between far groups and the axes mean nothing; who is next to whom does.
    `perplexity`, the number of neighbours considered, is lowered for few points.
    """
    from sklearn.manifold import TSNE

    unit = F.normalize(torch.as_tensor(embeddings).float().cpu(), dim=1).numpy()
    perplexity = min(perplexity, (len(unit) - 1) / 3)
    return TSNE(2, perplexity=perplexity, random_state=seed, metric="cosine").fit_transform(unit)
