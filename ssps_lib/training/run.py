"""Runs: `run(config)` trains what is missing and loads what is complete."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssps_lib import files, scorer
from ssps_lib.corpora import open_corpus
from ssps_lib.encoders import load_encoder, save_encoder
from ssps_lib.training import checkpoints, lock, record, tracking
from ssps_lib.training.config import RunConfig, with_seed
from ssps_lib.training.fields import check_batch
from ssps_lib.training.ranks import check_gpus, check_not_launched


@dataclass
class Run:
    """A finished run.

    Attributes:
        config: what was trained.
        record: the record's JSON (config, metrics, scores, versions, seconds, machine).
        arrays: the arrays that figures need (see `training.record.evaluate`).
        folder: the run's folder, None where only its committed record is at hand.
    """

    config: RunConfig
    record: dict
    arrays: dict[str, np.ndarray]
    folder: Path | None

    @property
    def scores(self) -> dict:
        """Final scores of the test speakers (EER in percent)."""
        return self.record["scores"]

    @property
    def eer(self) -> float:
        """EER of the test trials in percent."""
        return self.record["scores"]["eer"]

    @property
    def metrics(self) -> dict[str, np.ndarray]:
        """Curves by name, one value an epoch (NaN where it was not observed)."""
        rows = self.record["metrics"]
        names = sorted({name for row in rows for name in row})
        return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}

    def encoder(self):
        """The encoder with the averaged weights of the last epochs.

        Raises:
            FileNotFoundError: only the record of this run is at hand, not its weights.
        """
        if self.folder is None:
            raise FileNotFoundError(
                f"the weights of run {self.config.name} are not on this machine, only its record: "
                "train it with training.run(config)"
            )
        return load_encoder(self.folder / "encoder.safetensors")


def run_folder(config: RunConfig) -> Path:
    """Where a run lives on this machine; ValueError for what is no configuration."""
    _check_type(config)
    return files.home() / "runs" / config.name


def _check_type(config: object) -> None:
    if not isinstance(config, RunConfig):
        raise ValueError(f"config is {config!r:.60}, expected a RunConfig: see training.from_dict")


def is_complete(config: RunConfig) -> bool:
    """Whether the run has been trained on this machine."""
    return (run_folder(config) / "record.json").exists()


def load(config: RunConfig, records: Path | None = None) -> Run | None:
    """The finished run of this machine, or its record in the folder `records`; None if neither."""
    target = run_folder(config) / "record"
    if is_complete(config):
        return Run(config, *record.read(target), target.parent)
    if records is not None and (records / f"{config.name}.json").exists():
        return Run(config, *record.read(records / config.name), None)
    return None


def run(config: RunConfig, num_processes: int = 1, records: Path | None = None) -> Run:
    """Train a run, or load it where it is complete; an interrupted one is resumed.

    Where another process trains the same run, this one waits for it and then loads it.

    Args:
        config: what to train; the run it starts from is trained first.
        num_processes: data-parallel processes, started by `accelerate launch` if more than one.
        records: a folder with records of finished runs, each of which stands for the run itself.

    Raises:
        ValueError: what cannot be trained, before anything is written.
        RefusedError: called by one of several processes that were launched together.
        ModuleNotFoundError: the package of `$SSPS_TRACKER` is not installed.
    """
    done = load(config, records)
    if done is not None:
        return done
    check_batch(config.batch_size, num_processes)
    check_not_launched()
    check_gpus(num_processes)
    tracking.asked_for()
    if config.start_from is not None:
        _check(config)
        run(config.start_from, num_processes)
    with lock.held(run_folder(config)):
        if not is_complete(config):  # by another process, while this one waited
            _start(config, num_processes)
    return load(config)


def _start(config: RunConfig, num_processes: int) -> None:
    if num_processes == 1:
        train(config)
        return
    from ssps_lib.training.launch import launch

    launch(config, num_processes)


def _check(config: RunConfig) -> None:
    """Refuse what does not fit the corpus before the run it starts from is trained."""
    import torch

    from ssps_lib.training.loop import check_sizes

    device = "cuda" if torch.cuda.is_available() else "cpu"
    check_sizes(config, open_corpus(config.corpus, device, **config.corpus_options).train)


def replicate(
    config: RunConfig, seeds: int, num_processes: int = 1, records: Path | None = None
) -> list[Run]:
    """The run with `seeds` consecutive seeds, from `config.seed` on."""
    _check_type(config)
    if not (isinstance(seeds, int) and seeds >= 1):
        raise ValueError(f"seeds is {seeds!r}, at least 1 is needed")
    chosen = range(config.seed, config.seed + seeds)
    return [run(with_seed(config, seed), num_processes, records) for seed in chosen]


@contextmanager
def repeatable() -> Iterator[None]:
    """Use deterministic operations inside the block if `$SSPS_DETERMINISTIC` is 1.

    On the CPU every run is repeatable to the bit anyway. On a GPU some sums are taken in another
    order each time; with this they are not, which is slower. PyTorch warns of an operation that has
    no deterministic form.
    """
    import torch

    if os.environ.get("SSPS_DETERMINISTIC", "0") not in ("0", "1"):
        raise ValueError(
            f"SSPS_DETERMINISTIC is '{os.environ['SSPS_DETERMINISTIC']}', expected 0 or 1: it "
            "switches deterministic operations on"
        )
    if os.environ.get("SSPS_DETERMINISTIC") != "1":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def train(config: RunConfig, processes: int = 1) -> None:
    """Train one run in this process, or as one of `processes` that accelerate started.

    Raises:
        RuntimeError: the number of processes differs from the one asked for.
    """
    with repeatable():
        _train(config, processes)


def _train(config: RunConfig, processes: int) -> None:
    from accelerate.state import AcceleratorState

    from ssps_lib.training.loop import Trainer

    AcceleratorState._reset_state(True)  # an earlier run may have used another precision
    folder = run_folder(config)
    started = time.perf_counter()
    parent = None
    if config.start_from is not None:
        parent = checkpoints.find(run_folder(config.start_from) / "checkpoint")
        if parent is None:
            raise FileNotFoundError(
                f"run {config.start_from.name}, from which {config.name} starts, has no "
                "checkpoint: train it first"
            )
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(config, folder, parent, processes)
    trainer.train()
    if trainer.accelerator.is_main_process:
        finish(trainer, time.perf_counter() - started)
    trainer.accelerator.wait_for_everyone()


def finish(trainer, seconds: float) -> None:
    """Average the weights of the last epochs, score the test speakers, write the record."""
    config, folder = trainer.config, trainer.folder
    files = sorted((folder / "epochs").glob("*.safetensors"))
    encoder = load_encoder(files[-1]).to(trainer.device)
    states = [load_encoder(file).state_dict() for file in files]
    encoder.load_state_dict(scorer.average_weights(states))
    scores, arrays = record.evaluate(encoder.eval(), trainer.splits, trainer.device)
    save_encoder(encoder, folder / "encoder.safetensors")
    where = record.machine(trainer.device, trainer.accelerator.num_processes)
    trained = sum(row["seconds"] for row in trainer.metrics)
    (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=1))
    record.write(
        folder / "record",
        record.build(config, trainer.metrics, scores, max(seconds, trained), where),
        arrays,
    )
    shutil.rmtree(folder / "epochs")
    checkpoints.forget_previous(folder / "checkpoint")
