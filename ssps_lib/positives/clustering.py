"""SSPS-Clustering: pseudo-positives from the same or a neighbouring cluster (Section III-E)."""

from numbers import Integral

import numpy as np
import torch
from torch import Tensor

from ssps_lib.positives.kmeans import blocks, kmeans
from ssps_lib.positives.queues import Queue, check_index
from ssps_lib.positives.sampler import PositiveSampler, check_uniform, only_held, pick


class Clustering(PositiveSampler):
    """pos(i) is an utterance of the anchor's cluster, or of one of its M nearest (Eq. 8-12).

    Args:
        clusters: K, the number of clusters (the paper: 25,000 for VoxCeleb2).
        window: M, the number of nearest clusters to choose from; 0 stays in the anchor's own.
        candidates: "queue" draws among the utterances of the chosen cluster that Q' holds, as the
            published results did; "cluster" draws from all of S_k and leaves pos(i) empty if Q'
            does not hold the utterance (Eq. 11 to the letter).
        allow_self: with M = 0 the published code may return pos(i) = i; the paper excludes it.
        iterations: of k-means (the paper: 10).
        dtype: of the matrix products of k-means.

    Attributes (after `refresh`):
        assignments: (N,) cluster c_i of each utterance, -1 where Q-hat has no row.
        centroids: (K, D) unit vectors m_k.
        neighbors: (K, M) the sets C_k, nearest first; None for M = 0. Narrower than M if fewer
            than M + 1 clusters have members.
    """

    def __init__(
        self,
        clusters: int,
        window: int = 1,
        candidates: str = "queue",
        allow_self: bool = False,
        iterations: int = 10,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        whole = all(isinstance(number, (int, Integral)) for number in (clusters, window))
        if not (whole and 0 <= window < clusters):
            raise ValueError(
                f"The window M must lie in [0, {clusters - 1}] with K={clusters} clusters, since "
                f"a cluster is no neighbour of itself; got M={window}."
            )
        if candidates not in ("queue", "cluster"):
            raise ValueError(f'candidates must be "queue" or "cluster", got {candidates!r}.')
        self.clusters, self.window, self.candidates = clusters, window, candidates
        self.allow_self, self.iterations, self.dtype = allow_self, iterations, dtype
        self.assignments: Tensor | None = None
        self.centroids: Tensor | None = None
        self.neighbors: Tensor | None = None
        self._members: Tensor | None = None

    def refresh(self, reference: Queue, generator: torch.Generator | None = None) -> None:
        """Algorithm 1: cluster Q-hat, find C_k and S_k.

        Raises:
            ValueError: if Q-hat holds fewer rows than K.
        """
        held = (reference.indices >= 0).nonzero().squeeze(1)
        if len(held) < self.clusters:
            raise ValueError(
                f"K={self.clusters} clusters need at least as many reference representations, the "
                f"queue holds {len(held)}: fill it, or lower K."
            )
        rows = reference.values if len(held) == reference.size else reference.values[held]
        assigned, self.centroids = kmeans(
            rows, self.clusters, self.iterations, generator=generator, dtype=self.dtype
        )
        self.assignments = torch.full((reference.n,), -1, device=reference.device)
        self.assignments[reference.indices[held]] = assigned
        counts = assigned.bincount(minlength=self.clusters)
        if self.window > 0:
            self.neighbors = nearest_clusters(self.centroids, counts > 0, self.window)
        self._members = _member_keys(self.assignments)  # S_k (Eq. 12)

    def state_dict(self) -> dict[str, Tensor]:
        """`assignments`, `centroids` and `neighbors`, as far as there are any."""
        names = ("assignments", "centroids", "neighbors")
        found = {name: getattr(self, name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def load_state_dict(self, state: dict[str, Tensor], reference: Queue) -> None:
        """Restore the clusters of the epoch's start, from which Q-hat has moved on since."""
        for name, value in state.items():
            setattr(self, name, value.to(reference.device))
        self._members = _member_keys(self.assignments)

    def sample(
        self, index: Tensor, queue: Queue | None = None, uniform: Tensor | None = None
    ) -> Tensor:
        """See `PositiveSampler.sample`; the first uniform number chooses the cluster."""
        if self.assignments is None:
            raise RuntimeError("SSPS-Clustering has no clusters: call refresh first.")
        check_index(index, len(self.assignments))
        index = index.to(self.assignments.device)
        uniform = check_uniform(uniform, index).to(index.device)
        cluster = self.choose_clusters(index, uniform[:, 0])  # c-hat_i
        if queue is None or self.candidates == "cluster":
            pos = self._draw(self._members, cluster, index, uniform[:, 1])  # Eq. 11
            return only_held(pos, queue)
        # Published: only the members of S_k that Q' holds are candidates.
        of_slots = torch.where(queue.indices >= 0, self.assignments[queue.indices], -1)
        slot = self._draw(_member_keys(of_slots), cluster, queue.slots(index), uniform[:, 1])
        return torch.where(slot >= 0, queue.indices[slot], -1)

    def choose_clusters(self, index: Tensor, uniform: Tensor) -> Tensor:
        """The cluster c-hat_i (B,) of each pseudo-positive, -1 where c_i is unknown (Eq. 8-9)."""
        own = self.assignments[index]
        if self.window == 0:
            return own  # Eq. 8
        if self.neighbors.shape[1] == 0:  # all rows in one cluster: the representations collapsed
            return torch.full_like(own, -1)
        chosen = self.neighbors[own, pick(uniform, self.neighbors.shape[1])]  # Eq. 9
        return torch.where(own >= 0, chosen, -1)

    def _draw(self, keys: Tensor, cluster: Tensor, own: Tensor, uniform: Tensor) -> Tensor:
        """A member of each cluster (B,) other than `own`, -1 where there is none."""
        size = len(keys)
        first = torch.searchsorted(keys, cluster * size)
        count = torch.searchsorted(keys, (cluster + 1) * size) - first
        place = torch.searchsorted(keys, cluster * size + own)
        is_member = (own >= 0) & (keys[place.clamp(max=size - 1)] == cluster * size + own)
        if self.allow_self:
            is_member = torch.zeros_like(is_member)
        count = count - is_member.long()
        chosen = first + pick(uniform, count)
        chosen = chosen + (is_member & (chosen >= place)).long()  # step over the anchor
        member = keys[chosen.clamp(max=size - 1)] % size
        return torch.where((count > 0) & (cluster >= 0), member, -1)


class ClusteringCentroid(Clustering):
    """SSPS-Clustering (C): the positive embedding is the centroid of the chosen cluster.

    pos(i) is a member of that cluster and needs no place in Q'. A centroid is a representation,
    so it can replace an embedding only where that is a representation too: in a framework without
    projector (SimCLR, MoCo). `training` refuses any other, even of the same dimension.
    """

    def sample(
        self, index: Tensor, queue: Queue | None = None, uniform: Tensor | None = None
    ) -> Tensor:
        """See `Clustering.sample`; Q' is not looked at."""
        return super().sample(index, None, uniform)

    def retrieve(self, pos: Tensor, queue: Queue) -> Tensor:
        """Centroids m_c of the clusters of pos(i): (B, D), for each of MoCo's two keys alike.

        ValueError if the rows of Q' have another dimension.
        """
        if self.centroids.shape[1] != queue.shape[-1]:
            raise ValueError(
                f"A centroid of {self.centroids.shape[1]} dimensions cannot replace an embedding "
                f"of {queue.shape[-1]}: SSPS-Clustering (C) needs a framework without projector."
            )
        return self.centroids[self.assignments[pos.to(self.assignments.device)]]


def nearest_clusters(centroids: Tensor, occupied: Tensor, window: int) -> Tensor:
    """Eq. 10: C_k, the M clusters nearest to each cluster, (K, M), nearest first.

    Args:
        centroids: (K, D) unit vectors m_k.
        occupied: (K,) bool, whether a cluster has members; empty ones are never neighbours.
        window: M. If fewer than M other clusters have members there are fewer columns.

    As in the published code a cluster is not its own neighbour, which Eq. 10 does not exclude.
    """
    window = min(window, max(0, int(occupied.sum()) - 1))
    clusters = torch.arange(len(centroids), device=centroids.device)
    neighbors = torch.empty(len(centroids), window, dtype=torch.int64, device=centroids.device)
    for block in blocks(len(centroids), len(centroids), centroids.device):
        similarity = centroids[block] @ centroids.t()
        similarity.masked_fill_(~occupied, -torch.inf)
        similarity[clusters[block] - block.start, clusters[block]] = -torch.inf
        neighbors[block] = similarity.topk(window, dim=1).indices
    return neighbors


def _member_keys(cluster: Tensor) -> Tensor:
    """All pairs (cluster, position) as sorted integers cluster * size + position.

    One binary search then finds the members of a cluster: they are the keys from cluster * size
    up to (cluster + 1) * size. Positions without a cluster (-1) become negative keys.
    """
    positions = torch.arange(len(cluster), device=cluster.device)
    keys = cluster * len(cluster) + positions
    if keys.device.type == "cpu":  # six times faster than torch's sort, and once per iteration
        return torch.from_numpy(np.sort(keys.numpy()))
    return keys.sort().values
