"""Log-mel features with instance normalisation (Section IV-A; book chapter 2)."""

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchaudio.transforms import MelSpectrogram

FOURIER = 512  # points of the Fourier transform
LENGTH = 400  # samples of its window, 25 ms
ROWS = 8  # utterances whose spectra a processor keeps in its caches
WINDOWS = {"hamming": torch.hamming_window, "hann": torch.hann_window}


class PowerMel(MelSpectrogram):
    """torchaudio's `MelSpectrogram`, given `power=None` and `center=False`, in half the time.

    Squares of real and imaginary parts are several times faster than the square of `abs`, and
    `reflection_pad1d`, by which frames are centred, copies sample by sample on a CPU.
    """

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (..., T) -> mel bands (..., n_mels, frames), without gradient."""
        half = FOURIER // 2
        start, end = waveform[..., 1 : half + 1].flip(-1), waveform[..., -half - 1 : -1].flip(-1)
        spectrum = self.spectrogram(torch.cat((start, waveform, end), -1))  # reflected at the ends
        squares = torch.view_as_real(spectrum).square_()
        return self.mel_scale(squares[..., 0] + squares[..., 1])


class LogMel(nn.Module):
    """Waveform (B, T) -> normalised log-mel spectrogram (B, n_mels, frames), float32.

    The power spectrum of 25 ms at 16 kHz every `hop_length` samples goes through `n_mels` HTK mel
    bands between 0 and 8 kHz; log(mel + 1e-6) then gets zero mean and unit (biased) variance over
    time in each band of each utterance. There are no parameters and there is no gradient; float32
    is kept under autocast. frames = 1 + T // hop_length.

    Args:
        n_mels: number of mel bands (the paper: 40; the published DINO: 80, whose lowest bands are
            narrower than a Fourier bin, so that some of them are constantly zero).
        window: "hamming" (the paper) or "hann" (the published DINO).
        hop_length: samples between frames, 160 (10 ms, the paper) unless given; 320 halves the work
            of an encoder.

    Raises:
        ValueError: unknown options, or a waveform that is not (B, T), not floating point, or not
            longer than half a Fourier window.

    >>> LogMel(n_mels=40)(torch.randn(2, 32_000)).shape
    torch.Size([2, 40, 201])
    """

    def __init__(self, n_mels: int = 40, window: str = "hamming", hop_length: int = 160) -> None:
        super().__init__()
        if window not in WINDOWS:
            raise ValueError(f"window is {window!r}, expected one of {sorted(WINDOWS)}.")
        if not (isinstance(n_mels, int) and n_mels >= 1):
            raise ValueError(f"n_mels is {n_mels!r}, expected at least one mel band.")
        if not (isinstance(hop_length, int) and 1 <= hop_length <= LENGTH):
            raise ValueError(
                f"hop_length is {hop_length!r}, expected 1 to {LENGTH} samples (160 are 10 ms)."
            )
        with warnings.catch_warnings():  # the empty low bands of 80 mels are as published
            warnings.filterwarnings("ignore", message="At least one mel filterbank")
            self.mel = PowerMel(
                16_000, FOURIER, LENGTH, hop_length,
                n_mels=n_mels, window_fn=WINDOWS[window], power=None, center=False,
            )  # fmt: skip
        self.n_mels, self.window, self.hop_length = n_mels, window, hop_length

    @torch.no_grad()
    def forward(self, waveform: Tensor) -> Tensor:
        if waveform.dim() != 2:
            raise ValueError(
                f"waveform has shape {tuple(waveform.shape)}, expected (B, T); a single utterance "
                "needs a batch axis: waveform[None]."
            )
        if not waveform.is_floating_point():
            raise ValueError(
                f"waveform is {waveform.dtype}, expected floating point in [-1, 1]; 16-bit samples "
                "must be divided by 32768."
            )
        if waveform.shape[1] <= FOURIER // 2:
            raise ValueError(
                f"waveform has {waveform.shape[1]} samples, expected more than {FOURIER // 2}; the "
                "crop is too short, or its length was given in seconds."
            )
        with torch.autocast(waveform.device.type, enabled=False):
            rows = ROWS if waveform.device.type == "cpu" else len(waveform)
            mel = torch.cat([self.mel(part) for part in waveform.float().split(rows)])
            log_mel = torch.log(mel + 1e-6)
            return F.instance_norm(log_mel, eps=1e-5)  # (B, n_mels, frames)
