"""SIGKILL for each framework, in the SSL and the SSPS phase, of one process and of two.

The kills of a chain follow each other in one run, which must end as one that was never disturbed.
"""

import random
import signal

import pytest
import torch
from killing import ranks, until_killed
from safetensors.torch import load_file
from small_runs import new_home, outcome
from steps import assert_same_steps, still
from test_frameworks_samplers import SELF_SUPERVISED, config_of

from ssps_lib import training
from ssps_lib.training import run_folder

STEPS = 4  # of an epoch: one of SSL, one of SSPS
EACH_STEP = {"SSPS_CHECKPOINT_MINUTES": "0"}
ITERATION = "ssps_lib.training.loop:iteration"
WRITE = "ssps_lib.training.state:_write"


def run_of(framework: str):
    """An SSPS run of one epoch that starts from an SSL run of one epoch."""
    ssl = config_of(framework, average_last=1)
    chosen = {"positives": "ssps-clustering", "clusters": 5, "window": 1, "positive_queue": 12}
    return ssl.with_(start_from=ssl, **chosen)


def everything(config) -> tuple[dict, list]:
    """The tensors by file of a run's last checkpoint and of its scored encoder, and its curves."""
    folder = run_folder(config)
    files = [*(folder / "checkpoint").glob("*.safetensors"), folder / "encoder.safetensors"]
    return {file.name: load_file(file) for file in files}, outcome(config)[1]


def assert_same(one: tuple, other: tuple) -> None:
    """Not one bit of weights, teacher, optimiser and queues differs, and no value of a curve."""
    assert one[0].keys() == other[0].keys() and one[1] == other[1]
    for file, tensors in one[0].items():
        assert tensors.keys() == other[0][file].keys()
        for name, tensor in tensors.items():
            same = torch.equal(tensor.view(-1), other[0][file][name].view(-1))
            assert same and tensor.shape == other[0][file][name].shape, (file, name)


@pytest.fixture
def undisturbed(tmp_path, shared_home, monkeypatch):
    """What a run leaves where nothing disturbs it; `trained` trains it in a home of its own."""

    def run(config, trained) -> list:
        whole = new_home(tmp_path / "whole", shared_home)
        trained(config, whole)
        with monkeypatch.context() as patch:
            patch.setenv("SSPS_HOME", str(whole))
            return [everything(one) for one in (config.start_from, config)]

    return run


@pytest.mark.parametrize("framework", SELF_SUPERVISED)
def test_killed_in_both_phases_and_while_writing(undisturbed, home, tmp_path, framework):
    """At a random step of SSL, at one of SSPS, and at a random file of a later checkpoint."""
    config, notes = run_of(framework), tmp_path / "notes"
    numbers = random.Random(framework)
    first, second, file = (numbers.randint(1, n) for n in (STEPS, STEPS - 1, 4))
    left = STEPS - (first - 1)  # of SSL, for the second process
    for place, calls in ((ITERATION, first), (ITERATION, left + second), (WRITE, file)):
        moment = (place, calls, signal.SIGKILL)
        assert until_killed(config, home, notes, moment, **EACH_STEP) == -signal.SIGKILL
    assert until_killed(config, home, notes, None) == 0
    done = notes.read_text().split().count("iteration")
    assert 2 * STEPS < done <= 2 * STEPS + 3  # only what was cut short is done once more
    expected = undisturbed(
        config, lambda config, whole: until_killed(config, whole, tmp_path / "calm", None)
    )
    for one, whole in zip((config.start_from, config), expected, strict=True):
        assert_same(everything(one), whole)
    assert "optimizer.safetensors" in expected[0][0] and "reference_queue" in str(expected[1][0])


@pytest.mark.parametrize("framework", SELF_SUPERVISED)
def test_ranks_killed_alone_and_together(undisturbed, home, framework):
    """One of two ranks at a random step of SSL, then both at one of SSPS."""
    config = run_of(framework)
    numbers = random.Random(framework)
    first, second, victim = (numbers.randint(*span) for span in ((2, STEPS), (1, STEPS), (0, 1)))
    moments = [None, None]
    moments[victim] = (ITERATION, first, signal.SIGKILL)
    killed = ranks(config, home, moments)
    assert killed[victim] == -signal.SIGKILL
    assert killed[1 - victim] != 0  # no half of a group goes on
    left = STEPS - (first - 1)
    together = ranks(config, home, [(ITERATION, left + second, signal.SIGKILL)] * 2)
    assert -signal.SIGKILL in together and 0 not in together
    assert ranks(config, home, [None, None]) == [0, 0]
    expected = undisturbed(config, lambda config, whole: ranks(config, whole, [None, None]))
    for one, whole in zip((config.start_from, config), expected, strict=True):
        assert_same(everything(one), whole)


@pytest.mark.rounding
@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_another_number_of_processes_takes_over(
    tmp_path, shared_home, home, monkeypatch, before, after
):
    """The same utterances, pseudo-positives and queue slots; sums differ in their last bits."""
    ssl = run_of("simclr").start_from.with_(**still())
    config = run_of("simclr").with_(start_from=ssl, **still("ssps-clustering"))
    kill = (ITERATION, STEPS + 2, signal.SIGKILL)  # the second of the SSPS phase
    assert -signal.SIGKILL in ranks(config, home, [kill] * before)
    assert ranks(config, home, [None] * after) == [0] * after
    taken_over = training.load(config)
    whole = new_home(tmp_path / "whole", shared_home)
    assert ranks(config, whole, [None] * before) == [0] * before
    monkeypatch.setenv("SSPS_HOME", str(whole))
    assert_same_steps(taken_over, training.load(config))
