"""One tiny corpus and one small configuration for all tests of training."""

import os
from pathlib import Path

from accelerate.state import AcceleratorState

from ssps_lib import training
from ssps_lib.training import RunConfig, loop, state
from ssps_lib.training.build import Parts

CORPUS = {
    "speakers": 8, "recordings": 2, "utterances": 2, "seconds": 1.0,
    "dev_speakers": 3, "test_speakers": 4, "test_recordings": 2,
}  # fmt: skip


def tiny(**changes) -> RunConfig:
    """Two epochs of four steps of SimCLR on 32 utterances."""
    base = {
        "corpus_options": CORPUS, "crop": 0.5, "reference_crop": 0.8, "batch_size": 8,
        "encoder_options": {"channels": 16, "dim": 16, "attention": 8, "se": 8},
        "epochs": 2, "average_last": 2, "learning_rate": 1e-3, "augmentation": "none",
    }  # fmt: skip
    return RunConfig(**(base | changes))


def bootstrapped(**changes) -> RunConfig:
    """The tiny run continued by one epoch with pseudo-positives."""
    chosen = {"positives": "ssps-clustering", "clusters": 5, "window": 1, "epochs": 1}
    return tiny(**({"start_from": tiny()} | chosen | changes))


def parts_of(config: RunConfig, folder: Path, parent: Path | None = None) -> Parts:
    """The parts of a run, with the checkpoint of its folder where there is one."""
    AcceleratorState._reset_state(True)  # another test may have used another precision
    return state.begin(config, folder, parent)


def trained(config: RunConfig, folder: Path) -> Parts:
    """The parts of a run after its epochs."""
    parts = parts_of(config, folder)
    loop.train(parts)
    return parts


def outcome(config: RunConfig) -> tuple[bytes, list]:
    """Final weights of a run, and its metrics but for the clock."""
    done = training.load(config)
    clock = {"seconds", "utterances_per_second"}
    rows = [{k: v for k, v in row.items() if k not in clock} for row in done.record["metrics"]]
    return (done.folder / "encoder.safetensors").read_bytes(), rows


def new_home(folder: Path, shared: Path) -> Path:
    """An empty cache that shares corpora and banks."""
    folder.mkdir()
    for name in ("corpora", "banks"):
        (shared / name).mkdir(exist_ok=True)
        os.symlink(shared / name, folder / name)
    return folder
