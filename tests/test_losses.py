"""Every loss against a loop written by hand, finite differences, and what must not change it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssps_lib import losses

DOUBLE = torch.float64


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = DOUBLE) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def at_angles(*degrees: float) -> torch.Tensor:
    """Points of various norms in the plane, whose cosines are those of the angles between them."""
    radians = [math.radians(d) for d in degrees]
    points = [[(1 + i) * math.cos(r), (1 + i) * math.sin(r)] for i, r in enumerate(radians)]
    return torch.tensor(points, dtype=DOUBLE)


def cos(a: float, b: float) -> float:
    return math.cos(math.radians(a - b))


def cross_entropy(p: torch.Tensor, scores: torch.Tensor) -> float:
    total = sum(math.exp(s) for s in scores.tolist())
    return -sum(float(a) * math.log(math.exp(s) / total) for a, s in zip(p, scores, strict=True))


# SimCLR ---------------------------------------------------------------------------------------

ANCHORS, POSITIVES, TAU = [0.0, 70.0, 200.0], [20.0, 95.0, 150.0], 0.4


def test_nt_xent_has_2b_anchors_and_2b_minus_2_negatives():
    angles = ANCHORS + POSITIVES
    total = 0.0
    for i, anchor in enumerate(angles):
        positive = math.exp(cos(anchor, angles[(i + 3) % 6]) / TAU)
        others = [angle for j, angle in enumerate(angles) if j % 3 != i % 3]
        assert len(others) == 4
        negatives = sum(math.exp(cos(anchor, other) / TAU) for other in others)
        total -= math.log(positive / (positive + negatives))
    loss = losses.nt_xent(at_angles(*ANCHORS), at_angles(*POSITIVES), TAU)
    assert loss.item() == pytest.approx(total / 6)


def test_nt_xent_of_equation_1():
    total = 0.0
    for i, anchor in enumerate(ANCHORS):
        similarities = [math.exp(cos(anchor, positive) / TAU) for positive in POSITIVES]
        total -= math.log(similarities[i] / sum(similarities))
    loss = losses.nt_xent(at_angles(*ANCHORS), at_angles(*POSITIVES), TAU, symmetric=False)
    assert loss.item() == pytest.approx(total / 3)


@given(seed=st.integers(0, 999), batch=st.integers(2, 6), scale=st.floats(0.01, 100))
@settings(max_examples=20, deadline=None)
def test_nt_xent_ignores_order_norms_and_which_view_is_first(seed, batch, scale):
    z, z_pos = randn(batch, 3, seed=seed), randn(batch, 3, seed=seed + 1)
    order = torch.randperm(batch)
    loss = losses.nt_xent(z, z_pos, 0.1)
    torch.testing.assert_close(losses.nt_xent(scale * z[order], z_pos[order], 0.1), loss)
    torch.testing.assert_close(losses.nt_xent(z_pos, z, 0.1), loss)


# MoCo -----------------------------------------------------------------------------------------


def test_moco_contrasts_the_key_with_the_queue():
    queries, keys, queue = [0.0, 100.0], [30.0, 80.0], [45.0, 180.0, 300.0]
    total = 0.0
    for query, key in zip(queries, keys, strict=True):
        positive = math.exp(cos(query, key) / TAU)
        negatives = sum(math.exp(cos(query, q) / TAU) for q in queue)
        total -= math.log(positive / (positive + negatives))
    loss = losses.moco(at_angles(*queries), at_angles(*keys), at_angles(*queue), TAU)
    assert loss.item() == pytest.approx(total / 2)


@given(seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_moco_ignores_the_order_of_the_queue(seed):
    query, key, queue = randn(3, 4, seed=seed), randn(3, 4, seed=seed + 1), randn(7, 4, seed=seed)
    loss = losses.moco(query, key, queue, 0.1)
    torch.testing.assert_close(losses.moco(query, key, queue[torch.randperm(7)], 0.1), loss)


# SwAV -----------------------------------------------------------------------------------------


def test_sinkhorn_is_three_alternate_scalings_of_exponentials():
    scores = randn(5, 3).clamp(-1, 1)
    plan = (scores / 0.05).exp()
    for _ in range(3):
        for k in range(3):
            plan[:, k] /= plan[:, k].sum() * 3
        for n in range(5):
            plan[n] /= plan[n].sum() * 5
    torch.testing.assert_close(losses.sinkhorn(scores), 5 * plan)


@given(seed=st.integers(0, 999), n=st.integers(2, 12), k=st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_sinkhorn_spreads_the_samples_evenly(seed, n, k):
    codes = losses.sinkhorn(randn(n, k, seed=seed).clamp(-1, 1), epsilon=0.5, iterations=200)
    torch.testing.assert_close(codes.sum(1), torch.ones(n, dtype=DOUBLE))
    torch.testing.assert_close(codes.sum(0), torch.full((k,), n / k, dtype=DOUBLE))


def test_sinkhorn_neither_overflows_nor_learns():
    scores = (100 * randn(4, 3, dtype=torch.float32)).requires_grad_()
    codes = losses.sinkhorn(scores, epsilon=0.01)  # exp(30000) would be infinite
    torch.testing.assert_close(codes.sum(1), torch.ones(4))
    assert not codes.requires_grad


def test_swav_swaps_the_codes():
    scores_1, scores_2 = randn(3, 4), randn(3, 4, seed=1)
    codes_1, codes_2 = (randn(3, 4, seed=s).softmax(1) for s in (2, 3))
    forward = sum(cross_entropy(codes_1[i], scores_2[i] / TAU) for i in range(3)) / 3
    backward = sum(cross_entropy(codes_2[i], scores_1[i] / TAU) for i in range(3)) / 3

    def loss(**options):
        return losses.swav(scores_1, scores_2, codes_1, codes_2, TAU, **options).item()

    assert loss() == pytest.approx((forward + backward) / 2)
    assert loss(symmetric=False, per_prototype=True) == pytest.approx(forward / 4)
    swapped = losses.swav(scores_2, scores_1, codes_2, codes_1, TAU).item()
    assert swapped == pytest.approx(loss())


# VICReg ---------------------------------------------------------------------------------------


def vicreg_by_hand(z, z_pos, weights, divide_by_d=True):
    batch, dim = z.shape
    square = sum((z[i, d] - z_pos[i, d]) ** 2 for i in range(batch) for d in range(dim)) / batch
    total = weights[0] * square / (dim if divide_by_d else 1)
    for x in (z, z_pos):
        mean = x.sum(0) / batch
        for d in range(dim):
            for e in range(dim):
                c = sum((x[i, d] - mean[d]) * (x[i, e] - mean[e]) for i in range(batch))
                c = c / (batch - 1)
                if d == e:
                    total += weights[1] * max(0.0, 1 - math.sqrt(c + 1e-4)) / dim
                else:
                    total += weights[2] * c**2 / dim
    return float(total)


@pytest.mark.parametrize("weights", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1.0, 1.0, 0.04)])
def test_vicreg_is_the_weighted_sum_of_its_terms(weights):
    z, z_pos = 0.7 * randn(5, 3), 0.7 * randn(5, 3, seed=1)
    assert losses.vicreg(z, z_pos, *weights).item() == pytest.approx(
        vicreg_by_hand(z, z_pos, weights)
    )
    assert losses.vicreg(z, z_pos, *weights, reduction="sum").item() == pytest.approx(
        vicreg_by_hand(z, z_pos, weights, divide_by_d=False)
    )


@given(seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_vicreg_ignores_order_views_and_shifts(seed):
    z, z_pos = randn(5, 3, seed=seed), randn(5, 3, seed=seed + 1)
    rows, dims = torch.randperm(5), torch.randperm(3)
    loss = losses.vicreg(z, z_pos)
    torch.testing.assert_close(losses.vicreg(z_pos[rows] + 3, z[rows] + 3), loss)
    torch.testing.assert_close(losses.vicreg(z[:, dims], z_pos[:, dims]), loss)


# DINO -----------------------------------------------------------------------------------------


def test_dino_averages_the_pairs_of_different_views():
    student, teacher, center = randn(6, 3, 4), randn(2, 3, 4, seed=1), randn(4, seed=2)
    total = 0.0
    for t in range(2):
        for s in range(6):
            for i in range(3):
                if s != t:
                    target = ((teacher[t, i] - center) / 0.04).softmax(0)
                    total += cross_entropy(target, student[s, i] / 0.1) / 3
    assert losses.dino(student, teacher, center).item() == pytest.approx(total / 10)
    loss = losses.dino(student, teacher, center, reduction="sum")
    assert loss.item() == pytest.approx(total)


@given(seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_dino_ignores_the_order_of_utterances_outputs_and_local_views(seed):
    student, teacher = randn(5, 3, 4, seed=seed), randn(2, 3, 4, seed=seed + 1)
    center, rows, outputs = randn(4, seed=seed + 2), torch.randperm(3), torch.randperm(4)
    loss = losses.dino(student, teacher, center)
    shuffled = student[:, rows][..., outputs], teacher[:, rows][..., outputs], center[outputs]
    torch.testing.assert_close(losses.dino(*shuffled), loss)
    torch.testing.assert_close(losses.dino(student[[1, 0, 4, 2, 3]], teacher[[1, 0]], center), loss)


# Supervised -----------------------------------------------------------------------------------


def test_aam_softmax_widens_the_angle_and_falls_on_linearly_beyond_pi():
    margin, scale = 0.2, 30.0
    cosines = torch.tensor([[0.5, -0.3, 0.1], [0.2, 0.4, -0.995]], dtype=DOUBLE)
    labels = torch.tensor([0, 2])
    widened = cosines.clone()
    widened[0, 0] = math.cos(math.acos(0.5) + margin)
    assert math.acos(-0.995) + margin > math.pi  # so the second row takes the other branch
    widened[1, 2] = -0.995 - math.sin(math.pi - margin) * margin
    one_hot = torch.eye(3, dtype=DOUBLE)[labels]
    expected = sum(cross_entropy(one_hot[i], scale * widened[i]) for i in range(2)) / 2
    assert losses.aam_softmax(cosines, labels, margin, scale).item() == pytest.approx(expected)


def test_aam_softmax_has_a_finite_gradient_at_angle_zero():
    cosines = torch.tensor([[1.0, 0.0], [0.0, -1.0]], requires_grad=True)
    losses.aam_softmax(cosines, torch.tensor([0, 1])).backward()
    assert cosines.grad.isfinite().all()


# All ------------------------------------------------------------------------------------------

CODES = [randn(4, 3, seed=s).softmax(1) for s in (8, 9)]
LABELS = torch.tensor([0, 2, 1, 2])
GRADIENTS = {
    "nt_xent": (lambda a, b: losses.nt_xent(a, b, 0.3), [(4, 3), (4, 3)]),
    "nt_xent_eq_1": (lambda a, b: losses.nt_xent(a, b, 0.3, symmetric=False), [(4, 3), (4, 3)]),
    "moco": (lambda q, k, m: losses.moco(q, k, m, 0.3), [(4, 3), (4, 3), (5, 3)]),
    "swav": (lambda a, b: losses.swav(a, b, *CODES, 0.3), [(4, 3), (4, 3)]),
    "vicreg": (losses.vicreg, [(4, 3), (4, 3)]),
    "dino": (
        lambda s: losses.dino(s, randn(2, 3, 4, seed=5), randn(4, seed=6)),
        [(6, 3, 4)],
    ),
    "aam_softmax": (lambda c: losses.aam_softmax(c.tanh(), LABELS), [(4, 3)]),
    "cosines": (losses.cosines, [(4, 3), (2, 3)]),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_by_finite_differences(name):
    function, shapes = GRADIENTS[name]
    inputs = [randn(*shape, seed=20 + i).requires_grad_() for i, shape in enumerate(shapes)]
    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize("name", GRADIENTS)
def test_nan_is_not_hidden(name):
    function, shapes = GRADIENTS[name]
    for bad in range(len(shapes)):
        inputs = [randn(*shape, seed=20 + i) for i, shape in enumerate(shapes)]
        inputs[bad].view(-1)[-1] = math.nan
        assert function(*inputs).isnan().any()


@pytest.mark.parametrize("name", ["nt_xent", "nt_xent_eq_1", "moco", "vicreg", "cosines"])
def test_computed_in_full_precision_under_autocast(name):
    function, shapes = GRADIENTS[name]
    inputs = [randn(*shape, seed=20 + i).bfloat16() for i, shape in enumerate(shapes)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = function(*inputs)
    torch.testing.assert_close(result, function(*[x.float() for x in inputs]))


SQUARE = torch.ones(4, 2)
BAD_INPUT = {
    "other batch": (lambda: losses.nt_xent(SQUARE, SQUARE[1:], 0.1), ValueError, r"\(3, 2\)"),
    "one utterance": (lambda: losses.vicreg(SQUARE[:1], SQUARE[:1]), ValueError, "at least 2"),
    "empty queue": (lambda: losses.moco(SQUARE, SQUARE, SQUARE[:0], 0.1), ValueError, "fill it"),
    "reduction": (lambda: losses.vicreg(SQUARE, SQUARE, reduction="max"), KeyError, "max"),
    "label": (lambda: losses.aam_softmax(SQUARE, LABELS), RuntimeError, "out of bounds"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_what_would_be_silently_wrong_is_refused(name):
    call, error, message = BAD_INPUT[name]
    with pytest.raises(error, match=message):
        call()
