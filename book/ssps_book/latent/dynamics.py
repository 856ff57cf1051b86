"""The dynamics of SSPS in the model: fixed points, threshold, collapse (book chapter 13)."""

import math

import torch

from ssps_book.latent.corpus import LatentCorpus
from ssps_book.latent.space import Prediction, Space, model_eer
from ssps_lib.positives import PositiveSampler


def bootstrap(
    corpus: LatentCorpus,
    sampler: PositiveSampler,
    epochs: int = 20,
    rate: float = 1.0,
    device: torch.device | str = "cpu",
) -> list[Prediction]:
    """The dynamics of SSPS: one pull-together step of the encoder per epoch.

    Each epoch pairs every utterance with its pseudo-positive. Training pulls the two together and
    holds the total energy, so the encoder gives more energy to dimensions on which the pairs agree
    and less to those on which they differ: e_d <- e_d exp(rate * agreement_d), renormalised. No
    label enters. Where the pairs agree on the speaker more than on the recording (recordings that
    sound alike, even when none is shared) the next pseudo-positives are better: bootstrapping.
    Else they are worse, and the energy moves to the recording: collapse.

    Returns:
        The prediction before each epoch and after the last, `epochs` + 1 (without NMI ratios).
    """
    space, energies, history = Space(corpus, device), corpus.energies().to(device), []
    for epoch in range(epochs + 1):
        space.look(energies)
        index, pos = space.draw(sampler)
        accuracies = space.accuracies(index, pos)
        history.append(Prediction(model_eer(corpus, energies), nmi_ratio=math.nan, **accuracies))
        if epoch < epochs:
            grown = energies * (rate * space.agreement(index, pos)).exp()
            energies = grown * (energies.sum() / grown.sum())
    return history
