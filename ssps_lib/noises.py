"""Noises and rooms for augmentation: of folders such as MUSAN, or made without any download.

MUSAN is recognised by its folders `speech`, `music` and `noise`, the room responses by
`simulated_rirs` or `rir`, each at the top of a given folder or one level below. What is absent is
generated: rooms as decaying noise, coloured noise, chords, and babble of training utterances.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from ssps_lib.augmentation import SNR_DB, Bank, read_bank, write_bank
from ssps_lib.corpora.audio import read_audio
from ssps_lib.corpora.corpus import SAMPLE_RATE, Corpus
from ssps_lib.corpora.faults import listed
from ssps_lib.corpora.packer import in_order
from ssps_lib.corpora.walker import walk

ROOMS = ("simulated_rirs", "rir")
RESPONSE = 1.0  # seconds of a response that are kept
GENERATED = {"sounds": 64, "rooms": 200}  # of each kind that no folder holds


def generated_bank(
    corpus: Corpus, seed: int = 0, size: int = 64, seconds: float = 8.0, rooms: int = 200
) -> Bank:
    """A bank without any download: rooms, noises and chords from noise, babble from the corpus.

    Args:
        corpus: training utterances; two to five of them are summed for each piece of babble.
        size: number of sounds of each kind.
        seconds: duration of each sound.
        rooms: number of impulse responses (0.5 s each).
    """
    rng = np.random.default_rng([seed, 77])
    samples = int(seconds * SAMPLE_RATE)
    sounds = {kind: _made(kind, size, rng, corpus, samples) for kind in SNR_DB}
    return _joined(sounds, _made("rooms", rooms, rng, corpus))


def folder_bank(
    folders: Sequence[Path],
    corpus: Corpus,
    seconds: float = 8.0,
    most: int | None = None,
) -> Bank:
    """A bank of the noises and rooms in some folders.

    Sounds are cut into pieces without their rest, as published; a shorter one is repeated.

    Args:
        folders: MUSAN, RIRS_NOISES, folders above them, or folders laid out like them.
        corpus: training utterances, of which babble is made where no folder holds speech.
        seconds: duration of each piece.
        most: at most so many pieces of each kind and so many rooms, evenly spaced among all.

    Raises:
        ValueError: a folder that is missing or holds neither; all files that cannot be read.
    """
    found = {kind: spaced(paths, most) for kind, paths in _recognised(folders).items()}
    rng = np.random.default_rng([0, 78])
    samples = round(seconds * SAMPLE_RATE)
    sounds = {
        kind: _pieces(_read_all(found[kind]), samples, most)
        if found[kind]
        else _made(kind, GENERATED["sounds"], rng, corpus, samples)
        for kind in SNR_DB
    }
    if not found["rooms"]:
        return _joined(sounds, _made("rooms", GENERATED["rooms"], rng, corpus))
    return _joined(sounds, _responses(_read_all(found["rooms"])))


def cached_bank(corpus: Corpus, file: Path) -> Bank:
    """`generated_bank(corpus)`, read from `file` where it was made before."""
    if not file.exists():
        write_bank(generated_bank(corpus), file)
    return read_bank(file)


def _joined(sounds: dict[str, np.ndarray], responses: np.ndarray) -> Bank:
    """Sounds (M_kind, T) of each kind and responses (R, L) as a bank."""
    edges = np.cumsum([0, *(len(sounds[kind]) for kind in SNR_DB)]).tolist()
    noises = torch.from_numpy(np.concatenate([sounds[kind] for kind in SNR_DB])).half()
    kinds = dict(zip(SNR_DB, pairwise(edges), strict=True))
    return Bank(torch.from_numpy(responses), noises, kinds)


def _recognised(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """The files of each kind of noise, and of "rooms"."""
    names = {**{kind: (kind,) for kind in SNR_DB}, "rooms": ROOMS}
    found: dict[str, list[Path]] = {kind: [] for kind in names}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise ValueError(f"noises '{folder}' are not an existing folder: check the path")
        below = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
        before = sum(map(len, found.values()))
        for kind in names:
            roots = [path / name for path in below for name in names[kind]]
            found[kind] += [x / file for x in roots if x.is_dir() for file in walk(x).files]
        if sum(map(len, found.values())) == before:
            raise ValueError(
                f"'{folder}' holds no audio in {', '.join((*SNR_DB, *ROOMS))}: give the folder of "
                "MUSAN or of the room impulse responses"
            )
    return found


def _read_all(files: Sequence[Path]) -> list[np.ndarray]:
    """Samples (T,) of each file, half precision; ValueError with all files that are faulty."""

    def read(file: Path) -> np.ndarray | str:
        try:
            return read_audio(file, shortest=0.01, speech=False).astype(np.float16)
        except ValueError as error:
            return f"{file}: {error}"

    sounds = list(in_order(read, files))
    faults = [sound for sound in sounds if isinstance(sound, str)]
    if faults:
        raise ValueError(f"{len(faults)} noises or rooms are faulty:\n{listed(faults)}")
    return sounds


def spaced(items: Sequence, most: int | None) -> list:
    """At most `most` of the items, evenly spaced.

    >>> spaced("abcdefg", 3), spaced("ab", 3), spaced("ab", None)
    (['a', 'd', 'g'], ['a', 'b'], ['a', 'b'])
    """
    if most is None or len(items) <= most:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]


def _pieces(sounds: list[np.ndarray], samples: int, most: int | None) -> np.ndarray:
    """Pieces (M, samples) of the sounds."""
    pieces = [
        sound[begin : begin + samples]
        for sound in sounds
        for begin in range(0, max(len(sound) - samples, 0) + 1, samples)
    ]
    return np.stack([np.resize(piece, samples) for piece in spaced(pieces, most)])


def _responses(rooms: list[np.ndarray]) -> np.ndarray:
    """Responses (R, L) of unit energy, cut or filled with silence to the longest."""
    size = min(max(map(len, rooms)), round(RESPONSE * SAMPLE_RATE))
    out = np.zeros((len(rooms), size), np.float16)
    for row, room in zip(out, rooms, strict=True):
        part = room[:size].astype(np.float32)
        row[: len(part)] = part / max(np.linalg.norm(part), 1e-9)
    return out


# -- what is generated -------------------------------------------------------------------------


def _unit(x: np.ndarray) -> np.ndarray:
    return (0.1 * x / max(np.sqrt(np.mean(x**2)), 1e-9)).astype(np.float32)


def _room(rng: np.random.Generator, corpus: Corpus, samples: int = 8000) -> np.ndarray:
    time = np.arange(samples) / SAMPLE_RATE
    decay = rng.uniform(0.08, 0.8)  # seconds to -60 dB
    tail = rng.standard_normal(samples) * 10 ** (-3 * time / decay)
    tail[: rng.integers(10, 120)] = 0
    tail *= 10 ** (-rng.uniform(-2, 12) / 20) / np.linalg.norm(tail)
    tail[0] += 1
    return (tail / np.linalg.norm(tail)).astype(np.float32)


def _coloured(rng: np.random.Generator, corpus: Corpus, samples: int) -> np.ndarray:
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.linspace(0, SAMPLE_RATE / 2, len(spectrum))
    level_db = rng.uniform(-9, 1) * np.log2(np.maximum(frequency, 60) / 1000)
    for _ in range(3):
        centre, width = rng.uniform(100, 7000), rng.uniform(100, 1200)
        level_db += rng.uniform(0, 12) * np.exp(-0.5 * ((frequency - centre) / width) ** 2)
    sound = np.fft.irfft(spectrum * 10 ** (level_db / 20), samples)
    knots = rng.standard_normal(int(3 * samples / SAMPLE_RATE) + 2)
    sway = np.interp(np.arange(samples), np.linspace(0, samples, len(knots)), knots)
    return _unit(sound * (1 + rng.uniform(0, 0.9) * np.tanh(sway)))


def _chords(rng: np.random.Generator, corpus: Corpus, samples: int) -> np.ndarray:
    time = np.arange(samples) / SAMPLE_RATE
    out = np.zeros(samples)
    beat = rng.uniform(0.2, 0.8)
    for start in np.arange(0, time[-1], beat):
        span = slice(int(start * SAMPLE_RATE), min(samples, int((start + beat) * SAMPLE_RATE)))
        local = time[span] - start
        for note in rng.integers(36, 84, 3):
            base = 440 * 2 ** ((note - 69) / 12)
            for harmonic in range(1, 5):
                out[span] += (
                    np.sin(2 * np.pi * base * harmonic * local + rng.uniform(0, 6))
                    * np.exp(-local / beat)
                    / harmonic
                )
    return _unit(out)


def _babble(rng: np.random.Generator, corpus: Corpus, samples: int) -> np.ndarray:
    chosen = rng.integers(0, len(corpus), rng.integers(2, 6))
    return _unit(sum(np.resize(_unit(corpus.audio(i).astype(np.float32)), samples) for i in chosen))


MAKERS = {"speech": _babble, "music": _chords, "noise": _coloured, "rooms": _room}


def _made(kind: str, count: int, *arguments) -> np.ndarray:
    """So many sounds of a kind, (count, T) at one level, or responses of unit energy."""
    return np.stack([MAKERS[kind](*arguments) for _ in range(count)])
