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
        """Write the list with the corpus's keys as file names."""
        rows = zip(self.labels, keys[self.first], keys[self.second], strict=True)
        Path(path).write_text("".join(f"{label} {a} {b}\n" for label, a, b in rows))


def read_trials(path: Path, keys: np.ndarray) -> Trials:
    """Read a trial list whose files are `keys` of a corpus.

    Raises:
        ValueError: malformed lines and unknown files, all of them with their line numbers.
    """
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
        if not unknown:
            rows.append((int(parts[0]), position[parts[1]], position[parts[2]]))
    if not rows and not faults:
        faults.append(f"{name} holds no trial; expected lines '1|0 fileA fileB'")
    return np.asarray(rows, np.int64).reshape(-1, 3), faults


def make_trials(
    speakers: np.ndarray, recordings: np.ndarray, targets_per_speaker: int, seed: int
) -> Trials:
    """Balanced trials: targets cross recordings, as many non-targets as targets.

    Args:
        speakers, recordings: (N,) labels.
        targets_per_speaker: number of target trials of each speaker with two recordings or more.
    """
    rng = np.random.default_rng(seed)
    a, b = np.triu_indices(len(speakers), 1)
    same = speakers[a] == speakers[b]
    target = np.flatnonzero(same & (recordings[a] != recordings[b]))
    if len(target) == 0:
        raise ValueError("no speaker has two recordings: no target trial can cross recordings")
    shuffled = rng.permutation(target)
    order = np.argsort(speakers[a[shuffled]], kind="stable")
    sorted_speakers = speakers[a[shuffled[order]]]
    rank = np.arange(len(order)) - np.searchsorted(sorted_speakers, sorted_speakers)
    target = np.sort(shuffled[order[rank < targets_per_speaker]])
    other = np.flatnonzero(~same)
    other = np.sort(rng.choice(other, min(len(target), len(other)), replace=False))
    chosen = np.concatenate([target, other])
    label = np.repeat([1, 0], [len(target), len(other)]).astype(np.int64)
    return Trials(label, a[chosen], b[chosen])
