"""The loop that chapter 6 prints: the very cell, run beside the library's trainer."""

from functools import partial

import nbformat
import pytest
import torch
import torch.nn.functional as F

from execute import BOOK
from ssps_lib import encoders, losses, positives
from ssps_lib.training import RunConfig, loop, state

CONFIG = {
    "corpus_options": {
        "speakers": 8, "recordings": 2, "utterances": 2, "seconds": 1.0,
        "dev_speakers": 3, "test_speakers": 4, "test_recordings": 2,
    },
    "crop": 0.5, "reference_crop": 0.8, "batch_size": 8, "epochs": 2, "average_last": 1,
    "encoder_options": {"channels": 16, "dim": 16, "attention": 8, "se": 8},
    "augmentation": "none", "clusters": 5, "window": 1, "learning_rate": 1e-3,
}  # fmt: skip


def cell(beginning):
    """The chapter's code cell that begins so, executed; the function or class that it defines."""
    notebook = nbformat.read(BOOK / "06_your_own_loop.ipynb", as_version=4)
    (source,) = [c.source for c in notebook.cells if c.source.startswith(beginning)]
    namespace = {"torch": torch, "F": F}
    exec(source, namespace)
    return namespace[beginning.split()[1].rstrip("(")], source


class OfTraining:
    """The library's own batches, frames and draws, in the form that the loop asks for."""

    def __init__(self, parts):
        self.seed, self.data = parts.config.seed, parts.data

    def generator(self, epoch):
        return torch.Generator().manual_seed(self.seed + epoch)

    def batches(self, epoch):
        return [torch.from_numpy(batch) for batch in self.data.order(epoch)]

    def views(self, epoch, index):
        return self.data.batch(epoch, index.numpy()).views

    def reference(self, epoch, index):
        return self.data.batch(epoch, index.numpy()).reference

    def choices(self, epoch, index):
        return self.data.choices(epoch, index.numpy())


def nt_xent(z, z_pos):
    return losses.nt_xent(z, z_pos, temperature=0.03)


@pytest.mark.parametrize(
    "changes",
    [{"positives": "ssps-clustering"}, {"positives": "ssps-clustering", "positive_queue": 12}],
    ids=["all in the queue", "with fallback"],
)
def test_the_loop_trains_as_the_library_does(changes, tmp_path, monkeypatch):
    monkeypatch.setenv("SSPS_HOME", str(tmp_path))
    # The library's kernel in both: another one rounds its last bit otherwise, and training from
    # fresh weights turns that bit into 1e-4 of the loss within two epochs.
    monkeypatch.setattr(torch.optim, "Adam", partial(torch.optim.Adam, fused=True))
    train, source = cell("def train(")
    assert len(source.splitlines()) <= 42
    started, trained = (
        state.begin(RunConfig(**CONFIG, **changes), tmp_path / name) for name in ("start", "run")
    )
    loop.fill(started)
    encoder = started.framework.encoder
    queues = [started.ssps.reference_queue, started.ssps.positive_queue]
    sampler = positives.Clustering(clusters=5, window=1)
    if "positive_queue" in changes:  # what only our training does at each epoch
        restart = sampler.refresh
        sampler.refresh = lambda *given: (restart(*given), queues[1].restart())
    history = train(encoder, OfTraining(started), sampler, nt_xent, queues, 2, 0)
    loop.train(trained)

    rows = trained.position.metrics
    for epoch, metrics in enumerate(rows):
        mean = torch.tensor([h[1] for h in history if h[0] == epoch]).mean()
        assert float(mean) == pytest.approx(metrics["loss"], rel=1e-4)
    missing = torch.cat([pos for *_, pos in history]).lt(0).float().mean()
    assert 1 - float(missing) == pytest.approx(sum(m["coverage"] for m in rows) / 2, abs=1e-6)
    expected = trained.framework.encoder.state_dict()
    for name, value in encoder.state_dict().items():
        torch.testing.assert_close(value, expected[name], atol=1e-4, rtol=1e-3)
    for own, theirs in zip(
        queues, (trained.ssps.reference_queue, trained.ssps.positive_queue), strict=True
    ):
        assert own.indices.equal(theirs.indices)
        torch.testing.assert_close(own.values, theirs.values, atol=1e-3, rtol=1e-3)


def test_the_loss_by_hand_is_nt_xent():
    by_hand, _ = cell("def by_hand(")
    z, z_pos = torch.randn(2, 8, 5, requires_grad=True).unbind()
    torch.testing.assert_close(by_hand(z, z_pos), nt_xent(z, z_pos))


def test_lightly_has_the_same_loss():
    lightly = pytest.importorskip("lightly.loss")
    z, z_pos = torch.randn(2, 8, 5).unbind()
    third = lightly.NTXentLoss(temperature=0.03)(z, z_pos)
    torch.testing.assert_close(third, nt_xent(z, z_pos), atol=1e-4, rtol=1e-4)


def test_no_pseudo_positive_before_the_first_epoch_of_ssps():
    train, _ = cell("def train(")
    encoder = encoders.build("ecapa_tdnn", channels=8, dim=4, attention=4, se=4)

    class Noise:
        def batches(self, epoch):
            return torch.arange(8).split(4)

        def views(self, epoch, index):
            return torch.randn(2, len(index), 2_000)

        def reference(self, epoch, index):
            return torch.randn(len(index), 3_000)

    queues = [positives.Queue(8, (4,)) for _ in range(2)]
    history = train(encoder, Noise(), None, nt_xent, queues, epochs=1, first=1)
    assert [pos.tolist() for *_, pos in history] == [[-1] * 4] * 2
    assert [len(queue) for queue in queues] == [8, 8]
