import math
from types import SimpleNamespace

import numpy as np
import pytest
from ssps_book import claims
from ssps_book.claims import Claim, decide

NAN = math.nan
CURVES = {
    "ssl": {"nmi_ratio": [NAN, 0.9, NAN, 1.0]},
    "ssps-clustering": {
        "nmi_ratio": [1.0, NAN, 1.1],
        "speaker_accuracy": [0.5, 0.6, 0.75],
        "recording_accuracy": [0.02, 0.01, 0.03],
    },
    "ssps-nn": {"recording_accuracy": [0.1, 0.2, 0.3]},
}
EERS = {
    "ssl": 10.5,
    "ssl-continued": 10.0,
    "ssps-nn": 9.0,
    "ssps-clustering": 8.0,
    "supervised": 4.0,
    "ssl-continued without augmentation": 15.0,
    "ssps-clustering without augmentation": 8.4,
}


def runs(seeds=2, **changes):
    """Runs of two equal seeds, with the EERs of the second of some kinds changed."""
    made = {}
    for name, eer in EERS.items():
        curves = {key: np.array(values) for key, values in CURVES.get(name, {}).items()}
        eers = [eer] * (seeds - 1) + [changes.get(name.replace("-", "_"), eer)]
        made[name] = [SimpleNamespace(eer=value, metrics=curves) for value in eers]
    return made


def test_values_by_hand():
    found = {(claim.letter, claim.text): claim for claim in decide(runs())}
    values = [
        ("a", 10.5),
        ("b", 60.0),
        ("c", 1.0),
        ("d", 0.5),
        ("d", 0.02),
        ("d", 0.25),
        ("e", 20.0),
        ("f", 10.0),
        ("g", 45.0),  # SSL loses 50 %, SSPS 5 %
        ("h", 10.0),
        ("h", 100 / 9),
        ("h", 10.0),  # recording accuracies 0.2 and 0.02
    ]
    assert [letter for letter, _ in found] == [letter for letter, _ in values]
    for claim, (_, value) in zip(found.values(), values, strict=True):
        assert claim.values == pytest.approx((value, value)), claim.text
        assert claim.holds, claim.text


def test_one_bad_seed_breaks_the_claims_that_it_concerns():
    broken = [c for c in decide(runs(ssps_clustering=9.5)) if not c.holds]
    assert [(c.letter, c.met) for c in broken] == [("e", (True, False)), ("h", (True, False))]
    assert broken[0].row()["seeds"] == "1 of 2"
    assert broken[0].row()["verdict"] == "does not hold"


def test_a_metric_that_was_never_observed_holds_nothing():
    blind = runs()
    for run in blind["ssps-clustering"]:
        run.metrics = {}
    assert {c.letter for c in decide(blind) if not c.holds} == {"d", "f", "h"}


def test_published_values_meet_the_targets_of_the_book():
    for claim in decide(runs()):
        if claim.paper is not None:
            assert claim.low <= claim.paper <= claim.high, claim.text


def test_bounds_as_written():
    assert Claim("x", "", "", (1.0,), low=0.4).target == "≥ 0.4"
    assert Claim("x", "", "", (1.0,), high=0.1).target == "≤ 0.1"
    assert Claim("x", "", "%", (1.0,), low=5, high=15).target == "5 to 15"


def test_a_row_of_one_seed_has_no_interval():
    row = Claim("x", "ratio", "", (1.234,), low=1).row()
    assert (row["ours"], row["paper"], row["measure"]) == ("1.23", "–", "ratio")
    assert Claim("x", "EER", "%", (1.0, 2.0, 3.0), low=0).row()["ours"] == "2.0 ± 2.5"


def test_missing_and_unpaired_runs_are_named():
    some = runs()
    del some["ssps-nn"]
    with pytest.raises(ValueError, match="no runs of ssps-nn"):
        decide(some)
    uneven = runs()
    uneven["supervised"].pop()
    with pytest.raises(ValueError, match="different numbers of seeds"):
        decide(uneven)


def test_every_kind_that_is_needed_is_compared():
    for name in claims.NEEDED:
        changed = runs()
        for run in changed[name]:
            run.eer *= 1.5
            run.metrics = {key: values * 0.5 for key, values in run.metrics.items()}
        before, after = ([c.values for c in decide(made)] for made in (runs(), changed))
        assert before != after, name


def test_need_for_augmentation_is_decided_only_where_it_was_measured():
    some = {name: made for name, made in runs().items() if "without" not in name}
    assert "g" not in {claim.letter for claim in decide(some)}
    assert len(decide(some)) == len(decide(runs())) - 1
