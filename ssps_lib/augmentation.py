"""Data augmentation of Section IV-B: reverberation, then background noise, batched on the device.

The published recipe reverberates every frame and adds exactly one of speech, music or noise; DINO
draws one of {none, reverberation, noise, both}. `noises` fills the bank that is drawn from.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from ssps_lib import files
from ssps_lib.devices import to_device

COLUMNS = 6  # uniform numbers that one frame consumes
SNR_DB = {"speech": (13.0, 20.0), "music": (5.0, 15.0), "noise": (0.0, 15.0)}
FEW = 256  # rooms whose spectra are kept, a third of the work of reverberation
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


def write_bank(bank: Bank, file: Path) -> None:
    """Write a bank; the file appears when it is complete."""
    kinds = {f"kinds.{kind}": torch.tensor(rows) for kind, rows in bank.kinds.items()}
    with files.whole(file) as partial:
        save_file({"responses": bank.responses, "noises": bank.noises, **kinds}, str(partial))


def read_bank(file: Path) -> Bank:
    """The bank that `write_bank` wrote."""
    tensors = load_file(str(file))
    kinds = {kind: tuple(tensors[f"kinds.{kind}"].tolist()) for kind in SNR_DB}
    return Bank(tensors["responses"], tensors["noises"], kinds)


def reverberate(x: Tensor, response: Tensor) -> Tensor:
    """Convolve frames (B, T) with impulse responses (B, L) and keep the first T samples."""
    return _convolved(x, _spectrum(response, x.shape[1]), response.shape[1])


def _convolved(x: Tensor, spectrum: Tensor, length: int) -> Tensor:
    samples = x.shape[1]
    product = _spectrum(x, length).mul_(spectrum)
    return torch.fft.irfft(product, samples + length)[:, :samples]


def _spectrum(x: Tensor, silence: int) -> Tensor:
    """Of x (B, T) and a silence after it; rfft(x, size) takes three times as long on a CPU."""
    return torch.fft.rfft(F.pad(x, (0, silence)))


def add_noise(x: Tensor, noise: Tensor, snr_db: Tensor) -> Tensor:
    """Add noise (B, T) to frames (B, T) at exactly `snr_db` (B,), whatever their levels.

    A silent frame stays silent, since no noise level has a finite ratio to it.
    """
    speech_level = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    noise_level = torch.linalg.vector_norm(noise, dim=-1, keepdim=True)
    wanted = speech_level * 10 ** (-snr_db[:, None] / 20)
    gain = torch.where(noise_level > 0, wanted / noise_level, 0.0)
    return torch.addcmul(x, gain, noise)


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
        self.bank, self.policy = bank, policy
        self._spectra: dict[int, Tensor] = {}  # of all rooms, by the length of frames

    def __call__(self, x: Tensor, uniform: Tensor) -> Tensor:
        """Frames (B, T) in [-1, 1] and (B, COLUMNS) uniform numbers -> distorted frames (B, T)."""
        if self.policy == "none":
            return x
        u = uniform.unbind(1)
        wet = self._reverberated(x, u[1])
        if self.policy == "reverb+noise":
            return self._noisy(wet, u)
        choice = (u[0] * 4).long()[:, None]  # none, reverberation, noise, both
        base = torch.where((choice == 1) | (choice == 3), wet, x)
        return torch.where(choice >= 2, self._noisy(base, u), base)

    def _reverberated(self, x: Tensor, u: Tensor) -> Tensor:
        rooms, samples = self.bank.responses, x.shape[1]
        row = _pick(u, 0, len(rooms))
        if len(rooms) > FEW:
            return reverberate(x, rooms[row].float())
        if samples not in self._spectra:
            self._spectra[samples] = _spectrum(rooms.float(), samples)
        return _convolved(x, self._spectra[samples][row], rooms.shape[1])

    def _noisy(self, x: Tensor, u: tuple[Tensor, ...]) -> Tensor:
        kinds = list(self.bank.kinds)
        table = torch.tensor([[*self.bank.kinds[kind], *SNR_DB[kind]] for kind in kinds])
        table = to_device(table, x.device)
        first, last, low, high = table[(u[2] * len(kinds)).long()].unbind(1)
        row = _pick(u[3], first, last)
        samples, length = x.shape[1], self.bank.noises.shape[1]
        start = _pick(u[4], 0, length - samples + 1)
        every = self.bank.noises.flatten().unfold(0, samples, 1)  # (starts, T) without a copy
        noise = every.index_select(0, row * length + start).to(x.dtype)
        return add_noise(x, noise, low + u[5] * (high - low))
