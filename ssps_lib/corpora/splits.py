"""Training, development and test speakers: chosen in a table, and cut out of a packed corpus."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ssps_lib.corpora.corpus import Corpus, Splits
from ssps_lib.corpora.table import DEV, Entry, Table, in_order
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

    Test speakers are those of test.csv, or those that trials.txt names, or `share` of all.
    Development speakers are those of dev.csv, or `share` of the others. Reads trials.txt and
    dev_trials.txt.
    """
    listed = table.root / "trials.txt"
    dev, test = ({entry.speaker for entry in table.of_split(name)} for name in ("dev", "test"))
    if not test and listed.is_file():
        rows = parse_trials(listed, [entry.file for entry in table.entries]).rows
        test = {table.entries[i].speaker for row in rows for i in row[1:]}
    others = [entry for entry in table.entries if entry.speaker not in test | dev]
    needed = 2 + 2 * (not dev) + 2 * (not test)
    count = len({entry.speaker for entry in others})
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
    split = {entry.speaker: "train" for entry in table.entries}
    split |= dict.fromkeys(dev, "dev") | dict.fromkeys(test, "test")
    table.entries = in_order(replace(e, split=split[e.speaker]) for e in table.entries)
    for name, part in (("trials", "test"), ("dev_trials", DEV)):
        if (listed := table.root / f"{name}.txt").is_file():
            files = [entry.file for entry in table.of_split(part)]
            table.read_list(listed, DEV if part == DEV else name, files, table.bounds()[part][0])


def missing_trials(table: Table) -> list[str]:
    """Why held-out speakers could not be scored: faults that files alone do not show.

    Args:
        table: with its splits decided and its lists read.
    """
    faults = []
    for split in ("dev", "test"):
        listed = DEV in table.lists if split == "dev" else table.test_lists
        if listed:
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


def make_splits(
    packed: Corpus,
    bounds: Bounds,
    rows: np.ndarray | None,
    seed: int,
    dev_rows: np.ndarray | None = None,
) -> Splits:
    """Cut a packed corpus into splits.

    Args:
        rows: (T, 3) test trials, positions in `packed`, or None to make trials. Where they reach
            beyond the test split (VoxCeleb1-E and -H), the test utterances do so as well.
        dev_rows: (T, 3) development trials, or None to make them.

    Raises:
        ValueError: an empty split; no speaker of a held-out split has two recordings; trials of
            one kind only.
    """
    empty = [split for split in ("train", "dev", "test") if bounds[split][0] == bounds[split][1]]
    if empty:
        raise ValueError(f"no {empty[0]} utterance of '{packed.name}' is left: mend its files")
    for some in (rows, dev_rows):
        if some is not None and (kinds := len(set(some[:, 0]))) < 2:
            raise ValueError(
                f"the {len(some):,} trials of '{packed.name}' that are left have {kinds} of the "
                "labels 0 and 1, both are needed: mend the files that were left out"
            )
    begin, end = bounds["test"]
    if rows is not None:
        begin, end = min(begin, rows[:, 1:].min()), max(end, rows[:, 1:].max() + 1)
    test = packed.part(begin, end, f"{packed.name} test")
    train, dev = (
        packed.part(*bounds[split], f"{packed.name} {split}") for split in ("train", "dev")
    )
    dev_trials = _trials(dev, dev_rows, bounds["dev"][0], seed)
    return Splits(train, dev, test, dev_trials, _trials(test, rows, begin, seed))


def _trials(part: Corpus, rows: np.ndarray | None, begin: int, seed: int) -> Trials:
    """The rows as trials of a part that begins at `begin`; made ones where there are none."""
    if rows is not None:
        return Trials(rows[:, 0], rows[:, 1] - begin, rows[:, 2] - begin)
    try:
        return make_trials(part.speakers, part.recordings, TARGETS_PER_SPEAKER, seed)
    except ValueError as error:
        raise ValueError(
            f"{part.name}: {error}; blocks=4 with sessions='simulated' makes recordings"
        ) from None
