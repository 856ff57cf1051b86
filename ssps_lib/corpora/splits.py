"""Training, development and test speakers of a table."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ssps_lib.corpora.table import Entry, Table, in_order
from ssps_lib.corpora.trials import parse_trials


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
    listed = table.root / "trials.txt"
    test = {entry.speaker for entry in table.entries if entry.split == "test"}
    if listed.is_file() and not all(entry.split for entry in table.entries):
        rows = parse_trials(listed, [entry.file for entry in table.entries]).rows
        test = {table.entries[i].speaker for i in rows[:, 1:].flat}
    others = [entry for entry in table.entries if entry.speaker not in test]
    count, needed = len({entry.speaker for entry in others}), 4 if test else 6
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
    split = dict.fromkeys(held_out(others, share), "dev") | dict.fromkeys(test, "test")
    table.entries = in_order(
        replace(entry, split=split.get(entry.speaker, "train")) for entry in table.entries
    )
    if listed.is_file():
        files = [entry.file for entry in table.of_split("test")]
        table.read_list(listed, "trials", files, table.bounds()["test"][0])


def missing_trials(table: Table) -> list[str]:
    """Why held-out speakers could not be scored: faults that files alone do not show.

    Args:
        table: with its splits decided and its lists read.
    """
    faults = []
    for split in ("dev", "test") if not table.lists else ("dev",):
        recordings = _recordings(table.of_split(split))
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


def _recordings(entries: Iterable[Entry]) -> dict[str, set[str]]:
    """The recordings of each speaker."""
    found = defaultdict(set)
    for entry in entries:
        found[entry.speaker].add(entry.recording)
    return found


def held_out(entries: list[Entry], share: float, most: int = 100) -> set[str]:
    """Speakers to hold out: `share` of all, at least 2 and at most `most`, by a hash of the name.

    Only speakers with several recordings give target trials, so up to half of them come first.
    """
    recordings = _recordings(entries)
    order = sorted(recordings, key=lambda name: hashlib.sha256(name.encode()).digest())
    several = [name for name in order if len(recordings[name]) > 1]
    single = [name for name in order if len(recordings[name]) == 1]
    count = min(max(2, round(share * len(order))), most)
    chosen = several[: min(count, (len(several) + 1) // 2)]
    return set(chosen + single[: count - len(chosen)])
