"""A run, described: every choice that changes its result, and nothing else."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from ssps_lib import frameworks
from ssps_lib.training.fields import check

VERSION = 1  # of the training semantics: raise it when the same config trains differently

LATER = {  # fields that came later, and their defaults: runs without them keep their names
    "schedule_epochs": None, "queue_precision": "no", "kmeans_precision": "no", "compiler": "no",
}  # fmt: skip
NEEDED = {  # by the positives
    "ssps-nn": ("window",),
    "ssps-clustering": ("clusters", "window"),
    "ssps-clustering-c": ("clusters", "window"),
}


@dataclass(frozen=True)
class RunConfig:
    """All hyper-parameters of one run (Section IV). Durations in seconds, sizes in utterances.

    A run with positives other than "ssl" usually continues a finished SSL run (`start_from`), as in
    Section IV-D: weights, optimiser state and the number of epochs carry on.

    Raises:
        ValueError: a value out of range, or positives that the framework cannot use: SSPS without
            its K and M, centroids of representations behind a projector, any for the supervised
            framework.
    """

    # data (IV-A, IV-B)
    corpus: str = "simulated"  # or the path of a folder of recordings
    corpus_options: dict = field(default_factory=dict)
    crop: float = 2.0  # duration of a frame
    reference_crop: float = 4.0  # duration of the reference frame (III-C1)
    augmentation: str = "reverb+noise"  # "none", "reverb+noise" or "dino"
    # model (II, IV-C)
    framework: str = "simclr"
    framework_options: dict = field(default_factory=dict)
    encoder: str = "ecapa_tdnn"
    encoder_options: dict = field(default_factory=dict)
    # positives (III, IV-D)
    positives: str = "ssl"  # "supervised", "ssps-nn", "ssps-clustering", "ssps-clustering-c"
    clusters: int | None = None  # K
    window: int | None = None  # M
    candidates: str = "queue"  # pos(i) among the queue's members of a cluster, or all: "cluster"
    positive_queue: int | None = None  # |Q'|, all N training utterances if None
    queue_precision: str = "no"  # "fp16" halves the memory of both queues
    kmeans_precision: str = "no"  # "bf16" for the products of k-means
    # optimisation (IV-C)
    epochs: int = 100  # of this run, beyond those of `start_from`
    batch_size: int = 256  # over all processes
    optimizer: str = "adam"  # or "sgd" (momentum 0.9)
    learning_rate: float = 1e-3
    decay: float = 0.95  # factor every `decay_every` epochs
    decay_every: int = 5
    warmup_epochs: int = 0  # with `schedule="cosine"`
    schedule: str = "step"  # or "cosine", from the learning rate to `final_learning_rate`
    final_learning_rate: float = 1e-5
    schedule_epochs: int | None = None  # that cosines span, to be cut short; `last_epoch` if None
    weight_decay: float = 0.0
    clip_norm: float | None = None  # global norm of the gradient
    precision: str = "no"  # "bf16" for autocast
    compiler: str = "no"  # "inductor" lets torch.compile fuse the encoder's training passes
    seed: int = 1717
    # evaluation (IV-E)
    average_last: int = 10  # epochs whose weights are averaged
    observe_every: int = 1  # epochs between NMI observations of the training utterances
    # what came before
    start_from: "RunConfig | None" = None

    def __post_init__(self) -> None:
        check({f.name: getattr(self, f.name) for f in fields(self)})
        self._check_parent()
        if self.clusters is not None and self.window is not None and self.window >= self.clusters:
            raise ValueError(
                f"window M = {self.window} is not below the number of clusters K = "
                f"{self.clusters}: a cluster has K - 1 neighbours"
            )
        if self.schedule_epochs is not None and self.schedule_epochs < self.last_epoch:
            raise ValueError(
                f"schedule_epochs is {self.schedule_epochs} but training goes on to epoch "
                f"{self.last_epoch}: let the schedule span at least the training"
            )
        self._check_positives()

    def _check_parent(self) -> None:
        parent = self.start_from
        if parent is None:
            return
        if not isinstance(parent, RunConfig):
            raise ValueError(f"start_from is {parent!r}, expected a RunConfig, or None")
        for name in ("framework", "encoder"):
            if getattr(parent, name) != getattr(self, name):
                raise ValueError(
                    f"{name} is '{getattr(self, name)}' but start_from has "
                    f"'{getattr(parent, name)}': a run continues with the weights it starts from"
                )

    def _check_positives(self) -> None:
        kind, name = self.positives, self.framework
        for field_name in NEEDED.get(kind, ()):
            if getattr(self, field_name) is None:
                raise ValueError(
                    f"{field_name} is None but positives '{kind}' need it: give a number, or take "
                    "the paper's from recipes.recipe"
                )
        if name == "supervised" and kind != "ssl":
            raise ValueError(
                f"positives '{kind}' were asked of the supervised framework, which has none: "
                "leave positives at 'ssl', or choose a self-supervised framework"
            )
        known = frameworks.FRAMEWORKS.get(name)
        if kind == "ssps-clustering-c" and known is not None and known.has_projector:
            raise ValueError(
                f"positives '{kind}' were asked of '{name}', whose projector makes embeddings from "
                "representations: the centroid of a cluster is a representation and replaces an "
                "embedding only in SimCLR and MoCo"
            )

    @property
    def first_epoch(self) -> int:
        """Epochs that `start_from` has already trained."""
        return 0 if self.start_from is None else self.start_from.last_epoch

    @property
    def last_epoch(self) -> int:
        """Number of epochs the weights have seen when this run is complete."""
        return self.first_epoch + self.epochs

    @property
    def schedule_end(self) -> int:
        """Epoch at which the cosines of learning rate and momentum end."""
        return self.schedule_epochs or self.last_epoch

    def to_dict(self) -> dict:
        """Plain values; the corpus by its name, so that a config names no path of a machine."""
        values = asdict(self)
        values["corpus"] = Path(self.corpus).name
        for name, default in LATER.items():
            if values[name] == default:
                del values[name]
        values["start_from"] = None if self.start_from is None else self.start_from.to_dict()
        return values

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that name the run."""
        text = json.dumps([VERSION, self.to_dict()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """A readable name of the run's folder and record."""
        return f"{self.framework}-{self.positives}-{self.hash}"

    def with_(self, **changes) -> "RunConfig":
        """A copy with some fields changed.

        >>> RunConfig().with_(seed=2).seed
        2
        """
        _check_names(changes)
        return replace(self, **changes)


def _check_names(values: dict) -> None:
    known = {f.name for f in fields(RunConfig)}
    unknown = sorted(str(name) for name in values if name not in known)
    if unknown:
        raise ValueError(f"a run has no option '{unknown[0]}': check the spelling")


def with_seed(config: RunConfig, seed: int) -> RunConfig:
    """The same run, and the run that it starts from, with another seed."""
    if not isinstance(config, RunConfig):
        raise ValueError(f"the run to seed is {config!r:.60}, expected a RunConfig")
    parent = None if config.start_from is None else with_seed(config.start_from, seed)
    return config.with_(seed=seed, start_from=parent)


def from_dict(values: dict) -> RunConfig:
    """The inverse of `dataclasses.asdict`.

    Raises:
        ValueError: a key that `RunConfig` does not know, or what `RunConfig` refuses.
    """
    if not isinstance(values, dict):
        raise ValueError(f"a run is {values!r}, expected a dictionary of the fields of RunConfig")
    _check_names(values)
    parent = values.get("start_from")
    start_from = from_dict(parent) if isinstance(parent, dict) else parent
    return RunConfig(**{**values, "start_from": start_from})
