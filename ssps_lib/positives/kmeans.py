"""Spherical k-means by blocked matrix products, and the blocks that bound its memory."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ssps_lib.devices import Multiply, multiplier
from ssps_lib.distributed import all_reduce_sum, own_share


def kmeans(
    x: Tensor,
    k: int,
    iterations: int = 10,
    initial: Tensor | None = None,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float32,
    shared: bool = False,
) -> tuple[Tensor, Tensor]:
    """Spherical k-means (Section III-E; Algorithm 1, line 2).

    Rows are compared by cosine. The first centroids are K random rows; each of `iterations` steps
    assigns every row to its closest centroid (E) and replaces the centroids by the L2-normalised
    means of their rows (M); a last E step follows. An empty cluster keeps its centroid. Once no
    centroid moves, the steps that are left are not taken.

    Args:
        x: (N, D) rows of any length and float type; those of another length than 1 are normalised
            in a copy.
        k: number K of clusters, at most N.
        iterations: number of M steps (the paper: 10).
        initial: (K, D) first centroids instead of random rows.
        generator: CPU generator of the random rows.
        dtype: of the matrix products; sums and centroids are always float32. bfloat16 products are
            up to twice as fast where the processor has instructions for them, and give clusters of
            the same mean similarity to a fraction of a percent.
        shared: whether all processes call this with the same rows and generator. Then each of them
            treats its share, sums are added up over the processes, and all get the same result.

    Returns:
        Assignments (N,) int64 and centroids (K, D) float32. On a GPU the order of the sums is not
        fixed, so that ties may fall differently from run to run.

    Raises:
        ValueError: if K is not in [1, N], or rows are not finite.

    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> assignments, centroids = kmeans(x, 2, initial=x[[0, 2]])
    >>> assignments
    tensor([0, 0, 1, 1])
    """
    n = len(x)
    if not 1 <= k <= n:
        raise ValueError(f"K={k} clusters need 1 <= K <= {n}, the number of rows: lower K.")
    if initial is None:
        initial = x[torch.randperm(n, generator=generator)[:k].to(x.device)]
    centroids = F.normalize(initial.detach().float(), dim=1)
    share = own_share(n) if shared else slice(0, n)
    total = all_reduce_sum if shared else lambda part: part
    x = _unit(x.detach())[share]
    queries = x.to(dtype) if dtype.itemsize < x.element_size() else x
    with multiplier(centroids.to(dtype), x.numel() * k) as multiply:
        for _ in range(iterations):
            closest = _closest(queries, centroids.to(dtype), multiply)  # E
            before, centroids = centroids, _means(total(_sums(x, closest, k)), centroids)  # M
            if torch.equal(centroids, before):  # then no further step would change anything
                break
        else:
            closest = _closest(queries, centroids.to(dtype), multiply)
    assignments = torch.zeros(n, dtype=torch.int64, device=x.device)
    assignments[share] = closest
    return total(assignments), centroids


def lengths(x: Tensor) -> Tensor:
    """Norms (N,) of rows (N, D), in float32."""
    return torch.linalg.vector_norm(x, dim=1, dtype=torch.float32)


def _unit(x: Tensor) -> Tensor:
    """Rows of length 1: `x` itself where they are, as those of Q-hat."""
    return x if ((lengths(x) - 1).abs() < 1e-3).all() else F.normalize(x.float(), dim=1)


def _closest(x: Tensor, centroids: Tensor, multiply: Multiply) -> Tensor:
    """The closest centroid of each row (N,), by products in the centroids' precision."""
    closest = torch.empty(len(x), dtype=torch.int64, device=x.device)
    columns = centroids.t().contiguous().t()  # as products like them best
    with torch.autocast(x.device.type, enabled=False):  # their `dtype` decides, and nothing else
        similarity = None
        for block in blocks(len(x), len(columns), x.device):
            similarity = multiply(x[block].to(columns.dtype), columns, similarity)
            closest[block] = largest(similarity)
    return closest


def _sums(x: Tensor, closest: Tensor, k: int) -> Tensor:
    """Sums (K, D) of the rows of each cluster."""
    sums = torch.zeros(k, x.shape[1], device=x.device)
    for block in blocks(len(x), x.shape[1], x.device):
        sums.index_add_(0, closest[block], x[block].float())
    return sums


def _means(sums: Tensor, centroids: Tensor) -> Tensor:
    """Sums made of unit length, (K, D); the old centroid where a cluster is empty."""
    bad = int((~sums.isfinite()).any(dim=1).sum())
    if bad:
        raise ValueError(
            f"k-means got rows that are not finite, in {bad} of {len(sums)} clusters: has training "
            "diverged?"
        )
    norms = sums.norm(dim=1, keepdim=True)
    return torch.where(norms > 1e-12, sums / norms.clamp(min=1e-12), centroids)


def largest(similarity: Tensor) -> Tensor:
    """`argmax(dim=1)`, the first of equal ones; on a CPU several times faster than PyTorch's."""
    if similarity.device.type != "cpu" or similarity.dtype == torch.float16:
        return similarity.argmax(dim=1)
    if similarity.dtype == torch.bfloat16:  # those above zero are ordered as their bits
        place = torch.from_numpy(similarity.view(torch.int16).numpy().argmax(axis=1))
        if (similarity.gather(1, place[:, None]) > 0).all():
            return place
    return torch.from_numpy(similarity.float().numpy().argmax(axis=1))


def blocks(rows: int, columns: int, device: torch.device) -> Iterator[slice]:
    """Slices of `rows` such that (block, columns) float32 values take 1 GiB on a GPU.

    On a CPU they take 16 MiB, or what 512 rows need if that is more, since a product of fewer rows
    is slower; 64 MiB at most.
    """
    step = 2**28 // columns
    if device.type == "cpu":
        step = min(max(2**22 // columns, 512), 2**24 // columns)
    step = max(1, step)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
