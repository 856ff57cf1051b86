"""Losses and embeddings that are not finite: noticed soon, without waiting for the device."""

from collections.abc import Sequence

import torch
from torch import Tensor

WATCHED = ("loss", "embedding_std")
BLOCK = 50  # iterations between two looks, each of which waits for the device
NAMES = {"loss": "the loss", "embedding_std": "the embeddings' spread"}


class DivergedError(FloatingPointError):
    """A loss or an embedding that is not finite.

    Attributes:
        epoch, step: where, both counted from 1.
        indices: training indices of the mini-batch.
    """

    def __init__(
        self, what: str, epoch: int, step: int, indices: Sequence[int], cause: str
    ) -> None:
        self.epoch, self.step, self.indices = epoch, step, [int(i) for i in indices]
        some = ", ".join(map(str, self.indices[:8]))
        rest = f" and {len(self.indices) - 8} more" if len(self.indices) > 8 else ""
        super().__init__(
            f"{what} in epoch {epoch} at step {step}, with the training indices {some}{rest}: "
            f"{cause}; the last good checkpoint is kept"
        )


class Watch:
    """Remembers what the last iterations gave, on the device, until it is looked at."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, list[str], list[Tensor]]] = []

    def note(self, step: int, observed: dict[str, Tensor]) -> bool:
        """Remember iteration `step`; True when it is time to look."""
        names = [name for name in WATCHED if name in observed]
        self._rows.append((step, names, [observed[name].detach().float() for name in names]))
        return len(self._rows) >= BLOCK

    def first_fault(self) -> tuple[int, str] | None:
        """The first iteration since the last look that is not finite, and what it gave."""
        rows, self._rows = self._rows, []
        if not rows:
            return None
        table = torch.stack([torch.stack(values) for _, _, values in rows])  # (S, watched)
        bad = (~torch.isfinite(table)).nonzero()  # waits for the device
        if len(bad) == 0:
            return None
        row, column = bad[0].tolist()
        step, names, _ = rows[row]
        return step, f"{NAMES[names[column]]} became {float(table[row, column])}"
