"""What cannot be trained: one sentence that says the value, what was expected and why."""

import json

import numpy as np
import pytest
import torch

from conftest import bootstrapped, tiny
from ssps_lib import frameworks, training
from ssps_lib.corpora import open_corpus
from ssps_lib.recipes import recipe
from ssps_lib.training import checkpoints, loop, run_folder
from ssps_lib.training.loop import Trainer

SSPS = {"positives": "ssps-clustering", "clusters": 5, "window": 1}

CASES = {
    "preset": (lambda: recipe(preset="large"), "preset 'large' is unknown; choose one of smoke"),
    "framework name": (lambda: recipe("byol"), "framework 'byol' is unknown"),
    "framework": (lambda: tiny(framework="byol"), "framework is 'byol', expected one of"),
    "positives": (lambda: tiny(positives="knn"), "Unknown positives 'knn': expected one of ssl"),
    "encoder": (lambda: tiny(encoder="vgg"), "encoder is 'vgg', expected one of"),
    "field": (lambda: recipe(preset="smoke", epoch=3), "no option 'epoch': check the spelling"),
    "augmentation": (lambda: tiny(augmentation="echo"), "augmentation 'echo' is unknown; choose"),
    "optimizer": (lambda: tiny(optimizer="lamb"), "optimizer 'lamb' is unknown; choose one of"),
    "schedule": (lambda: tiny(schedule="linear"), "schedule 'linear' is unknown; choose one of"),
    "precision": (lambda: tiny(precision="fp8"), "precision 'fp8' is unknown; choose one of"),
    "candidates": (lambda: tiny(candidates="all"), "candidates 'all' is unknown; choose one of"),
    "framework option": (
        lambda: tiny(framework_options={"tau": 1.0}),
        "'simclr' has no option 'tau', expected some of temperature",
    ),
    "encoder option": (
        lambda: tiny(encoder_options={"width": 8}),
        "'ecapa_tdnn' cannot have the options {'width': 8}: .*'width'",
    ),
    "no such corpus": (
        lambda: tiny(corpus="/nowhere/speech", corpus_options={}),
        "corpus '/nowhere/speech' is neither 'simulated'.* nor an existing folder",
    ),
    "corpus option": (
        lambda: tiny(corpus_options={"voices": 3}),
        "simulated corpus has no proportion 'voices'; known are speakers",
    ),
    "K above N": (
        lambda: tiny(**SSPS | {"clusters": 33}),
        "K is 33 clusters but .* has 32 training utterances: lower K",
    ),
    "M as large as K": (
        lambda: tiny(**SSPS | {"window": 5}),
        "window M = 5 is not below the number of clusters K = 5",
    ),
    "negative M": (lambda: tiny(**SSPS | {"window": -1}), "window is -1, at least 0 is needed"),
    "M above N": (
        lambda: tiny(positives="ssps-nn", window=32),
        "M is 32 neighbours but .* has 32 training utterances: lower M",
    ),
    "queue above N": (
        lambda: tiny(**SSPS | {"positive_queue": 33}),
        "queue for 32 utterances needs 1 to 32 slots, got size=33",
    ),
    "batch of one": (lambda: tiny(batch_size=1), "batch_size is 1, at least 2 is needed"),
    "batch above N": (
        lambda: tiny(batch_size=33),
        "batch_size is 33 but .* has 32 training utterances: choose a smaller batch",
    ),
    "crop": (lambda: tiny(crop=0.0), "crop is 0.0, a positive number is needed"),
    "long crop": (
        lambda: tiny(crop=1.5),
        "crop is 1.5 s.* the longest utterance or noise has 1.0 s: choose a shorter crop",
    ),
    "short crop": (lambda: tiny(crop=0.01), "waveform has 160 samples, expected more than"),
    "learning rate": (lambda: tiny(learning_rate=-1.0), "learning_rate is -1.0, a positive"),
    "no epochs": (lambda: tiny(epochs=0), "epochs is 0, at least 1 is needed"),
    "averaging": (lambda: tiny(average_last=0), "average_last is 0, at least 1 is needed"),
    "temperature": (lambda: tiny(framework_options={"temperature": 0.0}), "temperature is 0.0"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gives_one_clear_sentence(case, home):
    make, message = CASES[case]
    with pytest.raises(ValueError, match=message) as caught:
        training.run(make())
    assert "\n" not in str(caught.value)
    assert not list(home.glob("runs/*/record.json"))
    assert not list(home.glob("runs/*/checkpoint*"))


def test_too_many_clusters_are_refused_before_the_ssl_run_is_trained(home):
    config = bootstrapped(clusters=33)
    with pytest.raises(ValueError, match=r"K is 33 clusters but .* lower K"):
        training.run(config)
    assert not list(home.glob("runs/*/checkpoint"))


def test_a_corpus_that_changed_since_the_checkpoint_is_refused(tmp_path, monkeypatch):
    """One utterance is left out; the number of mini-batches stays."""
    config = tiny(epochs=2, batch_size=10)
    Trainer(config.with_(epochs=1), tmp_path).train()
    Trainer(config, tmp_path)
    fewer = open_corpus("simulated", **config.corpus_options)
    fewer.train = fewer.train.subset(np.arange(31), fewer.train.name)
    monkeypatch.setattr(loop, "open_corpus", lambda *_, **__: fewer)
    with pytest.raises(ValueError, match="belongs to other utterances than the corpus 'simulated"):
        Trainer(config, tmp_path)


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_last_good_checkpoint(monkeypatch):
    loss = frameworks.SimCLR.loss
    steps = []

    def breaking(self, z, z_pos, labels=None):
        steps.append(0)
        value = loss(self, z, z_pos, labels)
        return value * torch.nan if len(steps) == 6 else value  # in the second of two epochs

    monkeypatch.setattr(frameworks.SimCLR, "loss", breaking)
    config = tiny()
    with pytest.raises(FloatingPointError, match=r"loss became nan in epoch 2 .*learning rate"):
        training.run(config)
    state = json.loads(
        (checkpoints.find(run_folder(config) / "checkpoint") / "state.json").read_text()
    )
    assert state["epoch"] == 1
    assert training.load(config) is None
