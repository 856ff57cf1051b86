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
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

FORMAT = 2
READABLE = (1, FORMAT)  # 1 had no checksums


def _write(tensors: dict[str, Tensor], path: Path) -> None:
    plain = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    save_file(plain, str(path))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _checksum(file: Path) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as handle:
        while block := handle.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _sealed(state: dict) -> str:
    """JSON of a state with the checksum of its own text."""
    own = hashlib.sha256(json.dumps(state).encode()).hexdigest()
    return json.dumps({**state, "checksum": own})


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


def _old(folder: Path) -> Path:
    return folder.with_name(folder.name + ".old")


def save(
    folder: Path,
    framework: nn.Module,
    optimizer: torch.optim.Optimizer,
    parts: dict[str, dict[str, Tensor]],
    state: dict,
) -> None:
    """Write a checkpoint; the previous one stays beside it as `<folder>.old`.

    Args:
        folder: the checkpoint's name; `<folder>.new` is used on the way.
        parts: tensors in files of their own: the memory queues, a position within an epoch.
        state: JSON values (epochs done, metrics).

    Raises:
        OSError: the disk is full; the previous checkpoint is still there.
    """
    new, old = folder.with_name(folder.name + ".new"), _old(folder)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        _write(framework.state_dict(), new / "framework.safetensors")
        _write(_optimizer_tensors(optimizer), new / "optimizer.safetensors")
        for name, tensors in parts.items():
            _write(tensors, new / f"{name}.safetensors")
        checksums = {file.name: _checksum(file) for file in sorted(new.iterdir())}
        sealed = _sealed({"format": FORMAT, **state, "checksums": checksums})
        (new / "state.json").write_text(sealed)
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


def fault(folder: Path) -> str | None:
    """What is wrong with the files of a checkpoint, in a few words; None where all are whole."""
    try:
        state = json.loads((folder / "state.json").read_text())
    except (OSError, ValueError) as error:
        return f"state.json cannot be read: {error}"
    if not isinstance(state, dict) or "format" not in state:
        return "state.json is not that of a checkpoint"
    if state["format"] != FORMAT:
        return None  # an older one has no checksums; any other is refused by `load`
    checksum = state.pop("checksum", None)
    if checksum != hashlib.sha256(json.dumps(state).encode()).hexdigest():
        return "state.json does not have the checksum with which it was written"
    for name, expected in state["checksums"].items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if _checksum(folder / name) != expected:
            return f"{name} does not have the checksum with which it was written"
    return None


def find(folder: Path) -> Path | None:
    """The newest whole checkpoint of this name, None if there never was one.

    A damaged one is passed over with a warning if the one before it is whole.

    Raises:
        ValueError: none of the checkpoints is whole.
    """
    faults: list[str] = []
    for candidate in (folder, _old(folder)):
        if not candidate.exists():
            continue
        wrong = fault(candidate)
        if wrong is None:
            if faults:
                warnings.warn(
                    f"{faults[0]}: the run continues from the checkpoint before it", stacklevel=2
                )
            return candidate
        faults.append(f"{candidate} is damaged ({wrong})")
    if not faults:
        return None
    raise ValueError(
        f"{' and '.join(faults)}: delete the run's folder, training then starts from the beginning"
    )


def load(
    folder: Path, framework: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> tuple[dict, dict[str, dict[str, Tensor]]]:
    """Restore a checkpoint in place and return its JSON state and its other parts.

    `find` has looked at the checksums.

    Raises:
        ValueError: the checkpoint is damaged, has another format or belongs to another model.
    """
    state = json.loads((folder / "state.json").read_text())
    if state.get("format") not in READABLE:
        raise ValueError(
            f"{folder} has checkpoint format {state.get('format')}, this library reads {FORMAT}: "
            "was it written by a newer version?"
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


def forget_previous(folder: Path) -> None:
    """Delete the checkpoint before the newest, of a run that is complete."""
    shutil.rmtree(_old(folder), ignore_errors=True)
