"""Audio files (wav, flac, ogg, mp3, m4a) as the samples of a corpus: 16 kHz, mono, int16."""

import importlib.util
import math
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssps_lib.corpora.corpus import SAMPLE_RATE

AAC = (".m4a", ".aac", ".mp4")  # VoxCeleb2 is distributed as m4a
EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3", *AAC)
SHORTEST = 0.5  # seconds
UNKNOWN_SIZE = 0x7FFF0000  # a RIFF size from here on was written by a program that streamed
ODDEST = 2000  # samples of the shortest period that a rate has in common with 16 kHz
WHOLE = 0.95  # share of the announced samples below which a file counts as truncated
TRUNCATED = "is truncated: its end is missing, copy it again"


@dataclass
class Audio:
    """Samples (T,) float32 in [-1, 1] at 16 kHz, and what the file held before."""

    samples: np.ndarray
    rate: int  # Hz
    channels: int


def read_audio(path: Path, shortest: float = SHORTEST) -> Audio:
    """Decode a whole file, mix its channels down and resample it to 16 kHz.

    Raises:
        ValueError: the file is missing, empty, unreadable, truncated, shorter than `shortest`
            seconds, or holds samples that are not finite; the message is the reason without the
            path.
    """
    try:
        _check_file(path)
        frames, rate = decode_aac(path) if path.suffix.lower() in AAC else _decode(path)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror or error})") from None
    _check_rate(rate)
    if len(frames) < shortest * rate:
        raise ValueError(f"lasts {len(frames) / rate:.2f} s, at least {shortest} s are needed")
    if not np.isfinite(frames).all():
        raise ValueError("holds samples that are not finite numbers")
    return Audio(resample(frames.mean(1), rate), rate, frames.shape[1])


def peek(path: Path) -> tuple[int, int]:
    """Rate in Hz and channels that the header of a file announces; its samples are not decoded.

    Raises:
        ValueError: as `read_audio`, as far as a header tells. Of AAC, only its first bytes are
            looked at, and it counts as 16 kHz mono.
    """
    import soundfile

    try:
        _check_file(path)
        if path.suffix.lower() in AAC:
            with open(path, "rb") as file:
                head = file.read(8)
            if path.suffix.lower() != ".aac" and head[4:] != b"ftyp":
                raise ValueError("cannot be read: damaged, or not audio (no 'ftyp' at its start)")
            return SAMPLE_RATE, 1
        info = soundfile.info(str(path))
    except soundfile.SoundFileError as error:
        raise _damaged(path, error) from None
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror or error})") from None
    _check_rate(info.samplerate)
    if info.duration < SHORTEST:
        raise ValueError(f"lasts {info.duration:.2f} s, at least {SHORTEST} s are needed")
    return info.samplerate, info.channels


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise ValueError("does not exist")
    if path.stat().st_size == 0:
        raise ValueError("is empty (0 bytes)")
    if is_truncated(path):
        raise ValueError(TRUNCATED)


def _check_rate(rate: int) -> None:
    """Rates in use share many factors with 16 kHz; a filter for others would fill the memory."""
    if rate < 1 or max(rate, SAMPLE_RATE) > ODDEST * math.gcd(rate, SAMPLE_RATE):
        raise ValueError(
            f"has a rate of {rate} Hz, one in use such as 8000, 44100 or 48000 was expected: its "
            "header is damaged"
        )


def _damaged(path: Path, error: Exception) -> ValueError:
    reason = str(error).strip().rstrip(".").replace(str(path), "file").replace("\n", " ")
    return ValueError(f"cannot be read: damaged, or not audio ({reason})")


def _decode(path: Path) -> tuple[np.ndarray, int]:
    """Frames (T, channels) float32 and their rate in Hz, by soundfile."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            rate, announced = file.samplerate, file.frames
            frames = file.read(dtype="float32", always_2d=True)  # (T, channels)
    except soundfile.SoundFileError as error:
        raise _damaged(path, error) from None
    if len(frames) < WHOLE * announced:
        raise ValueError(TRUNCATED)
    return frames, rate


def require_decoders(files: Iterable[str]) -> None:
    """ValueError where some of the files are AAC and nothing here decodes that."""
    some = next((file for file in files if file.lower().endswith(AAC)), None)
    if some is not None and not (has_pyav() or shutil.which("ffmpeg")):
        raise ValueError(
            f"'{some}' is AAC, which needs PyAV (pip install 'ssps_lib[voxceleb]') or the program "
            "ffmpeg, and neither is here"
        )


def has_pyav() -> bool:
    """Whether PyAV can be imported."""
    return importlib.util.find_spec("av") is not None


def decode_aac(path: Path) -> tuple[np.ndarray, int]:
    """Frames (T, channels) float32 of an m4a or aac file and their rate, by PyAV or ffmpeg.

    ffmpeg mixes and resamples itself, so that its frames are always mono at 16 kHz.
    """
    return _decode_by_pyav(path) if has_pyav() else _decode_by_ffmpeg(path)


def _decode_by_pyav(path: Path) -> tuple[np.ndarray, int]:
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            rate = stream.rate
            announced = float(stream.duration * stream.time_base) if stream.duration else 0.0
            to_float = av.AudioResampler(format="fltp")
            parts = [
                part.to_ndarray()
                for frame in [*container.decode(stream), None]  # None: what is left inside
                for part in to_float.resample(frame)
            ]
    except (av.FFmpegError, IndexError) as error:
        raise _damaged(path, error) from None
    frames = np.concatenate(parts, axis=1).T if parts else np.empty((0, 1), np.float32)
    if len(frames) < WHOLE * announced * rate:
        raise ValueError(TRUNCATED)
    return frames, rate


def _decode_by_ffmpeg(path: Path) -> tuple[np.ndarray, int]:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", str(path)]
    command += ["-f", "f32le", "-ac", "1", "-ar", str(SAMPLE_RATE), "-"]
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        text = done.stderr.decode(errors="replace").strip().splitlines() or ["ffmpeg failed"]
        raise _damaged(path, ValueError(text[-1]))
    return np.frombuffer(done.stdout, np.float32)[:, None], SAMPLE_RATE


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """Samples (T,) at `rate` Hz -> samples at 16 kHz, float32."""
    if rate == SAMPLE_RATE:
        return samples
    import torch
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
