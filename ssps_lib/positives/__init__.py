"""Positive sampling (Section III): which utterance gives the positive of an anchor."""

from collections.abc import Callable

from ssps_lib.positives.clustering import Clustering, ClusteringCentroid
from ssps_lib.positives.nearest_neighbors import NearestNeighbors
from ssps_lib.positives.queues import Queue
from ssps_lib.positives.sampler import PositiveSampler, SameUtterance, Supervised

__all__ = ["SAMPLERS", "Clustering", "ClusteringCentroid", "NearestNeighbors", "PositiveSampler",
           "Queue", "SameUtterance", "Supervised", "build"]  # fmt: skip

SAMPLERS: dict[str, Callable[..., PositiveSampler]] = {
    "ssl": SameUtterance,
    "supervised": Supervised,
    "ssps-nn": NearestNeighbors,
    "ssps-clustering": Clustering,
    "ssps-clustering-c": ClusteringCentroid,
}


def build(name: str, **options) -> PositiveSampler:
    """A sampler by name, with the options of its class; ValueError for an unknown name.

    >>> build("ssps-clustering", clusters=25_000, window=1).candidates
    'queue'
    """
    if name not in SAMPLERS:
        raise ValueError(f"Unknown positives {name!r}: expected one of {', '.join(SAMPLERS)}.")
    return SAMPLERS[name](**options)
