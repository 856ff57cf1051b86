"""Audio files as samples at 16 kHz, mono, and what they hold besides speech."""

import math
from pathlib import Path

import numpy as np

from ssps_lib.corpora.corpus import SAMPLE_RATE
from ssps_lib.corpora.decoders import open_stream

SHORTEST = 0.5  # seconds
PIECE = 60  # seconds that are resampled at a time
QUIET = 2 / 32768  # a sample up to here is the rounding of silence


def read_audio(path: str | Path, shortest: float = SHORTEST, speech: bool = True) -> np.ndarray:
    """Decode a whole file, mix its channels down and resample it to 16 kHz: (T,) float32.

    Args:
        shortest: seconds that a file has to last.
        speech: refuse silence and samples far beyond full scale; False for noises and rooms.

    Raises:
        ValueError: the file is missing, empty, unreadable, truncated, too short, or holds samples
            that are not finite or no speech; the message is the reason without the path.
    """
    return decode(path, shortest, speech)[0]


def decode(
    path: str | Path, shortest: float = SHORTEST, speech: bool = True
) -> tuple[np.ndarray, int, int]:
    """What `read_audio` gives, with the rate in Hz and the channels of the file."""
    stream, levels = open_stream(Path(path)), Levels()
    mixed = [np.empty(0, np.float32)]
    for frames in stream.blocks:
        if not np.isfinite(frames).all():
            raise ValueError("holds samples that are not finite numbers")
        levels.add(frames)
        mixed.append(frames.mean(1))
    _check_length(levels.frames, stream.rate, shortest)
    if speech and (fault := levels.fault()) is not None:
        raise ValueError(fault)
    return _resampled(np.concatenate(mixed), stream.rate), stream.rate, stream.channels


def peek(path: str | Path, shortest: float = SHORTEST) -> tuple[int, int]:
    """Rate in Hz and channels of a file; ValueError as `read_audio`, as far as a header tells."""
    stream = open_stream(Path(path))
    if stream.frames is not None:
        _check_length(stream.frames, stream.rate, shortest)
    return stream.rate, stream.channels


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Samples in [-1, 1] -> int16, clipped; 16-bit files keep their very samples."""
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)


class Levels:
    """Whether samples that come in blocks can be speech."""

    def __init__(self) -> None:
        self.frames = self.audible = self.alone = self.beyond = 0
        self.peak = 0.0

    def add(self, frames: np.ndarray) -> None:
        """Count frames (T, channels) that can be heard, mixed or alone, and that are too loud."""
        centred, mix = np.abs(frames - frames.mean(0)), frames.mean(1)
        self.frames += len(frames)
        self.audible += int((np.abs(mix - mix.mean()) > QUIET).sum())
        self.alone += int((centred > QUIET).any(1).sum())
        self.beyond += int((np.abs(frames) > 1).any(1).sum())
        self.peak = max(self.peak, float(np.abs(frames).max(initial=0)))

    def fault(self) -> str | None:
        """Why the frames so far are no speech, with the likely cause."""
        few = self.frames / 1000  # a click in silence is none either
        if self.beyond > 0.05 * self.frames:
            return (
                f"has {100 * self.beyond / self.frames:.0f} % of its samples beyond full scale "
                f"(peak {self.peak:g}); do they lie between -32768 and 32767? Divide them by 32768"
            )
        if self.audible > few:
            return None
        if self.alone > few:
            return "is silent once mixed down: its channels cancel; keep one of them"
        if self.peak == 0:
            return "is silent: all its samples are zero"
        cause = "a constant, or a click"
        if self.peak <= QUIET:
            cause = "samples of 16 bits in a file of 32, perhaps, to be multiplied by 65536"
        return f"is silent (peak {self.peak:.1e} of full scale): {cause}"


def _check_length(frames: int, rate: int, shortest: float) -> None:
    if frames < shortest * rate:
        seconds = math.floor(1000 * frames / rate) / 1000  # never rounded up to what is needed
        raise ValueError(f"lasts {seconds:g} s, at least {shortest:g} s are needed")


def _resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    """Samples (T,) at `rate` Hz at 16 kHz; piece by piece, as the filter takes much memory.

    A piece has a margin of its neighbours, farther than the filter reaches.
    """
    if rate == SAMPLE_RATE or len(samples) == 0:
        return samples
    import torch
    from torchaudio.functional import resample

    divisor = math.gcd(rate, SAMPLE_RATE)
    step, out = rate // divisor, SAMPLE_RATE // divisor  # samples of the shortest common period
    margin = 16 * step * math.ceil(rate / SAMPLE_RATE)
    size, pieces = PIECE * rate // step * step, []
    for begin in range(0, max(1, len(samples) - margin), size):
        first = max(0, begin - margin)
        last = begin + size + margin >= len(samples)
        part = torch.from_numpy(samples[first : None if last else begin + size + margin])
        new = resample(part, rate, SAMPLE_RATE)[(begin - first) // step * out :]
        pieces.append(new if last else new[: size // step * out])
    return torch.cat(pieces).numpy()
