"""What every framework is: a joint-embedding architecture with a loss (Figure 2, Section II).

B is the batch of this process; all tensors are batch-first. `training.step.iteration` calls the
hooks in their order. Wrap with DistributedDataParallel's `broadcast_buffers=False`: queues and
centres are equal on all processes by construction.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ssps_lib.frameworks import collapse


class Framework(nn.Module):
    """Base of the frameworks: one encoder for both branches, as in SimCLR.

    Args:
        encoder: waveforms (B, T) -> representations (B, encoder.dim).

    Attributes:
        embedding_shape: of one positive, which is one row of Q'.
    """

    name: ClassVar[str]
    crops: tuple[float, ...] = (1.0, 1.0)
    """Lengths of the views relative to the crop of the run."""
    synchronised_norms: bool = True
    """Whether batch statistics are shared between processes (published: all but MoCo's)."""
    has_projector: ClassVar[bool] = False
    """Whether embeddings are made from representations rather than being them."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.embedding_shape: tuple[int, ...] = (encoder.dim,)

    @property
    def representation_encoder(self) -> nn.Module:
        """The encoder whose output is the speaker representation (the teacher's for DINO)."""
        return self.encoder

    def embed(self, view: Tensor) -> Tensor:
        """Embeddings (B, D) of one view (B, T)."""
        return self.encoder(view)

    def anchor(self, views: list[Tensor]) -> Tensor:
        """Embeddings of the anchors (B, ...) from waveforms [(B, T_v)], one per crop."""
        return self.embed(views[0])

    def positive(self, views: list[Tensor]) -> Tensor:
        """Embeddings of the positives (B, *embedding_shape)."""
        return self.embed(views[1])

    def forward(self, views: list[Tensor], positive_gradient: bool = True) -> tuple[Tensor, Tensor]:
        """Anchors and positives.

        Without `positive_gradient` the positives are only values: enough where `substitute` will
        replace all of them, at a third less work.
        """
        z = self.anchor(views)
        with torch.set_grad_enabled(positive_gradient and torch.is_grad_enabled()):
            return z, self.positive(views)

    def substitute(self, z_pos: Tensor, rows: Tensor, found: Tensor) -> Tensor:
        """Replace positives by pseudo-positives (Algorithm 2, line 2).

        Args:
            z_pos: (B, *embedding_shape), keeps its gradient where nothing was found.
            rows: rows of Q', same shape; any value where nothing was found. No gradient.
            found: (B,) bool.
        """
        found = found.view(-1, *[1] * (z_pos.ndim - 1))
        return torch.where(found, rows.detach().to(z_pos.dtype), z_pos)

    def loss(self, z: Tensor, z_pos: Tensor, labels: Tensor | None = None) -> Tensor:
        """The training loss, 0-d: its mean over the processes is the loss of the global batch."""
        raise NotImplementedError

    def before_step(self, epoch: int, progress: float) -> None:
        """Schedules: `epoch` from 0, `progress` of the whole training in [0, 1]."""

    def after_backward(self, epoch: int) -> None:
        """Cancels the gradients of what is frozen in this epoch, before they are clipped."""

    def after_step(self, z: Tensor, z_pos: Tensor, own: Tensor | None = None) -> None:
        """After the optimiser: moving averages, queues, centre.

        Args:
            z, z_pos: what the loss was computed with, detached.
            own: the positives before `substitute`, detached; None where nothing was substituted.
        """

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Trained parameters for the optimiser."""
        trained = [p for p in self.parameters() if p.requires_grad]
        return [{"params": trained, "weight_decay": weight_decay}]

    def monitors(self, z: Tensor, z_pos: Tensor) -> dict[str, Tensor]:
        """0-d tensors that show a collapse, see `collapse`."""
        return {"embedding_std": collapse.embedding_std(z)}
