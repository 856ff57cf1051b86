"""Mini-batches: from training indices to augmented frames on the device (II, IV-A and IV-B).

All that is random about an utterance is a draw by (seed, epoch, training index), see `draws`. So
any number of processes and of loading workers sees the same frames, and an epoch goes on at any
mini-batch without anything stored.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ssps_lib import draws
from ssps_lib.augmentation import COLUMNS, Augmentation
from ssps_lib.corpora import SAMPLE_RATE, Corpus
from ssps_lib.devices import to_device
from ssps_lib.distributed import own_share
from ssps_lib.positives import PositiveSampler

VIEWS, DISTORTIONS, REFERENCE, POSITIVES = 0, 100, 200, 300  # independent streams of draws
WORKERS = 4  # processes that cut frames for a GPU, which leaves the cores to them


@dataclass
class Batch:
    """A mini-batch of B utterances, of which this process treats its share of B / W.

    Attributes:
        epoch: from 0.
        index: (B,) training indices of all processes, on the CPU.
        own: (B / W,) those of this process, on the CPU.
        views: augmented frames [(B / W, T_v), ...] on the device.
        reference: longer frames (B / W, T), in the paper without distortion (III-C1); None without
            SSPS.
        labels: (B / W,) speakers on the device, for the supervised baseline and observers.
        uniform: (B, 2) numbers in [0, 1) that decide pos(i), on the CPU.
    """

    epoch: int
    index: Tensor
    own: Tensor
    views: list[Tensor]
    reference: Tensor | None
    labels: Tensor
    uniform: Tensor


class Data:
    """The mini-batches of a training corpus.

    Args:
        corpus: N training utterances.
        crops: durations of the views in seconds.
        reference: duration of the reference frame, None where no reference is asked for.
        batch_size: B, over all processes.
        partner: chooses the utterance pos(i) from which every second view is cut instead, where
            positives are not taken from the queue but encoded with the mini-batch (supervised).
        distorted_reference: whether the augmentation is also that of the reference frame.
    """

    def __init__(
        self,
        corpus: Corpus,
        crops: tuple[float, ...],
        reference: float | None,
        augmentation: Augmentation,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        partner: PositiveSampler | None = None,
        distorted_reference: bool = False,
    ) -> None:
        self.corpus, self.augmentation, self.partner = corpus, augmentation, partner
        self.samples = [round(seconds * SAMPLE_RATE) for seconds in crops]
        self.reference = None if reference is None else round(reference * SAMPLE_RATE)
        self.batch_size, self.seed, self.device = batch_size, seed, torch.device(device)
        self.distorted_reference = distorted_reference
        self.labels = torch.from_numpy(corpus.speakers).to(device)

    def order(self, epoch: int) -> list[np.ndarray]:
        """Training indices of an epoch's mini-batches, (B,) each; the last must be complete."""
        order = draws.permutation(self.seed, epoch, len(self.corpus))
        size = self.batch_size
        return [order[b : b + size] for b in range(0, len(order) - size + 1, size)]

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The mini-batches of an epoch, from number `first` on."""
        order = self.order(epoch)[first:]
        on_gpu = self.device.type == "cuda"
        cores = (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=[(epoch, index[own_share(len(index))]) for index in order],
            num_workers=min(WORKERS, cores - 1) if on_gpu else 0,
            pin_memory=on_gpu,
            generator=torch.Generator(),  # leaves the global one alone
        )
        for index, frames in zip(order, loader, strict=True):
            yield self.finished(epoch, index, frames)

    def __getitem__(self, where: tuple[int, np.ndarray]) -> list[Tensor]:
        """What a worker of the loader cuts."""
        return self.cut(*where)

    def batch(self, epoch: int, index: np.ndarray) -> Batch:
        """The mini-batch of training indices (B,), in an epoch."""
        return self.finished(epoch, index, self.cut(epoch, index[own_share(len(index))]))

    def choices(self, epoch: int, index: np.ndarray) -> Tensor:
        """(B, 2) uniform numbers that decide pos(i)."""
        return torch.from_numpy(draws.uniform(self.seed, epoch, index, 2, POSITIVES))

    def cut(self, epoch: int, index: np.ndarray) -> list[Tensor]:
        """Frames of the utterances (B,), int16 (B, T) each: the views, then the reference."""
        other = index
        if self.partner is not None:
            uniform = self.choices(epoch, index)
            pos = self.partner.sample(torch.from_numpy(index), None, uniform).numpy()
            other = np.where(pos >= 0, pos, index)
        wanted = [
            (VIEWS + v, index if v % 2 == 0 else other, samples)
            for v, samples in enumerate(self.samples)
        ]
        if self.reference is not None:
            wanted.append((REFERENCE, index, self.reference))
        frames = []
        for stream, source, samples in wanted:
            place = draws.uniform(self.seed, epoch, index, 1, stream)[:, 0]
            frames.append(torch.from_numpy(self.corpus.crops(source, place, samples)))
        return frames

    def finished(self, epoch: int, index: np.ndarray, frames: list[Tensor]) -> Batch:
        """What was cut as a batch on the device, its views distorted."""
        own = index[own_share(len(index))]
        frames = [x.to(self.device, non_blocking=True).float().mul_(2**-15) for x in frames]
        reference = frames.pop() if self.reference is not None else None

        def distorted(frame: Tensor, stream: int) -> Tensor:
            uniform = draws.uniform(self.seed, epoch, own, COLUMNS, DISTORTIONS + stream)
            return self.augmentation(frame, to_device(uniform, self.device))

        views = [distorted(view, v) for v, view in enumerate(frames)]
        if reference is not None and self.distorted_reference:
            reference = distorted(reference, REFERENCE)
        labels = self.labels[to_device(own, self.device)]
        everyone, mine = torch.from_numpy(index), torch.from_numpy(own)
        return Batch(epoch, everyone, mine, views, reference, labels, self.choices(epoch, index))
