"""Error rates on real voices: pooled and by collection, with intervals (book chapter 14)."""

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor, nn

from ssps_lib import scorer
from ssps_lib.corpora import Splits

POOLED = "all"


def rates(
    encoder: nn.Module | Callable[[Tensor], Tensor],
    splits: Splits,
    prepare: Callable[[Tensor], Tensor] = lambda embeddings: embeddings,
) -> dict[str, dict[str, float]]:
    """EER of the test trials in percent, pooled and by collection, each with its 95 % interval
    from test speakers drawn anew.

    Args:
        encoder: waveforms (B, T) -> embeddings (B, D), as `scorer.embed` takes it.
        prepare: changes all embeddings (N, D) before they are scored.
    """
    corpus, trials = splits.test, splits.test_trials
    cosines = np.asarray(scorer.score(prepare(scorer.embed(encoder, corpus)), trials))
    first, second = corpus.speakers[trials.first], corpus.speakers[trials.second]
    groups = collections(corpus.keys[trials.first])
    found = {}
    for name in (POOLED, *np.unique(groups)):
        mine = (groups == name) | (name == POOLED)
        given = cosines[mine], trials.labels[mine]
        low, high = scorer.bootstrap_eer(*given, first[mine], second[mine], seed=0)
        found[str(name)] = {
            "eer": float(scorer.eer(*given)), "low": float(low), "high": float(high),
            "trials": int(mine.sum()), "speakers": len(np.unique(first[mine])),
        }  # fmt: skip
    return found


def collections(keys: Sequence[str]) -> np.ndarray:
    """The collection of each utterance, which begins the name of its speaker.

    >>> collections(["cv61-0001/p00/00", "gsc-0002/p01/02"]).tolist()
    ['cv61', 'gsc']
    """
    return np.array([key.split("/")[0].rpartition("-")[0] or POOLED for key in keys])
