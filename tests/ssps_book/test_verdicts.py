"""Verdicts on the paper's claims: effects by hand, signs, missing runs, and what is gathered."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from ssps_book import claims, grid, paper, records
from ssps_book.claims import decide
from ssps_book.verdicts import Effect, Verdict
from ssps_lib import recipes

PLAIN = {"ssl-continued, plain": 15.0, "ssps-clustering, plain": 8.4}
CELLS = {grid.name(6_000, 0): 9.0, grid.name(25_000, 0): 10.0, grid.name(150_000, 1): 12.5}
SIMCLR = {
    "ssl": 10.5, "ssl-continued": 10.0, "ssps-nn": 9.0, "ssps-clustering": 8.0,
    "ssps-clustering-c": 11.0, "supervised": 4.0, **PLAIN, **CELLS,
}  # fmt: skip
DINO = {"ssl-continued": 5.0, "ssps-clustering": 6.0, "supervised": 3.0}
CURVES = {
    "ssl": {"nmi_ratio": [math.nan, 1.0]},
    "ssps-clustering": {
        "nmi_ratio": [1.0, math.nan, 1.1],
        "speaker_accuracy": [0.5, 0.7],
        "recording_accuracy": [0.02, 0.04],
    },
    "ssps-nn": {"recording_accuracy": [0.1, 0.2], "speaker_accuracy": [0.7, 0.7]},
}


def run(kind, eer):
    cosines = np.eye(100)[75 if kind == "ssps-clustering" else 50]
    arrays = {f"{split}_same_speaker": cosines for split in ("train", "test")}
    curves = {name: np.array(values) for name, values in CURVES.get(kind, {}).items()}
    return SimpleNamespace(eer=eer, metrics=curves, arrays=arrays)


def made(seeds=(1, 2)):
    found = {("simclr", kind): eer for kind, eer in SIMCLR.items()}
    found |= {("dino", kind): eer for kind, eer in DINO.items()}
    return {key: {s: run(key[1], eer) for s in seeds} for key, eer in found.items()}


def by_name(runs):
    return {(v.claim.split()[0], e.of): e for v in decide(runs) for e in v.effects}


def test_effects_by_hand():
    wanted = {
        ("Supervised", "SimCLR"): 100 * (8 - 4) / 8,  # the bound; Table I's has the same keys
        ("SSPS", "SimCLR"): 20.0,
        ("SSPS", "DINO"): -20.0,
        ("SSPS-Clustering", "EER"): 100 / 9,
        ("A", "EER"): 20.0,
        ("Centroids", "EER, rise above SSL"): 10.0,
        ("K", "EER, below K = speakers, M = 0"): 100 / 9,
        ("K", "EER, below K = recordings, M = 1"): 36.0,
        ("Clusters", "fall of recording accuracy"): 0.12,
        ("Clusters", "rise of speaker accuracy"): -0.1,
        ("The", "ratio"): 10.0,
        ("A", "median cosine, test speakers"): 0.5,
        ("SSPS", "EER lost without it, SSL less SSPS"): 50.0 - 5.0,
        ("SimCLR,", "DINO below SimCLR, SSL"): 50.0,
        ("SimCLR,", "reduction by SSPS, SimCLR less DINO"): 20.0 + 20.0,
    }
    found = by_name(made())
    for key, value in wanted.items():
        assert found[key].values == pytest.approx((value, value)), key
    assert found["SSPS", "MoCo"].values == ()


def test_published_values_have_the_sign_of_their_claims():
    printed = [e.paper for v in decide({}) for e in v.effects if e.paper is not None]
    assert len(printed) > 20
    assert min(printed) > 0
    found = by_name({})
    assert found["SSPS", "SimCLR"].paper == pytest.approx(paper.reduction(6.30, 2.57))
    assert found["K", "EER, below K = recordings, M = 1"].paper == pytest.approx(
        paper.reduction(7.54, 5.80)
    )
    assert found["SSPS", "MoCo"].paper is None


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (((1.0, 1.1, 1.2), (3.0, 3.0, 3.0)), "reproduced"),
        (((1.0, 1.1, 1.2), (0.1, 1.0, 2.0)), "not shown"),  # the interval holds zero
        (((1.0, 1.1, 1.2), (3.0, 3.0)), "not shown"),  # two seeds have no say
        (((1.0, 1.1, 1.2), ()), "not shown"),  # not all of it was measured
        (((-1.0, -1.1, -1.2), (3.0, 3.0, 3.0)), "contradicted"),
        (((-1.0, -1.1, -1.2), ()), "contradicted"),
        (((), ()), "not run"),
        (((math.nan,) * 3,), "not shown"),
    ],
)
def test_verdict_follows_from_the_intervals(values, word):
    effects = tuple(Effect("x", each) for each in values)
    assert Verdict("claim", "Section", 1, effects).verdict == word


def test_an_effect_takes_the_seeds_that_have_all_its_runs():
    runs = made((1, 2, 3))
    del runs["simclr", "ssl-continued"][2]
    found = by_name(runs)
    assert len(found["SSPS", "SimCLR"].values) == 2
    assert len(found["SSPS-Clustering", "EER"].values) == 3


def test_interval_is_scipy_s():
    values = (1.0, 2.5, 3.0, 7.0)
    wanted = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert Effect("x", values).interval == pytest.approx(wanted)


def test_effects_in_words():
    assert Effect("EER", (20.0, 22.0), 59.2).written() == "EER: +21 % ± 13 % (2 seeds)"
    assert Effect("EER", (20.0,), 59.2).published() == "EER: +59 %"
    assert Effect("EER", (-3.0,)).written() == "EER: -3 % (1 seed)"
    assert Effect("EER", (-0.2,)).written() == "EER: +0 % (1 seed)"  # no minus before zero
    assert Effect("cosine", (), unit="").written() == "cosine: not run"
    assert Effect("cosine", (0.1234,), unit="").published() == "cosine: –"


def test_runs_are_gathered_by_framework_kind_and_seed(monkeypatch):
    wanted = {
        ("moco", "ssl"): recipes.recipe("moco", preset="mini", seed=8),
        ("simclr", grid.name(150_000, 1)): recipes.recipe(
            "simclr", "ssps-clustering", preset="mini", seed=7, clusters=256 * 12, window=1
        ),
    }
    at_hand = {config.name: config for config in wanted.values()}
    monkeypatch.setattr(records, "load", lambda config: at_hand.get(config.name))
    found = claims.gather("mini", 2, 7)
    assert {key: list(by_seed) for key, by_seed in found.items()} == {
        ("moco", "ssl"): [8],
        ("simclr", grid.name(150_000, 1)): [7],
    }
    for key, by_seed in found.items():
        assert list(by_seed.values()) == [wanted[key]]


def test_the_recipe_is_the_published_cell():
    """The cell that the recipe trains is the same run under both of its names."""
    found = claims.configs("mini")
    assert found["simclr", grid.name(*grid.RECIPE)] == found["simclr", "ssps-clustering"]
    real = claims.configs("paper")
    assert real["simclr", grid.name(150_000, 1)].clusters == 150_000


def test_median_of_a_histogram_is_that_of_the_cosines():
    cosines = np.random.default_rng(0).normal(0.3, 0.2, 20_000).clip(-1, 1)
    shares = np.histogram(cosines, claims.BINS)[0] / len(cosines)
    assert claims.median(shares) == pytest.approx(np.median(cosines), abs=0.005)
