"""What cannot be trained: one sentence that says the value, what was expected and why."""

import pytest
from small_runs import CORPUS, bootstrapped, tiny

from ssps_lib import frameworks, training

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
    "minutes": ({"seed": 3}, "SSPS_CHECKPOINT_MINUTES is 'often', expected"),
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
