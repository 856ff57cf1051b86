"""Audio files (wav, flac, ogg, mp3) as the samples of a corpus: 16 kHz, mono, int16."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ssps_lib.corpora.corpus import SAMPLE_RATE

EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3")
SHORTEST = 0.5  # seconds
UNKNOWN_SIZE = 0x7FFF0000  # a RIFF size from here on was written by a program that streamed


@dataclass
class Audio:
    """Samples (T,) float32 in [-1, 1] at 16 kHz, and what the file held before."""

    samples: np.ndarray
    rate: int  # Hz
    channels: int


def read_audio(path: Path) -> Audio:
    """Decode a whole file, mix its channels down and resample it to 16 kHz.

    Raises:
        ValueError: the file is missing, empty, unreadable, truncated, shorter than half a second,
            or holds samples that are not finite; the message is the reason without the path.
    """
    import soundfile

    if not path.is_file():
        raise ValueError("does not exist")
    if path.stat().st_size == 0:
        raise ValueError("is empty (0 bytes)")
    truncated = ValueError("is truncated: its end is missing, copy it again")
    if is_truncated(path):
        raise truncated
    try:
        with soundfile.SoundFile(path) as file:
            rate, announced = file.samplerate, file.frames
            frames = file.read(dtype="float32", always_2d=True)  # (T, channels)
    except (soundfile.SoundFileError, OSError) as error:
        reason = str(error).strip().rstrip(".").replace(str(path), "file").replace("\n", " ")
        raise ValueError(f"cannot be read: damaged, or not audio ({reason})") from None
    if len(frames) < 0.95 * announced:
        raise truncated
    if len(frames) < SHORTEST * rate:
        raise ValueError(f"lasts {len(frames) / rate:.2f} s, at least {SHORTEST} s are needed")
    if not np.isfinite(frames).all():
        raise ValueError("holds samples that are not finite numbers")
    return Audio(resample(frames.mean(1), rate), rate, frames.shape[1])


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """Samples (T,) at `rate` Hz -> samples at 16 kHz, float32."""
    if rate == SAMPLE_RATE:
        return samples
    from torchaudio.functional import resample as change_rate

    return change_rate(torch.from_numpy(samples), rate, SAMPLE_RATE).numpy()


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Samples in [-1, 1] -> int16, clipped; 16-bit files keep their very samples."""
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)


def is_truncated(path: Path) -> bool:
    """Whether a RIFF or Ogg file ends before its own structure says.

    Decoders accept such files silently: they return what there is.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF":
            announced = int.from_bytes(head[4:8], "little")
            return size < announced + 8 and announced < UNKNOWN_SIZE
        if head[:4] != b"OggS":
            return False
        file.seek(max(0, size - 2**17))  # more than a page, of at most 65,307 bytes
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    lacing = page[27 : 27 + page[26]] if len(page) > 27 else b""
    complete = len(page) > 27 and len(page) >= 27 + len(lacing) + sum(lacing)
    return not (complete and page[5] & 4)  # 4: the last page of the stream
