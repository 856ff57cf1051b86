"""From training indices to augmented frames on the device."""

import numpy as np
import torch
from torch import Tensor

from ssps_lib import draws
from ssps_lib.augmentation import COLUMNS, Augmentation
from ssps_lib.corpora import SAMPLE_RATE, Corpus

VIEWS, DISTORTIONS, REFERENCE, POSITIVES = 0, 100, 200, 300  # independent streams of draws


class Feeder:
    """Cuts and distorts the frames of a mini-batch (Section II, IV-A and IV-B).

    The frames of an utterance depend on (seed, epoch, training index) only, so any number of
    processes sees the same ones.
    """

    def __init__(
        self,
        corpus: Corpus,
        crops: tuple[float, ...],
        reference_crop: float,
        augmentation: Augmentation,
        seed: int,
        device: torch.device,
    ) -> None:
        """`crops` are the durations of the views in seconds."""
        self.corpus = corpus
        self.samples = [round(seconds * SAMPLE_RATE) for seconds in crops]
        self.reference_samples = round(reference_crop * SAMPLE_RATE)
        self.augmentation = augmentation
        self.seed = seed
        self.device = device

    def views(self, epoch: int, index: np.ndarray, positive: np.ndarray | None = None) -> list:
        """Distorted frames [(B, T_v), ...] of the utterances `index`.

        With `positive`, every second view is cut from those utterances instead (supervised
        positives, whose embeddings are computed rather than taken from the queue).
        """
        out = []
        for v, samples in enumerate(self.samples):
            source = index if positive is None or v % 2 == 0 else positive
            place = draws.uniform(self.seed, epoch, index, 1, VIEWS + v)[:, 0]
            frames = self._frames(source, place, samples)
            distortion = draws.uniform(self.seed, epoch, index, COLUMNS, DISTORTIONS + v)
            uniform = torch.from_numpy(distortion).to(self.device)
            out.append(self.augmentation(frames, uniform))
        return out

    def reference(self, epoch: int, index: np.ndarray) -> Tensor:
        """Longer frames without distortion (B, T), from which pos(i) is determined (III-C1)."""
        place = draws.uniform(self.seed, epoch, index, 1, REFERENCE)[:, 0]
        return self._frames(index, place, self.reference_samples)

    def choices(self, epoch: int, index: np.ndarray) -> Tensor:
        """(B, 2) uniform numbers that decide pos(i)."""
        return torch.from_numpy(draws.uniform(self.seed, epoch, index, 2, POSITIVES))

    def _frames(self, index: np.ndarray, place: np.ndarray, samples: int) -> Tensor:
        frames = torch.from_numpy(self.corpus.crops(index, place, samples))
        return frames.to(self.device).float() / 32768
