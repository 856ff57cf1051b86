"""Memory, file handles and threads over a long run at the smoke size.

    python tests/benchmarks/soak.py --iterations 2000 --out book/records/soak.json

Trains SimCLR with SSPS-Clustering, with a checkpoint every epoch, and writes JSON without paths:
what the process held after every `every` iterations, and how it grew over the second half.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import psutil
import torch

from ssps_lib.recipes import recipe
from ssps_lib.training import record
from ssps_lib.training.config import RunConfig
from ssps_lib.training.loop import Trainer


def soak_config(iterations: int) -> RunConfig:
    """Small batches, so that an epoch of the smoke corpus has 36 iterations."""
    options = recipe(preset="smoke")
    return options.with_(
        positives="ssps-clustering",
        clusters=48,
        window=1,
        positive_queue=96,
        batch_size=4,
        observe_every=10**6,
        epochs=-(-iterations // 36),
    )


def held() -> dict[str, float]:
    """Resident memory in MiB, open files and threads of this process, and its children."""
    process = psutil.Process()
    return {
        "memory": round(process.memory_info().rss / 2**20, 1),
        "files": process.num_fds(),
        "threads": process.num_threads(),
        "children": len(process.children(recursive=True)),
    }


def soak(iterations: int, every: int, folder: Path) -> dict:
    """Train and note what is held.

    Returns:
        `rows` (one for every `every` iterations), `growth` in MiB for 1,000 iterations of the
        second half (a straight line), and the machine's class.
    """
    trainer, rows, step = Trainer(soak_config(iterations), folder), [], [0]
    iteration = trainer.iteration

    def counted(epoch: int, batch: np.ndarray) -> dict:
        observed = iteration(epoch, batch)
        step[0] += 1
        if step[0] % every == 0:
            rows.append({"iterations": step[0], **held()})
        return observed

    trainer.iteration = counted
    trainer.train()
    later = rows[len(rows) // 2 :]
    line = np.polyfit([row["iterations"] for row in later], [row["memory"] for row in later], 1)
    return {
        "iterations": step[0],
        "rows": rows,
        "growth": round(1000 * float(line[0]), 2),
        "machine": record.machine(torch.device("cpu"), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        result = soak(arguments.iterations, arguments.every, Path(folder))
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['iterations']} iterations, {result['growth']} MiB for 1,000 of them")


if __name__ == "__main__":
    main()
