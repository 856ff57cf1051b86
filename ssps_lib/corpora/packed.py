"""Packed corpora: int16 samples in one file, opened without reading the audio.

A packed folder holds `corpus.json`, `keys.npy`, `lengths.npy`, `labels.npy`, `checksums.npy` and
the samples, `audio.int16`. What `packer` wrote also knows its splits and trial lists
(`trials/*.npy`), so that nothing has to be looked up elsewhere.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ssps_lib import files
from ssps_lib.corpora.corpus import Corpus, Splits, checksum, labels
from ssps_lib.corpora.table import DEV
from ssps_lib.corpora.trials import Trials, make_trials

AUDIO = "audio.int16"
AGAIN = "delete the folder and pack the corpus again"
TARGETS_PER_SPEAKER = 60  # of made trials, as in the simulated corpus
Bounds = dict[str, tuple[int, int]]  # where each split begins and ends


def locate(name: str | Path) -> Path | None:
    """The folder that `open_corpus` reads for a path or a name; None where there is none."""
    if not isinstance(name, (str, Path)):
        raise ValueError(f"corpus is {name!r}, expected a name or a path as text")
    places = (Path(name), files.home() / "corpora" / name)
    return next((place for place in places if str(name) and place.is_dir()), None)


def is_packed(folder: Path) -> bool:
    """Whether the folder is a packed corpus."""
    return (Path(folder) / "corpus.json").is_file()


def write_packed(
    folder: Path, name: str, batches: Iterable[Iterable[np.ndarray]], keys: list[str]
) -> Corpus:
    """Write utterances (batches of int16 arrays, in the order of `keys`) as a packed corpus.

    The folder appears under its name only when it is complete, so an interrupted or failed write
    leaves nothing that could be mistaken for a corpus.

    Raises:
        ValueError: not one utterance, in int16, for each key.
    """
    folder = Path(folder)
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True, exist_ok=True)
    lengths: list[int] = []
    checksums: list[int] = []
    try:
        with open(partial / AUDIO, "wb") as file:
            for audio in (utterance for batch in batches for utterance in batch):
                if audio.dtype != np.int16:
                    raise ValueError(f"samples are {audio.dtype}, expected int16: use to_int16")
                lengths.append(len(audio))
                checksums.append(checksum(audio))
                file.write(audio.tobytes())
            file.flush()
            os.fsync(file.fileno())
        if len(lengths) != len(keys):
            raise ValueError(f"{len(lengths)} utterances were given for {len(keys)} keys")
        write_index(partial, name, keys, lengths, checksums)
        try:
            partial.rename(folder)
        except OSError:
            if not folder.exists():  # or else another process was faster
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return read_packed(folder)


def write_index(
    folder: Path,
    name: str,
    keys: Sequence[str],
    lengths: Sequence[int] | np.ndarray,
    checksums: Sequence[int] | np.ndarray,
    **more,
) -> None:
    """Write what makes samples a corpus; `more` is added to its `corpus.json`."""
    heads = [["/".join(key.split("/")[:depth]) for key in keys] for depth in (1, 2)]
    np.save(folder / "labels.npy", np.stack([labels(names) for names in heads]))
    np.save(folder / "lengths.npy", np.asarray(lengths, np.int64))
    np.save(folder / "checksums.npy", np.asarray(checksums, np.uint32))
    np.save(folder / "keys.npy", np.asarray(keys, np.str_))
    values = {"name": name, "utterances": len(keys), **more}
    (folder / "corpus.json").write_text(json.dumps(values))


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
        speakers, recordings = np.load(folder / "labels.npy")
        checksums = np.load(folder / "checksums.npy")
        offsets = np.concatenate([[0], np.cumsum(np.load(folder / "lengths.npy"))])
        size = (folder / AUDIO).stat().st_size
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"'{folder}' is damaged ({error}): {AGAIN}") from error
    if size != 2 * offsets[-1]:
        raise ValueError(
            f"the samples in '{folder}' have {size} bytes, {2 * offsets[-1]} were expected: "
            f"the file was truncated; {AGAIN}"
        )
    samples = np.memmap(folder / AUDIO, np.int16, "r")
    return Corpus(name, samples, offsets, speakers, recordings, keys, checksums)


def read_info(folder: Path) -> dict:
    """What `corpus.json` says of a packed folder; ValueError if it is missing or damaged."""
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
    return make_splits(folder, bounds, rows, seed, dev_rows)


def packed_lists(folder: Path) -> list[str]:
    """Names of the test trial lists of a packed folder, VoxCeleb's in the order O, E, H."""
    names = {file.stem for file in (Path(folder) / "trials").glob("*.npy")} - {DEV}
    return sorted(names, key=lambda name: ("OEH".find(name[0]), name))


def make_splits(
    folder: Path,
    bounds: Bounds,
    rows: np.ndarray | None,
    seed: int,
    dev_rows: np.ndarray | None = None,
) -> Splits:
    """Cut a packed folder into splits.

    `rows` (T, 3) are the test trials, positions in the folder, or None to make trials; `dev_rows`
    those of the development speakers. Where `rows` reach beyond the test split (VoxCeleb1-E and
    -H), the test utterances do so as well.
    """
    packed, bank = read_packed(folder), folder / "bank.safetensors"
    empty = [split for split in ("train", "dev", "test") if bounds[split][0] == bounds[split][1]]
    if empty:
        raise ValueError(f"no {empty[0]} utterance of '{packed.name}' is left: mend its files")
    for some in (rows, dev_rows):
        if some is not None and (kinds := len(set(some[:, 0]))) < 2:
            raise ValueError(
                f"the {len(some):,} trials of '{packed.name}' that are left have {kinds} of the "
                "labels 0 and 1, both are needed: mend the files that were left out"
            )
    begin, end = bounds["test"]
    if rows is not None:
        begin, end = min(begin, rows[:, 1:].min()), max(end, rows[:, 1:].max() + 1)
    places = {"train": bounds["train"], "dev": bounds["dev"], "test": (begin, end)}
    train, dev, test = (packed.part(*at, f"{packed.name} {x}") for x, at in places.items())

    def trials(part: Corpus, rows: np.ndarray | None, first: int) -> Trials:
        if rows is None:
            return make_trials(part.speakers, part.recordings, TARGETS_PER_SPEAKER, seed)
        return Trials(*(rows - [0, first, first]).T)

    dev_trials = trials(dev, dev_rows, bounds["dev"][0])
    test_trials = trials(test, rows, begin)
    return Splits(train, dev, test, dev_trials, test_trials, bank if bank.exists() else None)
