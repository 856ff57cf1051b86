"""What SSPS adds to an iteration beside passes: pos(i) with its accuracies, and both queues.

Ours is vectorised over the mini-batch. The obvious implementation does what systems in use do: one
anchor after another, a mask over the queue, a multinomial draw, and labels looked up one at a time.
Both insert the mini-batch into both queues; ours also makes its draws a function of the utterance.
Mini-batches follow each other through the corpus, so that Q' stays as full, and serves as many
anchors, as in training. Nearest neighbours (SSPS-NN) are also compared with faiss' exact search.
One thread.
"""

import itertools
from collections.abc import Callable, Iterator

import measuring
import numpy as np
import torch
import torch.nn.functional as F
from measuring import compare, library, main, row
from torch import Tensor

from ssps_lib import analysis, draws, positives
from ssps_lib.devices import to_device
from ssps_lib.positives.clustering import nearest_clusters

B, D, WINDOW = 256, 512, 50
ITERATIONS = 20
SIZES = ((10_000, 250), (100_000, 2_500), (1_092_009, 25_000))  # N, K = |Q'|
BATCHES = (32, 64, 128, 256, 512)
NEIGHBORS = (10_000, 100_000, 1_092_009)


class Case:
    """Clusters, a queue of positives and labels of N utterances, drawn at random."""

    def __init__(self, n: int, k: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.n, self.k = n, k
        self.speakers = torch.randint(max(2, n // 180), (n,), generator=generator).numpy()
        self.recordings = torch.randint(max(2, n // 7), (n,), generator=generator).numpy()
        where = {"device": measuring.device}
        self.reference = positives.Queue(n, (D,), **where)
        self.queue = positives.Queue(n, (D,), size=k, **where)
        self.queue[torch.randperm(n, generator=generator)[:k]] = torch.randn(k, D)
        self.sampler = positives.Clustering(k, window=1)
        centroids = F.normalize(torch.randn(k, D, generator=generator), dim=1)
        count = min(k, 2000)  # of neighbours that are searched; the rest are drawn
        near = torch.randint(k, (k, 1), generator=generator)
        near[:count] = nearest_clusters(centroids[:count], torch.ones(count, dtype=torch.bool), 1)
        state = {"centroids": centroids, "neighbors": near}
        state["assignments"] = torch.randint(k, (n,), generator=generator)
        self.sampler.load_state_dict(state, self.queue)
        self.observer = analysis.PositiveObserver(self.speakers, self.recordings)

    def batches(self, size: int) -> Iterator[Tensor]:
        """Training indices (B,) of one mini-batch after the other, epoch after epoch."""
        order = torch.randperm(self.n, generator=torch.Generator().manual_seed(2))
        return itertools.cycle(order[: self.n // size * size].split(size))

    def vectorised(self, index: Tensor, z: Tensor) -> None:
        """An iteration of the library."""
        uniform = torch.from_numpy(draws.uniform(0, 0, index.numpy(), 2))
        pos = self.sampler.sample(index, self.queue, uniform)
        rows = self.sampler.retrieve(pos, self.queue)
        torch.where(to_device(pos >= 0, z.device)[:, None], rows, z)
        self.observer.update(to_device(index, z.device), to_device(pos, z.device))
        self.reference[index] = z
        self.queue[index] = z

    def one_at_a_time(self, index: Tensor, z: Tensor) -> None:
        """The same by a loop over the anchors."""
        assignments, neighbors = self.sampler.assignments, self.sampler.neighbors
        held, z = self.queue.indices, z.clone()
        right = []
        for place, i in enumerate(index):
            near = neighbors[assignments[i].item()]
            chosen = near[torch.randint(len(near), (1,)).item()].item()
            slots = (assignments[held] == chosen).nonzero()[:, 0]
            slots = slots[held[slots] != i]
            if len(slots) == 0:
                continue
            slot = slots[torch.multinomial(torch.ones(len(slots)), 1).item()].item()
            z[place] = self.queue.values[slot]
            other, own = held[slot].item(), i.item()
            same = (self.speakers[own] == self.speakers[other],
                    self.recordings[own] == self.recordings[other])  # fmt: skip
            right.append(same)
        self.reference[index] = z
        self.queue[index] = z
        np.mean(right, axis=0)


def measure_clustering(case: Case, size: int, quick: bool) -> dict:
    """An iteration of SSPS-Clustering: the mean of some that follow each other, as in training."""
    batches, z = case.batches(size), torch.randn(size, D, device=measuring.device)
    few = 2  # iterations of a loop

    def times(count: int, work: Callable[[Tensor, Tensor], None]) -> Callable[[], None]:
        def call() -> None:
            for index in itertools.islice(batches, count):
                work(index, z)

        return call

    taken = compare(
        {
            "ours": times(ITERATIONS, case.vectorised),
            "one at a time": times(few, case.one_at_a_time),
        },
        2 if quick else 9, items=size,
        shares={"ours": ITERATIONS, "one at a time": few},
    )  # fmt: skip
    return row({"N": case.n, "K": case.k, "B": size}, taken, "ours", **case.observer.result())


def measure_neighbors(n: int, quick: bool) -> dict:
    """The nearest neighbours of a mini-batch among all references."""
    reference = positives.Queue(n, (D,), device=measuring.device)
    reference.values[:] = F.normalize(torch.randn(n, D), dim=1)
    everyone = torch.arange(n)
    reference.indices[:] = reference._slots[:-1] = everyone
    sampler = positives.NearestNeighbors(window=WINDOW)
    sampler.refresh(reference)
    size = min(B, n)
    index = torch.randperm(n)[:size]
    count = 2 if n > 200_000 else 8

    def loop() -> None:
        for i in index[:count]:
            scores = reference.values @ reference.values[i]
            scores[i] = -torch.inf
            near = scores.topk(WINDOW).indices
            near[torch.randint(WINDOW, (1,)).item()].item()

    works = {"ours": lambda: sampler.sample(index, reference), "one at a time": loop}
    faiss = library("faiss") if measuring.device.type == "cpu" else None
    if faiss and n <= 200_000:  # its index is a second copy of all references
        faiss.omp_set_num_threads(torch.get_num_threads())
        search = faiss.IndexFlatIP(D)
        search.add(reference.values.numpy())
        queries = reference.values[index].numpy()
        works["faiss"] = lambda: search.search(queries, WINDOW + 1)
    repeats = 1 if quick else 2 if n > 200_000 else 3
    taken = compare(works, repeats, items=size, shares={"one at a time": count / size})
    operations = {"operations": 2 * size * n * D, "bytes": 4 * n * D}
    return row({"N": n, "B": size}, taken, "ours", **operations)


def measure(quick: bool) -> Iterator[tuple[str, dict]]:
    """All sizes of N and K at the paper's B, and all B at the largest N."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # beside the training, which has the others
    cases = [Case(n, k) for n, k in (((2_000, 50),) if quick else SIZES)]
    for case in cases:
        yield "clustering", measure_clustering(case, B, quick)
    for size in (16,) if quick else BATCHES:
        if size != B:
            yield "clustering", measure_clustering(cases[-1], size, quick)
    del cases, case
    torch.set_num_threads(threads)
    sizes = (1_000,) if quick else NEIGHBORS
    for n in sizes:
        yield "nearest neighbours", measure_neighbors(n, quick)


if __name__ == "__main__":
    main("sampling", measure, __doc__)
