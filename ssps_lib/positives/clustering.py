"""SSPS-Clustering: pseudo-positives from the same or a neighbouring cluster (Section III-E)."""

import torch
from torch import Tensor

from ssps_lib.devices import multiplier, to_device
from ssps_lib.distributed import all_reduce_sum, own_share
from ssps_lib.positives.kmeans import blocks, kmeans, largest
from ssps_lib.positives.queues import Queue
from ssps_lib.positives.sampler import PositiveSampler, draws, only_held, pick


class Clustering(PositiveSampler):
    """pos(i) is an utterance of the anchor's cluster, or of one of its M nearest (Eq. 8-12).

    Args:
        clusters: K, the number of clusters (the paper: 25,000 for VoxCeleb2).
        window: M, the number of nearest clusters to choose from, below K; 0 stays in the anchor's
            own.
        candidates: "queue" draws among the utterances of the chosen cluster that Q' holds, as the
            published results did; "cluster" draws from all of S_k and leaves pos(i) empty if Q'
            does not hold the utterance (Eq. 11 to the letter).
        allow_self: with M = 0 the published code may return pos(i) = i; the paper excludes it.
        iterations: of k-means (the paper: 10).
        dtype: of the matrix products of k-means.

    Raises:
        ValueError: M is not below K.

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
                f"M={window} neighbouring clusters were asked for, but K={clusters} clusters have "
                "K - 1: lower M."
            )
        self.clusters, self.window, self.candidates = clusters, window, candidates
        self.allow_self, self.iterations, self.dtype = allow_self, iterations, dtype
        self.assignments: Tensor | None = None
        self.centroids: Tensor | None = None
        self.neighbors: Tensor | None = None

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
        if self.window > 0:
            occupied = assigned.bincount(minlength=self.clusters) > 0
            self.neighbors = nearest_clusters(self.centroids, occupied, self.window, True).cpu()
        self._list_members()

    def sample(
        self, index: Tensor, queue: Queue | None = None, uniform: Tensor | None = None
    ) -> Tensor:
        """See `PositiveSampler.sample`; the first uniform number chooses the cluster."""
        if self.assignments is None:
            raise RuntimeError("SSPS-Clustering has no clusters: call refresh first.")
        index = index.cpu()
        uniform = draws(uniform, index).cpu()
        chosen = self.choose_clusters(index, uniform[:, 0])  # c-hat_i
        member = self._members_of(chosen)  # S_k
        if queue is None or self.candidates == "cluster":
            pos = self._draw(chosen, member, member, index, uniform[:, 1])  # Eq. 11
            return only_held(pos, queue)
        slot = queue.slots(member)  # published: only those that Q' holds are candidates
        member, slot = member[slot >= 0], slot[slot >= 0]
        slot = self._draw(chosen, member, slot, queue.slots(index), uniform[:, 1])
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

    def _list_members(self) -> None:
        """S_k (Eq. 12), one after the other, and where each begins, (K + 1,)."""
        self._members = self.assignments.argsort(stable=True)
        clusters = torch.arange(self.clusters + 1)
        self._starts = torch.searchsorted(self.assignments[self._members], clusters)

    def _members_of(self, chosen: Tensor) -> Tensor:
        """Utterances of all clusters (B,) that were chosen, one cluster after the other."""
        asked = chosen[chosen >= 0].unique()
        first = self._starts[asked]
        count = self._starts[asked + 1] - first
        jump = (first - count.cumsum(0) + count).repeat_interleave(count)
        return self._members.index_select(0, torch.arange(len(jump)) + jump)

    def _draw(
        self, chosen: Tensor, member: Tensor, place: Tensor, own: Tensor, uniform: Tensor
    ) -> Tensor:
        """The place of a member of each chosen cluster (B,) but the anchor, -1 where there is none.

        Members (m,) are drawn in the order of their places (m,); `own` (B,) are the anchors'.
        """
        n = len(self.assignments)
        # Sorted numbers k * N + place: two searches find the members of a cluster.
        keys = (self.assignments[member] * n + place).sort().values
        keys = torch.cat([keys, keys.new_full((1,), self.clusters * n)])  # beyond all
        first = torch.searchsorted(keys, chosen * n)
        count = torch.searchsorted(keys, (chosen + 1) * n) - first
        anchor = torch.searchsorted(keys, chosen * n + own)
        excluded = (own >= 0) & (keys[anchor] == chosen * n + own) & (not self.allow_self)
        count -= excluded.long()
        rank = first + pick(uniform, count)
        rank += excluded & (rank >= anchor)  # step over the anchor
        return torch.where(count > 0, keys[rank] % n, -1)

    def state_dict(self) -> dict[str, Tensor]:
        """`assignments`, `centroids`, and `neighbors` if there are any."""
        tables = {"assignments": self.assignments, "centroids": self.centroids}
        return tables if self.neighbors is None else {**tables, "neighbors": self.neighbors}

    def load_state_dict(self, state: dict[str, Tensor], reference: Queue) -> None:
        """Restore the clusters of the epoch's start, from which Q-hat has moved on since."""
        for name, value in state.items():
            setattr(self, name, value.to(reference.device if name == "centroids" else "cpu"))
        self._list_members()


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
        """Centroids m_c of the clusters of pos(i): (B, *shape), MoCo's two keys alike."""
        rows = self.centroids[to_device(self.assignments[pos.cpu()], self.centroids.device)]
        return rows.view(len(rows), *[1] * (len(queue.shape) - 1), -1).expand(-1, *queue.shape)


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
    k, held = len(centroids), int(occupied.sum())
    window = min(window, max(0, held - 1))
    neighbors = torch.zeros(k, window, dtype=torch.int64, device=centroids.device)
    own = torch.arange(k, device=centroids.device)[own_share(k) if shared else slice(None)]
    with multiplier(centroids, len(own) * centroids.numel()) as multiply:
        for block in blocks(len(own), k, centroids.device):
            rows = own[block]
            similarity = multiply(centroids[rows], centroids, None)
            similarity.scatter_(1, rows[:, None], -torch.inf)
            if held < k:
                similarity.masked_fill_(~occupied, -torch.inf)
            neighbors[rows] = (
                largest(similarity)[:, None]  # several times faster
                if window == 1
                else similarity.topk(window, dim=1).indices
            )
    return all_reduce_sum(neighbors) if shared else neighbors
