"""Curves in TensorBoard: read back from its event files, and absent unless asked for."""

import importlib.util

import numpy as np
import pytest
from small_runs import tiny

from ssps_lib import training
from ssps_lib.training import loop, run_folder

RUN = tiny(epochs=3, average_last=1)


@pytest.fixture
def asked(monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.setenv("SSPS_TRACKER", "tensorboard")


def curves(config) -> dict[str, tuple[list[int], list[float]]]:
    """Steps and values by name, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run_folder(config) / "tensorboard")).Reload()
    points = {name: found.Scalars(name) for name in found.Tags()["scalars"]}
    return {name: ([p.step for p in ps], [p.value for p in ps]) for name, ps in points.items()}


def check_against(run) -> None:
    """Every metric of the run is a curve with each epoch once."""
    found = curves(run.config)
    assert set(found) == set(run.metrics) - {"epoch"}
    for name, (steps, values) in found.items():
        assert steps == [1, 2, 3], name
        np.testing.assert_allclose(values, run.metrics[name], rtol=1e-5)


def test_the_curves_are_those_of_the_record(asked):
    check_against(training.run(RUN))


def test_an_interrupted_run_continues_its_curves(asked, monkeypatch):
    """Killed after the checkpoint of epoch 1, and once more after epoch 2 was drawn."""
    original, calls = loop.train_epoch, []

    def dying(parts, *rest):
        if len(calls) < 2 and parts.position.epoch == len(calls) + 1:
            calls.append(parts.position.epoch)
            raise InterruptedError
        return original(parts, *rest)

    monkeypatch.setattr(loop, "train_epoch", dying)
    for done in ([1], [1, 2]):
        with pytest.raises(InterruptedError):
            training.run(RUN)
        assert curves(RUN)["loss"][0] == done
    check_against(training.run(RUN))


def test_a_tracker_asked_for_late_gets_the_epochs_before(asked, monkeypatch):
    original = loop.train_epoch

    def dying(parts, *rest):
        if parts.position.epoch == 1:
            raise InterruptedError
        return original(parts, *rest)

    with monkeypatch.context() as patch:
        patch.delenv("SSPS_TRACKER")
        patch.setattr(loop, "train_epoch", dying)
        with pytest.raises(InterruptedError):
            training.run(RUN)
    check_against(training.run(RUN))


@pytest.mark.two_processes
def test_of_two_processes_the_main_one_writes(asked):
    run = training.run(RUN, num_processes=2)
    assert len(list((run.folder / "tensorboard").iterdir())) == 1
    check_against(run)


def test_nothing_is_tracked_and_no_result_depends_on_it(monkeypatch, asked, tmp_path):
    tracked = training.run(RUN)
    monkeypatch.delenv("SSPS_TRACKER")
    monkeypatch.setenv("SSPS_HOME", str(tmp_path / "other"))
    plain = training.run(RUN)
    assert not (plain.folder / "tensorboard").exists()
    assert plain.config.hash == tracked.config.hash and plain.folder != tracked.folder
    weights = [(run.folder / "encoder.safetensors").read_bytes() for run in (plain, tracked)]
    assert weights[0] == weights[1]


def test_an_unknown_tracker_is_refused_before_anything_is_written(monkeypatch):
    monkeypatch.setenv("SSPS_TRACKER", "tensorbord")
    with pytest.raises(ValueError, match="SSPS_TRACKER is 'tensorbord', expected 'tensorboard'"):
        training.run(RUN)
    assert not run_folder(RUN).exists()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_missing_package_is_told_before_anything_is_written(monkeypatch, processes):
    monkeypatch.setenv("SSPS_TRACKER", "tensorboard")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install tensorboard"):
        training.run(RUN, num_processes=processes)
    assert not run_folder(RUN).exists()
