"""Many corpora at once: calibrated to an EER, and all combinations of proportions."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from ssps_book.latent.corpus import LatentCorpus
from ssps_book.latent.space import model_eer, predict
from ssps_lib.positives import Clustering


def calibrate(corpus: LatentCorpus, eer: float) -> LatentCorpus:
    """The same corpus with the channel strength that gives an EER (percent), by bisection.

    Raises:
        ValueError: no strength reaches it.
    """

    def eer_of(scale: float) -> float:
        return model_eer(replace(corpus, recording_scale=scale))

    low, high = 0.0, 8 * corpus.speaker_scale
    reach = eer_of(low), eer_of(high)
    if not reach[0] <= eer <= reach[1]:
        raise ValueError(
            f"No recording_scale gives an EER of {eer}, only {reach[0]:.3g} to {reach[1]:.3g}: "
            "change the dimensions or the other scales of the corpus."
        )
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if eer_of(middle) < eer else (low, middle)
    return replace(corpus, recording_scale=(low + high) / 2)


def sweep(
    corpus: LatentCorpus,
    clusters: Sequence[float] = (4,),
    window: Sequence[int] = (1,),
    eer: float | None = None,
    nmi: bool = True,
    **proportions: Sequence,
) -> Iterator[dict]:
    """Predictions for all combinations, as flat dictionaries (rows of a table).

    Args:
        clusters: K per speaker.
        window: M.
        eer: if given, each corpus is first calibrated to this EER (percent).
        proportions: values for fields of `LatentCorpus`.
    """
    for values in itertools.product(*proportions.values()):
        found = replace(corpus, **dict(zip(proportions, values, strict=True)))
        found = found if eer is None else calibrate(found, eer)
        for k, m in itertools.product(clusters, window):
            sampler = Clustering(round(k * found.speakers), m)
            prediction = predict(found, sampler, nmi=nmi)
            yield asdict(found) | {"clusters": k, "window": m} | asdict(prediction)
