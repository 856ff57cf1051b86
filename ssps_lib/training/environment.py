"""What the environment asks of a training: no result depends on it, so no `RunConfig` has it."""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import torch
from accelerate.utils import parse_flag_from_env
from pydantic import Field

from ssps_lib.training.config import dataclass, in_a_sentence


@in_a_sentence
@dataclass(frozen=True)
class Environment:
    """The variables that training reads, of all that there are."""

    # minutes between checkpoints within an epoch, 0 for one after each step
    minutes: Annotated[float, Field(ge=0, alias="SSPS_CHECKPOINT_MINUTES")] = 30.0
    # deterministic operations on a GPU, which are slower
    deterministic: Annotated[bool, Field(alias="SSPS_DETERMINISTIC")] = False
    # draws the curves while a run trains
    tracker: Annotated[Literal["tensorboard"] | None, Field(alias="SSPS_TRACKER")] = None


def environment() -> Environment:
    """The variables as they are set now.

    Raises:
        ValueError: one of them has no value that is known.
        ModuleNotFoundError: the package of `$SSPS_TRACKER` is not installed.
    """
    given: Any = {name: value for name, value in os.environ.items() if value}
    found = Environment(**given)
    if found.tracker and importlib.util.find_spec(found.tracker) is None:
        raise ModuleNotFoundError(
            f"SSPS_TRACKER is '{found.tracker}', whose package is not installed: pip install "
            f"{found.tracker}, or unset SSPS_TRACKER",
            name=found.tracker,
        )
    return found


def on_gpu() -> bool:
    """Whether training uses GPUs: where there are any, unless ACCELERATE_USE_CPU is true."""
    return torch.cuda.is_available() and not parse_flag_from_env("ACCELERATE_USE_CPU")


@contextmanager
def repeatable() -> Iterator[None]:
    """Use deterministic operations inside the block where `$SSPS_DETERMINISTIC` asks for them.

    On the CPU every run is repeatable to the bit anyway. On a GPU some sums are taken in another
    order each time; with this they are not. PyTorch warns of an operation that has no deterministic
    form.
    """
    before = torch.are_deterministic_algorithms_enabled()
    if environment().deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
