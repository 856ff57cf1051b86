"""A metric of runs over epochs, before and after SSPS starts (book chapters 5, 11 and 12)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from ssps_book import plots
from ssps_book.averages import mean_curve
from ssps_lib.training import Run


def draw(
    runs: Mapping[str, Sequence[Run]], metric: str, ylabel: str, ax: Axes | None = None
) -> Axes:
    """Mean over seeds with the range as a band; what continues `runs["ssl"]` begins where it ends.

    Args:
        runs: kind -> runs of that kind, one for each seed.
        metric: of the runs' curves; kinds that did not observe it are left out.
    """
    found = {
        name: mean_curve([run.metrics for run in made], metric)
        for name, made in runs.items()
        if metric in made[0].metrics
    }
    if "ssl" in found:
        end = [np.asarray(part)[..., -1:] for part in found["ssl"]]
        for name in set(found) - {"ssl"}:
            pairs = zip(end, found[name], strict=True)
            found[name] = tuple(np.concatenate(pair, axis=-1) for pair in pairs)
    start = max(made[0].config.first_epoch for made in runs.values())
    marked = "ssl" in found and any(name.startswith("ssps") for name in found)
    return plots.curves(
        {name: (epochs, means) for name, (epochs, means, _) in found.items()},
        ylabel, ax=ax, start=start if marked else None,
        intervals={name: span for name, (_, _, span) in found.items()},
    )  # fmt: skip
