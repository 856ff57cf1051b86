"""Source-filter speech: a speaker is a vocal tract and a glottis, an utterance a row of phones.

Excitation pulses and breath noise are shaped frame by frame by the resonances of the tract
(short-time Fourier synthesis). Chapter 2 of the book draws voices and listens to them. Shapes: B
utterances of T samples at 16 kHz and L = T // HOP + 1 frames.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssps_lib.corpora.corpus import SAMPLE_RATE

FRAME = 512  # samples of a synthesis frame
HOP = 128  # samples between frames
BINS = FRAME // 2 + 1

# Targets of an average adult tract in Hz: first to third resonance of vowels and nasals.
VOICED = np.array(
    [
        [290, 2250, 2950],
        [480, 1900, 2550],
        [720, 1600, 2450],
        [700, 1120, 2500],
        [480, 880, 2450],
        [330, 900, 2250],
        [470, 1380, 1750],
        [360, 1650, 2200],
        [260, 1200, 2300],  # nasal
    ],
    np.float32,
)
BANDWIDTHS = np.array([70.0, 90.0, 130.0, 200.0, 280.0])  # Hz, of five resonances
NASAL = np.array([0.0] * 8 + [1.0], np.float32)
# Unvoiced phones: centre and width of the noise band in Hz.
FRICATIVES = np.array([[5200, 1400], [3000, 1100], [1900, 1500]], np.float32)
PHONES = len(VOICED) + len(FRICATIVES) + 1  # and a pause


@dataclass
class Voice:
    """Traits of one speaker. Ratios are relative to the average tract of `VOICED`."""

    pitch: float  # Hz, median
    pitch_range: float  # standard deviation of log pitch
    tract: float  # ratio of all resonances (inverse tract length)
    formants: np.ndarray  # (9, 3) ratio for each voiced phone and resonance
    upper: np.ndarray  # (2,) Hz, fourth and fifth resonance
    bandwidth: np.ndarray  # (3,) ratio
    fricatives: np.ndarray  # (3, 2) ratio of centre and width
    levels: np.ndarray  # (13,) dB, loudness of each phone
    durations: np.ndarray  # (13,) ratio
    habits: np.ndarray  # (13,) relative frequency of each phone
    tilt: float  # dB per octave
    breath: float  # dB below the pulses
    rate: float  # phones per second
    jitter: float  # standard deviation of log pitch from frame to frame


def make_voice(rng: np.random.Generator, spread: float) -> Voice:
    """Draw a speaker. `spread` 1 gives the variety of adult voices."""
    normal = rng.standard_normal

    def ratio(scale: float, *shape: int) -> np.ndarray:
        return np.exp(spread * scale * normal(shape))

    habits = ratio(0.5, PHONES)
    habits[-1] = 0.7 * habits[-1]
    return Voice(
        pitch=float(155 * np.exp(0.32 * spread * np.clip(normal(), -2, 2))),
        pitch_range=float(0.12 * ratio(0.4)),
        tract=float(ratio(0.07)),
        formants=ratio(0.06, len(VOICED), 3),
        upper=np.array([3500.0, 4500.0]) * ratio(0.06, 2),
        bandwidth=ratio(0.3, 3),
        fricatives=ratio(0.15, len(FRICATIVES), 2),
        levels=spread * 3.0 * normal(PHONES),
        durations=ratio(0.25, PHONES),
        habits=habits / habits.sum(),
        tilt=float(-6.0 + 1.5 * spread * normal()),
        breath=float(-22.0 + 5.0 * spread * normal()),
        rate=float(11.0 * ratio(0.12)),
        jitter=float(0.01 * ratio(0.5)),
    )


def drifted(voice: Voice, rng: np.random.Generator, drift: float) -> Voice:
    """The same speaker on another day: mood and health move pitch, tilt and rate a little."""
    normal = rng.standard_normal
    return replace(
        voice,
        pitch=voice.pitch * float(np.exp(0.1 * drift * normal())),
        tilt=voice.tilt + 1.5 * drift * float(normal()),
        breath=voice.breath + 5.0 * drift * float(normal()),
        rate=voice.rate * float(np.exp(0.15 * drift * normal())),
        formants=voice.formants * np.exp(0.03 * drift * normal(voice.formants.shape)),
    )


@dataclass
class Score:
    """What is spoken, frame by frame (L frames of `HOP` samples)."""

    resonances: np.ndarray  # (3, L) Hz
    upper: np.ndarray  # (2,) Hz, fourth and fifth resonance
    bandwidths: np.ndarray  # (5,) Hz
    nasal: np.ndarray  # (L,) 0 to 1
    friction: np.ndarray  # (2, L) centre and width in Hz
    voicing: np.ndarray  # (L,) amplitude of the pulses
    noise: np.ndarray  # (L,) amplitude of the noise
    pitch: np.ndarray  # (L,) Hz
    tilt: float


def _smooth(tracks: np.ndarray, frames: int) -> np.ndarray:
    """Glide between phones: a moving average over `frames` frames along the last axis."""
    size, left = tracks.shape[-1], frames // 2
    around = np.arange(-left - 1, size + frames - 1 - left).clip(0, size - 1)
    total = np.cumsum(tracks[..., around], axis=-1)
    return (total[..., frames:] - total[..., :-frames]) / frames


def make_score(voice: Voice, rng: np.random.Generator, frames: int) -> Score:
    """Draw an utterance of L = `frames` frames (8 ms each) as this speaker would say it."""
    normal = rng.standard_normal
    frame_rate = SAMPLE_RATE / HOP
    count = int(3 * frames / frame_rate * voice.rate) + 8
    phones = rng.choice(PHONES, count, p=voice.habits)
    seconds = voice.durations[phones] * rng.gamma(6.0, 1 / 6.0, count) / voice.rate
    ends = np.cumsum(np.maximum(seconds * frame_rate, 2))
    phone = phones[np.searchsorted(ends, np.arange(frames), side="right").clip(max=count - 1)]

    vowels, pause = len(VOICED), PHONES - 1
    voiced, silent = phone < vowels, phone == pause
    vowel = np.where(voiced, phone, vowels - 2)
    friction = np.where(voiced | silent, 0, phone - vowels)
    targets = (VOICED * voice.formants * voice.tract)[vowel].T * np.exp(0.01 * normal((3, 1)))
    level = 10 ** (voice.levels[phone] / 20) * np.exp(0.15 * normal())
    time = np.arange(frames) / frame_rate
    melody = -0.08 * time + sum(
        normal() / (1 + k) * np.sin(2 * np.pi * (0.4 * (k + 1) * time + rng.uniform()))
        for k in range(4)
    )
    pitch = voice.pitch * np.exp(voice.pitch_range * melody + voice.jitter * normal(frames))
    breath = 10 ** (voice.breath / 20)
    return Score(
        resonances=_smooth(targets, 7).clip(150, 7000),
        upper=(voice.upper * voice.tract).clip(150, 7000),
        bandwidths=BANDWIDTHS * np.append(voice.bandwidth, [1, 1]),
        nasal=_smooth(np.where(voiced, NASAL[vowel], 0.0), 5),
        friction=_smooth((FRICATIVES * voice.fricatives)[friction].T, 5),
        voicing=_smooth(np.where(voiced, level, 0.0), 5),
        noise=_smooth(np.where(voiced, breath * level, np.where(silent, 0.0, 0.35 * level)), 5),
        pitch=pitch.clip(55, 500),
        tilt=voice.tilt,
    )


def per_sample(track: Tensor, samples: int) -> Tensor:
    """(B, L) values at equal distances -> (B, samples) by linear interpolation."""
    return F.interpolate(track[:, None], size=samples, mode="linear", align_corners=True)[:, 0]


def rms(x: Tensor) -> Tensor:
    """Root mean square of each row of (B, T), (B, 1)."""
    return x.square().mean(1, keepdim=True).sqrt().clamp(min=1e-8)


def _pulses(pitch: Tensor, samples: int) -> Tensor:
    """(B, L) pitch in Hz -> (B, samples) unit pulses placed with sub-sample accuracy."""
    step = per_sample(pitch, samples).double() / SAMPLE_RATE
    phase = torch.cumsum(step, 1)
    row, at = torch.floor(phase).diff(dim=1).nonzero(as_tuple=True)
    late = (phase[row, at + 1] % 1 / step[row, at + 1]).clamp(max=1)  # the pulse is so long past
    out = torch.zeros_like(phase)
    out[row, at] = late
    out[row, at + 1] = 1 - late
    return (out / step.sqrt() * 0.1).float()  # equal power at every pitch


def _tract(scores: dict[str, Tensor]) -> Tensor:
    """Magnitude response of the tract in each frame, (B, L, BINS)."""
    bandwidths = scores["bandwidths"].unbind(1)
    frequency = torch.linspace(0, SAMPLE_RATE / 2, BINS, device=bandwidths[0].device)
    octave = torch.log2(frequency.clamp(min=100) / 100)
    zero = 1 - 0.8 * torch.exp(-(((frequency - 900) / 250) ** 2))  # the nasal cavity's zero
    peaks = [*scores["upper"][..., None].unbind(1), *scores["resonances"].unbind(1)]
    loss = torch.ones(1, device=frequency.device)
    for peak, width in zip(peaks, bandwidths[3:] + bandwidths[:3], strict=True):
        ratio = frequency.square() * peak[..., None] ** -2  # (B, 1 or L, BINS)
        damping = (width[:, None] / peak)[..., None].square()
        loss = loss * ratio.mul(damping).add_((ratio - 1).square_())
    tilt = 10 ** (scores["tilt"][:, None, None] * octave / 20)
    return (1 - scores["nasal"][..., None] * (1 - zero)).mul_(loss.rsqrt_()).mul_(tilt)


def _friction(bands: Tensor) -> Tensor:
    """Magnitude response of n frames of friction, (n, BINS), by centre and width in Hz (n, 2)."""
    frequency = torch.linspace(0, SAMPLE_RATE / 2, BINS, device=bands.device)
    centre, width = bands[:, :1], bands[:, 1:]
    return torch.exp(-0.5 * ((frequency - centre) / width).square()) + 0.02


def _cut(signal: Tensor, window: Tensor) -> Tensor:
    """(B, T) -> windowed frames (B, L, FRAME), centred at multiples of HOP."""
    edges = (FRAME // 2, FRAME // 2)
    return F.pad(signal[:, None], edges, mode="reflect")[:, 0].unfold(1, FRAME, HOP) * window


def _shape(frames: Tensor, response: Tensor) -> Tensor:
    """Frames (..., FRAME) shaped by their magnitude responses (..., BINS)."""
    return torch.fft.irfft(torch.fft.rfft(frames).mul_(response))


def _join(frames: Tensor, window: Tensor, samples: int) -> Tensor:
    """The inverse of `_cut`, by least squares: (B, L, FRAME) -> (B, T)."""

    def added(frames: Tensor) -> Tensor:
        parts = frames.unflatten(2, (-1, HOP)).unbind(2)
        out = frames.new_zeros(len(frames), frames.shape[1] + len(parts) - 1, HOP)
        for k, part in enumerate(parts):
            out[:, k : k + frames.shape[1]] += part
        return out.flatten(1)[:, FRAME // 2 :][:, :samples]

    return added(frames * window) / added(window.square().expand(1, frames.shape[1], -1))


def speak(scores: list[Score], noise: Tensor) -> Tensor:
    """B scores -> dry speech (B, T) of unit power.

    `noise` (B, T) is unit white noise from which breath and friction are made; T, a little less
    than L * HOP at most, sets how many samples the frames of the scores are stretched over.
    """
    samples, device = noise.shape[1], noise.device
    window = torch.hann_window(FRAME, device=device)
    stacked = {
        field.name: torch.tensor(np.stack([getattr(s, field.name) for s in scores])).float()
        for field in fields(Score)
    }
    tracks = {name: values.to(device) for name, values in stacked.items()}
    breath = noise * per_sample(tracks["noise"], samples)
    pulses = _pulses(tracks["pitch"], samples) * per_sample(tracks["voicing"], samples)
    voiced = _shape(_cut(pulses + 0.1 * breath, window), _tract(tracks))

    hissing, unvoiced = torch.zeros_like(voiced), tracks["voicing"] < 0.05
    if unvoiced.any():
        friction = _friction(tracks["friction"].transpose(1, 2)[unvoiced])
        hissing[unvoiced] = _shape(_cut(breath, window)[unvoiced], friction)
    voice, hiss = _join(torch.cat([voiced, hissing]), window, samples).chunk(2)
    speech = voice / rms(voice) + 0.6 * hiss / rms(hiss).clamp(min=1e-3)
    return speech / rms(speech)
