"""From a configuration to the parts of its run."""

import hashlib
import json
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor, nn

from ssps_lib import encoders, files, frameworks, positives
from ssps_lib.analysis import PositiveObserver
from ssps_lib.augmentation import Augmentation, Bank, read_bank
from ssps_lib.corpora import SAMPLE_RATE, Splits, open_corpus
from ssps_lib.devices import keep_freed_memory
from ssps_lib.distributed import all_reduce_mean
from ssps_lib.files import RefusedError
from ssps_lib.frameworks import Framework
from ssps_lib.noises import cached_bank
from ssps_lib.norms import synchronise_norms
from ssps_lib.training.config import RunConfig
from ssps_lib.training.data import Data
from ssps_lib.training.environment import environment
from ssps_lib.training.ssps import SSL, SSPS

PATIENCE = timedelta(hours=6)  # of the other processes while the main one embeds and scores


@dataclass
class Position:
    """What a run has done. Frames and choices are draws by (seed, epoch, training index), so that
    beside two numbers an epoch has only sums of what was observed.

    Attributes:
        epoch: epochs done, of this run and those before it.
        metrics: a row for each epoch of this run.
        step, seconds: iterations of the current epoch, and time they took.
        totals: sums over them of what was observed, 0-d float32 on the device.
    """

    epoch: int
    metrics: list[dict[str, float | None]] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    totals: dict[str, Tensor] = field(default_factory=dict)

    def add(self, observed: dict[str, Tensor]) -> None:
        """One more iteration."""
        for name, value in observed.items():
            self.totals[name] = self.totals.get(name, 0.0) + value.detach().float()
        self.step += 1

    def means(self) -> dict[str, float]:
        """Means over the iterations of the epoch and the processes."""
        means = all_reduce_mean(torch.stack(list(self.totals.values()))) / self.step
        return dict(zip(self.totals, means.tolist(), strict=True))

    def next_epoch(self, row: dict[str, float | None]) -> None:
        """The epoch is over; `row` is what it gave."""
        self.epoch += 1
        self.metrics.append({"epoch": self.epoch, **row})
        self.step, self.seconds, self.totals = 0, 0.0, {}


@dataclass
class Parts:
    """What a run consists of.

    Attributes:
        model: the framework, wrapped for several processes.
        ssps: queues and sampler, or `SSL`.
        data: mini-batches of the training corpus.
        position: what has been done.
        saved: when the last checkpoint was written, by `time.perf_counter`.
    """

    config: RunConfig
    folder: Path
    accelerator: Accelerator
    splits: Splits
    framework: Framework
    model: nn.Module
    optimizer: torch.optim.Optimizer
    ssps: SSL
    data: Data
    position: Position
    saved: float = field(default_factory=time.perf_counter)

    @property
    def device(self) -> torch.device:
        return self.accelerator.device


def build(config: RunConfig, folder: Path, processes: int = 1) -> Parts:
    """The parts of a run that has not begun; `processes` train together, and write to `folder`.

    Raises:
        RefusedError: the number of processes differs from the one asked for.
        ValueError: noises that are shorter than the frames; unknown parts and options. What does
            not fit the corpus is refused by `check`.
    """
    keep_freed_memory()
    accelerator = build_accelerator(config, folder, processes)
    device = accelerator.device
    with accelerator.main_process_first():
        splits = open_splits(config, device)
        bank = open_bank(config, splits)
    torch.manual_seed(config.seed)
    framework = build_framework(config, splits)
    if bank is not None:
        check_crops(config, framework, bank.noises.shape[1])
    if processes > 1 and framework.synchronised_norms:
        synchronise_norms(framework)
    if config.compiler != "no":
        compile_training(framework.encoder, config.compiler)
    optimizer = build_optimizer(config, framework.to(device))
    model, optimizer = accelerator.prepare(framework, optimizer)
    sampler, bootstraps = build_sampler(config, splits), config.positives.startswith("ssps")
    data = Data(
        splits.train,
        tuple(config.crop * ratio for ratio in framework.crops),
        config.reference_crop if bootstraps else None,
        Augmentation(bank and bank.to(device), config.augmentation),
        config.batch_size,
        config.seed,
        device,
        sampler if sampler.from_audio else None,
        config.reference_augmentation,
    )
    return Parts(
        config, folder, accelerator, splits, framework, model, optimizer,
        build_ssps(config, splits, framework, sampler, accelerator) if bootstraps else SSL(),
        data, Position(config.first_epoch),
    )  # fmt: skip


def check(config: RunConfig, splits: Splits) -> None:
    """Refuse what does not fit the corpus, before anything is trained.

    Raises:
        ValueError: a batch, crop, K, M or queue that is larger than the corpus; labels that give no
            positive; a noise bank that is not there; unknown parts and options.
    """
    corpus, kind = splits.train, config.positives
    n = len(corpus)
    held = n - n % config.batch_size  # by Q-hat: the last incomplete mini-batch is left out
    where = f"the corpus '{corpus.name}' has {n} training utterances"
    whole = where if held == n else f"{where}, {held} in complete batches of {config.batch_size}"
    if config.batch_size > n:
        raise ValueError(f"batch_size is {config.batch_size} but {where}: choose a smaller batch")
    if kind.startswith("ssps-clustering") and config.clusters > held:
        raise ValueError(f"K is {config.clusters} clusters but {whole}: lower K")
    if kind == "ssps-nn" and config.window >= held:
        raise ValueError(f"M is {config.window} neighbours but {whole}: lower M")
    if config.positive_queue is not None and config.positive_queue > n:
        raise ValueError(f"positive_queue is {config.positive_queue} but {where}: lower it")
    if kind == "supervised" and corpus.speakers.max() == corpus.recordings.max():
        raise ValueError(
            f"positives 'supervised' come from other recordings of a speaker, but each training "
            f"speaker of the corpus '{corpus.name}' has one: choose other positives"
        )
    if config.augmentation != "none" and config.noises == "bank" and splits.bank is None:
        raise ValueError(
            f"noises is 'bank' but the corpus '{config.corpus}' was packed without MUSAN and room "
            "responses: pack it with them, or take noises='made', generated from training speech"
        )
    build_sampler(config, splits)
    check_crops(config, build_framework(config, splits), corpus.lengths.max())


def check_crops(config: RunConfig, framework: Framework, samples: int) -> None:
    """ValueError where a frame is longer than the longest utterance, or than the noises."""
    frames = {"crop": (config.crop, max(framework.crops) * config.crop)}
    if config.reference_augmentation:
        frames["reference_crop"] = (config.reference_crop,) * 2
    for name, (seconds, longest) in frames.items():
        if longest > samples / SAMPLE_RATE:
            raise ValueError(
                f"{name} is {seconds} s, which makes frames of {longest} s, but the longest "
                f"utterance or noise has {samples / SAMPLE_RATE:.1f} s: choose a shorter {name}"
            )


def build_accelerator(config: RunConfig, folder: Path, processes: int) -> Accelerator:
    """The processes that found each other, as many as were asked for."""
    accelerator = Accelerator(
        mixed_precision=config.precision,
        log_with=environment().tracker,
        project_dir=folder,
        kwargs_handlers=[
            DistributedDataParallelKwargs(broadcast_buffers=False),
            InitProcessGroupKwargs(timeout=PATIENCE),
        ],
    )
    if accelerator.num_processes != processes:
        raise RefusedError(
            f"{accelerator.num_processes} process(es) found each other where {processes} were "
            "asked for: start training with `accelerate launch` (and ACCELERATE_USE_CPU=true "
            "without a GPU)"
        )
    return accelerator


def open_splits(config: RunConfig, device: torch.device | str = "cpu") -> Splits:
    """The corpus of a run."""
    return open_corpus(config.corpus, str(device), **config.corpus_options)


def open_bank(config: RunConfig, splits: Splits) -> Bank | None:
    """The corpus's own noises and rooms, or some made from it once and kept beside the runs."""
    if config.augmentation == "none":
        return None
    if config.noises == "bank":
        return read_bank(splits.bank)
    options = json.dumps(config.corpus_options, sort_keys=True)
    made_from = options + "".join(splits.train.keys)  # the bank's babble is their speech
    name = f"{splits.train.name}-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}.safetensors"
    return cached_bank(splits.train, files.home() / "banks" / name.replace(" ", "-"))


def build_framework(config: RunConfig, splits: Splits) -> Framework:
    """The framework around its encoder, with fresh weights."""
    options = dict(config.framework_options)
    if config.framework == "supervised":
        options["classes"] = int(splits.train.speakers.max()) + 1
    encoder = encoders.build(config.encoder, **config.encoder_options)
    return frameworks.build(config.framework, encoder, **options)


def build_optimizer(config: RunConfig, framework: Framework) -> torch.optim.Optimizer:
    """Adam or SGD over the trained parameters (IV-C)."""
    groups = framework.parameter_groups(config.weight_decay)
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, lr=config.learning_rate, fused=True)
    # PyTorch's fused SGD fails where a layer was frozen first, as DINO's last one
    return torch.optim.SGD(groups, config.learning_rate, momentum=0.9)


def compile_training(encoder: nn.Module, backend: str) -> None:
    """Let `torch.compile` fuse the passes of an encoder that trains, from features on.

    Frames have few lengths then, each of which is compiled once. Evaluation, whose utterances have
    any length, is left alone, and so is a teacher.
    """
    eager = encoder.represent
    fused = torch.compile(eager, backend=backend, dynamic=False)
    encoder.represent = lambda features: (fused if encoder.training else eager)(features)


def build_sampler(config: RunConfig, splits: Splits) -> positives.PositiveSampler:
    """The positive sampler; only the supervised one is given labels."""
    options: dict[str, Any] = {}
    if config.positives == "supervised":
        options = {"speakers": splits.train.speakers, "recordings": splits.train.recordings}
    elif config.positives == "ssps-nn":
        options = {"window": config.window}
    elif config.positives.startswith("ssps-clustering"):
        dtype = torch.bfloat16 if config.kmeans_precision == "bf16" else torch.float32
        names = ("clusters", "window", "candidates")
        options = {"dtype": dtype, **{name: getattr(config, name) for name in names}}
    return positives.build(config.positives, **options)


def build_ssps(
    config: RunConfig,
    splits: Splits,
    framework: Framework,
    sampler: positives.PositiveSampler,
    accelerator: Accelerator,
) -> SSPS:
    """Empty queues Q-hat (N rows) and Q' around a sampler."""
    corpus, device = splits.train, accelerator.device
    n, dim = len(corpus), framework.representation_encoder.dim
    dtype = torch.float16 if config.queue_precision == "fp16" else torch.float32
    return SSPS(
        framework,
        sampler,
        positives.Queue(n, (dim,), None, dtype, device),
        positives.Queue(n, framework.embedding_shape, config.positive_queue, dtype, device),
        PositiveObserver(corpus.speakers, corpus.recordings),
        accelerator.autocast,
    )
