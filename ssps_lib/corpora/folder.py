"""A folder of recordings as a corpus: any `<speaker>/<recording>/<utterance>` tree of audio files.

The folder is read once and packed as int16 in the cache; from then on it opens in seconds. Book
chapter on real speech.
"""

import hashlib
import shutil
import warnings
from pathlib import Path

from ssps_lib import files
from ssps_lib.corpora.corpus import Splits
from ssps_lib.corpora.faults import listed
from ssps_lib.corpora.librispeech import read_librispeech
from ssps_lib.corpora.packed import read_packed
from ssps_lib.corpora.packer import kept_trials, pack
from ssps_lib.corpora.sources import read_source
from ssps_lib.corpora.splits import make_splits
from ssps_lib.corpora.table import Table, cut_blocks, decide_splits, in_order, missing_trials

VERSION = 1  # of the packing: raise it when the same files give other samples


def open_folder(
    path: str | Path,
    sessions: str = "as-is",
    blocks: int | None = None,
    channel: float = 1.0,
    seed: int = 1,
    skip_faulty: bool = False,
    dev_share: float = 0.1,
    trials: str | None = None,
    subsets: tuple[str, ...] | None = None,
    workers: int | None = None,
) -> Splits:
    """Open a folder of recordings; the first time, check and pack all of it.

    Without lists, test and development speakers are chosen by a hash of their names (`dev_share`
    of the speakers each, at most 100) and trials are made. `train.csv` and `test.csv` (columns
    file, speaker, recording) decide the test speakers instead, and `trials.txt` (VoxCeleb's format)
    the test trials. Development speakers always come from the training speakers.

    Args:
        path: the folder; audio is wav, flac, ogg, mp3 or m4a, of any rate and number of channels.
        sessions: "as-is", or "simulated": every recording passes one simulated channel.
        blocks: cut the utterances of each speaker into so many recordings. Recordings then differ
            from those of `trials.txt`, and trials are made across the new ones.
        channel, seed: strength and seed of simulated sessions; `seed` also chooses made trials.
        skip_faulty: leave out faulty audio files, with a warning, in place of the error.
        dev_share: share of the speakers held out for each of development and test.
        trials: name of the test trial list where there are several ("O", "E", "H").
        subsets: which parts of LibriSpeech, by default all that are there.
        workers: processes that pack; by default as many as pay, at most one for each core.

    Raises:
        ValueError: everything that is wrong with the folder, all at once: missing root, no audio,
            wrong depth, files that are missing, empty, unreadable, truncated or shorter than half
            a second, faults of the lists with their lines, too few speakers, held-out speakers
            without trials. Nothing is left on the disk then.
    """
    _check_options(path, blocks, seed, dev_share, workers)
    if sessions not in ("as-is", "simulated"):
        raise ValueError(f"sessions '{sessions}' is unknown; choose 'as-is' or 'simulated'")
    table = read_source(Path(path)) if subsets is None else read_librispeech(Path(path), subsets)
    if blocks is not None:
        table.entries, table.lists = cut_blocks(table.entries, blocks), {}
    if table.decided:
        table.entries = in_order(table.entries)
    else:
        decide_splits(table, dev_share)
    if trials is not None and trials not in table.lists:
        known = ", ".join(table.lists) or "made trials"
        raise ValueError(f"'{path}' has no trial list '{trials}', only {known}")
    simulate = None
    settings: list[float] = [VERSION, skip_faulty]
    if sessions == "simulated":
        from ssps_lib.corpora import simulated
        from ssps_lib.corpora.sessions import Sessions

        simulate = Sessions(channel, seed)
        settings += [simulated.VERSION, channel, seed]
    if blocks is not None:
        table.lists = {}
    elif trials is not None:
        table.lists = {trials: table.lists[trials]}
    require_trials(table)
    name = table.root.resolve().name
    plan = digest(table, settings)
    packing = {"plan": plan, "simulate": simulate, "skip_faulty": skip_faulty, "workers": workers}
    folder = files.home() / "corpora" / f"{name}-{plan}"
    return open_table(table, name, folder, seed, **packing)


def _check_options(path: object, blocks: object, seed: object, share: object, workers: object):
    """ValueError for an option of another type, before the folder is read."""
    if not isinstance(path, (str, Path)):
        raise ValueError(f"the folder is {path!r}, expected a path as text or pathlib.Path")
    whole = {"blocks": blocks, "seed": seed, "workers": workers}
    for name, value in whole.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise ValueError(f"{name} is {value!r}, a whole number is needed")
        if name == "seed" and value is not None and value < 0:
            raise ValueError(f"seed is {value}, at least 0 is needed to draw sessions and trials")
    if not (isinstance(share, (int, float)) and 0 < share <= 0.4):
        raise ValueError(f"dev_share is {share!r}, a share above 0 and up to 0.4 is needed")


def require_trials(table: Table) -> None:
    """ValueError where nothing could be scored, before hours of packing.

    Where lists or files have faults as well, those are reported first, all at once.
    """
    faults = [] if table.faults else missing_trials(table)
    if faults:
        raise ValueError(f"corpus '{table.root}' has {len(faults)} faults:\n{listed(faults)}")


def open_table(table: Table, name: str, folder: Path, seed: int, **packing) -> Splits:
    """Pack what a table names into `folder`, unless that was done before, and open it.

    Where so many files are left out that nothing can be scored, the pack is removed again.
    """
    fresh = not folder.exists()
    if fresh:
        pack(table, folder, name, **packing)
    elif table.faults:
        raise ValueError(
            f"corpus '{table.root}' has {len(table.faults)} faults:\n{listed(table.faults)}"
        )
    packed = read_packed(folder)
    kept = {str(key) for key in packed.keys}
    sound = Table(table.root, [entry for entry in table.entries if entry.key in kept])
    rows = next(iter(kept_trials(table, packed.keys).values()), None)
    if rows is not None and (lost := len(next(iter(table.lists.values()))) - len(rows)):
        warnings.warn(
            f"{lost} trials of '{table.root}' name files that were left out", stacklevel=3
        )
    try:
        return make_splits(packed, sound.bounds(), rows, seed)
    except ValueError:
        if fresh:
            shutil.rmtree(folder)
        raise


def digest(table: Table, settings: list) -> str:
    """Twelve hexadecimal digits of the files and the settings of the packing.

    A file counts as another one when its size or its time changes: sound that was edited in place
    often keeps its size.
    """
    value = hashlib.sha256(repr(settings).encode())
    for entry in table.entries:
        file = table.root / entry.file
        found = file.stat() if file.is_file() else None
        seen = (found.st_size, found.st_mtime_ns) if found else None
        value.update(repr((entry, seen)).encode())
    value.update(repr(table.misplaced).encode())
    return value.hexdigest()[:12]
