"""MoCo (Section II-B): negatives from a memory of keys, keys from a slowly moving encoder."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssps_lib import draws, losses
from ssps_lib.devices import to_device
from ssps_lib.distributed import gather, rank, world_size
from ssps_lib.frameworks import collapse
from ssps_lib.frameworks.base import Framework
from ssps_lib.frameworks.momentum import enqueue, move_average, teacher_of


class MoCo(Framework):
    """InfoNCE in both directions, each with its own queue, as published (Eq. 2 has one).

    Direction 0 has queries of view 1 and keys of view 2, direction 1 the reverse: anchors and
    positives are (B, 2, D). There is no projector (Section IV-C).

    Args:
        encoder: waveforms (B, T) -> (B, encoder.dim), of the queries; the keys' starts as its copy.
        temperature: tau, above 0.
        queue_size: keys per direction, at least the batch of all processes.
        momentum: of the key encoder, in [0, 1].
        symmetric: False: Eq. 2, direction 0 only.
        pseudo_negatives: published: under SSPS the pseudo-positives enter the queue. False: the
            keys of the mini-batch do, as the paper's text says.
        shuffled_norms: published: each process normalises by its own rows, and the rows of keys are
            shuffled over the processes before, so that a query and its key share no batch
            statistics by which to find each other. The model then depends on the number of
            processes. False: batch statistics of all processes, as in the other frameworks.
    """

    name = "moco"

    def __init__(
        self,
        encoder: nn.Module,
        temperature: float = 0.03,
        queue_size: int = 65_536,
        momentum: float = 0.999,
        symmetric: bool = True,
        pseudo_negatives: bool = True,
        shuffled_norms: bool = False,
    ) -> None:
        super().__init__(encoder)
        self.synchronised_norms = not shuffled_norms
        self.temperature, self.momentum, self.symmetric = temperature, momentum, symmetric
        self.pseudo_negatives, self.progress = pseudo_negatives, 0.0
        self.embedding_shape = (2, encoder.dim)  # both keys of an utterance
        self.key_encoder = teacher_of(encoder)
        noise = torch.randn(2, queue_size, encoder.dim)
        self.register_buffer("queue", F.normalize(noise, dim=-1))
        self.register_buffer("pointer", torch.tensor(0))

    def anchor(self, views: list[Tensor]) -> Tensor:
        """Queries of both views, (B, 2, D)."""
        return torch.stack([self.encoder(view) for view in views], dim=1)

    @torch.no_grad()
    def positive(self, views: list[Tensor]) -> Tensor:
        """Key of view 2 and key of view 1, (B, 2, D), without gradient."""
        return torch.stack([self._key(views[1]), self._key(views[0])], dim=1)

    def _key(self, view: Tensor) -> Tensor:
        """Keys (B, D) of a view, encoded in an order that is shuffled over the processes."""
        if self.synchronised_norms and world_size() > 1:
            return self.key_encoder(view)  # the order makes no difference
        everyone = gather(view)
        # a function of the progress: equal on all processes, and after a resume
        order = draws.permutation(0, int(self.progress * 2**53), len(everyone))
        order = to_device(order, view.device)
        mine = slice(rank() * len(view), (rank() + 1) * len(view))
        keys = gather(self.key_encoder(everyone[order[mine]]))
        return keys[order.argsort()[mine]]

    def loss(self, z: Tensor, z_pos: Tensor, labels: Tensor | None = None) -> Tensor:
        """Mean of `losses.moco` over the directions, for this process's queries."""
        directions = [0, 1] if self.symmetric else [0]
        return torch.stack(
            [losses.moco(z[:, d], z_pos[:, d], self.queue[d], self.temperature) for d in directions]
        ).mean()

    def before_step(self, epoch: int, progress: float) -> None:
        """Remembers the progress, which seeds the shuffling."""
        self.progress = progress

    def after_step(self, z: Tensor, z_pos: Tensor, own: Tensor | None = None) -> None:
        """Enqueues the keys of all processes and moves the key encoder."""
        keys = z_pos if self.pseudo_negatives or own is None else own
        enqueue(self.queue, self.pointer, gather(F.normalize(keys, dim=-1)))
        move_average(self.key_encoder, self.encoder, self.momentum)

    def monitors(self, z: Tensor, z_pos: Tensor) -> dict[str, Tensor]:
        """Standard deviation of the queries of view 1."""
        return {"embedding_std": collapse.embedding_std(z[:, 0])}
