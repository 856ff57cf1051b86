"""Which values the fields of a `RunConfig` may have, each looked at on its own."""

import json
import math
from collections.abc import Mapping
from typing import Any

from ssps_lib.augmentation import POLICIES

WHOLE = {  # the least whole number of each
    "epochs": 1, "batch_size": 2, "average_last": 1, "observe_every": 1, "decay_every": 1,
    "warmup_epochs": 0, "seed": 0, "clusters": 1, "window": 0, "positive_queue": 1,
    "schedule_epochs": 1,
}  # fmt: skip
POSITIVE = ("crop", "reference_crop", "learning_rate", "decay", "clip_norm")
NOT_NEGATIVE = ("final_learning_rate", "weight_decay")
OPTIONAL = ("clusters", "window", "positive_queue", "schedule_epochs", "clip_norm")  # may be None
CHOICES = {
    "augmentation": POLICIES,
    "optimizer": ("adam", "sgd"),
    "schedule": ("step", "cosine"),
    "precision": ("no", "bf16"),
    "queue_precision": ("no", "fp16"),
    "kmeans_precision": ("no", "bf16"),
    "compiler": ("no", "inductor"),
    "candidates": ("queue", "cluster"),
}
NAMES = ("framework", "encoder", "positives")
OPTIONS = ("corpus_options", "framework_options", "encoder_options")


def check(values: Mapping[str, object]) -> None:
    """ValueError, by name, for the first value that its field cannot have.

    >>> check({"epochs": 0})
    Traceback (most recent call last):
    ValueError: epochs is 0, at least 1 is needed
    """
    for name, value in values.items():
        if value is not None or name not in OPTIONAL:
            _check_number(name, value)
        if name in CHOICES and value not in CHOICES[name]:
            raise ValueError(f"{name} '{value}' is unknown; choose one of {CHOICES[name]}")
        if name in NAMES and not isinstance(value, str):
            raise ValueError(f"{name} is {value!r}, a name as text is needed")
        if name in OPTIONS:
            _check_options(name, value)
    if not (isinstance(values.get("corpus", "simulated"), str) and values.get("corpus", "?")):
        raise ValueError(
            f"corpus is {values['corpus']!r}, expected 'simulated' or the path of a folder as text"
        )


def _check_number(name: str, value: Any) -> None:
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    if name in WHOLE:
        if not isinstance(value, int) or not plain:
            raise ValueError(f"{name} is {value!r}, a whole number is needed")
        if value < WHOLE[name]:
            raise ValueError(f"{name} is {value}, at least {WHOLE[name]} is needed")
    elif name in POSITIVE and not (plain and value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} is {value!r}, a positive number is needed")
    elif name in NOT_NEGATIVE and not (plain and value >= 0 and math.isfinite(value)):
        raise ValueError(f"{name} is {value!r}, a number of 0 or more is needed")


def _check_options(name: str, value: object) -> None:
    """Options must survive JSON, which names the run and starts its processes."""
    plain = isinstance(value, dict) and all(isinstance(key, str) for key in value)
    try:
        plain = plain and bool(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        plain = False
    if not plain:
        raise ValueError(
            f"{name} is {value!r}, a dictionary of options by name is needed, with plain finite "
            "values that JSON can hold"
        )


def check_batch(batch_size: int, processes: int) -> None:
    """ValueError unless the batch can be shared out evenly, with 2 utterances at least for each."""
    if not isinstance(processes, int) or processes < 1:
        raise ValueError(f"num_processes is {processes!r}, at least 1 is needed")
    if batch_size % processes or batch_size // processes < 2:
        raise ValueError(
            f"batch_size is {batch_size}, a multiple of {processes} processes and at least 2 "
            "utterances for each of them are needed: choose another batch"
        )
