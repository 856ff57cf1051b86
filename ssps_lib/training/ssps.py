"""Bootstrapped positive sampling: Algorithm 1, the two memory queues and the sampler (III-C).

`SSL` is what training has in place of `SSPS` where positives come from the mini-batch, so that no
line of the loop asks which it is.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ssps_lib.analysis import PositiveObserver
from ssps_lib.devices import to_device
from ssps_lib.distributed import all_reduce_mean, gather, own_share, rank
from ssps_lib.frameworks import Framework
from ssps_lib.positives import PositiveSampler, Queue
from ssps_lib.training.data import Batch

Tensors = dict[str, Tensor]


class Positives(NamedTuple):
    """pos(i) of this process's anchors (B / W,) on the CPU, -1 where it is empty, and whether no
    anchor of any process keeps its own positive. Then view 2 needs no gradient in any of them:
    where some rows do, batch statistics make every row a function of all."""

    pos: Tensor | None = None
    all_replaced: bool = False


class SSL:
    """Positives of the mini-batch itself: nothing is remembered, and nothing replaced."""

    def start_epoch(self, seed: int) -> None:
        """Nothing to prepare."""

    def fill(self, batches: Iterable[Batch]) -> None:
        """There are no queues; the mini-batches are not even loaded."""

    def reference(self, batch: Batch) -> Tensor | None:
        """No reference representations."""
        return None

    def choose(self, batch: Batch) -> Positives:
        """pos(i) is empty for every anchor."""
        return Positives()

    def positives(self, chosen: Positives, z_pos: Tensor) -> Tensor:
        """Z' as it is."""
        return z_pos

    def insert(self, batch: Batch, y: Tensor | None, z_pos: Tensor) -> None:
        """There are no queues."""

    def known(self) -> tuple[Tensor, Tensor] | None:
        """No representations of training utterances are at hand."""
        return None

    def metrics(self) -> dict[str, float]:
        """Nothing was observed."""
        return {}

    def state(self, within_epoch: bool) -> dict[str, Tensors]:
        """Nothing to store."""
        return {}

    def restore(self, files: dict[str, Tensors]) -> None:
        """Nothing to restore."""


@dataclass
class SSPS(SSL):
    """Positives of other utterances, from the memory of what training has seen.

    Attributes:
        framework: whose representations and positive embeddings are remembered.
        sampler: chooses pos(i).
        reference_queue, positive_queue: Q-hat and Q'.
        observer: counts how often pos(i) has the anchor's speaker; labels go nowhere else.
        autocast: the precision in which the encoder computes.
    """

    framework: Framework
    sampler: PositiveSampler
    reference_queue: Queue
    positive_queue: Queue
    observer: PositiveObserver
    autocast: Callable[[], AbstractContextManager]

    def start_epoch(self, seed: int) -> None:
        """Algorithm 1: cluster Q-hat, find the neighbours and members of clusters."""
        self.sampler.refresh(self.reference_queue, torch.Generator().manual_seed(seed))
        self.positive_queue.restart()
        self.observer.reset()

    @torch.no_grad()
    def fill(self, batches: Iterable[Batch]) -> None:
        """Fill both queues before the first epoch, with the weights of the SSL phase."""
        self.framework.eval()
        for batch in batches:
            with self.autocast():
                z_pos = self.framework.positive(batch.views)
            self.insert(batch, self.reference(batch), z_pos)

    @torch.no_grad()
    def reference(self, batch: Batch) -> Tensor:
        """Y-hat: representations (B / W, D) of reference frames, of unit length, in eval mode."""
        encoder = self.framework.representation_encoder
        mode = encoder.training
        encoder.eval()
        with self.autocast():
            y = encoder(batch.reference)
        encoder.train(mode)
        return F.normalize(y.float(), dim=1)

    def choose(self, batch: Batch) -> Positives:
        """pos(i) of the anchors. Where tables on the CPU decide, each process draws for all of
        them and asks nobody."""
        own, device = own_share(len(batch.index)), self.positive_queue.device
        if self.sampler.by_tables:
            everyone = self.sampler.sample(batch.index, self.positive_queue, batch.uniform)
            pos, complete = everyone[own], bool((everyone >= 0).all())
        else:
            pos = self.sampler.sample(batch.own, self.positive_queue, batch.uniform[own])
            complete = float(all_reduce_mean(to_device((pos >= 0).float().mean(), device))) == 1
        self.observer.update(to_device(batch.own, device), to_device(pos, device))
        return Positives(pos, complete)

    def positives(self, chosen: Positives, z_pos: Tensor) -> Tensor:
        """Z'_SSPS: q'_pos(i), or the anchor's own z'_i where pos(i) is empty (Eq. 11)."""
        rows = self.sampler.retrieve(chosen.pos, self.positive_queue)
        return self.framework.substitute(z_pos, rows, to_device(chosen.pos >= 0, z_pos.device))

    @torch.no_grad()
    def insert(self, batch: Batch, y: Tensor, z_pos: Tensor) -> None:
        """Insert Y-hat into Q-hat and Z' into Q', of all processes."""
        self.reference_queue[batch.index] = gather(y)
        self.positive_queue[batch.index] = gather(z_pos.float())

    def known(self) -> tuple[Tensor, Tensor] | None:
        """Training indices (n,) and reference representations (n, D) that Q-hat holds."""
        held = self.reference_queue.indices
        index = held[held >= 0]
        return index, self.reference_queue[index].float()

    def metrics(self) -> dict[str, float]:
        """Coverage and accuracies of the pseudo-positives of the epoch."""
        return self.observer.result()

    def state(self, within_epoch: bool) -> dict[str, Tensors]:
        """Tensors by file: both queues, and within an epoch the clusters and the observer."""
        queues = {"reference_queue": self.reference_queue, "positive_queue": self.positive_queue}
        files = {name: queue.state_dict() for name, queue in queues.items()}
        if within_epoch:
            files["sampler"] = self.sampler.state_dict()
            files["observer"] = {"sums": gather(self.observer.sums[None])}
        return files

    def restore(self, files: dict[str, Tensors]) -> None:
        """Take back what `state` gave; the main process goes on with the sums of all."""
        self.reference_queue.load_state_dict(files["reference_queue"])
        self.positive_queue.load_state_dict(files["positive_queue"])
        if "observer" in files:  # within an epoch
            self.sampler.load_state_dict(files.get("sampler", {}), self.reference_queue)
            sums = files["observer"]["sums"].sum(dim=0)
            self.observer.sums = sums if rank() == 0 else torch.zeros_like(sums)
