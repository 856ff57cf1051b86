"""Whether each speaker gets tighter, or speakers only become alike (Section V-E, book chapter 11).

The record of a run keeps the cosines of all speakers together. Their spread has two parts, that of
the pairs within a speaker and that of the speakers' means, which need the weights of the run.
"""

import numpy as np
import torch.nn.functional as F
from torch import nn

from ssps_book import records
from ssps_lib import scorer
from ssps_lib.corpora import Corpus
from ssps_lib.training import Run, build, is_complete

NAME = "speaker-spread"


def of_speakers(encoder: nn.Module, corpus: Corpus) -> dict[str, float]:
    """Standard deviations of the cosines of pairs of one speaker in two recordings.

    Returns:
        "within": root of the mean variance over the pairs of a speaker; "between": deviation of the
        means of the speakers.
    """
    embeddings = F.normalize(scorer.embed(encoder, corpus), dim=1).numpy()  # (N, D)
    means, variances = [], []
    for speaker in np.unique(corpus.speakers):
        rows = np.flatnonzero(corpus.speakers == speaker)
        recordings = corpus.recordings[rows]
        apart = np.triu(recordings[:, None] != recordings)
        cosines = (embeddings[rows] @ embeddings[rows].T)[apart]
        means.append(cosines.mean())
        variances.append(cosines.var())
    return {"within": float(np.mean(variances) ** 0.5), "between": float(np.std(means))}


def of_run(run: Run) -> dict[str, float] | None:
    """Of the test speakers: from the record, or else from the weights; None if both are missing."""
    stored = (records.load_values(NAME) or {"runs": {}})["runs"]
    if run.name in stored:
        return stored[run.name]
    if not is_complete(run.config):
        return None
    return of_speakers(run.encoder().eval(), build.open_splits(run.config).test)


def store(run: Run) -> None:
    """Add a run to the record."""
    values = records.load_values(NAME) or {"name": NAME, "runs": {}}
    values["runs"][run.name] = of_run(run)
    records.save_values(NAME, values)
