"""Verification trials in VoxCeleb's format: `1|0 fileA fileB`, 1 for the same speaker."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssps_lib.corpora.faults import listed


@dataclass
class Trials:
    """T trials between utterances of one corpus.

    Attributes:
        labels: (T,) int64, 1 = target (same speaker), 0 = non-target.
        first, second: (T,) int64 indices of the two utterances.
    """

    labels: np.ndarray
    first: np.ndarray
    second: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def write(self, path: Path, keys: np.ndarray) -> None:
        """Write the list with the corpus's keys as file names.

        Raises:
            ValueError: a trial names an utterance that has no key.
        """
        named = np.append(self.first, self.second)
        if named.size and not (named.min() >= 0 and named.max() < len(keys)):
            raise ValueError(
                f"trials name utterances {named.min()} to {named.max()}, but there are "
                f"{len(keys)} keys: do they belong to another corpus?"
            )
        rows = zip(self.labels, keys[self.first], keys[self.second], strict=True)
        Path(path).write_text("".join(f"{label} {a} {b}\n" for label, a, b in rows))


def read_trials(path: Path, keys: np.ndarray) -> Trials:
    """Read a trial list whose files are `keys` of a corpus.

    Raises:
        ValueError: no such file; malformed lines and unknown files, all of them with their line
            numbers.
    """
    if not Path(path).is_file():
        raise ValueError(f"trial list '{path}' is not an existing file: check the path")
    rows, faults = parse_trials(path, keys)
    if faults:
        raise ValueError(f"{path} has {len(faults)} faults:\n{listed(faults)}")
    return Trials(*rows.T)


def parse_trials(path: Path, keys: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """The sound lines of a trial list and the faults of the others.

    Returns:
        (T, 3) int64 rows (label, first, second), positions in `keys`, and one text a fault.
    """
    position = {str(key): i for i, key in enumerate(keys)}
    name, rows, faults = Path(path).name, [], []
    for number, line in enumerate(Path(path).read_text(errors="replace").splitlines(), 1):
        parts = line.split()
        if not parts:
            continue
        if len(parts) != 3 or parts[0] not in ("0", "1"):
            faults.append(f"{name}, line {number}: '{line}' is not '1|0 fileA fileB'")
            continue
        unknown = [key for key in parts[1:] if key not in position]
        faults += [f"{name}, line {number}: '{key}' is not in the corpus" for key in unknown]
        if parts[1] == parts[2]:
            faults.append(f"{name}, line {number}: '{parts[1]}' twice, a trial is of two files")
        elif not unknown:
            rows.append((int(parts[0]), position[parts[1]], position[parts[2]]))
    if not rows and not faults:
        faults.append(f"{name} holds no trial; expected lines '1|0 fileA fileB'")
    return np.asarray(rows, np.int64).reshape(-1, 3), faults


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
        ValueError: labels of other lengths; no target asked for, or no seed; no speaker has two
            recordings, or there is only one, so that one kind of trial is missing.
    """
    speakers, recordings = np.asarray(speakers), np.asarray(recordings)
    if speakers.ndim != 1 or speakers.shape != recordings.shape:
        raise ValueError(
            f"labels of speakers have shape {speakers.shape} and of recordings "
            f"{recordings.shape}, one of each for every utterance is needed"
        )
    if not isinstance(targets_per_speaker, (int, np.integer)) or targets_per_speaker < 1:
        raise ValueError(
            f"targets_per_speaker is {targets_per_speaker!r}, a whole number of at least 1 is "
            "needed: without targets there is nothing to score"
        )
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"the seed of trials is {seed!r}, a whole number from 0 on is needed")
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
