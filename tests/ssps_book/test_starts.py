"""Better starts for SSPS: what they change of a recipe, and what they leave."""

from dataclasses import replace

import pytest

from ssps_book import starts
from ssps_lib import recipes
from ssps_lib.corpora import simulated
from ssps_lib.recipes import recipe
from ssps_lib.training import learning_rate


@pytest.mark.parametrize("preset", ["mini", "paper"])
def test_a_longer_ssl_lets_the_rate_fall_as_far(preset):
    usual, slow = (
        recipe("vicreg", preset=preset, **changes)
        for changes in ({}, starts.longer("vicreg", preset, 3))
    )
    assert slow.epochs == 3 * usual.epochs
    ends = [learning_rate(config, config.epochs) for config in (usual, slow)]
    assert ends[1] == pytest.approx(ends[0], rel=0.01)


def test_a_weaker_channel_changes_nothing_else_of_the_corpus():
    strong, weak = (
        simulated.Size(**recipe(preset="smoke", **changes).corpus_options)
        for changes in ({}, starts.weaker_channel("smoke", 0.25))
    )
    assert weak == replace(strong, channel=0.25 * strong.channel)


@pytest.mark.parametrize("preset", recipes.PRESETS)
def test_better_starts_are_runs_of_their_own(preset):
    for framework, _, changes in starts.better_starts(preset):
        changed = recipe(framework, "ssps-clustering", preset=preset, **changes)
        usual = recipe(framework, "ssps-clustering", preset=preset)
        assert changed.start_from.hash != usual.start_from.hash
