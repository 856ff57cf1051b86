"""Many corpora at once: calibrated to an EER, and all combinations of proportions."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace

import torch

from ssps_book.latent.corpus import LatentCorpus
from ssps_book.latent.space import Space, model_eer, predict
from ssps_lib.positives import Clustering


def calibrate(
    corpus: LatentCorpus,
    eer: float,
    nmi_ratio: float | None = None,
    device: torch.device | str = "cpu",
) -> LatentCorpus:
    """The same corpus with the channel strength that gives an EER (percent), by bisection.

    Args:
        nmi_ratio: wanted as well. The utterance scale is then bisected too: at equal EER, more
            variation within a recording and less between recordings raises the ratio.
        device: of the k-means behind the NMI ratio.

    Raises:
        ValueError: if no strength reaches the EER or the ratio.
    """

    def channel(utterance_scale: float) -> LatentCorpus:
        found = replace(corpus, utterance_scale=utterance_scale)

        def eer_of(scale: float) -> float:
            return model_eer(replace(found, recording_scale=scale))

        scale = _bisect(eer_of, eer, 8 * corpus.speaker_scale, "recording_scale", "EER")
        return replace(found, recording_scale=scale)

    if nmi_ratio is None:
        return channel(corpus.utterance_scale)

    def eer_without_channel(scale: float) -> float:
        return model_eer(replace(corpus, utterance_scale=scale, recording_scale=0.0))

    def ratio_of(scale: float) -> float:
        return Space(channel(scale), device).nmi_ratio()

    most = _bisect(eer_without_channel, eer, 8 * corpus.speaker_scale, "utterance_scale", "EER")
    return channel(_bisect(ratio_of, nmi_ratio, 0.95 * most, "utterance_scale", "NMI ratio", 8))


def sweep(
    corpus: LatentCorpus,
    clusters: Sequence[float] = (4,),
    window: Sequence[int] = (1,),
    eer: float | None = None,
    device: torch.device | str = "cpu",
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
            prediction = predict(found, sampler, device=device, nmi=nmi)
            yield asdict(found) | {"clusters": k, "window": m} | asdict(prediction)


def _bisect(
    value: Callable[[float], float],
    wanted: float,
    high: float,
    name: str,
    unit: str,
    steps: int = 12,
) -> float:
    """Where a rising function of a scale in [0, high] takes the wanted value."""
    low, reach = 0.0, (value(0.0), value(high))
    if not reach[0] <= wanted <= reach[1]:
        raise ValueError(
            f"No {name} gives an {unit} of {wanted}, only {reach[0]:.3g} to {reach[1]:.3g}: change "
            "the dimensions or the other scales of the corpus."
        )
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if value(middle) < wanted else (low, middle)
    return (low + high) / 2
