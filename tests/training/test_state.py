"""Checkpoints: exact, whole or not at all, and refused where they do not fit."""

import errno
import os
from pathlib import Path

import pytest
import small_runs
import torch
from small_runs import tiny
from torch import nn

from ssps_lib.training import state


def model(width: int = 4, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


def optimizer_of(network: nn.Module, name: str) -> torch.optim.Optimizer:
    if name == "adam":
        return torch.optim.Adam(network.parameters(), lr=0.1, weight_decay=0.01)
    return torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)


def train(network: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        network(x).square().mean().backward()
        optimizer.step()


def assert_same(a: nn.Module, b: nn.Module) -> None:
    for key, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[key]), key


def save(folder: Path, network: nn.Module, optimizer=None, **values) -> None:
    files = {"framework": network.state_dict()}
    if optimizer is not None:
        files["optimizer"] = state._optimizer_tensors(optimizer)
    state.write(folder, files, {"epoch": 1, "metrics": []} | values)


def load(folder: Path, network: nn.Module, optimizer=None) -> dict:
    values, files = state.read(folder)
    network.load_state_dict(files["framework"])
    if optimizer is not None:
        state._load_optimizer(optimizer, files.get("optimizer", {}))
    return values


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_training_goes_on_to_the_bit(tmp_path, name):
    network = model()
    optimizer = optimizer_of(network, name)
    train(network, optimizer, range(3))
    save(tmp_path / "x" / "c", network, optimizer, epoch=3, metrics=[0.1])
    train(network, optimizer, range(3, 6))

    again = model(seed=1)
    other = optimizer_of(again, name)
    values = load(tmp_path / "x" / "c", again, other)
    assert (values["epoch"], values["metrics"]) == (3, [0.1])
    train(again, other, range(3, 6))
    assert_same(network, again)


def test_an_unused_optimizer_is_restored_too(tmp_path):
    network = model()
    save(tmp_path / "x" / "c", network, optimizer_of(network, "sgd"))
    load(tmp_path / "x" / "c", network, optimizer_of(network, "sgd"))


def beside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.parent.iterdir())


FULL = OSError(errno.ENOSPC, "No space left on device")


def full_disk(*arguments, **options):
    raise FULL


@pytest.mark.parametrize("where", ["first file", "last file", "flush"])
def test_a_full_disk_keeps_the_previous_checkpoint(tmp_path, monkeypatch, where):
    folder = tmp_path / "x" / "c"
    network = model()
    save(folder, network)
    if where == "first file":
        monkeypatch.setattr(state, "save_file", full_disk)
    elif where == "last file":
        monkeypatch.setattr(state.json, "dumps", full_disk)
    else:
        monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match=r"could not be written.*No space left.*free some disk space"):
        save(folder, model(seed=1), epoch=2)
    monkeypatch.undo()
    assert beside(folder) == ["c"]  # nothing half-written
    again = model(seed=2)
    assert load(state.find(folder), again)["epoch"] == 1
    assert_same(network, again)


def test_a_crash_between_the_renames_leaves_the_old_one(tmp_path):
    folder = tmp_path / "x" / "c"
    network = model()
    assert state.find(folder) is None
    save(folder, network)
    folder.rename(tmp_path / "x" / "c.old")
    (tmp_path / "x" / "c.new").mkdir()
    (tmp_path / "x" / "c.new" / "framework.safetensors").write_bytes(b"half")
    assert state.find(folder) == tmp_path / "x" / "c.old"
    save(folder, network, epoch=2)
    assert beside(folder) == ["c", "c.old"]
    assert load(folder, network)["epoch"] == 2


def test_no_checkpoint_holds_what_json_has_not(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(tmp_path / "c", model(), metrics=[{"nmi_ratio": float("nan")}])


def test_ssps_starts_from_the_weights_of_the_ssl_run(tmp_path):
    ssl = tiny(epochs=1, average_last=1)
    small_runs.trained(ssl, tmp_path / "ssl")
    parent = state.find(tmp_path / "ssl" / "checkpoint")
    parts = small_runs.parts_of(small_runs.bootstrapped(start_from=ssl), tmp_path / "new", parent)
    assert (parts.position.epoch, parts.position.metrics) == (1, [])
    _, files = state.read(parent)
    for key, value in parts.framework.state_dict().items():
        assert value.equal(files["framework"][key]), key
    assert parts.optimizer.state_dict()["state"]  # Adam's moments carry on too
