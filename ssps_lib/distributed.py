"""What one process knows of the others: the floor on which every other room stands.

The rule that keeps the losses free of collectives: each rank gathers the embeddings of all ranks
and computes the same loss of the *global* batch. The gradient of that loss reaches a rank only
through its own rows, so the ranks' gradients add up to the full gradient. DistributedDataParallel
averages over ranks, therefore `gather` multiplies by the number of ranks on the way back.
"""

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Index of this process, 0 for the main one."""
    return dist.get_rank() if dist.is_initialized() else 0


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        rows = grad.shape[0] // world_size()
        return grad[rank() * rows : (rank() + 1) * rows] * world_size()


def gather(x: Tensor) -> Tensor:
    """Rows of all processes in the order of their ranks: (B, ...) -> (W * B, ...), with gradient.

    Every process must pass the same shape and compute the same global loss from the result.
    """
    return x if world_size() == 1 else _Gather.apply(x)


def all_reduce_mean(x: Tensor) -> Tensor:
    """Mean of a tensor over the processes, without gradient."""
    if world_size() == 1:
        return x
    x = x.detach().clone()
    dist.all_reduce(x)
    return x / world_size()


def all_reduce_sum(x: Tensor) -> Tensor:
    """Sum of a tensor over the processes, in place and without gradient."""
    if world_size() > 1:
        dist.all_reduce(x)
    return x


def own_share(n: int) -> slice:
    """The rows of (n, ...) that fall to this process when all share them out."""
    return slice(n * rank() // world_size(), n * (rank() + 1) // world_size())
