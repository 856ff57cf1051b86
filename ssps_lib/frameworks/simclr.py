"""SimCLR (Section II-A): other utterances of the batch are the negatives."""

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
    """

    name = "simclr"

    def __init__(
        self, encoder: nn.Module, temperature: float = 0.03, symmetric: bool = True
    ) -> None:
        super().__init__(encoder)
        self.temperature, self.symmetric = temperature, symmetric

    def loss(self, z: Tensor, z_pos: Tensor, labels: Tensor | None = None) -> Tensor:
        """`losses.nt_xent` of the global batch."""
        return losses.nt_xent(gather(z), gather(z_pos), self.temperature, self.symmetric)
