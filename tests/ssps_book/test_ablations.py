"""The ablations: what each changes of the recipe, and the samplers that know labels."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from ssps_book import ablations
from ssps_lib import positives, recipes, training
from ssps_lib.positives import Clustering, Queue

N = 60


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """The samplers of the library after each test."""
    before = dict(positives.SAMPLERS)
    yield
    positives.SAMPLERS.clear()
    positives.SAMPLERS.update(before)


@pytest.mark.parametrize("right", [True, False])
def test_filtered_pairs_are_those_of_clustering_checked_by_hand(right):
    generator = torch.Generator().manual_seed(3)
    reference = Queue(N, (4,))
    reference[torch.arange(N)] = torch.randn(N, 4, generator=generator)
    speakers = torch.arange(N) % 4
    plain = Clustering(6, 1)
    filtered = ablations.Filtered(6, 1, speakers=speakers, right=right)
    for sampler in (plain, filtered):
        sampler.refresh(reference, torch.Generator().manual_seed(0))
    index, uniform = torch.arange(N), torch.rand(N, 2, generator=generator)
    pairs = plain.sample(index, None, uniform).tolist()
    by_hand = [
        j if j >= 0 and (speakers[j] == speakers[i]) == right else -1 for i, j in enumerate(pairs)
    ]
    assert filtered.sample(index, None, uniform).tolist() == by_hand
    assert -1 in by_hand and any(j >= 0 for j in by_hand)


def test_each_ablation_changes_one_thing():
    recipe = recipes.recipe("simclr", "ssps-clustering", preset="mini")
    found = ablations.configs("mini")
    assert len({config.hash for config in found.values()} | {recipe.hash}) == len(found) + 1
    for label, config in found.items():
        assert config.last_epoch == recipe.last_epoch, label
        if "of SSL" in label:
            assert config.first_epoch < recipe.first_epoch
            continue
        assert config.start_from == recipe.start_from, label
        theirs = asdict(recipe)
        assert sum(value != theirs[name] for name, value in asdict(config).items()) == 1, label


@pytest.mark.parametrize("label", [*ablations.HALVES, "symmetric positives"])
def test_they_train(label, tmp_path, monkeypatch):
    monkeypatch.setenv("SSPS_HOME", str(tmp_path))
    config = ablations.configs("smoke")[label]
    ablations.register(config)
    run = training.run(config)
    shares = np.asarray(run.metrics.get("speaker_accuracy", [np.nan]), float)
    if label.startswith(("right", "wrong")):
        assert shares.tolist() == [float(label.startswith("right"))] * len(shares)
    assert 0 <= run.eer <= 100
