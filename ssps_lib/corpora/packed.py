"""Packed corpora: int16 samples in one file or in shards, opened without reading the audio.

A packed folder holds `corpus.json`, `keys.npy`, `lengths.npy` and the samples: `audio.int16`, or
`shards/00000.int16`, ... with their checksums. What `packer` wrote also knows its labels, splits
and trial lists, so that nothing has to be looked up elsewhere.
"""

import json
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ssps_lib.corpora.corpus import Corpus, labels
from ssps_lib.corpora.shards import Shards

CHUNK = 2**22  # bytes that a checksum reads at a time


def is_packed(folder: Path) -> bool:
    """Whether the folder is a packed corpus."""
    return (Path(folder) / "corpus.json").is_file()


def write_packed(
    folder: Path, name: str, batches: Iterable[Iterable[np.ndarray]], keys: list[str]
) -> Corpus:
    """Write utterances (batches of int16 arrays, in the order of `keys`) as one packed file.

    The folder appears under its name only when it is complete, so an interrupted or failed write
    leaves nothing that could be mistaken for a corpus.
    """
    folder = Path(folder)
    if not keys or len(set(keys)) != len(keys) or any(key.count("/") < 2 for key in keys):
        raise ValueError(
            f"the {len(keys)} keys of '{name}' must be different names "
            "<speaker>/<recording>/<utterance>, at least one"
        )
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        lengths = write_samples(partial / "audio.int16", (x for batch in batches for x in batch))
        if len(lengths) != len(keys):
            raise ValueError(f"{len(lengths)} utterances were given for {len(keys)} keys")
        write_index(partial, name, keys, lengths)
        move_finished(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return read_packed(folder)


def write_samples(path: Path, utterances: Iterable[np.ndarray]) -> list[int]:
    """Write utterances one after the other; returns their lengths in samples."""
    lengths = []
    with open(path, "wb") as file:
        for audio in utterances:
            if audio.ndim != 1 or audio.dtype != np.int16:
                raise ValueError(
                    f"samples are {audio.dtype} of shape {audio.shape}, expected int16 of shape "
                    "(T,): use to_int16"
                )
            lengths.append(len(audio))
            file.write(np.ascontiguousarray(audio).tobytes())
    return lengths


def write_index(folder: Path, name: str, keys: list[str], lengths: list[int], **more) -> None:
    """Write names and lengths of a packed folder; `more` is added to its `corpus.json`."""
    np.save(folder / "lengths.npy", np.asarray(lengths, np.int64))
    np.save(folder / "keys.npy", np.asarray(keys, np.str_))
    values = {"name": name, "utterances": len(keys), **more}
    (folder / "corpus.json").write_text(json.dumps(values))


def move_finished(partial: Path, folder: Path) -> None:
    """Give a complete folder its name, unless another process was faster."""
    try:
        partial.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        shutil.rmtree(partial, ignore_errors=True)


def read_packed(folder: Path) -> Corpus:
    """Open a packed corpus without reading its audio.

    Where the folder stores no labels, they follow from the keys.

    Raises:
        ValueError: no packed corpus; files that are missing or damaged; samples of another size
            than was written.
    """
    folder = Path(folder)
    read_info(folder)
    try:
        return _read_packed(folder)
    except (OSError, EOFError) as error:
        raise ValueError(
            f"'{folder}' is damaged ({error}): delete the folder and pack the corpus again"
        ) from error


def _read_packed(folder: Path) -> Corpus:
    keys = np.load(folder / "keys.npy", mmap_mode="r")
    offsets = np.concatenate([[0], np.cumsum(np.load(folder / "lengths.npy"))])
    files = sample_files(folder)
    found, expected = sum(file.stat().st_size for file, _ in files), 2 * offsets[-1]
    if found != expected:
        what = files[0][0] if len(files) == 1 else folder / "shards"
        raise ValueError(
            f"{what} has {found} bytes, {expected} were expected: "
            "a file was truncated; delete the folder and pack the corpus again"
        )
    maps = [np.memmap(file, np.int16, "r") for file, _ in files]
    samples = maps[0] if len(maps) == 1 else Shards(maps)
    if (folder / "labels.npy").exists():
        speakers, recordings = np.load(folder / "labels.npy")
    else:
        speakers = labels(key.split("/")[0] for key in keys)
        recordings = labels("/".join(key.split("/")[:2]) for key in keys)
    return Corpus(read_info(folder)["name"], samples, offsets, speakers, recordings, keys)


def read_info(folder: Path) -> dict:
    """What `corpus.json` says of a packed folder.

    Raises:
        ValueError: it is not there, or damaged.
    """
    file = Path(folder) / "corpus.json"
    if not file.is_file():
        raise ValueError(
            f"'{folder}' is not a packed corpus: it has no corpus.json; check the path, or pack it"
        )
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"'{file}' is damaged ({error}): pack the corpus again") from None


def sample_files(folder: Path) -> list[tuple[Path, int | None]]:
    """The files of samples of a packed folder, in order, with the checksums of shards."""
    shards = read_info(folder).get("shards")
    if shards is None:
        return [(folder / "audio.int16", None)]
    return [(folder / "shards" / name, checksum) for name, checksum in shards]


def verify(folder: Path) -> Iterator[str]:
    """Read all samples of a packed folder; yields one text for each damaged file."""
    for file, expected in sample_files(Path(folder)):
        if not file.is_file():
            yield f"{file}: is missing; pack the corpus again"
        elif expected is not None and checksum_of(file) != expected:
            yield f"{file}: differs from what was written (checksum); pack the corpus again"


def checksum_of(file: Path) -> int:
    """CRC-32 of a file."""
    value = 0
    with open(file, "rb") as stream:
        while chunk := stream.read(CHUNK):
            value = zlib.crc32(chunk, value)
    return value
