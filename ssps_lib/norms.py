"""Batch normalisation that sums precisely, over the mini-batches of all processes.

Where channels come last in memory, PyTorch on a CPU adds up the values of a channel one after the
other in single precision, and loses digits: of 130,000 values, as in the first stage of Fast
ResNet-34 (B = 32), the output is wrong by some 1e-4, and the gradient of the encoder, from fresh
weights, by 5 %. Here the sums are those of `Tensor.sum`, which adds in a tree.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ssps_lib.distributed import all_reduce_sum, world_size


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """`nn.BatchNorm1d`, `2d` and `3d`, with their parameters and buffers.

    PyTorch's own, unless several processes train together, or channels come last on a CPU in
    float32. (In bfloat16 rounding is larger than what is lost, and compiled sums lose nothing.)
    """

    def _check_input_dim(self, x: Tensor) -> None:
        """1d, 2d and 3d alike."""

    def forward(self, x: Tensor) -> Tensor:
        last = x.movedim(1, -1)
        imprecise = last.is_contiguous() and (x.device.type, x.dtype) == ("cpu", torch.float32)
        imprecise = imprecise and not torch.compiler.is_compiling()  # inductor sums in another way
        if not self.training or not (imprecise or world_size() > 1):
            return super().forward(x)
        rows = last.flatten(0, -2)
        with torch.no_grad():
            count = world_size() * len(rows)
            mean = all_reduce_sum(rows.sum(0, dtype=self.weight.dtype)) / count
            variance = all_reduce_sum((rows - mean).square_().sum(0)) / count
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)  # unbiased
        inverse = torch.rsqrt(variance + self.eps)
        y = Normalised.apply(rows, self.weight, self.bias, mean, inverse)
        return y.to(x.dtype).view(last.shape).movedim(-1, 1)


class Normalised(torch.autograd.Function):
    """(x - mean) * inverse * weight + bias for rows x (N, C), the others (C,).

    Mean and inverse deviation are those of the rows of all processes: the gradient takes into
    account that they depend on x.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, inverse: Tensor
    ) -> Tensor:
        """See above."""
        ctx.save_for_backward(x, weight, mean, inverse)
        scale = weight * inverse
        return torch.addcmul(torch.addcmul(bias, mean, scale, value=-1), x, scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """The gradients of x, weight and bias; those of the two parameters of this process only."""
        x, weight, mean, inverse = ctx.saved_tensors
        by_bias = gradient.sum(0, dtype=weight.dtype)
        products = (gradient * x.to(weight.dtype)).sum(0)
        by_weight = torch.addcmul(products, mean, by_bias, value=-1) * inverse
        sums = all_reduce_sum(torch.stack((by_bias, by_weight)))
        shift, tilt = sums / (world_size() * len(x))
        # scale * (gradient - shift - tilt * (x - mean) * inverse), in two passes over the rows
        scale = weight * inverse
        slope = scale * inverse * -tilt
        constant = -torch.addcmul(scale * shift, slope, mean)
        by_x = torch.addcmul(constant, x, slope).addcmul_(gradient, scale)
        return by_x.to(x.dtype), by_weight, by_bias, None, None


def synchronise_norms(module: nn.Module) -> nn.Module:
    """Let every batch norm of a module, in place, see the mini-batches of all processes.

    With NCCL by `torch.nn.SyncBatchNorm`, which needs GPUs; else by `BatchNorm`. Parameters,
    buffers and their names stay as they are. All processes must have batches of the same shape.

    Args:
        module: its norms are affine and keep running statistics (`nn.BatchNorm1d`, `2d`, `3d`).
    """
    if world_size() > 1 and dist.get_backend() == "nccl":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for child in module.modules():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            child.__class__ = BatchNorm
    return module
