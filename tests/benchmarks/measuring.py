"""What the benchmarks share: interleaved repeats, peak memory, the machine's ceilings, one JSON.

Each benchmark is a script of its own that compares, in the same process, what the library does with
the obvious implementation and with the best library at hand:

    python tests/benchmarks/kmeans_clusters.py                    # prints a table
    python tests/benchmarks/kmeans_clusters.py --quick            # tiny sizes: does it run?
    python tests/benchmarks/kmeans_clusters.py --json FILE        # also stores it
    python tests/benchmarks/kmeans_clusters.py --threads 1 --clock cpu    # the machine is busy

`run.py` runs them all. A library that is not installed is left out with a sentence.
"""

import argparse
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

from ssps_lib.devices import product
from ssps_lib.training import record

Work = Callable[[], object]
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = "wall"  # what seconds are: of the day, or of this process (all threads together)


def library(name: str) -> ModuleType | None:
    """A library to compare with, None and a sentence where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed and is left out: pip install {PACKAGES.get(name, name)}")
        return None


PACKAGES = {"faiss": "faiss-cpu", "sklearn": "scikit-learn"}


def peak_reset() -> int | None:
    """Forget this process's peak memory; its memory now in bytes, None where Linux is not."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return memory("VmRSS")


def memory(field: str) -> int:
    """A field of this process's status (VmRSS: now, VmHWM: the peak), in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise ValueError(f"/proc/self/status has no field {field}: this is no Linux")


def once(work: Work) -> tuple[float, float | None]:
    """Seconds of one call, and the MiB that it took at its peak beyond what was held before."""
    gc.collect()
    before = peak_reset()
    started = CLOCKS[clock]()
    work()
    seconds = CLOCKS[clock]() - started
    peak = None if before is None else max(0, memory("VmHWM") - before) / 2**20
    return seconds, peak


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
    taken: dict[str, list[tuple[float, float | None]]] = {name: [] for name in works}
    for name, work in works.items():
        if warm and name not in slow:
            work()
    for turn in range(repeats):
        for name, work in works.items():
            if turn < slow.get(name, repeats):
                taken[name].append(once(work))
    return {name: summary(found, items, shares.get(name, 1.0)) for name, found in taken.items()}


def summary(found: list[tuple[float, float | None]], items: float | None, share: float) -> dict:
    """Median and spread of repeated calls."""
    seconds = sorted(s / share for s, _ in found)
    peaks = [peak for _, peak in found if peak is not None]
    out = {
        "seconds": statistics.median(seconds),
        "low": seconds[0],
        "high": seconds[-1],
        "repeats": len(seconds),
        "peak_mib": max(peaks) if peaks else None,
    }
    if items is not None:
        out["per_second"] = items / out["seconds"]
    if share < 1:
        out["extrapolated_from"] = share
    return out


def ratios(rows: Mapping[str, dict], ours: str) -> dict[str, float]:
    """How many times as long as `ours` the others take, median against median."""
    return {k: v["seconds"] / rows[ours]["seconds"] for k, v in rows.items() if k != ours}


def ceilings(seconds: float = 0.4) -> dict[str, float]:
    """What this machine can do at best: operations and bytes a second, as measured here."""
    large = [torch.randn(2048, 2048), torch.randn(2048, 512)]  # square, and as in k-means
    big = torch.randn(2**25)
    other = torch.empty_like(big)

    def fastest(work: Work) -> float:
        work()
        best, end = float("inf"), time.perf_counter() + seconds
        while time.perf_counter() < end:
            best = min(best, once(work)[0])
        return best

    def flops(dtype: torch.dtype) -> float:
        inputs = [x.to(dtype) for x in large]
        return max(2 * 2048**2 * x.shape[1] / fastest(lambda x=x: product(x, x)) for x in inputs)

    return {
        "float32_flops": flops(torch.float32),
        "bfloat16_flops": flops(torch.bfloat16),
        "bytes_per_second": 2 * 4 * 2**25 / fastest(lambda: other.copy_(big)),  # read and write
    }


def about(name: str) -> dict:
    """Machine class and versions; no path and no name of a machine."""
    versions = record.versions()
    for module in ("faiss", "sklearn", "torchmetrics"):
        if module in sys.modules:
            versions[PACKAGES.get(module, module)] = sys.modules[module].__version__
    machine = record.machine(torch.device("cpu"), 1)
    return {
        "format": 1, "name": name, "date": date.today().isoformat(), "machine": machine,
        "instructions": torch.backends.cpu.get_cpu_capability(), "cores": os.cpu_count(),
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
    options = parser.parse_args()
    global clock
    clock = options.clock
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    result = about(f"bench-{name}") | {"quick": options.quick}
    for part, value in measure(options.quick):
        if isinstance(value, dict) and "works" in value:
            result.setdefault(part, []).append(value)
            show(part, value)
        else:
            result[part] = value
            print(part, value, flush=True)
        if options.json:
            options.json.write_text(json.dumps(record.rounded(result), indent=1) + "\n")


def row(size: Mapping[str, int], works: Mapping[str, dict], ours: str, **more) -> dict:
    """A size, what its works took, and their ratios to ours."""
    out = {"size": dict(size), "works": works, "ours": ours, "ratios": ratios(works, ours)}
    return out | {"clock": clock, "threads": torch.get_num_threads(), **more}
