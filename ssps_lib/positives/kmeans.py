"""Spherical k-means by blocked matrix products, and the blocks that bound its memory."""

from collections.abc import Iterator
from numbers import Integral

import torch
import torch.nn.functional as F
from torch import Tensor

from ssps_lib.devices import product
from ssps_lib.distributed import all_reduce_sum, own_share


def blocks(rows: int, columns: int, device: torch.device) -> Iterator[slice]:
    """Slices of `rows` such that (block, columns) float32 values take 1 GiB on a GPU.

    On a CPU they take 8 MiB, which its caches hold, or what 512 rows need if that is more, since a
    product of fewer rows is slower; 64 MiB at most.
    """
    columns = max(1, columns)
    step = 2**28 // columns
    if device.type == "cpu":
        step = min(max(2**21 // columns, 512), 2**24 // columns)
    step = max(1, step)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


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
    means of their rows (M); a last E step follows. An empty cluster keeps its centroid.

    Args:
        x: (N, D) rows of any length and float type, normalised here: at once where they take 64 MiB
            or less, else block by block and again in each iteration, without a copy of all.
        k: number K of clusters, at most N.
        iterations: number of M steps (the paper: 10).
        initial: (K, D) first centroids instead of random rows.
        generator: CPU generator of the random rows.
        dtype: of the matrix products; sums and centroids are always float32. bfloat16 products are
            two to three times faster where the processor has instructions for them, and give
            clusters of the same mean similarity to a fraction of a percent.
        shared: whether all processes call this with the same rows and generator. Then each of them
            treats its share, sums are added up over the processes, and all get the same result.

    Returns:
        Assignments (N,) int64 and centroids (K, D) float32. On a GPU the order of the sums is not
        fixed, so that ties may fall differently from run to run.

    Raises:
        ValueError: if K is not in [1, N], shapes do not fit, or rows are not finite.

    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> assignments, centroids = kmeans(x, 2, initial=x[[0, 2]])
    >>> assignments
    tensor([0, 0, 1, 1])
    """
    if not isinstance(x, Tensor):
        raise ValueError(f"k-means got {x!r:.60}, expected rows as a tensor: use torch.as_tensor.")
    if x.ndim != 2:
        raise ValueError(f"k-means got rows of shape {tuple(x.shape)}, expected (N, D).")
    n, dim = x.shape
    if not (isinstance(k, (int, Integral)) and 1 <= k <= n):
        raise ValueError(f"K={k} clusters need 1 <= K <= {n}, the number of rows: lower K.")
    if not (isinstance(iterations, (int, Integral)) and iterations >= 0):
        raise ValueError(f"iterations is {iterations!r}, expected at least 0 (the paper: 10).")
    if initial is None:
        initial = x[torch.randperm(n, generator=generator)[:k].to(x.device)]
    elif not initial.isfinite().all():
        raise ValueError("k-means got centroids that are not finite: has training diverged?")
    if initial.shape != (k, dim):
        raise ValueError(
            f"The first centroids must have shape {(k, dim)}, got {tuple(initial.shape)}."
        )
    centroids = F.normalize(initial.detach().float(), dim=1)
    rows, unit = own_share(n) if shared else slice(0, n), x.numel() <= 2**24
    x = _unit(x.detach()) if unit else x.detach()
    for _ in range(iterations):
        _, sums = _assign(x, rows, centroids, dtype, unit)
        sums = all_reduce_sum(sums) if shared else sums
        _check_finite(sums)
        norms = sums.norm(dim=1, keepdim=True)
        centroids = torch.where(norms > 1e-12, sums / norms.clamp(min=1e-12), centroids)
    assignments, sums = _assign(x, rows, centroids, dtype, unit)
    if shared:
        assignments, sums = all_reduce_sum(assignments), all_reduce_sum(sums)
    if iterations == 0:
        _check_finite(sums)
    return assignments, centroids


def _check_finite(sums: Tensor) -> None:
    bad = int((~sums.isfinite()).any(dim=1).sum())
    if bad:
        raise ValueError(
            f"k-means got rows that are not finite, in {bad} of {len(sums)} clusters: has training "
            "diverged?"
        )


def _unit(rows: Tensor) -> Tensor:
    return F.normalize(rows.float(), dim=1)


def _assign(
    x: Tensor, share: slice, centroids: Tensor, dtype: torch.dtype, unit: bool
) -> tuple[Tensor, Tensor]:
    """E step: closest centroid of each row (N,), and the sums (K, D) of the rows of each.

    Rows outside `share` count nothing and are assigned to 0; `unit` rows are normalised already.
    """
    assignments = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    sums = torch.zeros_like(centroids)
    columns = centroids.to(dtype)
    for block in blocks(share.stop - share.start, len(centroids), x.device):
        block = slice(share.start + block.start, share.start + block.stop)
        rows = x[block] if unit else _unit(x[block])
        with torch.autocast(x.device.type, enabled=False):  # `dtype` decides, and nothing else
            assignments[block] = _largest(product(rows.to(dtype), columns))
        sums.index_add_(0, assignments[block], rows)
    return assignments, sums


def _largest(similarity: Tensor) -> Tensor:
    """`argmax(dim=1)`, the first of equal ones; on a CPU several times faster than PyTorch's."""
    if similarity.device.type != "cpu" or similarity.dtype == torch.float16:
        return similarity.argmax(dim=1)
    return torch.from_numpy(similarity.float().numpy().argmax(axis=1))
