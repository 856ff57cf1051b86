"""Frameworks small enough to compute by hand: an encoder of one matrix."""

import torch
from torch import Tensor, nn

from ssps_lib import frameworks

SAMPLES, DIM = 16, 6
OPTIONS = {
    "simclr": {},
    "moco": {"queue_size": 16},
    "swav": {"prototypes": 5, "hidden": 8, "dim": 4, "queue_size": 12},
    "vicreg": {"hidden": 8, "dim": 4},
    "dino": {"hidden": 8, "bottleneck": 4, "outputs": 7, "local_crops": 2},
    "supervised": {"classes": 3},
}


class TinyEncoder(nn.Module):
    """Mean of blocks of 8 samples, then a matrix; notes the shape of every batch it sees."""

    dim = DIM

    def __init__(self, norm: bool = False) -> None:
        super().__init__()
        self.matrix = nn.Linear(8, DIM)
        self.norm = nn.BatchNorm1d(DIM) if norm else nn.Identity()
        self.seen: list[Tensor] = []

    def forward(self, waveform: Tensor) -> Tensor:
        self.seen.append(waveform)
        blocks = waveform.unflatten(1, (-1, 8)).mean(1)  # (B, 8)
        return self.norm(self.matrix(blocks))


def build(name: str, norm: bool = False, **options) -> frameworks.Framework:
    """The framework with reproducible weights and tiny sizes."""
    torch.manual_seed(0)
    return frameworks.build(name, TinyEncoder(norm), **(OPTIONS[name] | options))


def views_of(framework: frameworks.Framework, batch: int = 4, seed: int = 0) -> list[Tensor]:
    """Waveforms for each crop of the framework."""
    generator = torch.Generator().manual_seed(seed)
    lengths = [int(SAMPLES * ratio) for ratio in framework.crops]
    return [torch.randn(batch, length, generator=generator) for length in lengths]
