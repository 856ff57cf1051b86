"""The memory queues Q-hat and Q' of Section III-C2, indexed by training index."""

import torch
from torch import Tensor

from ssps_lib.devices import to_device


class Queue:
    """Rows of training utterances, looked up by training index.

    Q-hat holds the reference representations, Q' the latest positive embeddings. With
    ``size=None`` every utterance owns one slot. With a smaller ``size`` the slots form a ring: the
    oldest rows give way (what the published results were computed with for Q'). An index is held
    at most once: a newer row replaces an older one, also within one batch.

    Args:
        n: number N of training utterances, so indices run from 0 to N - 1.
        shape: shape of one row, e.g. ``(512,)``; for DINO ``(2, 65536)``.
        size: number of slots, 1 to N (else ValueError); None for N.
        dtype: of the rows; float16 halves the memory (N = 1,092,009, D = 512: 1.05 GiB).
        device: where the rows live. Which utterance has which slot is kept on the CPU, where pos(i)
            is drawn, so no method waits for the device if indices are on the CPU too.

    Attributes:
        values: (size, *shape) rows, by slot; arbitrary where the slot is empty.
        indices: (size,) training index held in each slot, -1 where it is empty; on the CPU.

    >>> queue = Queue(n=5, shape=(2,), size=2)
    >>> queue[torch.tensor([3, 1])] = torch.tensor([[3.0, 3.0], [1.0, 1.0]])
    >>> queue[torch.tensor([1])]
    tensor([[1., 1.]])
    >>> queue[torch.tensor([4])] = torch.tensor([[4.0, 4.0]])  # takes the place of 3
    >>> queue.contains(torch.tensor([3, 1, 4]))
    tensor([False,  True,  True])
    """

    def __init__(
        self,
        n: int,
        shape: tuple[int, ...],
        size: int | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        size = n if size is None else size
        if not 1 <= size <= n:
            raise ValueError(f"A queue for {n} utterances needs 1 to {n} slots, got size={size!r}.")
        self.n, self.shape, self.size = n, tuple(shape), size
        self.values = torch.zeros(size, *self.shape, dtype=dtype, device=device)
        # Both tables have one entry more, which stays -1: position -1 then stands for "nowhere".
        self._indices = torch.full((size + 1,), -1)
        self._slots = torch.full((n + 1,), -1)
        self.pointer = 0

    @property
    def indices(self) -> Tensor:
        return self._indices[:-1]

    @property
    def device(self) -> torch.device:
        return self.values.device

    def __len__(self) -> int:
        """Number of utterances held."""
        return int((self.indices >= 0).sum())

    def slots(self, index: Tensor) -> Tensor:
        """Slot of each training index (B,), -1 where it is absent or the index is -1."""
        index = index.cpu()
        place = torch.where(index < 0, self.n, index)  # the entry for "nowhere"
        return self._slots.index_select(0, place)  # several times faster than self._slots[place]

    def contains(self, index: Tensor) -> Tensor:
        """(B,) bool: whether the queue holds a row of each training index; False for -1."""
        return self.slots(index) >= 0

    def rows(self, index: Tensor) -> Tensor:
        """(B, *shape) rows, arbitrary where the index is absent: for use with `contains`."""
        slots = self.slots(index).clamp(min=0)
        return self.values.index_select(0, to_device(slots, self.device))

    def __getitem__(self, index: Tensor) -> Tensor:
        """(B, *shape) rows of training indices (B,); ValueError if one is absent."""
        present = self.contains(index)
        if not present.all():
            absent = index.cpu()[~present]
            raise ValueError(
                f"{len(absent)} of {len(index)} training indices are not in the queue "
                f"(first: {int(absent[0])}): fill it first, or ask `contains` before reading."
            )
        return self.rows(index)

    def __setitem__(self, index: Tensor, values: Tensor) -> None:
        """Insert rows (B, *shape) of training indices (B,); the last of equal indices wins.

        Raises:
            ValueError: an index that is not in [0, N).
        """
        index = index.cpu()
        if ((index < 0) | (index >= self.n)).any():
            raise ValueError(
                f"Training indices go from {int(index.min())} to {int(index.max())}, expected "
                f"[0, {self.n}): is the queue made for another corpus?"
            )
        values = values.reshape(len(index), *self.shape)  # refuses rows of another shape
        values = values.detach().to(self.device, self.values.dtype)
        if len(index) > self.size and self.size < self.n:  # only the newest rows fit in the ring
            self.pointer += len(index) - self.size
            index, values = index[-self.size :], values[-self.size :]
        last, step = _last_occurrence(index), torch.arange(len(index))
        if self.size == self.n:
            if not torch.equal(last, step):  # some index came twice
                values = values[to_device(last, self.device)]
            self.values[to_device(index, self.device)] = values
            self._indices[index] = self._slots[index] = index
            return
        slots = (self.pointer + step) % self.size
        self.values[to_device(slots, self.device)] = values
        self._slots[self._indices[slots]] = -1  # rows that give way
        self._indices[self._slots[index]] = -1  # older rows of the same utterances
        self._indices[slots] = torch.where(last == step, index, -1)
        self._slots[index] = slots[last]
        self.pointer = (self.pointer + len(index)) % self.size

    def restart(self) -> None:
        """Return the ring to its first slot, as the published code does at every epoch."""
        self.pointer = 0

    def state_dict(self) -> dict[str, Tensor]:
        """Plain tensors `values`, `indices` and `pointer`."""
        pointer = torch.tensor(self.pointer)
        return {"values": self.values, "indices": self.indices, "pointer": pointer}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` gave; ValueError if the queue has another size or shape."""
        if state["values"].shape != self.values.shape:
            raise ValueError(
                f"The stored queue has shape {tuple(state['values'].shape)}, this one "
                f"{tuple(self.values.shape)}: was it saved with other positives or another corpus?"
            )
        self.values.copy_(state["values"])
        self.indices.copy_(state["indices"])
        self._slots.fill_(-1)
        self._slots[self.indices] = torch.arange(self.size)
        self._slots[-1] = -1
        self.pointer = int(state["pointer"])


def _last_occurrence(index: Tensor) -> Tensor:
    """For each element (B,), where its value occurs last."""
    ordered, order = index.sort(stable=True)
    return order[torch.searchsorted(ordered, index.contiguous(), right=True) - 1]
