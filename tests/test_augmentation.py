"""Reverberation and noise: exact ratios, convolution by hand, policies."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssps_lib.augmentation import (
    COLUMNS,
    SNR_DB,
    Augmentation,
    Bank,
    add_noise,
    reverberate,
)
from ssps_lib.corpora import Corpus
from ssps_lib.noises import cached_bank, generated_bank


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def power(x):
    return x.double().square().mean(-1)


@pytest.fixture(scope="module")
def corpus():
    samples = np.random.default_rng(0).integers(-9000, 9000, 40_000, np.int16)
    offsets = np.array([0, 16_000, 40_000])
    keys = np.array(["a/r/1", "b/r/1"])
    return Corpus("noise", samples, offsets, np.arange(2), np.arange(2), keys)


@pytest.fixture(scope="module")
def bank(corpus):
    return generated_bank(corpus, size=4, seconds=1.0, rooms=5)


@given(
    level_db=st.floats(-90, 0),
    noise_db=st.floats(-90, 0),
    snr=st.floats(-10, 30),
)
def test_the_ratio_is_exact_at_any_level(level_db, noise_db, snr):
    speech = torch.randn(2, 4000, generator=generator(1)) * 10 ** (level_db / 20)
    noise = torch.randn(2, 4000, generator=generator(2)) * 10 ** (noise_db / 20)
    noisy = add_noise(speech.double(), noise.double(), torch.full((2,), snr).double())
    measured = 10 * torch.log10(power(speech) / power(noisy - speech.double()))
    assert measured.tolist() == pytest.approx([snr] * 2, abs=1e-4)


def test_the_ratio_survives_single_precision_of_quiet_speech():
    speech = 1e-4 * torch.randn(3, 8000, generator=generator(1))
    noise = torch.randn(3, 8000, generator=generator(2))
    snr = torch.tensor([0.0, 7.0, 20.0])
    measured = 10 * torch.log10(power(speech) / power(add_noise(speech, noise, snr) - speech))
    assert measured.tolist() == pytest.approx(snr.tolist(), abs=0.01)


def test_silence_stays_silent_and_silent_noise_adds_nothing():
    speech = torch.stack([torch.zeros(100), torch.randn(100, generator=generator())])
    noise = torch.stack([torch.randn(100, generator=generator(1)), torch.zeros(100)])
    assert torch.equal(add_noise(speech, noise, torch.zeros(2)), speech)


def test_reverberation_is_a_convolution():
    x, response = torch.randn(3, 500, generator=generator()), torch.randn(3, 80)
    wet = reverberate(x, response)
    assert wet.shape == x.shape
    for row in range(3):
        expected = np.convolve(x[row].double(), response[row].double())[:500]
        np.testing.assert_allclose(wet[row], expected, atol=1e-4)


def test_responses_have_unit_energy_and_begin_with_the_direct_path(bank):
    assert power(bank.responses).mul(bank.responses.shape[1]).tolist() == pytest.approx([1] * 5)
    assert (bank.responses[:, 0] > 0).all()


def test_bank_holds_every_kind_at_one_level(bank):
    assert bank.kinds == {"speech": (0, 4), "music": (4, 8), "noise": (8, 12)}
    assert bank.noises.shape == (12, 16_000)
    assert power(bank.noises).sqrt().tolist() == pytest.approx([0.1] * 12, rel=0.01)


def test_bank_is_the_same_from_a_seed_and_from_its_file(corpus, bank, tmp_path, monkeypatch):
    again = generated_bank(corpus, size=4, seconds=1.0, rooms=5)
    assert torch.equal(again.noises, bank.noises) and torch.equal(again.responses, bank.responses)
    other = generated_bank(corpus, seed=1, size=4, seconds=1.0, rooms=5)
    assert not torch.equal(other.responses, bank.responses)
    monkeypatch.setattr("ssps_lib.noises.generated_bank", lambda corpus: bank)
    written = cached_bank(corpus, tmp_path / "bank.safetensors")
    monkeypatch.setattr("ssps_lib.noises.generated_bank", None)  # a second call would fail
    read = cached_bank(corpus, tmp_path / "bank.safetensors")
    for loaded in (written, read):
        assert loaded.kinds == bank.kinds and list(loaded.kinds) == list(SNR_DB)
        assert torch.equal(loaded.noises, bank.noises)
        assert torch.equal(loaded.responses, bank.responses)
    assert [file.name for file in tmp_path.iterdir()] == ["bank.safetensors"]


def dry(bank):
    """A bank whose rooms change nothing, so that noise can be measured alone."""
    responses = torch.zeros_like(bank.responses)
    responses[:, 0] = 1
    return Bank(responses, bank.noises, bank.kinds)


@pytest.mark.parametrize("kind", list(SNR_DB))
def test_each_kind_of_noise_keeps_its_range(bank, kind):
    """Rows of other kinds are silenced: what was added is of this kind, in its range of levels."""
    noises = torch.zeros_like(bank.noises)
    noises[slice(*bank.kinds[kind])] = bank.noises[slice(*bank.kinds[kind])]
    x = 0.01 * torch.randn(300, 1000, generator=generator(3))
    uniform = torch.rand(300, COLUMNS, generator=generator(4))
    bank = dry(Bank(bank.responses, noises, bank.kinds))
    added = Augmentation(bank, "reverb+noise")(x, uniform) - x
    share = power(added) > 1e-3 * power(x)
    assert 0.25 < share.float().mean() < 0.42  # one kind of three
    snr = 10 * torch.log10(power(x) / power(added))[share]
    low, high = SNR_DB[kind]
    assert low - 0.1 < snr.min() and snr.max() < high + 0.1
    assert snr.max() - snr.min() > 0.9 * (high - low)


def test_a_frame_depends_on_its_own_draws_only(bank):
    augment = Augmentation(bank, "reverb+noise")
    x = torch.randn(6, 1000, generator=generator())
    uniform = torch.rand(6, COLUMNS, generator=generator(1))
    together = augment(x, uniform)
    assert torch.equal(augment(x, uniform), together)
    for row in (4, 0):
        alone = augment(x[row : row + 1], uniform[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-4)
    other = augment(x, torch.rand(6, COLUMNS, generator=generator(2)))
    assert not torch.isclose(other, together).all(1).any()


def test_kept_spectra_of_the_rooms_change_nothing(bank, monkeypatch):
    augment, uniform = Augmentation(bank, "reverb+noise"), torch.rand(6, COLUMNS)
    frames = [torch.randn(6, samples, generator=generator()) for samples in (1000, 700, 1000)]
    kept = [augment(x, uniform) for x in frames]
    monkeypatch.setattr("ssps_lib.augmentation.FEW", 0)
    for x, y in zip(frames, kept, strict=True):
        torch.testing.assert_close(Augmentation(bank, "reverb+noise")(x, uniform), y)


def test_dino_policy_is_a_quarter_of_each(bank):
    x = torch.randn(400, 1000, generator=generator())
    uniform = torch.rand(400, COLUMNS, generator=generator(1))
    out = Augmentation(bank, "dino")(x, uniform)
    row = (uniform[:, 1] * len(bank.responses)).long()
    wet = reverberate(x, bank.responses[row])
    untouched = (out == x).all(1)
    reverberated = (out == wet).all(1)
    noisy = ~untouched & ~reverberated
    without_rooms = Augmentation(dry(bank), "dino")(x, uniform)
    both = noisy & ~torch.isclose(out, without_rooms, atol=1e-4).all(1)
    for share in (untouched, reverberated, noisy & ~both, both):
        assert 0.19 < share.float().mean() < 0.31


def test_extreme_draws_stay_inside_the_bank(bank):
    highest = float(np.nextafter(np.float32(1), np.float32(0)))
    x = torch.randn(2, bank.noises.shape[1], generator=generator())  # as long as the noises
    uniform = torch.stack([torch.zeros(COLUMNS), torch.full((COLUMNS,), highest)])
    for policy in ("reverb+noise", "dino"):
        assert Augmentation(bank, policy)(x, uniform).isfinite().all()


def test_no_augmentation_returns_the_frames_themselves():
    x = torch.randn(2, 10)
    assert Augmentation(None, "none")(x, torch.rand(2, COLUMNS)) is x


def test_silent_frames_stay_silent(bank):
    x, uniform = torch.zeros(8, 1000), torch.rand(8, COLUMNS, generator=generator())
    for policy in ("reverb+noise", "dino"):
        assert Augmentation(bank, policy)(x, uniform).abs().max() == 0


def test_unknown_policy_and_missing_bank_are_refused(bank):
    with pytest.raises(ValueError, match="'loud' is unknown; choose one of"):
        Augmentation(bank, "loud")
    with pytest.raises(ValueError, match="'dino' needs a bank"):
        Augmentation(None, "dino")
