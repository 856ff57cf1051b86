"""The maps of SSPS epoch by epoch: what is seen of a run is that run."""

import numpy as np
import pytest
import torch

from ssps_book import bootstrap, explorable
from ssps_lib import recipes, training


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """A finished run at preset smoke, and what was measured of it."""
    patch = pytest.MonkeyPatch()
    patch.setenv("SSPS_HOME", str(tmp_path_factory.mktemp("home")))
    config = recipes.recipe(positives="ssps-clustering", preset="smoke", seed=5, epochs=3)
    yield training.run(config), bootstrap.measure(config)
    patch.undo()


def test_frames_are_those_of_the_run(seen):
    run, found = seen
    before, *epochs = found["frames"]
    assert [frame["epoch"] for frame in found["frames"]] == [3, 4]
    last = training.run(run.config.start_from).metrics["dev_eer"][-1]
    expected = pytest.approx([last, *run.metrics["dev_eer"]], rel=1e-5)  # records keep six digits
    assert [before["dev_eer"], *(frame["dev_eer"] for frame in epochs)] == expected
    trained = run.metrics["speaker_accuracy"]
    assert [before["speaker_accuracy"]] == pytest.approx(trained, abs=1e-6)


def test_places_lie_among_the_utterances_of_ten_speakers(seen):
    _, found = seen
    speakers = np.array(found["speakers"])
    assert len(np.unique(speakers)) == bootstrap.SPEAKERS
    for frame in found["frames"]:
        pos = np.array(frame["positives"])
        assert pos.shape == speakers.shape
        assert -2 <= pos.min() <= pos.max() < len(speakers)
        assert (pos >= 0).any()
        assert (pos != np.arange(len(pos))).all()
        assert np.shape(frame["points"]) == (len(speakers), 2)


def test_a_map_goes_on_from_the_one_before():
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(10, 64, generator=draw).repeat_interleave(12, 0)
    y = torch.nn.functional.normalize(centres + 0.3 * torch.randn(120, 64, generator=draw), dim=1)
    turn = torch.linalg.qr(torch.randn(64, 64, generator=draw))[0]  # changes no cosine
    first, second = bootstrap.maps([y, y @ turn])
    first = explorable.turned(first)  # within [-1, 1]
    assert np.abs(explorable.turned(second, first) - first).max() < 0.1
