"""Two gloo processes with half the batch each: the loss, gradient and state of one process."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tiny import OPTIONS, build, views_of
from torch.nn.parallel import DistributedDataParallel

BATCH, STEPS = 4, 2
LABELS = torch.tensor([0, 1, 2, 1])
FOUND = torch.tensor([True, False, False, True])


def losses_gradients_state(name: str, part: slice, distributed: bool) -> dict:
    """A few steps on the rows `part` of the mini-batch, some of them with pseudo-positives.

    In eval mode: batch statistics would differ between half and full batches.
    """
    framework = build(name, **({"queue_start": 0} if name == "swav" else {})).eval()
    model = framework
    if distributed:
        model = DistributedDataParallel(framework, broadcast_buffers=False)
    generator = torch.Generator().manual_seed(3)
    optimizer = torch.optim.SGD(framework.parameter_groups(0.0), lr=0.01)
    losses = []
    for step in range(STEPS):
        framework.before_step(step, step / STEPS)
        rows = torch.randn(BATCH, *framework.embedding_shape, generator=generator)
        views = [view[part] for view in views_of(framework, BATCH, seed=step)]
        z, own = model(views)
        z_pos = framework.substitute(own, rows[part], FOUND[part])
        loss = framework.loss(z, z_pos, LABELS[part])
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.detach())
        if step + 1 < STEPS:
            framework.after_backward(step)
        optimizer.step()
        framework.after_step(z.detach(), z_pos.detach(), own.detach())
    gradients = {n: p.grad for n, p in framework.named_parameters() if p.requires_grad}
    return {
        "losses": torch.stack(losses),
        "gradients": gradients,
        "state": framework.state_dict(),
    }


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    half = slice(rank * BATCH // 2, (rank + 1) * BATCH // 2)
    results = {name: losses_gradients_state(name, half, True) for name in OPTIONS}
    torch.save(results, Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """Results of both processes."""
    folder = tmp_path_factory.mktemp("processes")
    mp.start_processes(work, (str(folder),), nprocs=2, start_method="spawn")
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.rounding
@pytest.mark.parametrize("name", OPTIONS)
def test_two_processes_equal_one(halves, name):
    whole = losses_gradients_state(name, slice(None), False)
    first, second = (half[name] for half in halves)
    mean = (first["losses"] + second["losses"]) / 2
    torch.testing.assert_close(mean, whole["losses"], rtol=1e-5, atol=1e-5)
    for half in (first, second):  # DINO's gradients go up to 200, and rounding with them
        for what in ("gradients", "state"):
            torch.testing.assert_close(half[what], whole[what], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["simclr", "swav", "vicreg"])
def test_losses_that_compare_utterances_are_global_on_each_process(halves, name):
    first, second = (half[name]["losses"] for half in halves)
    torch.testing.assert_close(first, second)
