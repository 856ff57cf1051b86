"""SSPS-NN: pseudo-positives among the nearest neighbours (Section III-D)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ssps_lib.devices import multiplier, to_device
from ssps_lib.positives.kmeans import blocks, lengths
from ssps_lib.positives.queues import Queue
from ssps_lib.positives.sampler import PositiveSampler, draws, only_held, pick


class NearestNeighbors(PositiveSampler):
    """pos(i) is one of the M utterances closest to utterance i (Eq. 6-7).

    The neighbours are looked for when a batch asks, among all rows that Q-hat holds at that moment.
    As in the published code the utterance itself, which Eq. 6 does not exclude, is never taken.

    Args:
        window: M, the number of neighbours to draw from (the paper: 50).
    """

    by_tables = False

    def __init__(self, window: int = 50) -> None:
        if window < 1:
            raise ValueError(f"SSPS-NN needs a window M of at least 1 neighbour, got {window!r}.")
        self.window = window
        self._reference: Queue | None = None

    def refresh(self, reference: Queue, generator: torch.Generator | None = None) -> None:
        """Remember Q-hat.

        Raises:
            ValueError: unless it holds more than M rows, all of length 1: only then their products
                with a query order them as cosines do.
        """
        if self.window >= len(reference):
            raise ValueError(
                f"A window of M={self.window} neighbours needs more than {self.window} reference "
                f"representations, the queue holds {len(reference)}: fill it, or lower M."
            )
        norms = lengths(reference.values).cpu()[reference.indices >= 0]
        if ((norms - 1).abs() > 1e-2).any():
            raise ValueError(
                f"Q-hat holds rows of length {float(norms.min()):.3g} to {float(norms.max()):.3g}, "
                "expected 1: normalise reference representations before they are inserted."
            )
        self._reference = reference

    def load_state_dict(self, state: dict[str, Tensor], reference: Queue) -> None:
        """Remember Q-hat again."""
        self.refresh(reference)

    def sample(
        self,
        index: Tensor,
        queue: Queue | None = None,
        uniform: Tensor | None = None,
        queries: Tensor | None = None,
    ) -> Tensor:
        """See `PositiveSampler.sample`.

        Args:
            queries: (B, D) current representations of the anchors, as in the published code.
                Otherwise the stored q-hat_i are compared, and pos(i) is empty where there is none.
        """
        if self._reference is None:
            raise RuntimeError("SSPS-NN has no reference representations: call refresh first.")
        index = index.cpu()
        uniform = draws(uniform, index).cpu()
        stored = self._reference.rows(index) if queries is None else queries
        neighbors = self.neighbors(stored, self.window + 1)  # (B, M + 1), one may be i itself
        # Eq. 7: sample(N_i), stepping over i.
        is_self = neighbors == index[:, None]
        rank = pick(uniform[:, 1], self.window)
        rank += is_self.any(dim=1) & (is_self.int().argmax(dim=1) <= rank)
        pos = neighbors.gather(1, rank[:, None]).squeeze(1)
        if queries is None:
            pos = torch.where(self._reference.contains(index), pos, -1)
        return only_held(pos, queue)

    def neighbors(self, queries: Tensor, count: int) -> Tensor:
        """Eq. 6: training indices (B, count) of the closest rows of Q-hat, closest first."""
        reference = self._reference
        queries = F.normalize(queries.float(), dim=1)
        best = queries.new_empty(len(queries), 0)  # scores and slots of the best rows so far
        found = torch.empty_like(best, dtype=torch.int64)
        columns = max(len(queries), queries.shape[1] // 2)  # rows take at most twice the scores
        with multiplier(queries, len(queries) * reference.values.numel()) as multiply:
            for block in blocks(reference.size, columns, reference.device):
                scores = multiply(queries, reference.values[block].float(), None)
                empty = reference.indices[block] < 0
                if empty.any():
                    scores.masked_fill_(to_device(empty, scores.device), -torch.inf)
                scores, place = scores.topk(min(count, scores.shape[1]), dim=1)
                best = torch.cat([best, scores], dim=1)
                found = torch.cat([found, place + block.start], dim=1)
                best, place = best.topk(min(count, best.shape[1]), dim=1)
                found = found.gather(1, place)
        return reference.indices[found.cpu()]  # the one moment that waits for the device
