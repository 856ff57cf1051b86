import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from ssps_lib.frameworks.heads import DINOHead, Prototypes, mlp


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_published_sizes():
    with torch.device("meta"):
        assert count(mlp((512, 2048, 2048, 512), nn.ReLU)) == 6_304_256
        assert count(DINOHead(512, 2048, 256, 65_536)) == 22_556_928
        assert count(Prototypes(512, 3000)) == 1_536_000


def test_layers_of_the_dino_head():
    head = DINOHead(6, 64, 4, 9)
    kinds = [nn.Linear, nn.BatchNorm1d, nn.GELU, nn.Linear, nn.BatchNorm1d, nn.GELU, nn.Linear]
    assert [type(layer) for layer in head.mlp] == kinds
    assert head.mlp[3].weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert head.mlp[3].weight.abs().max() > 0.04  # truncated at 2, not at 2 deviations
    assert head.mlp[3].bias.abs().max() == 0
    y = torch.randn(5, 6)
    torch.testing.assert_close(head.bottleneck(y).norm(dim=1), torch.ones(5))
    assert head(y).abs().max() <= 1 + 1e-6  # cosines


def test_prototypes_are_weight_norm_with_gain_1():
    ours = Prototypes(4, 3)
    trusted = nn.Linear(4, 3, bias=False)
    trusted.weight.data.copy_(ours.weight.data)
    parametrizations.weight_norm(trusted)
    trusted.parametrizations.weight.original0.data.fill_(1)
    x = torch.randn(5, 4)
    torch.testing.assert_close(ours(x), trusted(x))
    ours(x).square().sum().backward()
    trusted(x).square().sum().backward()
    torch.testing.assert_close(ours.weight.grad, trusted.parametrizations.weight.original1.grad)


def test_prototypes_are_exact_under_autocast():
    prototypes, x = Prototypes(64, 3), torch.randn(5, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = prototypes(x)
    assert torch.equal(scores, prototypes(x))
