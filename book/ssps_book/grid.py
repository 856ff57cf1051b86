"""Every K and M on the representations that SSPS starts from (Section V-B, book chapter 8).

Figure 4 draws accuracies of pseudo-positives over K and M. Training each cell is expensive; what
their first mini-batches would be given is not: one pass over the corpus fills the memory queues,
and every sampler draws from the same ones.
"""

import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import cast

import numpy as np
import torch

from ssps_book import paper, records
from ssps_lib import recipes
from ssps_lib.analysis import PositiveObserver
from ssps_lib.positives import Clustering, NearestNeighbors, PositiveSampler, Queue
from ssps_lib.training import RunConfig, loop, state
from ssps_lib.training.build import Parts
from ssps_lib.training.ssps import SSPS

WINDOWS = (0, 1, 2, 3, 5)  # M of SSPS-Clustering, as in Table II
NEAREST = (1, 2, 3, 5, 8, 12, 16, 23, 35, 50)  # M of SSPS-NN
# K and M of the rows of Table II that the book also trains (see `own_clusters`): as many clusters
# as speakers, the recipe's, as many as recordings.
SPEAKERS, RECIPE = (6_000, 0), (25_000, 1)
VOICES = (690, 3_147)  # training speakers and recordings of the real voices
TRAINED = (SPEAKERS, (25_000, 0), RECIPE, (150_000, 0), (150_000, 1))


def name(k: int, m: int) -> str:
    """A row of Table II in words."""
    return f"ssps-clustering, K = {k:,}, M = {m}"


def own_clusters(k: int, preset: str, corpus: str = "simulated") -> int:
    """The K at the size of `preset` and corpus that stands for one in `TRAINED`.

    6,000 is about one cluster for each speaker, 150,000 about one for each recording, and 25,000
    is the recipe's between them; at preset "paper" they are themselves.

    >>> [own_clusters(k, "mini") for k in (6_000, 25_000, 150_000)]
    [256, 896, 3072]
    """
    if preset == "paper":
        return k
    size = recipes.size_of(preset, corpus)
    if size == "voices":
        speakers, recordings = VOICES
    else:
        options = recipes.COMMON[size]["corpus_options"]
        speakers, recordings = options["speakers"], options["speakers"] * options["recordings"]
    return {6_000: speakers, 25_000: recipes.CLUSTERS[size], 150_000: recordings}[k]


def clusters_at(place: float, speakers: int, recordings: int) -> int:
    """The K of a corpus at a position, at least 2; the inverse of `paper.position`.

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
    clusters = {clusters_at(paper.position(k, *theirs), *own) for k in table}
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
        clusters, windows: K and M of SSPS-Clustering; an M that is not below K is left out.
        nearest: M of SSPS-NN.

    Returns:
        The record: name, `start_from` (the config of `ssl`), machine, seconds, versions, and
        `rows` of positives, k, m, coverage, speaker_accuracy and recording_accuracy (fractions).

    Raises:
        FileNotFoundError: the weights of `ssl` are not on this machine.
    """
    parent, started = records.checkpoint(ssl), time.perf_counter()
    widest = {"positives": "ssps-clustering", "clusters": max(clusters), "window": 0}
    with tempfile.TemporaryDirectory() as folder:
        parts = state.begin(ssl.with_(**widest, epochs=1, start_from=ssl), Path(folder), parent)
        loop.fill(parts)
    ssps, seed = cast(SSPS, parts.ssps), ssl.seed + parts.position.epoch
    rows = [
        {"positives": positives, "k": k, "m": m} | accuracies(parts, sampler)
        for positives, k, m, sampler in _samplers(ssps, seed, clusters, windows, nearest)
    ]
    note = "K and M when SSPS starts, nothing trained"
    found = {"note": note, "start_from": ssl.to_dict(), "rows": rows}
    return records.measured(_name(ssl), parts.device, started, **found)


def accuracies(parts: Parts, sampler: PositiveSampler) -> dict[str, float]:
    """Coverage, speaker and recording accuracy of one pass of `sampler` over all anchors."""
    epoch, corpus, ssps = parts.position.epoch, parts.data.corpus, cast(SSPS, parts.ssps)
    observer = PositiveObserver(corpus.speakers, corpus.recordings)
    index = np.concatenate(parts.data.order(epoch))
    for part in np.array_split(index, -(-len(index) // 4096)):
        rows, uniform = torch.from_numpy(part), parts.data.choices(epoch, part)
        observer.update(rows, sampler.sample(rows, ssps.positive_queue, uniform))
    return observer.result()


def _samplers(
    ssps: SSPS, seed: int, clusters: Iterable[int], windows: Sequence[int], nearest: Sequence[int]
) -> Iterator[tuple[str, int | None, int, PositiveSampler]]:
    """Positives, K, M and the sampler that has seen the reference queue."""
    for k in sorted(set(clusters)):
        fitting = [m for m in windows if m < k]
        for sampler in narrowed(k, fitting, ssps.reference_queue, seed):
            yield "ssps-clustering", k, sampler.window, sampler
    for m in nearest:
        sampler = NearestNeighbors(m)
        sampler.refresh(ssps.reference_queue)
        yield "ssps-nn", None, m, sampler


def narrowed(k: int, windows: Sequence[int], reference: Queue, seed: int) -> Iterator[Clustering]:
    """A sampler for each M on the same clusters: narrower windows see the nearest columns."""
    widest = Clustering(k, max(windows))
    widest.refresh(reference, torch.Generator().manual_seed(seed))
    for m in windows:
        sampler = copy(widest)
        sampler.window = m
        sampler.neighbors = None if widest.neighbors is None else widest.neighbors[:, :m]
        yield sampler


def load(ssl: RunConfig) -> dict | None:
    """The stored record of the run `ssl`; None if there is none."""
    return records.load_values(_name(ssl))


def _name(ssl: RunConfig) -> str:
    return f"grid-{ssl.hash}"
