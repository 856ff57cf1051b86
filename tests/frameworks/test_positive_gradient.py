"""Where Q' replaces every positive, view 2 needs no gradient: same loss, gradient and state."""

import pytest
import torch
from tiny import OPTIONS, build, views_of

BATCH = 6
LABELS = torch.arange(BATCH) % 3


def gradients(name: str, found: torch.Tensor, positive_gradient: bool) -> dict:
    framework = build(name, norm=True)
    rows = torch.randn(
        BATCH, *framework.embedding_shape, generator=torch.Generator().manual_seed(1)
    )
    z, own = framework(views_of(framework, BATCH), positive_gradient=positive_gradient)
    loss = framework.loss(z, framework.substitute(own, rows, found), LABELS)
    loss.backward()
    return {
        "loss": loss.detach(),
        "own": own.detach(),
        "gradients": {n: p.grad for n, p in framework.named_parameters() if p.requires_grad},
        "state": framework.state_dict(),
    }


@pytest.mark.parametrize("name", sorted(set(OPTIONS) - {"supervised"}))
def test_same_gradients_where_all_positives_are_replaced(name):
    everywhere = torch.ones(BATCH, dtype=torch.bool)
    full, spared = (gradients(name, everywhere, with_) for with_ in (True, False))
    torch.testing.assert_close(spared, full, rtol=0, atol=0)
    assert any(g.abs().max() > 0 for g in full["gradients"].values())


@pytest.mark.parametrize("name", ["simclr", "swav", "vicreg"])
def test_the_gradient_is_needed_where_one_positive_stays(name):
    found = torch.arange(BATCH) > 0
    full, spared = (gradients(name, found, with_) for with_ in (True, False))
    key = "encoder.matrix.weight"
    assert (full["gradients"][key] - spared["gradients"][key]).abs().max() > 1e-6


def test_the_positive_branch_builds_no_graph():
    framework = build("simclr")
    z, own = framework(views_of(framework), positive_gradient=False)
    assert z.requires_grad
    assert not own.requires_grad
