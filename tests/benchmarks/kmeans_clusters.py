"""k-means and neighbouring clusters: ours, a loop over clusters, faiss and scikit-learn.

The obvious k-means takes all similarities at once and visits one cluster after another for the
means; the obvious neighbours of a cluster are one product and one sort for each. All k-means start
from the same rows and do the same number of steps, after which centroids still move. `similarity`
is the mean cosine of the rows with their centroids, which says whether a faster one is as good.
"""

from collections.abc import Iterator

import measuring
import numpy as np
import torch
import torch.nn.functional as F
from measuring import compare, library, main, row
from torch import Tensor

from ssps_lib.positives.clustering import nearest_clusters
from ssps_lib.positives.kmeans import blocks, kmeans

ROUNDS, D = 10, 512
SIZES = (  # N, K: K grows with N as in the paper
    (10_000, 250),
    (31_600, 790),
    (50_000, 1_000),
    (100_000, 2_500),
)
VOXCELEB2 = (1_092_009, 25_000)  # on a GPU
CLUSTERS = (1_000, 5_000, 25_000)


def voices(n: int, speakers: int, d: int = D) -> Tensor:
    """Unit rows around `speakers` directions, so loose that ten rounds of k-means do not end it."""
    generator = torch.Generator().manual_seed(0)
    means = F.normalize(torch.randn(speakers, d, generator=generator), dim=1)
    noise = torch.randn(n, d, generator=generator) * 0.15
    return F.normalize(means[torch.arange(n) % speakers] + noise, dim=1).to(measuring.device)


def loop_kmeans(x: Tensor, k: int, initial: Tensor, rounds: int = ROUNDS) -> tuple[Tensor, Tensor]:
    """Spherical k-means as one writes it down: a loop over clusters for the means."""
    centroids = initial
    for _ in range(rounds):
        assignments = (x @ centroids.t()).argmax(dim=1)
        means = centroids.clone()
        for c in range(k):
            members = x[assignments == c]
            if len(members):
                means[c] = members.mean(dim=0)
        centroids = F.normalize(means, dim=1)
    return (x @ centroids.t()).argmax(dim=1), centroids


def loop_neighbors(centroids: Tensor, window: int, count: int) -> Tensor:
    """The nearest clusters of the first `count` clusters, one at a time."""
    found = []
    for c in range(count):
        similarity = centroids @ centroids[c]
        similarity[c] = -torch.inf
        found.append(similarity.topk(window).indices)
    return torch.stack(found)


def similarity(x: Tensor, assignments: Tensor, centroids: Tensor) -> float:
    """Mean cosine of unit rows with the centroids of their clusters."""
    total = sum(
        float((x[b] * centroids[assignments[b]]).sum()) for b in blocks(len(x), D, x.device)
    )
    return total / len(x)


def measure_kmeans(n: int, k: int, quick: bool) -> dict:
    """One size of k-means."""
    x = voices(n, max(2, k // 2))
    initial = x[torch.randperm(n, generator=torch.Generator().manual_seed(1))[:k]]
    found: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name, work):
        def call():
            found[name] = work()

        return call

    works = {"ours": keep("ours", lambda: kmeans(x, k, ROUNDS, initial))}
    if not measuring.limited():
        works["ours, bf16 products"] = keep(
            "ours, bf16 products", lambda: kmeans(x, k, ROUNDS, initial, dtype=torch.bfloat16)
        )
    if n * k < 2**32:  # all similarities at once
        works["loop over clusters"] = lambda: loop_kmeans(x, k, initial, 2)
    on_cpu = x.device.type == "cpu"
    faiss, sklearn = (library(name) if on_cpu else None for name in ("faiss", "sklearn.cluster"))
    if faiss:
        faiss.omp_set_num_threads(torch.get_num_threads())
        works["faiss"] = keep("faiss", lambda: faiss_kmeans(faiss, x, k, initial))
    if sklearn and n <= 31_600:  # Euclidean on unit rows; several times slower than the others
        works["scikit-learn"] = keep("scikit-learn", lambda: sklearn_kmeans(sklearn, x, k, initial))
    slow = dict.fromkeys(works, 2) if n > 50_000 and on_cpu else {}
    slow |= {"loop over clusters": 1, "scikit-learn": 1}
    # Two rounds of the loop are timed: three assignments of eleven, and two of ten times the means.
    shares = {"loop over clusters": 3 / (ROUNDS + 1)}
    taken = compare(works, 1 if quick else 3, items=n, slow=slow, shares=shares)
    for name, (assignments, centroids) in found.items():
        taken[name]["similarity"] = similarity(x, assignments, centroids)
    operations = 2 * n * k * D * (ROUNDS + 1)
    return row({"N": n, "K": k}, taken, "ours", operations=operations)


def faiss_kmeans(faiss, x: Tensor, k: int, initial: Tensor) -> tuple[Tensor, Tensor]:
    """faiss' spherical k-means, and the assignment to its last centroids."""
    work = faiss.Kmeans(
        D, k, niter=ROUNDS, spherical=True, max_points_per_centroid=len(x), verbose=False
    )
    work.train(x.numpy(), init_centroids=initial.numpy())
    assignments = work.index.search(x.numpy(), 1)[1][:, 0]
    return torch.from_numpy(assignments), torch.from_numpy(np.array(work.centroids))


def sklearn_kmeans(cluster, x: Tensor, k: int, initial: Tensor) -> tuple[Tensor, Tensor]:
    """Lloyd's k-means of scikit-learn on unit rows; its centroids are normalised afterwards."""
    work = cluster.KMeans(k, init=initial.numpy(), n_init=1, max_iter=ROUNDS, tol=0)
    assignments = work.fit_predict(x.numpy())
    centroids = F.normalize(torch.from_numpy(work.cluster_centers_).float(), dim=1)
    return torch.from_numpy(assignments).long(), centroids


def measure_neighbors(k: int, quick: bool, window: int = 1) -> dict:
    """One size of neighbouring clusters; the loop is timed for some of them."""
    centroids = voices(k, max(2, k // 2))
    occupied = torch.ones(k, dtype=torch.bool, device=centroids.device)
    count = min(k, 200)
    taken = compare(
        {
            "ours": lambda: nearest_clusters(centroids, occupied, window),
            "one at a time": lambda: loop_neighbors(centroids, window, count),
        },
        1 if quick else 3, items=k, shares={"one at a time": count / k},
    )  # fmt: skip
    return row({"K": k}, taken, "ours", operations=2 * k * k * D)


def measure(quick: bool) -> Iterator[tuple[str, dict]]:
    """All sizes."""
    sizes, clusters = (((600, 20),), (300,)) if quick else (SIZES, CLUSTERS)
    if measuring.limited():
        sizes, clusters = sizes[:3], clusters[:1]
    if measuring.device.type == "cuda" and not quick:
        sizes = (*sizes, VOXCELEB2)
    for n, k in sizes:
        yield "k-means", measure_kmeans(n, k, quick)
    for k in clusters:
        yield "neighbouring clusters", measure_neighbors(k, quick)


if __name__ == "__main__":
    main("kmeans", measure, __doc__)
