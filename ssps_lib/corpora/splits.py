"""Training, development and test speakers: chosen in a table, and cut out of a packed corpus."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ssps_lib.corpora.corpus import Corpus, Splits
from ssps_lib.corpora.table import Entry, Table, in_order
from ssps_lib.corpora.trials import Trials, make_trials, parse_trials

TARGETS_PER_SPEAKER = 60  # as in the simulated corpus
Bounds = dict[str, tuple[int, int]]  # where each split begins and ends


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
        rows = parse_trials(listed, [entry.file for entry in table.entries]).rows
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
        table.read_list(listed, "trials", files, table.bounds()["test"][0])


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


def make_splits(packed: Corpus, bounds: Bounds, rows: np.ndarray | None, seed: int) -> Splits:
    """Cut a packed corpus into splits.

    Args:
        rows: (T, 3) test trials, positions in `packed`, or None to make trials. Where they reach
            beyond the test split (VoxCeleb1-E and -H), the test utterances do so as well.

    Raises:
        ValueError: an empty split; no speaker of a held-out split has two recordings; trials of
            one kind only.
    """
    empty = [split for split in ("train", "dev", "test") if bounds[split][0] == bounds[split][1]]
    if empty:
        raise ValueError(f"no {empty[0]} utterance of '{packed.name}' is left: mend its files")
    begin, end = bounds["test"]
    if rows is not None:
        kinds = len(set(rows[:, 0]))
        if kinds < 2:
            raise ValueError(
                f"the {len(rows):,} trials of '{packed.name}' that are left have {kinds} of the "
                "labels 0 and 1, both are needed: mend the files that were left out"
            )
        begin, end = min(begin, rows[:, 1:].min()), max(end, rows[:, 1:].max() + 1)
    test = packed.part(begin, end, f"{packed.name} test")
    train, dev = (
        packed.part(*bounds[split], f"{packed.name} {split}") for split in ("train", "dev")
    )
    if rows is None:
        test_trials = _make_trials(test, seed)
    else:
        test_trials = Trials(rows[:, 0], rows[:, 1] - begin, rows[:, 2] - begin)
    return Splits(train, dev, test, _make_trials(dev, seed), test_trials)


def _make_trials(part: Corpus, seed: int) -> Trials:
    try:
        return make_trials(part.speakers, part.recordings, TARGETS_PER_SPEAKER, seed)
    except ValueError as error:
        raise ValueError(
            f"{part.name}: {error}; blocks=4 with sessions='simulated' makes recordings"
        ) from None
