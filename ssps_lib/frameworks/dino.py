"""DINO (Section II-E): a student learns from a teacher that is its own moving average."""

import math
from collections.abc import Callable
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssps_lib import losses
from ssps_lib.distributed import all_reduce_mean
from ssps_lib.frameworks import collapse
from ssps_lib.frameworks.base import Framework
from ssps_lib.frameworks.heads import DINOHead
from ssps_lib.frameworks.momentum import move_average, teacher_of


class DINO(Framework):
    """Multi-crop self-distillation with centring and sharpening.

    The student sees two global crops and the local ones, the teacher the global ones.

    Args:
        encoder: waveforms (B, T) -> (B, encoder.dim), the student; the teacher starts as its copy.
        hidden, bottleneck, outputs: widths of the head.
        local_crops: number of views of half the length.
        student_temperature, teacher_temperature, reduction: see `losses.dino`.
        momentum: of the teacher at the start; a cosine leads to 1 at the end.
        center_momentum: of the running mean of the teacher's logits.
        frozen_epochs: epochs in which the last layer does not learn.
        queue: what Q' holds. "logits": the teacher's outputs, as published. "bottleneck": the
            L2-normalised input of its last layer, outputs / bottleneck times smaller; the loss
            applies the current last layer, so the two are equal while that layer is frozen.
    """

    name = "dino"
    has_projector = True

    def __init__(
        self,
        encoder: nn.Module,
        hidden: int = 2_048,
        bottleneck: int = 256,
        outputs: int = 65_536,
        local_crops: int = 4,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        momentum: float = 0.996,
        center_momentum: float = 0.9,
        frozen_epochs: int = 1,
        queue: str = "bottleneck",
        reduction: str = "mean",
    ) -> None:
        super().__init__(encoder)
        self.crops = (2.0, 2.0) + (1.0,) * local_crops
        self.temperatures = (student_temperature, teacher_temperature)
        self.start_momentum = self.momentum = momentum
        self.center_momentum, self.frozen_epochs = center_momentum, frozen_epochs
        self.queue, self.reduction = queue, reduction
        self.embedding_shape = (2, bottleneck if queue == "bottleneck" else outputs)
        self.head = DINOHead(encoder.dim, hidden, bottleneck, outputs)
        self.teacher_encoder, self.teacher_head = teacher_of(encoder), teacher_of(self.head)
        self.register_buffer("center", torch.zeros(outputs))

    @property
    def representation_encoder(self) -> nn.Module:
        """The teacher's encoder."""
        return self.teacher_encoder

    def anchor(self, views: list[Tensor]) -> Tensor:
        """The student's logits of all views, (B, V, outputs)."""
        return by_length(lambda x: self.head(self.encoder(x)), views)

    @torch.no_grad()
    def positive(self, views: list[Tensor]) -> Tensor:
        """The teacher's bottlenecks or logits of the global views, (B, 2, D), no gradient."""
        head = self.teacher_head.bottleneck if self.queue == "bottleneck" else self.teacher_head
        return by_length(lambda x: head(self.teacher_encoder(x)), views[:2])

    @torch.no_grad()
    def logits(self, z_pos: Tensor) -> Tensor:
        """What `positive` returned, through the teacher's current last layer if need be."""
        return self.teacher_head.last(z_pos) if self.queue == "bottleneck" else z_pos

    def loss(self, z: Tensor, z_pos: Tensor, labels: Tensor | None = None) -> Tensor:
        """`losses.dino` of this process's batch."""
        student, teacher = z.transpose(0, 1), self.logits(z_pos).transpose(0, 1)  # (V, B, outputs)
        return losses.dino(student, teacher, self.center, *self.temperatures, self.reduction)

    def before_step(self, epoch: int, progress: float) -> None:
        """The teacher's momentum rises to 1 along a cosine."""
        self.momentum = 1 - (1 - self.start_momentum) * (1 + math.cos(math.pi * progress)) / 2

    def after_backward(self, epoch: int) -> None:
        """The last layer is frozen in the first epochs."""
        if epoch < self.frozen_epochs:
            self.head.last.weight.grad = None

    @torch.no_grad()
    def after_step(self, z: Tensor, z_pos: Tensor, own: Tensor | None = None) -> None:
        """Moves the centre by what the loss saw, then the teacher."""
        # The last layer is linear: the mean of the logits is the logits of the mean.
        mean = all_reduce_mean(self.logits(z_pos.mean(dim=(0, 1))))
        self.center.lerp_(mean, 1 - self.center_momentum)
        move_average(self.teacher_encoder, self.encoder, self.momentum)
        move_average(self.teacher_head, self.head, self.momentum)

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Biases and norms (one-dimensional parameters) are not decayed."""
        trained = [p for p in self.parameters() if p.requires_grad]
        return [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]

    @torch.no_grad()
    def monitors(self, z: Tensor, z_pos: Tensor) -> dict[str, Tensor]:
        """Spread and relative entropies of the teacher's outputs for global view 1.

        Without sharpening `teacher_entropy` goes to 1, without centring `teacher_usage` to 0.
        """
        logits = self.logits(z_pos[:, 0])
        targets = F.softmax((logits - self.center) / self.temperatures[1], dim=-1)
        return {
            "embedding_std": collapse.embedding_std(z_pos[:, 0]),
            "teacher_entropy": collapse.relative_entropy(targets),
            "teacher_usage": collapse.relative_entropy(targets.mean(0)),
        }


def by_length(network: Callable[[Tensor], Tensor], views: list[Tensor]) -> Tensor:
    """Outputs (B, V, D) of a network that sees neighbouring views of one length as one batch."""
    outputs: list[Tensor] = []
    for _, group in groupby(views, key=lambda view: view.shape[1]):
        same = list(group)
        outputs += network(torch.cat(same)).chunk(len(same))
    return torch.stack(outputs, dim=1)
