"""What every encoder is: a waveform goes in, a representation comes out (Section II)."""

from typing import Any, ClassVar

from torch import Tensor, nn

from ssps_lib.encoders.hub import Pretrained
from ssps_lib.features import LogMel


class Encoder(nn.Module, Pretrained):
    """Waveform (B, T) in [-1, 1] at 16 kHz -> representation (B, dim) in float32.

    The features are part of the encoder, so that a checkpoint carries them. A subclass gives its
    `name`, passes its constructor's options on, and implements `represent`.

    Attributes:
        dim: dimension of the representation.
        features: the `LogMel` in front of the network.
        config: name and options; `encoders.build(**encoder.config)` makes such an encoder again.
    """

    name: ClassVar[str]

    def __init__(self, dim: int, n_mels: int, window: str, **options: Any) -> None:
        super().__init__()
        sizes = {"dim": dim} | {name: x for name, x in options.items() if name != "channels"}
        for option, size in sizes.items():
            if not (isinstance(size, int) and size >= 1):
                raise ValueError(f"{option} is {size!r}, expected a whole number of at least 1.")
        self.dim = dim
        self.config = dict(name=self.name, dim=dim, n_mels=n_mels, window=window, **options)
        self.features = LogMel(n_mels, window)

    def forward(self, waveform: Tensor) -> Tensor:
        return self.represent(self.features(waveform)).float()

    def represent(self, features: Tensor) -> Tensor:
        """Features (B, n_mels, frames) -> representation (B, dim)."""
        raise NotImplementedError


def require_multiple_of_8(channels: int) -> None:
    """Both encoders divide their channels by eight; say so where the width is chosen."""
    if not isinstance(channels, int) or channels < 8 or channels % 8:
        raise ValueError(
            f"channels is {channels!r}, expected a positive multiple of 8; squeeze-and-excitation "
            "(ResNet) and Res2Net (ECAPA) divide it by eight."
        )
