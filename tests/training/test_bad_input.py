"""What cannot be trained: one sentence that says the value, what was expected and why."""

import pytest
import small_runs
import torch
from small_runs import CORPUS, bootstrapped, parts_of, tiny

from ssps_lib import frameworks, training
from ssps_lib.corpora import open_corpus
from ssps_lib.recipes import recipe
from ssps_lib.training import build, run_folder, state

SSPS = {"positives": "ssps-clustering", "clusters": 5, "window": 1}

CASES = {
    "preset": (lambda: recipe(preset="large"), "preset 'large' is unknown; choose one of smoke"),
    "framework name": (lambda: recipe("byol"), "framework 'byol' is unknown"),
    "framework": (lambda: tiny(framework="byol"), "framework is 'byol', expected one of"),
    "positives": (lambda: tiny(positives="knn"), "Unknown positives 'knn': expected one of ssl"),
    "encoder": (lambda: tiny(encoder="vgg"), "encoder is 'vgg', expected one of"),
    "field": (lambda: recipe(preset="smoke", epoch=3), "no option 'epoch': check the spelling"),
    "augmentation": (
        lambda: tiny(augmentation="echo"),
        "augmentation is 'echo', expected 'none', 'reverb",
    ),
    "optimizer": (lambda: tiny(optimizer="lamb"), "optimizer is 'lamb', expected 'adam' or 'sgd'"),
    "schedule": (
        lambda: tiny(schedule="linear"),
        "schedule is 'linear', expected 'step' or 'cosine'",
    ),
    "precision": (lambda: tiny(precision="fp8"), "precision is 'fp8', expected 'no' or 'bf16'"),
    "candidates": (
        lambda: tiny(candidates="all"),
        "candidates is 'all', expected 'queue' or 'cluster'",
    ),
    "framework option": (
        lambda: tiny(framework_options={"tau": 1.0}),
        "'simclr' has no option 'tau', expected some of temperature",
    ),
    "encoder option": (
        lambda: tiny(encoder_options={"width": 8}),
        "'ecapa_tdnn' has no option 'width', expected some of ",
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
    "negative M": (
        lambda: tiny(**SSPS | {"window": -1}),
        "window is -1, expected greater than or equal to 0",
    ),
    "M above N": (
        lambda: tiny(positives="ssps-nn", window=32),
        "M is 32 neighbours but .* has 32 training utterances: lower M",
    ),
    "queue above N": (
        lambda: tiny(**SSPS | {"positive_queue": 33}),
        "positive_queue is 33 but .* has 32 training utterances: lower it",
    ),
    "batch of one": (
        lambda: tiny(batch_size=1),
        "batch_size is 1, expected greater than or equal to 2",
    ),
    "batch above N": (
        lambda: tiny(batch_size=33),
        "batch_size is 33 but .* has 32 training utterances: choose a smaller batch",
    ),
    "crop": (lambda: tiny(crop=0.0), "crop is 0.0, expected greater than 0"),
    "long crop": (
        lambda: tiny(crop=1.5),
        "crop is 1.5 s.* the longest utterance or noise has 1.0 s: choose a shorter crop",
    ),
    "short crop": (lambda: tiny(crop=0.01), "waveform has 160 samples, expected more than"),
    "learning rate": (
        lambda: tiny(learning_rate=-1.0),
        "learning_rate is -1.0, expected greater than 0",
    ),
    "no epochs": (lambda: tiny(epochs=0), "epochs is 0, expected greater than 0"),
    "averaging": (lambda: tiny(average_last=0), "average_last is 0, expected greater than 0"),
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


ONE_EACH = CORPUS | {"recordings": 1}
LATE = {
    "K above N": ({"clusters": 33}, "K is 33 clusters but .* has 32 training utterances: lower K"),
    "K above what complete batches hold": (
        {"clusters": 31, "batch_size": 10},
        "K is 31 clusters but .* 32 training utterances, 30 in complete batches of 10: lower K",
    ),
    "M above what complete batches hold": (
        {"positives": "ssps-nn", "clusters": None, "window": 30, "batch_size": 10},
        "M is 30 neighbours but .* 30 in complete batches of 10: lower M",
    ),
    "labels that give no positive": (
        {"positives": "supervised", "corpus_options": ONE_EACH},
        "each training speaker of the corpus 'simulated.*' has one: choose other positives",
    ),
    "no such sampler": ({"positives": "knn"}, "Unknown positives 'knn'"),
    "no such option": ({"framework_options": {"tau": 1}}, "'simclr' has no option 'tau'"),
    "no noise bank": (
        {"noises": "bank", "augmentation": "reverb+noise"},
        "noises is 'bank' but the corpus 'simulated' was packed without MUSAN",
    ),
    "minutes": ({"seed": 3}, "SSPS_CHECKPOINT_MINUTES is 'often', a number"),
}


@pytest.mark.parametrize("case", LATE)
def test_what_the_second_phase_lacks_is_said_before_the_first_is_trained(case, home, monkeypatch):
    changes, message = LATE[case]
    if case == "minutes":
        monkeypatch.setenv("SSPS_CHECKPOINT_MINUTES", "often")
    shared = {k: v for k, v in changes.items() if k in ("batch_size", "corpus_options")}
    config = bootstrapped(start_from=tiny(**shared), **changes)
    with pytest.raises(ValueError, match=message):
        training.run(config)
    assert not list(home.glob("runs/*"))


def test_speakers_with_one_recording_each_train_and_are_scored():
    """There is no pair across recordings for Figure 5, and nothing else is missing."""
    run = training.run(tiny(corpus_options=ONE_EACH, epochs=1, batch_size=4))
    assert "train_same_speaker" not in run.arrays and "train_different_speaker" in run.arrays


def test_an_error_within_a_part_is_no_bad_option(monkeypatch):
    def broken(self, *arguments, **options):
        raise TypeError("a mistake in the constructor")

    monkeypatch.setattr(frameworks.SimCLR, "__init__", broken)
    with pytest.raises(TypeError, match="a mistake in the constructor"):
        training.run(tiny())


def test_a_corpus_that_changed_since_the_checkpoint_is_refused(tmp_path, monkeypatch):
    """One utterance is left out; the number of mini-batches stays."""
    config = tiny(epochs=2, batch_size=10)
    small_runs.trained(config.with_(epochs=1), tmp_path)
    parts_of(config, tmp_path)
    fewer = open_corpus("simulated", **config.corpus_options)
    fewer.train = fewer.train.part(0, 31, fewer.train.name)
    monkeypatch.setattr(build, "open_corpus", lambda *_, **__: fewer)
    with pytest.raises(ValueError, match="belongs to other utterances than the corpus 'simulated"):
        parts_of(config, tmp_path)


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
    found, _ = state.read(state.find(run_folder(config) / "checkpoint"))
    assert found["epoch"] == 1
    assert training.load(config) is None
