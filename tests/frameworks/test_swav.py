import math

import pytest
import torch
import torch.nn.functional as F
from tiny import build, views_of

from ssps_lib import losses


def by_hand(framework, z, z_pos, queues=None):
    scores = [losses.cosines(x, framework.prototypes.weight) for x in (z, z_pos)]
    codes = []
    for view, x in enumerate(scores):
        if queues is not None:
            x = torch.cat([x, queues[view] @ F.normalize(framework.prototypes.weight).T])
        codes.append(losses.sinkhorn(x)[: len(z)])
    return losses.swav(*scores, *codes, 0.1)


def test_the_loss_swaps_sinkhorn_codes_of_cosines():
    framework = build("swav")
    z, z_pos = framework(views_of(framework))
    torch.testing.assert_close(z.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(framework.loss(z, z_pos), by_hand(framework, z, z_pos))


def test_the_queue_helps_the_codes_from_its_epoch_on():
    framework = build("swav", queue_start=2)
    views = views_of(framework)
    z, z_pos = framework(views)
    framework.after_step(z.detach(), z_pos.detach())
    without = by_hand(framework, z, z_pos)
    with_queue = by_hand(framework, z, z_pos, framework.queue)
    assert (without - with_queue).abs() > 1e-4
    for epoch, expected in ((1, without), (2, with_queue)):
        framework.before_step(epoch, 0.5)
        torch.testing.assert_close(framework.loss(z, z_pos), expected)


def test_the_queue_keeps_the_own_positives_under_ssps():
    framework = build("swav")
    z, pseudo, own = (torch.randn(4, 4) for _ in range(3))
    framework.after_step(z, pseudo, own)
    assert torch.equal(framework.queue[0, :4], z)
    assert torch.equal(framework.queue[1, :4], own)


def test_prototypes_are_frozen_for_one_epoch():
    framework = build("swav")
    optimizer = torch.optim.Adam(framework.parameter_groups(0.1), lr=0.1)
    start = framework.prototypes.weight.clone()
    for epoch in (0, 1):
        optimizer.zero_grad()
        framework.loss(*framework(views_of(framework))).backward()
        framework.after_backward(epoch)
        optimizer.step()
        assert torch.equal(framework.prototypes.weight, start) == (epoch == 0)


def test_pseudo_positives_train_the_prototypes_but_not_the_encoder():
    framework = build("swav")
    z, z_pos = (x.detach() for x in framework(views_of(framework)))
    framework.loss(z, z_pos).backward()
    assert framework.prototypes.weight.grad.abs().sum() > 0
    assert framework.encoder.matrix.weight.grad is None


def test_no_queue_is_allowed():
    framework = build("swav", queue_size=0, queue_start=0)
    z, z_pos = framework(views_of(framework))
    framework.after_step(z.detach(), z_pos.detach())
    torch.testing.assert_close(framework.loss(z, z_pos), by_hand(framework, z, z_pos))


def test_monitors_show_a_collapse():
    framework = build("swav")

    def monitors(z, z_pos):
        framework.loss(z, z_pos)
        return framework.monitors(z, z_pos)

    z, z_pos = framework(views_of(framework))
    one_point = z[:1].expand_as(z)
    assert monitors(z, z_pos)["assignment_entropy"] < 0.9
    assert monitors(one_point, one_point)["assignment_entropy"] == pytest.approx(1)
    with torch.no_grad():
        framework.prototypes.weight[0] = 10 * z[0]
        framework.prototypes.weight[1:] = -z[0]
    assert monitors(one_point, one_point)["prototype_usage"] < 0.01


def test_sinkhorn_runs_once_for_each_view(monkeypatch):
    framework, calls, sinkhorn = build("swav"), [], losses.sinkhorn
    monkeypatch.setattr(losses, "sinkhorn", lambda *given: calls.append(1) or sinkhorn(*given))
    z, z_pos = framework(views_of(framework))
    framework.loss(z, z_pos)
    framework.monitors(z, z_pos)
    assert len(calls) == 2


def test_a_collapse_costs_ln_p():
    framework = build("swav", prototypes=5)
    with torch.no_grad():
        framework.prototypes.weight[:] = framework.prototypes.weight[0]
    loss = framework.loss(*framework(views_of(framework)))
    assert loss.item() == pytest.approx(math.log(5))
