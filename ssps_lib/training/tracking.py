"""Curves in TensorBoard while a run trains, through accelerate's tracker; off unless asked for.

`SSPS_TRACKER=tensorboard` writes what `metrics.jsonl` gets, a point an epoch, to the folder
`tensorboard` of the run. No result depends on it, and so it is no part of a `RunConfig`.
"""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager

from accelerate import Accelerator

TRACKER = "tensorboard"  # a name of accelerate that is also the name of a package


def asked_for() -> str | None:
    """The tracker that `$SSPS_TRACKER` names, None where it is not set.

    Raises:
        ValueError: a name that is no tracker.
        ModuleNotFoundError: its package is not installed.
    """
    name = os.environ.get("SSPS_TRACKER")
    if not name:
        return None
    if name != TRACKER:
        raise ValueError(
            f"SSPS_TRACKER is '{name}', expected {TRACKER}: leave it unset to train without a "
            "tracker"
        )
    if importlib.util.find_spec(name) is None:
        raise ModuleNotFoundError(
            f"SSPS_TRACKER is '{name}', whose package is not installed: pip install "
            "'ssps_lib[tracking]', or unset SSPS_TRACKER",
            name=name,
        )
    return name


@contextmanager
def tracked(accelerator: Accelerator, metrics: list[dict[str, float | None]]) -> Iterator[None]:
    """Keep the tracker of `accelerator` open inside the block; nothing where it has none.

    The epochs in `metrics`, which a resumed run has behind it, are written once more in place of
    what an earlier process wrote, so that a curve has each epoch once, whatever was interrupted.
    """
    if not accelerator.log_with:
        yield
        return
    accelerator.init_trackers(TRACKER, init_kwargs={TRACKER: {"purge_step": 0}})
    try:
        for row in metrics:
            track(accelerator, row)
        yield
    finally:  # not `end_training`, which also ends the process group
        for tracker in accelerator.trackers:
            tracker.finish()


def track(accelerator: Accelerator, row: dict[str, float | None]) -> None:
    """Write the metrics of an epoch, from the main process; nothing without a tracker."""
    values = {k: v for k, v in row.items() if k != "epoch" and v is not None}
    accelerator.log(values, step=int(row["epoch"]))
