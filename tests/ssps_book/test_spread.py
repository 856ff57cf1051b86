"""The spread of one speaker's cosines, within and between speakers, against a loop by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ssps_book import spread

SPEAKERS = np.array([0, 0, 0, 0, 1, 1, 1])
RECORDINGS = np.array([0, 0, 1, 2, 3, 4, 4])


def test_spread_by_hand(monkeypatch):
    y = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(spread.scorer, "embed", lambda encoder, corpus: y)
    found = spread.of_speakers(None, SimpleNamespace(speakers=SPEAKERS, recordings=RECORDINGS))
    means, variances = [], []
    for speaker in (0, 1):
        cosines = [
            torch.cosine_similarity(y[i], y[j], dim=0).item()
            for i in range(7)
            for j in range(i)
            if SPEAKERS[i] == SPEAKERS[j] == speaker and RECORDINGS[i] != RECORDINGS[j]
        ]
        means.append(np.mean(cosines))
        variances.append(np.var(cosines))
    assert found["within"] == pytest.approx(np.mean(variances) ** 0.5, rel=1e-4)
    assert found["between"] == pytest.approx(np.std(means), rel=1e-4)


def test_a_run_is_read_from_the_record_and_missing_without_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("SSPS_RECORDS", str(tmp_path))
    monkeypatch.setattr(spread, "is_complete", lambda config: False)
    run = SimpleNamespace(name="a-run", config=None)
    assert spread.of_run(run) is None
    values = {"within": 0.25, "between": 0.125}
    spread.records.save_values(spread.NAME, {"name": spread.NAME, "runs": {"a-run": values}})
    assert spread.of_run(run) == values
