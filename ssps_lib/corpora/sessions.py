"""Recordings as channels: a room, a microphone and a noise, which mark all their utterances.

The simulated corpus sends its voices through them. Corpora of read speech often hold one session
for each speaker: giving blocks of their utterances a channel of their own (`Sessions`) makes the
structure that Section III is about; results on such a corpus must say "simulated sessions" (book
chapter 14).
"""

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssps_lib.corpora.corpus import SAMPLE_RATE
from ssps_lib.corpora.synthesis import per_sample, rms

RESPONSE = 8192  # samples of an impulse response
STEP = 4096  # lengths are filled up to a multiple, whose Fourier transforms are fast


@dataclass
class Channel:
    """One recording: the path from mouth to file, and what else was heard.

    Attributes:
        response: (RESPONSE,) impulse response of room and microphone (with its band limits), unit
            energy.
        noise: (n,) magnitude response that colours white noise, on a coarse frequency grid.
        snr: dB.
        modulation: depth of the noise's slow loudness changes, 0 to 1.
        drive: strength of the microphone's saturation.
    """

    response: np.ndarray
    noise: np.ndarray
    snr: float
    modulation: float
    drive: float


def make_channel(rng: np.random.Generator, strength: float) -> Channel:
    """Draw a recording. Strength 0 is a dry, silent, flat one; 1 is the corpus's default."""
    normal, uniform = rng.standard_normal, rng.uniform
    time = np.arange(RESPONSE) / SAMPLE_RATE
    reverberation = 0.05 + 0.55 * uniform() ** 1.5  # seconds to -60 dB
    direct_db = uniform(1.0, 14.0)
    tail = normal(RESPONSE) * 10 ** (-3 * time / reverberation)
    tail[: int(uniform(16, 80))] = 0.0
    tail *= strength * 10 ** (-direct_db / 20) / max(np.linalg.norm(tail), 1e-9)
    tail[0] += 1.0
    # microphone: smooth equaliser, low and high cut
    frequency = np.fft.rfftfreq(2 * RESPONSE, 1 / SAMPLE_RATE)
    octave = np.log2(np.maximum(frequency, 50) / 50) / math.log2(160)  # 0 at 50 Hz, 1 at 8 kHz
    waves = np.cos(np.pi * np.arange(1, 7)[:, None] * octave + uniform(0, np.pi, (6, 1)))
    equaliser_db = strength * (4.0 * normal(6) / np.sqrt(np.arange(1, 7))) @ waves
    high = uniform(3400, 8000) if uniform() < 0.6 * min(strength, 1.5) else 8000.0
    low = uniform(40, 300) * min(strength, 1.0)
    band = 1 / np.sqrt(1 + (frequency / high) ** 16)
    band /= np.sqrt(1 + (low / np.maximum(frequency, 1.0)) ** 6)
    spectrum = np.fft.rfft(tail, 2 * RESPONSE) * 10 ** (equaliser_db / 20) * band
    response = np.fft.irfft(spectrum)[:RESPONSE]
    slope = uniform(-9.0, 1.0)  # dB per octave
    grid = np.arange(65) / 64 * 8000
    bumps = sum(
        uniform(0, 12) * np.exp(-0.5 * ((grid - uniform(100, 7000)) / uniform(100, 900)) ** 2)
        for _ in range(3)
    )
    noise_db = slope * np.log2(np.maximum(grid, 60) / 1000) + bumps
    snr = uniform(10.0, 30.0) - 20 * math.log10(max(strength, 1e-3)) * 0.5
    return Channel(
        (response / np.linalg.norm(response)).astype(np.float32),
        10 ** (noise_db / 20).astype(np.float32),
        float(snr),
        float(uniform(0, 0.9)),
        float(uniform(0.0, 1.5) * strength),
    )


def record(speech: Tensor, channels: list[Channel], noise: Tensor, sway: Tensor) -> Tensor:
    """Send dry speech (B, T) through its recordings' channels.

    Args:
        speech: at any level; it is brought to unit power before noise and saturation.
        channels: B recordings.
        noise: (B, T) unit white noise, coloured and set to the channel's ratio in dB.
        sway: (B, n) unit noise, about three values a second, that moves the noise's loudness.

    Returns:
        (B, T) with a root mean square of 1/6; the few samples beyond [-1, 1] are not clipped here.
    """
    samples, device = speech.shape[1], speech.device

    def stack(name: str) -> Tensor:
        values = np.stack([np.asarray(getattr(c, name), np.float32) for c in channels])
        return torch.from_numpy(values).to(device)

    size = -(-(samples + RESPONSE) // STEP) * STEP
    spectrum, response = (
        torch.fft.rfft(F.pad(x, (0, size - x.shape[1]))) for x in (speech, stack("response"))
    )
    wet = torch.fft.irfft(spectrum * response, size)[:, :samples]
    colour = per_sample(stack("noise"), samples // 2 + 1)
    ambience = torch.fft.irfft(torch.fft.rfft(noise) * colour, samples)
    ambience = ambience * (1 + stack("modulation")[:, None] * per_sample(sway, samples).tanh())
    level = 10 ** (-stack("snr")[:, None] / 20)
    mixed = wet / rms(wet) + ambience * (level / rms(ambience))
    saturated = torch.tanh(stack("drive")[:, None].clamp(min=1e-3) * mixed)
    return saturated / (6 * rms(saturated))


@contextmanager
def one_thread() -> Iterator[None]:
    """Threads of Python that begin inside do not share their work with threads of PyTorch.

    On whose number the last bits of a Fourier transform of one row depend.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Sessions:
    """One channel for each recording, the same whenever and in whatever order it is asked for.

    Args:
        strength: how strongly a recording marks its utterances (`Size.channel`): 0 dry, 1 the
            simulated corpus's.
        seed: another seed gives other rooms, microphones and noises.
    """

    def __init__(self, strength: float = 1.0, seed: int = 1) -> None:
        plain = isinstance(strength, (int, float)) and not isinstance(strength, bool)
        if not (plain and 0 <= strength < math.inf):
            raise ValueError(f"channel is {strength!r}, a strength of 0 or more is needed")
        self.strength, self.seed = strength, seed
        self.channel = lru_cache(maxsize=64)(self._make_channel)

    def _rng(self, name: str) -> np.random.Generator:
        digest = hashlib.sha256(name.encode()).digest()
        return np.random.default_rng([self.seed, int.from_bytes(digest[:8], "big")])

    def _make_channel(self, recording: str) -> Channel:
        return make_channel(self._rng(f"channel {recording}"), self.strength)

    def __call__(self, samples: np.ndarray, key: str) -> np.ndarray:
        """Send an utterance (T,) in [-1, 1] at 16 kHz through its recording's channel.

        `key` is `<speaker>/<recording>/<utterance>`: the first two name the channel, all of it the
        noise. The result has the loudness of the simulated corpus.
        """
        rng = self._rng(key)
        size = -(-len(samples) // STEP) * STEP
        noise = rng.standard_normal((1, size), np.float32)
        sway = rng.standard_normal((1, 3 * size // SAMPLE_RATE + 2), np.float32)
        channel = self.channel("/".join(key.split("/")[:2]))
        speech = torch.from_numpy(np.resize(samples, (1, size)))  # its beginning fills it up
        noisy = record(speech, [channel], torch.from_numpy(noise), torch.from_numpy(sway))
        return noisy[0, : len(samples)].clamp(-1, 1).numpy()
