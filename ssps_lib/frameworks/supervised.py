"""The supervised baseline (Section IV-C): speaker classification with an angular margin."""

import torch
from torch import Tensor, nn

from ssps_lib import losses
from ssps_lib.frameworks.base import Framework


class Supervised(Framework):
    """AAM-softmax on one crop; labels instead of positives.

    Args:
        encoder: waveforms (B, T) -> (B, encoder.dim).
        classes: number of training speakers, at least 2 (VoxCeleb2: 5,994).
        margin, scale: see `losses.aam_softmax`.
    """

    name = "supervised"
    crops = (1.0,)

    def __init__(
        self, encoder: nn.Module, classes: int, margin: float = 0.2, scale: float = 30.0
    ) -> None:
        super().__init__(encoder)
        self.margin, self.scale = margin, scale
        self.weight = nn.Parameter(nn.init.xavier_normal_(torch.empty(classes, encoder.dim)))

    def forward(self, views: list[Tensor], positive_gradient: bool = True) -> tuple[Tensor, Tensor]:
        """The embedding of the one view, and in place of a positive the same without gradient."""
        z = self.anchor(views)
        return z, z.detach()

    def loss(self, z: Tensor, z_pos: Tensor, labels: Tensor | None = None) -> Tensor:
        """`losses.aam_softmax` of this process's batch with `labels` (B,) in [0, classes)."""
        cosines = losses.cosines(z, self.weight)  # (B, classes)
        return losses.aam_softmax(cosines, labels, self.margin, self.scale)
