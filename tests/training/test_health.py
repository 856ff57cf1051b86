"""Training stops where numbers stop being finite; what must be float32 is; results repeat."""

import pytest
import torch
from small_runs import bootstrapped, parts_of, tiny

from ssps_lib import frameworks, losses, training
from ssps_lib.frameworks import collapse
from ssps_lib.frameworks.momentum import move_average
from ssps_lib.positives.kmeans import kmeans
from ssps_lib.training import loop, run_folder, state
from ssps_lib.training.environment import environment
from ssps_lib.training.ssps import SSPS


def spoil(monkeypatch, owner, name: str, call: int, value=float("nan")) -> None:
    """Make the `call`-th result of a method (counted from 1) not finite."""
    original, calls = getattr(owner, name), []

    def spoilt(self, *arguments, **options):
        calls.append(0)
        result = original(self, *arguments, **options)
        return result * value if len(calls) == call else result

    monkeypatch.setattr(owner, name, spoilt)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_step_is_named(tmp_path, monkeypatch, value):
    spoil(monkeypatch, frameworks.SimCLR, "loss", 7, value)
    parts = parts_of(tiny(), tmp_path)
    message = f"the loss became {value} in epoch 2, seen at step 3: lower the learning rate .0.001"
    with pytest.raises(FloatingPointError, match=message) as caught:
        loop.train(parts)
    assert "\n" not in str(caught.value)
    assert parts_of(tiny(), tmp_path).position.epoch == 1  # the last good checkpoint


@pytest.mark.parametrize("call", [2, 4])
def test_a_gpu_is_asked_now_and_then_and_at_the_end_of_an_epoch(tmp_path, monkeypatch, call):
    monkeypatch.setattr(loop, "ASK", {"cpu": 3})
    spoil(monkeypatch, collapse, "embedding_std", call)
    seen = f"seen at step {3 if call == 2 else 4}"
    with pytest.raises(FloatingPointError, match=f"spread became nan in epoch 1, {seen}"):
        loop.train(parts_of(tiny(), tmp_path))


def test_a_spoilt_position_never_becomes_a_checkpoint(tmp_path, monkeypatch):
    spoil(monkeypatch, frameworks.SimCLR, "loss", 7)
    monkeypatch.setenv("SSPS_CHECKPOINT_MINUTES", "0")
    with pytest.raises(FloatingPointError):
        loop.train(parts_of(tiny(), tmp_path))
    again = parts_of(tiny(), tmp_path)
    assert (again.position.epoch, again.position.step) == (1, 2)
    assert all(value.isfinite().all() for value in again.framework.state_dict().values())


def test_a_diverged_queue_stops_the_next_clustering(monkeypatch):
    spoil(monkeypatch, SSPS, "reference", 6)
    with pytest.raises(ValueError, match=r"k-means got rows that are not finite.* diverged"):
        training.run(bootstrapped(epochs=2))
    assert state.find(run_folder(bootstrapped(epochs=2)) / "checkpoint") is not None


def test_full_precision_inside_autocast():
    """Sinkhorn, covariance, moving average and k-means give the float32 result under bfloat16."""
    torch.manual_seed(0)
    x, y = torch.randn(2, 64, 16)
    student, teacher = torch.nn.Linear(16, 16), torch.nn.Linear(16, 16)
    teachers = [torch.nn.Linear(16, 16) for _ in range(2)]
    for other in teachers:
        other.load_state_dict(teacher.state_dict())

    def results(averaged):
        move_average(averaged, student, 0.999)
        return [
            losses.sinkhorn(losses.cosines(x, y[:8])),
            losses.vicreg(x, y),
            losses.nt_xent(x, y, 0.03),
            averaged.weight.detach(),
            *kmeans(x, 5, generator=torch.Generator().manual_seed(0)),
        ]

    plain = results(teachers[0])
    with torch.autocast("cpu", torch.bfloat16):
        assert (x @ y.T).dtype == torch.bfloat16  # autocast is on
        inside = results(teachers[1])
    for a, b in zip(plain, inside, strict=True):
        assert b.dtype == a.dtype != torch.bfloat16
        assert torch.equal(a, b)


def test_half_precision_scores_become_full(monkeypatch):
    scores = torch.randn(16, 4).clamp(-1, 1).bfloat16()
    assert torch.equal(losses.sinkhorn(scores), losses.sinkhorn(scores.float()))
    assert losses.sinkhorn(scores).dtype == torch.float32


def test_deterministic_mode_is_on_while_training_and_off_afterwards(monkeypatch):
    seen = []
    iteration = loop.iteration

    def spied(*arguments):
        seen.append(torch.are_deterministic_algorithms_enabled())
        return iteration(*arguments)

    monkeypatch.setattr(loop, "iteration", spied)
    plain = training.run(tiny(epochs=1))
    monkeypatch.setenv("SSPS_DETERMINISTIC", "1")
    run = training.run(tiny(epochs=1, seed=3))
    assert seen == [False] * 4 + [True] * 4
    assert not torch.are_deterministic_algorithms_enabled()
    assert run.config.hash != plain.config.hash


@pytest.mark.parametrize("text", ["often", "-1", "nan"])
def test_minutes_between_checkpoints_are_checked(monkeypatch, text):
    monkeypatch.setenv("SSPS_CHECKPOINT_MINUTES", text)
    with pytest.raises(ValueError, match=f"SSPS_CHECKPOINT_MINUTES is '{text}', expected "):
        environment()
