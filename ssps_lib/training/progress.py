"""Where a run stands within an epoch, so that it goes on from there to the bit.

Crops, distortions and choices are functions of (seed, epoch, training index), so a position is one
number. Beside it an epoch has only gathered sums of what was observed. Both are part of a
checkpoint, with a row for each process where the processes differ.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ssps_lib.distributed import all_reduce_mean, gather, rank, world_size


@dataclass
class Progress:
    """What an epoch has done.

    Attributes:
        step: iterations done.
        seconds: time they took, also before an interruption.
        totals: sums over them of what was observed, 0-d float32 on the device.
    """

    step: int = 0
    seconds: float = 0.0
    totals: dict[str, Tensor] = field(default_factory=dict)

    def add(self, observed: dict[str, Tensor]) -> None:
        """One more iteration."""
        for name, value in observed.items():
            self.totals[name] = self.totals.get(name, 0.0) + value.detach().float()
        self.step += 1

    def means(self) -> dict[str, float]:
        """Means over the iterations and the processes."""
        means = all_reduce_mean(torch.stack(list(self.totals.values()))) / self.step
        return dict(zip(self.totals, means.tolist(), strict=True))

    def rows(self) -> dict[str, Tensor]:
        """The totals of all W processes, (W,) each; every process must ask."""
        return {f"totals.{name}": gather(value[None]) for name, value in self.totals.items()}

    @classmethod
    def restored(
        cls, step: int, seconds: float, rows: dict[str, Tensor], device: torch.device
    ) -> "Progress":
        """This process's progress from what `rows` gave."""
        totals = {
            name.removeprefix("totals."): own_row(value).to(device)
            for name, value in rows.items()
            if name.startswith("totals.")
        }
        return cls(step, seconds, totals)


def own_row(rows: Tensor) -> Tensor:
    """This process's row of (W, ...), or their mean where W was another number of processes."""
    return rows[rank()].clone() if len(rows) == world_size() else rows.mean(dim=0)


def own_sums(rows: Tensor) -> Tensor:
    """As `own_row`, for counts that are added up over the processes: an equal part of them all."""
    return own_row(rows) * (len(rows) / world_size())


def _statistics(module: nn.Module) -> dict[str, Tensor]:
    ends = ("running_mean", "running_var")
    return {name: value for name, value in module.named_buffers() if name.endswith(ends)}


def norm_rows(module: nn.Module) -> dict[str, Tensor]:
    """Running statistics of the norms of all W processes, (W, C) each; every process must ask."""
    return {f"norms.{name}": gather(value[None]) for name, value in _statistics(module).items()}


@torch.no_grad()
def restore_norms(module: nn.Module, rows: dict[str, Tensor]) -> None:
    """Give this process its own running statistics back, from what `norm_rows` gave."""
    for name, value in _statistics(module).items():
        found = rows.get(f"norms.{name}")
        if found is not None and len(found) == world_size():
            value.copy_(found[rank()])
