"""A corpus: utterances with speaker and recording labels, read at random by training index."""

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ssps_lib.corpora.trials import Trials

SAMPLE_RATE = 16_000


@dataclass
class Corpus:
    """N utterances as packed int16 samples at 16 kHz (Section IV-A).

    A training index is a position in these arrays and never changes. Labels are for the supervised
    baseline and for observers; a self-supervised run does not read them.

    Attributes:
        name: what errors and figures call the corpus.
        samples: (total,) int16, usually a memory map.
        offsets: (N + 1,) int64, utterance i is `samples[offsets[i]:offsets[i + 1]]`.
        speakers, recordings: (N,) int64 labels from 0, recordings distinct between speakers.
        keys: N names `<speaker>/<recording>/<utterance>`.
        checksums: (N,) uint32, CRC-32 of each utterance's samples, if they were stored.
    """

    name: str
    samples: np.ndarray
    offsets: np.ndarray
    speakers: np.ndarray
    recordings: np.ndarray
    keys: np.ndarray
    checksums: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.speakers)

    @property
    def lengths(self) -> np.ndarray:
        """(N,) number of samples of each utterance."""
        return np.diff(self.offsets)

    @property
    def hours(self) -> float:
        """Duration of the whole corpus."""
        return float(self.offsets[-1]) / SAMPLE_RATE / 3600

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits of names, lengths and samples: a resumed run knows them."""
        checksums = self.checksums
        if checksums is None:
            checksums = np.array([checksum(self.audio(i)) for i in range(len(self))], np.uint32)
        digest = hashlib.sha256(self.lengths.astype("<i8").tobytes())
        digest.update(checksums.astype("<u4").tobytes())
        digest.update("\n".join(map(str, self.keys)).encode())
        return digest.hexdigest()[:12]

    def audio(self, index: int) -> np.ndarray:
        """All samples of one utterance, (T,) int16.

        Raises:
            ValueError: no training index of this corpus, which a negative number is not either.
        """
        self._check([index])
        return np.asarray(self.samples[self.offsets[index] : self.offsets[index + 1]])

    def crops(self, index: np.ndarray, uniform: np.ndarray, samples: int) -> np.ndarray:
        """One crop of an utterance for each index, (B, samples) int16.

        `uniform` (B,) in [0, 1) places the crop; an utterance shorter than the crop is repeated.

        Raises:
            ValueError: an index that the corpus does not have.
        """
        self._check(index)
        out = np.empty((len(index), samples), np.int16)
        for row, i, u in zip(out, index, uniform, strict=True):
            begin, end = self.offsets[i], self.offsets[i + 1]
            if end - begin >= samples:
                start = begin + int(u * (end - begin - samples + 1))
                row[:] = self.samples[start : start + samples]
            else:
                row[:] = np.resize(self.samples[begin:end], samples)
        return out

    def _check(self, index: np.ndarray | Sequence[int]) -> None:
        """ValueError for what numpy would count from the end where negative."""
        if len(index) and not 0 <= np.min(index) <= np.max(index) < len(self):
            raise ValueError(
                f"training indices from {np.min(index)} to {np.max(index)} were asked of the "
                f"corpus '{self.name}', they must lie in [0, {len(self)}): do they belong to "
                "another corpus?"
            )

    def part(self, begin: int, end: int, name: str) -> "Corpus":
        """Utterances `begin` to `end` without copying their audio, with labels from 0."""
        offsets, rows = self.offsets[begin : end + 1], slice(begin, end)
        return Corpus(
            name,
            self.samples[offsets[0] : offsets[-1]],
            offsets - offsets[0],
            labels(self.speakers[rows]),
            labels(self.recordings[rows]),
            self.keys[rows],
            None if self.checksums is None else self.checksums[rows],
        )


@dataclass
class Splits:
    """Training, development and test speakers are disjoint; the trials of a split name its own
    utterances. Choices are made on `dev`; `test` is scored once, when a run is finished."""

    train: Corpus
    dev: Corpus
    test: Corpus
    dev_trials: Trials
    test_trials: Trials
    bank: Path | None = None  # noises and rooms that belong to the corpus, None to generate them


def checksum(samples: np.ndarray) -> int:
    """CRC-32 of samples (T,) int16."""
    return zlib.crc32(np.ascontiguousarray(samples).astype("<i2", copy=False))


def labels(names: Sequence | np.ndarray) -> np.ndarray:
    """Integer labels from 0 in the sorted order of the names, (N,) int64."""
    return np.unique(np.asarray(names), return_inverse=True)[1].astype(np.int64)
