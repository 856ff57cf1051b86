"""Verification trials in VoxCeleb's format: `1|0 fileA fileB`, 1 for the same speaker."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ssps_lib import files
from ssps_lib.corpora.faults import counted, listed
from ssps_lib.corpora.lists import file_name, label, read_text

FORM = "1|0 fileA fileB"
WORDS = ("target", "nontarget")


@dataclass
class Trials:
    """T trials between utterances of one corpus.

    Attributes:
        labels: (T,) int64, 1 = target (same speaker), 0 = non-target.
        first, second: (T,) int64 indices of the two utterances.
        keys: names of the utterances that the indices point to, where the trials were read.
    """

    labels: np.ndarray
    first: np.ndarray
    second: np.ndarray
    keys: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def write(self, path: Path, keys: Sequence[str] | np.ndarray) -> None:
        """Write the list with the corpus's keys as file names."""
        keys = np.asarray(keys)
        rows = zip(self.labels, keys[self.first], keys[self.second], strict=True)
        with files.whole(Path(path)) as partial:
            partial.write_text("".join(f"{x} {a} {b}\n" for x, a, b in rows), encoding="utf-8")


@dataclass
class Parsed:
    """A trial list: rows (T, 3) int64 (label, first, second), its faults, and what is odd."""

    rows: np.ndarray
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_trials(path: Path, keys: Sequence[str] | np.ndarray | None = None) -> Trials:
    """Read a trial list whose files are `keys` of a corpus, `<speaker>/<recording>/<utterance>`.

    Args:
        keys: by default all files that the list names, of which no speaker is known.

    Raises:
        ValueError: no such file; another encoding; lines of another form, unknown files, labels
            that contradict each other or the speakers: all of them with their line numbers.
    """
    speakers = None
    if keys is None:
        keys = list(dict.fromkeys(name for _, parts in _lines(path) for name in parts[1:]))
    elif all(str(key).count("/") >= 2 for key in keys):
        speakers = [str(key).split("/")[0] for key in keys]
    found = parse_trials(path, keys, speakers)
    if found.faults:
        many = counted(len(found.faults), "fault")
        raise ValueError(f"{path} has {many}:\n{listed(found.faults)}")
    for note in found.notes:
        warnings.warn(note, stacklevel=2)
    label, first, second = found.rows.T
    return Trials(label, first, second, [str(key) for key in keys])


def write_trials(path: Path, trials: Trials, keys: Sequence[str] | np.ndarray) -> None:
    """Write trials in VoxCeleb's format with the keys of their corpus as file names."""
    trials.write(path, keys)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number, label and two files of each line; any other line as it is, in one part."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        parts = line.split()
        if len(parts) == 3 and parts[0] in ("0", "1"):
            yield number, [parts[0], *map(file_name, parts[1:])]
        elif parts:
            yield number, [line]


def parse_trials(
    path: Path, keys: Sequence[str] | np.ndarray, speakers: Sequence[str] | None = None
) -> Parsed:
    """The sound lines of a trial list, positions in `keys`, and the faults of the others.

    Args:
        speakers: of the keys, which the labels must not contradict.
    """
    position = {file_name(str(key)): i for i, key in enumerate(keys)}
    name, rows, numbers, faults = Path(path).name, [], [], []
    try:
        for number, parts in _lines(path):
            where = f"{name}, line {number}"
            if len(parts) == 1:
                faults.append(f"{where}: '{parts[0]}' is not '{FORM}'{_seen(parts[0])}")
                continue
            unknown = [key for key in parts[1:] if key not in position]
            faults += [f"{where}: '{key}' is not in the corpus" for key in unknown]
            if parts[1] == parts[2]:
                faults.append(f"{where}: '{parts[1]}' twice, a trial is of two files")
            elif not unknown:
                rows.append((int(parts[0]), position[parts[1]], position[parts[2]]))
                numbers.append(number)
    except ValueError as error:  # of the encoding
        return Parsed(np.empty((0, 3), np.int64), [str(error)])
    if not rows and not faults:
        faults.append(f"{name} holds no trial; expected lines '{FORM}'")
    found = Parsed(np.asarray(rows, np.int64).reshape(-1, 3), faults)
    _judge(found, name, np.asarray(numbers, np.int64), [str(key) for key in keys], speakers)
    return found


def _seen(line: str) -> str:
    """Which other form of a trial list a line has, as the end of a sentence."""
    parts = line.split()
    if parts[-1].lower() in WORDS:
        return ", it has Kaldi's form 'fileA fileB target|nontarget': put 1 or 0 in front"
    if parts[0].lower() in WORDS:
        return ", its label is a word: write 1 for target, 0 for nontarget"
    if len(parts) == 3 and parts[2] in ("0", "1"):
        return ", its label comes last: put it in front"
    mark = next((mark for mark in ";,|" if line.count(mark) == 2), None)
    if mark is not None:
        return f", its columns are separated by '{mark}': separate them by blanks"
    blanks = ": are there blanks in names?" if len(parts) > 3 else ""
    return f", it has {counted(len(parts), 'column')}{blanks}"


def _judge(
    found: Parsed, name: str, numbers: np.ndarray, keys: list[str], speakers: Sequence[str] | None
) -> None:
    """Add what sound lines say against each other, and against the speakers of the corpus."""
    rows = found.rows
    if not len(rows):
        return
    pairs = np.sort(rows[:, 1:], 1) @ np.array([len(keys), 1])
    _, first, which = np.unique(pairs, return_index=True, return_inverse=True)
    odd = rows[:, 0] != rows[first[which], 0]
    for row in np.flatnonzero(odd):
        a, b = (keys[i] for i in rows[row, 1:])
        found.faults.append(
            f"{name}, line {numbers[row]}: '{a}' and '{b}' have label {rows[row, 0]} here and "
            f"{1 - rows[row, 0]} in line {numbers[first[which[row]]]}"
        )
    if (repeated := len(rows) - len(first) - int(odd.sum())) > 0:
        found.notes.append(f"{name}: {counted(repeated, 'trial')} repeated, counted each time")
    if speakers is None:
        return
    ids = np.unique([label(speaker) for speaker in speakers], return_inverse=True)[1]
    wrong = np.flatnonzero((ids[rows[:, 1]] == ids[rows[:, 2]]) != rows[:, 0])
    if len(wrong) > len(rows) / 2:
        found.faults.append(
            f"{name}: {len(wrong):,} of {len(rows):,} labels contradict the speakers of the "
            "corpus; are they reversed? 1 stands for the same speaker"
        )
        return
    for row in wrong:
        a, b = (speakers[i] for i in rows[row, 1:])
        found.faults.append(
            f"{name}, line {numbers[row]}: label {rows[row, 0]}, but the files are of speakers "
            f"'{a}' and '{b}'"
        )


def make_trials(
    speakers: np.ndarray, recordings: np.ndarray, targets_per_speaker: int, seed: int
) -> Trials:
    """Balanced trials: targets cross recordings, as many non-targets as targets.

    Every possible pair is as likely as any other of its kind, and none comes twice. Only pairs of
    one speaker are ever enumerated, so that large corpora need little memory.

    Args:
        speakers, recordings: (N,) labels.
        targets_per_speaker: number of target trials of each speaker, or all of them if fewer.

    Raises:
        ValueError: no speaker has two recordings, or there is only one, so that one kind of trial
            is missing.
    """
    speakers, recordings = np.asarray(speakers), np.asarray(recordings)
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(speakers == speaker) for speaker in np.unique(speakers)]
    first, second = _target_pairs(members, recordings) if members else ((), ())
    if len(first) == 0:
        raise ValueError("no speaker has two recordings: no target trial can cross recordings")
    if len(members) == 1:
        raise ValueError("all utterances are of one speaker: there is no non-target trial")
    shuffled = rng.permutation(len(first))
    order = shuffled[np.argsort(speakers[first[shuffled]], kind="stable")]
    grouped = speakers[first[order]]
    rank = np.arange(len(order)) - np.searchsorted(grouped, grouped)  # within the speaker
    chosen = np.sort(order[rank < targets_per_speaker])
    others = _pairs(len(speakers)) - sum(_pairs(len(group)) for group in members)
    ranks = np.sort(rng.choice(others, min(len(chosen), others), replace=False))
    a, b = _nontarget_pairs(members, ranks)
    label = np.repeat([1, 0], [len(chosen), len(ranks)]).astype(np.int64)
    return Trials(label, np.append(first[chosen], a), np.append(second[chosen], b))


def _pairs(n: int) -> int:
    return n * (n - 1) // 2


def _target_pairs(members: list[np.ndarray], recordings: np.ndarray) -> tuple:
    """All pairs a < b of one speaker's utterances from two recordings, sorted by a, then b."""
    pairs = []
    for group in members:
        i, j = np.triu_indices(len(group), 1)
        a, b = group[i], group[j]
        across = recordings[a] != recordings[b]
        pairs.append(np.stack([a[across], b[across]]))
    a, b = np.concatenate(pairs, axis=1)
    order = np.lexsort((b, a))
    return a[order], b[order]


def _nontarget_pairs(members: list[np.ndarray], ranks: np.ndarray) -> tuple:
    """The pairs a < b of two speakers that have these ranks when sorted by a, then b."""
    n = sum(map(len, members))
    group = np.empty(n, np.int64)  # speaker of each utterance
    place = np.empty(n, np.int64)  # and its place among that speaker's utterances
    for g, rows in enumerate(members):
        group[rows], place[rows] = g, np.arange(len(rows))
    same_later = np.array([len(rows) for rows in members])[group] - 1 - place
    count = n - 1 - np.arange(n) - same_later  # pairs that begin with each utterance
    until = np.cumsum(count)
    a = np.searchsorted(until, ranks, side="right")
    step = ranks - (until - count)[a]  # other speakers' utterances between a and b
    b = a + 1 + step
    for row, (i, k) in enumerate(zip(a, step, strict=True)):
        later = members[group[i]][place[i] + 1 :]
        passed = later - i - 1 - np.arange(len(later))  # others before each of the same speaker
        b[row] += np.searchsorted(passed, k, side="right")
    return a, b
