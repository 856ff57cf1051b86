"""Every framework with every sampler through the real training loop, at the smallest sizes."""

import numpy as np
import pytest
import small_runs
import torch
from small_runs import parts_of, tiny
from steps import still

from ssps_lib import training
from ssps_lib.frameworks.collapse import CollapseWarning
from ssps_lib.training import loop, run_folder
from ssps_lib.training.ssps import SSPS

N = 32
OPTIONS = {
    "simclr": {},
    "moco": {"queue_size": 16, "momentum": 0.9},
    "swav": {
        "prototypes": 4, "hidden": 16, "dim": 16, "queue_size": 16, "queue_start": 1,
    },
    "vicreg": {"hidden": 16, "dim": 16},
    "dino": {"hidden": 16, "bottleneck": 8, "outputs": 24, "local_crops": 2, "momentum": 0.9},
}  # fmt: skip
SELF_SUPERVISED = list(OPTIONS)
POSITIVES = {
    "ssl": {},
    "supervised": {},
    "ssps-nn": {"window": 3},
    "ssps-clustering": {"clusters": 5, "window": 1},
    "ssps-clustering-c": {"clusters": 5, "window": 1},
}
PAIRS = [
    (framework, positives)
    for framework in SELF_SUPERVISED
    for positives in POSITIVES
    if positives != "ssps-clustering-c" or framework in ("simclr", "moco")
]


def config_of(framework, positives="ssl", **changes):
    """A single epoch from random weights: no SSL training, the queues are filled beforehand."""
    quick = {
        "framework": framework, "framework_options": OPTIONS.get(framework, {}), "crop": 0.3,
        "reference_crop": 0.4, "epochs": 1, "augmentation": "none", "positives": positives,
    }  # fmt: skip
    return tiny(**(quick | POSITIVES[positives] | changes))


def trained(config):
    """The parts of a run after its epochs, and the values of its last one."""
    parts = small_runs.trained(config, run_folder(config))
    return parts, parts.position.metrics[-1]


def assert_restored(config, parts):
    """Built again they have all of the state."""
    again = parts_of(config, run_folder(config))
    assert again.position == parts.position
    for key, value in parts.framework.state_dict().items():
        assert torch.equal(again.framework.state_dict()[key], value), key
    if isinstance(parts.ssps, SSPS):
        for name in ("reference_queue", "positive_queue"):
            for key, value in getattr(parts.ssps, name).state_dict().items():
                assert torch.equal(getattr(again.ssps, name).state_dict()[key], value)


@pytest.mark.parametrize(("framework", "positives"), PAIRS)
def test_every_framework_learns_from_every_sampler(framework, positives):
    config = config_of(framework, positives)
    parts, values = trained(config)
    assert np.isfinite(values["loss"])
    assert values["embedding_std"] > 0
    assert 0 <= values["dev_eer"] <= 100
    bootstraps = isinstance(parts.ssps, SSPS)
    assert bootstraps == ("coverage" in values) == positives.startswith("ssps")
    if bootstraps:
        assert values["coverage"] > 0.5
        assert 0 <= values["speaker_accuracy"] <= 100
        queue = parts.ssps.positive_queue
        assert len(parts.ssps.reference_queue) == len(queue) == N
        assert queue.values.shape == (N, *parts.framework.embedding_shape)
        assert queue.values.isfinite().all()
    assert_restored(config, parts)


def test_the_positive_queue_may_be_smaller_than_the_corpus():
    """A ring of 12 of 32 slots: more of the published candidates are found than of Eq. 11's."""
    coverage = {}
    for candidates in ("queue", "cluster"):
        config = config_of(
            "simclr", "ssps-clustering", positive_queue=12, candidates=candidates, epochs=2
        )
        parts, values = trained(config)
        assert len(parts.ssps.positive_queue) == parts.ssps.positive_queue.size == 12
        assert len(parts.ssps.reference_queue) == N
        assert_restored(config, parts)
        coverage[candidates] = values["coverage"]
    assert 0 < coverage["cluster"] < coverage["queue"] <= 1


def test_all_members_of_a_cluster_are_candidates_where_the_queue_holds_all():
    _, values = trained(config_of("moco", "ssps-clustering", candidates="cluster"))
    assert values["coverage"] > 0.5


def test_the_supervised_framework_learns_labels():
    config = config_of("supervised", epochs=4)
    parts, values = trained(config)
    assert parts.framework.weight.shape == (8, 16)  # speakers, dimensions
    assert [round(0.3 * 16_000)] == parts.data.samples
    assert values["loss"] < parts.position.metrics[0]["loss"]
    assert_restored(config, parts)


@pytest.mark.rounding
def test_bottlenecks_in_the_queue_of_dino_are_logits_while_its_last_layer_stands_still():
    losses, shapes = [], []
    for queue in ("bottleneck", "logits"):
        changes = {"framework_options": OPTIONS["dino"] | {"queue": queue}}
        parts, values = trained(
            config_of("dino", "ssps-clustering", **changes, **still("ssps-clustering"))
        )
        losses.append(values["loss"])
        shapes.append(parts.ssps.positive_queue.shape)
    assert shapes == [(2, 8), (2, 24)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_the_same_weights_give_the_same_curve_to_the_bit(tmp_path):
    calm = {"framework_options": {"temperature": 0.5}, "crop": 0.8}  # batches hide less of it
    config = config_of("simclr", epochs=3, **calm)
    first, second = (small_runs.trained(config, tmp_path / name) for name in ("first", "second"))
    curves = [[row["loss"] for row in parts.position.metrics] for parts in (first, second)]
    assert curves[0] == curves[1]
    assert curves[0][-1] < curves[0][0]
    for key, value in first.framework.state_dict().items():
        assert torch.equal(second.framework.state_dict()[key], value), key


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path):
    config = config_of("simclr")
    small_runs.trained(config, tmp_path)
    for other in (config_of("vicreg"), config.with_(encoder="fast_resnet34", encoder_options={})):
        with pytest.raises(ValueError, match="checkpoint belongs to another model: "):
            parts_of(other, tmp_path)


def test_a_collapse_is_warned_of(tmp_path):
    parts = parts_of(config_of("simclr", learning_rate=1e-9), tmp_path)
    final = parts.framework.encoder.fc
    torch.nn.init.zeros_(final.weight)  # every utterance has the same representation
    torch.nn.init.ones_(final.bias)
    with pytest.warns(CollapseWarning, match="epoch 1: embedding_std is .* lower the learning"):
        loop.train(parts)


def test_ssps_continues_any_framework_from_its_ssl_run():
    ssl = config_of("swav", epochs=2)
    config = config_of("swav", "ssps-nn", start_from=ssl)
    run = training.run(config)
    assert run.metrics["epoch"].tolist() == [3]
    assert run.metrics["coverage"].tolist() == [1]
    assert 0 <= run.eer <= 100
