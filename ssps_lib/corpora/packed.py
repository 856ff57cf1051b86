"""Packed corpora: int16 samples in one file or in shards, opened without reading the audio.

A packed folder holds `corpus.json`, `keys.npy`, `lengths.npy`, `labels.npy`, `checksums.npy` and
the samples: `audio.int16`, or `shards/00000.int16`, ... What `packer` wrote also knows its splits
and trial lists (`trials/*.npy`), so that nothing has to be looked up elsewhere.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ssps_lib.corpora.corpus import Corpus, Shards, Splits, checksum, labels
from ssps_lib.corpora.splits import make_splits
from ssps_lib.corpora.table import DEV

AGAIN = "delete the folder and pack the corpus again"


def is_packed(folder: Path) -> bool:
    """Whether the folder is a packed corpus."""
    return (Path(folder) / "corpus.json").is_file()


def write_packed(
    folder: Path, name: str, batches: Iterable[Iterable[np.ndarray]], keys: list[str]
) -> Corpus:
    """Write utterances (batches of int16 arrays, in the order of `keys`) as one packed file.

    The folder appears under its name only when it is complete, so an interrupted or failed write
    leaves nothing that could be mistaken for a corpus.

    Raises:
        ValueError: not one utterance, in int16, for each key.
    """
    folder = Path(folder)
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        utterances = (x for batch in batches for x in batch)
        lengths, checksums = write_samples(partial / "audio.int16", utterances)
        if len(lengths) != len(keys):
            raise ValueError(f"{len(lengths)} utterances were given for {len(keys)} keys")
        write_index(partial, name, keys, lengths, checksums)
        move_finished(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return read_packed(folder)


def write_samples(path: Path, utterances: Iterable[np.ndarray]) -> tuple[list[int], list[int]]:
    """Write utterances one after the other; returns lengths in samples, and checksums."""
    lengths, checksums = [], []
    with open(path, "wb") as file:
        for audio in utterances:
            if audio.dtype != np.int16:
                raise ValueError(f"samples are {audio.dtype}, expected int16: use to_int16")
            lengths.append(len(audio))
            checksums.append(checksum(audio))
            file.write(np.ascontiguousarray(audio).tobytes())
        file.flush()
        os.fsync(file.fileno())
    return lengths, checksums


def write_index(
    folder: Path,
    name: str,
    keys: Sequence[str],
    lengths: Sequence[int],
    checksums: Sequence[int],
    **more,
) -> None:
    """Write what makes samples a corpus; `more` is added to its `corpus.json`."""
    np.save(folder / "labels.npy", np.stack(_labels(keys)))
    np.save(folder / "lengths.npy", np.asarray(lengths, np.int64))
    np.save(folder / "checksums.npy", np.asarray(checksums, np.uint32))
    np.save(folder / "keys.npy", np.asarray(keys, np.str_))
    values = {"name": name, "utterances": len(keys), **more}
    (folder / "corpus.json").write_text(json.dumps(values))


def _labels(keys: Sequence[str] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,) of speakers and of recordings."""
    speakers = labels(key.split("/")[0] for key in keys)
    return speakers, labels("/".join(key.split("/")[:2]) for key in keys)


def move_finished(partial: Path, folder: Path) -> None:
    """Give a complete folder its name, unless another process was faster."""
    try:
        partial.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def read_packed(folder: Path) -> Corpus:
    """Open a packed corpus without reading its audio.

    Raises:
        ValueError: no packed corpus; files that are missing or damaged; samples of another size
            than was written.
    """
    folder = Path(folder)
    name = read_info(folder)["name"]
    try:
        keys = np.load(folder / "keys.npy", mmap_mode="r")
        if (folder / "labels.npy").is_file():
            speakers, recordings = np.load(folder / "labels.npy")
        else:  # as in the first packed folders
            speakers, recordings = _labels(keys)
        file = folder / "checksums.npy"
        checksums = np.load(file) if file.is_file() else None
        offsets = np.concatenate([[0], np.cumsum(np.load(folder / "lengths.npy"))])
        sound = sorted((folder / "shards").glob("*.int16")) or [folder / "audio.int16"]
        sizes = [file.stat().st_size for file in sound]
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"'{folder}' is damaged ({error}): {AGAIN}") from error
    if sum(sizes) != 2 * offsets[-1]:
        raise ValueError(
            f"the samples in '{folder}' have {sum(sizes)} bytes, {2 * offsets[-1]} were expected: "
            f"a file was truncated or lost; {AGAIN}"
        )
    maps = [np.memmap(file, np.int16, "r") for file, size in zip(sound, sizes, strict=True) if size]
    samples = maps[0] if len(maps) == 1 else Shards(maps)
    return Corpus(name, samples, offsets, speakers, recordings, keys, checksums)


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
        raise ValueError(f"'{file}' is damaged ({error}): {AGAIN}") from None


def verify(folder: Path) -> Iterator[str]:
    """Read all samples of a packed folder; yields one text for each utterance that has changed."""
    packed = read_packed(folder)
    if packed.checksums is None:
        yield f"{folder}: has no checksums, as in the first packed folders; {AGAIN}"
        return
    for i, key in enumerate(packed.keys):
        if checksum(packed.audio(i)) != packed.checksums[i]:
            yield f"{key}: differs from what was written (checksum); {AGAIN}"


def open_packed(folder: Path, trials: str | None = None, seed: int = 1) -> Splits:
    """Open what `pack` wrote; the original files are not needed.

    Args:
        folder: the packed folder.
        trials: name of the test trial list ("O", ...); by default the first, or made trials where
            there is none.
        seed: chooses made trials.

    Raises:
        ValueError: a list that the folder does not have; damage (see `read_packed`).
    """
    folder = Path(folder)
    bounds = read_info(folder).get("splits")
    if bounds is None:
        raise ValueError(f"'{folder}' is one packed split, not a whole corpus: open its parent")
    known = packed_lists(folder)
    if trials is not None and trials not in known:
        raise ValueError(
            f"'{folder}' has no trial list '{trials}', only {', '.join(known) or 'made trials'}: "
            "lists are found when the corpus is packed"
        )
    rows = np.load(folder / "trials" / f"{trials or known[0]}.npy") if known else None
    listed = folder / "trials" / f"{DEV}.npy"
    dev_rows = np.load(listed) if listed.is_file() else None
    return with_bank(make_splits(read_packed(folder), bounds, rows, seed, dev_rows), folder)


def with_bank(splits: Splits, folder: Path) -> Splits:
    """The splits with the noises that lie in their packed folder, if there are any."""
    bank = folder / "bank.safetensors"
    splits.bank = bank if bank.exists() else None
    return splits


def packed_lists(folder: Path) -> list[str]:
    """Names of the test trial lists of a packed folder, VoxCeleb's in the order O, E, H."""
    names = {file.stem for file in (Path(folder) / "trials").glob("*.npy")} - {DEV}
    return sorted(names, key=lambda name: ("OEH".find(name[0]), name))
