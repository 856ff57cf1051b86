"""Take a trained encoder to where this library is not: `torch.export` programs and ONNX files.

Both hold features and network as one graph from waveform to representation, for any number of
utterances of any length. Complex numbers are not part of every runtime, so the graph computes the
spectrum as a convolution with cosines and sines; its outputs equal the encoder's to rounding.
"""

import copy
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssps_lib.encoders import Encoder
from ssps_lib.features import LogMel

EXAMPLE = 16_000  # samples of the two utterances that the graph is traced with


class PortableLogMel(nn.Module):
    """`LogMel` in elementary operations: (B, T) -> (B, n_mels, frames), without complex numbers.

    >>> waveform = torch.sin(torch.arange(8_000.0) ** 1.3 / 900)[None]
    >>> features = LogMel()
    >>> bool((PortableLogMel(features)(waveform) - features(waveform)).abs().max() < 1e-3)
    True
    """

    def __init__(self, features: LogMel) -> None:
        super().__init__()
        spectrogram = features.mel.spectrogram
        self.hop, self.margin = spectrogram.hop_length, spectrogram.n_fft // 2
        waves = _windowed_waves(spectrogram.window, spectrogram.n_fft)
        self.register_buffer("waves", waves)
        self.register_buffer("bands", features.mel.mel_scale.fb.T.contiguous())  # (n_mels, bins)

    def forward(self, waveform: Tensor) -> Tensor:
        padded = F.pad(waveform[:, None], (self.margin, self.margin), mode="reflect")
        cosine, sine = F.conv1d(padded, self.waves, stride=self.hop).chunk(2, dim=1)
        log_mel = torch.log(self.bands @ (cosine.square() + sine.square()) + 1e-6)
        centred = log_mel - log_mel.mean(2, keepdim=True)
        return centred * torch.rsqrt(centred.square().mean(2, keepdim=True) + 1e-5)


def _windowed_waves(window: Tensor, n_fft: int) -> Tensor:
    """Cosines, then sines, of each Fourier bin under the centred window: (2 * bins, 1, n_fft)."""
    left = (n_fft - len(window)) // 2
    padded = F.pad(window.double(), (left, n_fft - len(window) - left))
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64)
    angles = 2 * torch.pi / n_fft * torch.outer(bins, torch.arange(n_fft, dtype=torch.float64))
    waves = torch.cat([angles.cos(), angles.sin()]) * padded
    return waves[:, None].float()


class Portable(nn.Module):
    """An encoder whose features are `PortableLogMel`: waveform (B, T) -> (B, dim)."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.features = PortableLogMel(encoder.features)
        self.encoder = encoder

    def forward(self, waveform: Tensor) -> Tensor:
        return self.encoder.represent(self.features(waveform)).float()


def to_program(encoder: Encoder) -> torch.export.ExportedProgram:
    """The encoder (on the CPU) as a `torch.export` program, in eval mode, for any B and T.

    `torch.export.save(program, "encoder.pt2")` writes it; it runs without this library.
    """
    module = Portable(copy.deepcopy(encoder)).eval()
    dynamic = torch.export.Dim.DYNAMIC
    shapes = {"waveform": {0: dynamic, 1: dynamic}}
    with torch.no_grad():
        return torch.export.export(module, (torch.zeros(2, EXAMPLE),), dynamic_shapes=shapes)


def to_onnx(encoder: Encoder, path: str | os.PathLike[str]) -> Path:
    """Write the encoder as one ONNX file, input `waveform`, output `representation`.

    Raises:
        ModuleNotFoundError: onnx and onnxscript are not installed (the extra `export`).
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"writing ONNX needs the package {error.name}: pip install onnx onnxscript",
            name=error.name,
        ) from None
    torch.onnx.export(
        to_program(encoder), (), os.fspath(path), dynamo=True, verbose=False, external_data=False,
        input_names=["waveform"], output_names=["representation"],
    )  # fmt: skip
    return Path(path)
