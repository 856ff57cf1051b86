"""Audio files as utterances to embed, a few minutes of them in memory at a time."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssps_lib import scorer
from ssps_lib.corpora import SAMPLE_RATE, Corpus
from ssps_lib.corpora.audio import read_audio, to_int16
from ssps_lib.corpora.faults import listed
from ssps_lib.corpora.walk import EXTENSIONS, walk
from ssps_lib.encoders import Encoder

MINUTES = 20.0  # of audio that are held at a time: 38 MB


def audio_files(places: Iterable[Path]) -> list[Path]:
    """The files named, and all audio files below the folders named, each once.

    Raises:
        ValueError: a place that does not exist, or a folder without audio.
    """
    found: dict[Path, None] = {}
    for place in places:
        if not place.exists():
            raise ValueError(f"'{place}' does not exist: check the path")
        inside = [place]
        if place.is_dir():
            inside = [place / file for file in walk(place).files]
        if not inside:
            raise ValueError(f"'{place}' holds no audio file: expected {', '.join(EXTENSIONS)}")
        found |= dict.fromkeys(inside)
    return list(found)


def embed_files(
    encoder: Encoder, files: Sequence[Path], device: str = "cpu", minutes: float = MINUTES
) -> Tensor:
    """Representations of whole files, (N, D) float32 on the CPU, in the order of the files.

    Args:
        encoder: on `device`.
        minutes: of audio that are read before they are embedded.

    Raises:
        ValueError: all files that cannot be read, each with the reason.
    """
    parts = [scorer.embed(encoder, block, device).cpu() for block in _blocks(files, minutes)]
    return torch.cat(parts)


def _blocks(files: Sequence[Path], minutes: float) -> Iterator[Corpus]:
    """Corpora of successive files; once a file is faulty the others are only checked."""
    faults, keys, samples = [], [], []
    for file in files:
        try:
            audio = to_int16(read_audio(file))
        except ValueError as error:
            faults.append(f"'{file}' {error}")
            continue
        if faults:
            continue
        keys.append(str(file))
        samples.append(audio)
        if sum(map(len, samples)) >= minutes * 60 * SAMPLE_RATE:
            yield _corpus(keys, samples)
            keys, samples = [], []
    if faults:
        many = f"{len(faults)} files:\n" if len(faults) > 1 else ""
        raise ValueError(many + listed(faults) if many else faults[0])
    if keys:
        yield _corpus(keys, samples)


def _corpus(keys: list[str], samples: list[np.ndarray]) -> Corpus:
    offsets = np.cumsum([0, *map(len, samples)])
    own = np.arange(len(keys))  # nothing is known of speakers and recordings
    return Corpus("files", np.concatenate(samples), offsets, own, own, np.array(keys))
