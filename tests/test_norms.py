"""The batch norm of the encoders beside PyTorch's own in double precision."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssps_lib.encoders import ENCODERS, build
from ssps_lib.norms import BatchNorm, Normalised

ROWS = {"1d": (40_000, 6), "2d": (25, 6, 40, 40)}  # many: there single precision loses digits


def batch(kind: str, seed: int) -> Tensor:
    """Values as after a ReLU, channels last."""
    x = torch.randn(ROWS[kind], generator=torch.Generator().manual_seed(seed)).relu() + 0.1
    return x.contiguous(memory_format=torch.channels_last) if kind == "2d" else x


def results(norm: nn.Module, x: Tensor, slope: Tensor) -> dict[str, Tensor]:
    """Output, gradients and statistics after one mini-batch."""
    x = x.clone().requires_grad_()
    y = norm(x)
    y.backward(slope)
    gradients = {f"by {name}": p.grad for name, p in norm.named_parameters()}
    statistics = {"mean": norm.running_mean, "variance": norm.running_var}
    return {"y": y.detach(), "by x": x.grad, **gradients, **statistics}


def trained(kind: str) -> nn.Module:
    """PyTorch's norm with weights and statistics of its own."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(6) if kind == "2d" else nn.BatchNorm1d(6)
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(tensor)
    return norm


def ours(norm: nn.Module) -> BatchNorm:
    same = BatchNorm(norm.num_features)
    same.load_state_dict(norm.state_dict())
    return same


@pytest.mark.parametrize("kind", ROWS)
def test_sums_lose_no_digits(kind):
    norm, x = trained(kind), batch(kind, 1)
    slope = 0.01 + 0.001 * batch(kind, 2)  # of one sign, as where a whole channel is pulled
    expected = results(copy.deepcopy(norm).double(), x.double(), slope.double())
    found = results(ours(norm), x, slope)
    assert found["y"].stride() == x.stride()
    for name, value in expected.items():
        limit = {"by x": 1e-3, "by weight": 1e-3}.get(name, 1e-6)  # small differences of large sums
        assert (found[name] - value).norm() <= limit * value.norm(), name


def normalised(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    variance, mean = torch.var_mean(x.detach(), 0, correction=0)
    return Normalised.apply(x, weight, bias, mean, torch.rsqrt(variance + 1e-5))


def inputs() -> list[Tensor]:
    """Rows, weight and bias."""
    generator = torch.Generator().manual_seed(3)
    made = [torch.randn(n, generator=generator, dtype=torch.double) for n in ((7, 4), (4,), (4,))]
    return [tensor.requires_grad_() for tensor in made]


def test_gradient_is_that_of_finite_differences():
    assert torch.autograd.gradcheck(normalised, inputs())


def test_compiled_it_keeps_its_gradient():
    """Dynamo gives 0 for some functions that return what they were given."""
    compiled = torch.compile(normalised, backend="aot_eager", fullgraph=True)
    found, expected = (
        torch.autograd.grad(one(*made).square().sum(), made)
        for one, made in ((compiled, inputs()), (normalised, inputs()))
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("how", ["evaluation", "bfloat16", "channels first"])
def test_elsewhere_it_is_the_norm_of_pytorch(how):
    norm, x = trained("2d"), batch("2d", 1)[:3]
    if how == "evaluation":
        norm.eval()
    same = ours(norm).train(norm.training)
    x = {"bfloat16": x.bfloat16(), "channels first": x.contiguous()}.get(how, x)
    found, expected = results(same, x, x), results(norm, x, x)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_norm_of_an_encoder_is_precise(name):
    torch.manual_seed(0)
    encoder = build(name, channels=8, dim=16)
    errors = []

    def compare(norm: nn.Module, inputs: tuple[Tensor], y: Tensor) -> None:
        x, weight, bias = (t.detach().double() for t in (*inputs, norm.weight, norm.bias))
        expected = F.batch_norm(x, None, None, weight, bias, training=True, eps=norm.eps)
        errors.append(float((y.detach() - expected).norm() / expected.norm()))

    for module in encoder.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.register_forward_hook(compare)
    encoder.represent(torch.randn(64, 40, 80))
    assert len(errors) > 20 and max(errors) < 3e-6
