"""What the small queue of DINO changes: bottlenecks in Q' instead of the teacher's logits.

A pseudo-positive is some iterations old. The published Q' keeps the logits of that time; ours keeps
the input of the last layer and applies the current one. Both give the same loss while that layer is
frozen; here is measured how far they part once it learns (book chapter 15).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ssps_lib.frameworks.dino import DINO


def mebibytes(slots: int, width: int, bytes_each: int = 4) -> float:
    """Memory of a positive queue with two global views per slot, in MiB.

    >>> mebibytes(25_000, 65_536), mebibytes(25_000, 256)  # logits and bottlenecks, K = 25,000
    (12500.0, 48.828125)
    """
    return slots * 2 * width * bytes_each / 2**20


def compare(
    framework: DINO, batches: Sequence[list[Tensor]], epochs: int, learning_rate: float
) -> dict[str, Tensor]:
    """Train with bottlenecks in the queue and note the loss that logits would have given.

    Every batch comes once an epoch; an utterance's positive is another one of its batch as the
    teacher saw it an epoch before, so rows are as old as in a Q' of all N utterances. In a first
    epoch with the utterances' own positives the queue is filled.

    Args:
        framework: with `queue="bottleneck"`, trained in place.
        batches: the views of each mini-batch, [(B, T_v), ...] one per crop.
        epochs: passes with pseudo-positives, which are measured.
        learning_rate: at the start, 1e-5 at the end.

    Returns:
        "bottleneck" and "logits": the two losses, (epochs, batches), from the same weights and
        centre; "own": the loss with the positives of the mini-batch itself, for comparison.
    """
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(framework.parameter_groups(5e-5), lr=learning_rate, momentum=0.9)
    queue: dict[int, tuple[Tensor, Tensor]] = {}  # of each batch, bottlenecks and logits
    losses = []
    for epoch in range(1 + epochs):
        for b, views in enumerate(batches):
            progress = (epoch + b / len(batches)) / (1 + epochs)
            framework.before_step(epoch, progress)
            z, own = framework(views)
            z_pos = own
            if epoch > 0:
                pos = torch.randperm(len(own), generator=generator)
                z_pos, logits = (x[pos] for x in queue[b])
                losses.append(_losses(framework, z, z_pos, logits, own))
            queue[b] = own, framework.logits(own)
            rate = 1e-5 + (learning_rate - 1e-5) * (1 + math.cos(math.pi * progress)) / 2
            _step(framework, optimizer, rate, epoch, z, z_pos)
    by_name = torch.stack(losses).view(epochs, -1, 3).unbind(2)
    return dict(zip(("bottleneck", "logits", "own"), by_name, strict=True))


@torch.no_grad()
def _losses(framework: DINO, z: Tensor, z_pos: Tensor, logits: Tensor, own: Tensor) -> Tensor:
    """Against bottlenecks, against logits (B, 2, outputs) as they were stored, and own: (3,)."""
    bottlenecks = framework.loss(z, z_pos), framework.loss(z, own)
    framework.queue = "logits"
    stored = framework.loss(z, logits)
    framework.queue = "bottleneck"
    return torch.stack([bottlenecks[0], stored, bottlenecks[1]])


def _step(framework: DINO, optimizer, rate: float, epoch: int, z: Tensor, z_pos: Tensor) -> None:
    """SGD as in Section IV-C: gradients are clipped at a norm of 3."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    framework.loss(z, z_pos).backward()
    framework.after_backward(epoch)
    torch.nn.utils.clip_grad_norm_(framework.parameters(), 3.0)
    optimizer.step()
    framework.after_step(z.detach(), z_pos)
