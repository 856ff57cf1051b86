"""The training loop: Algorithm 1 at the start of an epoch, Algorithm 2 in each iteration."""

import hashlib
import json
import math
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor
from tqdm import tqdm

from ssps_lib import analysis, draws, encoders, files, frameworks, positives, scorer
from ssps_lib.augmentation import Augmentation, Bank, read_bank
from ssps_lib.corpora import SAMPLE_RATE, Corpus, Splits, open_corpus
from ssps_lib.devices import to_device
from ssps_lib.distributed import all_reduce_mean, gather, synchronise_norms
from ssps_lib.encoders import save_encoder
from ssps_lib.frameworks import collapse
from ssps_lib.noises import cached_bank
from ssps_lib.training import checkpoints, signals, tracking
from ssps_lib.training.config import RunConfig
from ssps_lib.training.feeder import Feeder
from ssps_lib.training.fields import check_batch
from ssps_lib.training.health import DivergedError, Watch
from ssps_lib.training.progress import Progress, norm_rows, own_sums, restore_norms
from ssps_lib.training.ranks import RefusedError

PATIENCE = timedelta(hours=6)  # of the other processes while the main one embeds and scores
MINUTES = 30.0  # between checkpoints within an epoch
TOGETHER = 10, 5.0  # iterations, but no more than seconds, until processes ask who is to stop


def learning_rate(config: RunConfig, epoch: float) -> float:
    """Learning rate at an epoch counted from the first SSL epoch (Section IV-C).

    "step" multiplies by `decay` every `decay_every` epochs; "cosine" warms up linearly and ends at
    `final_learning_rate` with the last epoch, or at `schedule_epochs` where a run is only the
    first part of a schedule.
    """
    if config.schedule == "step":
        return config.learning_rate * config.decay ** (int(epoch) // config.decay_every)
    if epoch < config.warmup_epochs:
        return config.learning_rate * epoch / config.warmup_epochs
    span = max(config.schedule_end - config.warmup_epochs, 1)
    progress = min((epoch - config.warmup_epochs) / span, 1.0)
    low, high = config.final_learning_rate, config.learning_rate
    return low + (high - low) * 0.5 * (1 + math.cos(math.pi * progress))


def check_sizes(config: RunConfig, corpus: Corpus) -> None:
    """ValueError where batch, clusters or neighbours are more than the training utterances."""
    n = len(corpus)
    where = f"the corpus '{corpus.name}' has {n} training utterances"
    if config.batch_size > n:
        raise ValueError(f"batch_size is {config.batch_size} but {where}: choose a smaller batch")
    if config.positives.startswith("ssps-clustering") and config.clusters > n:
        raise ValueError(f"K is {config.clusters} clusters but {where}: lower K")
    if config.positives == "ssps-nn" and config.window >= n:
        raise ValueError(f"M is {config.window} neighbours but {where}: lower M")


def checkpoint_minutes() -> float:
    """Minutes between checkpoints within an epoch: `$SSPS_CHECKPOINT_MINUTES`, 0 for every step.

    It is no part of a `RunConfig`, since no result depends on it.
    """
    text = os.environ.get("SSPS_CHECKPOINT_MINUTES") or str(MINUTES)
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not minutes >= 0:
        raise ValueError(
            f"SSPS_CHECKPOINT_MINUTES is '{text}', a number of minutes of 0 or more is needed: it "
            "is the time between checkpoints within an epoch"
        )
    return minutes


def with_options(build: Callable, name: str, *arguments, **options):
    """`build(name, *arguments, **options)`; ValueError for an option that `name` does not have."""
    try:
        return build(name, *arguments, **options)
    except TypeError as error:
        raise ValueError(f"'{name}' cannot have the options {options}: {error}") from error


def compile_training(encoder: torch.nn.Module, backend: str) -> None:
    """Let `torch.compile` fuse the passes of an encoder that trains, from features on.

    Frames have few lengths then, each of which is compiled once. Evaluation, whose utterances have
    any length, is left alone, and so is a teacher.
    """
    eager = encoder.represent
    fused = torch.compile(eager, backend=backend, dynamic=False)
    encoder.represent = lambda features: (fused if encoder.training else eager)(features)


class Trainer:
    """One run: a framework, a positive sampler, two memory queues and an optimiser.

    Args:
        config: what to train.
        folder: where checkpoints, metrics and epoch weights are written.
        parent: the finished checkpoint of `config.start_from`.
        processes: how many train together, as a check on the launcher.
        minutes: between checkpoints within an epoch; `checkpoint_minutes()` if None.

    Raises:
        RefusedError: the number of processes differs from the one asked for.
        ValueError: the corpus, batch, clusters and window do not fit each other.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        parent: Path | None = None,
        processes: int = 1,
        minutes: float | None = None,
    ) -> None:
        self.config, self.folder = config, folder
        self.minutes = checkpoint_minutes() if minutes is None else minutes
        self.accelerator = Accelerator(
            mixed_precision=config.precision,
            log_with=tracking.asked_for(),
            project_dir=folder,
            kwargs_handlers=[
                DistributedDataParallelKwargs(broadcast_buffers=False),
                InitProcessGroupKwargs(timeout=PATIENCE),
            ],
        )
        self.device = self.accelerator.device
        self._check_processes(processes)
        self.splits = self._open_corpus()
        self.corpus = self.splits.train
        self.labels = torch.from_numpy(self.corpus.speakers).to(self.device)
        check_sizes(config, self.corpus)
        torch.manual_seed(config.seed)
        self._build_model()
        self._build_positives()
        self.feeder = self._build_feeder()
        self.epoch = config.first_epoch
        self.metrics: list[dict[str, float]] = []
        self.progress, self.notice = Progress(), signals.Notice()
        self.every, self.unasked, self.asked_at = 1, 0, time.perf_counter()  # see `_together`
        self._restore(parent)

    # -- construction ---------------------------------------------------------------------------

    def _check_processes(self, expected: int) -> None:
        found = self.accelerator.num_processes
        if found != expected:
            raise RefusedError(
                f"{found} process(es) found each other where {expected} were asked for: start "
                "training with `accelerate launch` (and ACCELERATE_USE_CPU=true without a GPU)"
            )
        check_batch(self.config.batch_size, found)

    def _open_corpus(self) -> Splits:
        with self.accelerator.main_process_first():
            return open_corpus(
                self.config.corpus, device=str(self.device), **self.config.corpus_options
            )

    def _build_model(self) -> None:
        config, options = self.config, dict(self.config.framework_options)
        if config.framework == "supervised":
            options["classes"] = int(self.corpus.speakers.max()) + 1
        encoder = with_options(encoders.build, config.encoder, **config.encoder_options)
        self.framework = with_options(frameworks.build, config.framework, encoder, **options)
        if self.accelerator.num_processes > 1 and self.framework.synchronised_norms:
            synchronise_norms(self.framework)
        if config.compiler != "no":
            compile_training(self.framework.encoder, config.compiler)
        groups = self.framework.parameter_groups(config.weight_decay)
        self.framework.to(self.device)
        if config.optimizer == "adam":
            fused = self.device.type in ("cpu", "cuda") or None  # one kernel for all parameters
            optimizer = torch.optim.Adam(groups, lr=config.learning_rate, fused=fused)
        else:  # PyTorch's fused SGD fails where a layer was frozen first, as DINO's last one
            optimizer = torch.optim.SGD(groups, config.learning_rate, momentum=0.9)
        self.model, self.optimizer = self.accelerator.prepare(self.framework, optimizer)

    def _build_positives(self) -> None:
        config, n = self.config, len(self.corpus)
        self.sampler = self._build_sampler()
        self.bootstraps = config.positives.startswith("ssps")
        if not self.bootstraps:
            return
        encoder = self.framework.representation_encoder
        dtype = torch.float16 if config.queue_precision == "fp16" else torch.float32
        self.reference_queue = positives.Queue(n, (encoder.dim,), None, dtype, self.device)
        self.positive_queue = positives.Queue(
            n, self.framework.embedding_shape, config.positive_queue, dtype, self.device
        )
        self.observer = analysis.PositiveObserver(self.corpus.speakers, self.corpus.recordings)

    def _build_sampler(self) -> positives.PositiveSampler:
        config, kind = self.config, self.config.positives
        options: dict[str, Any] = {}
        if kind == "supervised":
            options = {"speakers": self.corpus.speakers, "recordings": self.corpus.recordings}
        elif kind == "ssps-nn":
            options = {"window": config.window}
        elif kind.startswith("ssps-clustering"):
            options = {"clusters": config.clusters, "window": config.window}
            options["candidates"] = config.candidates
            half = config.kmeans_precision == "bf16"
            options["dtype"] = torch.bfloat16 if half else torch.float32
        return positives.build(kind, **options)

    def _build_feeder(self) -> Feeder:
        config, bank = self.config, None
        if config.augmentation != "none":
            bank = self._open_bank().to(self.device)
        crops = tuple(config.crop * ratio for ratio in self.framework.crops)
        longest = self.corpus.lengths.max() / SAMPLE_RATE
        if bank is not None:
            longest = min(longest, bank.noises.shape[1] / SAMPLE_RATE)
        if max(crops) > longest:
            raise ValueError(
                f"crop is {config.crop} s, which makes frames of {max(crops)} s, but the longest "
                f"utterance or noise has {longest:.1f} s: choose a shorter crop"
            )
        augmentation = Augmentation(bank, config.augmentation)
        return Feeder(
            self.corpus, crops, config.reference_crop, augmentation, config.seed, self.device
        )

    def _open_bank(self) -> Bank:
        """The corpus's own bank, or one made from it once and kept beside the runs."""
        if self.splits.bank is not None:
            return read_bank(self.splits.bank)
        options = json.dumps(self.config.corpus_options, sort_keys=True)
        made_from = options + "".join(self.corpus.keys)  # the bank's babble is their speech
        name = hashlib.sha256(made_from.encode()).hexdigest()[:12]
        file = files.home() / "banks" / f"{self.corpus.name}-{name}.safetensors".replace(" ", "-")
        with self.accelerator.main_process_first():
            return cached_bank(self.corpus, file)

    def _restore(self, parent: Path | None) -> None:
        own = checkpoints.find(self.folder / "checkpoint")
        source = own or parent
        if source is None:
            return
        optimizer = getattr(self.optimizer, "optimizer", self.optimizer)
        state, parts = checkpoints.load(source, self.framework, optimizer)
        if not own:
            return
        if state.get("corpus", self.corpus.fingerprint) != self.corpus.fingerprint:
            raise ValueError(
                f"the checkpoint of run {self.config.name} belongs to other utterances than the "
                f"corpus '{self.corpus.name}' holds now: bring its files back, or delete the run's "
                "folder, training then starts from the beginning"
            )
        self.epoch, self.metrics = state["epoch"], state["metrics"]
        rows = parts.get("progress", {})
        restore_norms(self.framework, rows)
        if self.bootstraps:
            self.reference_queue.load_state_dict(parts["reference_queue"])
            self.positive_queue.load_state_dict(parts["positive_queue"])
        if state.get("step", 0) > 0:  # within an epoch
            self.progress = Progress.restored(state["step"], state["seconds"], rows, self.device)
            if self.bootstraps:
                self.sampler.load_state_dict(parts.get("sampler", {}), self.reference_queue)
                self.observer.sums = own_sums(rows["observer"]).to(self.device)

    # -- the run --------------------------------------------------------------------------------

    def train(self) -> None:
        """Train what is left, with a checkpoint after each epoch and every `minutes` within.

        Raises:
            SystemExit, KeyboardInterrupt: SIGTERM or SIGINT came; a checkpoint was written.
            DivergedError: a loss or an embedding is not finite.
        """
        self.saved_at = time.perf_counter()
        with signals.noticed() as self.notice, tracking.tracked(self.accelerator, self.metrics):
            if self.bootstraps and self._at_the_start:
                self.fill_queues()
            while self.epoch < self.config.last_epoch:
                values = self.train_epoch(self.epoch)
                values.update(self.observe(self.epoch))
                self.epoch += 1
                self.progress = Progress()
                self.metrics.append({"epoch": self.epoch, **values})
                if self.accelerator.is_main_process:
                    collapse.warn(values, self.epoch)
                self._save()
                tracking.track(self.accelerator, self.metrics[-1])
                if any(self._together(self.notice.number is not None)):
                    raise self.notice.error(f"after epoch {self.epoch}")

    @property
    def _at_the_start(self) -> bool:
        return self.epoch == self.config.first_epoch and self.progress.step == 0

    def batches(self, epoch: int) -> list[np.ndarray]:
        """The global mini-batches of an epoch, each (B,); a last incomplete one is dropped."""
        order = draws.permutation(self.config.seed, epoch, len(self.corpus))
        size = self.config.batch_size
        return [order[b : b + size] for b in range(0, len(order) - size + 1, size)]

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the training utterances; returns the means of what was observed."""
        started = time.perf_counter() - self.progress.seconds
        self.framework.train()
        if self.bootstraps and self.progress.step == 0:
            # Algorithm 1
            generator = torch.Generator().manual_seed(self.config.seed + epoch)
            self.sampler.refresh(self.reference_queue, generator)
            self.positive_queue.restart()
            self.observer.reset()
        batches = self.batches(epoch)
        done, watch = self.progress, Watch()
        left = tqdm(
            batches[done.step :], f"epoch {epoch + 1}", len(batches), initial=done.step,
            disable=self._quiet, leave=False,
        )  # fmt: skip
        for index in left:
            self._schedule(epoch, done.step, len(batches))
            self._cut_ahead(epoch, batches, done.step + 1)
            observed = self.iteration(epoch, index)
            if watch.note(done.step, observed):
                self._check_finite(watch, epoch)
            done.add(observed)
            done.seconds = time.perf_counter() - started
            self._pause(watch, epoch, len(batches))
        self._check_finite(watch, epoch)
        done.seconds = time.perf_counter() - started  # the device has finished by now
        values = done.means()
        if self.bootstraps:
            values.update(self.observer.result())
        values["learning_rate"] = learning_rate(
            self.config, epoch + (len(batches) - 1) / len(batches)
        )
        values["seconds"] = done.seconds
        utterances = len(batches) * self.config.batch_size
        return values | {"utterances_per_second": utterances / done.seconds}

    def _cut_ahead(self, epoch: int, batches: list[np.ndarray], step: int) -> None:
        """Let idle cores cut the frames of a coming mini-batch while a GPU trains."""
        if self.device.type != "cpu" and step < len(batches):
            index = self._own_rows(batches[step])
            drawn = None
            if self.sampler.from_audio:
                drawn = self._drawn(self.sample(epoch, index), index)
            self.feeder.ahead(epoch, index, self.bootstraps, drawn)

    def iteration(self, epoch: int, batch: np.ndarray) -> dict[str, Tensor]:
        """Algorithm 2 on one global mini-batch `batch` (B,); returns what was observed."""
        framework = self.framework
        index = self._own_rows(batch)
        pos, served = self._positives(epoch, batch)
        drawn = self._drawn(pos, index) if self.sampler.from_audio else None
        own = to_device(index, self.device)
        with self.accelerator.autocast():
            views = self.feeder.views(epoch, index, drawn)
            z, z_pos = self.model(views, positive_gradient=not served)
            z_ssps = z_pos
            if self.bootstraps:
                rows = self.sampler.retrieve(pos, self.positive_queue)
                z_ssps = framework.substitute(z_pos, rows, to_device(pos >= 0, self.device))
            loss = framework.loss(z, z_ssps, self.labels[own])
        self._optimise(loss, epoch)
        z, z_ssps = z.detach(), z_ssps.detach()
        observed = {"loss": loss, **framework.monitors(z, z_ssps)}
        framework.after_step(z, z_ssps, z_pos.detach())
        if self.bootstraps:
            self.observer.update(own, to_device(pos, self.device))
            self._insert(batch, self.reference(epoch, index), framework.queued(z_pos))
        return observed

    def _positives(self, epoch: int, batch: np.ndarray) -> tuple[Tensor, bool]:
        """pos(i) of this process's rows, and whether Q' gives all positives of the global batch.

        Then view 2 needs no gradient in any process. (Where some rows do, the others have to go
        back with them: batch statistics make every row a function of all, see
        `tests/training/test_step.py`.) Where tables decide, each process draws for all of them
        and asks nobody.
        """
        if not self.bootstraps:
            return self.sample(epoch, self._own_rows(batch)), False
        if self.sampler.by_tables:
            pos = self.sample(epoch, batch)
            own = self._own_rows(np.arange(len(batch)))
            return pos[own[0] : own[-1] + 1], bool((pos >= 0).all())
        pos = self.sample(epoch, self._own_rows(batch))
        found = to_device((pos >= 0).float().mean(), self.device)
        return pos, float(all_reduce_mean(found)) == 1

    def sample(self, epoch: int, index: np.ndarray) -> Tensor:
        """pos(i) of each utterance (B,) on the CPU, -1 where it is empty."""
        uniform = self.feeder.choices(epoch, index)
        queue = self.positive_queue if self.bootstraps else None
        return self.sampler.sample(torch.from_numpy(index), queue, uniform)

    def _drawn(self, pos: Tensor, index: np.ndarray) -> np.ndarray:
        """The utterances (B,) that view 2 is cut from: pos(i), or i itself where it is empty."""
        return np.where(pos >= 0, pos, index)

    @torch.no_grad()
    def reference(self, epoch: int, index: np.ndarray) -> Tensor:
        """Reference representations (B, D_repr), of unit length, in eval mode (III-C1)."""
        encoder = self.framework.representation_encoder
        mode = encoder.training
        encoder.eval()
        with self.accelerator.autocast():
            y = encoder(self.feeder.reference(epoch, index))
        encoder.train(mode)
        return torch.nn.functional.normalize(y.float(), dim=1)

    @torch.no_grad()
    def fill_queues(self) -> None:
        """Fill both queues before the first SSPS epoch, with the weights of the SSL phase."""
        self.framework.eval()
        epoch = max(self.epoch - 1, 0)
        for step, batch in enumerate(self.batches(epoch)):
            if any(self._together(self.notice.number is not None, step=step)):
                raise self.notice.error("while the queues were filled")
            index = self._own_rows(batch)
            with self.accelerator.autocast():
                z_pos = self.framework.positive(self.feeder.views(epoch, index))
            self._insert(batch, self.reference(epoch, index), self.framework.queued(z_pos))

    def observe(self, epoch: int) -> dict[str, float]:
        """EER of the development speakers and, now and then, NMI of the training utterances."""
        values = {}
        if self.accelerator.is_main_process:
            encoder = self.framework.representation_encoder
            mode = self.framework.training
            self.framework.eval()
            embeddings = scorer.embed(encoder, self.splits.dev, self.device)
            trials = self.splits.dev_trials
            values["dev_eer"] = scorer.eer(scorer.score(embeddings, trials), trials.labels)
            last = epoch + 1 == self.config.last_epoch
            if last or (epoch + 1) % self.config.observe_every == 0:
                y = scorer.embed(encoder, self.corpus, self.device)
                values["nmi_ratio"] = self._nmi_ratio(y)
            self.framework.train(mode)
        self.accelerator.wait_for_everyone()
        return values

    def _nmi_ratio(self, y: Tensor) -> float:
        generator = torch.Generator().manual_seed(0)
        clusters = int(self.corpus.speakers.max()) + 1
        return analysis.nmi_ratio(
            y.to(self.device), self.corpus.speakers, self.corpus.recordings, clusters, generator
        )

    # -- details --------------------------------------------------------------------------------

    @property
    def _quiet(self) -> bool | None:
        return None if self.accelerator.is_main_process else True  # None: quiet without a terminal

    def _own_rows(self, batch: np.ndarray) -> np.ndarray:
        count = self.accelerator.num_processes
        return np.ascontiguousarray(np.array_split(batch, count)[self.accelerator.process_index])

    def _insert(self, batch: np.ndarray, y: Tensor, z_pos: Tensor) -> None:
        index = torch.from_numpy(batch)
        with torch.no_grad():
            self.reference_queue[index] = gather(y)
            self.positive_queue[index] = gather(z_pos.float())

    def _schedule(self, epoch: int, step: int, steps: int) -> None:
        now = epoch + step / steps
        rate = learning_rate(self.config, now)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.framework.before_step(epoch, now / self.config.schedule_end)

    def _optimise(self, loss: Tensor, epoch: int) -> None:
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.framework.after_backward(epoch)
        if self.config.clip_norm is not None:
            self.accelerator.clip_grad_norm_(self.framework.parameters(), self.config.clip_norm)
        self.optimizer.step()

    def _check_finite(self, watch: Watch, epoch: int) -> None:
        """DivergedError if an iteration since the last look was not finite."""
        found = watch.first_fault()
        if found is not None:
            step, what = found
            batch = self.batches(epoch)[step]
            raise DivergedError(what, epoch + 1, step + 1, batch, self._cause(epoch, batch))

    def _cause(self, epoch: int, batch: np.ndarray) -> str:
        """Why this mini-batch may have diverged: its frames are drawn once more."""
        index = self._own_rows(batch)
        views = self.feeder.views(epoch, index)
        sound = torch.stack([view.isfinite().all(dim=1).cpu() for view in views]).all(dim=0)
        if not sound.all():
            key = self.corpus.keys[index[int((~sound).nonzero()[0])]]
            return f"the frames of '{key}' are not finite, look at its audio and the augmentation"
        rate = self.config.learning_rate
        return f"lower the learning rate ({rate}) or clip the gradient (clip_norm)"

    def _pause(self, watch: Watch, epoch: int, steps: int) -> None:
        """Between two iterations: write a checkpoint if it is time, stop if a signal came."""
        done = self.progress
        due = time.perf_counter() - self.saved_at >= 60 * self.minutes and done.step < steps
        due, stop = self._together(due, self.notice.number is not None, step=done.step)
        if due or stop:
            self._check_finite(watch, epoch)
            self._checkpoint()
        if stop:
            raise self.notice.error(f"in epoch {epoch + 1} after step {done.step} of {steps}")

    def _together(self, *own: bool, step: int = 0) -> list[bool]:
        """What any process wants; several ask each other only now and then, by `TOGETHER`."""
        if self.accelerator.num_processes == 1:
            return list(own)
        self.unasked += 1
        if step > 0 and self.unasked < self.every:
            return [False] * len(own)
        now = time.perf_counter()
        told = torch.tensor([*own, now - self.asked_at], device=self.device)
        *wanted, passed = all_reduce_mean(told.float()).tolist()  # the same on all of them
        most, seconds = TOGETHER
        self.every = max(1, min(most, int(self.unasked * seconds / max(passed, 1e-3))))
        self.unasked, self.asked_at = 0, now
        return [share > 0 for share in wanted]

    def _save(self) -> None:
        """What an epoch leaves: its weights for the average, a checkpoint, the curves."""
        if self.accelerator.is_main_process:
            epochs = self.folder / "epochs"
            epochs.mkdir(parents=True, exist_ok=True)
            encoder = self.framework.representation_encoder
            save_encoder(encoder, epochs / f"{self.epoch:04d}.safetensors")
            for old in sorted(epochs.glob("*.safetensors"))[: -self.config.average_last]:
                old.unlink()
        self._checkpoint()
        if self.accelerator.is_main_process:
            lines = "".join(json.dumps(row) + "\n" for row in self.metrics)
            (self.folder / "metrics.jsonl").write_text(lines)
        self.accelerator.wait_for_everyone()

    def _checkpoint(self) -> None:
        """A checkpoint of this very position; every process takes part."""
        parts = self._parts()
        if self.accelerator.is_main_process:
            optimizer = getattr(self.optimizer, "optimizer", self.optimizer)
            state: dict[str, Any] = {"epoch": self.epoch, "step": self.progress.step}
            state |= {"seconds": self.progress.seconds, "metrics": self.metrics}
            state["corpus"] = self.corpus.fingerprint
            checkpoints.save(self.folder / "checkpoint", self.framework, optimizer, parts, state)
        self.accelerator.wait_for_everyone()
        self.saved_at = time.perf_counter()

    def _parts(self) -> dict[str, dict[str, Tensor]]:
        """Queues, and what a position within an epoch needs beside the weights."""
        parts, progress = {}, self.progress.rows()
        if self.accelerator.num_processes > 1 and not self.framework.synchronised_norms:
            progress |= norm_rows(self.framework)
        if self.bootstraps:
            parts["reference_queue"] = self.reference_queue.state_dict()
            parts["positive_queue"] = self.positive_queue.state_dict()
            if self.progress.step > 0:
                parts["sampler"] = self.sampler.state_dict()
                progress["observer"] = gather(self.observer.sums[None])
        parts["progress"] = progress
        return {name: tensors for name, tensors in parts.items() if tensors}
