"""Numbers that show a collapse while the loss still looks well (Section II: trivial solutions)."""

import math
import warnings
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

HEALTHY = {
    "embedding_std": (0.1, math.inf,
        "different utterances have nearly the same embedding; lower the learning rate, and check "
        "what should push embeddings apart (negatives, variance term, prototypes or centre)"),
    "assignment_entropy": (-math.inf, 0.999,
        "SwAV assigns every utterance to all prototypes alike; the embeddings are equal, or "
        "epsilon is too large for their cosines"),
    "prototype_usage": (0.05, math.inf,
        "SwAV predicts the same prototype for every utterance; lower the learning rate, or freeze "
        "the prototypes for more epochs"),
    "teacher_entropy": (-math.inf, 0.999,
        "DINO's teacher gives all outputs the same probability; lower teacher_temperature, or the "
        "learning rate if the embeddings are equal too"),
    "teacher_usage": (0.05, math.inf,
        "DINO's teacher chooses the same output for every utterance; the centre does not follow: "
        "lower center_momentum or the learning rate"),
    "coverage": (0.0, math.inf,
        "no utterance found a pseudo-positive; all representations are in one cluster, or the "
        "positive queue holds none of the candidates"),
}  # fmt: skip
"""By monitor: the open interval of healthy values, and what another value means. Entropies and
usages are relative: of K choices, K ** usage are in use. A freshly initialised network is healthy.
"""


class CollapseWarning(UserWarning):
    """An epoch shows a collapse: training goes on, but its result will be poor."""


def signs(values: Mapping[str, float]) -> list[str]:
    """What the means of an epoch (`Framework.monitors`, coverage) say about a collapse.

    Returns:
        One sentence for each value outside its interval of `HEALTHY`, with the likely cause.

    >>> signs({"loss": 1.2, "embedding_std": 0.9, "coverage": 0.63})
    []
    >>> signs({"embedding_std": 0.02})[0][:44]
    'embedding_std is 0.02 (healthy: above 0.1): '
    """
    found = []
    for name, (low, high, meaning) in HEALTHY.items():
        if name in values and not low < values[name] < high:
            expected = f"above {low:g}" if math.isfinite(low) else f"below {high:g}"
            found.append(f"{name} is {values[name]:.3g} (healthy: {expected}): {meaning}")
    return found


def warn(values: Mapping[str, float], epoch: int) -> None:
    """Gives a `CollapseWarning` for each of the `signs` of an epoch, counted from 1."""
    for sign in signs(values):
        warnings.warn(f"epoch {epoch}: {sign}", CollapseWarning, stacklevel=2)


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
