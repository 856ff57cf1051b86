"""Every K and M on the representations that SSPS starts from (Section V-B, book chapter 8).

Figure 4 draws accuracies of pseudo-positives over K and M. Training each cell is expensive; what
their first mini-batches would be given is not: one pass over the corpus fills the memory queues,
and every sampler draws from the same ones.
"""

import json
import math
import tempfile
import time
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import cast

import numpy as np
import torch

from ssps_book import paper, records
from ssps_lib import recipes
from ssps_lib.analysis import PositiveObserver
from ssps_lib.positives import Clustering, NearestNeighbors, PositiveSampler
from ssps_lib.training import RunConfig, loop, record, run_folder, state
from ssps_lib.training.build import Parts
from ssps_lib.training.ssps import SSPS

Key = tuple[str, int | None, int]  # positives, K, M
WINDOWS = (0, 1, 2, 3, 5)  # M of SSPS-Clustering, as in Table II
NEAREST = (1, 2, 3, 5, 8, 12, 16, 23, 35, 50)  # M of SSPS-NN
# K and M of the rows of Table II that the book also trains (see `own_clusters`): as many clusters
# as speakers, the recipe's, as many as recordings.
SPEAKERS, RECIPE = (6_000, 0), (25_000, 1)
TRAINED = (SPEAKERS, (25_000, 0), RECIPE, (150_000, 0), (150_000, 1))


def name(k: int, m: int) -> str:
    """A row of Table II in words."""
    return f"ssps-clustering, K = {k:,}, M = {m}"


def own_clusters(k: int, preset: str) -> int:
    """The K at the size of `preset` that stands for one in `TRAINED`.

    6,000 is about one cluster for each speaker, 150,000 about one for each recording, and 25,000
    is the recipe's between them; at preset "paper" they are themselves.

    >>> [own_clusters(k, "mini") for k in (6_000, 25_000, 150_000)]
    [256, 1024, 3072]
    """
    if preset == "paper":
        return k
    size = recipes.COMMON[preset]["corpus_options"]
    speakers = size["speakers"]
    own = {6_000: speakers, 25_000: recipes.CLUSTERS[preset],
           150_000: speakers * size["recordings"]}  # fmt: skip
    return own[k]


def position(k: float, speakers: int, recordings: int) -> float:
    """Where K lies on the way from the speakers (0) to the recordings (1), logarithmically.

    >>> position(200, 100, 400)
    0.5
    """
    return math.log(k / speakers) / math.log(recordings / speakers)


def clusters_at(place: float, speakers: int, recordings: int) -> int:
    """The K of a corpus at a position, at least 2; the inverse of `position`.

    >>> clusters_at(0.5, 100, 400)
    200
    """
    return max(2, round(speakers * (recordings / speakers) ** place))


def cells(ssl: RunConfig, *more: int) -> dict[str, tuple[int, ...]]:
    """Arguments of `measure` for a simulated corpus: where Table II's rows would lie in it.

    Every K of the table keeps its position, and `more` values of K are added; every M of
    SSPS-Clustering keeps its value. M of SSPS-NN spans from 1 to 50.
    """
    size = ssl.corpus_options
    own = size["speakers"], size["speakers"] * size["recordings"]
    theirs = [int(paper.reading(f"training {what}")) for what in ("speakers", "recordings")]
    table = {row.k for row in paper.TABLE_2 if row.positives == "ssps-clustering"}
    clusters = {clusters_at(position(k, *theirs), *own) for k in table}
    return {
        "clusters": tuple(sorted(clusters | set(more))),
        "windows": WINDOWS,
        "nearest": tuple(m for m in NEAREST if m < own[1] * size["utterances"]),
    }


def measure(
    ssl: RunConfig, clusters: Sequence[int], windows: Sequence[int], nearest: Sequence[int]
) -> dict:
    """Accuracies of the pseudo-positives that a run continuing `ssl` would start with.

    The queues are filled as `training` fills them, and batches, draws and the first centroids are
    those of the first SSPS epoch; only the encoder does not learn between the batches.

    Args:
        ssl: a run that is finished on this machine.
        clusters: values of K.
        windows: values of M of SSPS-Clustering; one that is not below K is left out.
        nearest: values of M of SSPS-NN.

    Returns:
        The record: name, `start_from` (the config of `ssl`), machine, seconds, versions, and
        `rows` of positives, k, m, coverage, speaker_accuracy and recording_accuracy (fractions).

    Raises:
        FileNotFoundError: the weights of `ssl` are not on this machine.
        ValueError: K above the number of utterances.
    """
    parent = state.find(run_folder(ssl) / "checkpoint")
    if parent is None:
        raise FileNotFoundError(
            f"the weights of run {ssl.name} are not on this machine: train it first with "
            "training.run(config)"
        )
    started = time.perf_counter()
    widest = {"positives": "ssps-clustering", "clusters": max(clusters), "window": 0}
    with tempfile.TemporaryDirectory() as folder:
        config = ssl.with_(**widest, epochs=1, start_from=ssl)
        parts = state.begin(config, Path(folder), parent)
        loop.fill(parts)
    seed = config.seed + parts.position.epoch
    ssps = cast(SSPS, parts.ssps)
    samplers = {**_clusterings(ssps, seed, clusters, windows), **_neighbours(ssps, nearest)}
    rows = [
        dict(zip(("positives", "k", "m"), key, strict=True)) | accuracies(parts, sampler)
        for key, sampler in samplers.items()
    ]
    return {
        "format": record.FORMAT,
        "name": _name(ssl),
        "note": "K and M when SSPS starts, nothing trained",
        "start_from": ssl.to_dict(),
        "machine": record.machine(parts.device, 1),
        "seconds": round(time.perf_counter() - started, 1),
        "versions": record.versions(),
        "rows": rows,
    }


def accuracies(parts: Parts, sampler: PositiveSampler) -> dict[str, float]:
    """Coverage, speaker and recording accuracy of one pass of `sampler` over all anchors."""
    epoch, corpus, ssps = parts.position.epoch, parts.data.corpus, cast(SSPS, parts.ssps)
    observer = PositiveObserver(corpus.speakers, corpus.recordings)
    index = np.concatenate(parts.data.order(epoch))
    for part in np.array_split(index, -(-len(index) // 4096)):
        rows, uniform = torch.from_numpy(part), parts.data.choices(epoch, part)
        observer.update(rows, sampler.sample(rows, ssps.positive_queue, uniform))
    return observer.result()


def _clusterings(
    ssps: SSPS, seed: int, clusters: Sequence[int], windows: Sequence[int]
) -> dict[Key, Clustering]:
    """Each K is clustered once, for its widest window; narrower ones see its nearest columns."""
    samplers = {}
    for k in sorted(set(clusters)):
        fitting = [m for m in windows if m < k]
        widest = Clustering(k, max(fitting))
        widest.refresh(ssps.reference_queue, torch.Generator().manual_seed(seed))
        for m in fitting:
            sampler = copy(widest)
            sampler.window = m
            sampler.neighbors = None if widest.neighbors is None else widest.neighbors[:, :m]
            samplers["ssps-clustering", k, m] = sampler
    return samplers


def _neighbours(ssps: SSPS, nearest: Sequence[int]) -> dict[Key, NearestNeighbors]:
    samplers: dict[Key, NearestNeighbors]
    samplers = {("ssps-nn", None, m): NearestNeighbors(m) for m in nearest}
    for sampler in samplers.values():
        sampler.refresh(ssps.reference_queue)
    return samplers


def save(values: dict) -> Path:
    """Store what `measure` gave among the book's records, whole or not at all."""
    target = records.folder() / f"{values['name']}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(record.rounded(values), indent=1) + "\n")
    return partial.replace(target)


def load(ssl: RunConfig) -> dict | None:
    """The stored record of the run `ssl`; None if there is none."""
    target = records.folder() / f"{_name(ssl)}.json"
    return json.loads(target.read_text()) if target.exists() else None


def _name(ssl: RunConfig) -> str:
    return f"grid-{ssl.hash}"
