import math

import pytest
import torch
import torch.nn.functional as F
from tiny import build, views_of

from ssps_lib import frameworks, losses
from ssps_lib.frameworks.momentum import enqueue


def test_queues_start_as_gaussian_directions():
    encoder = torch.nn.Identity()
    encoder.dim = 8
    queue = frameworks.MoCo(encoder).queue
    assert queue.shape == (2, 65_536, 8)
    torch.testing.assert_close(queue.norm(dim=-1), torch.ones(2, 65_536))
    assert queue.mean().abs() < 0.002
    assert queue.std().item() == pytest.approx(1 / math.sqrt(8), rel=0.01)


def test_each_view_is_the_query_of_one_direction_with_its_own_queue():
    framework = build("moco", temperature=0.2)
    views = views_of(framework)
    z, z_pos = framework(views)
    q_1, q_2 = (framework.encoder(view) for view in views)
    k_1, k_2 = (framework.key_encoder(view) for view in views)
    first = losses.moco(q_1, k_2, framework.queue[0], 0.2)
    second = losses.moco(q_2, k_1, framework.queue[1], 0.2)
    torch.testing.assert_close(framework.loss(z, z_pos), (first + second) / 2)
    framework.symmetric = False
    torch.testing.assert_close(framework.loss(z, z_pos), first)


def test_keys_have_no_gradient_and_follow_slowly():
    framework = build("moco", momentum=0.9)
    z, z_pos = framework(views_of(framework))
    assert not z_pos.requires_grad
    assert not any(p.requires_grad for p in framework.key_encoder.parameters())
    key = framework.key_encoder.matrix.weight.clone()
    with torch.no_grad():
        framework.encoder.matrix.weight += 1
    framework.after_step(z.detach(), z_pos)
    expected = 0.9 * key + 0.1 * framework.encoder.matrix.weight
    torch.testing.assert_close(framework.key_encoder.matrix.weight, expected)


@pytest.mark.parametrize("pseudo_negatives", [True, False])
def test_what_is_enqueued_under_ssps(pseudo_negatives):
    framework = build("moco", pseudo_negatives=pseudo_negatives)
    old = framework.queue.clone()
    z, own, pseudo = (torch.randn(4, 2, 6) for _ in range(3))
    framework.after_step(z, pseudo, own)
    keys = F.normalize(pseudo if pseudo_negatives else own, dim=-1)
    torch.testing.assert_close(framework.queue[0, :4], keys[:, 0])
    torch.testing.assert_close(framework.queue[1, :4], keys[:, 1])
    assert torch.equal(framework.queue[:, 4:], old[:, 4:])
    framework.after_step(z, own)
    torch.testing.assert_close(framework.queue[1, 4:8], F.normalize(own[:, 1], dim=-1))


def test_a_batch_wraps_around_the_end_of_the_queue():
    queue, pointer = torch.zeros(2, 5, 1), torch.tensor(3)
    rows = torch.arange(1.0, 9.0).view(4, 2, 1)
    enqueue(queue, pointer, rows)
    assert queue[0, :, 0].tolist() == [5, 7, 0, 1, 3]
    assert queue[1, :, 0].tolist() == [6, 8, 0, 2, 4]
    assert pointer == 2


def test_a_queue_smaller_than_the_batch_is_named():
    framework = build("moco", queue_size=3)
    z, z_pos = framework(views_of(framework))
    with pytest.raises(ValueError, match="batch of 4 embeddings was given to a queue of 3"):
        framework.after_step(z.detach(), z_pos)


def test_keys_are_encoded_in_another_order_and_put_back():
    framework = build("moco", norm=True, shuffled_norms=True)
    views = views_of(framework, batch=32)
    expected = torch.stack([framework.key_encoder(views[1]), framework.key_encoder(views[0])], 1)
    framework.key_encoder.seen.clear()
    orders = []
    for progress in (0.25, 0.25, 0.75):
        framework.before_step(0, progress)
        torch.testing.assert_close(framework.positive(views), expected)
        view_2, view_1 = framework.key_encoder.seen[-2:]
        assert not torch.equal(view_1, views[0])
        order = (view_1[:, None] == views[0]).all(-1).long().argmax(1)
        assert torch.equal(views[1][order], view_2)
        orders.append(order.tolist())
    assert sorted(orders[0]) == list(range(32))
    assert orders[0] == orders[1] != orders[2]
