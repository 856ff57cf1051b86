"""Training stops where numbers stop being finite; what must be float32 is; results repeat."""

import pytest
import torch
from small_runs import bootstrapped, parts_of, tiny

from ssps_lib import frameworks, losses, training
from ssps_lib.frameworks import collapse
from ssps_lib.frameworks.momentum import move_average
from ssps_lib.positives.kmeans import kmeans
from ssps_lib.training import loop, run_folder, state
from ssps_lib.training.data import Data
from ssps_lib.training.health import BLOCK, DivergedError, Watch
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
def test_the_step_and_its_utterances_are_named(tmp_path, monkeypatch, value):
    spoil(monkeypatch, frameworks.SimCLR, "loss", 7, value)
    parts = parts_of(tiny(), tmp_path)
    with pytest.raises(DivergedError, match=rf"the loss became {value} in epoch 2 at step 3") as e:
        loop.train(parts)
    assert (e.value.epoch, e.value.step) == (2, 3)
    assert e.value.indices == parts.data.order(1)[2].tolist()
    first = ", ".join(map(str, e.value.indices))
    assert f"training indices {first}: lower the learning rate (0.001)" in str(e.value)
    assert "\n" not in str(e.value)
    assert parts_of(tiny(), tmp_path).position.epoch == 1  # the last good checkpoint


def test_a_spoilt_position_never_becomes_a_checkpoint(tmp_path, monkeypatch):
    spoil(monkeypatch, frameworks.SimCLR, "loss", 7)
    monkeypatch.setenv("SSPS_CHECKPOINT_MINUTES", "0")
    with pytest.raises(DivergedError):
        loop.train(parts_of(tiny(), tmp_path))
    again = parts_of(tiny(), tmp_path)
    assert (again.position.epoch, again.position.step) == (1, 2)
    assert all(value.isfinite().all() for value in again.framework.state_dict().values())


def test_embeddings_are_watched_too(tmp_path, monkeypatch):
    spoil(monkeypatch, collapse, "embedding_std", 2)
    with pytest.raises(DivergedError, match="embeddings' spread became nan in epoch 1 at step 2"):
        loop.train(parts_of(tiny(), tmp_path))


def test_broken_audio_is_the_cause_where_it_is(tmp_path, monkeypatch):
    finished = Data.finished

    def broken(self, *arguments):
        batch = finished(self, *arguments)
        for view in batch.views:
            view[batch.own == 5] = torch.nan
        return batch

    monkeypatch.setattr(Data, "finished", broken)
    parts = parts_of(tiny(), tmp_path)
    with pytest.raises(DivergedError, match="are not finite, look at its audio") as caught:
        loop.train(parts)
    assert f"the frames of '{parts.data.corpus.keys[5]}'" in str(caught.value)
    assert 5 in caught.value.indices
    assert not (tmp_path / "checkpoint").exists()


def test_a_diverged_queue_stops_the_next_clustering(monkeypatch):
    spoil(monkeypatch, SSPS, "reference", 6)
    with pytest.raises(ValueError, match=r"k-means got rows that are not finite.* diverged"):
        training.run(bootstrapped(epochs=2))
    assert state.find(run_folder(bootstrapped(epochs=2)) / "checkpoint") is not None


def test_a_look_finds_the_first_fault_and_waits_for_a_block():
    watch = Watch()
    good = {"loss": torch.tensor(1.0), "embedding_std": torch.tensor(0.5)}
    assert [watch.note(step, good) for step in range(BLOCK)] == [False] * (BLOCK - 1) + [True]
    assert watch.first_fault() is None
    for step in range(5):
        bad = good | ({"embedding_std": torch.tensor(torch.inf)} if step >= 3 else {})
        watch.note(100 + step, bad)
    assert watch.first_fault() == (103, "the embeddings' spread became inf")
    assert watch.first_fault() is None


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
    monkeypatch.setenv("SSPS_DETERMINISTIC", "yes")
    with pytest.raises(ValueError, match="SSPS_DETERMINISTIC is 'yes', expected 0 or 1"):
        training.run(tiny(epochs=1, seed=4))


@pytest.mark.parametrize("text", ["often", "-1", "nan"])
def test_minutes_between_checkpoints_are_checked(monkeypatch, text):
    monkeypatch.setenv("SSPS_CHECKPOINT_MINUTES", text)
    with pytest.raises(ValueError, match=f"SSPS_CHECKPOINT_MINUTES is '{text}', a number"):
        loop.checkpoint_minutes()
