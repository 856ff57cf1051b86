"""The objectives of Section II as pure functions: tensors in, scalar out, no state or collectives.

Read beside Eq. 1-5 of the paper. Where the published numbers were computed with something else,
that is the default, the line says so, and the paper's equation is an argument. Every loss is
computed in full precision, also under autocast; NaN in means NaN out.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def _full_precision(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Half-precision tensors become float32 and autocast is off inside the function.

    What should be a tensor and is a list, an array or nothing is refused.
    """

    def full(x):
        half = isinstance(x, Tensor) and x.dtype in (torch.float16, torch.bfloat16)
        return x.float() if half else x

    @functools.wraps(function)
    def wrapper(*args, **options):
        for x in (*args, *options.values()):
            if x is None or isinstance(x, (list, tuple, np.ndarray)):
                raise ValueError(
                    f"{function.__name__} was given {x!r:.60}, expected tensors: make one with "
                    "torch.as_tensor."
                )
        tensors = [x for x in (*args, *options.values()) if isinstance(x, Tensor)]
        device = tensors[0].device.type if tensors else "cpu"
        with torch.autocast(device, enabled=False):
            return function(*map(full, args), **{k: full(v) for k, v in options.items()})

    return wrapper


def _check_positive(value: float, name: str = "temperature") -> None:
    if not (isinstance(value, (int, float)) and value > 0 and math.isfinite(value)):
        raise ValueError(
            f"{name} is {value!r}, expected a finite number above 0: similarities are scaled by it."
        )


def _check_weight(value: float, name: str) -> None:
    if not (isinstance(value, (int, float)) and value >= 0 and math.isfinite(value)):
        raise ValueError(
            f"{name} is {value!r}, expected a finite number of 0 or more: it weighs a term."
        )


def _check_reduction(value: str) -> None:
    if value not in ("mean", "sum"):
        raise ValueError(f"reduction is {value!r}, expected 'mean' (published) or 'sum' (paper).")


def _check_pair(a: Tensor, b: Tensor, names: str, least: int = 1) -> None:
    """Two matrices of the same shape with at least `least` rows."""
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(
            f"{names} have shapes {tuple(a.shape)} and {tuple(b.shape)}, expected the same (B, D): "
            "row i of both must belong to the same utterance."
        )
    if len(a) < least:
        raise ValueError(
            f"The batch of {names} has {len(a)} row(s), expected at least {least}: "
            "this loss compares utterances with each other."
        )
    if not (a.is_floating_point() and b.is_floating_point()):
        raise ValueError(f"{names} are {a.dtype} and {b.dtype}, expected floating point.")


@_full_precision
def cosines(z: Tensor, prototypes: Tensor) -> Tensor:
    """Cosine similarity of each embedding (B, D) with each prototype or class (K, D), (B, K).

    >>> cosines(torch.tensor([[3.0, 4.0]]), torch.eye(2))
    tensor([[0.6000, 0.8000]])
    """
    if z.ndim != 2 or prototypes.ndim != 2 or z.shape[1] != prototypes.shape[1]:
        raise ValueError(
            f"z and prototypes have shapes {tuple(z.shape)} and {tuple(prototypes.shape)}, "
            "expected (B, D) and (K, D): both lie in the same space."
        )
    return F.normalize(z, dim=-1) @ F.normalize(prototypes, dim=-1).T


@_full_precision
def nt_xent(z: Tensor, z_pos: Tensor, temperature: float, symmetric: bool = True) -> Tensor:
    """NT-Xent of SimCLR (Eq. 1, Section II-A; chapter "Frameworks").

    Args:
        z: anchor embeddings (B, D), of any norm.
        z_pos: positive embeddings (B, D).
        temperature: tau, above 0 (the paper: 0.03).
        symmetric: published: both views are anchors (2B), each against 1 positive and the 2B - 2
            embeddings of the other utterances. False: Eq. 1, B anchors against the B positives.

    Returns:
        Mean cross-entropy over the anchors in nats, 0-d.

    Raises:
        ValueError: for shapes that differ, B < 2, or a temperature that is not above 0.

    >>> z = torch.eye(3)
    >>> round(nt_xent(z, z, 1.0).item(), 4)  # log(e + 4) - 1
    0.9048
    >>> round(nt_xent(z, z, 1.0, symmetric=False).item(), 4)  # log(e + 2) - 1
    0.5514
    """
    _check_pair(z, z_pos, "z and z_pos", least=2)
    _check_positive(temperature)
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
        query: (B, D), of any norm as are the others.
        key: (B, D), the positive of each query.
        queue: (Q, D), the negatives of all queries.
        temperature: tau, above 0 (the paper: 0.03).

    Returns:
        Mean cross-entropy over the queries in nats, 0-d.

    Raises:
        ValueError: for shapes that differ, an empty queue, or a temperature that is not above 0.

    >>> round(moco(torch.eye(2), torch.eye(2), torch.eye(2), 1.0).item(), 4)  # log(2e + 1) - 1
    0.862
    """
    _check_pair(query, key, "query and key")
    if queue.ndim != 2 or len(queue) == 0 or queue.shape[1] != query.shape[1]:
        raise ValueError(
            f"queue has shape {tuple(queue.shape)}, expected (Q, {query.shape[1]}) with Q >= 1: "
            "its columns are the dimensions of the embeddings."
        )
    _check_positive(temperature)
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
        epsilon: entropy of the plan, above 0 (published: 0.05).
        iterations: pairs of scalings, at least 1 (published: 3).

    Returns:
        Codes (N, K) whose rows sum to 1; columns sum to N / K as `iterations` grows.

    Raises:
        ValueError: for a shape other than (N >= 2, K), epsilon <= 0, or iterations < 1.

    >>> sinkhorn(torch.tensor([[1.0, 0.9], [1.0, 0.0]])).round()
    tensor([[0., 1.],
            [1., 0.]])
    """
    if scores.ndim != 2 or len(scores) < 2:
        raise ValueError(
            f"scores have shape {tuple(scores.shape)}, expected (N, K) with N >= 2: "
            "one sample alone cannot be spread over the prototypes."
        )
    _check_positive(epsilon, "epsilon")
    if not isinstance(iterations, int) or iterations < 1:
        raise ValueError(f"iterations is {iterations!r}, expected at least 1 (published: 3).")
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
        codes_1, codes_2: their soft assignments (B, P), see `sinkhorn`; rows sum to 1.
        temperature: tau, above 0 (the paper: 0.1).
        symmetric: published: mean of both directions. False: Eq. 3, codes of the anchor only.
        per_prototype: True: Eq. 3, divided by P. Published: not divided.

    Returns:
        Cross-entropy in nats, 0-d.

    Raises:
        ValueError: for shapes that differ or a temperature that is not above 0.

    >>> scores, codes = torch.zeros(2, 4), torch.full((2, 4), 0.25)
    >>> round(swav(scores, scores, codes, codes, 0.1).item(), 4)  # ln 4
    1.3863
    """
    _check_pair(scores_1, scores_2, "scores_1 and scores_2")
    _check_pair(scores_1, codes_1, "scores_1 and codes_1")
    _check_pair(scores_2, codes_2, "scores_2 and codes_2")
    _check_positive(temperature)
    loss = F.cross_entropy(scores_2 / temperature, codes_1)
    if symmetric:
        loss = (loss + F.cross_entropy(scores_1 / temperature, codes_2)) / 2
    return loss / scores_1.shape[1] if per_prototype else loss


def invariance_term(z: Tensor, z_pos: Tensor, reduction: str = "mean") -> Tensor:
    """s(Z, Z') of Section II-D: squared distance of the pairs, mean over the batch.

    `reduction` over the D dimensions: "mean" as published, "sum" as in the paper (D times more).
    """
    _check_reduction(reduction)
    distance = (z - z_pos).square().mean()
    return distance * z.shape[1] if reduction == "sum" else distance


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
        z, z_pos: embeddings (B, D).
        invariance, variance, covariance: lambda, mu and nu.
        reduction: of the invariance term over D: "mean" as published, "sum" as in Eq. 4.

    Returns:
        The loss, 0-d.

    Raises:
        ValueError: for shapes that differ, B < 2, a negative weight, or an unknown reduction.

    >>> z = torch.tensor([[2.0, 2.0], [-2.0, -2.0]])  # two dimensions that say the same
    >>> vicreg(z, z, covariance=1.0).item()
    128.0
    """
    _check_pair(z, z_pos, "z and z_pos", least=2)
    weights = {"invariance": invariance, "variance": variance, "covariance": covariance}
    for name, value in weights.items():
        _check_weight(value, name)
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

    Returns:
        Cross-entropy in nats, 0-d.

    Raises:
        ValueError: for shapes that do not fit, V_s < max(2, V_t), a temperature that is not above
            0, or an unknown reduction.

    >>> round(dino(torch.zeros(6, 2, 8), torch.zeros(2, 2, 8), torch.zeros(8)).item(), 4)  # ln 8
    2.0794
    """
    _check_views(student, teacher, center)
    _check_positive(student_temperature, "student_temperature")
    _check_positive(teacher_temperature, "teacher_temperature")
    _check_reduction(reduction)
    targets = F.softmax((teacher - center) / teacher_temperature, dim=-1)
    predictions = F.log_softmax(student / student_temperature, dim=-1)
    entropies = -targets.flatten(1) @ predictions.flatten(1).T / student.shape[1]  # (V_t, V_s)
    same = torch.eye(*entropies.shape, dtype=torch.bool, device=student.device)
    total = entropies.masked_fill(same, 0.0).sum()
    return total / (len(teacher) * (len(student) - 1)) if reduction == "mean" else total


def _check_views(student: Tensor, teacher: Tensor, center: Tensor) -> None:
    if student.ndim != 3 or teacher.ndim != 3 or student.shape[1:] != teacher.shape[1:]:
        raise ValueError(
            f"student and teacher have shapes {tuple(student.shape)} and {tuple(teacher.shape)}, "
            "expected (V_s, B, D) and (V_t, B, D): views first, then the same batch and outputs."
        )
    if len(student) < max(2, len(teacher)) or len(teacher) == 0:
        raise ValueError(
            f"There are {len(student)} student and {len(teacher)} teacher views, expected at least "
            "2 and 1, and not more of the teacher: its views are the student's first."
        )
    if center.shape != student.shape[2:]:
        raise ValueError(
            f"center has shape {tuple(center.shape)}, expected ({student.shape[2]},): "
            "one mean per output of the teacher."
        )


@_full_precision
def aam_softmax(
    cosines: Tensor, labels: Tensor, margin: float = 0.2, scale: float = 30.0
) -> Tensor:
    """Additive angular margin softmax of the supervised baseline (Section IV-C).

    The angle theta to the own class is widened by `margin`: cos(theta + margin). Where theta +
    margin passes pi that would reward being wrong, so there the score falls on linearly, as
    published: cos(theta) - margin * sin(pi - margin).

    Args:
        cosines: of each embedding with each class, (B, C).
        labels: (B,) int64 in [0, C).
        margin: radians in [0, pi/2].
        scale: s, above 0.

    Returns:
        Mean cross-entropy in nats, 0-d.

    Raises:
        ValueError: for shapes that do not fit, or margin, scale or labels out of range (labels are
            looked at on the CPU only).

    >>> round(aam_softmax(torch.zeros(1, 2), torch.tensor([0]), margin=0.0, scale=1.0).item(), 4)
    0.6931
    """
    _check_classes(cosines, labels)
    _check_positive(scale, "scale")
    if not (isinstance(margin, (int, float)) and 0 <= margin <= math.pi / 2):
        raise ValueError(f"margin is {margin!r}, expected radians in [0, pi/2] (the paper: 0.2).")
    own = cosines.gather(1, labels[:, None])  # (B, 1)
    sine = (1 - own.square()).clamp(min=1e-12).sqrt()  # no infinite slope where theta is 0
    wider = own * math.cos(margin) - sine * math.sin(margin)
    beyond = own - margin * math.sin(math.pi - margin)
    own = torch.where(own > math.cos(math.pi - margin), wider, beyond)
    return F.cross_entropy(scale * cosines.scatter(1, labels[:, None], own), labels)


def _check_classes(cosines: Tensor, labels: Tensor) -> None:
    if cosines.ndim != 2 or labels.shape != cosines.shape[:1] or labels.dtype != torch.long:
        raise ValueError(
            f"cosines and labels are {tuple(cosines.shape)} and {tuple(labels.shape)} "
            f"{labels.dtype}, expected (B, C) and (B,) torch.int64: one class per row."
        )
    classes = cosines.shape[1]
    on_cpu = labels.device.type == "cpu"  # reading them elsewhere would wait for the device
    if on_cpu and ((labels < 0) | (labels >= classes)).any():
        raise ValueError(
            f"labels go from {int(labels.min())} to {int(labels.max())}, expected [0, {classes}): "
            "number the training speakers from 0 and set classes to how many there are."
        )
