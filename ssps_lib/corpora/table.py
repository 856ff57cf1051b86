"""The table of a folder of recordings: which file is whose, from where, and in which split."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from ssps_lib.corpora.corpus import labels
from ssps_lib.corpora.faults import counted
from ssps_lib.corpora.lists import read_rows
from ssps_lib.corpora.trials import make_trials, parse_trials
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
    def name(self) -> str:
        """What the corpus is called."""
        return self.root.resolve().name if self.layout == "folder" else self.layout

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
        rows = found.rows
        if not found.faults and len(set(rows[:, 0])) == 1:
            text = f"all {len(rows):,} trials have label {rows[0, 0]}, both are needed"
            found.faults.append(f"{file.name}: {text}")
        self.faults += found.faults
        self.notes += found.notes
        self.lists[name] = rows + np.array([0, begin, begin])


def read_csv(table: Table, name: str, split: str) -> None:
    """Add what a list with columns file, speaker, recording names, or the faults of it."""
    seen = {entry.file: f"{entry.split}.csv" for entry in table.entries}
    listed = {entry.speaker: f"{entry.split}.csv" for entry in table.entries}
    faults, before = [], len(table.entries)
    try:
        for line, file, speaker, recording in read_rows(table.root / name):
            where = f"{name}, line {line}"
            if not (file and speaker and recording):
                faults.append(f"{where}: one of file, speaker, recording is empty")
            elif "/" in speaker + recording:
                faults.append(f"{where}: '/' in the name of a speaker or recording")
            elif file.startswith(("../", "/")) or file == "..":
                faults.append(f"{where}: '{file}' lies outside the corpus folder")
            elif file in seen:
                faults.append(f"{where}: '{file}' was listed before, in {seen[file]}")
            elif speaker in listed:
                faults.append(f"{where}: speaker '{speaker}' is in {listed[speaker]} as well")
            else:
                seen[file] = where
                table.entries.append(Entry(file, speaker, recording, split))
    except ValueError as error:
        faults.append(str(error))
    if not faults and len(table.entries) == before:
        faults.append(f"{name}: names no file; fill it, or delete it")
    table.faults += faults


def duplicates(named: Iterable[tuple[str, str]]) -> Iterator[str]:
    """One text for each file, of (key, file) pairs, whose key another file has already."""
    first: dict[str, str] = {}
    for key, file in named:
        if first.setdefault(key, file) is not file:
            yield f"{file}: is utterance '{key}' a second time, beside {first[key]}"


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """The entries by split, speaker, recording and file, which are their training indices."""
    return sorted(entries, key=lambda e: (SPLITS.index(e.split), e.speaker, e.recording, e.file))


# -- splits -------------------------------------------------------------------------------------


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

    Test speakers are those of test.csv, or those that trials.txt names, or `share` of all.
    Development speakers are those of dev.csv, or `share` of the others. Reads trials.txt and
    dev_trials.txt.
    """
    if table.layout == "voxceleb":  # which has decided them
        table.entries = in_order(table.entries)
        return
    listed = table.root / "trials.txt"
    dev, test = ({entry.speaker for entry in table.of_split(name)} for name in ("dev", "test"))
    if listed.is_file() and not test:
        rows = parse_trials(listed, [entry.file for entry in table.entries]).rows
        test = {table.entries[i].speaker for i in rows[:, 1:].flat}
    others = [entry for entry in table.entries if entry.speaker not in test | dev]
    count = len({entry.speaker for entry in others})
    needed = 2 + 2 * (not dev) + 2 * (not test)
    if count < needed:
        if table.entries and not table.faults:  # which may be why so few are left
            table.faults.append(
                f"{count} speakers{' beside those held out' if test or dev else ''} are too few: "
                f"at least {needed} are needed, as training and held-out speakers are disjoint"
            )
        return
    if not test:
        test = held_out(others, share)
        others = [entry for entry in others if entry.speaker not in test]
    dev = dev or held_out(others, share)
    split = dict.fromkeys(dev, "dev") | dict.fromkeys(test, "test")
    table.entries = in_order(
        replace(entry, split=split.get(entry.speaker, "train")) for entry in table.entries
    )
    for file, part, name in ("trials.txt", "test", "trials"), ("dev_trials.txt", "dev", DEV):
        if (listed := table.root / file).is_file():
            files = [entry.file for entry in table.of_split(part)]
            table.read_list(listed, name, files, table.bounds()[part][0])


def missing_trials(table: Table) -> list[str]:
    """Why held-out speakers could not be scored: faults that files alone do not show."""
    faults = []
    listed = {"dev": DEV in table.lists, "test": bool(table.test_lists)}
    for split in (name for name, known in listed.items() if not known):
        pairs = [(entry.speaker, entry.recording) for entry in table.of_split(split)]
        try:
            make_trials(
                labels([speaker for speaker, _ in pairs]), labels(list(map("/".join, pairs))), 1, 0
            )
        except ValueError as error:
            faults.append(f"{table.root.name} {split}: {error}")
    return faults


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
