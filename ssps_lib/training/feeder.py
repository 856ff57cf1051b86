"""From training indices to augmented frames on the device."""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from ssps_lib import draws
from ssps_lib.augmentation import COLUMNS, Augmentation
from ssps_lib.corpora import SAMPLE_RATE, Corpus
from ssps_lib.devices import to_device

VIEWS, DISTORTIONS, REFERENCE, POSITIVES = 0, 100, 200, 300  # independent streams of draws


class Feeder:
    """Cuts and distorts the frames of a mini-batch (Section II, IV-A and IV-B).

    The frames of an utterance depend on (seed, epoch, training index) only, so any number of
    processes sees the same ones.
    """

    def __init__(
        self,
        corpus: Corpus,
        crops: tuple[float, ...],
        reference_crop: float,
        augmentation: Augmentation,
        seed: int,
        device: torch.device,
    ) -> None:
        """`crops` are the durations of the views in seconds."""
        self.corpus = corpus
        self.samples = [round(seconds * SAMPLE_RATE) for seconds in crops]
        self.reference_samples = round(reference_crop * SAMPLE_RATE)
        self.augmentation = augmentation
        self.seed = seed
        self.device = device
        self.cutter = Cutter(corpus)

    def ahead(
        self, epoch: int, index: np.ndarray, reference: bool, positive: np.ndarray | None = None
    ) -> None:
        """Let threads cut the views, and the reference, of a coming mini-batch.

        `views` and `reference` give the same frames without it, only later. Worth while on a GPU,
        which leaves the cores to them.
        """
        for v, samples in enumerate(self.samples):
            place = draws.uniform(self.seed, epoch, index, 1, VIEWS + v)[:, 0]
            self.cutter.begin(self._source(v, index, positive), place, samples)
        if reference:
            place = draws.uniform(self.seed, epoch, index, 1, REFERENCE)[:, 0]
            self.cutter.begin(index, place, self.reference_samples)

    def views(self, epoch: int, index: np.ndarray, positive: np.ndarray | None = None) -> list:
        """Distorted frames [(B, T_v), ...] of the utterances `index`.

        With `positive`, every second view is cut from those utterances instead (supervised
        positives, whose embeddings are computed rather than taken from the queue).
        """
        out = []
        for v, samples in enumerate(self.samples):
            place = draws.uniform(self.seed, epoch, index, 1, VIEWS + v)[:, 0]
            frames = self._frames(self._source(v, index, positive), place, samples)
            distortion = draws.uniform(self.seed, epoch, index, COLUMNS, DISTORTIONS + v)
            uniform = to_device(distortion, self.device)
            out.append(self.augmentation(frames, uniform))
        return out

    @staticmethod
    def _source(view: int, index: np.ndarray, positive: np.ndarray | None) -> np.ndarray:
        return index if positive is None or view % 2 == 0 else positive

    def reference(self, epoch: int, index: np.ndarray) -> Tensor:
        """Longer frames without distortion (B, T), from which pos(i) is determined (III-C1)."""
        place = draws.uniform(self.seed, epoch, index, 1, REFERENCE)[:, 0]
        return self._frames(index, place, self.reference_samples)

    def choices(self, epoch: int, index: np.ndarray) -> Tensor:
        """(B, 2) uniform numbers that decide pos(i)."""
        return torch.from_numpy(draws.uniform(self.seed, epoch, index, 2, POSITIVES))

    def _frames(self, index: np.ndarray, place: np.ndarray, samples: int) -> Tensor:
        frames = to_device(self.cutter.cut(index, place, samples), self.device)
        return frames.float() / 32768


class Cutter:
    """Crops of a corpus, some of them begun by threads before they are asked for.

    A crop's request is its name, so that nothing depends on what was begun, or by how many threads.
    """

    def __init__(self, corpus: Corpus, threads: int = 4, kept: int = 16) -> None:
        """`kept` requests wait at most; the oldest is forgotten beyond that."""
        self.corpus, self.threads, self.kept = corpus, threads, kept
        self.pool: ThreadPoolExecutor | None = None
        self.begun: dict[tuple, tuple[np.ndarray, list[Future]]] = {}

    def begin(self, index: np.ndarray, place: np.ndarray, samples: int) -> None:
        """Cut (B, samples) in other threads; `Corpus.crops` says how."""
        self.pool = self.pool or ThreadPoolExecutor(self.threads)
        out = np.empty((len(index), samples), np.int16)
        rows = np.array_split(np.arange(len(index)), self.threads)
        parts = [
            self.pool.submit(self.corpus.crops, index[r], place[r], samples, out[r[0] : r[-1] + 1])
            for r in rows
            if len(r)
        ]
        self.begun[self._name(index, place, samples)] = (out, parts)
        while len(self.begun) > self.kept:
            self.begun.pop(next(iter(self.begun)))

    def cut(self, index: np.ndarray, place: np.ndarray, samples: int) -> np.ndarray:
        """The crops (B, samples) int16, which may have been begun."""
        out, parts = self.begun.pop(self._name(index, place, samples), (None, []))
        if out is None:
            return self.corpus.crops(index, place, samples)
        for part in parts:
            part.result()
        return out

    @staticmethod
    def _name(index: np.ndarray, place: np.ndarray, samples: int) -> tuple:
        return index.tobytes(), place.tobytes(), samples
