"""What one process knows of the others: the floor on which every other room stands.

The rule that keeps the losses free of collectives: each rank gathers the embeddings of all ranks
and computes the same loss of the *global* batch. The gradient of that loss reaches a rank only
through its own rows, so the ranks' gradients add up to the full gradient. DistributedDataParallel
averages over ranks, therefore `gather` multiplies by the number of ranks on the way back.
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


def world_size() -> int:
    """Number of processes that train together (1 without `torch.distributed`)."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Index of this process, 0 for the main one."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


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


class _Normalise(torch.autograd.Function):
    """(x - mean) / deviation * weight + bias with mean and variance over all processes.

    Both ways go through the mini-batch with PyTorch's own kernels, several times faster than the
    same in single operations, and exchange two numbers for each channel.
    """

    @staticmethod
    def forward(
        ctx, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        running = x.new_zeros(2, x.shape[1], dtype=torch.float32)  # in its precision are the sums
        own = torch.stack(torch.batch_norm_update_stats(x, *running, 0.0))  # (2, C)
        parts = [torch.empty_like(own) for _ in range(world_size())]
        dist.all_gather(parts, own)
        means, variances = torch.stack(parts).unbind(1)  # (W, C) each
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        return _affine(x, mean, variance, weight, bias, eps), mean, variance

    @staticmethod
    def backward(ctx, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance = ctx.saved_tensors
        nothing = mean.new_empty(0)  # "take mean and variance": on a GPU None is an error
        grad_x, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, mean, variance, nothing, nothing, False, ctx.eps, [True, True, True]
        )  # as if mean and variance were constants
        # What mean and variance owe to x: the gradient's own mean, and its part along x.
        sums = torch.stack([grad_weight, grad_bias])
        dist.all_reduce(sums)
        sums *= weight * torch.rsqrt(variance + ctx.eps) / _count(x)
        owed = _affine(x, mean, variance, sums[0], sums[1], ctx.eps)
        return grad_x - owed, grad_weight, grad_bias, None


def _affine(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> Tensor:
    return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)


def _count(x: Tensor) -> int:
    """Values of a channel over all processes."""
    return world_size() * x.numel() // x.shape[1]


class _SynchronisedNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation with the mean and variance of the batches of all processes."""

    def _check_input_dim(self, x: Tensor) -> None:
        if x.ndim < 2:
            raise ValueError(f"x has shape {tuple(x.shape)}, expected (B, C) or (B, C, ...)")

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(x)
        self._check_input_dim(x)
        y, mean, variance = _Normalise.apply(x, self.weight, self.bias, self.eps)
        self._update(mean, variance, _count(x))
        return y

    @torch.no_grad()
    def _update(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Running statistics as torch's: the variance without bias."""
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)


def synchronise_norms(module: nn.Module) -> nn.Module:
    """Let every batch norm of a module, in place, see the batches of all processes.

    `torch.nn.SyncBatchNorm` needs a GPU; this one works with any backend. Parameters, buffers and
    their names stay as they are, and with one process so does the result. All processes must have
    batches of the same shape.

    Args:
        module: its norms are affine and keep running statistics (`nn.BatchNorm1d`, `2d`, `3d`).
    """
    for child in module.modules():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            child.__class__ = _SynchronisedNorm
    return module
