"""The proportions of a latent corpus: counts, dimensions and energies (book chapter 13)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class LatentCorpus:
    """Proportions of a corpus and of the representations that a trained encoder gives it.

    A scale is the root of the mean energy of a component, whatever its number of dimensions.

    >>> LatentCorpus(speakers=3, recordings=2, utterances=2).labels()[1]
    tensor([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    """

    speakers: int = 300
    recordings: float = 12  # per speaker, on average
    utterances: float = 2  # per recording, on average
    speaker_dims: int = 24  # independent traits of a voice
    recording_dims: int = 24
    utterance_dims: int = 24
    speaker_scale: float = 1.0
    recording_scale: float = 0.7  # channel strength
    utterance_scale: float = 0.4
    unevenness: float = 0.0  # 0: equal counts; 1: as spread as an exponential distribution
    seed: int = 0

    @property
    def dims(self) -> tuple[int, int, int]:
        """Dimensions of the speaker, recording and utterance components."""
        return self.speaker_dims, self.recording_dims, self.utterance_dims

    def labels(self) -> tuple[Tensor, Tensor]:
        """Speaker and recording of each utterance, both (N,) int64, in ascending order."""
        rng = np.random.default_rng(self.seed)
        per_speaker = _counts(self.speakers, self.recordings, 2, self.unevenness, rng)
        per_recording = _counts(per_speaker.sum(), self.utterances, 1, self.unevenness, rng)
        speaker = np.repeat(np.arange(self.speakers), per_speaker)
        recording = np.repeat(np.arange(len(speaker)), per_recording)
        return torch.from_numpy(speaker[recording]), torch.from_numpy(recording)

    def energies(self) -> Tensor:
        """Mean energy of each dimension of the representations, (D,): what the encoder keeps."""
        scales = (self.speaker_scale, self.recording_scale, self.utterance_scale)
        pairs = zip(scales, self.dims, strict=True)
        return torch.cat([torch.full((dims,), scale**2 / dims) for scale, dims in pairs])


# VoxCeleb2 (Section IV-A): 1,092,009 utterances of 5,994 speakers in 145,569 recordings.
VOXCELEB2 = LatentCorpus(
    speakers=5_994,
    recordings=145_569 / 5_994,
    utterances=1_092_009 / 145_569,
    unevenness=0.5,
)


def _counts(
    groups: int, mean: float, least: int, unevenness: float, rng: np.random.Generator
) -> np.ndarray:
    """Sizes (groups,) with a given mean, at least `least` where the mean allows it."""
    total, least = round(groups * mean), min(least, int(mean))
    shares = np.full(groups, 1 / groups)
    if unevenness > 0:
        shares = rng.gamma(1 / unevenness**2, size=groups)
        shares /= shares.sum()
    ends = np.floor(np.cumsum(shares) * (total - groups * least) + 0.5).astype(np.int64)
    return least + np.diff(ends, prepend=0)
