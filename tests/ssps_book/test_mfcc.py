"""The baseline that learns nothing: statistics of MFCC by hand."""

import numpy as np
import pytest
import torch

from ssps_book import mfcc


def test_embedding_is_mean_and_deviation_over_time():
    x = torch.randn(3, 8000, generator=torch.Generator().manual_seed(0)) * 0.1
    out = mfcc.embedding(x)
    assert out.shape == (3, 40)
    frames = mfcc._mfcc()(x[1]).T.tolist()  # (L, 20)
    for c in range(20):
        values = [frame[c] for frame in frames]
        assert out[1, c].item() == pytest.approx(np.mean(values), abs=1e-4)
        assert out[1, 20 + c].item() == pytest.approx(np.std(values, ddof=1), abs=1e-4)


def test_embedding_does_not_depend_on_the_batch_and_gain_moves_one_coefficient():
    x = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
    quiet = x * torch.tensor([[1.0], [0.1]])
    out, alone = mfcc.embedding(quiet), mfcc.embedding(quiet[1:])
    torch.testing.assert_close(out[1:], alone)
    change = (mfcc.embedding(x) - out)[1]
    assert change[0] == pytest.approx(np.log(100) * 40**0.5, rel=1e-3)  # orthonormal DCT
    assert change[1:].abs().max() < 1e-2


def test_standardise():
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * 7 + 3
    x[:, 2] = 5.0
    out = mfcc.standardise(x)
    torch.testing.assert_close(out.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.std(0), torch.tensor([1.0, 1.0, 0.0]))
