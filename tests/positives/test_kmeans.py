import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score

import ssps_lib.positives.kmeans as module
from ssps_lib.positives.kmeans import kmeans

pytestmark = pytest.mark.rounding


def by_hand(x, k, iterations, initial):
    x, m = F.normalize(x, dim=1).numpy(), F.normalize(initial, dim=1).numpy()
    for step in range(iterations + 1):
        c = np.array([np.argmax([row @ centroid for centroid in m]) for row in x])
        if step == iterations:
            return c, m
        for j in range(k):
            if (c == j).any():
                mean = x[c == j].mean(axis=0)
                m[j] = mean / np.linalg.norm(mean)


@pytest.mark.parametrize("budget", [1, 50, 2**24])
def test_agrees_with_a_loop_whatever_the_blocks(budget, monkeypatch):
    x = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    blocks = module.blocks
    monkeypatch.setattr(module, "blocks", lambda n, k, d: blocks(n, 2**24 // budget, d))
    assignments, centroids = kmeans(x, 7, iterations=4, initial=x[:7])
    expected, m = by_hand(x, 7, 4, x[:7])
    assert assignments.tolist() == expected.tolist()
    np.testing.assert_allclose(centroids.numpy(), m, atol=1e-5)


def test_finds_what_scikit_learn_finds_on_separated_data():
    generator = torch.Generator().manual_seed(1)
    means = torch.eye(8)[:5].repeat_interleave(40, 0)
    x = F.normalize(means + 0.05 * torch.randn(200, 8, generator=generator), dim=1)
    assignments, _ = kmeans(x, 5, initial=x[::40])
    theirs = KMeans(5, init=x[::40].numpy(), n_init=1).fit_predict(x.numpy())
    assert normalized_mutual_info_score(theirs, assignments) == pytest.approx(1)


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 6))
def test_centroids_are_unit_and_assignments_closest(seed, k):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(12, 3, generator=generator)
    assignments, centroids = kmeans(x, k, 3, generator=generator)
    torch.testing.assert_close(centroids.norm(dim=1), torch.ones(k))
    similarity = F.normalize(x, dim=1) @ centroids.t()
    torch.testing.assert_close(
        similarity.gather(1, assignments[:, None])[:, 0], similarity.amax(dim=1)
    )


def test_an_empty_cluster_keeps_its_centroid():
    x = torch.tensor([[1.0, 0.0], [1.0, 0.1]])
    _, centroids = kmeans(x, 2, initial=torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    assert centroids[1].tolist() == [-1, 0]


def test_steps_that_would_change_nothing_are_not_taken(monkeypatch):
    x = torch.eye(6)[:3].repeat_interleave(20, 0) + 0.01 * torch.randn(60, 6)
    closest, calls = module._closest, []
    monkeypatch.setattr(module, "_closest", lambda *given: calls.append(1) or closest(*given))
    found = [kmeans(x, 3, iterations, initial=x[::20]) for iterations in (1, 10)]
    assert len(calls) == 2 + 2  # the second step finds the centroids of the first
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_duplicate_and_opposite_rows_do_not_crash():
    assignments, centroids = kmeans(torch.ones(20, 4), 5)
    assert assignments.unique().numel() == 1 and centroids.isfinite().all()
    _, centroids = kmeans(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), 1)
    assert centroids.norm().item() == pytest.approx(1)


def test_a_generator_decides_and_half_precision_agrees():
    x = torch.randn(100, 6)
    draws = [kmeans(x, 5, generator=torch.Generator().manual_seed(3))[0] for _ in range(2)]
    assert torch.equal(*draws)
    means = torch.eye(6)[:4].repeat_interleave(25, 0) + 0.01 * x
    full, half = (
        kmeans(means, 4, initial=means[::25]),
        kmeans(means, 4, initial=means[::25], dtype=torch.bfloat16),
    )
    assert torch.equal(full[0], half[0]) and half[1].dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_the_largest_similarity_is_the_first_of_equal_ones(dtype):
    drawn = torch.randn(200, 30, generator=torch.Generator().manual_seed(0))
    for values in (drawn, -drawn.abs() - 1, (2 * drawn).round() + 0.5, torch.ones(3, 4)):
        similarity = values.to(dtype)
        before = similarity.clone()
        assert torch.equal(module.largest(similarity), before.argmax(dim=1))
        assert torch.equal(similarity, before)


def test_half_precision_products_lose_no_similarity():
    generator = torch.Generator().manual_seed(0)
    means = F.normalize(torch.randn(30, 64, generator=generator), dim=1)
    noise = 0.1 * torch.randn(3000, 64, generator=generator)
    x = F.normalize(means[torch.arange(3000) % 30] + noise, dim=1)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        assignments, centroids = kmeans(x, 40, initial=x[:40], dtype=dtype)
        found.append(float((x * centroids[assignments]).sum(dim=1).mean()))
    assert found[1] == pytest.approx(found[0], rel=0.005)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="K=5"):
        kmeans(torch.randn(4, 2), 5)
    with pytest.raises(ValueError, match="not finite"):
        kmeans(torch.full((4, 2), torch.nan), 2)


def test_unit_rows_are_not_copied_and_others_are_normalised():
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    unit = F.normalize(x, dim=1)
    assert module._unit(unit) is unit
    assert module._unit(unit.half()).dtype == torch.float16
    torch.testing.assert_close(module._unit(3 * x), unit)
    for rows in (3 * x, unit.half()):
        assert torch.equal(kmeans(rows, 2, initial=x[:2])[0], kmeans(unit, 2, initial=x[:2])[0])
