"""Rows of a latent corpus, and what our samplers do on them (book chapter 13)."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ssps_book.latent.corpus import LatentCorpus
from ssps_lib.analysis import PositiveObserver, nmi_ratio
from ssps_lib.positives import PositiveSampler, Queue
from ssps_lib.positives.kmeans import blocks
from ssps_lib.scorer import eer


@dataclass(frozen=True)
class Prediction:
    """What the model says of a corpus; accuracies over the anchors that got a pseudo-positive."""

    eer: float  # percent, held-out speakers, trials across recordings
    speaker_accuracy: float
    recording_accuracy: float
    coverage: float  # share of anchors with a pseudo-positive
    nmi_ratio: float  # NMI(speaker) / NMI(recording) of k-means with one cluster per speaker


class Space:
    """The rows of a latent corpus on a device: fixed components, seen through an encoder.

    Args:
        corpus: the proportions.
        device: where the rows live; N = 1,092,009 with 72 dimensions takes 0.3 GB.
    """

    def __init__(self, corpus: LatentCorpus, device: torch.device | str = "cpu") -> None:
        self.corpus, self.device = corpus, torch.device(device)
        self.speakers, self.recordings = (label.to(device) for label in corpus.labels())
        generator = torch.Generator().manual_seed(corpus.seed)
        sizes = (corpus.speakers, int(self.recordings[-1]) + 1, len(self.speakers))
        shapes = zip(sizes, corpus.dims, strict=True)
        self._parts = [torch.randn(*shape, generator=generator).to(device) for shape in shapes]
        n = len(self.speakers)
        self.reference = Queue(n, (sum(corpus.dims),), device=device)
        self.look(corpus.energies())

    def look(self, energies: Tensor) -> None:
        """Fill the reference queue Q-hat with the rows of an encoder with these energies (D,)."""
        every = torch.arange(len(self.speakers), device=self.device)
        gains = energies.to(self.device).sqrt()
        for block in blocks(len(every), self.reference.shape[0], self.device):
            speaker, recording, utterance = self._parts
            rows = [
                speaker[self.speakers[block]],
                recording[self.recordings[block]],
                utterance[block],
            ]
            rows = F.normalize(torch.cat(rows, dim=1) * gains, dim=1)
            self.reference[every[block]] = rows

    def nmi_ratio(self) -> float:
        """NMI(speaker) / NMI(recording) of k-means with as many clusters as speakers."""
        generator = torch.Generator().manual_seed(self.corpus.seed)
        rows = self.reference.values
        return nmi_ratio(rows, self.speakers, self.recordings, self.corpus.speakers, generator)

    def draw(
        self,
        sampler: PositiveSampler,
        anchors: int | None = None,
        refresh: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Anchors and their pos(i), both (A,): what one epoch of `sampler` would pair, where Q'
        holds all utterances.

        Args:
            anchors: number A of random anchors; None for all N.
            refresh: False for a sampler that has already seen this space.
        """
        n = len(self.speakers)
        generator = torch.Generator().manual_seed(self.corpus.seed + 1)
        if refresh:
            sampler.refresh(self.reference, generator)
        index = torch.randperm(n, generator=generator)[:anchors].to(self.device)
        uniform = torch.rand(len(index), 2, generator=generator).to(self.device)
        pairs = zip(index.split(4096), uniform.split(4096), strict=True)
        return index, torch.cat([sampler.sample(i, None, u) for i, u in pairs])

    def accuracies(self, index: Tensor, pos: Tensor) -> dict[str, float]:
        """Speaker and recording accuracy (of the found) and coverage, as fractions."""
        observer = PositiveObserver(self.speakers, self.recordings)
        observer.update(index, pos)
        return observer.result()

    def agreement(self, index: Tensor, pos: Tensor) -> Tensor:
        """Correlation (D,) of each dimension over the pairs: what `bootstrap` follows.

        Dimensions come in the order speaker, recording, utterance; one without energy has 0, and
        anchors without pseudo-positive do not count.
        """
        first, second = index[pos >= 0], pos[pos >= 0]
        moments = torch.zeros(2, *self.reference.shape, device=self.device)
        for block in blocks(len(first), self.reference.shape[0], self.device):
            a, b = self.reference.rows(first[block]), self.reference.rows(second[block])
            moments += torch.stack([(a * b).sum(0), (a.square() + b.square()).sum(0) / 2])
        return moments[0] / moments[1].clamp(min=1e-12)


def predict(
    corpus: LatentCorpus, sampler: PositiveSampler, anchors: int | None = 20_000, nmi: bool = True
) -> Prediction:
    """Run a sampler on a latent corpus, for `anchors` utterances (None for all).

    `nmi`: False skips the second k-means and leaves `nmi_ratio` NaN.

    >>> from ssps_lib.positives import Clustering
    >>> easy = LatentCorpus(speakers=20, recordings=6, utterances=2, recording_scale=0.2)
    >>> predict(easy, Clustering(clusters=80, window=1)).speaker_accuracy > 0.9
    True
    """
    space = Space(corpus)
    accuracies = space.accuracies(*space.draw(sampler, anchors))
    ratio = space.nmi_ratio() if nmi else math.nan
    return Prediction(model_eer(corpus), nmi_ratio=ratio, **accuracies)


def model_eer(corpus: LatentCorpus, energies: Tensor | None = None, trials: int = 40_000) -> float:
    """EER (percent) of trials between recordings of held-out speakers, each trial its own pair.

    Args:
        energies: (D,) of the encoder; None for those of the corpus.
        trials: half of them are targets.
    """
    energies = corpus.energies() if energies is None else energies.cpu()
    products = _trials(trials, len(energies), corpus.speaker_dims, corpus.seed)
    cross, first, second = products @ energies
    return eer(cross / (first * second).sqrt(), torch.arange(trials) < trials // 2)


@lru_cache(maxsize=1)  # bisection looks at the same trials again and again
def _trials(trials: int, dim: int, speaker_dims: int, seed: int) -> Tensor:
    """Products a * b, a * a and b * b of the sides of each trial, (3, trials, D).

    The first half of the trials shares its speaker.
    """
    a, b = torch.randn(2, trials, dim, generator=torch.Generator().manual_seed(seed + 2))
    b[: trials // 2, :speaker_dims] = a[: trials // 2, :speaker_dims]
    return torch.stack([a * b, a * a, b * b])
