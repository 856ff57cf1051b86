"""A corpus: utterances with speaker and recording labels, read at random by training index."""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
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
    """

    name: str
    samples: np.ndarray
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

    def audio(self, index: int) -> np.ndarray:
        """All samples of one utterance, (T,) int16."""
        return np.asarray(self.samples[self.offsets[index] : self.offsets[index + 1]])

    def crops(self, index: np.ndarray, uniform: np.ndarray, samples: int) -> np.ndarray:
        """One crop of an utterance for each index, (B, samples) int16.

        `uniform` (B,) in [0, 1) places the crop; an utterance shorter than the crop is repeated.
        """
        out = np.empty((len(index), samples), np.int16)
        for row, (i, u) in enumerate(zip(index, uniform, strict=True)):
            begin, end = self.offsets[i], self.offsets[i + 1]
            if end - begin >= samples:
                start = begin + int(u * (end - begin - samples + 1))
                out[row] = self.samples[start : start + samples]
            else:
                out[row] = np.resize(self.samples[begin:end], samples)
        return out

    def subset(self, index: np.ndarray, name: str | None = None) -> "Corpus":
        """The utterances of `index` as a corpus of its own (audio is copied into memory)."""
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


def labels(names: Iterable[str]) -> np.ndarray:
    """Integer labels from 0 in the sorted order of the names, (N,) int64."""
    return np.unique(np.asarray(list(names)), return_inverse=True)[1].astype(np.int64)


def write_packed(
    folder: Path, name: str, batches: Iterable[Iterable[np.ndarray]], keys: list[str]
) -> Corpus:
    """Write utterances (batches of int16 arrays, in the order of `keys`) as one packed file.

    The folder appears under its name only when it is complete, so an interrupted or failed write
    leaves nothing that could be mistaken for a corpus.
    """
    folder = Path(folder)
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True, exist_ok=True)
    lengths = []
    try:
        with open(partial / "audio.int16", "wb") as file:
            for batch in batches:
                for audio in batch:
                    lengths.append(len(audio))
                    file.write(np.ascontiguousarray(audio, np.int16).tobytes())
        if len(lengths) != len(keys):
            raise ValueError(f"{len(lengths)} utterances were given for {len(keys)} keys")
        np.save(partial / "lengths.npy", np.asarray(lengths, np.int64))
        np.save(partial / "keys.npy", np.asarray(keys, np.str_))
        (partial / "corpus.json").write_text(json.dumps({"name": name, "utterances": len(keys)}))
        if folder.exists():  # another process was faster
            shutil.rmtree(partial)
        else:
            partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return read_packed(folder)


def read_packed(folder: Path) -> Corpus:
    """Open a packed corpus without reading its audio.

    Speaker and recording labels follow from the keys.
    """
    folder = Path(folder)
    name = json.loads((folder / "corpus.json").read_text())["name"]
    keys = np.load(folder / "keys.npy")
    offsets = np.concatenate([[0], np.cumsum(np.load(folder / "lengths.npy"))])
    size = (folder / "audio.int16").stat().st_size
    if size != 2 * offsets[-1]:
        raise ValueError(
            f"{folder}/audio.int16 has {size} bytes, {2 * offsets[-1]} were expected: "
            "the file was truncated; delete the folder and pack the corpus again"
        )
    speaker = [key.split("/")[0] for key in keys]
    recording = ["/".join(key.split("/")[:2]) for key in keys]
    return Corpus(
        name,
        np.memmap(folder / "audio.int16", np.int16, "r"),
        offsets,
        labels(speaker),
        labels(recording),
        keys,
    )
