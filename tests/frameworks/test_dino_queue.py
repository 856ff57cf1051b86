import pytest
import torch
from tiny import build, views_of

from ssps_book import dino_queue


def losses(**options):
    framework = build("dino", norm=True, **options)
    batches = [views_of(framework, batch=6, seed=seed) for seed in range(4)]
    return dino_queue.compare(framework, batches, epochs=2, learning_rate=0.2)


@pytest.mark.rounding
def test_both_queues_agree_while_the_last_layer_is_frozen():
    curves = losses(frozen_epochs=9)
    torch.testing.assert_close(curves["bottleneck"], curves["logits"])
    assert curves["own"].shape == (2, 4)
    assert not torch.allclose(curves["own"], curves["logits"])  # the positives are others


def test_they_part_once_it_learns_but_less_than_positives_differ():
    curves = losses(frozen_epochs=0)
    gap = (curves["bottleneck"] - curves["logits"]).abs().mean()
    assert 0 < gap < (curves["own"] - curves["logits"]).abs().mean()
