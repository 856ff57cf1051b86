"""Packing a table of audio files: in parallel, in shards, resumable, with a report of faults.

A shard is the samples of `SHARD` neighbouring files and a note of which of them were sound. Shards
are written beside the final folder, in `<folder>.partial`, each finished by the appearance of its
note: a killed or disk-full pack goes on with the shards that are missing.
"""

import errno
import json
import os
import shutil
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from ssps_lib import files
from ssps_lib.corpora.audio import decode, to_int16
from ssps_lib.corpora.corpus import SAMPLE_RATE
from ssps_lib.corpora.faults import counted, listed
from ssps_lib.corpora.packed import is_packed, move_finished, write_index, write_samples
from ssps_lib.corpora.table import Entry, Table

PLAN = "plan.txt"  # the digest of files and settings, also of the finished folder
SKIPPED = "skipped.txt"  # faulty files that were left out
SHARD = 512  # utterances, about 128 MB of VoxCeleb
Simulate = Callable[[np.ndarray, str], np.ndarray]  # samples (T,) and key -> samples (T,)
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None
) -> Iterator[Result]:
    """`map(function, items)` by threads, one for each core; decoders run beside each other.

    At most two results a thread wait, so that the memory stays small.
    """
    number = workers or os.cpu_count() or 1
    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(number) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * number:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass
class Shard:
    """One file of samples that is to be written, and the note of it once it was."""

    stem: Path  # of `.int16` and `.json`
    root: Path
    entries: list[Entry]
    simulate: Simulate | None

    def note(self) -> dict:
        """What `write` noted."""
        return json.loads(self.stem.with_suffix(".json").read_text())

    def is_finished(self) -> bool:
        """Whether the samples that the note describes are there."""
        try:
            size = self.stem.with_suffix(".int16").stat().st_size
            return size == 2 * sum(self.note()["lengths"])
        except (OSError, ValueError):
            return False

    def write(self, workers: int | None, progress: tqdm) -> None:
        """Decode the files; the note appears when all samples are on disk."""
        note: dict = {"kept": [], "faults": [], "resampled": 0, "mixed": 0}

        def sound() -> Iterator[np.ndarray]:
            for position, found in enumerate(in_order(self._read, self.entries, workers)):
                progress.update()
                if isinstance(found, str):
                    note["faults"].append(found)
                    continue
                samples, rate, channels = found
                note["kept"].append(position)
                note["resampled"] += rate != SAMPLE_RATE
                note["mixed"] += channels > 1
                yield samples

        with files.whole(self.stem.with_suffix(".int16")) as partial:
            note["lengths"], note["checksums"] = write_samples(partial, sound())
        with files.whole(self.stem.with_suffix(".json")) as partial:
            partial.write_text(json.dumps(note))

    def _read(self, entry: Entry) -> tuple[np.ndarray, int, int] | str:
        """Samples (T,) int16, rate and channels of a file, or its fault."""
        try:
            audio = decode(self.root / entry.file)
        except ValueError as error:
            return f"{entry.file}: {error}"
        samples = self.simulate(audio.samples, entry.key) if self.simulate else audio.samples
        return to_int16(samples), audio.rate, audio.channels


def pack_table(
    table: Table,
    folder: Path,
    name: str,
    plan: str,
    simulate: Simulate | None = None,
    skip_faulty: bool = False,
    workers: int | None = None,
    **more,
) -> None:
    """Write all sound files of a table as a packed corpus, or go on where an earlier call stopped.

    Where another process packs the same folder, this one waits for it.

    Args:
        folder: appears when everything is written; until then `<folder>.partial` grows.
        plan: a digest of files and settings. A partial folder of another plan is refused.
        skip_faulty: leave faulty files out, with a warning and a list in `skipped.txt`.
        workers: threads; by default one for each core.
        more: is added to `corpus.json`.

    Raises:
        ValueError: all faults of lists and files at once (nothing is left behind); a partial folder
            of another plan.
        OSError: the disk is full or broken; finished shards are kept for the next call.
    """
    with files.alone(folder.with_name(f"{folder.name}.lock"), f"the packing of '{folder.name}'"):
        if not is_packed(folder):  # written by another process, while this one waited
            shards = _begin(table, folder, plan, simulate)
            try:
                _pack(table, shards, folder, name, skip_faulty, workers, more)
            except OSError as error:
                raise _stopped(error, shards) from error


def refused(table: Table, faults: Sequence[str], advice: str = "") -> ValueError:
    """The error that lists all faults of a corpus."""
    many = counted(len(faults), "fault")
    kind = f", {table.kind}," if table.kind != "folder" else ""
    return ValueError(f"corpus '{table.root}'{kind} has {many}{advice}:\n{listed(faults)}")


def _begin(table: Table, folder: Path, plan: str, simulate: Simulate | None) -> list[Shard]:
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    note = partial / PLAN
    if not (note.exists() and note.read_text()):  # empty where the disk was full
        note.write_text(plan)
    if note.read_text() != plan:
        raise ValueError(
            f"'{partial}' was begun from other files or settings: "
            "delete it, or pack into another folder"
        )
    (partial / "shards").mkdir(exist_ok=True)
    return [
        Shard(
            partial / "shards" / f"{begin // SHARD:05d}",
            table.root,
            table.entries[begin : begin + SHARD],
            simulate,
        )
        for begin in range(0, len(table.entries), SHARD)
    ]


def _pack(
    table: Table,
    shards: list[Shard],
    folder: Path,
    name: str,
    skip_faulty: bool,
    workers: int | None,
    more: dict,
) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    missing = [shard for shard in shards if not shard.is_finished()]
    total, left = (sum(len(shard.entries) for shard in some) for some in (shards, missing))
    title = f"packing {table.root.name}"
    with tqdm(total=total, initial=total - left, desc=title, disable=None) as progress:
        for shard in missing:
            shard.write(workers, progress)
    notes = [shard.note() for shard in shards]
    faulty = sorted([*table.misplaced, *(fault for note in notes for fault in note["faults"])])
    if not any(note["kept"] for note in notes) or (faulty and not skip_faulty):
        shutil.rmtree(partial)
        raise refused(table, faulty, "; skip_faulty=True leaves faulty files out")
    _write_index(table, notes, partial, name, faulty, more)
    for file in (partial / "shards").iterdir():
        if file.suffix == ".json" or file.name.startswith("."):  # what a killed process left
            file.unlink()
    move_finished(partial, folder)
    _warn(table, notes, faulty)


def _stopped(error: OSError, shards: list[Shard]) -> OSError:
    partial = shards[0].stem.parents[1]
    done = sum(shard.is_finished() for shard in shards)
    cause = f"packing stopped: {error}"
    if error.errno == errno.ENOSPC:
        cause = f"the disk is full: {shutil.disk_usage(partial).free / 1e9:.1f} GB are free"
    kept = f"{done} of {counted(len(shards), 'shard')} are finished and kept in '{partial}'"
    text = f"{cause}; {kept}: mend the cause and pack again, it goes on there"
    return OSError(error.errno or errno.EIO, text)


def _write_index(
    table: Table, notes: list[dict], partial: Path, name: str, faulty: list[str], more: dict
) -> None:
    """Write what makes the shards a corpus: names, splits, trial lists, what was left out."""
    kept = [table.entries[k * SHARD + i] for k, note in enumerate(notes) for i in note["kept"]]
    keys = [entry.key for entry in kept]
    (partial / "trials").mkdir(exist_ok=True)
    for list_name, rows in kept_trials(table, keys).items():
        np.save(partial / "trials" / f"{list_name}.npy", rows)
    (partial / SKIPPED).write_text("".join(f"{fault}\n" for fault in faulty), encoding="utf-8")
    lengths, checksums = ([x for n in notes for x in n[what]] for what in ("lengths", "checksums"))
    splits = Table(table.root, entries=kept).bounds()
    write_index(partial, name, keys, lengths, checksums, splits=splits, **more)


def kept_trials(table: Table, keys: Sequence[str] | np.ndarray) -> dict[str, np.ndarray]:
    """The trial lists of a table between the utterances `keys` that are left of it.

    Trials of files that were left out are dropped.
    """
    position = {str(key): i for i, key in enumerate(keys)}
    index = np.array([position.get(entry.key, -1) for entry in table.entries], np.int64)
    lists = {}
    for name, (label, *pair) in ((name, rows.T) for name, rows in table.lists.items()):
        rows = np.stack([label, *(index[side] for side in pair)], axis=1)
        lists[name] = rows[(rows >= 0).all(1)]
    return lists


def _warn(table: Table, notes: list[dict], faulty: list[str]) -> None:
    resampled, mixed = (sum(note[kind] for note in notes) for kind in ("resampled", "mixed"))
    if faulty:
        many = counted(len(faulty), "faulty file")
        warnings.warn(f"{many} of '{table.root}' left out:\n{listed(faulty)}", stacklevel=5)
    if resampled or mixed:
        warnings.warn(
            f"of {counted(len(table.entries), 'file')} in '{table.root}', {resampled} were "
            f"resampled to {SAMPLE_RATE} Hz and {mixed} were mixed down to one channel",
            stacklevel=5,
        )
