"""The encoders that come with the book load, and are small."""

from pathlib import Path

import pytest
import torch

from ssps_lib.encoders import Encoder

FOLDER = Path(__file__).parents[2] / "book" / "encoders"
KINDS = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


@pytest.mark.parametrize("name", KINDS)
def test_an_encoder_of_the_book_loads(name):
    encoder = Encoder.from_pretrained(FOLDER / name).eval()
    with torch.no_grad():
        y = encoder(torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0)) / 10)
    assert y.shape == (2, encoder.dim) and not torch.allclose(y[0], y[1], atol=0.1)


def test_all_of_them_are_below_ten_megabytes():
    assert len(KINDS) == 9
    assert sum(f.stat().st_size for f in FOLDER.rglob("*") if f.is_file()) < 10_000_000
