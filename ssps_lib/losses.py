"""The objectives of Section II as pure functions: tensors in, scalar out, no state or collectives.

Read beside Eq. 1-5 of the paper. Where the published numbers were computed with something else,
that is the default, the line says so, and the paper's equation is an argument. A loss is 0-d, in
nats where it is a cross-entropy, and computed in full precision also under autocast; NaN in means
NaN out. B is the batch, D the dimension of embeddings, which may have any norm.
"""

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def _full_precision(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Half-precision tensors become float32 and autocast is off inside the function."""

    def full(x):
        half = isinstance(x, Tensor) and x.dtype in (torch.float16, torch.bfloat16)
        return x.float() if half else x

    @functools.wraps(function)
    def wrapper(*args, **options):
        args, options = [full(x) for x in args], {name: full(x) for name, x in options.items()}
        kinds = (x.device.type for x in (*args, *options.values()) if isinstance(x, Tensor))
        with torch.autocast(next(kinds, "cpu"), enabled=False):
            return function(*args, **options)

    return wrapper


def _check_pairs(z: Tensor, z_pos: Tensor) -> None:
    """A batch of one has no negatives and no variance: its loss would be 0 or NaN, silently."""
    if z.shape != z_pos.shape or len(z) < 2:
        raise ValueError(
            f"z and z_pos have shapes {tuple(z.shape)} and {tuple(z_pos.shape)}, expected the same "
            "(B, D) with B of at least 2: row i of both is of one utterance, the other rows are "
            "what it is compared with."
        )


@_full_precision
def cosines(z: Tensor, prototypes: Tensor) -> Tensor:
    """Cosine similarity of each embedding (B, D) with each prototype or class (K, D), (B, K).

    >>> cosines(torch.tensor([[3.0, 4.0]]), torch.eye(2))
    tensor([[0.6000, 0.8000]])
    """
    return F.normalize(z, dim=-1) @ F.normalize(prototypes, dim=-1).T


@_full_precision
def nt_xent(z: Tensor, z_pos: Tensor, temperature: float, symmetric: bool = True) -> Tensor:
    """NT-Xent of SimCLR (Eq. 1, Section II-A; book chapter 4): the positive is to be found.

    Args:
        z, z_pos: anchors and positives, (B, D).
        temperature: tau, above 0 (the paper: 0.03).
        symmetric: published: both views are anchors (2B), each against 1 positive and the 2B - 2
            embeddings of the other utterances. False: Eq. 1, B anchors against the B positives.

    Raises:
        ValueError: for shapes that differ or B < 2.

    >>> z = torch.eye(3)
    >>> round(nt_xent(z, z, 1.0).item(), 4)  # log(e + 4) - 1
    0.9048
    >>> round(nt_xent(z, z, 1.0, symmetric=False).item(), 4)  # log(e + 2) - 1
    0.5514
    """
    _check_pairs(z, z_pos)
    z, z_pos = F.normalize(z, dim=1), F.normalize(z_pos, dim=1)
    rows = torch.arange(len(z), device=z.device)
    if not symmetric:
        return F.cross_entropy(z @ z_pos.T / temperature, rows)
    both = torch.cat([z, z_pos])
    scores = both @ both.T / temperature  # (2B, 2B)
    scores = scores.masked_fill(torch.eye(2 * len(z), dtype=torch.bool, device=z.device), -math.inf)
    return F.cross_entropy(scores, torch.cat([rows + len(z), rows]))


@_full_precision
def moco(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """InfoNCE against a memory of negatives (Eq. 2, Section II-B), one direction.

    Args:
        query, key: anchors and positives, (B, D).
        queue: (Q, D), the negatives of all queries.
        temperature: tau, above 0 (the paper: 0.03).

    Raises:
        ValueError: for an empty queue.

    >>> round(moco(torch.eye(2), torch.eye(2), torch.eye(2), 1.0).item(), 4)  # log(2e + 1) - 1
    0.862
    """
    if len(queue) == 0:
        raise ValueError("The queue is empty, expected (Q, D) with Q of at least 1: fill it first.")
    query, key, queue = (F.normalize(x, dim=1) for x in (query, key, queue))
    positive = (query * key).sum(1, keepdim=True)  # (B, 1)
    scores = torch.cat([positive, query @ queue.T], dim=1) / temperature  # (B, 1 + Q)
    return F.cross_entropy(scores, torch.zeros(len(query), dtype=torch.long, device=query.device))


@torch.no_grad()
@_full_precision
def sinkhorn(scores: Tensor, epsilon: float = 0.05, iterations: int = 3) -> Tensor:
    """Soft assignments that use all prototypes equally (Section II-C), without gradient.

    Alternately scales the transport plan so that each prototype receives N / K and each sample
    gives 1. In the log domain, where no epsilon overflows.

    Args:
        scores: cosines of N samples with K prototypes, (N, K).
        epsilon: entropy of the plan, above 0.
        iterations: pairs of scalings, at least 1.

    Returns:
        Codes (N, K) whose rows sum to 1; columns sum to N / K as `iterations` grows.

    >>> sinkhorn(torch.tensor([[1.0, 0.9], [1.0, 0.0]])).round()
    tensor([[0., 1.],
            [1., 0.]])
    """
    plan = scores / epsilon
    for _ in range(iterations):
        plan = plan - plan.logsumexp(dim=0, keepdim=True)  # prototypes
        plan = plan - plan.logsumexp(dim=1, keepdim=True)  # samples
    return plan.exp()


@_full_precision
def swav(
    scores_1: Tensor,
    scores_2: Tensor,
    codes_1: Tensor,
    codes_2: Tensor,
    temperature: float,
    symmetric: bool = True,
    per_prototype: bool = False,
) -> Tensor:
    """Swapped prediction (Eq. 3, Section II-C): the codes of one view supervise the other view.

    Args:
        scores_1, scores_2: cosines of the anchors and of the positives with P prototypes, (B, P).
        codes_1, codes_2: their soft assignments (B, P), see `sinkhorn`.
        temperature: tau, above 0 (the paper: 0.1).
        symmetric: published: mean of both directions. False: Eq. 3, codes of the anchor only.
        per_prototype: True: Eq. 3, divided by P. Published: not divided.

    >>> scores, codes = torch.zeros(2, 4), torch.full((2, 4), 0.25)
    >>> round(swav(scores, scores, codes, codes, 0.1).item(), 4)  # ln 4
    1.3863
    """
    loss = F.cross_entropy(scores_2 / temperature, codes_1)
    if symmetric:
        loss = (loss + F.cross_entropy(scores_1 / temperature, codes_2)) / 2
    return loss / scores_1.shape[1] if per_prototype else loss


def invariance_term(z: Tensor, z_pos: Tensor, reduction: str = "mean") -> Tensor:
    """s(Z, Z') of Section II-D: squared distance of the pairs, mean over the batch.

    `reduction` over the D dimensions: "mean" as published, "sum" as in the paper (D times more).
    """
    return (z - z_pos).square().mean() * {"mean": 1, "sum": z.shape[1]}[reduction]


def variance_term(z: Tensor, epsilon: float = 1e-4) -> Tensor:
    """v(Z) of Section II-D: how far the standard deviation of each dimension is below 1.

    Published: the unbiased variance, with 1e-4 inside the root; the paper names neither.
    """
    return F.relu(1 - (z.var(dim=0) + epsilon).sqrt()).mean()


def covariance_term(z: Tensor) -> Tensor:
    """c(Z) of Section II-D: squared covariances of different dimensions, over D."""
    centred = z - z.mean(dim=0)
    covariance = centred.T @ centred / (len(z) - 1)  # (D, D)
    off_diagonal = covariance - covariance.diagonal().diag()
    return off_diagonal.square().sum() / z.shape[1]


@_full_precision
def vicreg(
    z: Tensor,
    z_pos: Tensor,
    invariance: float = 1.0,
    variance: float = 1.0,
    covariance: float = 0.04,
    reduction: str = "mean",
) -> Tensor:
    """VICReg (Eq. 4, Section II-D): weighted sum of the three terms above; nothing is normalised.

    Args:
        z, z_pos: anchors and positives, (B, D).
        invariance, variance, covariance: lambda, mu and nu.
        reduction: see `invariance_term`.

    Raises:
        ValueError: for shapes that differ or B < 2.

    >>> z = torch.tensor([[2.0, 2.0], [-2.0, -2.0]])  # two dimensions that say the same
    >>> vicreg(z, z, covariance=1.0).item()
    128.0
    """
    _check_pairs(z, z_pos)
    return (
        invariance * invariance_term(z, z_pos, reduction)
        + variance * (variance_term(z) + variance_term(z_pos))
        + covariance * (covariance_term(z) + covariance_term(z_pos))
    )


@_full_precision
def dino(
    student: Tensor,
    teacher: Tensor,
    center: Tensor,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
    reduction: str = "mean",
) -> Tensor:
    """Self-distillation between views (Eq. 5, Section II-E).

    Args:
        student: logits (V_s, B, D) of all views; views 0 .. V_t - 1 are those of the teacher.
        teacher: logits (V_t, B, D); compute them without gradient.
        center: running mean of the teacher's logits, (D,).
        student_temperature, teacher_temperature: tau_s and tau_t, above 0.
        reduction: over the pairs of different views: "mean" as published, "sum" as in Eq. 5.

    >>> round(dino(torch.zeros(6, 2, 8), torch.zeros(2, 2, 8), torch.zeros(8)).item(), 4)  # ln 8
    2.0794
    """
    targets = F.softmax((teacher - center) / teacher_temperature, dim=-1)
    predictions = F.log_softmax(student / student_temperature, dim=-1)
    entropies = -targets.flatten(1) @ predictions.flatten(1).T / student.shape[1]  # (V_t, V_s)
    same = torch.eye(*entropies.shape, dtype=torch.bool, device=student.device)
    pairs = len(teacher) * (len(student) - 1)
    return entropies.masked_fill(same, 0.0).sum() / {"mean": pairs, "sum": 1}[reduction]


@_full_precision
def aam_softmax(
    cosines: Tensor, labels: Tensor, margin: float = 0.2, scale: float = 30.0
) -> Tensor:
    """Additive angular margin softmax of the supervised baseline (Section IV-C).

    The angle theta to the true class is widened by `margin`: cos(theta + margin). Where theta +
    margin passes pi that would reward being wrong, so there the score falls on linearly, as
    published: cos(theta) - margin * sin(pi - margin).

    Args:
        cosines: of each embedding with each class, (B, C).
        labels: (B,) int64 in [0, C).
        margin: radians in [0, pi/2].
        scale: s, above 0.

    >>> round(aam_softmax(torch.zeros(1, 2), torch.tensor([0]), margin=0.0, scale=1.0).item(), 4)
    0.6931
    """
    own = cosines.gather(1, labels[:, None])  # (B, 1)
    sine = (1 - own.square()).clamp(min=1e-12).sqrt()  # no infinite slope where theta is 0
    wider = own * math.cos(margin) - sine * math.sin(margin)
    beyond = own - margin * math.sin(math.pi - margin)
    own = torch.where(own > math.cos(math.pi - margin), wider, beyond)
    return F.cross_entropy(scale * cosines.scatter(1, labels[:, None], own), labels)
