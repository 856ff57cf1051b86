"""An interrupted run, started again, ends with the bits of one that never was."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import bootstrapped, new_home, parts_of, tiny

from ssps_lib import training
from ssps_lib.training import loop, record, run_folder, state
from ssps_lib.training.run import train
from ssps_lib.training.ssps import SSPS as Bootstrapped

SSL = tiny(epochs=1, average_last=1)
SSPS = bootstrapped(start_from=SSL, epochs=3, augmentation="reverb+noise", positive_queue=20)


class Interrupted(BaseException):
    """What no handler catches, as a kill."""


def outcome(config) -> tuple[bytes, list]:
    """Final weights, and the metrics but for the clock."""
    done = training.load(config)
    clock = {"seconds", "utterances_per_second"}
    rows = [{k: v for k, v in row.items() if k not in clock} for row in done.record["metrics"]]
    return (done.folder / "encoder.safetensors").read_bytes(), rows


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, shared_home):
    """The outcome, and the home of the SSL run from which all start."""
    home = new_home(tmp_path_factory.mktemp("uninterrupted") / "home", shared_home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSPS_HOME", str(home))
        training.run(SSPS)
        return outcome(SSPS), run_folder(SSL)


@pytest.fixture
def trained_ssl(uninterrupted, home):
    """A home in which only the SSL run is there."""
    run_folder(SSL).parent.mkdir()
    os.symlink(uninterrupted[1], run_folder(SSL))
    return home


def interrupt(monkeypatch, owner, name: str, calls: int) -> None:
    """Let the method run `calls` times and then never return."""
    original, left = getattr(owner, name), [calls]

    def counted(*arguments, **options):
        if left[0] == 0:
            raise Interrupted
        left[0] -= 1
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, counted)


@pytest.mark.parametrize(
    ("owner", "name", "calls"),
    [
        pytest.param(Bootstrapped, "insert", 2, id="while the queues are filled"),
        pytest.param(loop, "iteration", 6, id="in the second epoch"),
        pytest.param(loop, "observe", 1, id="while the second epoch is observed"),
        pytest.param(state, "_write", 6, id="while the second checkpoint is written"),
        pytest.param(Path, "rename", 2, id="between the renames of a checkpoint"),
        pytest.param(record, "write", 0, id="before the record is written"),
    ],
)
def test_interrupted_anywhere_it_ends_the_same(
    uninterrupted, trained_ssl, monkeypatch, owner, name, calls
):
    with monkeypatch.context() as patch:
        interrupt(patch, owner, name, calls)
        with pytest.raises(Interrupted):
            training.run(SSPS)
    assert training.load(SSPS) is None
    training.run(SSPS)
    assert outcome(SSPS) == uninterrupted[0]


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from test_resume import SSPS
from ssps_lib import training
from ssps_lib.training import loop
iteration, left = loop.iteration, [6]
def killed(*arguments):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return iteration(*arguments)
loop.iteration = killed
training.run(SSPS)
"""


def test_killed_in_the_second_epoch_it_ends_the_same(uninterrupted, trained_ssl):
    here = str(Path(__file__).parent)
    code = subprocess.run([sys.executable, "-c", KILLED, here]).returncode
    assert code == -signal.SIGKILL
    assert state.find(run_folder(SSPS) / "checkpoint") is not None
    training.run(SSPS)
    assert outcome(SSPS) == uninterrupted[0]


def test_it_starts_from_the_weights_of_the_ssl_run(trained_ssl, tmp_path):
    parent = state.find(run_folder(SSL) / "checkpoint")
    parts = parts_of(SSPS, tmp_path / "new", parent)
    assert (parts.position.epoch, parts.position.metrics) == (1, [])
    _, files = state.read(parent)
    for key, value in parts.framework.state_dict().items():
        assert value.equal(files["framework"][key]), key
    assert parts.optimizer.state_dict()["state"]  # Adam's moments carry on too


def test_a_missing_parent_is_named():
    with pytest.raises(FileNotFoundError, match=f"run {SSL.name}, from which .*train it first"):
        train(SSPS)
