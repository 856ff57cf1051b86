"""Where a run stands, so that it goes on from there to the bit.

Frames and choices are draws by (seed, epoch, training index), so a position is two numbers. Beside
them an epoch has only sums of what was observed.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ssps_lib.distributed import all_reduce_mean


@dataclass
class Position:
    """What a run has done.

    Attributes:
        epoch: epochs done, of this run and those before it.
        metrics: a row for each epoch of this run.
        step, seconds: iterations of the current epoch, and time they took.
        totals: sums over them of what was observed, 0-d float32 on the device.
    """

    epoch: int
    metrics: list[dict[str, float | None]] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    totals: dict[str, Tensor] = field(default_factory=dict)

    def add(self, observed: dict[str, Tensor]) -> None:
        """One more iteration."""
        for name, value in observed.items():
            self.totals[name] = self.totals.get(name, 0.0) + value.detach().float()
        self.step += 1

    def means(self) -> dict[str, float]:
        """Means over the iterations of the epoch and the processes."""
        means = all_reduce_mean(torch.stack(list(self.totals.values()))) / self.step
        return dict(zip(self.totals, means.tolist(), strict=True))

    def next_epoch(self, row: dict[str, float | None]) -> None:
        """The epoch is over; `row` is what it gave."""
        self.epoch += 1
        self.metrics.append({"epoch": self.epoch, **row})
        self.step, self.seconds, self.totals = 0, 0.0, {}
