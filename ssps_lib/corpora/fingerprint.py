"""What a folder of audio contains, as a few digits that no path, time or machine changes."""

import hashlib
import os
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from ssps_lib import files
from ssps_lib.corpora.packed import is_packed, read_info
from ssps_lib.corpora.packer import in_order
from ssps_lib.corpora.walker import walk

KEPT = 2**30  # bytes from which on the digits of a folder are noted on the disk


def locate(name: str | Path) -> Path | None:
    """The folder that `open_corpus` reads for a path or a name; None where there is none."""
    if not isinstance(name, (str, Path)):
        raise ValueError(f"corpus is {name!r}, expected a name or a path as text")
    places = (Path(name), files.home() / "corpora" / name)
    return next((place for place in places if str(name) and place.is_dir()), None)


def identity(corpus: str | Path, noises: str | Path | Sequence[str | Path] | None = None) -> str:
    """Twelve hexadecimal digits of all that a corpus and its noises contain.

    They count names, lists and bytes of audio. A packed corpus has those of the folder that it was
    packed from.

    Args:
        corpus: as `open_corpus` takes it; "simulated" and no noises give "", as the proportions
            tell everything.
        noises: "made" or None where they are generated, "bank" for the one in the packed folder;
            or else a bank file, a folder, or several.

    Raises:
        ValueError: the corpus or the noises are not here.
    """
    folder = None if corpus == "simulated" else _folder_of(corpus)
    parts = []
    if folder is not None:
        source = read_info(folder).get("source") if is_packed(folder) else None
        parts.append(source or content_of(folder))
        if noises == "bank":
            noises = folder / "bank.safetensors"
    if noises not in (None, "made"):
        several = [noises] if isinstance(noises, (str, Path)) else noises
        parts += [content_of(Path(place)) for place in several or ()]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12] if parts else ""


def _folder_of(corpus: str | Path) -> Path:
    folder = locate(corpus)
    if folder is None and corpus == "librispeech":
        folder = files.home() / "downloads" / "LibriSpeech"
    if folder is None or not folder.is_dir():
        raise ValueError(f"corpus '{corpus}' is not here: its content cannot be told")
    return folder


def content_of(place: Path) -> str:
    """Digits of a file, or of the audio and the lists in a folder with their names.

    Raises:
        ValueError: there is no such file or folder.
    """
    names = [""]
    if not place.is_file():
        found = walk(place)
        lists = (".csv", ".txt") if not is_packed(place) else (".npy", ".json", ".int16")
        names = found.files + [file for file in found.passed_over if file.endswith(lists)]
    stats = [os.stat(place / name) for name in sorted(names)]
    seen = [(s.st_size, s.st_mtime_ns) for s in stats]
    return _content(place.absolute(), tuple(zip(sorted(names), seen, strict=True)))


@lru_cache(maxsize=32)
def _content(place: Path, seen: tuple) -> str:
    """`content_of`, once for each state of the files and, where these are many, on the disk."""
    state = hashlib.sha256(repr((place, seen)).encode()).hexdigest()[:24]
    note = files.home() / "identities" / state
    if note.is_file():
        return note.read_text()
    names = [name for name, _ in seen]
    sums = in_order(_checksum, [place / name for name in names])
    rows = [f"{name} {value}\n" for name, value in zip(names, sums, strict=True)]
    value = hashlib.sha256("".join(rows).encode()).hexdigest()[:24]
    if sum(size for _, (size, _) in seen) >= KEPT:
        with files.whole(note) as partial:
            partial.write_text(value)
    return value


def _checksum(file: Path) -> int:
    value = 0
    with open(file, "rb") as stream:
        while chunk := stream.read(2**20):
            value = zlib.crc32(chunk, value)
    return value
