import pytest
import torch

from ssps_lib.frameworks import collapse


def test_isotropic_embeddings_have_a_spread_of_1():
    z = torch.randn(4_000, 64, generator=torch.Generator().manual_seed(0))
    assert collapse.embedding_std(5 * z) == pytest.approx(1, abs=0.01)


def test_embeddings_on_one_axis_have_little_spread():
    z = torch.zeros(100, 64)
    z[:, 0] = torch.linspace(-1, 1, 100)
    assert collapse.embedding_std(z) == pytest.approx(1 / 8)  # 1 of 64 dimensions, times sqrt(64)


def test_entropy_lies_between_one_hot_and_uniform():
    p = torch.tensor([[0.25, 0.75]])
    expected = -(0.25 * torch.tensor(0.25).log2() + 0.75 * torch.tensor(0.75).log2())
    assert collapse.relative_entropy(p) == pytest.approx(expected.item())
    assert collapse.relative_entropy(torch.eye(3)) == 0
    assert collapse.relative_entropy(torch.full((2, 7), 1 / 7)) == pytest.approx(1)
