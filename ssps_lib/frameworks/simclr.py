"""SimCLR (Section II-A): other utterances of the batch are the negatives."""

import torch
from torch import Tensor, nn

from ssps_lib import losses
from ssps_lib.distributed import gather
from ssps_lib.frameworks.base import Framework


class SimCLR(Framework):
    """NT-Xent on the representations themselves: no projector (Section IV-C).

    Args:
        encoder: waveforms (B, T) -> (B, encoder.dim).
        temperature: tau, above 0.
        symmetric: see `losses.nt_xent`.
        symmetric_positives: the variant of Section III-C3, in which the positive z' of an utterance
            is an anchor too, with a pseudo-positive of its own: q of pos(i). Then z and z' are the
            rows of a (B, 2, D) tensor and each of Q' holds z' and z; the loss is the mean of both.
    """

    name = "simclr"

    def __init__(
        self,
        encoder: nn.Module,
        temperature: float = 0.03,
        symmetric: bool = True,
        symmetric_positives: bool = False,
    ) -> None:
        super().__init__(encoder)
        self.temperature, self.symmetric = temperature, symmetric
        self.symmetric_positives = symmetric_positives
        if symmetric_positives:
            self.embedding_shape = (2, encoder.dim)

    def positive(self, views: list[Tensor]) -> Tensor:
        """z', or z' and z where both are anchors."""
        if not self.symmetric_positives:
            return super().positive(views)
        return torch.stack([self.embed(views[1]), self.embed(views[0])], dim=1)

    def forward(self, views: list[Tensor], positive_gradient: bool = True) -> tuple[Tensor, Tensor]:
        """Anchors and positives; where both views are anchors, the positives are them, swapped."""
        if not self.symmetric_positives:
            return super().forward(views, positive_gradient)
        z = torch.stack([self.embed(view) for view in views], dim=1)
        return z, z.flip(1)

    def loss(self, z: Tensor, z_pos: Tensor, labels: Tensor | None = None) -> Tensor:
        """`losses.nt_xent` of the global batch."""
        z, z_pos = gather(z), gather(z_pos)
        if not self.symmetric_positives:
            return losses.nt_xent(z, z_pos, self.temperature, self.symmetric)
        both = zip(z.unbind(1), z_pos.unbind(1), strict=True)
        one, other = (losses.nt_xent(*pair, self.temperature, self.symmetric) for pair in both)
        return (one + other) / 2

    def monitors(self, z: Tensor, z_pos: Tensor) -> dict[str, Tensor]:
        """See `Framework.monitors`."""
        return super().monitors(z.flatten(0, -2), z_pos)
