"""Recipes: the paper's schedule, what continues what, and what a change concerns."""

import itertools

import pytest

from ssps_lib import encoders, frameworks, positives, recipes
from ssps_lib.recipes import PRESETS, recipe
from ssps_lib.training import RunConfig

CONTINUED = ("ssl-continued", "supervised", "ssps-nn", "ssps-clustering", "ssps-clustering-c")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", CONTINUED)
def test_other_positives_continue_the_ssl_run(kind, preset):
    ssl, run = recipe(preset=preset), recipe(positives=kind, preset=preset)
    assert run.start_from == ssl
    assert ssl.start_from is None
    assert run.epochs == recipes.EXTRA_EPOCHS[preset]
    assert run.positives == ("ssl" if kind == "ssl-continued" else kind)
    assert (run.learning_rate, run.decay) == (ssl.learning_rate, ssl.decay)


@pytest.mark.parametrize("preset", PRESETS)
def test_runs_of_one_preset_share_their_ssl_run(preset):
    hashes = {recipe(positives=kind, preset=preset).start_from.hash for kind in CONTINUED}
    assert hashes == {recipe(preset=preset).hash}
    names = [recipe(positives=kind, preset=preset).name for kind in CONTINUED]
    assert len(set(names)) == len(CONTINUED)


def test_the_paper_s_schedule():
    ssl = recipe(preset="paper")
    assert (ssl.epochs, ssl.batch_size, ssl.learning_rate) == (100, 256, 1e-3)
    assert (ssl.decay, ssl.decay_every, ssl.crop, ssl.reference_crop) == (0.95, 5, 2.0, 4.0)
    run = recipe(positives="ssps-clustering", preset="paper")
    assert (run.epochs, run.clusters, run.window, run.positive_queue) == (20, 25_000, 1, 25_000)
    assert recipe(positives="ssps-nn", preset="paper").window == 50


def test_names_are_those_of_the_rooms():
    assert set(recipes.FRAMEWORKS) == set(frameworks.FRAMEWORKS)
    assert set(recipes.POSITIVES) == set(positives.SAMPLERS)
    for preset in PRESETS:
        assert set(recipes.ENCODERS[preset]) == set(encoders.ENCODERS)


@pytest.mark.parametrize(
    ("preset", "name"), list(itertools.product(("smoke", "mini"), encoders.ENCODERS))
)
def test_small_encoders_can_be_built(preset, name):
    config = recipe(encoder=name, preset=preset)
    encoder = encoders.build(config.encoder, **config.encoder_options)
    assert encoder.dim == config.encoder_options["dim"]
    assert sum(p.numel() for p in encoder.parameters()) < 400_000


@pytest.mark.parametrize(
    "change",
    [
        {"clusters": 9},
        {"window": 3},
        {"candidates": "cluster"},
        {"positive_queue": 30},
        {"reference_crop": 2.0},
        {"reference_augmentation": True},
    ],
)
def test_choices_of_ssps_leave_the_ssl_run_as_it_is(change):
    run = recipe(positives="ssps-clustering", preset="smoke", **change)
    assert run.start_from == recipe(preset="smoke")
    for name, value in change.items():
        assert getattr(run, name) == value


def test_augmentation_is_switched_off_during_the_continuation_only():
    run = recipe(positives="ssps-clustering", preset="smoke", augmentation="none")
    assert (run.augmentation, run.start_from.augmentation) == ("none", "reverb+noise")
    assert recipe(preset="smoke", augmentation="none").augmentation == "none"


@pytest.mark.parametrize(
    "change", [{"seed": 3}, {"batch_size": 8}, {"learning_rate": 0.1}, {"crop": 0.5}]
)
def test_other_choices_concern_both_phases(change):
    run = recipe(positives="ssps-nn", preset="smoke", **change)
    for config in (run, run.start_from):
        for name, value in change.items():
            assert getattr(config, name) == value


def test_epochs_are_those_of_the_ssl_training():
    run = recipe(positives="ssps-nn", preset="smoke", epochs=7)
    assert (run.start_from.epochs, run.epochs) == (7, 1)


def test_another_corpus_has_no_simulated_proportions():
    assert recipe(preset="smoke", corpus="/data/speech").corpus_options == {}
    chosen = recipe(preset="smoke", corpus="/data/speech", corpus_options={"seed": 1})
    assert chosen.corpus_options == {"seed": 1}


@pytest.mark.parametrize("preset", ["smoke", "mini"])
def test_small_corpora_suit_their_batch_and_clusters(preset):
    run = recipe(positives="ssps-clustering", preset=preset)
    corpus = run.corpus_options
    n = corpus["speakers"] * corpus["recordings"] * corpus["utterances"]
    assert run.window < run.clusters < n
    assert run.batch_size < n
    assert isinstance(run, RunConfig)
    if preset == "mini":  # so that the anchor's speaker is rarely among the negatives
        assert corpus["speakers"] >= 8 * run.batch_size


def test_only_the_published_size_asks_for_recorded_noises():
    for preset in PRESETS:
        run = recipe(positives="ssps-clustering", preset=preset)
        assert run.noises == run.start_from.noises == ("bank" if preset == "paper" else "made")


def test_the_real_voices_have_proportions_of_their_own_at_mini():
    run = recipe(positives="ssps-clustering", corpus="somewhere/voices")
    assert (run.clusters, run.positive_queue, run.window) == (1474, 1474, 1)
    assert run.corpus_options == {"sessions": "simulated", "channel": 0.2}
    assert (run.epochs, run.start_from.epochs) == (15, 30)
    assert recipe(positives="ssps-nn", corpus="voices").window == 1
    other = recipe(positives="ssps-clustering", corpus="somewhere/else")
    assert (other.clusters, other.corpus_options) == (recipes.CLUSTERS["mini"], {})
    assert recipe(corpus="voices", preset="smoke").epochs == recipe(preset="smoke").epochs
