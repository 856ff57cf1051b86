"""The model at the size of VoxCeleb2: Figure 4 and Table II without audio (book chapter 13)."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

import torch

from ssps_book import grid, paper, records
from ssps_book.latent.corpus import VOXCELEB2, LatentCorpus
from ssps_book.latent.dynamics import bootstrap
from ssps_book.latent.space import Space, model_eer
from ssps_book.latent.sweeps import calibrate
from ssps_lib.positives import Clustering, NearestNeighbors

NAME = "latent-voxceleb2"
# Representations of an encoder trained with SSL positives: a choice, not a measurement.
ENCODED = replace(
    VOXCELEB2, speaker_dims=32, recording_dims=32, utterance_dims=32, utterance_scale=0.5
)
EERS = (6.30, 9.41)  # of SSL positives: ECAPA-TDNN (Table III) and Fast ResNet-34 (Table II)
ANCHORS = {"ssps-clustering": 50_000, "ssps-nn": 8_192}
DYNAMICS = ((25_000, 1), (6_000, 0))  # K, M of Table III


def published_grid(positives: str = "ssps-clustering") -> dict[int | None, tuple[int, ...]]:
    """K -> the values of M in Table II; K is None for SSPS-NN.

    >>> published_grid()[25_000]
    (0, 1, 2, 3, 5)
    """
    rows = [row for row in paper.TABLE_2 if row.positives == positives]
    return {k: tuple(row.m for row in rows if row.k == k) for k in dict.fromkeys(r.k for r in rows)}


def voxceleb2(
    speakers: int = VOXCELEB2.speakers,
    eers: Sequence[float] = EERS,
    epochs: int = 10,
    device: torch.device | str = "cpu",
) -> dict:
    """Accuracies for every K and M of Table II, and the dynamics of Table III's two choices.

    The whole corpus (1,092,009 rows, K up to 150,000) is meant for a GPU with 16 GB. A subsample of
    `speakers` keeps the counts per speaker: K shrinks in proportion, M stays.

    Args:
        speakers: how many of the 5,994.
        eers: SSL EERs (percent) to which the channel strength is calibrated.
        epochs: of the dynamics; 0 leaves them out.

    Returns:
        The record: machine, seconds, versions, and for each EER its corpus, NMI ratio, `rows`
        (positives, k as published, m, coverage, speaker_accuracy, recording_accuracy), `dynamics`.
    """
    device, started = torch.device(device), time.perf_counter()
    corpora = [calibrate(replace(ENCODED, speakers=speakers), eer) for eer in eers]
    systems = [_system(*each, epochs, device) for each in zip(eers, corpora, strict=True)]
    found = {"seed": ENCODED.seed, "anchors": ANCHORS, "systems": systems}
    return records.measured(NAME, device, started, **found)


def _system(wanted: float, corpus: LatentCorpus, epochs: int, device: torch.device) -> dict:
    space = Space(corpus, device)
    dynamics = []
    for k, m in DYNAMICS if epochs else ():
        history = bootstrap(corpus, Clustering(_scaled(k, corpus), m), epochs, device=device)
        curves = {name: [getattr(p, name) for p in history] for name in
                  ("eer", "speaker_accuracy", "recording_accuracy")}  # fmt: skip
        dynamics.append({"k": k, "m": m} | curves)
    return {
        "wanted_eer": wanted,
        "eer": model_eer(corpus),
        "nmi_ratio": space.nmi_ratio(),
        "corpus": asdict(corpus),
        "rows": list(_rows(space)),
        "dynamics": dynamics,
    }


def _scaled(k: int, corpus: LatentCorpus) -> int:
    return round(k * corpus.speakers / VOXCELEB2.speakers)


def _rows(space: Space) -> Iterator[dict]:
    """Accuracies for each K and M; a subsample looks up neighbours for fewer anchors."""
    published, seed = published_grid(), space.corpus.seed + 1
    windows = sorted({m for values in published.values() for m in values})
    for k in published:
        for sampler in grid.narrowed(_scaled(k, space.corpus), windows, space.reference, seed):
            found = space.draw(sampler, ANCHORS["ssps-clustering"], refresh=False)
            row = {"positives": "ssps-clustering", "k": k, "m": sampler.window}
            yield row | space.accuracies(*found)
    anchors = max(1_024, _scaled(ANCHORS["ssps-nn"], space.corpus))
    for m in published_grid("ssps-nn")[None]:
        found = space.draw(NearestNeighbors(m), anchors)
        yield {"positives": "ssps-nn", "k": None, "m": m} | space.accuracies(*found)


def load_voxceleb2() -> dict | None:
    """The record of `voxceleb2` among those of the book; None if there is none."""
    return records.load_values(NAME)
