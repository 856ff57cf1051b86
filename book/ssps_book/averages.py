"""What several runs say together: a mean with its interval, a curve with its range."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import t


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean of a few runs and the half-width of its 95 % interval (Student's t), NaN of one run.

    >>> mean, half = mean_interval([1.0, 2.0, 3.0])
    >>> round(mean, 2), round(half, 2)
    (2.0, 2.48)
    """
    x = np.asarray(values, float)
    if len(x) < 2:
        return float(x.mean()), float("nan")
    half = t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    return float(x.mean()), float(half)


def mean_curve(
    metrics: Sequence[Mapping[str, np.ndarray]], name: str
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Mean and range of a metric over runs of one recipe, where all of them observed it.

    Args:
        metrics: of each run, curves of (E,) values by name, "epoch" among them.
        name: of the metric.

    Returns:
        Epochs, means, and (lowest, highest) values, each (E',) with E' <= E.

    >>> first = {"epoch": np.array([1, 2]), "loss": np.array([3.0, np.nan])}
    >>> mean_curve([first, {"epoch": np.array([1, 2]), "loss": np.array([5.0, 1.0])}], "loss")
    (array([1]), array([4.]), (array([3.]), array([5.])))
    """
    values = np.stack([np.asarray(curves[name], float) for curves in metrics])
    seen = ~np.isnan(values).any(axis=0)
    values, epochs = values[:, seen], np.asarray(metrics[0]["epoch"])[seen]
    return epochs, values.mean(axis=0), (values.min(axis=0), values.max(axis=0))
