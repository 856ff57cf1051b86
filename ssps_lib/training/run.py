"""Runs: `run(config)` trains what is missing and loads what is complete."""

import hashlib
import json
import shutil
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from accelerate.state import AcceleratorState

from ssps_lib import files, scorer
from ssps_lib.encoders import load_encoder, save_encoder
from ssps_lib.training import launch, loop, record, state
from ssps_lib.training.build import Parts, check, open_splits
from ssps_lib.training.config import RunConfig, with_seed
from ssps_lib.training.environment import environment, on_gpu, repeatable


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
    def name(self) -> str:
        """The name of its folder and record."""
        return self.record["name"]

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
        return {name: np.array([row.get(name) for row in rows], float) for name in names}

    def encoder(self):
        """The encoder with the averaged weights of the last epochs.

        Raises:
            FileNotFoundError: only the record of this run is at hand, not its weights.
        """
        if self.folder is None:
            raise FileNotFoundError(
                f"the weights of run {self.name} are not on this machine, only its record: "
                "train it with training.run(config)"
            )
        return load_encoder(self.folder / "encoder.safetensors")


def content(config: RunConfig) -> str:
    """What a corpus in files holds, and the noise bank that a run takes from it, as hexadecimal
    digits; empty for the simulated corpus, which the configuration describes."""
    if config.corpus == "simulated":
        return ""
    splits = open_splits(config)
    prints = [corpus.fingerprint for corpus in (splits.train, splits.dev, splits.test)]
    digest = hashlib.sha256("".join(prints).encode())
    if config.noises == "bank" and splits.bank is not None:
        digest.update(np.memmap(splits.bank, mode="r"))
    return digest.hexdigest()


def run_name(config: RunConfig) -> str:
    """The name of a run's folder and record: by all that decides its result.

    That is the configuration, and for a corpus in files also its content and that of the noise
    bank, here and in the runs that it starts from.

    Raises:
        ValueError: a corpus that is not here.
    """
    contents = [content(one) for one in config.chain]
    if not any(contents):
        return config.name
    return f"{config.name}-{hashlib.sha256(' '.join(contents).encode()).hexdigest()[:8]}"


def run_folder(config: RunConfig) -> Path:
    """Where a run lives on this machine."""
    return files.home() / "runs" / run_name(config)


def is_complete(config: RunConfig) -> bool:
    """Whether the run has been trained on this machine."""
    return (run_folder(config) / "record.json").exists()


def load(config: RunConfig, records: Path | None = None) -> Run | None:
    """The finished run of this machine, or its record in the folder `records`; None if neither.

    Where the corpus is not here, any run of an equal configuration will do.
    """
    try:
        pattern = run_name(config)
    except ValueError:
        pattern = f"{config.name}*"
    for found in sorted((files.home() / "runs").glob(f"{pattern}/record.json")):
        return Run(config, *record.read(found.with_suffix("")), found.parent)
    for found in sorted(records.glob(f"{pattern}.json")) if records is not None else ():
        return Run(config, *record.read(found.with_suffix("")), None)
    return None


def run(config: RunConfig, num_processes: int = 1, records: Path | None = None) -> Run:
    """Train a run, or load it where it is complete; an interrupted one is resumed.

    Where another process trains the same run, this one waits for it and then loads it.

    Args:
        config: what to train; the run it starts from is trained first.
        num_processes: data-parallel processes, started by `accelerate launch` if more than one.
        records: a folder with records of finished runs, each of which stands for the run itself.

    Raises:
        ValueError: what cannot be trained, before anything is trained.
        RefusedError: called by one of several processes that were launched together.
        ModuleNotFoundError: the package of `$SSPS_TRACKER` is not installed.
    """
    done = load(config, records)
    if done is not None:
        return done
    for one in config.chain:
        launch.check_processes(one, num_processes)
    check_chain(config)
    for one in config.chain:
        with alone(one):
            if is_complete(one):
                continue
            if num_processes == 1:
                train(one)
            else:
                launch.launch(one, run_folder(one), num_processes)
    return load(config)


def check_chain(config: RunConfig) -> None:
    """Refuse what cannot be trained, in this run or one that it starts from, before any is: see
    `environment` and `check`."""
    environment()
    for one in config.chain:
        check(one, open_splits(one, "cuda" if on_gpu() else "cpu"))


def alone(config: RunConfig, wait: bool = True) -> AbstractContextManager[None]:
    """Be the only process that trains a run inside the block; see `files.alone`."""
    name = run_name(config)
    return files.alone(files.home() / "locks" / f"{name}.lock", f"run {name}", wait)


def replicate(
    config: RunConfig, seeds: int, num_processes: int = 1, records: Path | None = None
) -> list[Run]:
    """The run with `seeds` consecutive seeds, from `config.seed` on."""
    if seeds < 1:
        raise ValueError(f"seeds is {seeds}, at least 1 is needed")
    chosen = range(config.seed, config.seed + seeds)
    return [run(with_seed(config, seed), num_processes, records) for seed in chosen]


def train(config: RunConfig, processes: int = 1) -> None:
    """Train one run in this process, or as one of `processes` that accelerate started.

    Raises:
        RefusedError: the number of processes differs from the one asked for.
        FileNotFoundError: the run that it starts from has not been trained.
    """
    AcceleratorState._reset_state(True)  # an earlier run may have used another precision
    started, parent = time.perf_counter(), None
    if config.start_from is not None:
        parent = state.find(run_folder(config.start_from) / "checkpoint")
        if parent is None:
            raise FileNotFoundError(
                f"run {config.start_from.name}, from which {config.name} starts, has no "
                "checkpoint: train it first"
            )
    with repeatable():
        parts = state.begin(config, run_folder(config), parent, processes)
        loop.train(parts)
        if parts.accelerator.is_main_process:
            finish(parts, time.perf_counter() - started)
        parts.accelerator.wait_for_everyone()


def finish(parts: Parts, seconds: float) -> None:
    """Average the weights of the last epochs, score the test speakers, write the record."""
    config, folder, rows = parts.config, parts.folder, parts.position.metrics
    last = [load_encoder(file) for file in sorted((folder / "epochs").glob("*.safetensors"))]
    encoder = last[-1]
    encoder.load_state_dict(scorer.average_weights([one.state_dict() for one in last]))
    scores, arrays = record.evaluate(encoder.to(parts.device), parts.splits, parts.device)
    save_encoder(encoder, folder / "encoder.safetensors")
    (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=1))
    seconds = max(seconds, sum(row["seconds"] for row in rows))  # and before an interruption
    where = record.machine(parts.device, parts.accelerator.num_processes)
    values = {
        "format": record.FORMAT, "name": folder.name, "config": config.to_dict(), "scores": scores,
        "metrics": rows, "seconds": round(seconds, 1), "machine": where,
        "versions": record.versions(),
    }  # fmt: skip
    record.write(folder / "record", values, arrays)
    shutil.rmtree(folder / "epochs")
    shutil.rmtree(folder / "checkpoint.old", ignore_errors=True)
