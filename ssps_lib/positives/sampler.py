"""What a positive sampler is (Section III-C), and the two that look at no representations."""

import numpy as np
import torch
from torch import Tensor

from ssps_lib.positives.queues import Queue


class PositiveSampler:
    """Chooses pos(i), the training utterance whose embedding is the positive of utterance i.

    `refresh` is Algorithm 1, at the start of an epoch; `sample` gives pos(i) for a batch, -1 where
    it is empty and the anchor keeps its own positive; `retrieve` gives the positive embeddings.
    """

    from_audio = False
    """Whether the positive is a frame of utterance pos(i) rather than a row of Q'."""
    by_tables = True
    """Whether pos(i) comes from tables on the CPU alone, so that drawing it waits for no device."""

    def refresh(self, reference: Queue, generator: torch.Generator | None = None) -> None:
        """Look at the reference representations Q-hat at the start of an epoch (Algorithm 1)."""

    def sample(
        self, index: Tensor, queue: Queue | None = None, uniform: Tensor | None = None
    ) -> Tensor:
        """pos(i) of a batch: training indices (B,), -1 where it is empty.

        Args:
            index: (B,) training indices of the anchors, best on the CPU, where the tables are.
            queue: Q', which must hold pos(i); None stands for a queue that holds everything.
            uniform: (B, 2) numbers in [0, 1) that decide every draw; None draws them.

        Raises:
            RuntimeError: if `refresh` was not called before.
        """
        raise NotImplementedError

    def retrieve(self, pos: Tensor, queue: Queue) -> Tensor:
        """Positive embeddings q'_pos(i) (B, *shape); arbitrary rows where pos(i) is -1."""
        return queue.rows(pos)

    def state_dict(self) -> dict[str, Tensor]:
        """What `refresh` found, as plain tensors, to go on within an epoch."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor], reference: Queue) -> None:
        """Restore what `state_dict` gave; `reference` is Q-hat as it is by now."""


class SameUtterance(PositiveSampler):
    """Standard SSL: the positive is another crop of the same utterance (Figure 1a)."""

    def sample(
        self, index: Tensor, queue: Queue | None = None, uniform: Tensor | None = None
    ) -> Tensor:
        """pos(i) is empty for every anchor."""
        return torch.full_like(index, -1)


class Supervised(PositiveSampler):
    """Another utterance of the anchor's speaker, from another recording (Section IV-D).

    Args:
        speakers: (N,) speaker label of each training utterance.
        recordings: (N,) recording labels. None allows the anchor's own recording, as the published
            baseline does.

    pos(i) is empty for a speaker with a single recording.
    """

    from_audio = True

    def __init__(
        self, speakers: np.ndarray | Tensor, recordings: np.ndarray | Tensor | None = None
    ) -> None:
        speaker = _labels(speakers)
        if recordings is None:  # each utterance counts as a recording: only itself is excluded
            recordings = torch.arange(len(speaker))
        session = _labels(speaker * len(speaker) + _labels(recordings))  # within the speaker
        self._order = session.argsort(stable=True)  # by speaker, then by recording
        self._speaker, self._session = _ranges(speaker), _ranges(session)

    def sample(
        self, index: Tensor, queue: Queue | None = None, uniform: Tensor | None = None
    ) -> Tensor:
        """See `PositiveSampler.sample`; the labels of the anchors restrict the draw."""
        where = index.cpu()
        first, count = (part[where] for part in self._speaker)
        own_first, own_count = (part[where] for part in self._session)
        draw = draws(uniform, index)[:, 1].cpu()
        candidates = count - own_count
        place = first + pick(draw, candidates)
        place += torch.where(place >= own_first, own_count, 0)  # step over the own recording
        pos = self._order[place.clamp(max=len(self._order) - 1)]
        return only_held(torch.where(candidates > 0, pos, -1).to(index.device), queue)


def draws(uniform: Tensor | None, index: Tensor) -> Tensor:
    """The (B, 2) numbers of a draw, drawn here if None."""
    return torch.rand(len(index), 2, device=index.device) if uniform is None else uniform


def pick(uniform: Tensor, count: Tensor | int) -> Tensor:
    """An integer in [0, count) from a number in [0, 1); 0 where the count is 0."""
    count = torch.as_tensor(count, device=uniform.device)
    return torch.minimum((uniform.double() * count).long(), count - 1).clamp(min=0)


def only_held(pos: Tensor, queue: Queue | None) -> Tensor:
    """pos(i), emptied where Q' does not hold it: standard SSL is the fallback."""
    if queue is None:
        return pos
    return torch.where(queue.contains(pos).to(pos.device), pos, -1)


def _labels(values: np.ndarray | Tensor) -> Tensor:
    """Labels as integers 0, 1, 2, ... in the order of their values."""
    return torch.unique(torch.as_tensor(values).cpu(), return_inverse=True)[1]


def _ranges(labels: Tensor) -> tuple[Tensor, Tensor]:
    """First place and number of the utterances with the label of each, in the sorted order."""
    counts = labels.bincount()
    return (counts.cumsum(0) - counts)[labels], counts[labels]
