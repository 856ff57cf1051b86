"""Simulated sessions: recordings without session labels pass one simulated channel each.

Corpora of read speech often hold one session for each speaker. Giving blocks of their utterances a
room, a microphone and a noise of their own makes the structure that Section III is about; results
on such a corpus must say "simulated sessions" (book chapter on real speech).
"""

import hashlib
import math
from functools import lru_cache

import numpy as np
import torch

from ssps_lib.corpora.corpus import SAMPLE_RATE
from ssps_lib.corpora.simulated import Channel, make_channel, record

STEP = 4096  # lengths are filled up to a multiple, whose Fourier transforms are fast


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

    def __reduce__(self) -> tuple:
        return Sessions, (self.strength, self.seed)  # its memory of channels stays here

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
