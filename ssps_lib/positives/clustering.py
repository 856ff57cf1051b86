"""SSPS-Clustering: pseudo-positives from the same or a neighbouring cluster (Section III-E)."""

import numpy as np
import torch
from torch import Tensor

from ssps_lib.devices import product, to_device
from ssps_lib.distributed import all_reduce_sum, own_share
from ssps_lib.positives.kmeans import blocks, kmeans
from ssps_lib.positives.queues import Queue
from ssps_lib.positives.sampler import PositiveSampler, draws, only_held, pick


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

    The centroids are on the device of Q-hat, all tables on the CPU: pos(i) is drawn there while a
    GPU is busy, and nobody waits for it.
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
        if not 0 <= window < clusters:
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
        self._keys: Tensor | None = None
        self._members: Tensor | None = None
        self._starts: Tensor | None = None

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
        rows = reference.values
        if len(held) < reference.size:
            rows = rows[to_device(held, reference.device)]
        assigned, self.centroids = kmeans(
            rows, self.clusters, self.iterations, None, generator, self.dtype, shared=True
        )
        self.assignments = torch.full((reference.n,), -1)
        self.assignments[reference.indices[held]] = assigned.cpu()
        counts = assigned.bincount(minlength=self.clusters)
        if self.window > 0:
            self.neighbors = nearest_clusters(self.centroids, counts > 0, self.window, True).cpu()
        self._list_members()  # S_k (Eq. 12)

    def state_dict(self) -> dict[str, Tensor]:
        """`assignments`, `centroids` and `neighbors`, as far as there are any."""
        names = ("assignments", "centroids", "neighbors")
        found = {name: getattr(self, name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def load_state_dict(self, state: dict[str, Tensor], reference: Queue) -> None:
        """Restore the clusters of the epoch's start, from which Q-hat has moved on since."""
        for name, value in state.items():
            setattr(self, name, value.to(reference.device if name == "centroids" else "cpu"))
        self._list_members()

    def _list_members(self) -> None:
        """S_k (Eq. 12): sorted keys, their utterances, and each cluster's first one, (K + 1,)."""
        n = len(self.assignments)
        self._keys = _member_keys(self.assignments)
        self._members = self._keys % n
        least = torch.arange(self.clusters + 1) * n  # key of each cluster
        self._starts = torch.searchsorted(self._keys, least)

    def sample(
        self, index: Tensor, queue: Queue | None = None, uniform: Tensor | None = None
    ) -> Tensor:
        """See `PositiveSampler.sample`; the first uniform number chooses the cluster."""
        if self.assignments is None:
            raise RuntimeError("SSPS-Clustering has no clusters: call refresh first.")
        index = index.cpu()
        uniform = draws(uniform, index).cpu()
        cluster = self.choose_clusters(index, uniform[:, 0])  # c-hat_i
        if queue is None or self.candidates == "cluster":
            size = len(self.assignments)
            pos = self._draw(self._keys, size, cluster, index, uniform[:, 1])  # Eq. 11
            return only_held(pos, queue)
        # Published: only the members of S_k that Q' holds are candidates.
        keys = self._held_keys(cluster, queue)
        slot = self._draw(keys, queue.size, cluster, queue.slots(index), uniform[:, 1])
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

    def _held_keys(self, cluster: Tensor, queue: Queue) -> Tensor:
        """Sorted keys cluster * |Q'| + slot of the members that Q' holds, of the clusters (B,).

        Whichever is less is looked through: all members of these clusters, or all of Q'.
        """
        wanted = cluster.unique()
        wanted = wanted[wanted >= 0]
        first = self._starts[wanted]
        counts = self._starts[wanted + 1] - first
        total = int(counts.sum())
        if total > queue.size:
            held = torch.where(queue.indices >= 0, self.assignments[queue.indices], -1)
            return _member_keys(held)
        place = torch.arange(total) + (first - counts.cumsum(0) + counts).repeat_interleave(counts)
        member = self._members.index_select(0, place)
        slots = queue.slots(member)
        held = (slots >= 0).nonzero()[:, 0]
        return (self.assignments[member[held]] * queue.size + slots[held]).sort().values

    def _draw(
        self, keys: Tensor, size: int, cluster: Tensor, own: Tensor, uniform: Tensor
    ) -> Tensor:
        """A member of each cluster (B,) other than `own`, -1 where there is none.

        `keys` are sorted integers cluster * size + member, see `_member_keys`.
        """
        if len(keys) == 0:
            return torch.full_like(cluster, -1)
        first = torch.searchsorted(keys, cluster * size)
        count = torch.searchsorted(keys, (cluster + 1) * size) - first
        place = torch.searchsorted(keys, cluster * size + own)
        is_member = (own >= 0) & (keys[place.clamp(max=len(keys) - 1)] == cluster * size + own)
        if self.allow_self:
            is_member = torch.zeros_like(is_member)
        count = count - is_member.long()
        chosen = first + pick(uniform, count)
        chosen = chosen + (is_member & (chosen >= place)).long()  # step over the anchor
        member = keys[chosen.clamp(max=len(keys) - 1)] % size
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
        return self.centroids[to_device(self.assignments[pos.cpu()], self.centroids.device)]


def nearest_clusters(
    centroids: Tensor, occupied: Tensor, window: int, shared: bool = False
) -> Tensor:
    """Eq. 10: C_k, the M clusters nearest to each cluster, (K, M), nearest first.

    Args:
        centroids: (K, D) unit vectors m_k.
        occupied: (K,) bool, whether a cluster has members; empty ones are never neighbours.
        window: M. If fewer than M other clusters have members there are fewer columns.
        shared: whether all processes call this with the same centroids, to share out the work.

    As in the published code a cluster is not its own neighbour, which Eq. 10 does not exclude.
    """
    window = min(window, max(0, int(occupied.sum()) - 1))
    clusters = torch.arange(len(centroids), device=centroids.device)
    neighbors = torch.zeros(len(centroids), window, dtype=torch.int64, device=centroids.device)
    share = own_share(len(centroids)) if shared else slice(0, len(centroids))
    for block in blocks(share.stop - share.start, len(centroids), centroids.device):
        block = slice(share.start + block.start, share.start + block.stop)
        similarity = product(centroids[block], centroids)
        similarity.masked_fill_(~occupied, -torch.inf)
        similarity[clusters[block] - block.start, clusters[block]] = -torch.inf
        neighbors[block] = similarity.topk(window, dim=1).indices
    return all_reduce_sum(neighbors) if shared else neighbors


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
