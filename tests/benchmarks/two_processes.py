"""The same training in one process and in two: utterances a second, memory and traffic of a rank.

    python tests/benchmarks/two_processes.py --json FILE

trains Fast ResNet-34 at the same global mini-batch in one process with one core, in one process
with two, and in two processes with one core each (gloo), as `training.run` starts them, each with a
cache of its own. Traffic is what the collectives of a step hand over, counted from their shapes.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from measuring import main

from ssps_lib import encoders, recipes, training
from ssps_lib.training import launch

CORPUS = {
    "speakers": 24, "recordings": 4, "utterances": 2, "seconds": 2.0,
    "dev_speakers": 4, "test_speakers": 4, "test_recordings": 2,
}  # fmt: skip
STEPS = 6  # of an epoch
CASES = ((1, 1), (1, 2), (2, 1))  # processes, and threads of each


def config(quick: bool) -> training.RunConfig:
    """Two epochs of STEPS steps of 32 utterances; the first one warms up."""
    options = {"channels": 8, "dim": 32} if quick else {}
    return recipes.recipe("simclr", "ssl", preset="smoke", encoder="fast_resnet34").with_(
        corpus_options=CORPUS, encoder_options=options, batch_size=32, crop=1.5, epochs=2,
        augmentation="none", average_last=1, observe_every=10,
    )  # fmt: skip


def train(run: training.RunConfig, home: Path, processes: int, threads: int) -> dict:
    """Train in a cache that shares only the corpus; what the last epoch says."""
    home.mkdir()
    (home.parent / "corpora").mkdir(exist_ok=True)
    (home / "corpora").symlink_to(home.parent / "corpora")
    os.environ["SSPS_HOME"] = str(home)
    environment = launch.environment
    launch.environment = lambda n: environment(n) | {"OMP_NUM_THREADS": str(threads)}
    try:
        launch.launch(run, training.run_folder(run), processes)
    finally:
        launch.environment = environment
    done = training.load(run)
    return {
        "processes": processes, "threads": threads,
        "seconds_per_step": done.metrics["seconds"][-1] / STEPS,
        "per_second": done.metrics["utterances_per_second"][-1],
        "loss": done.metrics["loss"][-1],
    }  # fmt: skip


def measure(quick: bool) -> Iterator[tuple[str, object]]:
    """All cases, one after another."""
    run = config(quick)
    encoder = encoders.build(run.encoder, **run.encoder_options)
    parameters = sum(p.numel() for p in encoder.parameters())
    with tempfile.TemporaryDirectory() as name:
        rows = []
        for processes, threads in CASES:
            home = Path(name) / f"{processes}x{threads}"
            rows.append(train(run, home, processes, threads))
            yield "processes", list(rows)
    norms = [m for m in encoder.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    yield "training", {"encoder": run.encoder, "batch_size": run.batch_size, "crop": run.crop}
    yield "parameters", parameters
    yield "dim", encoder.dim
    yield "norm_channels", sum(m.num_features for m in norms)


if __name__ == "__main__":
    os.environ["SSPS_RECORDS"] = tempfile.gettempdir()
    main("processes", measure, __doc__)
