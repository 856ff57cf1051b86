"""Single choices of SSPS changed, and which half of a pair matters (book chapters 7, 8 and 13).

Each is SimCLR with SSPS-Clustering by the recipe, with one change. Three need labels, which the
samplers of the library never get: they are registered here, under names of their own.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ssps_lib import positives, recipes
from ssps_lib.positives import Clustering, Queue, Supervised
from ssps_lib.training import RunConfig, build

CHANGES: dict[str, dict] = {  # what the recipe has is not listed
    "|Q'| = N": {"positive_queue": None},
    "reference frames of 1 s": {"reference_crop": 1.0},
    "reference frames of 2 s": {"reference_crop": 2.0},
    "distorted reference frames": {"reference_augmentation": True},
}
STARTS = (4, 2)  # SSPS begins after this part of the SSL training and replaces the rest
HALVES = {  # label: the name of the positives
    "right pairs only": "ssps-clustering-right",
    "wrong pairs only": "ssps-clustering-wrong",
    "same recording": "same-recording",
}


class Filtered(Clustering):
    """SSPS-Clustering that is told which of its pairs have one speaker, and uses only these, or
    only the others; the anchors of the rest keep their own positive."""

    def __init__(self, *arguments, speakers: Tensor, right: bool, **options) -> None:
        super().__init__(*arguments, **options)
        self._speakers, self._right = speakers, right

    def sample(
        self, index: Tensor, queue: Queue | None = None, uniform: Tensor | None = None
    ) -> Tensor:
        """See `PositiveSampler.sample`."""
        pos = super().sample(index, queue, uniform)
        same = (self._speakers[pos.cpu()] == self._speakers[index.cpu()]).to(pos.device)
        return torch.where((pos >= 0) & (same == self._right), pos, -1)


def configs(preset: str, seed: int = 1717, corpus: str = "simulated") -> dict[str, RunConfig]:
    """The ablations by their labels."""
    common: dict[str, Any] = {"preset": preset, "seed": seed, "corpus": corpus}
    whole = recipes.recipe("simclr", "ssps-clustering", **common)
    found = {
        label: recipes.recipe("simclr", "ssps-clustering", **common, **change)
        for label, change in CHANGES.items()
    }
    for part in STARTS:
        begun = max(1, (whole.first_epoch // part))
        early = recipes.recipe("simclr", "ssps-clustering", **common, epochs=begun)
        found[f"SSPS after 1/{part} of SSL"] = early.with_(epochs=whole.last_epoch - begun)
    both = {**whole.framework_options, "symmetric_positives": True}
    found["symmetric positives"] = whole.with_(framework_options=both)
    return found | {label: whole.with_(positives=name) for label, name in HALVES.items()}


def register(config: RunConfig) -> None:
    """Make the samplers of `HALVES` known, with the labels of the training utterances of a run."""
    if config.positives not in HALVES.values():
        return
    train = build.open_splits(config).train
    speakers = torch.from_numpy(train.speakers)
    for name, right in (("ssps-clustering-right", True), ("ssps-clustering-wrong", False)):
        positives.SAMPLERS[name] = partial(Filtered, speakers=speakers, right=right)
    positives.SAMPLERS["same-recording"] = partial(Supervised, speakers=train.recordings)
