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
    framework: DINO,
    batches: Sequence[list[Tensor]],
    epochs: int,
    learning_rate: float,
    ssl_epochs: int = 1,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Train with bottlenecks in the queue and note the loss that logits would have given.

    Every batch comes once an epoch; an utterance's positive is another one of its batch as the
    teacher saw it an epoch before, so rows are as old as in a Q' of all N utterances. SGD as in
    Section IV-C: learning rate and momentum follow cosines, gradients are clipped at a norm of 3.

    Args:
        framework: with `queue="bottleneck"`, trained in place.
        batches: the views of each mini-batch, [(B, T_v), ...] one per crop.
        epochs: passes with pseudo-positives, which are measured.
        learning_rate: at the start, 1e-5 at the end.
        ssl_epochs: passes before with the utterances' own positives, at least 1; the published runs
            have 80 and 20 epochs.

    Returns:
        "bottleneck" and "logits": the two losses, (epochs, batches), from the same weights and
        centre; "own": the loss with the positives of the mini-batch itself, for comparison.

    Raises:
        ValueError: the framework keeps logits already, or ssl_epochs is 0.
    """
    if framework.queue != "bottleneck":
        raise ValueError(f"queue is {framework.queue!r}, expected 'bottleneck': logits hide it.")
    if ssl_epochs < 1:
        raise ValueError(f"ssl_epochs is {ssl_epochs}, expected at least 1: one fills the queue.")
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(framework.parameter_groups(5e-5), lr=learning_rate, momentum=0.9)
    memory: dict[int, tuple[Tensor, Tensor]] = {}
    rows: dict[str, list[Tensor]] = {"bottleneck": [], "logits": [], "own": []}
    for epoch in range(ssl_epochs + epochs):
        for b, views in enumerate(batches):
            progress = (epoch + b / len(batches)) / (ssl_epochs + epochs)
            framework.before_step(epoch, progress)
            for group in optimizer.param_groups:
                group["lr"] = 1e-5 + (learning_rate - 1e-5) * (1 + math.cos(math.pi * progress)) / 2
            z, own = framework(views)
            stored = own, framework.logits(own)
            z_pos = own
            if epoch >= ssl_epochs:
                pos = torch.randperm(len(own), generator=generator)
                z_pos, logits = (x[pos] for x in memory[b])
                rows["own"].append(framework.loss(z, own).detach())
                rows["logits"].append(_loss_of_logits(framework, z, logits))
            loss = framework.loss(z, z_pos)
            if epoch >= ssl_epochs:
                rows["bottleneck"].append(loss.detach())
            memory[b] = stored
            optimizer.zero_grad()
            loss.backward()
            framework.after_backward(epoch)
            torch.nn.utils.clip_grad_norm_(framework.parameters(), 3.0)
            optimizer.step()
            framework.after_step(z.detach(), z_pos)
    return {name: torch.stack(values).view(epochs, -1) for name, values in rows.items()}


@torch.no_grad()
def _loss_of_logits(framework: DINO, z: Tensor, logits: Tensor) -> Tensor:
    """The loss against teacher's logits (B, 2, outputs) as they were stored."""
    framework.queue = "logits"
    try:
        return framework.loss(z, logits)
    finally:
        framework.queue = "bottleneck"
