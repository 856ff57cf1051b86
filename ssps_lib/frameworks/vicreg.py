"""VICReg (Section II-D): pairs close, every dimension spread, no two dimensions alike."""

from torch import Tensor, nn

from ssps_lib import losses
from ssps_lib.distributed import gather
from ssps_lib.frameworks.base import Framework
from ssps_lib.frameworks.heads import mlp


class VICReg(Framework):
    """Invariance, variance and covariance of the projected embeddings, which are not normalised.

    Args:
        encoder: waveforms (B, T) -> (B, encoder.dim).
        hidden, dim: widths of the projector.
        invariance, variance, covariance: lambda, mu and nu.
        reduction: see `losses.vicreg`.
    """

    name = "vicreg"
    has_projector = True

    def __init__(
        self,
        encoder: nn.Module,
        hidden: int = 2_048,
        dim: int = 512,
        invariance: float = 1.0,
        variance: float = 1.0,
        covariance: float = 0.04,
        reduction: str = "mean",
    ) -> None:
        super().__init__(encoder)
        self.weights = (invariance, variance, covariance)
        self.reduction, self.embedding_shape = reduction, (dim,)
        self.projector = mlp((encoder.dim, hidden, hidden, dim), nn.ReLU)

    def embed(self, view: Tensor) -> Tensor:
        """Projected embeddings (B, D)."""
        return self.projector(self.encoder(view))

    def loss(self, z: Tensor, z_pos: Tensor, labels: Tensor | None = None) -> Tensor:
        """`losses.vicreg` of the global batch."""
        return losses.vicreg(gather(z), gather(z_pos), *self.weights, self.reduction)
