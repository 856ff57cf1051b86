"""The table of a folder of recordings: which file is whose, from where, and in which split."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from ssps_lib.corpora.faults import counted
from ssps_lib.corpora.lists import read_rows
from ssps_lib.corpora.trials import parse_trials
from ssps_lib.corpora.walker import Walk, first_of_formats

DEV = "dev"  # the trial list of the development speakers; all others are of the test
SPLITS = ("train", "dev", "test", "rest")  # rest: only further trial lists name it
DEPTH = "<speaker>/<recording>/<utterance>"


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
        layout: "folder", "voxceleb" or "librispeech".
        entries: in the order of SPLITS once these are decided, then by file.
        faults: of the lists; nothing can be opened before they are mended.
        misplaced: audio files that are not where the layout has them, or have no usable name.
        lists: trial lists by name, rows (label, first, second) of positions in `entries`; `DEV` is
            that of the development speakers.
        notes: what differs from what was expected without being in the way.
        guessed: nobody has said which layout it is.
    """

    root: Path
    layout: str = "folder"
    entries: list[Entry] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    lists: dict[str, np.ndarray] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    guessed: bool = False

    @property
    def kind(self) -> str:
        """The layout, and the way out where it was told by the names in the folder."""
        doubt = self.guessed and self.layout != "folder"
        return self.layout + " by the names in it (layout='folder' if it is none)" * doubt

    @property
    def decided(self) -> bool:
        """Whether the layout itself has given every entry its split."""
        return self.layout == "voxceleb"

    def bounds(self) -> dict[str, tuple[int, int]]:
        """Where each split begins and ends in `entries`, once all are decided."""
        split = [SPLITS.index(entry.split) for entry in self.entries]
        edges = np.searchsorted(split, range(len(SPLITS) + 1)).tolist()
        return dict(zip(SPLITS, pairwise(edges), strict=True))

    @property
    def test_lists(self) -> dict[str, np.ndarray]:
        """The lists but for that of the development speakers."""
        return {name: rows for name, rows in self.lists.items() if name != DEV}

    def of_split(self, split: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.split == split]

    def take(self, found: Walk) -> list[str]:
        """Note what a walk passed over; returns its audio files, one for each utterance."""
        files, second = first_of_formats(found.files)
        self.misplaced += found.faults
        if second:
            many = counted(len(second), "file")
            self.notes.append(f"{many} left aside, second formats such as {second[0]}")
        if found.passed_over:
            self.notes.append(str(found))
        return files

    def read_list(self, file: Path, name: str, files: Sequence[str], begin: int) -> None:
        """Read a trial list of `files`, the names of the entries from `begin` on."""
        speakers = [entry.speaker for entry in self.entries[begin : begin + len(files)]]
        found = parse_trials(file, files, speakers)
        rows, faults = found.rows, found.faults
        if not faults and len(set(rows[:, 0])) == 1:
            text = f"all {len(rows):,} trials have label {rows[0, 0]}, both are needed"
            faults = [f"{file.name}: {text}"]
        self.faults += faults
        self.notes += found.notes
        rows[:, 1:] += begin
        self.lists[name] = rows


def read_csv(table: Table, name: str, split: str) -> None:
    """Add what a list with columns file, speaker, recording names, or the faults of it."""
    seen = {entry.file: f"{entry.split}.csv" for entry in table.entries}
    before = {entry.speaker: f"{entry.split}.csv" for entry in table.entries}
    size = len(table.entries), len(table.faults)
    try:
        for line, file, speaker, recording in read_rows(table.root / name):
            where = f"{name}, line {line}"
            if not (file and speaker and recording):
                table.faults.append(f"{where}: one of file, speaker, recording is empty")
            elif "/" in speaker + recording:
                table.faults.append(f"{where}: '/' in the name of a speaker or recording")
            elif file.startswith(("../", "/")) or file == "..":
                table.faults.append(f"{where}: '{file}' lies outside the corpus folder")
            elif file in seen:
                table.faults.append(f"{where}: '{file}' was listed before, in {seen[file]}")
            elif speaker in before:
                text = f"speaker '{speaker}' is in {before[speaker]} as well"
                table.faults.append(f"{where}: {text}")
            else:
                seen[file] = where
                table.entries.append(Entry(file, speaker, recording, split))
    except ValueError as error:
        table.faults.append(str(error))
    if size == (len(table.entries), len(table.faults)):
        table.faults.append(f"{name}: names no file; fill it, or delete it")


def duplicates(named: Iterable[tuple[str, str]]) -> Iterator[str]:
    """One text for each file, of (key, file) pairs, whose key another file has already."""
    first: dict[str, str] = {}
    for key, file in named:
        if first.setdefault(key, file) is not file:
            yield f"{file}: is utterance '{key}' a second time, beside {first[key]}"


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """The entries by split, speaker, recording and file, which are their training indices."""
    return sorted(
        entries,
        key=lambda entry: (SPLITS.index(entry.split), entry.speaker, entry.recording, entry.file),
    )
