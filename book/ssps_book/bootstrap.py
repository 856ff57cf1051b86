"""Ten speakers on a map, epoch by epoch of SSPS, and the pairs that it draws (book chapter 5).

A run keeps no representations of its epochs, so this trains one again, as training does, and looks
at the memory queues before each epoch.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ssps_book import records
from ssps_lib import analysis
from ssps_lib.training import RunConfig, loop, signals, state
from ssps_lib.training.build import Parts
from ssps_lib.training.ssps import SSPS

SPEAKERS = 10


def measure(config: RunConfig) -> dict:
    """The map before each epoch of an SSPS run, and after the last.

    Returns:
        The record: name, `run` (its config), machine, seconds, versions, `speakers` and
        `recordings` of the n utterances of the first ten training speakers, and `frames`: epoch,
        dev_eer (that of the epoch before), speaker_accuracy of all pairs that are drawn, `points`
        (n, 2) and `positives`, for each of the n the place of its pseudo-positive among them, -1
        where that is an utterance of somebody else, -2 where there is none.

    Raises:
        FileNotFoundError: the weights of the SSL run are not on this machine.
    """
    started, frames, seen = time.perf_counter(), [], []
    parent = records.checkpoint(config.start_from)
    with tempfile.TemporaryDirectory() as folder, signals.noticed() as notice:
        parts = state.begin(config, Path(folder), parent)
        index = torch.from_numpy(np.flatnonzero(parts.data.corpus.speakers < SPEAKERS))
        loop.fill(parts)
        values: dict[str, Any] = loop.observe(parts)
        while True:
            frames.append(frame(parts, index) | {"dev_eer": values["dev_eer"]})
            seen.append(cast(SSPS, parts.ssps).reference_queue[index].cpu())
            if parts.position.epoch == config.last_epoch:
                break
            values = loop.train_epoch(parts, notice) | loop.observe(parts)
            parts.position.next_epoch(values)
    for one, points in zip(frames, maps(seen), strict=True):
        one["points"] = points.round(1).tolist()
    corpus, own = parts.data.corpus, index.numpy()
    return records.measured(
        name(config), parts.device, started, run=config.to_dict(), frames=frames,
        speakers=corpus.speakers[own].tolist(), recordings=corpus.recordings[own].tolist(),
    )  # fmt: skip


def frame(parts: Parts, index: Tensor) -> dict[str, Any]:
    """What the coming epoch would pair with the utterances `index`, and how often it is right."""
    ssps, corpus, epoch = cast(SSPS, parts.ssps), parts.data.corpus, parts.position.epoch
    generator = torch.Generator().manual_seed(parts.config.seed + epoch)
    ssps.sampler.refresh(ssps.reference_queue, generator)
    everyone = np.arange(len(corpus))
    uniform = parts.data.choices(epoch, everyone)
    pos = ssps.sampler.sample(torch.from_numpy(everyone), None, uniform).cpu()
    observer = analysis.PositiveObserver(corpus.speakers, corpus.recordings)
    observer.update(torch.from_numpy(everyone), pos)
    place = {int(one): i for i, one in enumerate(index)} | {-1: -2}
    chosen = [place.get(int(one), -1) for one in pos[index]]
    accuracy = observer.result()["speaker_accuracy"]
    return {"epoch": epoch, "speaker_accuracy": accuracy, "positives": chosen}


def maps(seen: list[Tensor]) -> Iterator[np.ndarray]:
    """A t-SNE map (n, 2) of each time, which begins where the map of the time before has ended: an
    utterance stays near where it was, unless its neighbours have changed."""
    from sklearn.manifold import TSNE

    points = analysis.tsne(seen[0])
    for y in seen:
        follow = TSNE(
            2, init=points, early_exaggeration=1, metric="cosine",
            perplexity=min(30, (len(y) - 1) / 3),
        )  # fmt: skip
        points = follow.fit_transform(y.numpy())
        yield points


def name(config: RunConfig) -> str:
    """Of the record of a run."""
    return f"bootstrap-{config.hash}"


def load() -> dict:
    """The stored record, which the book has of one run."""
    (only,) = records.folder().glob("bootstrap-*.json")
    return records.load_values(only.stem) or {}
