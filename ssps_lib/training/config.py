"""A run, described: every choice that changes its result, and nothing else."""

import functools
import hashlib
import json
import math
import re
from dataclasses import asdict, field, replace
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt

from ssps_lib import frameworks

if TYPE_CHECKING:  # mypy looks into no other package
    from dataclasses import dataclass
else:
    from pydantic.dataclasses import dataclass

VERSION = 1  # of the training semantics: raise it when the same config trains differently

LATER = {  # fields that came later, and their defaults: runs without them keep their names
    "schedule_epochs": None, "queue_precision": "no", "kmeans_precision": "no", "compiler": "no",
    "noises": "made", "reference_augmentation": False,
}  # fmt: skip
NEEDED = {  # by the positives
    "ssps-nn": ("window",),
    "ssps-clustering": ("clusters", "window"),
    "ssps-clustering-c": ("clusters", "window"),
}
INHERITED = ("framework", "encoder", "optimizer")  # from `start_from`


def _plain(options: dict) -> dict:
    """Options must survive JSON, which names the run and starts its processes."""
    try:
        json.dumps(options, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError("plain finite values that JSON can hold") from None
    return options


Name = Annotated[str, Field(min_length=1)]
Options = Annotated[dict[str, Any], AfterValidator(_plain)]


def in_a_sentence(cls):
    """Let a pydantic dataclass raise a ValueError of one line: field, value, what was expected."""
    checked = cls.__init__
    shown = [p.replace(annotation=p.empty) for p in signature(cls).parameters.values()]

    @functools.wraps(checked)
    def init(self, *arguments, **options) -> None:
        try:
            checked(self, *arguments, **options)
        except pydantic.ValidationError as error:
            raise ValueError(_sentence(error.errors()[0])) from None

    cls.__init__, cls.__signature__ = init, Signature(shown)  # without what pydantic reads
    return cls


def _sentence(found: Any) -> str:
    said = found.get("ctx", {}).get("error", found["msg"])
    if not found["loc"]:
        return str(said)
    name, *place = found["loc"]
    if found["type"] == "unexpected_keyword_argument":
        return f"a run has no option '{name}': check the spelling"
    said = re.sub("^(Input|String) should (be|have) ", "", str(said))
    where = f" (at {place[0]!r})" if place else ""
    return f"{name}{where} is {found['input']!r}, expected {said}"


@in_a_sentence
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

    __pydantic_config__: ClassVar = {"strict": True, "extra": "forbid", "allow_inf_nan": False}

    # data (IV-A, IV-B)
    corpus: Name = "simulated"  # or the path of a folder of recordings
    corpus_options: Options = field(default_factory=dict)
    crop: PositiveFloat = 2.0  # duration of a frame
    reference_crop: PositiveFloat = 4.0  # duration of the reference frame (III-C1)
    reference_augmentation: bool = False  # distorts it as the views are; the paper does not
    augmentation: Literal["none", "reverb+noise", "dino"] = "reverb+noise"
    noises: Literal["made", "bank"] = "made"  # from training speech, or packed with the corpus
    # model (II, IV-C)
    framework: Name = "simclr"
    framework_options: Options = field(default_factory=dict)
    encoder: Name = "ecapa_tdnn"
    encoder_options: Options = field(default_factory=dict)
    # positives (III, IV-D)
    positives: Name = "ssl"  # "supervised", "ssps-nn", "ssps-clustering", "ssps-clustering-c"
    clusters: PositiveInt | None = None  # K
    window: NonNegativeInt | None = None  # M
    candidates: Literal["queue", "cluster"] = "queue"  # members of a cluster that Q' holds, or all
    positive_queue: PositiveInt | None = None  # |Q'|, all N training utterances if None
    queue_precision: Literal["no", "fp16"] = "no"  # "fp16" halves the memory of both queues
    kmeans_precision: Literal["no", "bf16"] = "no"  # of the products of k-means
    # optimisation (IV-C)
    epochs: PositiveInt = 100  # of this run, beyond those of `start_from`
    batch_size: Annotated[int, Field(ge=2)] = 256  # over all processes
    optimizer: Literal["adam", "sgd"] = "adam"  # sgd with momentum 0.9
    learning_rate: PositiveFloat = 1e-3
    decay: PositiveFloat = 0.95  # factor every `decay_every` epochs
    decay_every: PositiveInt = 5
    warmup_epochs: NonNegativeInt = 0  # with `schedule="cosine"`
    schedule: Literal["step", "cosine"] = "step"  # cosine: down to `final_learning_rate`
    final_learning_rate: pydantic.NonNegativeFloat = 1e-5
    schedule_epochs: PositiveInt | None = None  # that cosines span; `last_epoch` if None
    weight_decay: pydantic.NonNegativeFloat = 0.0
    clip_norm: PositiveFloat | None = None  # global norm of the gradient
    precision: Literal["no", "bf16"] = "no"  # "bf16" for autocast
    compiler: Literal["no", "inductor"] = "no"  # lets torch.compile fuse the encoder's passes
    seed: NonNegativeInt = 1717
    # evaluation (IV-E)
    average_last: PositiveInt = 10  # epochs whose weights are averaged
    observe_every: PositiveInt = 1  # epochs between NMI observations of the training utterances
    # what came before
    start_from: "RunConfig | None" = None

    def __post_init__(self) -> None:
        for part in INHERITED:
            own, before = getattr(self, part), getattr(self.start_from or self, part)
            if own != before:
                raise ValueError(
                    f"{part} is '{own}' but start_from has '{before}': a run goes on with the "
                    "weights and the optimiser's state that it starts from"
                )
        if self.schedule_epochs is not None and self.schedule_epochs < self.last_epoch:
            raise ValueError(
                f"schedule_epochs is {self.schedule_epochs} but training goes on to epoch "
                f"{self.last_epoch}: let the schedule span at least the training"
            )
        kind, name = self.positives, self.framework
        for size in NEEDED.get(kind, ()):
            if getattr(self, size) is None:
                raise ValueError(
                    f"{size} is None but positives '{kind}' need it: give a number, or take the "
                    "paper's from recipes.recipe"
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

    @property
    def chain(self) -> "list[RunConfig]":
        """This run after all that it starts from, in the order in which they are trained."""
        return [*(self.start_from.chain if self.start_from is not None else []), self]

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
        """Twelve hexadecimal digits of the configuration (a corpus in files adds its content to
        the run's name, see `training.run_name`)."""
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
        return replace(self, **changes)


def with_seed(config: RunConfig, seed: int) -> RunConfig:
    """The same run, and the run that it starts from, with another seed."""
    parent = None if config.start_from is None else with_seed(config.start_from, seed)
    return config.with_(seed=seed, start_from=parent)


def from_dict(values: dict) -> RunConfig:
    """The inverse of `dataclasses.asdict`.

    Raises:
        ValueError: no dictionary, or what `RunConfig` refuses.
    """
    if not isinstance(values, dict):
        raise ValueError(f"a run is {values!r}, expected a dictionary of the fields of RunConfig")
    parent = values.get("start_from")
    return RunConfig(
        **values | {"start_from": from_dict(parent) if isinstance(parent, dict) else parent}
    )


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
