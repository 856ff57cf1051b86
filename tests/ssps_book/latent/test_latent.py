from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score

from ssps_book.latent import (
    VOXCELEB2,
    LatentCorpus,
    Space,
    bootstrap,
    calibrate,
    model_eer,
    predict,
    sweep,
)
from ssps_lib.positives import Clustering, NearestNeighbors, SameUtterance
from ssps_lib.positives.kmeans import kmeans

SMALL = LatentCorpus(speakers=40, recordings=6, utterances=2, recording_scale=1.1)


@pytest.mark.parametrize("unevenness", [0.0, 0.5, 2.0])
def test_labels_have_the_wanted_proportions(unevenness):
    corpus = LatentCorpus(50, recordings=8.5, utterances=3.2, unevenness=unevenness)
    speakers, recordings = (labels.numpy() for labels in corpus.labels())
    pairs = np.unique(np.stack([speakers, recordings]), axis=1)
    assert len(pairs[0]) == 425 and len(speakers) == 1360
    per_speaker, per_recording = np.bincount(pairs[0]), np.bincount(recordings)
    assert len(per_speaker) == 50 and per_speaker.min() >= 2 and per_recording.min() >= 1
    spread = per_speaker.max() - per_speaker.min()
    assert spread <= 1 if unevenness == 0 else spread > 3


def test_the_paper_s_corpus_has_the_paper_s_size():
    speakers, recordings = VOXCELEB2.labels()
    assert len(speakers) == 1_092_009
    assert len(speakers.unique()) == 5_994 and len(recordings.unique()) == 145_569


def test_rows_are_the_sum_of_their_components():
    space = Space(SMALL)
    gains, dims = SMALL.energies().sqrt(), np.cumsum(SMALL.dims)
    for i in (0, 7, 479):
        parts = (space.speakers[i], space.recordings[i], i)
        row = torch.cat([p[k] for p, k in zip(space._parts, parts, strict=True)]) * gains
        torch.testing.assert_close(space.reference.values[i], row / row.norm())
    same = space.speakers[:, None] == space.speakers  # energies: components over their norm
    total = SMALL.energies().sum()
    assert total == pytest.approx(1 + 1.1**2 + 0.4**2)
    directions = space.reference.values[:, : dims[0]]
    cosines = torch.nn.functional.cosine_similarity(directions[:, None], directions[None], dim=2)
    torch.testing.assert_close(cosines[same], torch.ones(int(same.sum())))


def test_eer_grows_with_the_channel_and_with_fewer_traits():
    eers = [model_eer(replace(SMALL, recording_scale=s)) for s in (0.5, 1.0, 2.0)]
    assert eers == sorted(eers) and eers[0] < eers[2] / 3
    assert model_eer(replace(SMALL, speaker_dims=6)) > model_eer(SMALL)
    assert model_eer(replace(SMALL, recording_scale=100.0)) == pytest.approx(50, abs=1.5)


def test_a_prediction_agrees_with_a_loop():
    sampler = Clustering(60, 1)
    prediction = predict(SMALL, sampler, anchors=None)
    space = Space(SMALL)
    index, pos = space.draw(sampler)
    speakers, recordings = SMALL.labels()
    hits = [
        (speakers[i] == speakers[j], recordings[i] == recordings[j])
        for i, j in zip(index, pos, strict=True)
        if j >= 0
    ]
    assert prediction.speaker_accuracy == pytest.approx(np.mean([h[0] for h in hits]))
    assert prediction.recording_accuracy == pytest.approx(np.mean([h[1] for h in hits]))
    assert prediction.coverage == pytest.approx(len(hits) / len(speakers))
    found, _ = kmeans(space.reference.values, 40, generator=torch.Generator().manual_seed(0))
    by = [normalized_mutual_info_score(labels, found) for labels in (speakers, recordings)]
    assert prediction.nmi_ratio == pytest.approx(by[0] / by[1])


def test_nearest_neighbours_stay_in_the_recording_and_clusters_leave_it():
    corpus = LatentCorpus(40, recordings=8, utterances=6, recording_scale=1.1)
    near = predict(corpus, NearestNeighbors(5), nmi=False)
    clusters = predict(corpus, Clustering(160, 1), nmi=False)
    assert near.recording_accuracy > 0.8 and clusters.recording_accuracy < 0.1
    assert clusters.speaker_accuracy > 0.4


def test_calibration_reaches_the_eer():
    found = calibrate(SMALL, eer=9.0)
    assert model_eer(found) == pytest.approx(9.0, abs=0.1)
    assert replace(found, recording_scale=SMALL.recording_scale) == SMALL
    with pytest.raises(ValueError, match="EER of 1"):
        calibrate(replace(SMALL, speaker_dims=4), eer=1.0)


def test_a_sweep_is_a_table_of_all_combinations():
    rows = list(sweep(SMALL, clusters=(2, 4), window=(0, 1), nmi=False, speaker_dims=(8, 24)))
    assert len(rows) == 8
    keys = {(row["speaker_dims"], row["clusters"], row["window"]) for row in rows}
    assert len(keys) == 8
    alone = predict(replace(SMALL, speaker_dims=8), Clustering(160, 1), nmi=False)
    assert rows[3]["speaker_accuracy"] == alone.speaker_accuracy


def test_a_good_start_bootstraps_and_a_bad_one_collapses():
    corpus = LatentCorpus(120, 8, 2, speaker_dims=16, recording_dims=16)
    good = bootstrap(calibrate(corpus, 10.0), Clustering(480, 1), epochs=6)
    bad = bootstrap(calibrate(corpus, 32.0), Clustering(480, 1), epochs=6)
    assert len(good) == 7
    assert good[-1].speaker_accuracy > good[0].speaker_accuracy + 0.2
    assert good[-1].eer < good[0].eer / 2
    assert bad[-1].speaker_accuracy < bad[0].speaker_accuracy
    assert bad[-1].eer > bad[0].eer


def test_without_positives_nothing_moves():
    history = bootstrap(SMALL, SameUtterance(), epochs=2)
    assert history[0].eer == pytest.approx(history[-1].eer, abs=0.05)
    assert history[0].coverage == 0
