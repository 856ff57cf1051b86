"""A corpus: utterances with speaker and recording labels, read at random by training index."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ssps_lib.corpora.shards import Shards
from ssps_lib.corpora.trials import Trials

SAMPLE_RATE = 16_000


@dataclass
class Corpus:
    """N utterances as packed int16 samples at 16 kHz (Section IV-A).

    A training index is a position in these arrays and never changes. Labels are for the supervised
    baseline and for observers; a self-supervised run does not read them.

    Attributes:
        name: what errors and figures call the corpus.
        samples: (total,) int16, usually a memory map, or several that read as one.
        offsets: (N + 1,) int64, utterance i is `samples[offsets[i]:offsets[i + 1]]`.
        speakers, recordings: (N,) int64 labels from 0, recordings distinct between speakers.
        keys: N names `<speaker>/<recording>/<utterance>`.
    """

    name: str
    samples: np.ndarray | Shards
    offsets: np.ndarray
    speakers: np.ndarray
    recordings: np.ndarray
    keys: np.ndarray

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
        """Twelve hexadecimal digits of the names and lengths, by which a resumed run knows it."""
        digest = hashlib.sha256(self.lengths.astype("<i8").tobytes())
        digest.update("\n".join(map(str, self.keys)).encode())
        return digest.hexdigest()[:12]

    def audio(self, index: int) -> np.ndarray:
        """All samples of one utterance, (T,) int16.

        Raises:
            ValueError: no training index of this corpus, which a negative number is not either.
        """
        if not (isinstance(index, (int, np.integer)) and 0 <= index < len(self)):
            self._checked(np.asarray([index]))
        return np.asarray(self.samples[self.offsets[index] : self.offsets[index + 1]])

    def crops(
        self, index: np.ndarray, uniform: np.ndarray, samples: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """One crop of an utterance for each index, (B, samples) int16, written to `out` if given.

        `uniform` (B,) in [0, 1) places the crop; an utterance shorter than the crop is repeated.

        Raises:
            ValueError: an index that the corpus does not have, a place outside [0, 1), no sample,
                `out` of another shape or type.
        """
        index, uniform = self._checked(index), np.asarray(uniform)
        if uniform.shape != index.shape or not ((uniform >= 0) & (uniform < 1)).all():
            span = f"{uniform.min()} to {uniform.max()}" if uniform.size else "none"
            raise ValueError(
                f"places of crops have shape {uniform.shape} and lie from {span}, one in [0, 1) "
                f"for each of {len(index)} utterances is needed"
            )
        if not isinstance(samples, (int, np.integer)) or samples < 1:
            raise ValueError(f"a crop of {samples!r} samples was asked for, at least 1 is needed")
        out = np.empty((len(index), samples), np.int16) if out is None else out
        if out.shape != (len(index), samples) or out.dtype != np.int16:
            raise ValueError(
                f"crops were to be written to {out.dtype} of shape {out.shape}, expected int16 of "
                f"shape {(len(index), samples)}"
            )
        for row, (i, u) in enumerate(zip(index, uniform, strict=True)):
            begin, end = self.offsets[i], self.offsets[i + 1]
            if end - begin >= samples:
                start = begin + int(u * (end - begin - samples + 1))
                out[row] = self.samples[start : start + samples]
            else:
                out[row] = np.resize(self.samples[begin:end], samples)
        return out

    def _checked(self, index: np.ndarray) -> np.ndarray:
        """The training indices (B,), which numpy would count from the end where negative."""
        index = np.asarray(index)
        if index.ndim != 1 or not (np.issubdtype(index.dtype, np.integer) or index.size == 0):
            raise ValueError(
                f"training indices are {index.dtype} of shape {index.shape}, expected whole "
                "numbers of shape (B,)"
            )
        if index.size and not (index.min() >= 0 and index.max() < len(self)):
            raise ValueError(
                f"training indices from {index.min()} to {index.max()} were asked of the corpus "
                f"'{self.name}', they must lie in [0, {len(self)}): do they belong to another "
                "corpus?"
            )
        return index

    def part(self, begin: int, end: int, name: str) -> "Corpus":
        """Utterances `begin` to `end` without copying their audio, with labels from 0.

        Raises:
            ValueError: no such range of utterances.
        """
        if not 0 <= begin < end <= len(self):
            raise ValueError(
                f"utterances {begin} to {end} were asked of the corpus '{self.name}', which has "
                f"{len(self)}: expected 0 <= begin < end <= {len(self)}"
            )
        offsets = self.offsets[begin : end + 1]
        return Corpus(
            name,
            self.samples[offsets[0] : offsets[-1]],
            offsets - offsets[0],
            np.unique(self.speakers[begin:end], return_inverse=True)[1],
            np.unique(self.recordings[begin:end], return_inverse=True)[1],
            self.keys[begin:end],
        )

    def subset(self, index: np.ndarray, name: str | None = None) -> "Corpus":
        """The utterances of `index` as a corpus of its own (audio is copied into memory).

        Raises:
            ValueError: no utterance, or an index that the corpus does not have.
        """
        index = self._checked(index)
        if len(index) == 0:
            raise ValueError(
                f"no utterance was chosen of the corpus '{self.name}', at least 1 is needed"
            )
        lengths = self.lengths[index]
        return Corpus(
            name or self.name,
            np.concatenate([self.audio(i) for i in index]),
            np.concatenate([[0], np.cumsum(lengths)]),
            np.unique(self.speakers[index], return_inverse=True)[1],
            np.unique(self.recordings[index], return_inverse=True)[1],
            self.keys[index],
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


def labels(names: Iterable[str]) -> np.ndarray:
    """Integer labels from 0 in the sorted order of the names, (N,) int64."""
    return np.unique(np.asarray(list(names)), return_inverse=True)[1].astype(np.int64)
