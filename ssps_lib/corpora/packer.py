"""Packing a table of audio files: in parallel, resumable, with a report of faults.

Beside the final folder, in `<folder>.partial`, the samples of a file go to the end of the others,
and then a line goes to `notes.jsonl`: a killed or disk-full pack goes on behind the last file that
was noted.
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
from ssps_lib.corpora.corpus import SAMPLE_RATE, checksum
from ssps_lib.corpora.faults import counted, listed
from ssps_lib.corpora.packed import AUDIO, is_packed, write_index
from ssps_lib.corpora.table import Entry, Table

PLAN = "plan.txt"  # the digest of files and settings, also of the finished folder
NOTES = "notes.jsonl"
SKIPPED = "skipped.txt"  # faulty files that were left out
Note = str | list[int]  # of a file: its fault, or length in samples, checksum, rate and channels
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
        notes = _resumed(partial, plan)
        try:
            _write(table, partial, notes, simulate, workers)
            faulty = sorted([*table.misplaced, *(note for note in notes if isinstance(note, str))])
            found = zip(table.entries, notes, strict=True)
            kept = [(entry, note) for entry, note in found if not isinstance(note, str)]
            if not kept or (faulty and not skip_faulty):
                shutil.rmtree(partial)
                raise refused(table, faulty, "; skip_faulty=True leaves faulty files out")
            _finish(table, partial, kept, faulty)
            partial.rename(folder)
            (folder / NOTES).unlink()
        except OSError as error:
            raise _stopped(error, partial, len(notes)) from error
    _warn(table, kept, faulty)


def refused(table: Table, faults: Sequence[str], advice: str = "") -> ValueError:
    """The error that lists all faults of a corpus."""
    many = counted(len(faults), "fault")
    kind = f", {table.kind}," if table.kind != "folder" else ""
    return ValueError(f"corpus '{table.root}'{kind} has {many}{advice}:\n{listed(faults)}")


def _resumed(partial: Path, plan: str) -> list[Note]:
    """The notes of an earlier call whose samples are all there; what is behind them is cut off."""
    partial.mkdir(parents=True, exist_ok=True)
    begun, audio, lines = partial / PLAN, partial / AUDIO, partial / NOTES
    for file in (begun, audio, lines):
        file.touch()
    if begun.read_text() not in ("", plan):  # empty where the disk was full
        raise ValueError(
            f"'{partial}' was begun from other files or settings: "
            "delete it, or pack into another folder"
        )
    begun.write_text(plan)
    notes: list[Note] = []
    end, size = 0, audio.stat().st_size
    for line in lines.read_text(encoding="utf-8").splitlines():
        try:
            note = json.loads(line)
        except ValueError:  # its end is missing
            break
        length = 0 if isinstance(note, str) else 2 * note[0]
        if end + length > size:
            break
        end += length
        notes.append(note)
    os.truncate(audio, end)
    lines.write_text("".join(f"{json.dumps(note)}\n" for note in notes), encoding="utf-8")
    return notes


def _write(
    table: Table, partial: Path, notes: list[Note], simulate: Simulate | None, workers: int | None
) -> None:
    """Decode the files that are left, write their samples, and add a note of each."""

    def read(entry: Entry) -> tuple[np.ndarray, Note]:
        try:
            samples, rate, channels = decode(table.root / entry.file)
        except ValueError as error:
            return np.empty(0, np.int16), f"{entry.file}: {error}"
        samples = to_int16(simulate(samples, entry.key) if simulate else samples)
        return samples, [len(samples), checksum(samples), rate, channels]

    total, begun = len(table.entries), len(notes)
    found = in_order(read, table.entries[begun:], workers)
    with (
        open(partial / AUDIO, "ab") as audio,
        open(partial / NOTES, "a", encoding="utf-8") as lines,
        tqdm(found, f"packing {table.root.name}", total, disable=None, initial=begun) as progress,
    ):
        for samples, note in progress:
            audio.write(samples.tobytes())
            audio.flush()
            print(json.dumps(note), file=lines, flush=True)
            notes.append(note)
        os.fsync(audio.fileno())


def _finish(
    table: Table, partial: Path, kept: list[tuple[Entry, list[int]]], faulty: list[str]
) -> None:
    """Write what makes the samples a corpus: names, splits, trial lists, what was left out."""
    entries = [entry for entry, _ in kept]
    keys = [entry.key for entry in entries]
    (partial / "trials").mkdir(exist_ok=True)
    for name, rows in kept_trials(table, keys).items():
        np.save(partial / "trials" / f"{name}.npy", rows)
    (partial / SKIPPED).write_text("".join(f"{fault}\n" for fault in faulty), encoding="utf-8")
    splits = Table(table.root, entries=entries).bounds()
    lengths, checksums, *_ = np.array([note for _, note in kept]).T
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


def _stopped(error: OSError, partial: Path, done: int) -> OSError:
    cause = f"packing stopped: {error}"
    if error.errno == errno.ENOSPC:
        cause = f"the disk is full: {shutil.disk_usage(partial).free / 1e9:.1f} GB are free"
    kept = f"{counted(done, 'file')} are packed and kept in '{partial}'"
    text = f"{cause}; {kept}: mend the cause and pack again, it goes on there"
    return OSError(error.errno or errno.EIO, text)


def _warn(table: Table, kept: list[tuple[Entry, list[int]]], faulty: list[str]) -> None:
    resampled = sum(note[2] != SAMPLE_RATE for _, note in kept)
    mixed = sum(note[3] > 1 for _, note in kept)
    if faulty:
        many = counted(len(faulty), "faulty file")
        warnings.warn(f"{many} of '{table.root}' left out:\n{listed(faulty)}", stacklevel=4)
    if resampled or mixed:
        warnings.warn(
            f"of {counted(len(table.entries), 'file')} in '{table.root}', {resampled} were "
            f"resampled to {SAMPLE_RATE} Hz and {mixed} were mixed down to one channel",
            stacklevel=4,
        )
