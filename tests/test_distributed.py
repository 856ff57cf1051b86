"""Batch norms over two gloo processes: what torch's norms do with the whole batch."""

import copy
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from ssps_lib.distributed import all_reduce_mean, gather
from ssps_lib.norms import synchronise_norms

BATCH, CHANNELS = 6, 3
SHAPES = {"1d": (BATCH, CHANNELS), "1d-time": (BATCH, CHANNELS, 4), "2d": (BATCH, CHANNELS, 4, 2)}


def norm(kind: str) -> nn.Module:
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(CHANNELS) if kind == "2d" else nn.BatchNorm1d(CHANNELS)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    return nn.Sequential(layer)


def step(layer: nn.Module, kind: str, part: slice) -> dict[str, torch.Tensor]:
    """Two batches through the norm; the loss is a sum over rows, so ranks' gradients add up."""
    results = {}
    for batch in range(2):
        generator = torch.Generator().manual_seed(batch)
        x = 5 + 2 * torch.randn(SHAPES[kind], generator=generator)  # a mean far from 0
        weights = torch.randn(SHAPES[kind], generator=generator)[part]
        x = x[part].clone().requires_grad_()
        y = layer(x)
        layer.zero_grad()
        (weights * y.square()).sum().backward()
        results |= {f"y{batch}": y.detach(), f"x{batch}": x.grad}
    results |= {f"gradient.{name}": p.grad.clone() for name, p in layer.named_parameters()}
    return results | layer.state_dict()


def far() -> torch.Tensor:
    """A batch whose mean is many standard deviations from 0."""
    return 30 + torch.randn(SHAPES["2d"], generator=torch.Generator().manual_seed(3))


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    half = slice(rank * BATCH // 2, (rank + 1) * BATCH // 2)
    results = {kind: step(synchronise_norms(norm(kind)), kind, half) for kind in SHAPES}
    layer = synchronise_norms(norm("2d"))
    layer(far().bfloat16()[half]).float().sum().backward()
    results["bf16"] = layer.state_dict()
    results["mean"] = all_reduce_mean(torch.tensor([float(rank), 1.0]))
    results["rows"] = gather(torch.full((2, 1), float(rank)))
    torch.save(results, Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """Results of both processes."""
    folder = tmp_path_factory.mktemp("processes")
    mp.start_processes(work, (str(folder),), nprocs=2, start_method="spawn")
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("kind", SHAPES)
def test_synchronised_norms_see_the_whole_batch(halves, kind):
    whole = step(norm(kind), kind, slice(None))
    first, second = (half[kind] for half in halves)
    for name, expected in whole.items():
        if name[0] in "xy":
            found = torch.cat([first[name], second[name]])
        elif name.startswith("gradient."):
            found = first[name] + second[name]
        else:  # running statistics
            torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
            found = first[name]
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_statistics_of_bfloat16_are_summed_in_float32(halves):
    layer = norm("2d")
    layer(far().bfloat16().float())
    for name, expected in layer.state_dict().items():
        torch.testing.assert_close(halves[0]["bf16"][name], expected, rtol=1e-5, atol=1e-5)


def test_norms_of_halves_differ_without_synchronisation():
    """The test above could not pass by chance."""
    half = step(norm("1d"), "1d", slice(0, BATCH // 2))
    whole = step(norm("1d"), "1d", slice(None))
    assert (half["y0"] - whole["y0"][: BATCH // 2]).abs().max() > 0.1


def test_one_process_keeps_its_norms():
    layer = norm("2d")
    same = synchronise_norms(copy.deepcopy(layer))
    torch.testing.assert_close(
        step(same, "2d", slice(None)), step(layer, "2d", slice(None)), rtol=0, atol=0
    )


def test_evaluation_uses_running_statistics():
    layer = norm("1d").eval()
    x = torch.randn(4, CHANNELS)
    torch.testing.assert_close(synchronise_norms(copy.deepcopy(layer))(x), layer(x))


def test_gather_and_mean(halves):
    for half in halves:
        assert half["rows"].flatten().tolist() == [0, 0, 1, 1]
        assert half["mean"].tolist() == [0.5, 1.0]
