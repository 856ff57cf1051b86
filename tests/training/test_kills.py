"""Killed at any moment and started again, a run ends with the bits of one never interrupted."""

import random
import signal

import pytest
import small_runs
import torch
from killing import until_killed
from small_runs import bootstrapped, new_home, outcome, parts_of, tiny
from test_frameworks_samplers import config_of

from ssps_lib import training
from ssps_lib.training import loop, run_folder
from ssps_lib.training.ssps import SSPS

RUN = bootstrapped(
    start_from=tiny(epochs=1, average_last=1), epochs=2, augmentation="reverb+noise",
    positive_queue=20, average_last=1,
)  # fmt: skip
EACH_STEP = {"SSPS_CHECKPOINT_MINUTES": "0"}
RANDOM_KILLS = 5
LOOP, STATE = "ssps_lib.training.loop", "ssps_lib.training.state"


class Interrupted(BaseException):
    """What no handler catches, as a kill."""


def interrupt(monkeypatch, owner, name: str, calls: int) -> None:
    """Let the method run `calls` times and then never return."""
    original, left = getattr(owner, name), [calls]

    def counted(*arguments, **options):
        if left[0] == 0:
            raise Interrupted
        left[0] -= 1
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, counted)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, shared_home):
    """Final weights and curves of a run that nothing disturbs."""
    home = new_home(tmp_path_factory.mktemp("whole") / "home", shared_home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSPS_HOME", str(home))
        training.run(RUN)
        return outcome(RUN)


@pytest.mark.parametrize(
    ("place", "calls", "environment"),
    [
        pytest.param(f"{LOOP}:iteration", 3, EACH_STEP, id="in the SSL phase"),
        pytest.param(f"{STATE}:_write", 5, EACH_STEP, id="while a checkpoint is written"),
        pytest.param(f"{STATE}:_sync", 9, EACH_STEP, id="while a checkpoint is flushed"),
        pytest.param("pathlib:Path.rename", 3, EACH_STEP, id="between its renames"),
        pytest.param(f"{LOOP}:schedule", 2, EACH_STEP, id="after a checkpoint"),
        pytest.param(f"{LOOP}:fill", 2, {}, id="at the switch to SSPS"),
        pytest.param("ssps_lib.training.ssps:SSPS.insert", 2, {}, id="while the queues are filled"),
        pytest.param("ssps_lib.positives.kmeans:_closest", 16, {}, id="inside k-means"),
        pytest.param(f"{LOOP}:observe", 2, {}, id="while an SSPS epoch is observed"),
        pytest.param("ssps_lib.training.record:write", 2, {}, id="before the record is written"),
    ],
)
def test_killed_at_a_chosen_moment(uninterrupted, home, tmp_path, place, calls, environment):
    moment = (place, calls, signal.SIGKILL)
    assert until_killed(RUN, home, tmp_path / "notes", moment, **environment) == -signal.SIGKILL
    assert training.load(RUN) is None
    training.run(RUN)
    assert outcome(RUN) == uninterrupted
    assert not list(run_folder(RUN).glob("*.new"))


def test_killed_again_and_again_at_random_moments(uninterrupted, home, tmp_path):
    """After any number of function calls, from the imports to the scores."""
    numbers = random.Random(7)
    moments = [numbers.randrange(1, 150_000) for _ in range(RANDOM_KILLS)]
    statuses = [
        until_killed(RUN, home, tmp_path / "notes", calls, **EACH_STEP) for calls in moments
    ]
    assert set(statuses) <= {-signal.SIGKILL, 0}, (tmp_path / "notes").read_text()
    assert statuses.count(-signal.SIGKILL) >= 3
    assert until_killed(RUN, home, tmp_path / "notes", None) == 0
    assert outcome(RUN) == uninterrupted


PAIRS = [
    ("simclr", "ssl", {}),
    ("simclr", "supervised", {}),
    ("simclr", "ssps-clustering", {"positive_queue": 12}),
    ("moco", "ssps-clustering-c", {}),
    ("swav", "ssps-nn", {}),
    ("vicreg", "ssps-clustering", {"candidates": "cluster"}),
    ("dino", "ssps-clustering", {}),
    ("supervised", "ssl", {"optimizer": "sgd"}),
]


@pytest.mark.rounding
@pytest.mark.parametrize(("framework", "positives", "changes"), PAIRS)
def test_each_framework_goes_on_from_within_an_epoch(
    tmp_path, monkeypatch, framework, positives, changes
):
    config = config_of(framework, positives, epochs=2, schedule="cosine", **changes)
    whole = small_runs.trained(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt(patch, loop, "iteration", 6)
        patch.setenv("SSPS_CHECKPOINT_MINUTES", "0")
        with pytest.raises(Interrupted):
            small_runs.trained(config, tmp_path / "broken")
    again = parts_of(config, tmp_path / "broken")
    assert (again.position.epoch, again.position.step) == (1, 2)
    loop.train(again)
    for key, value in whole.framework.state_dict().items():
        assert torch.equal(again.framework.state_dict()[key], value), key
    for one, other in zip(whole.position.metrics, again.position.metrics, strict=True):
        clock = {"seconds", "utterances_per_second"}
        assert {k: v for k, v in one.items() if k not in clock} == {
            k: v for k, v in other.items() if k not in clock
        }
    if isinstance(whole.ssps, SSPS):
        for name in ("reference_queue", "positive_queue"):
            state = getattr(again.ssps, name).state_dict()
            for key, value in getattr(whole.ssps, name).state_dict().items():
                assert torch.equal(state[key], value), (name, key)
