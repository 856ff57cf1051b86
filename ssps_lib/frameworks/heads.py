"""What stands between representation and loss (Section IV-C): projector and head of DINO."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mlp(sizes: tuple[int, ...], activation: type[nn.Module]) -> nn.Sequential:
    """Linear layers from sizes[0] to sizes[-1]; batch norm and activation after all but the last.

    >>> sum(p.numel() for p in mlp((512, 2048, 2048, 512), nn.ReLU).parameters())
    6304256
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), activation()]
    return nn.Sequential(*layers[:-2])


class Prototypes(nn.Module):
    """Linear layer (..., inputs) -> (..., outputs) without bias, whose rows have norm 1.

    This is weight normalisation with its gain fixed to 1: for inputs of norm 1, cosines. In full
    precision also under autocast.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.Linear(inputs, outputs, bias=False).weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x.to(self.weight.dtype), F.normalize(self.weight, dim=1))


class DINOHead(nn.Module):
    """MLP to a bottleneck of norm 1, then `Prototypes`; GELU as published, ReLU in IV-C."""

    def __init__(self, dim: int, hidden: int, bottleneck: int, outputs: int) -> None:
        super().__init__()
        self.mlp = mlp((dim, hidden, hidden, bottleneck), nn.GELU)
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.last = Prototypes(bottleneck, outputs)

    def bottleneck(self, y: Tensor) -> Tensor:
        """Representations (B, dim) -> (B, bottleneck) of norm 1."""
        return F.normalize(self.mlp(y), dim=-1)

    def forward(self, y: Tensor) -> Tensor:
        """Representations (B, dim) -> logits (B, outputs)."""
        return self.last(self.bottleneck(y))
