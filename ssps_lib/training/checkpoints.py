"""Checkpoints: safetensors and JSON in a folder that appears whole or not at all."""

import json
import os
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

FORMAT = 1


def _write(tensors: dict[str, Tensor], path: Path) -> None:
    plain = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    save_file(plain, str(path))


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{parameter}.{key}": torch.as_tensor(value)
        for parameter, values in state.items()
        for key, value in values.items()
        if value is not None
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        parameter, name = key.split(".", 1)
        state.setdefault(int(parameter), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def save(
    folder: Path,
    framework: nn.Module,
    optimizer: torch.optim.Optimizer,
    queues: dict[str, dict[str, Tensor]],
    state: dict,
) -> None:
    """Write a checkpoint; the previous one stays until this one is complete.

    Args:
        folder: the checkpoint's name; `<folder>.new` and `<folder>.old` are used on the way.
        queues: state dicts of the memory queues, kept in files of their own.
        state: JSON values (epochs done, metrics).

    Raises:
        OSError: the disk is full; the previous checkpoint is still there.
    """
    new, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        _write(framework.state_dict(), new / "framework.safetensors")
        _write(_optimizer_tensors(optimizer), new / "optimizer.safetensors")
        for name, tensors in queues.items():
            _write(tensors, new / f"{name}.safetensors")
        (new / "state.json").write_text(json.dumps({"format": FORMAT, **state}))
        for file in new.iterdir():
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())
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
    shutil.rmtree(old, ignore_errors=True)


def find(folder: Path) -> Path | None:
    """The newest complete checkpoint of this name, if there is one."""
    for candidate in (folder, folder.with_name(folder.name + ".old")):
        if (candidate / "state.json").exists():
            return candidate
    return None


def load(
    folder: Path, framework: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> tuple[dict, dict[str, dict[str, Tensor]]]:
    """Restore a checkpoint in place and return its JSON state and its queues.

    Raises:
        ValueError: the checkpoint is damaged, has another format or belongs to another model.
    """
    state = json.loads((folder / "state.json").read_text())
    if state.get("format") != FORMAT:
        raise ValueError(
            f"{folder} has checkpoint format {state.get('format')}, this library reads {FORMAT}"
        )
    try:
        framework.load_state_dict(load_file(str(folder / "framework.safetensors")))
        if optimizer is not None:
            _load_optimizer(optimizer, load_file(str(folder / "optimizer.safetensors")))
        named = {"framework.safetensors", "optimizer.safetensors"}
        files = [file for file in folder.glob("*.safetensors") if file.name not in named]
        return state, {file.stem: load_file(str(file)) for file in files}
    except (RuntimeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{folder} belongs to another model: {reason}") from error
    except (SafetensorError, FileNotFoundError) as error:
        raise ValueError(
            f"{folder} is damaged ({error}): delete it, training then starts from the beginning"
        ) from error
