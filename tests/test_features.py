"""LogMel against a short-time Fourier transform and mel bands computed by hand."""

import numpy as np
import pytest
import torch
from torchaudio.transforms import MelSpectrogram

from ssps_lib.features import LogMel


def log_mel_by_hand(waveform, n_mels, window, hop):
    """One utterance, in NumPy and double precision, frame by frame."""
    n = np.arange(400)
    a = {"hamming": 0.54, "hann": 0.5}[window]
    taper = np.zeros(512)
    taper[56:456] = a - (1 - a) * np.cos(2 * np.pi * n / 400)  # periodic, centred
    padded = np.pad(waveform, 256, mode="reflect")
    starts = range(0, len(waveform) + 1, hop)
    power = np.array([np.abs(np.fft.rfft(taper * padded[s : s + 512])) ** 2 for s in starts])

    def hertz(mel):
        return 700 * (10 ** (mel / 2595) - 1)

    edges = hertz(np.linspace(0, 2595 * np.log10(1 + 8000 / 700), n_mels + 2))
    bins = np.linspace(0, 8000, 257)
    mel = np.zeros((n_mels, len(power)))
    for m in range(n_mels):
        low, centre, high = edges[m : m + 3]
        for k, f in enumerate(bins):
            weight = min((f - low) / (centre - low), (high - f) / (high - centre))
            mel[m] += max(weight, 0) * power[:, k]
    log_mel = np.log(mel + 1e-6)
    centred = log_mel - log_mel.mean(1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)


@pytest.mark.parametrize(
    ("n_mels", "window", "hop"), [(40, "hamming", 160), (80, "hann", 160), (40, "hamming", 320)]
)
def test_equals_the_computation_by_hand(n_mels, window, hop):
    waveform = 0.1 * torch.randn(2, 4_000, generator=torch.Generator().manual_seed(0))
    features = LogMel(n_mels, window, hop)(waveform)
    for row, utterance in zip(features, waveform.double().numpy(), strict=True):
        expected = log_mel_by_hand(utterance, n_mels, window, hop)
        np.testing.assert_allclose(row.numpy(), expected, atol=2e-3)


@pytest.mark.parametrize(("seconds", "frames"), [(2, 201), (4, 401)])
def test_published_shapes(seconds, frames):
    assert LogMel()(torch.randn(1, seconds * 16_000)).shape == (1, 40, frames)


def test_the_gain_of_a_recording_does_not_matter():
    waveform = torch.randn(1, 16_000)
    torch.testing.assert_close(LogMel()(waveform), LogMel()(0.25 * waveform), atol=1e-3, rtol=0)


def test_stays_in_float32_under_autocast_and_without_gradient():
    waveform = torch.randn(1, 16_000, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        features = LogMel()(waveform)
    assert features.dtype == torch.float32 and not features.requires_grad
    torch.testing.assert_close(features, LogMel()(waveform), atol=0, rtol=0)


def test_silence_gives_zeros():
    assert LogMel(n_mels=80)(torch.zeros(2, 1_000)).abs().max() < 1e-3


def test_no_parameters_and_no_warning(recwarn):
    assert not list(LogMel(n_mels=80, window="hann").parameters())
    assert not recwarn.list


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (torch.zeros(16_000), r"shape \(16000,\), expected \(B, T\).*batch axis"),
        (torch.zeros(2, 1, 16_000), r"shape \(2, 1, 16000\)"),
        (torch.zeros(2, 16_000, dtype=torch.int16), r"torch.int16, expected floating.*32768"),
        (torch.zeros(2, 256), r"256 samples, expected more than 256; the crop is too short"),
        (torch.zeros(2, 0), r"0 samples"),
    ],
)
def test_unusable_waveforms_are_refused(waveform, message):
    with pytest.raises(ValueError, match=message):
        LogMel()(waveform)


def test_the_shortest_waveform():
    assert LogMel()(torch.randn(1, 257)).isfinite().all()


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match=r"'blackman', expected one of \['hamming', 'hann'\]"):
        LogMel(window="blackman")
    with pytest.raises(ValueError, match="n_mels is 0"):
        LogMel(n_mels=0)


def test_mel_bands_of_the_power_are_torchaudio_s():
    waveform = torch.randn(2, 8_000, generator=torch.Generator().manual_seed(0))
    theirs = MelSpectrogram(
        16_000, 512, 400, 160, n_mels=40, window_fn=torch.hamming_window, power=2.0
    )
    torch.testing.assert_close(LogMel().mel(waveform), theirs(waveform), rtol=1e-5, atol=1e-6)
