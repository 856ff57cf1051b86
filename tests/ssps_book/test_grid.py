"""The grid of K and M at the start of SSPS: what training itself would draw first."""

import json

import numpy as np
import pytest

from ssps_book import grid, paper, records
from ssps_lib import recipes, training
from ssps_lib.training import RunConfig, loop, run_folder, state

SSL = RunConfig(
    corpus_options={
        "speakers": 8, "recordings": 2, "utterances": 2, "seconds": 1.0,
        "dev_speakers": 3, "test_speakers": 4, "test_recordings": 2,
    },
    crop=0.5, reference_crop=0.8, batch_size=8, epochs=1, average_last=1, augmentation="none",
    encoder_options={"channels": 16, "dim": 16, "attention": 8, "se": 8},
)  # fmt: skip
CLUSTERS, WINDOWS, NEAREST = (3, 8), (0, 1, 4), (1, 5)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A tiny SSL run, and the grid on its representations."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("grid")
        patch.setenv("SSPS_HOME", str(home))
        patch.setenv("SSPS_RECORDS", str(home / "records"))
        training.run(SSL)
        yield grid.measure(SSL, CLUSTERS, WINDOWS, NEAREST)


def by_hand(config, folder) -> dict[str, float]:
    """Accuracies over the first epoch of a trainer with its own sampler, counted in a loop."""
    parts = state.begin(config, folder, state.find(run_folder(SSL) / "checkpoint"))
    loop.fill(parts)
    epoch = parts.position.epoch
    parts.ssps.start_epoch(config.seed + epoch)
    labels, speaker, recording, found, seen = parts.data.corpus, 0, 0, 0, 0
    for batch in parts.data.batches(epoch):
        for i, j in zip(batch.index, parts.ssps.choose(batch).pos.tolist(), strict=True):
            seen += 1
            if j >= 0:
                found += 1
                speaker += labels.speakers[i] == labels.speakers[j]
                recording += labels.recordings[i] == labels.recordings[j]
    names = ("coverage", "speaker_accuracy", "recording_accuracy")
    return dict(zip(names, (found / seen, speaker / found, recording / found), strict=True))


def test_grid_has_every_k_with_every_m_below_it(measured):
    found = [(row["positives"], row["k"], row["m"]) for row in measured["rows"]]
    clustered = [("ssps-clustering", k, m) for k in CLUSTERS for m in WINDOWS if m < k]
    assert found == [*clustered, *(("ssps-nn", None, m) for m in NEAREST)]


@pytest.mark.parametrize(
    "choice",
    [
        {"positives": "ssps-clustering", "clusters": 8, "window": 0},
        {"positives": "ssps-clustering", "clusters": 8, "window": 1},
        {"positives": "ssps-clustering", "clusters": 3, "window": 1},
        {"positives": "ssps-nn", "window": 5},
    ],
)
def test_a_cell_is_what_training_would_draw(measured, choice, tmp_path):
    expected = by_hand(SSL.with_(**choice, epochs=1, start_from=SSL), tmp_path)
    key = (choice["positives"], choice.get("clusters"), choice["window"])
    (row,) = (r for r in measured["rows"] if (r["positives"], r["k"], r["m"]) == key)
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert np.isfinite(list(expected.values())).all()


def test_a_stored_grid_is_found_by_its_ssl_run(measured):
    assert grid.load(SSL) is None
    file = records.save_values(measured["name"], measured)
    assert [file.name] == [one.name for one in file.parent.iterdir()]
    assert grid.load(SSL) == json.loads(file.read_text())
    assert grid.load(SSL)["start_from"] == SSL.to_dict()
    assert grid.load(SSL.with_(seed=2)) is None


def test_published_values_keep_their_place():
    ssl = recipes.recipe(preset="mini")
    chosen = grid.cells(ssl)
    assert chosen["clusters"][0] == pytest.approx(256, abs=1)  # K = 6,000 of 5,994 speakers
    assert chosen["clusters"][-1] == pytest.approx(12 * 256, abs=256)  # of 150,000 recordings
    assert len(chosen["clusters"]) == 6 and chosen["windows"] == (0, 1, 2, 3, 5)
    assert grid.cells(ssl, 1024)["clusters"] == tuple(sorted({*chosen["clusters"], 1024}))
    few = ssl.with_(corpus_options={"speakers": 4, "recordings": 2, "utterances": 3})
    assert grid.cells(few)["nearest"] == (1, 2, 3, 5, 8, 12, 16, 23)  # of 24 utterances
    for place in (0, 0.3, 1):
        k = grid.clusters_at(place, 1_000, 100_000)
        assert paper.position(k, 1_000, 100_000) == pytest.approx(place, abs=1e-3)


def test_the_run_must_be_on_this_machine(measured):
    other = SSL.with_(seed=2)
    with pytest.raises(FileNotFoundError, match=f"{other.name} are not on this machine"):
        grid.measure(other, CLUSTERS, WINDOWS, NEAREST)
