"""A training step never waits for the device, and skips what no gradient needs."""

from contextlib import nullcontext

import pytest
import torch
from small_runs import CORPUS, bootstrapped, parts_of, tiny

from ssps_lib import encoders, positives
from ssps_lib.training import loop, signals
from ssps_lib.training.build import Parts
from ssps_lib.training.step import iteration

META = torch.device("meta")  # holds shapes only: whoever reads a value of it fails

OPTIONS = {
    "simclr": {},
    "moco": {"queue_size": 16},
    "swav": {"prototypes": 5, "hidden": 8, "dim": 8, "queue_size": 8, "queue_start": 0},
    "vicreg": {"hidden": 8, "dim": 8},
    "dino": {"hidden": 8, "bottleneck": 4, "outputs": 12, "local_crops": 1},
}


def moved(parts: Parts) -> Parts:
    """The parts with everything that lives on the device moved to one that cannot be read."""
    parts.framework.to(META)
    parts.data.device = META
    parts.data.labels = parts.data.labels.to(META)
    if parts.data.augmentation.bank is not None:
        parts.data.augmentation.bank = parts.data.augmentation.bank.to(META)
    if hasattr(parts.ssps, "observer"):
        parts.ssps.observer.sums = parts.ssps.observer.sums.to(META)
        for queue in (parts.ssps.reference_queue, parts.ssps.positive_queue):
            queue.values = queue.values.to(META)
        if parts.ssps.sampler.centroids is not None:
            parts.ssps.sampler.centroids = parts.ssps.sampler.centroids.to(META)
    parts.optimizer = torch.optim.Adam(parts.framework.parameter_groups(0.0))
    return parts


def first_batch(parts: Parts, epoch: int):
    return next(parts.data.batches(epoch))


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_an_iteration_reads_nothing_back_from_the_device(name, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # unknown to the device
    ring = {"simclr": None}.get(name, 8)
    options = {
        "framework": name,
        "framework_options": OPTIONS[name],
        "augmentation": "reverb+noise",
    }
    config = bootstrapped(positive_queue=ring, start_from=tiny(**options), **options, crop=0.3)
    parts = parts_of(config, tmp_path)
    parts.framework.train()
    for batch in parts.data.batches(0):  # queues as full as they get
        y = torch.randn(len(batch.own), parts.framework.representation_encoder.dim)
        parts.ssps.insert(batch, y, torch.randn(len(y), *parts.framework.embedding_shape))
    parts.ssps.start_epoch(0)
    before = parts.ssps.positive_queue.indices.clone()
    parts = moved(parts)
    batch = first_batch(parts, 1)
    observed = iteration(parts, batch)
    assert observed["loss"].device == META
    held = parts.ssps.positive_queue.indices
    assert set(batch.index.tolist()) <= set(held.tolist())
    assert ring is None or not torch.equal(held, before)


def test_an_iteration_with_labels_reads_nothing_back_either(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    parts = parts_of(tiny(framework="supervised", crop=0.3), tmp_path)
    parts.framework.train()
    parts = moved(parts)
    assert iteration(parts, first_batch(parts, 0))["loss"].device == META


def test_the_reference_representations_are_those_of_before_the_step(tmp_path):
    """Algorithm 2 takes Y-hat as its input."""
    parts = parts_of(bootstrapped(start_from=None), tmp_path)
    loop.fill(parts)
    parts.framework.train()
    parts.ssps.start_epoch(0)
    batch = first_batch(parts, 0)
    before = parts.ssps.reference(batch)
    iteration(parts, batch)
    assert torch.equal(parts.ssps.reference_queue[batch.index], before)
    assert not torch.equal(parts.ssps.reference(batch), before)


def test_algorithm_2_is_one_screen():
    import inspect

    assert len(inspect.getsource(iteration).splitlines()) <= 30


def test_the_device_that_cannot_be_read_notices_a_reader():
    with pytest.raises(RuntimeError):
        float(torch.zeros((), device=META))
    with pytest.raises(NotImplementedError):
        torch.zeros(2, device=META).cpu()


@pytest.mark.parametrize("size", [None, 4])
def test_a_queue_keeps_its_tables_on_the_cpu(size):
    far, near = (positives.Queue(6, (3,), size=size, device=d) for d in (META, "cpu"))
    for index in ([4, 0, 4], [5, 1], [2, 3, 0]):
        for queue in (far, near):
            values = torch.ones(len(index), 3, device=queue.device)
            queue[torch.tensor(index)] = values
    assert torch.equal(far.indices, near.indices)
    every = torch.arange(-1, 6)
    assert torch.equal(far.slots(every), near.slots(every))
    assert far.rows(torch.tensor([2, 3])).device == META
    assert len(far) == len(near)


def test_positives_of_a_device_are_drawn_as_on_the_cpu():
    near = positives.Queue(30, (4,))
    near[torch.arange(30)] = torch.randn(30, 4)
    sampler = positives.Clustering(5, window=1)
    sampler.refresh(near, torch.Generator().manual_seed(0))
    far = positives.Queue(30, (4,), device=META)
    far[torch.arange(30)] = torch.zeros(30, 4, device=META)
    index, uniform = torch.arange(8), torch.rand(8, 2)
    pos = sampler.sample(index, near, uniform)
    assert torch.equal(sampler.sample(index, far, uniform), pos)
    assert sampler.retrieve(pos, far).shape == (8, 4)


@pytest.mark.parametrize("training", [True, False])
def test_batch_statistics_lead_every_gradient_through_all_rows(training):
    """Why view 2 is spared only where all positives come from the queue: with batch statistics the
    embedding that stays depends on the rows that are replaced, and so do the weights' gradients."""
    encoder = encoders.build("fast_resnet34", channels=8, dim=8).train(training)
    features = torch.randn(4, 40, 30, requires_grad=True)
    encoder.represent(features)[0].sum().backward()  # the only positive that stays
    others = features.grad[1:].abs().max()
    assert (others > 1e-8) == training


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_never_waited_for(tmp_path):
    noisy = {"augmentation": "reverb+noise"}
    config = bootstrapped(corpus_options=CORPUS, start_from=tiny(**noisy), **noisy)
    parts = parts_of(config, tmp_path)
    loop.fill(parts)
    parts.ssps.start_epoch(0)
    parts.framework.train()
    first, second, *_ = parts.data.batches(1)
    iteration(parts, first)  # kernels are chosen
    torch.cuda.set_sync_debug_mode("error")
    try:
        iteration(parts, second)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_half_precision_queues_and_products_train(tmp_path):
    half = {"queue_precision": "fp16", "kmeans_precision": "bf16"}
    parts = parts_of(bootstrapped(**half), tmp_path)
    assert parts.ssps.sampler.dtype == torch.bfloat16
    loop.fill(parts)
    values = loop.train_epoch(parts, signals.Notice())
    for queue in (parts.ssps.reference_queue, parts.ssps.positive_queue):
        assert queue.values.dtype == torch.float16 and queue.values.isfinite().all()
    assert values["coverage"] > 0.5 and values["loss"] > 0


def test_a_compiled_encoder_trains_alike_and_is_left_alone_in_evaluation(tmp_path, monkeypatch):
    compiled, asked = torch.compile, []

    def without_code(function, backend, dynamic):  # the graph is caught, and run as it is
        asked.append(backend)
        graph = compiled(function, backend="eager", dynamic=dynamic)

        def counted(features):
            asked.append(tuple(features.shape))
            return graph(features)

        return counted

    monkeypatch.setattr(torch, "compile", without_code)
    losses = {}
    for compiler in ("no", "inductor"):
        parts = parts_of(bootstrapped(compiler=compiler), tmp_path / compiler)
        loop.fill(parts)
        losses[compiler] = loop.train_epoch(parts, signals.Notice())["loss"]
    assert losses["inductor"] == pytest.approx(losses["no"], rel=1e-5)
    assert asked[0] == "inductor"
    frames = 1 + 8_000 // 160  # of a crop; references are longer and evaluated
    assert set(asked[1:]) == {(8, 40, frames)} and len(asked) == 1 + 2 * 4


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("name", ["swav", "dino"])
def test_a_layer_that_was_frozen_first_learns_later(name, optimizer, tmp_path):
    config = tiny(
        framework=name, framework_options=OPTIONS[name], optimizer=optimizer, crop=0.3,
        learning_rate=0.05,
    )  # fmt: skip
    parts = parts_of(config, tmp_path)
    layer = parts.framework.prototypes if name == "swav" else parts.framework.head.last
    seen = [layer.weight.detach().clone()]
    for _ in range(2):
        parts.position.next_epoch(loop.train_epoch(parts, signals.Notice()))
        seen.append(layer.weight.detach().clone())
    assert torch.equal(seen[0], seen[1]) and not torch.equal(seen[1], seen[2])
