"""SwAV (Section II-C): the prototypes assigned to one view are predicted from the other."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssps_lib import losses
from ssps_lib.distributed import gather
from ssps_lib.frameworks import collapse
from ssps_lib.frameworks.base import Framework
from ssps_lib.frameworks.heads import Prototypes, mlp
from ssps_lib.frameworks.momentum import enqueue


class SwAV(Framework):
    """Swapped prediction of Sinkhorn codes over learnt prototypes.

    Args:
        encoder: waveforms (B, T) -> (B, encoder.dim).
        prototypes: P, at least 2.
        hidden, dim: widths of the projector.
        queue_size: recent embeddings per view that join the batch when codes are computed, at
            least the batch of all processes; 0 for none.
        queue_start: first epoch (from 0) in which they do.
        frozen_epochs: epochs in which the prototypes do not learn.
        epsilon, iterations: see `losses.sinkhorn`.
        temperature, symmetric, per_prototype: see `losses.swav`.
    """

    name = "swav"
    has_projector = True

    def __init__(
        self,
        encoder: nn.Module,
        prototypes: int = 3_000,
        temperature: float = 0.1,
        hidden: int = 2_048,
        dim: int = 512,
        queue_size: int = 3_840,
        queue_start: int = 15,
        frozen_epochs: int = 1,
        epsilon: float = 0.05,
        iterations: int = 3,
        symmetric: bool = True,
        per_prototype: bool = False,
    ) -> None:
        super().__init__(encoder)
        self.temperature, self.symmetric, self.per_prototype = temperature, symmetric, per_prototype
        self.epsilon, self.iterations = epsilon, iterations
        self.queue_start, self.frozen_epochs = queue_start, frozen_epochs
        self.epoch, self.embedding_shape = 0, (dim,)
        self.projector = mlp((encoder.dim, hidden, hidden, dim), nn.ReLU)
        self.prototypes = Prototypes(dim, prototypes)
        self.register_buffer("queue", torch.zeros(2, queue_size, dim))
        self.register_buffer("pointer", torch.tensor(0))
        self.assignment_entropy = torch.tensor(math.nan)

    def embed(self, view: Tensor) -> Tensor:
        """L2-normalised projected embeddings (B, D)."""
        return F.normalize(self.projector(self.encoder(view)), dim=-1)

    @torch.no_grad()
    def codes(self, scores: Tensor, view: int) -> Tensor:
        """Soft assignments (B, P) of the global batch, helped by the queue of view 0 or 1."""
        batch = len(scores)
        if self.epoch >= self.queue_start and self.queue.shape[1]:
            scores = torch.cat([scores, self.prototypes(self.queue[view])])
        return losses.sinkhorn(scores, self.epsilon, self.iterations)[:batch]

    def loss(self, z: Tensor, z_pos: Tensor, labels: Tensor | None = None) -> Tensor:
        """`losses.swav` of the global batch."""
        scores = [self.prototypes(gather(x)) for x in (z, z_pos)]  # (W * B, P)
        codes = [self.codes(x, view) for view, x in enumerate(scores)]
        self.assignment_entropy = collapse.relative_entropy(codes[0])
        return losses.swav(*scores, *codes, self.temperature, self.symmetric, self.per_prototype)

    def before_step(self, epoch: int, progress: float) -> None:
        """Remembers the epoch, which opens the queue."""
        self.epoch = epoch

    def after_backward(self, epoch: int) -> None:
        """The prototypes are frozen in the first epochs."""
        if epoch < self.frozen_epochs:
            self.prototypes.weight.grad = None

    def after_step(self, z: Tensor, z_pos: Tensor, own: Tensor | None = None) -> None:
        """Enqueues both views; as published the mini-batch's own, not the pseudo-positives."""
        if self.queue.shape[1]:
            views = torch.stack([z, z_pos if own is None else own], dim=1)
            enqueue(self.queue, self.pointer, gather(views))

    @torch.no_grad()
    def monitors(self, z: Tensor, z_pos: Tensor) -> dict[str, Tensor]:
        """Spread of the anchors, and relative entropies.

        Collapsed embeddings have an `assignment_entropy` of 1 (of the codes of view 1 in the last
        `loss`), a dead dictionary has a `prototype_usage` (of the predictions) near 0.
        """
        predictions = F.softmax(self.prototypes(z) / self.temperature, dim=1)
        return {
            "embedding_std": collapse.embedding_std(z),
            "assignment_entropy": self.assignment_entropy,
            "prototype_usage": collapse.relative_entropy(predictions.mean(0)),
        }
