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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ssps_lib.corpora.audio import Audio, read_audio, require_decoders, to_int16
from ssps_lib.corpora.corpus import SAMPLE_RATE, labels
from ssps_lib.corpora.faults import listed
from ssps_lib.corpora.packed import (
    checksum_of,
    move_finished,
    write_index,
    write_samples,
)
from ssps_lib.corpora.table import Entry, Table
from ssps_lib.corpora.workers import DIED, alone, in_order, workers_for

PLAN = "plan.txt"  # the digest of files and settings, also of the finished folder
SHARD = 512  # utterances, about 128 MB of VoxCeleb
Simulate = Callable[[np.ndarray, str], np.ndarray]  # samples (T,) and key -> samples (T,)


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

    def write(self) -> None:
        """Decode the files one after the other; the note appears when all samples are on disk."""
        note = {"kept": [], "faults": [], "resampled": 0, "mixed": 0}
        partial = self.stem.with_suffix(f".{os.getpid()}")
        try:
            note["lengths"] = write_samples(partial, self._sound(note))
            with open(partial, "rb+") as file:
                os.fsync(file.fileno())
            note["checksum"] = checksum_of(partial)
            partial.replace(self.stem.with_suffix(".int16"))
            partial.write_text(json.dumps(note))
            partial.replace(self.stem.with_suffix(".json"))
        finally:
            partial.unlink(missing_ok=True)

    def _sound(self, note: dict) -> Iterator[np.ndarray]:
        for position, entry in enumerate(self.entries):
            try:
                audio = self._read(entry)
            except ValueError as error:
                note["faults"].append(f"{entry.file}: {error}")
                continue
            note["kept"].append(position)
            note["resampled"] += audio.rate != SAMPLE_RATE
            note["mixed"] += audio.channels > 1
            yield to_int16(audio.samples)

    def _read(self, entry: Entry) -> Audio:
        audio = read_audio(self.root / entry.file)
        if self.simulate:
            audio.samples = self.simulate(audio.samples, entry.key)
        return audio


def pack(
    table: Table,
    folder: Path,
    name: str,
    plan: str,
    simulate: Simulate | None = None,
    skip_faulty: bool = False,
    workers: int | None = None,
) -> None:
    """Write all sound files of a table as a packed corpus, or go on where an earlier call stopped.

    Where another process packs the same folder, this one waits for it.

    Args:
        folder: appears when everything is written; until then `<folder>.partial` grows.
        plan: a digest of files and settings. A partial folder of another plan is refused.
        skip_faulty: leave faulty files out, with a warning and a list in `skipped.txt`.
        workers: processes; by default one for each two shards and at most one for each core. With
            more than one, a script needs the usual `if __name__ == "__main__":`.

    Raises:
        ValueError: all faults of lists and files at once (nothing is left behind); a partial folder
            of another plan; a decoder that is missing.
        OSError: the disk is full or broken; finished shards are kept for the next call.
    """
    workers_for(1, workers)  # refused before anything is written
    if not table.faults:
        require_decoders(entry.file for entry in table.entries)
    partial = folder.with_name(f"{folder.name}.partial")
    with alone(partial):
        if not folder.exists():  # written by another process, while this one waited
            _pack(table, folder, partial, name, plan, simulate, skip_faulty, workers)


def _pack(
    table: Table,
    folder: Path,
    partial: Path,
    name: str,
    plan: str,
    simulate: Simulate | None,
    skip_faulty: bool,
    workers: int | None,
) -> None:
    """What `pack` does, with the partial folder to itself."""
    shards = _begin(table, partial, plan, simulate)
    try:
        _write_missing(shards, f"packing {table.root.name}", workers)
        notes = [shard.note() for shard in shards]
    except (OSError, BrokenProcessPool) as error:
        raise _stopped(error, shards, partial) from error
    faulty = [*table.misplaced, *(fault for note in notes for fault in note["faults"])]
    faults = table.faults + ([] if skip_faulty else sorted(faulty))
    if not faults and not any(note["kept"] for note in notes):
        shutil.rmtree(partial)
        raise ValueError(f"no file of '{table.root}' is sound:\n{listed(faulty)}")
    if faults:
        shutil.rmtree(partial)
        advice = "" if table.faults else "; skip_faulty=True leaves faulty files out"
        raise ValueError(
            f"corpus '{table.root}' has {len(faults)} faults{advice}:\n{listed(faults)}"
        )
    try:
        _write_index(table, notes, partial, name, faulty)
        _remove_torn(partial / "shards")
        move_finished(partial, folder)
    except OSError as error:
        raise _stopped(error, shards, partial) from error
    _warn(table, notes, faulty)


def _begin(table: Table, partial: Path, plan: str, simulate: Simulate | None) -> list[Shard]:
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


def _write_missing(shards: list[Shard], title: str, workers: int | None) -> None:
    missing = [shard for shard in shards if not shard.is_finished()]
    total = sum(len(shard.entries) for shard in shards)
    left = sum(len(shard.entries) for shard in missing)
    written = in_order(Shard.write, missing, workers_for(len(missing), workers))
    with tqdm(total=total, initial=total - left, desc=title, disable=None) as progress:
        for shard, _ in zip(missing, written, strict=True):
            progress.update(len(shard.entries))


def _remove_torn(shards: Path) -> None:
    """Delete what a killed process left of the shard that it was writing."""
    for file in shards.iterdir():
        if file.suffix not in (".int16", ".json"):
            file.unlink()


def _stopped(error: Exception, shards: list[Shard], partial: Path) -> OSError:
    done = sum(shard.is_finished() for shard in shards)
    cause = f"packing stopped: {error}"
    if isinstance(error, BrokenProcessPool):
        cause = f"packing stopped: {DIED}"
    elif getattr(error, "errno", None) == errno.ENOSPC:
        cause = f"the disk is full: {shutil.disk_usage(partial).free / 1e9:.1f} GB are free"
    number = getattr(error, "errno", None) or errno.EIO
    kept = f"{done} of {len(shards)} shards are finished and kept in '{partial}'"
    return OSError(number, f"{cause}; {kept}: mend the cause and pack again, it goes on there")


def _write_index(table: Table, notes: list[dict], partial: Path, name: str, faulty: list) -> None:
    """Write what makes the shards a corpus: names, labels, splits, trial lists, what was left."""
    kept = [table.entries[k * SHARD + i] for k, note in enumerate(notes) for i in note["kept"]]
    keys = [entry.key for entry in kept]
    speakers = labels(entry.speaker for entry in kept)
    recordings = labels(f"{entry.speaker}/{entry.recording}" for entry in kept)
    np.save(partial / "labels.npy", np.stack([speakers, recordings]))
    (partial / "trials").mkdir(exist_ok=True)
    for list_name, rows in kept_trials(table, keys).items():
        np.save(partial / "trials" / f"{list_name}.npy", rows)
    (partial / "skipped.txt").write_text("".join(f"{fault}\n" for fault in faulty))
    write_index(
        partial,
        name,
        keys,
        [length for note in notes for length in note["lengths"]],
        shards=[(f"{k:05d}.int16", x["checksum"]) for k, x in enumerate(notes) if x["lengths"]],
        splits=Table(table.root, kept).bounds(),
    )


def kept_trials(table: Table, keys: Sequence[str]) -> dict[str, np.ndarray]:
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
        warnings.warn(
            f"{len(faulty)} faulty files of '{table.root}' were left out:\n{listed(faulty)}",
            stacklevel=4,
        )
    if resampled or mixed:
        warnings.warn(
            f"of {len(table.entries)} files in '{table.root}', {resampled} were "
            f"resampled to {SAMPLE_RATE} Hz and {mixed} were mixed down to one channel",
            stacklevel=4,
        )
