"""From a file in the authors' layout to an error rate, as a reader of the book would go."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_released import CONFIGS, make, theirs, write

from ssps_lib import load_encoder, scorer
from ssps_lib.corpora import Corpus, read_trials

SPEAKERS, EACH = 3, 3


@pytest.fixture
def corpus():
    """Speakers as chords of their own with some noise, utterances of two lengths."""
    rng = np.random.default_rng(0)
    keys, audio = [], []
    for speaker in range(SPEAKERS):
        for u in range(EACH):
            time = np.arange(8_000 if u % 2 else 12_000) / 16_000
            tones = sum(np.sin(2 * np.pi * (200 + 130 * speaker) * h * time) for h in (1, 2, 3))
            audio.append((3_000 * (tones + 0.1 * rng.standard_normal(len(time)))).astype(np.int16))
            keys.append(f"id{speaker}/video{u}/00001.wav")
    speakers = np.repeat(np.arange(SPEAKERS), EACH)
    offsets = np.cumsum([0, *map(len, audio)])
    recordings = np.arange(len(keys))
    return Corpus("chords", np.concatenate(audio), offsets, speakers, recordings, np.array(keys))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config["name"])
def test_a_released_file_scores_a_trial_list(config, corpus, tmp_path):
    encoder = make(config)
    file = write(tmp_path / "model_avg.pt", theirs(encoder, "encoder."))
    pairs = [(a, b) for a in range(len(corpus)) for b in range(a)]
    lines = [f"{int(a // EACH == b // EACH)} {corpus.keys[a]} {corpus.keys[b]}" for a, b in pairs]
    (tmp_path / "veri_test2.txt").write_text("\n".join(lines) + "\n")

    trials = read_trials(tmp_path / "veri_test2.txt", corpus.keys)
    embeddings = scorer.embed(load_encoder(file), corpus)
    scores = scorer.score(embeddings, trials)

    with torch.no_grad():  # one utterance at a time with the encoder that was written
        rows = [torch.from_numpy(corpus.audio(i)).float()[None] / 32768 for i in range(len(corpus))]
        expected = torch.cat([F.normalize(encoder(row)) for row in rows])
    np.testing.assert_allclose(
        scores, [float(expected[a] @ expected[b]) for a, b in pairs], atol=1e-5
    )
    targets = scores[trials.labels == 1]
    others = scores[trials.labels == 0]
    assert (len(targets), len(others)) == (9, 27)
    by_hand = [
        max((others >= t).mean(), (targets < t).mean()) for t in np.append(scores, np.inf)
    ]  # the published EER is one of these, and the smallest that any threshold reaches
    assert scorer.eer(scores, trials.labels, "published") >= 100 * min(by_hand) - 1e-9
    assert scorer.eer(scores, trials.labels) <= 100 * min(by_hand) + 1e-9
    assert scorer.min_dcf(scores, trials.labels) <= 1
