"""What the benchmarks share: interleaved repeats, peak memory, the machine's ceilings, one JSON.

Each benchmark is a script of its own that compares, in the same process, what the library does with
the obvious implementation and with the best library at hand:

    python tests/benchmarks/kmeans_clusters.py                    # prints a table
    python tests/benchmarks/kmeans_clusters.py --quick            # tiny sizes: does it run?
    python tests/benchmarks/kmeans_clusters.py --json FILE        # also stores it
    python tests/benchmarks/kmeans_clusters.py --threads 1 --clock cpu    # the machine is busy
    python tests/benchmarks/kmeans_clusters.py --device cpu       # although there is a GPU

`run.py` runs them all. A library that is not installed is left out with a sentence.
"""

import argparse
import ctypes
import functools
import gc
import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from types import ModuleType

import torch

from ssps_lib.devices import multiplier, processor
from ssps_lib.training import record

Work = Callable[[], object]
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = "wall"  # what seconds are: of the day, or of this process (all threads together)
device = torch.device("cpu")  # where the works run; a GPU is waited for before the clock is read


def library(name: str) -> ModuleType | None:
    """A library to compare with, None and a sentence where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed and is left out: pip install {PACKAGES.get(name, name)}")
        return None


PACKAGES = {"faiss": "faiss-cpu", "sklearn": "scikit-learn"}


def peak_reset() -> int | None:
    """Forget the peak memory; the memory now in bytes, None on a CPU where Linux is not.

    What earlier calls left in the heap is given back first: it would hide what a call takes.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return None
    return memory("VmRSS")


def peak_now() -> int:
    """The peak memory in bytes since `peak_reset`."""
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else memory("VmHWM")


def memory(field: str) -> int:
    """A field of this process's status (VmRSS: now, VmHWM: the peak), in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise ValueError(f"/proc/self/status has no field {field}: this is no Linux")


def finish() -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def once(work: Work) -> float:
    """Seconds of one call."""
    gc.collect()
    finish()
    started = CLOCKS[clock]()
    work()
    finish()
    return CLOCKS[clock]() - started


def peak(work: Work) -> float | None:
    """MiB that a call takes at its peak beyond what was held before."""
    before = peak_reset()
    work()
    finish()
    return None if before is None else max(0, peak_now() - before) / 2**20


def compare(
    works: Mapping[str, Work],
    repeats: int = 5,
    items: float | None = None,
    slow: Mapping[str, int] | None = None,
    warm: bool = True,
    shares: Mapping[str, float] | None = None,
) -> dict[str, dict]:
    """Time works by turns, so that what else the machine does falls on all of them alike.

    Args:
        works: name -> call.
        repeats: timed calls of each.
        items: what one call treats, for a throughput.
        slow: name -> fewer calls, without one to warm up.
        warm: whether to call each once before.
        shares: name -> part of the whole that the call does, above 1 if it does several; its time
            is divided by it.

    Returns:
        name -> seconds (median), low, high, repeats, peak_mib, per_second.
    """
    slow, shares = slow or {}, shares or {}
    taken: dict[str, list[float]] = {name: [] for name in works}
    for name, work in works.items():
        if warm and name not in slow:
            work()
    for turn in range(repeats):
        for name, work in works.items():
            if turn < slow.get(name, repeats):
                taken[name].append(once(work))
    peaks = {name: peak(work) for name, work in works.items()}  # a further call, not timed
    return {
        name: summary(found, peaks[name], items, shares.get(name, 1.0))
        for name, found in taken.items()
    }


def summary(
    found: list[float], peak_mib: float | None, items: float | None, share: float
) -> dict[str, float | int | None]:
    """Median and spread of repeated calls."""
    seconds = sorted(s / share for s in found)
    out = {
        "seconds": statistics.median(seconds),
        "low": seconds[0],
        "high": seconds[-1],
        "repeats": len(seconds),
        "peak_mib": peak_mib,
    }
    if items is not None:
        out["per_second"] = items / out["seconds"]
    if share < 1:
        out["extrapolated_from"] = share
    return out


def ratios(rows: Mapping[str, dict], ours: str) -> dict[str, float]:
    """How many times as long as `ours` the others take, median against median."""
    return {k: v["seconds"] / rows[ours]["seconds"] for k, v in rows.items() if k != ours}


@functools.cache
def ceilings(seconds: float = 0.4) -> dict[str, float]:
    """What this machine can do at best: operations and bytes a second, measured once."""
    rows, numbers = (8192, 2**28) if device.type == "cuda" else (2048, 2**25)
    large = [torch.randn(rows, d, device=device) for d in (rows, 512)]  # square, as in k-means
    big = torch.randn(numbers, device=device)
    other = torch.empty_like(big)

    def fastest(work: Work) -> float:
        work()
        best, end = float("inf"), time.perf_counter() + seconds
        while time.perf_counter() < end:
            best = min(best, once(work))
        return best

    def flops(dtype: torch.dtype) -> float:
        best = 0.0
        for x in large:
            x, y = x.to(dtype), x.clone().to(dtype)  # of x with itself NumPy takes only one half
            operations = 2 * rows**2 * x.shape[1]
            with multiplier(y, operations) as multiply:
                best = max(best, operations / fastest(lambda x=x, y=y: multiply(x, y, None)))
        return best

    return {
        "float32_flops": flops(torch.float32),
        "bfloat16_flops": flops(torch.bfloat16),
        "bytes_per_second": 2 * 4 * numbers / fastest(lambda: other.copy_(big)),  # read and write
    }


def about(name: str) -> dict:
    """Machine class and versions; no path and no name of a machine."""
    versions = record.versions()
    for module in ("faiss", "sklearn", "torchmetrics"):
        if module in sys.modules:
            versions[PACKAGES.get(module, module)] = sys.modules[module].__version__
    instructions = torch.backends.cpu.get_cpu_capability()
    if device.type == "cuda":
        instructions = "sm_{}{}".format(*torch.cuda.get_device_capability(device))
    return {
        "format": 1, "name": name, "date": date.today().isoformat(),
        "machine": record.machine(device, 1), "processor": processor(),
        "instructions": instructions, "cores": os.cpu_count(),
        "versions": versions, "ceilings": ceilings(),
    }  # fmt: skip


def show(part: str, row: dict) -> None:
    """One line for each work."""
    size = ", ".join(f"{k} {v:,}" for k, v in row["size"].items()) + " " + row.get("phase", "")
    for name, one in row["works"].items():
        peak = "" if one["peak_mib"] is None else f"{one['peak_mib']:8.0f} MiB"
        times = row["ratios"].get(name)
        print(
            f"{part}  {size:28}  {name:22} {1000 * one['seconds']:10.1f} ms"
            f"  ({1000 * one['low']:.1f} to {1000 * one['high']:.1f}) {peak}"
            + (f"  x {times:.2f}" if times else ""),
            flush=True,
        )


def main(name: str, measure: Callable[[bool], Iterator[tuple[str, object]]], doc: str) -> None:
    """The command line of a benchmark: `measure(quick)` gives rows and values, one after another.

    The file is written after each of them, so that an interrupted benchmark keeps what it has.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of PyTorch")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the result here as well")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu on a busy machine")
    parser.add_argument("--device", choices=("cpu", "cuda"), default=default_device())
    options = parser.parse_args()
    global clock, device
    clock, device = options.clock, torch.device(options.device)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    result = about(f"{stem(options.device)}-{name}") | {"quick": options.quick}
    for part, value in measure(options.quick):
        if isinstance(value, dict) and "works" in value:
            result.setdefault(part, []).append(value)
            show(part, value)
        else:
            result[part] = value
            print(part, value, flush=True)
        if options.json:
            options.json.write_text(json.dumps(record.rounded(result), indent=1) + "\n")


def default_device() -> str:
    """A GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def limited() -> str | None:
    """The smaller instruction set that a CPU was asked for, see `run.py`."""
    return os.environ.get("ATEN_CPU_CAPABILITY")


def stem(kind: str) -> str:
    """How the files of a device are called: those of a CPU stay beside those of a GPU."""
    return "bench-gpu" if kind == "cuda" else "-".join(filter(None, ("bench", limited())))


def row(size: Mapping[str, int], works: Mapping[str, dict], ours: str, **more) -> dict:
    """A size, what its works took, and their ratios to ours."""
    out = {"size": dict(size), "works": works, "ours": ours, "ratios": ratios(works, ours)}
    return out | {"clock": clock, "threads": torch.get_num_threads(), **more}
