"""Samples in several files, memory-mapped and read as one array."""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np


class Shards:
    """Arrays (n_k,) of one type that stand for their concatenation (sum n_k,).

    A slice within one of them is that array's slice; a longer one is again `Shards`, so that
    nothing is read before it is needed. An utterance lies within one shard.

    >>> both = Shards([np.arange(3), np.arange(3, 7)])
    >>> both[3:5], np.asarray(both[1:6]), len(both)
    (array([3, 4]), array([1, 2, 3, 4, 5]), 7)
    """

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        self.parts = list(parts)
        self.starts = [0, *np.cumsum([len(part) for part in self.parts]).tolist()]

    def __len__(self) -> int:
        return self.starts[-1]

    def __getitem__(self, rows: slice) -> "np.ndarray | Shards":
        begin, end, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(f"the slice has step {step}, shards can only be read with step 1")
        first = min(bisect_right(self.starts, begin), len(self.parts)) - 1
        if end <= self.starts[first + 1]:
            return self.parts[first][begin - self.starts[first] : end - self.starts[first]]
        last = bisect_right(self.starts, end - 1)
        pairs = zip(self.parts[first:last], self.starts[first:last], strict=True)
        return Shards([part[max(0, begin - start) : end - start] for part, start in pairs])

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(np.concatenate(self.parts), dtype)
