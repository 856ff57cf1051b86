import json
from dataclasses import replace

import pytest
import torch

from ssps_book import latent, paper, records
from ssps_book.latent import published
from ssps_lib.positives import Clustering


@pytest.fixture(scope="module")
def small():
    """Twelve speakers, the smallest at which every window fits into its clusters."""
    return latent.voxceleb2(speakers=12, eers=(9.41,), epochs=1)


def test_the_grid_is_that_of_table_2():
    grid = latent.published_grid()
    assert {(k, m) for k in grid for m in grid[k]} == {
        (row.k, row.m) for row in paper.TABLE_2 if row.positives == "ssps-clustering"
    }
    assert latent.published_grid("ssps-nn") == {None: (1, 10, 25, 50, 100)}


def test_a_record_has_every_choice_of_table_2(small):
    (system,) = small["systems"]
    assert system["eer"] == pytest.approx(9.41, abs=0.1)
    found = {(row["positives"], row["k"], row["m"]) for row in system["rows"]}
    wanted = [r for r in paper.TABLE_2 if r.positives in ("ssps-nn", "ssps-clustering")]
    assert {(row.positives, row.k, row.m) for row in wanted} <= found
    assert [(d["k"], d["m"], len(d["eer"])) for d in system["dynamics"]] == [
        (25_000, 1, 2), (6_000, 0, 2),
    ]  # fmt: skip


def test_narrowed_windows_agree_with_samplers_of_their_own(small):
    (system,) = small["systems"]
    corpus = latent.LatentCorpus(**system["corpus"])
    for m in (0, 2):
        sampler = Clustering(published._scaled(25_000, corpus), m)
        alone = latent.predict(corpus, sampler, anchors=None, nmi=False)
        row = next(r for r in system["rows"] if (r["k"], r["m"]) == (25_000, m))
        assert row["speaker_accuracy"] == pytest.approx(alone.speaker_accuracy, abs=0.03)
        assert row["recording_accuracy"] == pytest.approx(alone.recording_accuracy, abs=0.03)


def test_a_record_survives_its_file(small, tmp_path, monkeypatch):
    monkeypatch.setenv("SSPS_RECORDS", str(tmp_path / "records"))
    assert latent.load_voxceleb2() is None
    spoilt = {**small, "seconds": float("nan")}
    path = records.save_values(small["name"], spoilt)
    assert "NaN" not in path.read_text()
    loaded = latent.load_voxceleb2()
    assert loaded["seconds"] is None
    assert loaded["systems"][0]["rows"][7]["m"] == small["systems"][0]["rows"][7]["m"]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_stored_record_has_the_paper_s_size(monkeypatch):
    monkeypatch.delenv("SSPS_RECORDS", raising=False)
    stored = latent.load_voxceleb2()
    assert len(json.dumps(stored)) < 300_000
    for system in stored["systems"]:
        corpus = latent.LatentCorpus(**system["corpus"])
        assert round(corpus.speakers * corpus.recordings) == 145_569
        assert latent.model_eer(corpus) == pytest.approx(system["eer"], abs=0.01)


def test_agreement_is_the_correlation_over_pairs():
    corpus = latent.LatentCorpus(20, 4, 2)
    space = latent.Space(corpus)
    index, pos = torch.tensor([0, 3, 9, 11]), torch.tensor([5, 8, -1, 30])
    rows = space.reference.values.double()
    a, b = rows[[0, 3, 11]], rows[[5, 8, 30]]
    by_hand = [
        sum(a[n, d] * b[n, d] for n in range(3))
        / sum(a[n, d] ** 2 + b[n, d] ** 2 for n in range(3))
        for d in range(a.shape[1])
    ]
    expected = 2 * torch.stack(by_hand)
    torch.testing.assert_close(space.agreement(index, pos).double(), expected, rtol=1e-4, atol=1e-6)


def test_pairs_of_one_voice_agree_on_the_speaker_s_dimensions():
    corpus = replace(latent.LatentCorpus(60, 4, 2), speaker_dims=8)
    space = latent.Space(corpus)
    index = torch.arange(len(space.speakers))
    across = (index // 8) * 8 + (index + 2) % 8  # the same place in the speaker's next recording
    assert (space.speakers[index] == space.speakers[across]).all()
    assert (space.recordings[index] != space.recordings[across]).all()
    speaker, recording, utterance = space.agreement(index, across).split(corpus.dims)
    assert speaker.min() > 0.7
    assert recording.abs().mean() < 0.25 and utterance.abs().mean() < 0.25
