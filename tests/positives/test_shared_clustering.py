"""k-means and neighbouring clusters shared out over two gloo processes: what one process finds.

The rows lie in tight groups, and the first centroids are one row of each: no rounding changes a
cluster.
"""

from itertools import count
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from ssps_lib.positives import Clustering, Queue
from ssps_lib.positives.kmeans import kmeans

pytestmark = pytest.mark.rounding

N, K, D = 301, 6, 8  # shares of unequal size


def rows() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(K, D, generator=generator)
    noise = 0.1 * torch.randn(N, D, generator=generator)
    return means[torch.arange(N) % K] + noise


def one_of_each(n: int) -> torch.Generator:
    """A generator that draws the first K centroids of `n` rows from K groups."""
    for seed in count():
        first = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:K]
        if len(set((first % K).tolist())) == K:
            return torch.Generator().manual_seed(seed)


def cluster(dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Algorithm 1 on a queue that lacks some rows, as `training` calls it."""
    queue = Queue(N + 5, (D,))
    queue[torch.arange(N)] = rows()
    sampler = Clustering(K, window=3, dtype=dtype)
    sampler.refresh(queue, one_of_each(N))
    return sampler.state_dict()


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    found = {"float32": cluster(), "bfloat16": cluster(torch.bfloat16)}
    n = 100 * (rank + 1)
    alone = kmeans(rows()[:n], K, generator=one_of_each(n))
    torch.save({**found, "alone": alone}, Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What both processes found."""
    folder = tmp_path_factory.mktemp("processes")
    mp.start_processes(work, (str(folder),), nprocs=2, start_method="spawn")
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_both_processes_have_the_same_clusters_to_the_bit(ranks, name):
    torch.testing.assert_close(ranks[0][name], ranks[1][name], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_two_processes_find_what_one_finds(ranks, name):
    one = cluster(getattr(torch, name))
    for key in ("assignments", "neighbors"):
        assert torch.equal(ranks[0][name][key], one[key])
    first = one["assignments"][:K]  # a cluster is a group
    assert torch.equal(one["assignments"][:N], first[torch.arange(N) % K])
    torch.testing.assert_close(ranks[0][name]["centroids"], one["centroids"])
    assert (one["assignments"][-5:] == -1).all()


def test_without_being_asked_nobody_shares(ranks):
    """Observers on the main process cluster on their own, while the others wait elsewhere."""
    for rank, found in enumerate(ranks):
        n = 100 * (rank + 1)
        one = kmeans(rows()[:n], K, generator=one_of_each(n))
        torch.testing.assert_close(found["alone"], one)
