"""The records that lie in `book/records`: small files that stand for runs which are not here."""

import json
import os
import time
from pathlib import Path
from typing import Any

import torch

from ssps_lib import files, training
from ssps_lib.training import Run, RunConfig, record, run_folder, state


def folder() -> Path:
    """Where records are kept: `$SSPS_RECORDS`, or `book/records` of this repository."""
    return Path(os.environ.get("SSPS_RECORDS") or Path(__file__).parents[1] / "records")


def run(config: RunConfig, num_processes: int = 1) -> Run:
    """`training.run`, with the stored record in place of a run that this machine has not."""
    return training.run(config, num_processes, records=folder())


def replicate(config: RunConfig, seeds: int, num_processes: int = 1) -> list[Run]:
    """`training.replicate`, with stored records in place of runs that this machine has not."""
    return training.replicate(config, seeds, num_processes, records=folder())


def load(config: RunConfig) -> Run | None:
    """The finished run or its stored record; None if there is neither."""
    return training.load(config, records=folder())


LIMIT = 300_000  # bytes of a record with its arrays: they are committed


def export(finished: Run) -> Path:
    """Store the record of a run; returns its path without suffix.

    Raises:
        ValueError: it is too large to be committed; nothing is stored then.
    """
    target = folder() / finished.name
    record.write(target, finished.record, finished.arrays)
    written = [target.with_name(target.name + suffix) for suffix in (".json", ".npz")]
    size = sum(file.stat().st_size for file in written)
    if size > LIMIT:
        for file in written:
            file.unlink()
        raise ValueError(
            f"the record {target.name} has {size} bytes, {LIMIT} at most are stored: train fewer "
            "epochs, or leave the record in the run's folder"
        )
    return target


def checkpoint(config: RunConfig) -> Path:
    """The last checkpoint of a run on this machine; FileNotFoundError where there is none."""
    found = state.find(run_folder(config) / "checkpoint")
    if found is None:
        raise FileNotFoundError(
            f"the weights of run {config.name} are not on this machine: train it first with "
            "training.run(config)"
        )
    return found


def measured(name: str, device: torch.device, started: float, **found: Any) -> dict[str, Any]:
    """What an experiment without a run of its own found, with where and when.

    `started`: `time.perf_counter()` when it began.
    """
    return {
        "format": record.FORMAT,
        "name": name,
        "machine": record.machine(device, 1),
        "seconds": round(time.perf_counter() - started, 1),
        "versions": record.versions(),
        **found,
    }


def save_values(name: str, values: dict) -> Path:
    """Store what an experiment without a run of its own found, as `<name>.json` beside the records.

    NaN becomes null, which JSON has. The file appears whole or not at all.
    """
    target = folder() / f"{name}.json"
    with files.whole(target) as partial:
        partial.write_text(json.dumps(record.rounded(values), indent=1, allow_nan=False) + "\n")
    return target


def load_values(name: str) -> dict | None:
    """What `save_values` stored; None if there is nothing."""
    target = folder() / f"{name}.json"
    return json.loads(target.read_text()) if target.exists() else None


def searched(framework: str) -> list[dict]:
    """The stored trials of `book/search.py`, the scaled recipe first, the best last."""
    found = [load_values(file.stem) or {} for file in folder().glob("search-*.json")]
    own = [row for row in found if row.get("framework") == framework]
    return sorted(own, key=lambda row: (row["label"] != "the scaled recipe", -row["dev_eer"]))
