"""Noises and rooms from folders: MUSAN and the simulated room impulse responses, or what is alike.

MUSAN is recognised by its folders `speech`, `music` and `noise`, the responses by `simulated_rirs`
or `rir`, each at the top of a given folder or one level below. What is absent is generated, as in
`augmentation.generated_bank`.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ssps_lib.augmentation import (
    SNR_DB,
    Bank,
    generated_rooms,
    generated_sounds,
    joined_bank,
)
from ssps_lib.corpora.audio import read_audio
from ssps_lib.corpora.corpus import SAMPLE_RATE, Corpus
from ssps_lib.corpora.faults import listed
from ssps_lib.corpora.walk import walk

ROOMS = ("simulated_rirs", "rir")
RESPONSE = 1.0  # seconds of a response that are kept
GENERATED = {"sounds": 64, "rooms": 200}  # of each kind that no folder holds


def folder_bank(
    folders: Sequence[Path],
    corpus: Corpus,
    seconds: float = 8.0,
    most: int | None = None,
    seed: int = 0,
) -> Bank:
    """A bank of the noises and rooms in some folders.

    Sounds are cut into pieces without their rest, as published; a shorter one is repeated.

    Args:
        folders: MUSAN, RIRS_NOISES, folders above them, or folders laid out like them.
        corpus: training utterances, of which babble is made where no folder holds speech.
        seconds: duration of each piece.
        most: at most so many pieces of each kind and so many rooms, evenly spaced among all.
        seed: of what is generated.

    Raises:
        ValueError: a folder that is missing or holds neither; all files that cannot be read.
    """
    found = _recognised(folders)
    rng = np.random.default_rng([seed, 78])
    samples = round(seconds * SAMPLE_RATE)
    sounds = {
        kind: _pieces(_read_all(spaced(found[kind], most)), samples, most)
        if found[kind]
        else generated_sounds(rng, kind, corpus, GENERATED["sounds"], samples)
        for kind in SNR_DB
    }
    if not found["rooms"]:
        return joined_bank(generated_rooms(rng, GENERATED["rooms"]), sounds)
    return joined_bank(_responses(_read_all(spaced(found["rooms"], most))), sounds)


def _recognised(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """The files of each kind of noise, and of "rooms"."""
    found: dict[str, list[Path]] = {kind: [] for kind in (*SNR_DB, "rooms")}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise ValueError(f"noises '{folder}' are not an existing folder: check the path")
        below = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
        before = sum(map(len, found.values()))
        for kind, names in {**{kind: (kind,) for kind in SNR_DB}, "rooms": ROOMS}.items():
            roots = [path / name for path in below for name in names if (path / name).is_dir()]
            found[kind] += [root / file for root in roots for file in walk(root).files]
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

    with ThreadPoolExecutor(4) as pool:
        sounds = list(pool.map(read, files))
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
