"""Whether the processes that are here may train: refusals before anything is written."""

import os

import torch


class RefusedError(RuntimeError):
    """A run that cannot be trained here and now, through no fault of its configuration."""


def check_gpus(processes: int) -> None:
    """ValueError where this machine has GPUs, but fewer than processes."""
    gpus = torch.cuda.device_count()
    if torch.cuda.is_available() and processes > gpus:
        raise ValueError(f"num_processes is {processes}, but this machine has {gpus} GPU(s)")


def check_not_launched() -> None:
    """RefusedError in a process that `accelerate launch` started with others.

    Each of them would wait for the run that another one trains, and that one for them.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RefusedError(
            "this process is already one of several: run the chapter with plain papermill and "
            "`-p num_processes N`, which starts the ranks itself"
        )
