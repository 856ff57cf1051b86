"""The training loop: Algorithm 1 at the start of an epoch, Algorithm 2 in each iteration."""

import hashlib
import json
import math
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor
from tqdm import tqdm

from ssps_lib import analysis, draws, encoders, frameworks, paths, positives, scorer
from ssps_lib.augmentation import Augmentation, Bank, cached_bank
from ssps_lib.corpora import SAMPLE_RATE, Corpus, Splits, open_corpus
from ssps_lib.distributed import all_reduce_mean, gather, synchronise_norms
from ssps_lib.encoders.checkpoints import save_encoder
from ssps_lib.frameworks import collapse
from ssps_lib.training import checkpoints
from ssps_lib.training.config import RunConfig
from ssps_lib.training.feeder import Feeder

PATIENCE = timedelta(hours=6)  # of the other processes while the main one embeds and scores


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


def with_options(build: Callable, name: str, *arguments, **options):
    """`build(name, *arguments, **options)`; ValueError for an option that `name` does not have."""
    try:
        return build(name, *arguments, **options)
    except TypeError as error:
        raise ValueError(f"'{name}' cannot have the options {options}: {error}") from error


class Trainer:
    """One run: a framework, a positive sampler, two memory queues and an optimiser.

    Args:
        config: what to train.
        folder: where checkpoints, metrics and epoch weights are written.
        parent: the finished checkpoint of `config.start_from`.
        processes: how many train together, as a check on the launcher.

    Raises:
        RuntimeError: the number of processes differs from the one asked for.
        ValueError: the corpus, batch, clusters and window do not fit each other.
    """

    def __init__(
        self, config: RunConfig, folder: Path, parent: Path | None = None, processes: int = 1
    ) -> None:
        self.config, self.folder = config, folder
        self.accelerator = Accelerator(
            mixed_precision=config.precision,
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
        self.epoch, self.metrics = config.first_epoch, []
        self._restore(parent)

    # -- construction ---------------------------------------------------------------------------

    def _check_processes(self, expected: int) -> None:
        found, batch = self.accelerator.num_processes, self.config.batch_size
        if found != expected:
            raise RuntimeError(
                f"{found} process(es) found each other where {expected} were asked for: start "
                "training with `accelerate launch` (and ACCELERATE_USE_CPU=true without a GPU)"
            )
        if batch % found or batch // found < 2:
            raise ValueError(
                f"batch_size is {batch}, a multiple of {found} processes and at least 2 "
                "utterances for each of them are needed: choose another batch"
            )

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
        groups = self.framework.parameter_groups(config.weight_decay)
        if config.optimizer == "adam":
            optimizer = torch.optim.Adam(groups, lr=config.learning_rate)
        else:
            optimizer = torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9)
        self.framework.to(self.device)
        self.model, self.optimizer = self.accelerator.prepare(self.framework, optimizer)

    def _build_positives(self) -> None:
        config, n = self.config, len(self.corpus)
        self.sampler = self._build_sampler()
        self.bootstraps = config.positives.startswith("ssps")
        if not self.bootstraps:
            return
        encoder = self.framework.representation_encoder
        self.reference_queue = positives.Queue(n, (encoder.dim,), device=self.device)
        self.positive_queue = positives.Queue(
            n, self.framework.embedding_shape, size=config.positive_queue, device=self.device
        )
        self.observer = analysis.PositiveObserver(self.corpus.speakers, self.corpus.recordings)

    def _build_sampler(self) -> positives.PositiveSampler:
        config, kind = self.config, self.config.positives
        options = {}
        if kind == "supervised":
            options = {"speakers": self.corpus.speakers, "recordings": self.corpus.recordings}
        elif kind == "ssps-nn":
            options = {"window": config.window}
        elif kind.startswith("ssps-clustering"):
            options = {"clusters": config.clusters, "window": config.window}
            options["candidates"] = config.candidates
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
        """The generated bank of this corpus, made once and kept beside the runs."""
        name = hashlib.sha256("".join(self.corpus.keys).encode()).hexdigest()[:12]
        file = paths.home() / "banks" / f"{self.corpus.name}-{name}.safetensors".replace(" ", "-")
        with self.accelerator.main_process_first():
            return cached_bank(self.corpus, file)

    def _restore(self, parent: Path | None) -> None:
        own = checkpoints.find(self.folder / "checkpoint")
        source = own or parent
        if source is None:
            return
        optimizer = getattr(self.optimizer, "optimizer", self.optimizer)
        state, queues = checkpoints.load(source, self.framework, optimizer)
        if own:
            self.epoch, self.metrics = state["epoch"], state["metrics"]
            if self.bootstraps:
                self.reference_queue.load_state_dict(queues["reference_queue"])
                self.positive_queue.load_state_dict(queues["positive_queue"])

    # -- the run --------------------------------------------------------------------------------

    def train(self) -> None:
        """Train the epochs that are left, with a checkpoint after each."""
        if self.bootstraps and self.epoch == self.config.first_epoch:
            self.fill_queues()
        while self.epoch < self.config.last_epoch:
            started = time.perf_counter()
            values = self.train_epoch(self.epoch)
            seconds = time.perf_counter() - started
            values["seconds"] = seconds
            values["utterances_per_second"] = values.pop("utterances") / seconds
            values.update(self.observe(self.epoch))
            self.epoch += 1
            self.metrics.append({"epoch": self.epoch, **values})
            if self.accelerator.is_main_process:
                collapse.warn(values, self.epoch)
            self._save()

    def batches(self, epoch: int) -> list[np.ndarray]:
        """The global mini-batches of an epoch, each (B,); a last incomplete one is dropped."""
        order = draws.permutation(self.config.seed, epoch, len(self.corpus))
        size = self.config.batch_size
        return [order[b : b + size] for b in range(0, len(order) - size + 1, size)]

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the training utterances; returns the means of what was observed."""
        self.framework.train()
        if self.bootstraps:
            # Algorithm 1
            generator = torch.Generator().manual_seed(self.config.seed + epoch)
            self.sampler.refresh(self.reference_queue, generator)
            self.positive_queue.restart()
            self.observer.reset()
        batches = self.batches(epoch)
        totals: dict[str, Tensor] = {}
        progress = tqdm(batches, f"epoch {epoch + 1}", disable=self._quiet, leave=False)
        for step, index in enumerate(progress):
            self._schedule(epoch, step, len(batches))
            for name, value in self.iteration(epoch, index).items():
                totals[name] = totals.get(name, 0.0) + value.detach().float()
            if step % 50 == 49:
                self._check_finite(totals["loss"], epoch, step)
        self._check_finite(totals["loss"], epoch, len(batches))
        means = all_reduce_mean(torch.stack(list(totals.values()))) / len(batches)
        values = dict(zip(totals, means.tolist(), strict=True))
        if self.bootstraps:
            values.update(self.observer.result())
        values["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        return values | {"utterances": len(batches) * self.config.batch_size}

    def iteration(self, epoch: int, batch: np.ndarray) -> dict[str, Tensor]:
        """Algorithm 2 on one global mini-batch `batch` (B,); returns what was observed."""
        framework = self.framework
        index = self._own_rows(batch)
        pos = self.sample(epoch, index)
        drawn = None
        if self.sampler.from_audio:
            drawn = np.where(pos.cpu() >= 0, pos.cpu(), index)
        with self.accelerator.autocast():
            views = self.feeder.views(epoch, index, drawn)
            z, z_pos = self.model(views, positive_gradient=not self._all_found(pos))
            z_ssps = z_pos
            if self.bootstraps:
                rows = self.sampler.retrieve(pos, self.positive_queue)
                z_ssps = framework.substitute(z_pos, rows, pos >= 0)
            loss = framework.loss(z, z_ssps, self.labels[torch.from_numpy(index).to(self.device)])
        self._optimise(loss, epoch)
        z, z_ssps = z.detach(), z_ssps.detach()
        observed = {"loss": loss, **framework.monitors(z, z_ssps)}
        framework.after_step(z, z_ssps, z_pos.detach())
        if self.bootstraps:
            self.observer.update(torch.from_numpy(index).to(self.device), pos)
            self._insert(batch, self.reference(epoch, index), framework.queued(z_pos))
        return observed

    def _all_found(self, pos: Tensor) -> bool:
        """Whether Q' gives all positives of the global batch, so that view 2 needs no gradient."""
        return self.bootstraps and float(all_reduce_mean((pos >= 0).float().mean())) == 1

    def sample(self, epoch: int, index: np.ndarray) -> Tensor:
        """pos(i) of each utterance (B,), -1 where it is empty."""
        rows = torch.from_numpy(index).to(self.device)
        uniform = self.feeder.choices(epoch, index).to(self.device)
        queue = self.positive_queue if self.bootstraps else None
        return self.sampler.sample(rows, queue, uniform)

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
        for batch in self.batches(epoch):
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
        index = torch.from_numpy(batch).to(self.device)
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

    def _check_finite(self, total: Tensor, epoch: int, step: int) -> None:
        if not torch.isfinite(total):
            raise FloatingPointError(
                f"the loss became {float(total)} in epoch {epoch + 1} before step {step + 1}: "
                f"lower the learning rate ({self.config.learning_rate}) or look for broken audio; "
                "the last good checkpoint is kept"
            )

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            epochs = self.folder / "epochs"
            epochs.mkdir(parents=True, exist_ok=True)
            encoder = self.framework.representation_encoder
            save_encoder(encoder, epochs / f"{self.epoch:04d}.safetensors")
            for old in sorted(epochs.glob("*.safetensors"))[: -self.config.average_last]:
                old.unlink()
            queues = {}
            if self.bootstraps:
                queues["reference_queue"] = self.reference_queue.state_dict()
                queues["positive_queue"] = self.positive_queue.state_dict()
            optimizer = getattr(self.optimizer, "optimizer", self.optimizer)
            state = {"epoch": self.epoch, "metrics": self.metrics}
            checkpoints.save(self.folder / "checkpoint", self.framework, optimizer, queues, state)
            lines = "".join(json.dumps(row) + "\n" for row in self.metrics)
            (self.folder / "metrics.jsonl").write_text(lines)
        self.accelerator.wait_for_everyone()
