"""The parts of `gpu.py`. Each yields rows of plain values, with the type in which it computed.

TF32 is what PyTorch's convolutions take for float32 on a GPU unless told otherwise; "float32" is
without it. Errors and ratios compare what was computed in the same call.
"""

import copy
import functools
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import measuring
import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from accelerate.state import AcceleratorState
from kmeans_clusters import measure_kmeans
from torch import Tensor, nn
from torch.nn.modules._functions import SyncBatchNorm as SynchronisedNorm
from torch.utils.flop_counter import FlopCounterMode
from training_step import tones

from ssps_lib import encoders, frameworks, losses, recipes, training
from ssps_lib.corpora import open_corpus, simulated
from ssps_lib.norms import synchronise_norms
from ssps_lib.training import loop, state
from ssps_lib.training.build import Parts
from ssps_lib.training.data import Batch
from ssps_lib.training.step import iteration, schedule

TYPES = ("float32", "TF32", "bfloat16")


def arithmetic(dtype: str, cpu: bool = False) -> dict[str, str]:
    """Let training compute with a type, on the device or a CPU; what its config must say."""
    os.environ["ACCELERATE_USE_CPU"] = str(cpu or measuring.device.type == "cpu").lower()
    torch.backends.cudnn.allow_tf32 = dtype != "float32"
    return {"precision": "bf16" if dtype == "bfloat16" else "no"}


def parts_of(
    config: training.RunConfig, folder: Path, dtype: str = "float32", cpu: bool = False
) -> Parts:
    """The parts of a run, as the checkpoint of its folder has them if there is one."""
    precision = arithmetic(dtype, cpu)
    AcceleratorState._reset_state(True)  # it had another device or precision
    run = state.begin(config.with_(**precision), folder)
    run.framework.train()
    return run


def filled(run: Parts) -> Parts:
    """The same parts at the start of an epoch, with full queues and their clusters."""
    loop.fill(run)
    run.framework.train()
    run.ssps.start_epoch(run.config.seed)
    return run


def cosine(a: Tensor, b: Tensor) -> float:
    return float(F.cosine_similarity(a.double().cpu(), b.double().cpu(), dim=0))


def gradient(module: nn.Module) -> Tensor:
    """All gradients of a module (P,)."""
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])


# -- every framework with every sampler, against the CPU --------------------------------------


def steps(pairs: list[tuple[str, str]], count: int, **changes) -> Iterator[dict]:
    """Losses of a few steps from the CPU's checkpoint, and the gradient of the last.

    The weights stand still, since training multiplies rounding, and the checkpoint has queues and
    clusters, so that ties do not decide.
    """
    for framework, positives in pairs:
        config = recipes.recipe(framework, positives, preset="smoke", **changes)
        config = config.with_(start_from=None, epochs=1, learning_rate=1e-12)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            run = filled(parts_of(config, folder / "cpu", cpu=True))
            walked(run, 1)
            state.save(run)
            expected, slope = walked(run, count)
            for dtype in TYPES:
                shutil.copytree(folder / "cpu", folder / dtype)
                found, other = walked(parts_of(config, folder / dtype, dtype), count)
                error = max(abs(a - b) / abs(b) for a, b in zip(found, expected, strict=True))
                yield {
                    "framework": framework, "positives": positives, "dtype": dtype,
                    "loss": found, "loss_cpu": expected, "loss_error": error,
                    "gradient_cosine": cosine(slope, other),
                }  # fmt: skip


def walked(run: Parts, count: int) -> tuple[list[float], Tensor]:
    """The losses of the next steps, and the gradient after them."""
    found, order = [], run.data.order(0)
    for index in order[run.position.step :][:count]:
        schedule(run, 0, run.position.step, len(order))
        observed = iteration(run, run.data.batch(0, index))
        run.position.add(observed)
        found.append(float(observed["loss"]))
    return found, gradient(run.framework)


# -- speed ------------------------------------------------------------------------------------


def kmeans(n: int, k: int) -> Iterator[dict]:
    """k-means of the whole corpus, in float32 and with bfloat16 products."""
    row = measure_kmeans(n, k, quick=True)
    for work, dtype in (("ours", "float32"), ("ours, bf16 products", "bfloat16")):
        taken = row["works"][work]
        speed = row["operations"] / taken["seconds"]
        yield row["size"] | {"dtype": dtype} | taken | {"share": speed / peak(dtype)}


def peak(dtype: str) -> float:
    """Operations a second of large matrix products; those of TF32 are not measured."""
    return measuring.ceilings()["bfloat16_flops" if dtype == "bfloat16" else "float32_flops"]


def recipe(corpus: dict, repeats: int, **changes) -> Iterator[dict]:
    """A step of the published recipe (ECAPA-TDNN, SSPS-Clustering) with frames held and fed."""
    for dtype in ("bfloat16", "TF32"):
        yield measured_step(published(corpus, **changes), dtype, repeats)


def compiler(corpus: dict, repeats: int, **changes) -> Iterator[dict]:
    """The first of these with `torch.compile`; `first_seconds` has the compilation."""
    config = published(corpus, compiler="inductor", **changes)
    yield measured_step(config, "bfloat16", repeats)


def published(corpus: dict, **changes) -> training.RunConfig:
    """The paper's recipe on a small packed corpus, from fresh weights."""
    named = {"preset": "paper", "noises": "made", "corpus_options": corpus}
    return recipes.recipe("simclr", "ssps-clustering", **named, **changes).with_(start_from=None)


def measured_step(config: training.RunConfig, dtype: str, repeats: int) -> dict:
    """Seconds of an iteration, its share of the bfloat16 peak, and how fast it is fed."""
    with tempfile.TemporaryDirectory() as folder:
        run = filled(parts_of(config, Path(folder), dtype))
        batch = run.data.batch(0, run.data.order(0)[0])

        def step(batch: Batch = batch) -> None:
            iteration(run, batch)

        first = measuring.once(step)
        taken = measuring.compare({"step": step}, repeats, items=config.batch_size)["step"]
        row = {"dtype": dtype, "compiler": config.compiler, "B": config.batch_size}
        row |= {"first_seconds": first, **taken}
        if config.compiler == "no":  # compiled passes are not counted
            with FlopCounterMode(display=False) as counted:
                step()
            row["operations"] = counted.get_total_flops()
            speed = row["operations"] / taken["seconds"]
            row["share_of_bfloat16_peak"] = speed / peak("bfloat16")
        row["fed_seconds"] = fed(run, step)
        row["feeding_seconds"] = fed(run, lambda _: None)
        return row | run.ssps.metrics()


def fed(run: Parts, work: Callable[[Batch], None]) -> float:
    """Seconds of a mini-batch that comes from the pack; an epoch's first ones start the workers."""
    started, count = 0.0, len(run.data.order(1))
    first = min(4, count - 1)
    for place, batch in enumerate(run.data.batches(1)):
        if place == first:
            measuring.finish()
            started = time.perf_counter()
        work(batch)
    measuring.finish()
    return (time.perf_counter() - started) / (count - first)


# -- exact resume, norms ----------------------------------------------------------------------


class Stopping(frameworks.SimCLR):
    """SimCLR that ends its process after some steps, as a scheduler would."""

    name = "stopping"
    left = 0

    def after_step(self, *tensors: Tensor) -> None:
        super().after_step(*tensors)
        Stopping.left -= 1
        if Stopping.left == 0:
            signal.raise_signal(signal.SIGTERM)


def resume(after: int, **changes) -> Iterator[dict]:
    """A run that is stopped within its second epoch ends with the bits of one that is not."""
    frameworks.FRAMEWORKS["stopping"] = Stopping
    config = recipes.recipe(positives="ssps-clustering", preset="smoke", batch_size=4, **changes)
    ssl = config.start_from.with_(framework="stopping", epochs=1, average_last=1)
    config = config.with_(framework="stopping", start_from=ssl, epochs=2)
    torch.use_deterministic_algorithms(True, warn_only=True)  # as SSPS_DETERMINISTIC=1
    try:
        for dtype in ("TF32", "bfloat16"):
            precision = arithmetic(dtype)
            chosen = config.with_(start_from=ssl.with_(**precision), **precision)
            whole, curve = outcome(chosen)
            Stopping.left, said = after, "never stopped"
            try:
                training.run(chosen)
            except SystemExit as stopped:
                said = str(stopped)
            again, same_curve = outcome(chosen)
            worst = max(float((whole[k] - again[k]).abs().max()) for k in whole)
            yield {
                "dtype": dtype, "stopped": said, "same_bits": worst == 0, "difference": worst,
                "loss": curve, "same_losses": curve == same_curve,
            }  # fmt: skip
    finally:
        torch.use_deterministic_algorithms(False)


def outcome(config: training.RunConfig) -> tuple[dict[str, Tensor], list[float]]:
    """The weights and losses of a run, which is then forgotten."""
    done = training.run(config)
    weights = {k: v.double() for k, v in done.encoder().state_dict().items()}
    shutil.rmtree(done.folder)
    return weights, done.metrics["loss"].tolist()


class Synchronised(nn.SyncBatchNorm):
    """Takes the collectives, which torch leaves out with one process."""

    def forward(self, x: Tensor) -> Tensor:
        return SynchronisedNorm.apply(
            x, self.weight, self.bias, self.running_mean, self.running_var, self.eps,
            self.momentum, dist.group.WORLD, 1,
        )  # fmt: skip


def norms(batch: int, samples: int, options: dict) -> Iterator[dict]:
    """Batch norms of several processes, with one, beside plain ones (gloo's on a CPU)."""
    torch.manual_seed(0)
    plain = encoders.build("ecapa_tdnn", **options).to(measuring.device)
    synced, views = copy.deepcopy(plain), [tones(batch, samples) for _ in range(2)]
    with tempfile.TemporaryDirectory() as folder:
        backend = "nccl" if measuring.device.type == "cuda" else "gloo"
        dist.init_process_group(backend, f"file://{folder}/group", rank=0, world_size=1)
        try:
            with mock.patch("ssps_lib.norms.world_size", lambda: 2):
                synchronise_norms(synced)
            for module in synced.modules():
                if isinstance(module, nn.SyncBatchNorm):
                    module.__class__ = Synchronised
            for dtype in TYPES:
                (a, slope, sums), (b, other, others) = (
                    contrasted(encoder, views, dtype) for encoder in (plain, synced)
                )
                yield {
                    "dtype": dtype, "B": batch, "loss_error": abs(a - b) / abs(a),
                    "gradient_cosine": cosine(slope, other),
                    "statistics_error": float((sums - others).norm() / sums.norm()),
                }  # fmt: skip
        finally:
            dist.destroy_process_group()


def contrasted(encoder: nn.Module, views: list[Tensor], dtype: str) -> tuple[float, Tensor, Tensor]:
    """Loss, gradient and running statistics of an encoder after a step."""
    arithmetic(dtype)
    encoder.zero_grad()
    with torch.autocast(measuring.device.type, torch.bfloat16, dtype == "bfloat16"):
        loss = losses.nt_xent(*map(encoder, views), 0.5)
    loss.backward()
    sums = [value.flatten() for name, value in encoder.named_buffers() if ".running_" in name]
    return loss.item(), gradient(encoder), torch.cat(sums)


# -- a larger mini run ------------------------------------------------------------------------


def mini(preset: str, corpus_options: dict, clusters: int, **changes) -> Iterator[dict]:
    """SSL, then each of the others from it, in the time that is left; a cut-off run has curves."""
    started = time.perf_counter()
    n = len(open_corpus("simulated", **corpus_options).train)
    yield {"utterances": n, "dtype": "float32", "render_seconds": time.perf_counter() - started}
    precision = arithmetic("bfloat16")
    for positives in ("ssl", "ssps-clustering", "ssl-continued", "supervised", "ssps-nn"):
        kind = {"clusters": clusters} if positives == "ssps-clustering" else {}
        common = {"preset": preset, "corpus_options": corpus_options, **precision}
        config = recipes.recipe("simclr", positives, **common, **kind, **changes)
        row = {"positives": positives, "dtype": "bfloat16", "config": config.to_dict()}
        try:
            done = training.run(config)
        except BaseException:  # its time is over, or it failed
            file = training.run_folder(config) / "metrics.jsonl"
            lines = file.read_text().splitlines() if file.exists() else []
            yield row | {"scores": None, "metrics": [json.loads(line) for line in lines]}
            raise
        yield row | {k: done.record[k] for k in ("scores", "metrics", "seconds")}


render = simulated.render  # one process: its threads share Python's lock


def rendered(size: simulated.Size, plan: list, device: str = "cpu") -> Iterator[np.ndarray]:
    """`simulated.render` in as many processes as there are cores."""
    chunks = [plan[b : b + 64] for b in range(0, len(plan), 64)]
    context = multiprocessing.get_context("fork")  # as PyTorch's loaders; none touches the GPU
    with context.Pool(os.cpu_count(), torch.set_num_threads, (1,)) as pool:
        yield from pool.imap(functools.partial(render_chunk, size), chunks)


def render_chunk(size: simulated.Size, plan: list) -> np.ndarray:
    """(B, T) int16."""
    return np.concatenate(list(render(size, plan)))
