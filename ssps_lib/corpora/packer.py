"""Packing a table of audio files: in parallel, resumable, with a report of faults.

Files are decoded in batches. Beside the final folder, in `<folder>.partial`, the samples of a batch
go to the end of one file, and then a line of `notes.jsonl` tells which files were sound: a killed
or disk-full pack goes on behind the last batch that was noted.
"""

import errno
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ssps_lib import files
from ssps_lib.corpora.audio import decode, to_int16
from ssps_lib.corpora.corpus import SAMPLE_RATE
from ssps_lib.corpora.faults import counted, listed
from ssps_lib.corpora.packed import AUDIO, is_packed, write_index, write_samples
from ssps_lib.corpora.table import Entry, Table

PLAN = "plan.txt"  # the digest of files and settings, also of the finished folder
NOTES = "notes.jsonl"  # of the batches that were written
SKIPPED = "skipped.txt"  # faulty files that were left out
BATCH = 512  # utterances, about 128 MB of VoxCeleb
Simulate = Callable[[np.ndarray, str], np.ndarray]  # samples (T,) and key -> samples (T,)


def in_order(function: Callable, items: Sequence, workers: int | None = None) -> Iterator:
    """`map(function, items)` by threads, one for each core; decoders run beside each other.

    A few items for each thread are taken at a time, so that the memory stays small.
    """
    number = workers or os.cpu_count() or 1
    with ThreadPoolExecutor(number) as pool:
        for begin in range(0, len(items), 4 * number):
            yield from pool.map(function, items[begin : begin + 4 * number])


def pack_table(
    table: Table,
    folder: Path,
    plan: str,
    simulate: Simulate | None = None,
    skip_faulty: bool = False,
    workers: int | None = None,
) -> None:
    """Write all sound files of a table as a packed corpus, or go on where an earlier call stopped.

    Where another process packs the same folder, this one waits for it. `plan` is a digest of files
    and settings.

    Raises:
        ValueError: all faults of lists and files at once (nothing is left behind); a partial folder
            of another plan.
        OSError: the disk is full or broken; what was written is kept for the next call.
    """
    with files.alone(folder.with_name(f"{folder.name}.lock"), f"the packing of '{folder.name}'"):
        if is_packed(folder):  # written by another process, while this one waited
            return
        partial = folder.with_name(f"{folder.name}.partial")
        _begin(partial, plan)
        notes = _resumed(partial)
        try:
            _write(table, partial, notes, simulate, workers)
            faulty = sorted([*table.misplaced, *(x for note in notes for x in note["faults"])])
            if not any(note["kept"] for note in notes) or (faulty and not skip_faulty):
                shutil.rmtree(partial)
                raise refused(table, faulty, "; skip_faulty=True leaves faulty files out")
            _finish(table, partial, notes, faulty)
            partial.rename(folder)
            (folder / NOTES).unlink()
        except OSError as error:
            raise _stopped(error, partial, notes) from error
    _warn(table, notes, faulty)


def refused(table: Table, faults: Sequence[str], advice: str = "") -> ValueError:
    """The error that lists all faults of a corpus."""
    many = counted(len(faults), "fault")
    kind = f", {table.kind}," if table.kind != "folder" else ""
    return ValueError(f"corpus '{table.root}'{kind} has {many}{advice}:\n{listed(faults)}")


def _begin(partial: Path, plan: str) -> None:
    partial.mkdir(parents=True, exist_ok=True)
    note = partial / PLAN
    if not (note.exists() and note.read_text()):  # empty where the disk was full
        note.write_text(plan)
    if note.read_text() != plan:
        raise ValueError(
            f"'{partial}' was begun from other files or settings: "
            "delete it, or pack into another folder"
        )


def _resumed(partial: Path) -> list[dict]:
    """The notes of an earlier call whose samples are all there; what is behind them is cut off."""
    for name in (AUDIO, NOTES):
        (partial / name).touch()
    left = (partial / AUDIO).stat().st_size
    notes: list[dict] = []
    for line in (partial / NOTES).read_text().splitlines():
        try:
            notes.append(json.loads(line))
        except ValueError:  # the end of the line is missing
            break
        if (left := left - 2 * sum(notes[-1]["lengths"])) < 0:
            notes.pop()
            break
    os.truncate(partial / AUDIO, 2 * sum(sum(note["lengths"]) for note in notes))
    (partial / NOTES).write_text("".join(f"{json.dumps(note)}\n" for note in notes))
    return notes


def _write(
    table: Table, partial: Path, notes: list[dict], simulate: Simulate | None, workers: int | None
) -> None:
    """Decode what is left of the table, and add a note for each batch."""

    def read(entry: Entry) -> tuple[np.ndarray, int, int] | str:
        try:
            samples, rate, channels = decode(table.root / entry.file)
        except ValueError as error:
            return f"{entry.file}: {error}"
        return to_int16(simulate(samples, entry.key) if simulate else samples), rate, channels

    def sound(batch: list[Entry], note: dict) -> Iterator[np.ndarray]:
        for position, found in enumerate(in_order(read, batch, workers)):
            progress.update()
            if isinstance(found, str):
                note["faults"].append(found)
                continue
            samples, rate, channels = found
            note["kept"].append(position)
            note["resampled"] += rate != SAMPLE_RATE
            note["mixed"] += channels > 1
            yield samples

    total, begun = len(table.entries), len(notes) * BATCH
    with (
        open(partial / AUDIO, "ab") as audio,
        open(partial / NOTES, "a") as lines,
        tqdm(
            total=total, initial=begun, desc=f"packing {table.root.name}", disable=None
        ) as progress,
    ):
        for begin in range(begun, total, BATCH):
            note: dict = {"kept": [], "faults": [], "resampled": 0, "mixed": 0}
            batch = table.entries[begin : begin + BATCH]
            note["lengths"], note["checksums"] = write_samples(audio, sound(batch, note))
            print(json.dumps(note), file=lines, flush=True)
            notes.append(note)


def _finish(table: Table, partial: Path, notes: list[dict], faulty: list[str]) -> None:
    """Write what makes the samples a corpus: names, splits, trial lists, what was left out."""
    kept = [table.entries[k * BATCH + i] for k, note in enumerate(notes) for i in note["kept"]]
    keys = [entry.key for entry in kept]
    (partial / "trials").mkdir(exist_ok=True)
    for name, rows in kept_trials(table, keys).items():
        np.save(partial / "trials" / f"{name}.npy", rows)
    (partial / SKIPPED).write_text("".join(f"{fault}\n" for fault in faulty), encoding="utf-8")
    lengths, checksums = ([x for n in notes for x in n[what]] for what in ("lengths", "checksums"))
    splits = Table(table.root, entries=kept).bounds()
    write_index(partial, table.name, keys, lengths, checksums, splits=splits)


def kept_trials(table: Table, keys: Sequence[str] | np.ndarray) -> dict[str, np.ndarray]:
    """The trial lists of a table between the utterances `keys` that are left of it."""
    position = {str(key): i for i, key in enumerate(keys)}
    index = np.array([position.get(entry.key, -1) for entry in table.entries], np.int64)
    lists = {}
    for name, rows in table.lists.items():
        rows = np.column_stack([rows[:, 0], index[rows[:, 1:]]])
        lists[name] = rows[(rows >= 0).all(1)]
    return lists


def _stopped(error: OSError, partial: Path, notes: list[dict]) -> OSError:
    cause = f"packing stopped: {error}"
    if error.errno == errno.ENOSPC:
        cause = f"the disk is full: {shutil.disk_usage(partial).free / 1e9:.1f} GB are free"
    kept = counted(sum(len(note["kept"]) for note in notes), "utterance")
    text = (
        f"{cause}; {kept} are kept in '{partial}': mend the cause and pack again, it goes on there"
    )
    return OSError(error.errno or errno.EIO, text)


def _warn(table: Table, notes: list[dict], faulty: list[str]) -> None:
    resampled, mixed = (sum(note[kind] for note in notes) for kind in ("resampled", "mixed"))
    if faulty:
        many = counted(len(faulty), "faulty file")
        warnings.warn(f"{many} of '{table.root}' left out:\n{listed(faulty)}", stacklevel=4)
    if resampled or mixed:
        warnings.warn(
            f"of {counted(len(table.entries), 'file')} in '{table.root}', {resampled} were "
            f"resampled to {SAMPLE_RATE} Hz and {mixed} were mixed down to one channel",
            stacklevel=4,
        )
