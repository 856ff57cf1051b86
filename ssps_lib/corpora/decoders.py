"""Audio files as blocks of samples: what name, header and content of a file say, reconciled.

The content decides how a file is decoded, whatever its name, and how long it is, whatever its
header: only where samples are missing that the header announces is a file truncated.
"""

import importlib.util
import io
import math
import mmap
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ssps_lib.corpora.corpus import SAMPLE_RATE
from ssps_lib.files import RefusedError

BLOCK = 2**18  # frames that are decoded at a time
ODDEST = 2000  # samples of the shortest period that a rate has in common with 16 kHz
WHOLE = 0.95  # share of what is announced from which on a file is whole
SLACK = 64  # bytes: some programs count their header, or a pad byte, to the samples
UNKNOWN = 0x7FFF0000  # a size from here on was written by a program that streamed
TRUNCATED = "is truncated: its end is missing, copy it again"
SIZES = re.compile(r"^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.M)
ENDLESS = 2**62  # frames from here on: libsndfile does not know how many there are


@dataclass
class Stream:
    """An open file: its rate in Hz, channels, frames if they are known, and their blocks (T, C)."""

    rate: int
    channels: int
    frames: int | None
    blocks: Iterator[np.ndarray]


def open_stream(path: Path) -> Stream:
    """A file whose blocks are decoded when they are asked for.

    Raises:
        ValueError: the reason, without the path; what only the samples tell, with the last block.
        RefusedError: AAC, and nothing here that decodes it.
    """
    try:
        if not path.is_file():
            raise ValueError("does not exist")
        if path.stat().st_size == 0:
            raise ValueError("is empty (0 bytes)")
        with (
            open(path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            others = _needs_others(content[:16])
            stream = _open_by_others(path) if others else _open_by_soundfile(path, content)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror or error})") from None
    rate = stream.rate
    if rate < 1 or max(rate, SAMPLE_RATE) > ODDEST * math.gcd(rate, SAMPLE_RATE):
        raise ValueError(  # a filter between such rates would fill the memory
            f"has a rate of {rate} Hz, one in use such as 8000, 44100 or 48000 was expected: its "
            "header is damaged"
        )
    return stream


def _needs_others(head: bytes) -> bool:
    """Whether a file is AAC (in MP4 or as it is), Matroska, ASF or AMR, which libsndfile lacks."""
    adts = head[0] == 0xFF and len(head) > 1 and head[1] & 0xF6 == 0xF0
    return adts or head[4:8] == b"ftyp" or head.startswith((b"\x1aE\xdf\xa3", b"0&\xb2u", b"#!AMR"))


class Forward(soundfile.SoundFile):
    """Read from begin to end, also where nothing can be sought (GSM, pipes)."""

    def seekable(self) -> bool:
        return False


def _open_by_soundfile(path: Path, content: mmap.mmap) -> Stream:
    if content[:4] == b"OggS":
        _check_pages(content)
    try:
        file = Forward(_repaired(path, content))
    except soundfile.SoundFileError as error:
        raise _damaged(path, error) from None
    announced = None if file.frames >= ENDLESS else file.frames
    if _is_cut(content[:4096], file.extra_info, file.frames):
        raise ValueError(TRUNCATED)

    def blocks() -> Iterator[np.ndarray]:
        count = 0
        try:
            with file:
                while len(frames := file.read(BLOCK, dtype="float32", always_2d=True)):
                    count += len(frames)
                    yield frames
        except soundfile.SoundFileError as error:
            raise _damaged(path, error) from None
        if announced is not None and count < WHOLE * announced:
            raise ValueError(TRUNCATED)

    return Stream(file.samplerate, file.channels, announced, blocks())


def _is_cut(head: bytes, log: str, frames: int) -> bool:
    """Whether samples are missing at the end, which libsndfile passes over.

    Its log of a header names the sizes that lie beyond the end of the file.
    """
    sizes = [(int(a), int(b)) for a, b in SIZES.findall(log)]
    if any(here + SLACK < announced < UNKNOWN for announced, here in sizes):
        return True
    sphere = re.search(rb"sample_count -i (\d+)", head) if head.startswith(b"NIST") else None
    return sphere is not None and frames < WHOLE * int(sphere[1])


def _check_pages(content: mmap.mmap) -> None:
    """ValueError where the last page of an Ogg file is cut; to say it is the last is optional.

    Of several streams that follow each other, libsndfile would read the first.
    """
    if (streams := len(re.findall(rb"OggS\0[\2\3\6\7]", content))) > 1:
        raise ValueError(f"holds {streams} streams one after the other: convert it to wav first")
    page = content[content.rfind(b"OggS") :]
    if len(page) <= 27 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]]):
        raise ValueError(TRUNCATED)


def _repaired(path: Path, content: mmap.mmap) -> Any:
    """What libsndfile reads to the end: the path, or the content in a way that it understands.

    A RIFF file may hold more samples than its header says. Of an MP3 file without a Xing frame, or
    with that of its first part alone, the length is a guess: from a pipe it is read to its end.
    """
    if content[:4] == b"RIFF" and (start := content.find(b"data", 0, 4096) + 8) > 8:
        announced, here = int.from_bytes(content[start - 4 : start], "little"), len(content) - start
        after = content[
            start + announced : start + announced + 4
        ]  # another chunk begins with its name
        if announced < WHOLE * here and not after.decode("latin-1").isalnum():
            size = min(here, 2**32 - 1).to_bytes(4, "little")
            return io.BytesIO(content[: start - 4] + size + content[start:])
    tagged = content[:3] == b"ID3"
    if tagged or (content[0] == 0xFF and content[1:2] >= b"\xe0"):
        sizes = zip(content[6:10], (21, 14, 7, 0), strict=False)  # seven bits a byte
        begin = 10 + sum((byte & 0x7F) << shift for byte, shift in sizes) if tagged else 0
        first = content[begin : begin + 200]
        xing = re.search(rb"(?:Xing|Info)...(.)....(....)", first, re.S)
        if xing is None and b"VBRI" not in first:
            return _pipe(content[:])
        told = xing and xing[1][0] & 3 == 3 and int.from_bytes(xing[2], "big")  # bytes
        if xing and told and told < WHOLE * (len(content) - begin):
            return _pipe(content[:].replace(xing[0][:4], bytes(4), 1))
    return path


def _pipe(content: bytes) -> int:
    """A file descriptor to read the content from, once and without seeking."""
    reader, writer = os.pipe()

    def write() -> None:
        with suppress(BrokenPipeError), os.fdopen(writer, "wb") as file:
            file.write(content)

    threading.Thread(target=write, daemon=True).start()
    return reader


def _damaged(path: Path, error: Exception) -> ValueError:
    reason = str(error).strip().rstrip(".").replace(str(path), "file").replace("\n", " ")
    return ValueError(f"cannot be read: damaged, or not audio ({reason})")


# -- what libsndfile cannot read ----------------------------------------------------------------


def has_pyav() -> bool:
    """Whether PyAV can be imported."""
    return importlib.util.find_spec("av") is not None


def _open_by_others(path: Path) -> Stream:
    if has_pyav():
        return _open_by_pyav(path)
    if shutil.which("ffmpeg"):
        return Stream(SAMPLE_RATE, 1, None, _blocks_by_ffmpeg(path))
    raise RefusedError(
        f"'{path}' is AAC or alike, which needs PyAV (pip install av) or the "
        "program ffmpeg, and neither is here"
    )


def _open_by_pyav(path: Path) -> Stream:
    import av

    try:
        container = av.open(str(path))
        stream = container.streams.audio[0]
    except (av.FFmpegError, IndexError) as error:
        raise _damaged(path, error) from None
    announced = float(stream.duration * stream.time_base) if stream.duration else 0.0

    def blocks() -> Iterator[np.ndarray]:
        count, to_float = 0, av.AudioResampler(format="fltp", frame_size=BLOCK)
        try:
            with container:
                for frame in chain(container.decode(stream), [None]):  # None: what is left inside
                    for part in to_float.resample(frame):
                        count += part.samples
                        yield part.to_ndarray().T
        except av.FFmpegError as error:
            raise _damaged(path, error) from None
        if count < WHOLE * announced * stream.rate:
            raise ValueError(TRUNCATED)

    return Stream(stream.rate, stream.channels, None, blocks())


def _blocks_by_ffmpeg(path: Path) -> Iterator[np.ndarray]:
    """The file as ffmpeg mixes and resamples it, mono at 16 kHz."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", str(path)]
    command += ["-f", "f32le", "-ac", "1", "-ar", str(SAMPLE_RATE), "-"]
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        text = done.stderr.decode(errors="replace").strip().splitlines() or ["ffmpeg failed"]
        raise _damaged(path, ValueError(text[-1]))
    yield np.frombuffer(done.stdout, np.float32)[:, None]
