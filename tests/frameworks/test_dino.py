import math

import pytest
import torch
import torch.nn.functional as F
from tiny import SAMPLES, TinyEncoder, build, views_of

from ssps_lib import frameworks, losses


def test_the_paper_s_crops_are_the_default():
    framework = frameworks.DINO(TinyEncoder(), hidden=8, bottleneck=4, outputs=7)
    assert framework.crops == (2, 2, 1, 1, 1, 1)
    z, z_pos = framework(views_of(framework))
    assert z.shape == (4, 6, 7)
    assert z_pos.shape == (4, 2, 4)


def test_views_of_one_length_are_one_batch():
    framework = build("dino")
    views = views_of(framework)
    z, _ = framework(views)
    shapes = [tuple(x.shape) for x in framework.encoder.seen]
    assert shapes == [(8, 2 * SAMPLES), (8, SAMPLES)]  # 2 global and 2 local views of 4
    assert [tuple(x.shape) for x in framework.teacher_encoder.seen] == [(8, 2 * SAMPLES)]
    framework.eval()
    z = framework.anchor(views)
    for v, view in enumerate(views):
        torch.testing.assert_close(z[:, v], framework.head(framework.encoder(view)))


def test_the_loss_compares_student_and_centred_teacher():
    framework = build("dino", queue="logits").eval()
    views = views_of(framework)
    framework.center.copy_(torch.randn(7))
    student = torch.stack([framework.head(framework.encoder(v)) for v in views])
    teacher = torch.stack([framework.teacher_head(framework.teacher_encoder(v)) for v in views[:2]])
    expected = losses.dino(student, teacher, framework.center, 0.1, 0.04)
    torch.testing.assert_close(framework.loss(*framework(views)), expected)


def step(framework, queue_rows=None):
    """Loss and state after one step with pseudo-positives from earlier rows of the queue."""
    z, z_pos = framework(views_of(framework))
    if queue_rows is not None:
        z_pos = framework.substitute(z_pos, queue_rows, torch.tensor([True, False, True, False]))
    loss = framework.loss(z, z_pos)
    framework.after_step(z.detach(), z_pos.detach())
    return loss.item(), framework.center.clone()


@pytest.mark.parametrize("frozen", [True, False])
def test_bottlenecks_equal_logits_while_the_last_layer_stays(frozen):
    results = []
    for queue in ("bottleneck", "logits"):
        framework = build("dino", queue=queue)
        rows = framework.positive(views_of(framework, seed=1))
        with torch.no_grad():  # training between the insertion and the use of these rows
            framework.teacher_head.mlp[-1].weight += 0.1
            if not frozen:
                framework.teacher_head.last.weight += torch.randn(7, 4).mul(0.3)
        results.append(step(framework, rows))
    (loss_1, center_1), (loss_2, center_2) = results
    assert (loss_1 == pytest.approx(loss_2, rel=1e-5)) == frozen
    assert torch.allclose(center_1, center_2, atol=1e-6) == frozen


@pytest.mark.parametrize("queue", ["bottleneck", "logits"])
def test_the_centre_follows_the_mean_of_the_teacher_s_logits(queue):
    framework = build("dino", queue=queue)
    z, z_pos = framework(views_of(framework))
    mean = framework.logits(z_pos).mean(dim=(0, 1))
    framework.after_step(z.detach(), z_pos)
    torch.testing.assert_close(framework.center, 0.1 * mean)
    framework.after_step(z.detach(), z_pos)
    torch.testing.assert_close(framework.center, 0.19 * mean)


def test_the_teacher_s_momentum_rises_along_a_cosine():
    framework = build("dino")
    for progress, momentum in ((0.0, 0.996), (0.5, 0.998), (1.0, 1.0)):
        framework.before_step(3, progress)
        assert framework.momentum == pytest.approx(momentum, abs=1e-12)


def test_the_teacher_is_a_moving_average_without_gradient():
    framework = build("dino")
    framework.before_step(0, 0.0)
    z, z_pos = framework(views_of(framework))
    assert z.requires_grad and not z_pos.requires_grad
    pairs = [
        (framework.teacher_encoder.matrix.weight, framework.encoder.matrix.weight),
        (framework.teacher_head.last.weight, framework.head.last.weight),
        (framework.teacher_head.mlp[0].bias, framework.head.mlp[0].bias),
    ]
    with torch.no_grad():
        for _, student in pairs:
            student += 1
    expected = [0.996 * teacher + 0.004 * student for teacher, student in pairs]
    framework.after_step(z.detach(), z_pos)
    for (teacher, _), value in zip(pairs, expected, strict=True):
        torch.testing.assert_close(teacher, value)
        assert not teacher.requires_grad
    assert framework.representation_encoder is framework.teacher_encoder


def test_the_last_layer_is_frozen_for_one_epoch_even_with_weight_decay():
    framework = build("dino")
    groups = framework.parameter_groups(0.1)
    optimizer = torch.optim.SGD(groups, lr=0.2, momentum=0.9)
    start = framework.head.last.weight.clone()
    for epoch in (0, 1):
        optimizer.zero_grad()
        framework.loss(*framework(views_of(framework))).backward()
        framework.after_backward(epoch)
        optimizer.step()
        assert torch.equal(framework.head.last.weight, start) == (epoch == 0)


def test_biases_and_norms_do_not_decay():
    framework = build("dino", norm=True)
    decayed, free = framework.parameter_groups(5e-5)
    assert (decayed["weight_decay"], free["weight_decay"]) == (5e-5, 0)
    names = {id(p): name for name, p in framework.named_parameters()}
    assert all(names[id(p)].endswith("weight") for p in decayed["params"])
    assert {names[id(p)].split(".")[0] for p in free["params"]} == {"encoder", "head"}
    norms = framework.encoder.norm.weight, framework.head.mlp[1].weight
    biases = framework.encoder.matrix.bias, framework.head.mlp[0].bias
    assert {id(p) for p in (*norms, *biases)} <= {id(p) for p in free["params"]}


def test_monitors_tell_the_two_collapses_apart():
    framework = build("dino", queue="logits")
    z = torch.zeros(4, 4, 7)
    flat = framework.monitors(z, torch.zeros(4, 2, 7))
    assert flat["teacher_entropy"] == pytest.approx(1)
    one = F.one_hot(torch.zeros(4, 2, dtype=torch.long), 7).float()
    assert framework.monitors(z, one)["teacher_usage"] < 0.01
    spread = F.one_hot(torch.tensor([[0, 0], [1, 1], [2, 2], [3, 3]]), 7).float()
    healthy = framework.monitors(z, spread)
    assert healthy["teacher_entropy"] < 0.01
    assert healthy["teacher_usage"] == pytest.approx(math.log(4) / math.log(7), abs=1e-3)


def test_the_bottleneck_makes_the_queue_small():
    assert build("dino").embedding_shape == (2, 4)
    assert build("dino", queue="logits").embedding_shape == (2, 7)
