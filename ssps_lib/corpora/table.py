"""The table of a folder of recordings: which file is whose, from where, and in which split."""

import csv
import hashlib
import os
import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from ssps_lib.corpora.audio import EXTENSIONS
from ssps_lib.corpora.trials import parse_trials

COLUMNS = ("file", "speaker", "recording")
SPLITS = ("train", "dev", "test", "rest")  # rest: only further trial lists name it


@dataclass(frozen=True, slots=True)
class Entry:
    """An utterance: its file relative to the root, its labels and its split ("" = undecided)."""

    file: str
    speaker: str
    recording: str
    split: str = ""

    @property
    def key(self) -> str:
        """`<speaker>/<recording>/<utterance>`; the file's path where that ends in this form.

        >>> Entry("a/r/1.wav", "a", "r").key, Entry("1.wav", "a", "r").key
        ('a/r/1.wav', 'a/r/1.wav')
        >>> Entry("dev/wav/a/r/1.wav", "a", "r").key
        'a/r/1.wav'
        """
        head = f"{self.speaker}/{self.recording}/"
        begin = f"/{self.file}".rfind(f"/{head}")
        return self.file[begin:] if begin >= 0 else head + self.file


@dataclass
class Table:
    """Utterances of a folder and what is wrong with it.

    Attributes:
        root: the folder.
        entries: in the order of SPLITS once `decide_splits` has run, then by file.
        faults: of the lists; nothing can be opened before they are mended.
        misplaced: audio files that are not at `<speaker>/<recording>/<utterance>`.
        lists: trial lists by name, rows (label, first, second) of positions in `entries`.
        decided: whether the layout itself has given every entry its split.
        notes: what differs from what was expected without being in the way.
    """

    root: Path
    entries: list[Entry] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    lists: dict[str, np.ndarray] = field(default_factory=dict)
    decided: bool = False
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = Path(self.root)

    def bounds(self) -> dict[str, tuple[int, int]]:
        """Where each split begins and ends in `entries`, once `decide_splits` has run."""
        split = [SPLITS.index(entry.split) for entry in self.entries]
        edges = np.searchsorted(split, range(len(SPLITS) + 1)).tolist()
        return dict(zip(SPLITS, pairwise(edges), strict=True))

    def of_split(self, split: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.split == split]


def read_table(root: Path) -> Table:
    """The utterances of train.csv (and test.csv), or else of the tree itself.

    Raises:
        ValueError: the root is missing or holds no audio at all.
    """
    if not root.is_dir():
        raise ValueError(f"corpus '{root}' is not an existing folder: check the path")
    table = Table(root)
    lists = [name for name in ("train.csv", "test.csv") if (root / name).is_file()]
    if lists == ["test.csv"]:
        table.faults.append("test.csv: there is no train.csv beside it")
    for name in lists:
        _read_csv(table, name, name.removesuffix(".csv") if len(lists) == 2 else "")
    if not lists:
        _read_tree(table)
    table.faults += duplicates((entry.key, entry.file) for entry in table.entries)
    if not (table.entries or table.faults or table.misplaced):
        raise ValueError(
            f"corpus '{root}' holds no audio: expected <speaker>/<recording>/<utterance> with one "
            f"of {', '.join(EXTENSIONS)}, or train.csv with columns {', '.join(COLUMNS)}"
        )
    return table


def _read_csv(table: Table, name: str, split: str) -> None:
    seen = {entry.file: "train.csv" for entry in table.entries}
    speakers = {entry.speaker for entry in table.entries}
    text = (table.root / name).read_text(encoding="utf-8-sig", errors="replace")
    rows = csv.DictReader(text.splitlines())
    missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
    if missing:
        table.faults.append(
            f"{name}, line 1: no column '{missing[0]}'; columns {','.join(COLUMNS)} are needed"
        )
        return
    for row in rows:
        where = f"{name}, line {rows.line_num}"
        speaker, recording = row["speaker"], row["recording"]
        file = posixpath.normpath(row["file"] or "")
        if not all(row[column] for column in COLUMNS):
            table.faults.append(f"{where}: one of {', '.join(COLUMNS)} is empty")
        elif "/" in speaker + recording:
            table.faults.append(f"{where}: '/' in the name of a speaker or recording")
        elif file.startswith(("../", "/")) or file == "..":
            table.faults.append(f"{where}: '{row['file']}' lies outside the corpus folder")
        elif file in seen:
            table.faults.append(f"{where}: '{file}' was listed before, in {seen[file]}")
        elif speaker in speakers:
            table.faults.append(f"{where}: speaker '{speaker}' is in train.csv as well")
        else:
            seen[file] = where
            table.entries.append(Entry(file, speaker, recording, split))


def _read_tree(table: Table) -> None:
    for file in sorted(audio_files(table.root)):
        parts = file.split("/")
        if len(parts) == 3:
            table.entries.append(Entry(file, parts[0], parts[1]))
        else:
            table.misplaced.append(
                f"{file}: wrong depth, expected <speaker>/<recording>/<utterance>"
            )


def duplicates(named: Iterable[tuple[str, str]]) -> Iterator[str]:
    """One text for each file, of (key, file) pairs, whose key another file has already."""
    first: dict[str, str] = {}
    for key, file in named:
        if first.setdefault(key, file) is not file:
            yield f"{file}: is utterance '{key}' a second time, beside {first[key]}"


def audio_files(root: Path, also: frozenset = frozenset(), deepest: int = 6) -> Iterator[str]:
    """Paths below the root, relative to it, of audio and of files whose name is in `also`."""
    for folder, folders, files in os.walk(root, followlinks=True):
        relative = Path(folder).relative_to(root)
        if len(relative.parts) >= deepest:  # links may run in a circle
            folders.clear()
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name in also or (name.lower().endswith(EXTENSIONS) and not name.startswith(".")):
                yield (relative / name).as_posix()


def cut_blocks(entries: Iterable[Entry], blocks: int) -> list[Entry]:
    """Replace each speaker's recordings by `blocks` blocks of neighbouring files.

    A speaker with fewer utterances gets as many blocks as utterances.
    """
    if blocks < 2:
        raise ValueError(f"blocks is {blocks}, at least 2 are needed for trials across recordings")
    by_speaker = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: (entry.recording, entry.file)):
        by_speaker[entry.speaker].append(entry)
    return [
        replace(entry, recording=f"b{block:02d}")
        for group in by_speaker.values()
        for block, rows in enumerate(np.array_split(np.arange(len(group)), blocks))
        for entry in (group[row] for row in rows)
    ]


def decide_splits(table: Table, share: float) -> None:
    """Give every entry its split and sort the entries by split and file.

    Test speakers are those of test.csv, or those that trials.txt names, or `share` of all. Of the
    other speakers, `share` are development speakers. Reads trials.txt.
    """
    undecided = any(entry.split == "" for entry in table.entries)
    listed = table.root / "trials.txt"
    test = {entry.speaker for entry in table.entries if entry.split == "test"}
    if undecided and listed.is_file():
        rows, _ = parse_trials(listed, [entry.file for entry in table.entries])
        test = {table.entries[i].speaker for row in rows for i in row[1:]}
    others = [entry for entry in table.entries if entry.speaker not in test]
    needed = 4 if test else 6
    count = len({entry.speaker for entry in others})
    if count < needed:
        if table.entries and not table.faults:  # which may be why so few are left
            table.faults.append(
                f"{count} speakers{' beside those of the test set' if test else ''} are too few: "
                f"at least {needed} are needed, as training and held-out speakers are disjoint"
            )
        return
    if not test:
        test = held_out(others, share)
        others = [entry for entry in others if entry.speaker not in test]
    dev = held_out(others, share)
    split = {entry.speaker: "train" for entry in table.entries}
    split |= dict.fromkeys(dev, "dev") | dict.fromkeys(test, "test")
    table.entries = in_order(replace(e, split=split[e.speaker]) for e in table.entries)
    if listed.is_file():
        files = [entry.file for entry in table.of_split("test")]
        read_list(table, listed, "trials", files, table.bounds()["test"][0])


def missing_trials(table: Table) -> list[str]:
    """Why held-out speakers could not be scored: faults that files alone do not show.

    Args:
        table: with its splits decided and its lists read.
    """
    faults = []
    for split in ("dev", "test"):
        if split == "test" and table.lists:
            continue
        recordings = defaultdict(set)
        for entry in table.of_split(split):
            recordings[entry.speaker].add(entry.recording)
        if not any(len(names) > 1 for names in recordings.values()):
            faults.append(
                f"{table.root.name} {split}: no speaker has two recordings, no target trial can "
                "cross recordings; blocks=4 with sessions='simulated' makes recordings"
            )
        elif len(recordings) == 1:
            faults.append(
                f"{table.root.name} {split}: all utterances are of one speaker, there is no "
                "non-target trial; hold out more speakers"
            )
    return faults


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """The entries by split, speaker, recording and file, which are their training indices."""
    return sorted(
        entries,
        key=lambda entry: (SPLITS.index(entry.split), entry.speaker, entry.recording, entry.file),
    )


def read_list(table: Table, file: Path, name: str, files: Sequence[str], begin: int) -> None:
    """Read a trial list of `files`, the names of the entries from `begin` on."""
    rows, faults = parse_trials(file, files)
    if not faults and len(set(rows[:, 0])) == 1:
        faults = [f"{file.name}: all {len(rows):,} trials have label {rows[0, 0]}, both are needed"]
    table.faults += faults
    rows[:, 1:] += begin
    table.lists[name] = rows


def held_out(entries: list[Entry], share: float, most: int = 100) -> set[str]:
    """Speakers to hold out: `share` of all, at least 2 and at most `most`, by a hash of the name.

    Only speakers with several recordings give target trials, so up to half of them come first.
    """
    recordings = defaultdict(set)
    for entry in entries:
        recordings[entry.speaker].add(entry.recording)
    order = sorted(recordings, key=lambda name: hashlib.sha256(name.encode()).digest())
    several = [name for name in order if len(recordings[name]) > 1]
    single = [name for name in order if len(recordings[name]) == 1]
    count = min(max(2, round(share * len(order))), most)
    chosen = several[: min(count, (len(several) + 1) // 2)]
    return set(chosen + single[: count - len(chosen)])
