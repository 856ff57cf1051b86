"""State that moves with the training: teachers, and memories of recent embeddings."""

import copy

import torch
from torch import Tensor, nn


def teacher_of(student: nn.Module) -> nn.Module:
    """A copy of the student without gradient (Section II: the asymmetrical architecture)."""
    return copy.deepcopy(student).requires_grad_(False)


@torch.no_grad()
def move_average(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Teacher's parameters <- momentum * teacher's + (1 - momentum) * student's.

    Running statistics stay the teacher's own: it sees batches in training mode, as published.
    """
    if moved := [*teacher.parameters()]:  # the operator takes no empty list
        torch._foreach_lerp_(moved, [*student.parameters()], 1 - momentum)


@torch.no_grad()
def enqueue(queue: Tensor, pointer: Tensor, rows: Tensor) -> None:
    """Write rows (B, V, D) over the oldest of V ring queues (V, Q, D), without a host sync.

    Args:
        queue: written in place.
        pointer: 0-d int64, the slot of the next row, moved in place.
        rows: B must not exceed Q (ValueError); a batch may wrap around the end.
    """
    size, batch = queue.shape[1], len(rows)
    if batch > size:
        raise ValueError(
            f"A batch of {batch} embeddings was given to a queue of {size}, expected queue_size to "
            "be at least the batch of all processes together."
        )
    slots = (pointer + torch.arange(batch, device=pointer.device)) % size
    queue[:, slots] = rows.transpose(0, 1).to(queue.dtype)
    pointer.copy_((pointer + batch) % size)
