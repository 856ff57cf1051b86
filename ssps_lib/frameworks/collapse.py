"""Numbers that show a collapse while the loss still looks well (Section II: trivial solutions)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.no_grad()
def embedding_std(z: Tensor) -> Tensor:
    """Spread of L2-normalised embeddings (B, D), 0-d: 1 where isotropic, 0 where all are equal.

    Mean over the dimensions of the standard deviation over the batch, times sqrt(D).

    >>> embedding_std(torch.ones(4, 3)).item()
    0.0
    """
    z = F.normalize(z.float(), dim=1)
    return z.std(dim=0, correction=0).mean() * math.sqrt(z.shape[1])


@torch.no_grad()
def relative_entropy(p: Tensor) -> Tensor:
    """Mean entropy of distributions (..., K) over ln K, 0-d: 1 where uniform, 0 where one-hot.

    >>> relative_entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]])).item()
    0.5
    """
    return torch.special.entr(p.float()).sum(-1).mean() / math.log(p.shape[-1])
