"""What depends on the device: copies that wait for nobody, and products as fast as it can."""

import ctypes
import json
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from threadpoolctl import ThreadpoolController
from torch import Tensor

from ssps_lib import files

Multiply = Callable[[Tensor, Tensor, Tensor | None], Tensor]

LARGE = 2**26  # multiplications from which on the choice of the library is worth the trouble


def to_device(x: Tensor | np.ndarray, device: torch.device | str) -> Tensor:
    """A tensor on `device`; a GPU fetches it when it gets there, while this process goes on.

    A plain copy to a GPU would wait until all work that was given to it is done.

    >>> to_device(np.arange(3), "cpu")
    tensor([0, 1, 2])
    """
    x = torch.as_tensor(x)
    if torch.device(device).type == "cuda" and x.device.type == "cpu":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


def keep_freed_memory() -> None:
    """Let this process keep what it frees: each training step asks for the same memory again.

    glibc returns large pieces to the system, which has to clear each page of the next ones. Does
    nothing where there is another C library.
    """
    if platform.libc_ver()[0] == "glibc":
        set_option, trim_threshold, mmap_threshold = ctypes.CDLL(None).mallopt, -1, -3
        set_option(trim_threshold, -1)  # never
        set_option(mmap_threshold, 2**30) or set_option(mmap_threshold, 2**25)  # the most it may be


@contextmanager
def multiplier(like: Tensor, multiplications: int) -> Iterator[Multiply]:
    """Products of rows (B, D) with columns (K, D) to (B, K), without gradient, for a loop.

    The third argument is None or memory for at least (B, K), which saves some percent of the time.
    Where there is much to do in float32 on a CPU, multiplication is that of the fastest library. If
    that is NumPy, PyTorch has one thread within the block: idle threads of either spin for a while,
    and would hold up those of the other.

    Args:
        like: a tensor of the device and the type of the columns.
        multiplications: about how many there will be, of numbers.

    >>> columns = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> with multiplier(columns, 12) as multiply:
    ...     multiply(torch.eye(2), columns, None)
    tensor([[1., 3., 5.],
            [2., 4., 6.]])
    """
    if like.device.type != "cpu" or like.dtype != torch.float32 or multiplications < LARGE:
        yield _plain
        return
    threads = torch.get_num_threads()
    name = fastest(threads)

    def multiply(rows: Tensor, columns: Tensor, out: Tensor | None) -> Tensor:
        if rows.dtype != columns.dtype:
            return _plain(rows, columns, out)  # where PyTorch refuses them
        out = columns.new_empty(len(rows), len(columns)) if out is None else out[: len(rows)]
        return LIBRARIES[name](rows.detach(), columns.detach(), out)

    with _cores(name, threads):
        yield multiply


def _plain(rows: Tensor, columns: Tensor, out: Tensor | None) -> Tensor:
    return rows.detach() @ columns.detach().t()


@contextmanager
def _cores(name: str, threads: int) -> Iterator[None]:
    """The threads for one of `LIBRARIES`; within the block the other has one."""
    with _openblas().limit(limits=threads):
        torch.set_num_threads(1 if name == "numpy" else threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _by_numpy(rows: Tensor, columns: Tensor, out: Tensor) -> Tensor:
    np.matmul(rows.numpy(), columns.numpy().T, out=out.numpy())
    return out


@cache
def _openblas() -> ThreadpoolController:
    """NumPy's own threads, which know nothing of PyTorch's number."""
    return ThreadpoolController().select(internal_api="openblas")


LIBRARIES: dict[str, Multiply] = {
    "numpy": _by_numpy,  # OpenBLAS, or Accelerate on a Mac
    "torch": lambda rows, columns, out: torch.mm(rows, columns.t(), out=out),  # MKL on x86
}
if torch.backends.mkldnn.is_available():
    LIBRARIES["onednn"] = lambda rows, columns, _: F.linear(rows.to_mkldnn(), columns).to_dense()


def processor() -> str:
    """The model of the CPU."""
    about: dict = getattr(torch.cpu, "get_capabilities", dict)()  # older PyTorch says nothing
    return about.get("cpu_name") or platform.processor() or platform.machine()


@cache
def fastest(threads: int) -> str:
    """Which of `LIBRARIES` finds the largest products of float32 fastest here on so many threads.

    Measured once on a kind of processor, in a second, and kept in the home folder: the libraries
    round differently, and a run that is resumed must find the same clusters.
    """
    path = files.home() / "products.json"
    key = (
        f"{processor()}, {torch.backends.cpu.get_cpu_capability()}, {threads} threads, "
        f"torch {torch.__version__}, numpy {np.__version__}"
    )
    known = json.loads(path.read_text()) if path.exists() else {}
    if key not in known:
        rows, columns = torch.ones(4096, 512), torch.ones(512, 1000).t()
        out = torch.empty(4096, 1000)
        seconds: dict[str, float] = {}
        for name, multiply in LIBRARIES.items():
            with _cores(name, threads):
                for _ in range(5):
                    started = time.perf_counter()
                    multiply(rows, columns, out).numpy().argmax(axis=1)
                    seconds[name] = min(seconds.get(name, 1e9), time.perf_counter() - started)
        known[key] = min(seconds, key=lambda name: seconds[name])
        with files.whole(path) as partial:
            partial.write_text(json.dumps(known, indent=1) + "\n")
    return known[key]
