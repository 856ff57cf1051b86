"""Data augmentation of Section IV-B: reverberation, then background noise, batched on the device.

The published recipe reverberates every frame and adds exactly one of speech, music or noise; DINO
draws one of {none, reverberation, noise, both}. Without the MUSAN and RIR corpora a generated bank
serves: rooms as decaying noise, coloured noise, chords, and babble of other training utterances.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from ssps_lib.corpora.corpus import SAMPLE_RATE, Corpus
from ssps_lib.devices import to_device

COLUMNS = 6  # uniform numbers that one frame consumes
SNR_DB = {"speech": (13.0, 20.0), "music": (5.0, 15.0), "noise": (0.0, 15.0)}
POLICIES = ("none", "reverb+noise", "dino")


@dataclass
class Bank:
    """What augmentation draws from, on one device.

    Attributes:
        responses: (R, L) room impulse responses of unit energy.
        noises: (M, T) background sounds at any level.
        kinds: rows of `noises` that belong to each kind, as half-open ranges.
    """

    responses: Tensor
    noises: Tensor
    kinds: dict[str, tuple[int, int]]

    def to(self, device: torch.device | str) -> "Bank":
        return Bank(self.responses.to(device), self.noises.to(device), self.kinds)


def reverberate(x: Tensor, response: Tensor) -> Tensor:
    """Convolve frames (B, T) with impulse responses (B, L) and keep the first T samples."""
    samples, length = x.shape[-1], response.shape[-1]
    # Padded beforehand: rfft(x, size) takes three times as long on a CPU.
    spectrum = torch.fft.rfft(F.pad(x, (0, length))) * torch.fft.rfft(F.pad(response, (0, samples)))
    return torch.fft.irfft(spectrum, samples + length)[..., :samples]


def add_noise(x: Tensor, noise: Tensor, snr_db: Tensor) -> Tensor:
    """Add noise (B, T) to frames (B, T) at exactly `snr_db` (B,), whatever their levels.

    A silent frame stays silent, since no noise level has a finite ratio to it.
    """
    speech_power = x.square().mean(-1, keepdim=True)
    noise_power = noise.square().mean(-1, keepdim=True)
    wanted = speech_power * 10 ** (-snr_db[:, None] / 10)
    gain = torch.where(noise_power > 0, (wanted / noise_power).sqrt(), 0.0)
    return x + gain * noise


def _pick(uniform: Tensor, low: int | Tensor, high: int | Tensor) -> Tensor:
    """Integers from low to high - 1; in single precision the largest draws would round to high."""
    size = high - low
    return (low + (uniform * size).long().clamp(max=size - 1)).long()


class Augmentation:
    """Distort frames by a policy: "none", "reverb+noise" (Section IV-B) or "dino".

    Raises:
        ValueError: an unknown policy.
    """

    def __init__(self, bank: Bank | None, policy: str) -> None:
        if policy not in POLICIES:
            raise ValueError(f"augmentation '{policy}' is unknown; choose one of {POLICIES}")
        if bank is None and policy != "none":
            raise ValueError(f"augmentation '{policy}' needs a bank of responses and noises")
        self.bank = bank
        self.policy = policy

    def __call__(self, x: Tensor, uniform: Tensor) -> Tensor:
        """Frames (B, T) in [-1, 1] and (B, COLUMNS) uniform numbers -> distorted frames (B, T)."""
        if self.policy == "none":
            return x
        u = uniform.unbind(1)
        wet = reverberate(x, self._responses(u[1]))
        if self.policy == "reverb+noise":
            return self._noisy(wet, u)
        choice = (u[0] * 4).long()[:, None]  # none, reverberation, noise, both
        base = torch.where((choice == 1) | (choice == 3), wet, x)
        return torch.where(choice >= 2, self._noisy(base, u), base)

    def _responses(self, u: Tensor) -> Tensor:
        return self.bank.responses[_pick(u, 0, len(self.bank.responses))].float()

    def _noisy(self, x: Tensor, u: tuple[Tensor, ...]) -> Tensor:
        kinds = list(self.bank.kinds)
        table = torch.tensor([[*self.bank.kinds[kind], *SNR_DB[kind]] for kind in kinds])
        table = to_device(table, x.device)
        first, last, low, high = table[(u[2] * len(kinds)).long()].unbind(1)
        row = _pick(u[3], first, last)
        samples = x.shape[1]
        start = _pick(u[4], 0, self.bank.noises.shape[1] - samples + 1)
        every = self.bank.noises.unfold(1, samples, 1)  # (M, starts, T) without a copy
        noise = every[row, start].to(x.dtype)
        return add_noise(x, noise, low + u[5] * (high - low))


def generated_bank(
    corpus: Corpus, seed: int = 0, size: int = 64, seconds: float = 8.0, rooms: int = 200
) -> Bank:
    """A bank without any download: rooms, noises and chords from noise, babble from the corpus.

    Args:
        corpus: training utterances; two to five of them are summed for each piece of babble.
        size: number of sounds of each kind.
        seconds: duration of each sound.
        rooms: number of impulse responses (0.5 s each).
    """
    rng = np.random.default_rng([seed, 77])
    samples = int(seconds * SAMPLE_RATE)
    sounds = {kind: generated_sounds(rng, kind, corpus, size, samples) for kind in SNR_DB}
    return joined_bank(generated_rooms(rng, rooms), sounds)


def joined_bank(responses: np.ndarray, sounds: dict[str, np.ndarray]) -> Bank:
    """Responses (R, L) and sounds (M_kind, T) of each kind as a bank."""
    ends = np.cumsum([len(sounds[kind]) for kind in SNR_DB]).tolist()
    return Bank(
        torch.from_numpy(responses),
        torch.from_numpy(np.concatenate([sounds[kind] for kind in SNR_DB])).half(),
        dict(zip(SNR_DB, zip([0, *ends[:-1]], ends, strict=True), strict=True)),
    )


def generated_sounds(
    rng: np.random.Generator, kind: str, corpus: Corpus, size: int, samples: int
) -> np.ndarray:
    """`size` sounds of a kind, (size, samples): babble of the corpus, chords or coloured noise."""
    make = {
        "speech": lambda: _babble(rng, corpus, samples),
        "music": lambda: _chords(rng, samples),
        "noise": lambda: _coloured(rng, samples),
    }[kind]
    return np.stack([make() for _ in range(size)])


def generated_rooms(rng: np.random.Generator, count: int) -> np.ndarray:
    """Impulse responses (count, 8000) of unit energy."""
    return np.stack([_room(rng) for _ in range(count)])


def cached_bank(corpus: Corpus, file: Path) -> Bank:
    """`generated_bank(corpus)`, read from `file` where it was made before."""
    if not file.exists():
        write_bank(generated_bank(corpus), file)
    return read_bank(file)


def write_bank(bank: Bank, file: Path) -> None:
    """Write a bank; the file appears when it is complete."""
    kinds = {f"kinds.{kind}": torch.tensor(rows) for kind, rows in bank.kinds.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}")
    save_file({"responses": bank.responses, "noises": bank.noises, **kinds}, str(partial))
    partial.replace(file)


def read_bank(file: Path) -> Bank:
    """The bank that `write_bank` wrote."""
    tensors = load_file(str(file))
    kinds = {key[6:]: tuple(v.tolist()) for key, v in tensors.items() if key.startswith("kinds.")}
    return Bank(tensors["responses"], tensors["noises"], {k: kinds[k] for k in SNR_DB})


def _unit(x: np.ndarray) -> np.ndarray:
    return (0.1 * x / max(np.sqrt(np.mean(x**2)), 1e-9)).astype(np.float32)


def _room(rng: np.random.Generator, samples: int = 8000) -> np.ndarray:
    time = np.arange(samples) / SAMPLE_RATE
    decay = rng.uniform(0.08, 0.8)  # seconds to -60 dB
    tail = rng.standard_normal(samples) * 10 ** (-3 * time / decay)
    tail[: rng.integers(10, 120)] = 0
    tail *= 10 ** (-rng.uniform(-2, 12) / 20) / np.linalg.norm(tail)
    tail[0] += 1
    return (tail / np.linalg.norm(tail)).astype(np.float32)


def _coloured(rng: np.random.Generator, samples: int) -> np.ndarray:
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.linspace(0, SAMPLE_RATE / 2, len(spectrum))
    level_db = rng.uniform(-9, 1) * np.log2(np.maximum(frequency, 60) / 1000)
    for _ in range(3):
        centre, width = rng.uniform(100, 7000), rng.uniform(100, 1200)
        level_db += rng.uniform(0, 12) * np.exp(-0.5 * ((frequency - centre) / width) ** 2)
    sound = np.fft.irfft(spectrum * 10 ** (level_db / 20), samples)
    knots = rng.standard_normal(int(3 * samples / SAMPLE_RATE) + 2)
    sway = np.interp(np.arange(samples), np.linspace(0, samples, len(knots)), knots)
    return _unit(sound * (1 + rng.uniform(0, 0.9) * np.tanh(sway)))


def _chords(rng: np.random.Generator, samples: int) -> np.ndarray:
    time = np.arange(samples) / SAMPLE_RATE
    out = np.zeros(samples)
    beat = rng.uniform(0.2, 0.8)
    for start in np.arange(0, time[-1], beat):
        span = slice(int(start * SAMPLE_RATE), min(samples, int((start + beat) * SAMPLE_RATE)))
        local = time[span] - start
        for note in rng.integers(36, 84, 3):
            base = 440 * 2 ** ((note - 69) / 12)
            for harmonic in range(1, 5):
                out[span] += (
                    np.sin(2 * np.pi * base * harmonic * local + rng.uniform(0, 6))
                    * np.exp(-local / beat)
                    / harmonic
                )
    return _unit(out)


def _babble(rng: np.random.Generator, corpus: Corpus, samples: int) -> np.ndarray:
    chosen = rng.integers(0, len(corpus), rng.integers(2, 6))
    return _unit(sum(np.resize(_unit(corpus.audio(i).astype(np.float32)), samples) for i in chosen))
