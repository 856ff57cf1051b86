"""A tree in VoxCeleb's exact layout, made of tiny files, to rehearse with before the data is there.

The folders, names, formats and trial lists are VoxCeleb's, and the shares of its parts are roughly
so. The sounds are not: sixteen buzzes of 0.6 to 0.9 s stand for everybody. Book chapter 16.
"""

import base64
import hashlib
import io
from pathlib import Path

import numpy as np

from ssps_lib.corpora.corpus import SAMPLE_RATE
from ssps_lib.corpora.voxceleb import LISTS, TEST_SPEAKERS

SOUNDS = 16  # different ones among all files
UTTERANCES = 4  # of a video
PARTS = {  # share of the utterances, videos of a speaker, id of the first speaker
    "VoxCeleb2/dev/aac": (0.84, 8, 12),
    "VoxCeleb2/test/aac": (0.03, 4, 9_300),
    "VoxCeleb1/dev/wav": (0.10, 6, 10_310),
    "VoxCeleb1/test/wav": (0.03, 6, TEST_SPEAKERS[0]),
}
FEWEST = 6  # speakers of a part


def make_tree(root: Path, utterances: int, trials: int, compressed: bool = True) -> None:
    """Write the tree and the cleaned trial lists: `trials` on E and on H, a tenth of them on O.

    Args:
        root: a folder that does not exist yet.
        utterances: of all parts together, roughly; at least what six speakers of each part have.
        compressed: VoxCeleb2 as m4a, which needs PyAV, as it is distributed; otherwise as wav.
    """
    sounds = [_sound(number) for number in range(SOUNDS)]
    files = {"wav": [_wav(x) for x in sounds]}
    files["m4a"] = [_m4a(x) for x in sounds] if compressed else []
    named: dict[str, list[str]] = {}  # of VoxCeleb1, by speaker
    for part, (share, videos, first) in PARTS.items():
        extension = "m4a" if "aac" in part and compressed else "wav"
        speakers = max(FEWEST, round(share * utterances / videos / UTTERANCES))
        if first in TEST_SPEAKERS:
            speakers = min(speakers, len(TEST_SPEAKERS))
        for s in range(speakers):
            speaker = f"id{first + s:05d}"
            keys = _write_speaker(root / part, speaker, videos, files[extension], s, extension)
            if "VoxCeleb1" in part:
                named[speaker] = keys
    test = {name: keys for name, keys in named.items() if int(name[2:]) in TEST_SPEAKERS}
    for seed, kind in enumerate("OEH"):
        asked, count = (test, trials // 10) if kind == "O" else (named, trials)
        _write_trials(root / LISTS[kind][0], asked, count, seed)


def _sound(number: int) -> np.ndarray:
    """Samples (T,) of a buzz in noise."""
    rng = np.random.default_rng(number)
    time = np.arange(int(SAMPLE_RATE * rng.uniform(0.6, 0.9))) / SAMPLE_RATE
    pitch = 90 + 20 * number
    tones = sum(np.sin(2 * np.pi * k * pitch * time) / k for k in range(1, 9))
    return (0.1 * tones + 0.02 * rng.standard_normal(len(time))).astype(np.float32)


def _wav(samples: np.ndarray) -> bytes:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _m4a(samples: np.ndarray) -> bytes:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return file.getvalue()


def _write_speaker(
    folder: Path, speaker: str, videos: int, files: list[bytes], shift: int, extension: str
) -> list[str]:
    """Write one speaker's files; returns their names as trial lists have them."""
    keys = []
    for v in range(videos):
        digest = hashlib.sha256(f"{speaker} {v}".encode()).digest()
        video = base64.urlsafe_b64encode(digest)[:11].decode()  # as the names of videos look
        (folder / speaker / video).mkdir(parents=True)
        for u in range(1, UTTERANCES + 1):
            content = files[(shift * 7 + v + u) % SOUNDS]
            (folder / speaker / video / f"{u:05d}.{extension}").write_bytes(content)
            keys.append(f"{speaker}/{video}/{u:05d}.wav")
    return keys


def _write_trials(file: Path, named: dict[str, list[str]], count: int, seed: int) -> None:
    """Write `count` random trials, half of them of one speaker."""
    rng = np.random.default_rng(seed)
    speakers = list(named)
    lines = []
    for t, (a, step, i, j) in enumerate(rng.integers(0, 2**31, (count, 4))):
        target = t % 2
        other = a if target else a + 1 + step % (len(speakers) - 1)
        first, second = (named[speakers[speaker % len(speakers)]] for speaker in (a, other))
        shift = 1 + j % (len(second) - 1) if target else j
        lines.append(f"{target} {first[i % len(first)]} {second[(i + shift) % len(second)]}\n")
    file.write_text("".join(lines))
