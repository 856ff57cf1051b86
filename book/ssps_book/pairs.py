"""Whom SSPS pairs with a few anchors before and after it trained (Section III, book chapter 5).

Accuracies say how often a pseudo-positive has the anchor's speaker; pairs can be listened to. Both
queues' rows are gone once a run is finished elsewhere, so what was paired is kept as a record.
"""

import tempfile
import time
from pathlib import Path
from typing import cast

import numpy as np
import torch

from ssps_book import records
from ssps_lib.training import RunConfig, loop, run_folder, state
from ssps_lib.training.build import Parts
from ssps_lib.training.ssps import SSPS


def measure(config: RunConfig, anchors: int = 8, draws: int = 2) -> dict:
    """`draws` pseudo-positives of a few anchors, when an SSPS run began and when it had finished.

    "before" clusters what the SSL run `config.start_from` makes of the references, as the first
    epoch of SSPS does; "after" clusters the reference queue of the finished run.

    Returns:
        The record: name, note, `start_from` (of the run), machine, seconds, versions and `anchors`,
        each with its key and the lists "before" and "after" of keys. A key has the training index,
        speaker and recording of an utterance, and which utterance of its recording it is.

    Raises:
        FileNotFoundError: the weights of one of the two runs are not on this machine.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        before = state.begin(config, Path(folder), records.checkpoint(config.start_from))
        loop.fill(before)
    records.checkpoint(config)  # without it there is no "after"
    after = state.begin(config, run_folder(config))
    rng, corpus = np.random.default_rng(config.seed), before.data.corpus
    index = rng.choice(len(corpus), min(anchors, len(corpus)), replace=False)
    chosen = {"before": choose(before, index, draws), "after": choose(after, index, draws)}
    found = [
        key(corpus, i) | {when: [key(corpus, j) for j in rows[n]] for when, rows in chosen.items()}
        for n, i in enumerate(index)
    ]
    more = {"note": "pseudo-positives of a few anchors", "start_from": config.to_dict()}
    return records.measured(_name(config), before.device, started, **more, anchors=found)


def choose(parts: Parts, index: np.ndarray, draws: int) -> list[list[int]]:
    """`draws` pseudo-positives of each anchor, fewer where its sampler finds none."""
    generator = torch.Generator().manual_seed(parts.config.seed + parts.position.epoch)
    ssps = cast(SSPS, parts.ssps)
    sampler = ssps.sampler
    sampler.refresh(ssps.reference_queue, generator)
    rows, found = torch.from_numpy(index), []
    for _ in range(draws):
        uniform = torch.rand(len(index), 2, generator=generator)
        found.append(sampler.sample(rows, None, uniform).tolist())
    return [[j for j in own if j >= 0] for own in zip(*found, strict=True)]


def key(corpus, i: int) -> dict[str, int]:
    """Where training utterance i stands: its speaker, recording and number within the recording."""
    own = np.flatnonzero(corpus.recordings == corpus.recordings[i])
    return {
        "index": int(i),
        "speaker": int(corpus.speakers[i]),
        "recording": int(corpus.recordings[i]),
        "utterance": int(np.searchsorted(own, i)),
    }


def load(config: RunConfig) -> dict | None:
    """The stored record of the run `config`; None if there is none."""
    return records.load_values(_name(config))


def _name(config: RunConfig) -> str:
    return f"pairs-{config.hash}"
