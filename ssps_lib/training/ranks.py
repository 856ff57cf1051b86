"""Whether the processes that are here may train: refusals before anything is written."""

import os

import torch


class RefusedError(RuntimeError):
    """A run that cannot be trained here and now, through no fault of its configuration."""


def check_gpus(processes: int) -> None:
    """ValueError where GPUs are used and this machine has fewer than processes that train on it."""
    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    gpus = torch.cuda.device_count()
    if torch.cuda.is_available() and not on_cpu and processes > gpus:
        raise ValueError(
            f"{processes} processes were asked for, but this machine has {gpus} GPU(s): lower "
            "num_processes"
        )


def check_not_launched() -> None:
    """RefusedError in a process that `accelerate launch` started with others.

    Each of them would wait for the run that another one trains, and that one for them.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RefusedError(
            "this process is already one of several: run the chapter with plain papermill and "
            "`-p num_processes N`, which starts the ranks itself"
        )
