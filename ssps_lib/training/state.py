"""Checkpoints: safetensors and JSON in a folder that appears whole or not at all.

A checkpoint `<name>/` holds `framework.safetensors` (weights, teacher, the framework's own queues),
`optimizer.safetensors` (its state by parameter), a file for each memory queue and for what a
position within an epoch needs, and `state.json`: format, position, metrics, and the checksum of
every file. `<name>.old/` is the checkpoint before it, for the case that this one is damaged.
"""

import contextlib
import hashlib
import json
import os
import shutil
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ssps_lib.distributed import gather, rank, world_size
from ssps_lib.training.build import Parts, build
from ssps_lib.training.config import RunConfig

FORMAT = 2
PLACE = ("epoch", "step", "seconds", "metrics")  # of a position, in `state.json`

Tensors = dict[str, Tensor]


def begin(config: RunConfig, folder: Path, parent: Path | None = None, processes: int = 1) -> Parts:
    """The parts of a run as the checkpoint in its folder has them, else as its parent's has them:
    `build`, then `restore`."""
    run = build(config, folder, processes)
    restore(run, parent)
    return run


def save(run: Parts) -> None:
    """A checkpoint of where the run stands; every process takes part."""
    position = run.position
    files = run.ssps.state(within_epoch=position.step > 0)
    own = {f"totals.{name}": value for name, value in position.totals.items()} | _own_norms(run)
    files["progress"] = {name: gather(value[None]) for name, value in own.items()}  # (W, ...)
    if run.accelerator.is_main_process:
        files["framework"] = run.framework.state_dict()
        files["optimizer"] = _optimizer_tensors(run.optimizer)
        write(run.folder / "checkpoint", files, {name: getattr(position, name) for name in PLACE})
    run.accelerator.wait_for_everyone()
    run.saved = time.perf_counter()


def restore(run: Parts, parent: Path | None = None) -> None:
    """Go on where the run's own checkpoint stands, or from the weights of its `parent`'s.

    Raises:
        ValueError: the checkpoint is damaged, or belongs to another model.
    """
    own = find(run.folder / "checkpoint")
    folder = own or parent
    if folder is None:
        return
    state, files = read(folder)
    rows = files.get("progress", {}) if own else {}
    progress = {name: _own_row(value) for name, value in rows.items()}
    try:
        run.framework.load_state_dict(files["framework"] | _below("norms.", progress))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{folder} belongs to another model: {reason}") from error
    _load_optimizer(run.optimizer, files.get("optimizer", {}))
    if own:
        for name in PLACE:
            setattr(run.position, name, state[name])
        totals = _below("totals.", progress)
        run.position.totals = {name: value.to(run.device) for name, value in totals.items()}
        run.ssps.restore(files)


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    state = optimizer.state_dict()["state"]
    return {
        f"{parameter}.{key}": torch.as_tensor(value)
        for parameter, values in state.items()
        for key, value in values.items()
        if value is not None
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    state: dict[int, Tensors] = {}
    for key, value in tensors.items():
        parameter, name = key.split(".", 1)
        state.setdefault(int(parameter), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _own_norms(run: Parts) -> Tensors:
    """Running statistics (C,), where each process has its own."""
    if world_size() == 1 or run.framework.synchronised_norms:
        return {}
    ends = ("running_mean", "running_var")
    return {f"norms.{k}": v for k, v in run.framework.named_buffers() if k.endswith(ends)}


def _own_row(rows: Tensor) -> Tensor:
    """This process's row of (W, ...), or their mean where W was another number of processes."""
    return rows[rank()].clone() if len(rows) == world_size() else rows.mean(dim=0)


def _below(prefix: str, tensors: Tensors) -> Tensors:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def write(folder: Path, files: dict[str, Tensors], state: dict) -> None:
    """Write tensors by file, and JSON values; the checkpoint before stays as `<folder>.old`.

    Raises:
        OSError: the disk is full; the previous checkpoint is still there.
    """
    new, old = folder.with_name(folder.name + ".new"), _old(folder)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        for name, tensors in files.items():
            if tensors:
                _write(tensors, new / f"{name}.safetensors")
        checksums = {file.name: _checksum(file) for file in sorted(new.iterdir())}
        state = {"format": FORMAT, **state, "checksums": checksums}
        (new / "state.json").write_text(json.dumps({**state, "checksum": _seal(state)}))
        for file in (*new.iterdir(), new):
            _sync(file)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(new, ignore_errors=True)
        raise OSError(
            f"the checkpoint {folder} could not be written ({error}): free some disk space and "
            "start the run again, it continues from the previous checkpoint"
        ) from error
    if folder.exists():  # otherwise `old` is all there is, until `new` has its name
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    new.rename(folder)
    with contextlib.suppress(OSError):  # not every file system can
        _sync(folder.parent)


def _write(tensors: Tensors, path: Path) -> None:
    plain = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    save_file(plain, str(path))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _checksum(file: Path) -> str:
    return hashlib.sha256(np.memmap(file, mode="r")).hexdigest()


def _seal(state: dict) -> str:
    """The checksum of a state's own text."""
    return hashlib.sha256(json.dumps(state, allow_nan=False).encode()).hexdigest()


def _old(folder: Path) -> Path:
    return folder.with_name(folder.name + ".old")


def find(folder: Path) -> Path | None:
    """The newest whole checkpoint of this name, None if there never was one.

    A damaged one is passed over with a warning if the one before it is whole.

    Raises:
        ValueError: none of the checkpoints is whole.
    """
    faults: list[str] = []
    for candidate in filter(Path.exists, (folder, _old(folder))):
        try:
            _check(candidate)
        except (OSError, ValueError) as error:
            faults.append(f"the checkpoint {candidate} is damaged ({error})")
            continue
        for damaged in faults:
            warnings.warn(f"{damaged}: the run continues from the one before it", stacklevel=2)
        return candidate
    if not faults:
        return None
    raise ValueError(
        f"{' and '.join(faults)}: delete the run's folder, training then starts from the beginning"
    )


def _check(folder: Path) -> None:
    """Raise what is wrong with the files of a checkpoint; `read` refuses another format."""
    try:
        state = json.loads((folder / "state.json").read_text())
        if state["format"] != FORMAT:
            return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"state.json cannot be read: {error}") from error
    if state.pop("checksum", None) != _seal(state):
        raise ValueError("state.json does not have the checksum with which it was written")
    for name, expected in state["checksums"].items():
        if _checksum(folder / name) != expected:
            raise ValueError(f"{name} does not have the checksum with which it was written")


def read(folder: Path) -> tuple[dict, dict[str, Tensors]]:
    """The JSON state of a checkpoint that `find` found, and its tensors by file.

    Raises:
        ValueError: it has another format.
    """
    state = json.loads((folder / "state.json").read_text())
    if state["format"] != FORMAT:
        raise ValueError(
            f"{folder} has checkpoint format {state['format']}, this library reads {FORMAT}: "
            "was it written by another version?"
        )
    return state, {f.stem: load_file(str(f)) for f in sorted(folder.glob("*.safetensors"))}
