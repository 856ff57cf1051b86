"""The embedded corpus: source-filter speech, rendered from a seed, no download.

A *speaker* is a vocal tract and a glottis (chapter 2 draws them), a *recording* is a room, a
microphone and a noise, an *utterance* is a sequence of phones. Excitation pulses and breath noise
are shaped frame by frame by the resonances of the tract (short-time Fourier synthesis), then pass
the recording's channel. Everything is batched torch and runs on CPU or GPU; all random numbers come
from generators keyed by (seed, speaker, recording, utterance), so an utterance does not depend on
the batch in which it is rendered, save for the rounding of the last bit. Shapes: B utterances of T
samples at 16 kHz and L = T // HOP + 1 frames.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssps_lib import files
from ssps_lib.corpora.corpus import SAMPLE_RATE, Splits
from ssps_lib.corpora.packed import read_packed, write_packed
from ssps_lib.corpora.trials import make_trials

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
NASAL = np.array([0.0] * 8 + [1.0], np.float32)
# Unvoiced phones: centre and width of the noise band in Hz.
FRICATIVES = np.array([[5200, 1400], [3000, 1100], [1900, 1500]], np.float32)
PHONES = len(VOICED) + len(FRICATIVES) + 1  # and a pause


@dataclass(frozen=True)
class Size:
    """Proportions of a simulated corpus (book chapter on data).

    `recordings` of each training speaker hold `utterances` of `seconds` each; development and test
    speakers have `test_recordings`. Three factors without unit set the difficulty: `traits` how far
    apart voices lie (1 = adults), `channel` how strongly a recording marks its utterances (0 = not
    at all), `drift` how much a voice varies from one recording to the next (0 = not at all).
    """

    speakers: int = 320
    recordings: int = 12
    utterances: int = 2
    seconds: float = 4.0
    dev_speakers: int = 60
    test_speakers: int = 80
    test_recordings: int = 6
    traits: float = 1.6
    channel: float = 1.2
    drift: float = 0.1
    seed: int = 1


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
    traits = dict(vars(voice))
    traits["pitch"] = voice.pitch * float(np.exp(0.1 * drift * normal()))
    traits["tilt"] = voice.tilt + 1.5 * drift * float(normal())
    traits["breath"] = voice.breath + 5.0 * drift * float(normal())
    traits["rate"] = voice.rate * float(np.exp(0.15 * drift * normal()))
    traits["formants"] = voice.formants * np.exp(0.03 * drift * normal(voice.formants.shape))
    return Voice(**traits)


@dataclass
class Channel:
    """One recording: the path from mouth to file, and what else was heard.

    Attributes:
        response: (T,) impulse response of room and microphone (with its band limits), unit energy.
        noise: (n,) magnitude response that colours white noise, on a coarse frequency grid.
        snr: dB.
        modulation: depth of the noise's slow loudness changes, 0 to 1.
        drive: strength of the microphone's saturation.
    """

    response: np.ndarray
    noise: np.ndarray
    snr: float
    modulation: float
    drive: float


RESPONSE = 8192  # samples of an impulse response


def make_channel(rng: np.random.Generator, strength: float) -> Channel:
    """Draw a recording. Strength 0 is a dry, silent, flat one; 1 is the corpus's default."""
    normal, uniform = rng.standard_normal, rng.uniform
    time = np.arange(RESPONSE) / SAMPLE_RATE
    reverberation = 0.05 + 0.55 * uniform() ** 1.5  # seconds to -60 dB
    direct_db = uniform(1.0, 14.0)
    tail = normal(RESPONSE) * 10 ** (-3 * time / reverberation)
    tail[: int(uniform(16, 80))] = 0.0
    tail *= strength * 10 ** (-direct_db / 20) / max(np.linalg.norm(tail), 1e-9)
    tail[0] += 1.0
    # microphone: smooth equaliser, low and high cut
    frequency = np.fft.rfftfreq(2 * RESPONSE, 1 / SAMPLE_RATE)
    octave = np.log2(np.maximum(frequency, 50) / 50) / math.log2(160)  # 0 at 50 Hz, 1 at 8 kHz
    waves = np.cos(np.pi * np.arange(1, 7)[:, None] * octave + uniform(0, np.pi, (6, 1)))
    equaliser_db = strength * (4.0 * normal(6) / np.sqrt(np.arange(1, 7))) @ waves
    high = uniform(3400, 8000) if uniform() < 0.6 * min(strength, 1.5) else 8000.0
    low = uniform(40, 300) * min(strength, 1.0)
    band = 1 / np.sqrt(1 + (frequency / high) ** 16)
    band /= np.sqrt(1 + (low / np.maximum(frequency, 1.0)) ** 6)
    spectrum = np.fft.rfft(tail, 2 * RESPONSE) * 10 ** (equaliser_db / 20) * band
    response = np.fft.irfft(spectrum)[:RESPONSE]
    slope = uniform(-9.0, 1.0)  # dB per octave
    grid = np.arange(65) / 64 * 8000
    bumps = sum(
        uniform(0, 12) * np.exp(-0.5 * ((grid - uniform(100, 7000)) / uniform(100, 900)) ** 2)
        for _ in range(3)
    )
    noise_db = slope * np.log2(np.maximum(grid, 60) / 1000) + bumps
    snr = uniform(10.0, 30.0) - 20 * math.log10(max(strength, 1e-3)) * 0.5
    return Channel(
        (response / np.linalg.norm(response)).astype(np.float32),
        10 ** (noise_db / 20).astype(np.float32),
        float(snr),
        float(uniform(0, 0.9)),
        float(uniform(0.0, 1.5) * strength),
    )


@dataclass
class Score:
    """What is spoken, frame by frame (L frames of `HOP` samples)."""

    resonances: np.ndarray  # (5, L) Hz
    bandwidths: np.ndarray  # (5, L) Hz
    nasal: np.ndarray  # (L,) 0 to 1
    friction: np.ndarray  # (2, L) centre and width in Hz
    voicing: np.ndarray  # (L,) amplitude of the pulses
    noise: np.ndarray  # (L,) amplitude of the noise
    pitch: np.ndarray  # (L,) Hz
    tilt: float


def _smooth(tracks: np.ndarray, frames: int) -> np.ndarray:
    """Glide between phones: a moving average over `frames` frames along the last axis."""
    left = frames // 2
    padding = [(0, 0)] * (tracks.ndim - 1) + [(left + 1, frames - 1 - left)]
    total = np.cumsum(np.pad(tracks, padding, mode="edge"), axis=-1)
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
    resonances = np.concatenate(
        [
            (VOICED * voice.formants * voice.tract)[vowel].T * np.exp(0.01 * normal((3, 1))),
            np.repeat(voice.upper[:, None] * voice.tract, frames, 1),
        ]
    )
    bandwidths = np.array([70.0, 90.0, 130.0, 200.0, 280.0])[:, None] * np.ones(frames)
    bandwidths[:3] *= voice.bandwidth[:, None]
    level = 10 ** (voice.levels[phone] / 20) * np.exp(0.15 * normal())
    time = np.arange(frames) / frame_rate
    melody = -0.08 * time + sum(
        normal() / (1 + k) * np.sin(2 * np.pi * (0.4 * (k + 1) * time + rng.uniform()))
        for k in range(4)
    )
    pitch = voice.pitch * np.exp(voice.pitch_range * melody + voice.jitter * normal(frames))
    breath = 10 ** (voice.breath / 20)
    return Score(
        resonances=_smooth(resonances, 7).clip(150, 7000),
        bandwidths=_smooth(bandwidths, 7),
        nasal=_smooth(np.where(voiced, NASAL[vowel], 0.0), 5),
        friction=_smooth((FRICATIVES * voice.fricatives)[friction].T, 5),
        voicing=_smooth(np.where(voiced, level, 0.0), 5),
        noise=_smooth(np.where(voiced, breath * level, np.where(silent, 0.0, 0.35 * level)), 5),
        pitch=pitch.clip(55, 500),
        tilt=voice.tilt,
    )


def _per_sample(track: Tensor, samples: int) -> Tensor:
    """(B, L) frame values -> (B, samples) by linear interpolation."""
    return torch.nn.functional.interpolate(
        track[:, None], size=samples, mode="linear", align_corners=True
    )[:, 0]


def _pulses(pitch: Tensor, samples: int) -> Tensor:
    """(B, L) pitch in Hz -> (B, samples) unit pulses placed with sub-sample accuracy."""
    step = _per_sample(pitch, samples).double() / SAMPLE_RATE
    phase = torch.cumsum(step, 1)
    turn = torch.floor(phase)
    fires = torch.diff(turn, dim=1, prepend=torch.zeros_like(turn[:, :1]))
    late = ((phase - turn) / step).clamp(0, 1) * fires  # how far the pulse lies before this sample
    out = fires - late
    out[:, :-1] += late[:, 1:]
    return (out / step.sqrt() * 0.1).float()  # equal power at every pitch


def _envelope(scores: list[Score], device: torch.device) -> tuple[Tensor, Tensor]:
    """Magnitude responses of tract and of friction, each (B, BINS, L)."""

    def stack(name: str) -> Tensor:
        return torch.tensor(
            np.stack([getattr(s, name) for s in scores]), dtype=torch.float32, device=device
        )

    frequency = torch.linspace(0, SAMPLE_RATE / 2, BINS, device=device)[None, :, None]
    resonances, bandwidths = stack("resonances"), stack("bandwidths")
    tract = torch.ones(1, device=device)
    for k in range(resonances.shape[1]):
        peak, width = resonances[:, k, None], bandwidths[:, k, None]
        tract = tract * peak**2 / ((frequency**2 - peak**2) ** 2 + (width * frequency) ** 2).sqrt()
    octave = torch.log2(frequency.clamp(min=100) / 100)
    tilt = torch.tensor([s.tilt for s in scores], device=device)[:, None, None]
    tract = tract * 10 ** (tilt * octave / 20)
    zero = 1 - 0.8 * torch.exp(-(((frequency - 900) / 250) ** 2))  # the nasal cavity's zero
    tract = tract * (1 - stack("nasal")[:, None] * (1 - zero))
    centre, width = stack("friction").unbind(1)
    friction = torch.exp(-0.5 * ((frequency - centre[:, None]) / width[:, None]) ** 2)
    return tract, friction + 0.02


def _filter(signal: Tensor, response: Tensor) -> Tensor:
    """Shape (B, T) by a magnitude response (B, BINS, L), frame by frame."""
    window = torch.hann_window(FRAME, device=signal.device)
    frames = torch.stft(signal, FRAME, HOP, window=window, return_complex=True)
    return torch.istft(
        frames * response[..., : frames.shape[-1]],
        FRAME,
        HOP,
        window=window,
        length=signal.shape[-1],
    )


def _rms(x: Tensor) -> Tensor:
    return x.square().mean(1, keepdim=True).sqrt().clamp(min=1e-8)


def speak(scores: list[Score], noise: Tensor) -> Tensor:
    """B scores -> dry speech (B, T) of unit power.

    `noise` (B, T) is unit white noise from which breath and friction are made; T sets how many
    samples the frames of the scores are stretched over.
    """
    samples, device = noise.shape[1], noise.device
    tract, friction = _envelope(scores, device)

    def track(name: str) -> Tensor:
        values = np.stack([getattr(s, name) for s in scores])
        return torch.tensor(values, dtype=torch.float32, device=device)

    voicing = _per_sample(track("voicing"), samples)
    aspiration = _per_sample(track("noise"), samples)
    voice = _filter(_pulses(track("pitch"), samples) * voicing + 0.1 * noise * aspiration, tract)
    unvoiced = (track("voicing") < 0.05).float()[:, None]
    hiss = _filter(noise * aspiration, friction * unvoiced)
    speech = voice / _rms(voice) + 0.6 * hiss / _rms(hiss).clamp(min=1e-3)
    return speech / _rms(speech)


def record(speech: Tensor, channels: list[Channel], noise: Tensor, sway: Tensor) -> Tensor:
    """Send dry speech (B, T) through its recordings' channels.

    Args:
        speech: at any level; it is brought to unit power before noise and saturation.
        channels: B recordings.
        noise: (B, T) unit white noise, coloured and set to the channel's ratio in dB.
        sway: (B, n) unit noise, about three values a second, that moves the noise's loudness.

    Returns:
        (B, T) with a root mean square of 1/6; the few samples beyond [-1, 1] are not clipped here.
    """
    samples, device = speech.shape[1], speech.device

    def stack(name: str) -> Tensor:
        values = np.stack([np.asarray(getattr(c, name), np.float32) for c in channels])
        return torch.tensor(values, device=device)

    size = samples + RESPONSE
    response = torch.fft.rfft(stack("response"), size)
    wet = torch.fft.irfft(torch.fft.rfft(speech, size) * response, size)[:, :samples]
    wet = wet / _rms(wet)
    colour = torch.nn.functional.interpolate(
        stack("noise")[:, None], size=samples // 2 + 1, mode="linear", align_corners=True
    )[:, 0]
    ambience = torch.fft.irfft(torch.fft.rfft(noise) * colour, samples)
    depth = stack("modulation")[:, None]
    ambience = ambience * (1 + depth * _per_sample(sway, samples).tanh())
    ambience = ambience / _rms(ambience) * 10 ** (-stack("snr")[:, None] / 20)
    mixed = wet + ambience
    drive = stack("drive")[:, None].clamp(min=1e-3)
    return 0.25 * torch.tanh(drive * mixed) / drive / _rms(torch.tanh(drive * mixed) / drive) / 1.5


def render(
    size: Size, plan: list[tuple[int, int, int]], device: str = "cpu", batch: int = 32
) -> Iterator[np.ndarray]:
    """Render utterances, in batches of (B, T) int16 with T = `size.seconds` at 16 kHz.

    Args:
        plan: (speaker, recording, utterance) of each; speakers and recordings in order are fastest.
        device: where the synthesis runs; random numbers are always drawn on the CPU.
        batch: B, which bounds the memory.
    """
    samples = int(size.seconds * SAMPLE_RATE)
    frames = samples // HOP + 1

    def rng(*key: int) -> np.random.Generator:
        return np.random.default_rng([size.seed, *key])

    @lru_cache(maxsize=4)  # a plan visits speakers and recordings in order
    def voice_of(s: int) -> Voice:
        return make_voice(rng(0, s), size.traits)

    @lru_cache(maxsize=4)
    def session(s: int, r: int) -> tuple[Voice, Channel]:
        return drifted(voice_of(s), rng(1, s, r), size.drift), make_channel(
            rng(2, s, r), size.channel
        )

    for begin in range(0, len(plan), batch):
        scores, channels, noises, sways = [], [], [], []
        for s, r, u in plan[begin : begin + batch]:
            voice, channel = session(s, r)
            channels.append(channel)
            draw = rng(3, s, r, u)
            scores.append(make_score(voice, draw, frames))
            noises.append(draw.standard_normal((2, samples), np.float32))
            sways.append(draw.standard_normal(int(3 * size.seconds) + 2, np.float32))
        white = torch.from_numpy(np.stack(noises)).to(device)
        sway = torch.from_numpy(np.stack(sways)).to(device)
        waveform = record(speak(scores, white[:, 0]), channels, white[:, 1], sway)
        yield (waveform.clamp(-1, 1) * 32767).round().to(torch.int16).cpu().numpy()


def open_simulated(device: str = "cpu", **proportions) -> Splits:
    """The simulated corpus of these proportions, rendered at the first call and cached on disk.

    Args:
        device: where to render ("cpu" or "cuda").
        proportions: fields of `Size`.

    Raises:
        ValueError: an unknown proportion, or one that is too small.
    """
    unknown = set(proportions) - set(Size.__dataclass_fields__)
    if unknown:
        raise ValueError(
            f"the simulated corpus has no proportion '{sorted(unknown)[0]}'; "
            f"known are {', '.join(Size.__dataclass_fields__)}"
        )
    for proportion, value in proportions.items():
        kind = type(getattr(Size, proportion))
        plain = isinstance(value, (kind, int)) and not isinstance(value, bool)
        if not (plain and math.isfinite(value)):
            kinds = {int: "a whole number", float: "a finite number"}
            raise ValueError(f"{proportion} is {value!r}, {kinds[kind]} is needed")
    size = Size(**proportions)
    for proportion, least in LEAST.items():
        if getattr(size, proportion) < least:
            raise ValueError(
                f"{proportion} is {getattr(size, proportion)}, at least {least} is needed"
            )
    name = hashlib.sha256(json.dumps([VERSION, asdict(size)]).encode()).hexdigest()[:12]
    root = files.home() / "corpora" / f"simulated-{name}"
    parts = {
        "train": (0, size.speakers, size.recordings),
        "dev": (size.speakers, size.dev_speakers, size.test_recordings),
        "test": (size.speakers + size.dev_speakers, size.test_speakers, size.test_recordings),
    }
    return Splits(*_open_parts(size, root, parts, device))


LEAST = {
    "speakers": 1, "recordings": 1, "utterances": 1, "seconds": 0.5,
    "dev_speakers": 2, "test_speakers": 2, "test_recordings": 2,
    "traits": 0, "channel": 0, "drift": 0, "seed": 0,
}  # fmt: skip
VERSION = 1  # of the rendering: raise it when the same proportions sound different


def _open_parts(size: Size, root: Path, parts: dict, device: str) -> list:
    corpora, trials = [], []
    for split, (first, count, recordings) in parts.items():
        plan = [
            (s, r, u)
            for s in range(first, first + count)
            for r in range(recordings)
            for u in range(size.utterances)
        ]
        keys = [f"s{s:04d}/r{r:02d}/u{u:02d}.wav" for s, r, u in plan]
        folder = root / split
        if not folder.exists():
            write_packed(folder, f"simulated {split}", render(size, plan, device), keys)
        corpora.append(read_packed(folder))
        if split != "train":
            made = make_trials(corpora[-1].speakers, corpora[-1].recordings, 60, size.seed)
            if not (root / f"{split}_trials.txt").exists():
                made.write(root / f"{split}_trials.txt", corpora[-1].keys)
            trials.append(made)
    return [*corpora, *trials]
