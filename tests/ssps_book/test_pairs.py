"""Pairs that can be listened to: those that the sampler finds before and after training."""

import pytest

from ssps_book import pairs, records
from ssps_lib import training
from ssps_lib.training import RunConfig, loop, run_folder, state

SSL = RunConfig(
    corpus_options={
        "speakers": 8, "recordings": 2, "utterances": 2, "seconds": 1.0,
        "dev_speakers": 3, "test_speakers": 4, "test_recordings": 2,
    },
    crop=0.5, reference_crop=0.8, batch_size=8, epochs=1, average_last=1, augmentation="none",
    encoder_options={"channels": 16, "dim": 16, "attention": 8, "se": 8},
)  # fmt: skip
SSPS = SSL.with_(positives="ssps-clustering", clusters=6, window=1, epochs=1, start_from=SSL)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A tiny SSL run, SSPS after it, and their pairs; the home is kept for the tests."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("pairs")
        patch.setenv("SSPS_HOME", str(home))
        patch.setenv("SSPS_RECORDS", str(home / "records"))
        with pytest.raises(FileNotFoundError, match="are not on this machine"):
            pairs.measure(SSPS)
        training.run(SSL)
        training.run(SSPS)
        yield pairs.measure(SSPS, anchors=5, draws=3)


def test_before_is_what_the_first_epoch_is_given(measured, tmp_path):
    """The nearest cluster of what fills the reference queue before training."""
    parts = state.begin(SSPS, tmp_path / "a", state.find(run_folder(SSL) / "checkpoint"))
    loop.fill(parts)
    parts.ssps.start_epoch(SSPS.seed + parts.position.epoch)
    of, nearest = parts.ssps.sampler.assignments, parts.ssps.sampler.neighbors
    for anchor in measured["anchors"]:
        for found in anchor["before"]:
            assert of[found["index"]] == nearest[of[anchor["index"]], 0]


def test_pairs_come_from_the_nearest_cluster(measured, tmp_path):
    parts = state.begin(SSPS, run_folder(SSPS))
    pairs.choose(parts, parts.data.order(0)[0], 1)  # clusters as for "after"
    of, nearest = parts.ssps.sampler.assignments, parts.ssps.sampler.neighbors
    for anchor in measured["anchors"]:
        for found in anchor["after"]:
            assert of[found["index"]] == nearest[of[anchor["index"]], 0]


def test_keys_say_where_an_utterance_stands(measured):
    for anchor in measured["anchors"]:
        for found in (anchor, *anchor["before"], *anchor["after"]):
            place = (found["recording"] * 2 + found["utterance"], found["recording"] // 2)
            assert place == (found["index"], found["speaker"])
    assert [len(a["before"]) for a in measured["anchors"]] == 5 * [3]


def test_a_record_is_read_back(measured):
    records.save_values(measured["name"], measured)
    assert pairs.load(SSPS)["anchors"] == measured["anchors"]
    assert pairs.load(SSPS.with_(seed=SSPS.seed + 1)) is None
