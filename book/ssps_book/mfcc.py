"""Statistics of MFCC: the embedding that learns nothing, beside which others are seen."""

from functools import cache

import torch
from torch import Tensor, nn

from ssps_lib.corpora import SAMPLE_RATE


@cache
def _mfcc() -> nn.Module:
    from torchaudio.transforms import MFCC

    mel = {"n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 40}
    # log instead of decibels, whose floor would depend on the loudest utterance of the batch
    return MFCC(SAMPLE_RATE, 20, log_mels=True, melkwargs=mel)


def embedding(waveform: Tensor) -> Tensor:
    """Mean and standard deviation over time of 20 MFCC, (B, 40); to be given to `standardise`.

    Args:
        waveform: (B, T) in [-1, 1] at 16 kHz.
    """
    features = _mfcc().to(waveform.device)(waveform)  # (B, C, L)
    return torch.cat([features.mean(dim=2), features.std(dim=2)], dim=1)


def standardise(embeddings: Tensor) -> Tensor:
    """Zero mean and unit deviation of each dimension over the N rows (the set that is scored)."""
    deviation = embeddings.std(dim=0).clamp(min=1e-8)
    return (embeddings - embeddings.mean(dim=0)) / deviation
