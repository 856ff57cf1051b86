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


@dataclass
class Parsed:
    """A trial list: rows (T, 3) int64 (label, first, second), its faults, and what is odd."""

    rows: np.ndarray
    faults: list[str]
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
    labels, first, second = found.rows.T
    return Trials(labels, first, second, [str(key) for key in keys])


def write_trials(path: Path, trials: Trials, keys: Sequence[str] | np.ndarray) -> None:
    """Write trials in VoxCeleb's format with the keys of their corpus as file names."""
    keys = np.asarray(keys)
    rows = zip(trials.labels, keys[trials.first], keys[trials.second], strict=True)
    with files.whole(Path(path)) as partial:
        partial.write_text("".join(f"{x} {a} {b}\n" for x, a, b in rows), encoding="utf-8")


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

    Labels must not contradict the `speakers` of the keys.
    """
    position = {file_name(str(key)): i for i, key in enumerate(keys)}
    name, rows, numbers, faults, repeated = Path(path).name, [], [], [], 0
    seen: dict[frozenset, tuple[str, int]] = {}  # label and line of each pair
    try:
        for number, parts in _lines(path):
            where = f"{name}, line {number}"
            if len(parts) == 1:
                faults.append(f"{where}: '{parts[0]}' is not '{FORM}'{_seen(parts[0])}")
                continue
            same, first, second = parts
            unknown = [key for key in (first, second) if key not in position]
            faults += [f"{where}: '{key}' is not in the corpus" for key in unknown]
            if first == second:
                faults.append(f"{where}: '{first}' twice, a trial is of two files")
            elif not unknown:
                rows.append((int(same), position[first], position[second]))
                numbers.append(number)
                before, line = seen.setdefault(frozenset(rows[-1][1:]), (same, number))
                repeated += line != number and before == same
                if before != same:
                    pair = f"'{first}' and '{second}'"
                    faults.append(
                        f"{where}: {pair} have label {same} here and {before} in line {line}"
                    )
    except ValueError as error:  # of the encoding
        faults = [str(error)]
    if not rows and not faults:
        faults.append(f"{name} holds no trial; expected lines '{FORM}'")
    faults += _against(speakers, rows, numbers, name) if speakers is not None else []
    note = f"{name}: {counted(repeated, 'trial')} repeated, counted each time"
    return Parsed(np.array(rows, np.int64).reshape(-1, 3), faults, [note] * bool(repeated))


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


def _against(
    speakers: Sequence[str], rows: list[tuple], numbers: list[int], name: str
) -> list[str]:
    """Where labels contradict the speakers of the corpus."""
    names = [label(speaker) for speaker in speakers]
    wrong = [i for i, (same, a, b) in enumerate(rows) if (names[a] == names[b]) != same]
    if len(wrong) > len(rows) / 2:
        return [
            f"{name}: {len(wrong):,} of {len(rows):,} labels contradict the speakers of the "
            "corpus; are they reversed? 1 stands for the same speaker"
        ]
    return [
        f"{name}, line {numbers[i]}: label {rows[i][0]}, but the files are of speakers "
        f"'{speakers[rows[i][1]]}' and '{speakers[rows[i][2]]}'"
        for i in wrong
    ]


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
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(speakers == speaker) for speaker in np.unique(speakers)]
    first, second = _target_pairs(members, recordings)
    if len(first) == 0:
        raise ValueError(
            "no speaker has two recordings, no target trial can cross recordings; blocks=4 with "
            "sessions='simulated' makes recordings of a folder"
        )
    if len(members) == 1:
        raise ValueError(
            "all utterances are of one speaker, there is no non-target trial; hold out more of "
            "the speakers"
        )
    shuffled = rng.permutation(len(first))
    order = shuffled[np.argsort(speakers[first[shuffled]], kind="stable")]
    grouped = speakers[first[order]]
    rank = np.arange(len(order)) - np.searchsorted(grouped, grouped)  # within the speaker
    chosen = np.sort(order[rank < targets_per_speaker])
    a, b = _nontarget_pairs(speakers, members, len(chosen), rng)
    label = np.repeat([1, 0], [len(chosen), len(a)])
    return Trials(label, np.append(first[chosen], a), np.append(second[chosen], b))


def _target_pairs(members: list[np.ndarray], recordings: np.ndarray) -> np.ndarray:
    """All pairs a < b of one speaker's utterances from two recordings, sorted by a, then b."""
    pairs = np.hstack([rows[np.stack(np.triu_indices(len(rows), 1))] for rows in members])
    a, b = pairs[:, recordings[pairs[0]] != recordings[pairs[1]]]
    order = np.lexsort((b, a))
    return np.stack([a[order], b[order]])


def _nontarget_pairs(
    speakers: np.ndarray, members: list[np.ndarray], most: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Some pairs a < b of two speakers, drawn by their ranks when all are sorted by a, then b."""
    count = np.arange(len(speakers))[::-1].copy()  # of the pairs that begin with each utterance
    for rows in members:
        count[rows] -= np.arange(len(rows))[::-1]
    until = np.cumsum(count)
    ranks = np.sort(rng.choice(until[-1], min(most, until[-1]), replace=False))
    a = np.searchsorted(until, ranks, side="right")
    steps = ranks - (until - count)[a]
    b = [i + np.flatnonzero(speakers[i:] != speakers[i])[k] for i, k in zip(a, steps, strict=True)]
    return a, np.array(b)
